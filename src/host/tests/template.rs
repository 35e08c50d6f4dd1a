//! Templates: what stands for a reference, and what is wrong with one.

use std::collections::BTreeMap;

use super::world::{A, B, C, config, facts_of};
use crate::host::Facts;
use crate::host::template::{Fault, Template, Unrendered};

fn parse(text: &str) -> Result<Template, Vec<Fault>> {
    let names = [("home-ipv6", vec!["load-balancers", "web"]), ("lab", vec![])].into();
    Template::parse(text, &names)
}

fn render(text: &str, prefixes: &[&str]) -> String {
    let facts: BTreeMap<String, Facts> =
        [("home-ipv6".to_owned(), facts_of(&config("").dynamic_prefixes[0], prefixes))].into();
    parse(text).unwrap().render(&facts).unwrap()
}

#[test]
fn every_reference_has_its_value() {
    let values = [
        ("${home-ipv6.current}", "2001:db8:b::/56"),
        ("${home-ipv6.draining}", "2001:db8:a::/56"),
        ("${home-ipv6.all}", "2001:db8:b::/56, 2001:db8:a::/56"),
        ("${home-ipv6.state}", "in-use"),
        ("${home-ipv6.current+::5:0:0:0:2}", "2001:db8:b:5::2"),
        ("${home-ipv6.all+::2}", "2001:db8:b::2, 2001:db8:a::2"),
        ("${home-ipv6/web.cidrs}", "2001:db8:b:5::/64"),
        ("${home-ipv6/web.draining}", "2001:db8:a:5::/64"),
        ("${home-ipv6/web.all}", "2001:db8:b:5::/64, 2001:db8:a:5::/64"),
        ("${home-ipv6/load-balancers.start}", "2001:db8:b:0:f000::"),
        ("${home-ipv6/load-balancers.end}", "2001:db8:b:0:f000::ffff"),
        ("${home-ipv6/load-balancers.cidrs}", "2001:db8:b:0:f000::/112"),
    ];
    for (text, value) in values {
        assert_eq!(render(&format!("a {text} z\n"), &[B, A]), format!("a {value} z\n"), "{text}");
    }
}

#[test]
fn without_a_prefix_a_value_is_empty() {
    assert_eq!(render("<${home-ipv6.current}${home-ipv6/web.all}${home-ipv6.current+::2}>", &[]), "<>");
    assert_eq!(render("${home-ipv6.state}", &[]), "none");
}

#[test]
fn a_line_stands_once_for_each() {
    let text = "begin\n  add { ${*home-ipv6/web.all} } # ${home-ipv6.current}\nend";
    assert_eq!(
        render(text, &[C, B]),
        "begin\n  add { 2001:db8:c:5::/64 } # 2001:db8:c::/56\n  add { 2001:db8:b:5::/64 } # 2001:db8:c::/56\nend"
    );
    assert_eq!(render(text, &[]), "begin\nend");
    assert_eq!(render("${*home-ipv6.all}", &[B, A]), "2001:db8:b::/56\n2001:db8:a::/56");
    assert_eq!(render("x ${*home-ipv6.current+::2}\r\n", &[B, A]), "x 2001:db8:b::2\r\n");
}

#[test]
fn what_is_no_reference_stays_as_it_is() {
    for text in ["", "\n", "a $ b $x $$ {home}\n", "100 €\n\n\t#\n"] {
        assert_eq!(render(text, &[A]), text);
    }
    assert_eq!(render("$${home-ipv6.current} ${home-ipv6.current}", &[A]), "${home-ipv6.current} 2001:db8:a::/56");
}

#[test]
fn a_reference_to_what_is_not_known_yet_leaves_the_file_alone() {
    let facts = BTreeMap::new();
    let rendered = parse("${lab.current}").unwrap().render(&facts);
    assert_eq!(rendered, Err(Unrendered::NoOpinion("lab".to_owned())));
    assert_eq!(parse("nothing").unwrap().render(&facts).as_deref(), Ok("nothing"));
}

/// A template is a megabyte at most; what stands for its references may be anything.
#[test]
fn what_would_fill_the_memory_is_not_filled_in() {
    let many: Vec<String> = (1..=20).map(|number| format!("2001:db8:{number}::/56")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let facts: BTreeMap<String, Facts> =
        [("home-ipv6".to_owned(), facts_of(&config("").dynamic_prefixes[0], &many))].into();
    let rendered = |text: &str| parse(text).unwrap().render(&facts);
    let megabyte = "x".repeat(1 << 20);
    for text in [
        "${home-ipv6.all}".repeat(40_000),
        format!("${{*home-ipv6.all}}{megabyte}"),
        "${home-ipv6.all}\n".repeat(40_000),
    ] {
        let Err(Unrendered::Error(why)) = rendered(&text) else { panic!("{} bytes of template", text.len()) };
        assert!(why.contains("longer than 8 MiB"), "{why}");
    }
    assert_eq!(rendered(&megabyte).map(|text| text.len()), Ok(1 << 20));
}

#[test]
fn every_mistake_has_its_place() {
    let wrong = [
        ("a ${home-ipv6.current", 2..21, "has no end"),
        ("é ${home.current}\n", 3..18, "there is no dynamicPrefix \"home\""),
        ("${home-ipv6/dmz.cidrs}", 0..22, "has no range or subnet \"dmz\""),
        ("${lab/web.cidrs}", 0..16, "has no range or subnet \"web\""),
        ("${home-ipv6.cidrs}", 0..18, "a dynamicPrefix has no \"cidrs\""),
        ("${home-ipv6/web.current}", 0..24, "a range or subnet has no \"current\""),
        ("${home-ipv6}", 0..12, "does not say what of it is wanted"),
        ("${}", 0..3, "does not say what of it is wanted"),
        ("${home-ipv6.current+2}", 0..22, "\"2\" is no host part"),
        ("${home-ipv6/web.cidrs+::2}", 0..26, "only a prefix and a host part are an address"),
        ("${home-ipv6.state+::2}", 0..22, "only a prefix and a host part are an address"),
        ("x\n${*home-ipv6.all} ${*home-ipv6.all}\n", 20..37, "the second ${*"),
    ];
    for (text, place, message) in wrong {
        let faults = parse(text).expect_err(text);
        assert_eq!((faults.len(), faults[0].place.clone()), (1, place), "{text}: {faults:?}");
        assert!(faults[0].message.contains(message), "{text}: {faults:?}");
        assert!(!faults[0].hint.is_empty());
    }
    assert_eq!(parse("${a.b}\n${c.d} ${e.f}\n").unwrap_err().len(), 3, "all are found");
}

proptest::proptest! {
    #[test]
    fn no_text_is_too_much(text in "(\\$|\\{|\\}|\\*|\\+|\\.|/|:|home-ipv6|web|current|cidrs|é|\n| ){0,40}") {
        match parse(&text) {
            Ok(template) => {
                let prefix = &config("").dynamic_prefixes[0];
                let facts = [("home-ipv6".to_owned(), facts_of(prefix, &[A])), ("lab".to_owned(), Facts::default())];
                let _any = template.render(&facts.into());
            }
            Err(faults) => {
                for fault in faults {
                    proptest::prop_assert!(text.get(fault.place.clone()).is_some(), "{fault:?} in {text:?}");
                }
            }
        }
    }
}
