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
