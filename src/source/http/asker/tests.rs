use super::*;
use crate::config::{Acquisition, Http, Transition};

const URL: &str = "https://address.example.net/ip?token=secret";
const A: &str = "2001:db8:dead:beef::1";
const B: &str = "2001:db8:cafe:1::1";
const C: &str = "2001:db8:f00d:1::1";

struct Lab {
    asker: Asker,
    now: Instant,
    /// When it asked, in seconds.
    asked: Vec<f64>,
}

fn at(seconds: i64) -> Instant {
    Instant::from_secs(seconds)
}

fn settings() -> Settings {
    Settings { url: URL.to_owned(), interval: Duration::from_secs(60), prefix_length: 56 }
}

fn net(text: &str) -> Ipv6Net {
    let address: Ipv6Addr = text.parse().expect("an address");
    Ipv6Net::new(address, 56).expect("a prefix").trunc()
}

impl Lab {
    fn new() -> Self {
        Self { asker: Asker::new(settings(), 1, at(0)), now: at(0), asked: Vec::new() }
    }

    /// Waits for the next question, and answers it at once.
    fn answer(&mut self, answer: Result<Ipv6Addr, Failure>) {
        while !self.asker.poll_request(self.now) {
            let (due, _) = self.asker.poll_timeout().expect("it will ask");
            self.now = self.now.max(due);
            self.asker.handle_timeout(self.now);
        }
        self.asked.push(self.now.saturating_since(at(0)).as_secs_f64());
        self.asker.handle_answer(answer, self.now);
    }

    fn say(&mut self, address: &str) {
        self.answer(Ok(address.parse().expect("an address")));
    }

    fn fail(&mut self, why: &str) {
        self.answer(Err(Failure { why: why.to_owned(), retry_after: None }));
    }

    /// The pause before the next question.
    fn pause(&self) -> f64 {
        let ask_at = self.asker.ask_at.expect("it will ask");
        ask_at.saturating_since(self.now).as_secs_f64()
    }

    fn usable(&self) -> Vec<Ipv6Net> {
        let offers = self.asker.report().offers.into_iter();
        offers.filter(|offer| offer.cut.is_none()).map(|offer| offer.prefix).collect()
    }

    fn cut(&self, text: &str) -> Option<Cut> {
        self.asker.report().offers.into_iter().find(|offer| offer.prefix == net(text)).expect("it is offered").cut
    }

    fn state(&self) -> SourceState {
        self.asker.report().state
    }
}

#[test]
fn it_asks_at_once_and_then_at_every_interval() {
    let mut lab = Lab::new();
    assert_eq!((lab.state(), lab.asker.report().offers), (SourceState::Asking, vec![]));
    assert!(!lab.state().is_settled());
    for _ in 0..3 {
        lab.say(A);
    }
    assert_eq!(lab.asked, [0.0, 60.0, 120.0]);
    let offers = lab.asker.report().offers;
    let [offer] = offers.as_slice() else { panic!("one offer: {offers:?}") };
    assert_eq!((offer.prefix, offer.first_seen), (net(A), at(0)));
    assert_eq!((offer.preferred_until, offer.valid_until, offer.cut), (Deadline::Never, Deadline::Never, None));
    assert_eq!(lab.state(), SourceState::Receiving);
}

#[test]
fn another_address_of_the_same_prefix_is_no_news() {
    let mut lab = Lab::new();
    lab.say(A);
    lab.say("2001:db8:dead:beff:abcd::77");
    assert_eq!((lab.usable(), lab.pause()), (vec![net(A)], 60.0));
    assert_eq!(lab.asker.report().offers.len(), 1);
}

#[test]
fn another_prefix_counts_when_it_is_answered_twice_in_a_row() {
    let mut lab = Lab::new();
    lab.say(A);
    lab.say(B);
    assert_eq!((lab.usable(), lab.pause()), (vec![net(A)], 2.0));
    assert_eq!(lab.asker.poll_timeout().map(|(_, reason)| reason), Some("confirm"));
    assert!(lab.asker.report().notes[0].contains("2001:db8:cafe:1::1 after 2001:db8:dead:beef::1"));
    lab.say(B);
    assert_eq!((lab.usable(), lab.cut(A), lab.pause()), (vec![net(B)], Some(Cut::Unlisted), 60.0));
    assert_eq!(lab.asker.report().notes, Vec::<String>::new());
}

#[test]
fn a_service_that_is_wrong_for_a_moment_changes_nothing() {
    let mut lab = Lab::new();
    lab.say(A);
    lab.say(B);
    lab.say(A);
    lab.say(B);
    lab.fail("no answer within 20 s");
    lab.say(B);
    assert_eq!(lab.usable(), [net(A)]);
}

#[test]
fn a_service_that_answers_something_else_each_time_is_not_asked_all_the_time() {
    let mut lab = Lab::new();
    lab.say(A);
    let mut pauses = Vec::new();
    for address in [B, C, B, C, B] {
        lab.say(address);
        pauses.push(lab.pause());
    }
    assert_eq!((lab.usable(), pauses), (vec![net(A)], vec![2.0, 2.0, 60.0, 60.0, 60.0]));
}

#[test]
fn a_then_b_then_a_again() {
    let mut lab = Lab::new();
    for address in [A, B, B, A, A] {
        lab.say(address);
    }
    assert_eq!((lab.usable(), lab.cut(B)), (vec![net(A)], Some(Cut::Unlisted)));
    assert_eq!(lab.asker.report().offers.len(), 2, "A is not offered twice");
    lab.now = lab.now + REMEMBERED;
    lab.asker.handle_timeout(lab.now);
    assert_eq!(lab.asker.report().offers.len(), 1);
}

/// A restart is no reason to believe one answer more than in between.
#[test]
fn what_was_in_use_before_a_start_gives_way_to_two_answers_not_to_one() {
    let seeded = || {
        let mut lab = Lab::new();
        lab.asker.seed(net(A), at(-500));
        assert_eq!((lab.usable(), lab.state()), (vec![net(A)], SourceState::Asking), "nobody has answered yet");
        lab
    };
    let mut lab = seeded();
    lab.say(B);
    assert_eq!((lab.usable(), lab.state(), lab.pause()), (vec![net(A)], SourceState::Asking, 2.0));
    lab.say(A);
    assert_eq!((lab.usable(), lab.state()), (vec![net(A)], SourceState::Receiving));
    assert_eq!(lab.asker.report().offers[0].first_seen, at(-500));
    let mut lab = seeded();
    lab.say(B);
    lab.say(B);
    assert_eq!((lab.usable(), lab.cut(A)), (vec![net(B)], Some(Cut::Unlisted)));
    let mut lab = seeded();
    lab.fail("it is away");
    assert_eq!((lab.usable(), lab.state()), (vec![net(A)], SourceState::Asking), "absence is not loss");
}

#[test]
fn an_error_keeps_the_last_answer() {
    let mut lab = Lab::new();
    lab.say(A);
    lab.fail("the server answered 500 Internal Server Error");
    assert_eq!((lab.usable(), lab.state()), (vec![net(A)], SourceState::Receiving));
    let sentence = "Asking https://address.example.net/ip?… for the address of this host failed: the server answered 500 \
                    Internal Server Error. What it answered before stays in use; it is asked again, with growing pauses.";
    assert_eq!(lab.asker.report().notes, [sentence]);
    lab.fail("the server answered 500 Internal Server Error");
    lab.fail("the server answered 500 Internal Server Error");
    assert_eq!((lab.usable(), lab.state()), (vec![net(A)], SourceState::Failed(sentence.to_owned())));
    assert_eq!(lab.asker.report().notes, Vec::<String>::new());
    lab.say(A);
    assert_eq!((lab.state(), lab.pause()), (SourceState::Receiving, 60.0));
}

#[test]
fn without_an_answer_the_first_error_is_told_at_once() {
    let mut lab = Lab::new();
    lab.fail("the answer is empty");
    let expected = "Asking https://address.example.net/ip?… for the address of this host failed: the answer is empty. It is \
                    asked again, with growing pauses.";
    assert_eq!(lab.state(), SourceState::Failed(expected.to_owned()));
    assert!(lab.state().is_settled(), "what is ranked below it has its turn");
}

#[test]
fn pauses_grow_with_jitter_and_end() {
    let mut lab = Lab::new();
    for expected in [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0] {
        lab.fail("it is away");
        assert!((expected * 0.9..=expected * 1.1).contains(&lab.pause()), "{} of {expected}", lab.pause());
    }
    let mut other = Lab { asker: Asker::new(settings(), 2, at(0)), ..Lab::new() };
    let mut same = Lab::new();
    other.fail("it is away");
    same.fail("it is away");
    assert_ne!(other.pause(), same.pause());
    lab.say(A);
    lab.fail("it is away");
    assert!(lab.pause() <= 5.5);
}

#[test]
fn a_long_interval_is_the_longest_pause() {
    let long = Settings { interval: Duration::from_secs(3600), ..settings() };
    let mut lab = Lab { asker: Asker::new(long, 1, at(0)), ..Lab::new() };
    for _ in 0..20 {
        lab.fail("it is away");
    }
    assert!((3240.0..=3960.0).contains(&lab.pause()), "{}", lab.pause());
}

#[test]
fn a_service_that_asks_to_be_left_alone_is_for_an_hour_at_most() {
    for (wanted, expected) in [(600, 600.0), (1_000_000, 3600.0)] {
        let mut lab = Lab::new();
        let retry_after = Some(Duration::from_secs(wanted));
        lab.answer(Err(Failure { why: "too many".to_owned(), retry_after }));
        assert_eq!(lab.pause(), expected);
    }
}

#[test]
fn a_reload_asks_again_what_failed() {
    let mut lab = Lab::new();
    lab.say(A);
    lab.asker.reconfigure(settings(), lab.now);
    assert_eq!(lab.pause(), 60.0);
    lab.fail("it is away");
    lab.asker.reconfigure(settings(), lab.now);
    assert_eq!(lab.pause(), 0.0);
    assert!(lab.asker.poll_request(lab.now));
    lab.asker.reconfigure(settings(), lab.now);
    assert!(!lab.asker.poll_request(lab.now), "an answer is awaited already");
}

#[test]
fn while_an_answer_is_awaited_nothing_is_reported_but_the_first() {
    let mut lab = Lab::new();
    assert!(lab.asker.poll_request(lab.now));
    assert_eq!(lab.asker.poll_report().expect("it says that it asks").state, SourceState::Asking);
    lab.asker.handle_answer(Ok(A.parse().expect("an address")), lab.now);
    assert!(lab.asker.poll_report().is_some());
    assert!(lab.asker.poll_request(at(60)) && !lab.asker.has_news());
}

#[test]
fn the_shortest_interval_and_the_longest_prefix_of_all_who_ask_count() {
    let prefix = |interval: u64, length: u8, url: &str| {
        let http = Http { url: url.to_owned(), prefix_length: length, interval: Duration::from_secs(interval) };
        DynamicPrefix {
            name: format!("p{interval}"),
            acquisition: Acquisition { http: Some(http), ..Acquisition::default() },
            address_ranges: Vec::new(),
            subnets: Vec::new(),
            transition: Transition::default(),
        }
    };
    let all = [prefix(60, 48, URL), prefix(30, 56, URL), prefix(10, 64, "http://other.example/")];
    let expected = Settings { interval: Duration::from_secs(30), ..settings() };
    assert_eq!(Settings::for_url(URL, &all), Some(expected));
    assert_eq!(Settings::for_url("http://nobody.example/", &all), None);
}
