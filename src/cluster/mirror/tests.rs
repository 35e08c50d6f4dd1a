use serde_json::json;

use super::*;

const NOW: Instant = Instant::from_secs(1000);

fn wall() -> Timestamp {
    "2026-01-04T10:00:00Z".parse().unwrap()
}

fn status(prefix: &str, acquired: bool) -> Value {
    let acquired = if acquired { "True" } else { "False" };
    json!({"currentPrefix": prefix, "acquiredAt": "2026-01-04T09:00:00Z",
           "conditions": [{"type": "PrefixAcquired", "status": acquired, "reason": "x", "message": "x"}]})
}

fn publication(mirrors: &[(&str, Value)]) -> Publication {
    let mirror = |(name, status): &(&str, Value)| Mirror {
        name: (*name).to_owned(),
        spec: json!({"acquisition": {}}),
        status: status.clone(),
    };
    Publication { daemon_id: "edge".to_owned(), mirrors: mirrors.iter().map(mirror).collect(), undecided: vec![] }
}

/// An API server that holds objects, and what was asked of it.
#[derive(Default)]
struct Server {
    objects: BTreeMap<String, Value>,
    asked: Vec<String>,
}

impl Server {
    fn answer(&mut self, request: &Request) -> Result<Value, Failure> {
        let missing = |name: &str| Failure::Refused {
            code: 404,
            message: format!("dynamicprefixes.dyn-prefix.io \"{name}\" not found"),
            retry_after: None,
        };
        let (what, name) = match request {
            Request::Get(name) => ("get", name),
            Request::Apply(name, body) => {
                let object = self.objects.entry(name.clone()).or_insert_with(|| json!({"metadata": {}}));
                object["spec"] = body["spec"].clone();
                object["metadata"]["uid"] = json!(format!("uid of {name}"));
                object["metadata"]["annotations"] = body["metadata"]["annotations"].clone();
                ("apply", name)
            }
            Request::ApplyStatus(name, body) => {
                self.objects.get_mut(name).ok_or_else(|| missing(name))?["status"] = body["status"].clone();
                ("status", name)
            }
            Request::Delete(name, uid) => {
                assert_eq!(self.objects[name]["metadata"]["uid"], **uid);
                self.asked.push(format!("delete {name}"));
                return self.objects.remove(name).ok_or_else(|| missing(name));
            }
        };
        self.asked.push(format!("{what} {name}"));
        self.objects.get(name).cloned().ok_or_else(|| missing(name))
    }

    /// Answers until there is nothing to ask.
    fn settle(&mut self, mirrors: &mut Mirrors) -> Vec<String> {
        while let Some(request) = mirrors.poll_request(NOW, wall()) {
            assert_eq!(mirrors.poll_request(NOW, wall()), None, "one at a time");
            let answer = self.answer(&request);
            mirrors.handle_answer(&request, answer, NOW);
        }
        std::mem::take(&mut self.asked)
    }
}

#[test]
fn an_object_is_made_and_written_on_transitions_only() {
    let (mut server, mut mirrors) = (Server::default(), Mirrors::default());
    mirrors.handle_wanted(publication(&[("home", status("2001:db8:1::/56", true))]));
    assert_eq!(server.settle(&mut mirrors), ["get home", "apply home", "status home"]);
    assert_eq!(mirrors.take_ours().unwrap()["home"], "uid of home");
    assert_eq!(mirrors.take_ours(), None);
    let condition = |server: &Server| server.objects["home"]["status"]["conditions"][0]["lastTransitionTime"].clone();
    assert_eq!(condition(&server), "2026-01-04T10:00:00Z");
    // The same with other times is nothing to write.
    let mut later = status("2001:db8:1::/56", true);
    later["acquiredAt"] = json!("2026-01-04T09:00:01Z");
    mirrors.handle_wanted(publication(&[("home", later)]));
    assert!(server.settle(&mut mirrors).is_empty());
    // A new prefix is, and the condition that goes on keeps its time.
    server.objects.get_mut("home").unwrap()["status"]["conditions"][0]["lastTransitionTime"] =
        json!("2026-01-01T00:00:00Z");
    mirrors.handle_connected();
    mirrors.handle_wanted(publication(&[("home", status("2001:db8:2::/56", true))]));
    assert_eq!(server.settle(&mut mirrors), ["get home", "status home"]);
    assert_eq!(condition(&server), "2026-01-01T00:00:00Z");
    mirrors.handle_wanted(publication(&[("home", status("2001:db8:2::/56", false))]));
    assert_eq!(server.settle(&mut mirrors), ["status home"]);
    assert_eq!(condition(&server), "2026-01-04T10:00:00Z");
}

#[test]
fn after_a_restart_nothing_is_written_that_is_there() {
    let (mut server, mut mirrors) = (Server::default(), Mirrors::default());
    mirrors.handle_wanted(publication(&[("home", status("2001:db8:1::/56", true))]));
    server.settle(&mut mirrors);
    let mut again = Mirrors::new(mirrors.take_ours().unwrap());
    again.handle_wanted(publication(&[("home", status("2001:db8:1::/56", true))]));
    assert_eq!(server.settle(&mut again), ["get home"]);
    assert_eq!(again.take_ours(), None);
}

#[test]
fn what_left_the_configuration_is_deleted_only_if_the_store_lists_it() {
    let (mut server, mut mirrors) = (Server::default(), Mirrors::default());
    let both = [("home", status("2001:db8:1::/56", true)), ("lab", status("2001:db8:2::/56", true))];
    mirrors.handle_wanted(publication(&both));
    server.settle(&mut mirrors);
    let mut listed = mirrors.take_ours().unwrap();
    listed.remove("lab");
    // Made anew by somebody who copied it, under another uid.
    let mut again = Mirrors::new(listed.clone());
    again.handle_wanted(publication(&[]));
    server.objects.get_mut("home").unwrap()["metadata"]["uid"] = json!("another");
    assert_eq!(server.settle(&mut again), ["get home"]);
    assert_eq!(again.take_ours(), Some(BTreeMap::new()));
    server.objects.get_mut("home").unwrap()["metadata"]["uid"] = json!("uid of home");
    let mut again = Mirrors::new(listed);
    again.handle_wanted(publication(&[]));
    assert_eq!(server.settle(&mut again), ["get home", "delete home"]);
    assert_eq!(again.take_ours(), Some(BTreeMap::new()));
    assert!(server.objects.contains_key("lab"), "it was not listed");
}

/// Nobody else would.
#[test]
fn what_was_made_while_it_left_the_configuration_is_deleted() {
    let (mut server, mut mirrors) = (Server::default(), Mirrors::new(BTreeMap::new()));
    mirrors.handle_wanted(publication(&[("home", status("2001:db8:a::/56", true))]));
    let get = mirrors.poll_request(NOW, wall()).expect("it is read first");
    let absent = server.answer(&get);
    mirrors.handle_answer(&get, absent, NOW);
    let apply = mirrors.poll_request(NOW, wall()).expect("it is made");
    mirrors.handle_wanted(publication(&[]));
    let made = server.answer(&apply);
    mirrors.handle_answer(&apply, made, NOW);
    server.settle(&mut mirrors);
    assert_eq!(server.objects, BTreeMap::new());
    assert_eq!(mirrors.take_ours().unwrap_or_default(), BTreeMap::new());
}

#[test]
fn what_is_not_ours_is_not_written() {
    for annotations in [json!({MANAGED_BY: "other"}), Value::Null] {
        let (mut server, mut mirrors) = (Server::default(), Mirrors::default());
        let object = json!({"metadata": {"uid": "u", "annotations": annotations}, "spec": {}});
        server.objects.insert("home".to_owned(), object);
        mirrors.handle_wanted(publication(&[("home", status("2001:db8:1::/56", true))]));
        assert_eq!(server.settle(&mut mirrors), ["get home"]);
        assert!(mirrors.notes()[0].contains("so it is not written"), "{:?}", mirrors.notes());
        assert_eq!(mirrors.take_ours(), None);
        // An answer that comes when it is wanted no longer says nothing.
        mirrors.handle_connected();
        let request = mirrors.poll_request(NOW, wall()).unwrap();
        mirrors.handle_wanted(publication(&[]));
        let answer = server.answer(&request);
        mirrors.handle_answer(&request, answer, NOW);
        assert!(mirrors.notes().is_empty());
    }
}

#[test]
fn a_kind_that_is_not_installed_is_a_note_and_looked_for_again() {
    let mut mirrors = Mirrors::default();
    mirrors.handle_wanted(publication(&[("home", status("2001:db8:1::/56", true))]));
    let request = mirrors.poll_request(NOW, wall()).unwrap();
    let message = "the server could not find the requested resource".to_owned();
    mirrors.handle_answer(&request, Err(Failure::Refused { code: 404, message, retry_after: None }), NOW);
    assert!(mirrors.notes()[0].contains("kubectl apply -f packaging/kubernetes/dynamicprefixes.yaml"));
    assert_eq!(mirrors.poll_request(NOW, wall()), None);
    let at = mirrors.poll_timeout().unwrap();
    assert_eq!(at, NOW + RETRY);
    assert_eq!(mirrors.poll_request(at, wall()), Some(Request::Get("home".to_owned())));
}

/// The API server tells of a definition a moment before it serves the kind.
#[test]
fn a_kind_that_is_installed_later_is_noticed_at_once() {
    let mut mirrors = Mirrors::default();
    mirrors.handle_wanted(publication(&[("home", status("2001:db8:1::/56", true))]));
    let not_served = || {
        let message = "the server could not find the requested resource".to_owned();
        Err(Failure::Refused { code: 404, message, retry_after: None })
    };
    let ask = |mirrors: &mut Mirrors, at: Instant| {
        let request = mirrors.poll_request(at, wall()).expect("a request");
        mirrors.handle_answer(&request, not_served(), at);
    };
    assert!(!mirrors.lacks_kind());
    ask(&mut mirrors, NOW);
    assert!(mirrors.lacks_kind());
    let defined = NOW + Duration::from_secs(60);
    mirrors.handle_defined(defined);
    assert_eq!(mirrors.poll_timeout(), Some(defined));
    ask(&mut mirrors, defined);
    let again = mirrors.poll_timeout().unwrap();
    assert_eq!(again, defined + Duration::from_millis(250));
    let request = mirrors.poll_request(again, wall()).unwrap();
    mirrors.handle_answer(&request, Server::default().answer(&request), again);
    assert!(!mirrors.lacks_kind());
    assert!(matches!(mirrors.poll_request(again, wall()), Some(Request::Apply(..))));
}

/// It may be defined in a version that we do not know.
#[test]
fn a_kind_that_is_defined_and_not_served_is_left_alone_after_a_minute() {
    let mut mirrors = Mirrors::default();
    mirrors.handle_wanted(publication(&[("home", status("2001:db8:1::/56", true))]));
    let (mut at, mut asked) = (NOW, 0);
    loop {
        let request = mirrors.poll_request(at, wall()).unwrap();
        let message = "the server could not find the requested resource".to_owned();
        mirrors.handle_answer(&request, Err(Failure::Refused { code: 404, message, retry_after: None }), at);
        if asked == 0 {
            mirrors.handle_defined(at);
        }
        asked += 1;
        let next = mirrors.poll_timeout().unwrap();
        if next == at + RETRY {
            break;
        }
        at = next;
    }
    assert_eq!(asked, 10);
    assert!(at < NOW + Duration::from_secs(65), "{at:?}");
}

#[test]
fn a_missing_right_is_named() {
    let mut mirrors = Mirrors::default();
    mirrors.handle_wanted(publication(&[("home", status("2001:db8:1::/56", true))]));
    let request = mirrors.poll_request(NOW, wall()).unwrap();
    let message = "User \"x\" cannot get resource".to_owned();
    mirrors.handle_answer(&request, Err(Failure::Refused { code: 403, message, retry_after: None }), NOW);
    assert!(mirrors.notes()[0].contains("resources: [dynamicprefixes, dynamicprefixes/status]"));
}

/// After a start it is not known yet what the pools hold.
#[test]
fn without_an_opinion_an_object_stays_as_it_is() {
    let mut server = Server::default();
    let mut mirrors = Mirrors::default();
    mirrors.handle_wanted(publication(&[("home", status("2001:db8:1::/56", true))]));
    server.settle(&mut mirrors);
    let mut again = Mirrors::new(mirrors.take_ours().unwrap());
    again.handle_wanted(Publication { undecided: vec!["home".to_owned()], ..publication(&[]) });
    assert!(server.settle(&mut again).is_empty());
    assert!(server.objects.contains_key("home"));
}

fn refusal(code: u16) -> Result<Value, Failure> {
    Err(Failure::Refused { code, message: "no".to_owned(), retry_after: None })
}

/// What the driver does: it asks for a request, and sleeps until the deadline if there is none.
fn assert_no_deadline_is_over(mirrors: &mut Mirrors, now: Instant) -> Option<Request> {
    let request = mirrors.poll_request(now, wall());
    if request.is_none() {
        let at = mirrors.poll_timeout();
        assert!(at.is_none_or(|at| at > now), "{at:?} is over at {now:?}: {mirrors:?}");
    }
    request
}

/// A 403, and when it may be tried again there is no opinion: the driver went round for ever.
#[test]
fn what_there_is_no_opinion_on_is_nothing_to_wake_up_for() {
    let all = publication(&[("home", status("2001:db8:1::/56", true))]);
    for (answer, pause) in [(refusal(403), RETRY), (Err(Failure::timed_out(RETRY_SOON)), RETRY_SOON)] {
        let mut mirrors = Mirrors::default();
        mirrors.handle_wanted(all.clone());
        let request = mirrors.poll_request(NOW, wall()).unwrap();
        mirrors.handle_answer(&request, answer, NOW);
        mirrors.handle_wanted(Publication { undecided: vec!["home".to_owned()], ..publication(&[]) });
        assert_no_deadline_is_over(&mut mirrors, NOW + pause);
        // Once there is an opinion, it is tried at the time.
        mirrors.handle_wanted(all.clone());
        assert_eq!(mirrors.poll_timeout(), Some(NOW + pause));
        assert_eq!(mirrors.poll_request(NOW + pause, wall()), Some(Request::Get("home".to_owned())));
    }
    let mut mirrors = Mirrors::default();
    mirrors.handle_wanted(all);
    let request = mirrors.poll_request(NOW, wall()).unwrap();
    mirrors.handle_answer(&request, refusal(404), NOW);
    mirrors.handle_wanted(Publication { undecided: vec!["home".to_owned()], ..publication(&[]) });
    mirrors.handle_defined(NOW);
    assert_no_deadline_is_over(&mut mirrors, NOW);
}

#[derive(Clone, Debug)]
enum Step {
    /// For each of two DynamicPrefixes: 0 is gone, 1 undecided, else wanted with another status.
    Wanted(u8, u8),
    /// What the server says to what is under way: a code, or 200.
    Answer(u16),
    Silence,
    Deleted,
    Connected,
    Defined,
    Later(u64),
    /// As late as it asked for.
    Due,
}

fn steps() -> impl proptest::strategy::Strategy<Value = Vec<Step>> {
    use proptest::prelude::*;
    let step = prop_oneof![
        (0..4_u8, 0..4_u8).prop_map(|(home, lab)| Step::Wanted(home, lab)),
        proptest::sample::select(vec![200, 200, 200, 403, 404, 409, 422, 500]).prop_map(Step::Answer),
        Just(Step::Silence),
        Just(Step::Deleted),
        Just(Step::Connected),
        Just(Step::Defined),
        (0..400_u64).prop_map(Step::Later),
        Just(Step::Due),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest::proptest! {
    /// Whatever happened: when there is nothing to send now, the deadline is later, or there is none.
    #[test]
    fn a_deadline_is_never_over_while_there_is_nothing_to_send(steps in steps()) {
        let (mut server, mut mirrors) = (Server::default(), Mirrors::default());
        let (mut now, mut under_way) = (NOW, None);
        for step in steps {
            match step {
                Step::Wanted(home, lab) => {
                    let all = [("home", home), ("lab", lab)];
                    let wanted: Vec<_> = all.into_iter().filter(|(_, how)| *how > 1)
                        .map(|(name, how)| (name, status(&format!("2001:db8:{how}::/56"), true))).collect();
                    let undecided = all.into_iter().filter(|(_, how)| *how == 1).map(|(name, _)| name.to_owned());
                    mirrors.handle_wanted(Publication { undecided: undecided.collect(), ..publication(&wanted) });
                }
                Step::Answer(code) => if let Some(request) = under_way.take() {
                    let answer = if code == 200 { server.answer(&request) } else { refusal(code) };
                    mirrors.handle_answer(&request, answer, now);
                },
                Step::Silence => if let Some(request) = under_way.take() {
                    mirrors.handle_answer(&request, Err(Failure::timed_out(RETRY_SOON)), now);
                },
                Step::Deleted => server.objects.clear(),
                Step::Connected => { under_way = None; mirrors.handle_connected(); }
                Step::Defined => mirrors.handle_defined(now),
                Step::Later(seconds) => now = now + Duration::from_secs(seconds),
                Step::Due => now = mirrors.poll_timeout().unwrap_or(now).max(now),
            }
            under_way = assert_no_deadline_is_over(&mut mirrors, now).or(under_way);
        }
    }
}

#[test]
fn an_object_that_somebody_deleted_is_made_anew_at_once() {
    let (mut server, mut mirrors) = (Server::default(), Mirrors::default());
    mirrors.handle_wanted(publication(&[("home", status("2001:db8:1::/56", true))]));
    server.settle(&mut mirrors);
    server.objects.clear();
    mirrors.handle_wanted(publication(&[("home", status("2001:db8:2::/56", true))]));
    assert_eq!(server.settle(&mut mirrors), ["get home", "apply home", "status home"]);
    assert_eq!(server.objects["home"]["status"]["currentPrefix"], "2001:db8:2::/56");
    assert!(mirrors.notes().is_empty() && !mirrors.lacks_kind());
    // Whoever keeps deleting it is not raced.
    server.objects.clear();
    mirrors.handle_wanted(publication(&[("home", status("2001:db8:3::/56", true))]));
    assert!(server.settle(&mut mirrors).is_empty() && mirrors.notes().is_empty());
    assert_eq!(mirrors.poll_timeout(), Some(NOW + RETRY_SOON));
    assert_eq!(mirrors.poll_request(NOW + RETRY_SOON, wall()), Some(Request::Get("home".to_owned())));
}

/// The words of a webhook are not those of the API server.
#[test]
fn a_webhook_that_quotes_a_missing_object_does_not_make_it_missing() {
    let (mut server, mut mirrors) = (Server::default(), Mirrors::default());
    mirrors.handle_wanted(publication(&[("home", status("2001:db8:1::/56", true))]));
    server.settle(&mut mirrors);
    mirrors.handle_wanted(publication(&[("home", status("2001:db8:2::/56", true))]));
    let request = mirrors.poll_request(NOW, wall()).unwrap();
    let message = "admission webhook \"x\" denied the request: dynamicprefixes.dyn-prefix.io \"home\" not found";
    let answer = Err(Failure::Refused { code: 404, message: message.to_owned(), retry_after: None });
    mirrors.handle_answer(&request, answer, NOW);
    assert_eq!(mirrors.poll_request(NOW, wall()), None);
}

#[test]
fn what_cannot_be_deleted_says_why_and_is_tried_as_soon_as_it_is_to_go() {
    let (mut server, mut mirrors) = (Server::default(), Mirrors::default());
    mirrors.handle_wanted(publication(&[("home", status("2001:db8:1::/56", true))]));
    server.settle(&mut mirrors);
    mirrors.handle_wanted(publication(&[("home", status("2001:db8:2::/56", true))]));
    let request = mirrors.poll_request(NOW, wall()).unwrap();
    mirrors.handle_answer(&request, refusal(403), NOW);
    assert!(mirrors.stuck().is_empty(), "nobody wants it deleted");
    mirrors.handle_wanted(publication(&[]));
    assert!(mirrors.stuck().is_empty(), "that was not tried");
    assert_eq!(mirrors.poll_request(NOW, wall()), Some(Request::Get("home".to_owned())));
    mirrors.handle_answer(&Request::Get("home".to_owned()), refusal(404), NOW);
    assert!(mirrors.stuck()["home"].starts_with("The cluster does not serve the kind DynamicPrefix"));
    mirrors.handle_connected();
    assert_eq!(server.settle(&mut mirrors), ["get home", "delete home"]);
    assert!(mirrors.stuck().is_empty());
}
