//! What is asked of servers, and what it means that nobody could be asked.

use super::*;

fn look(name: &str, interface_name: &str) -> Look {
    let auto = format!("{{ auto = {{ interface = {interface_name:?} }} }}");
    let text = AUTO.replace("\"auto\"", &auto).replace("\"home\"", &format!("{name:?}"));
    let prefix = config(&text).dynamic_prefixes.remove(0);
    Look { prefix, is_told: false, seen: vec![interface("wan"), interface("lan")] }
}

fn made(looks: &[Look], answer: Answer) -> Vec<String> {
    let answers = BTreeMap::from([("wan".to_owned(), answer)]);
    let text = |(name, outcome): (String, Result<Chosen, String>)| match outcome {
        Ok(chosen) => format!("{name}: {}", chosen.id()),
        Err(why) => format!("{name}: {why}"),
    };
    outcomes(looks, &answers).into_iter().map(text).collect()
}

/// Two sockets for one port: the second would get EADDRINUSE from the first.
#[test]
fn an_interface_is_asked_on_once_for_all() {
    let looks = [look("home", "wan"), look("work", "wan"), look("guests", "lan")];
    let asked: Vec<(String, &str)> =
        questions(&looks).into_iter().map(|(interface, prefix)| (interface, prefix.name.as_str())).collect();
    assert_eq!(asked, [("lan".to_owned(), "guests"), ("wan".to_owned(), "home")]);
    let both = made(&looks[..2], Answer::Server);
    assert_eq!(both, ["home: dhcpv6-pd on wan", "work: dhcpv6-pd on wan"]);
}

#[test]
fn that_nobody_could_be_asked_is_no_silence() {
    let looks = [look("home", "wan")];
    assert_eq!(made(&looks, Answer::Silence), ["home: router-advertisement on wan"]);
    let why = "UDP port 546 on wan is taken.".to_owned();
    assert_eq!(
        made(&looks, Answer::NotAsked(why)),
        ["home: whether a DHCPv6 server on wan has a prefix could not be asked: UDP port 546 on wan is taken"]
    );
}

#[test]
fn a_client_of_our_own_is_the_answer() {
    let (own, none) = (BTreeSet::from(["wan".to_owned()]), BTreeSet::new());
    assert_eq!(known_answer("wan", &own, &own), Some(Answer::Own));
    assert_eq!(made(&[look("home", "wan")], Answer::Own), ["home: dhcpv6-pd on wan"]);
    assert!(matches!(known_answer("wan", &none, &own), Some(Answer::NotAsked(_))), "nobody answered just now");
    assert_eq!(known_answer("wan", &none, &none), None);
}
