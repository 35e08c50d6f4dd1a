//! k6u: the /64 of some numbers, in CiliumCIDRGroups.

use std::collections::BTreeSet;

use super::fields::Fields;
use super::page::{self, Page};
use super::yaml::Node;
use super::{Draft, Known, spec_of};

/// What the DynamicPrefix is called: k6u has no name for it.
const NAME: &str = "k6u";

/// IP6UpdateNodeConfig: which interface has the prefix.
pub(super) fn node_config(draft: &mut Draft, document: Node) {
    let line = document.line;
    let mut page = Page::default();
    let Some((name, mut spec)) = spec_of(document, draft, &mut page) else { return };
    if let Some(interface) = spec.need_text("interface", draft) {
        draft.interfaces.push((interface, line));
    }
    if let Some(selector) = spec.take("nodeSelector") {
        page.comment(&format!(
            "IP6UpdateNodeConfig/{name}: nodeSelector (line {}) said which node looks at its interface. Here it is the host \
             that dyn-prefix runs on.",
            selector.line
        ));
    }
    spec.rest(&mut page);
    draft.left_out.append(page);
}

/// IP6UpdateConfig: which numbers go into which group.
pub(super) fn config(draft: &mut Draft, document: Node) {
    let line = document.line;
    let mut page = Page::default();
    let Some((written, mut spec)) = spec_of(document, draft, &mut page) else { return };
    if draft.known.contains_key(NAME) {
        return draft.problem(line, "there are two IP6UpdateConfig; k6u refuses that, too");
    }
    let Some((length, at)) = spec.take_integer("delegatedPrefixLength", draft) else {
        return draft.problem(line, "spec.delegatedPrefixLength is missing");
    };
    let Some(length) = u8::try_from(length).ok().filter(|length| (1..=64).contains(length)) else {
        return draft.problem(at, format!("delegatedPrefixLength is {length}, and should be 1 to 64"));
    };
    page.comment(&format!("IP6UpdateConfig/{written} (line {line})."));
    page.line("[[dynamicPrefix]]");
    page.entry("name", &page::text(NAME));
    page.blank();
    page.line("[dynamicPrefix.acquisition.routerAdvertisement]");
    page.comment(
        "k6u looked at the first address of the interface every ten seconds, also at one that is deprecated. Here Router \
         Advertisements are listened to, and their lifetimes count.",
    );
    interface(draft, &mut page);
    page.entry("delegatedPrefixLength", &length.to_string());
    draft.known.insert(NAME.to_owned(), Known { name: NAME.to_owned(), ..Known::default() });
    let mut names = BTreeSet::new();
    for group in spec.take_tables("ciliumCIDRGroups", draft) {
        self::group(group, length, &mut names, draft, &mut page);
    }
    spec.rest(&mut page);
    page.blank();
    draft.prefixes.append(page);
}

fn interface(draft: &Draft, page: &mut Page) {
    let mut interfaces = draft.interfaces.iter();
    match interfaces.next() {
        Some((interface, _)) => page.entry("interface", &page::text(interface)),
        None => {
            page.comment("There was no IP6UpdateNodeConfig: put in the interface that has the prefix.");
            page.entry("interface", &page::text("eth0"));
        }
    }
    for (interface, line) in interfaces {
        page.comment(&format!("Another node looked at {interface} (line {line}). This is for one host."));
    }
}

fn group(mut fields: Fields, length: u8, names: &mut BTreeSet<String>, draft: &mut Draft, page: &mut Page) {
    let line = fields.line();
    let Some(group) = fields.need_text("ciliumCIDRGroupName", draft) else { return };
    let Some(list) = fields.take("prefixIds") else {
        return draft.problem(line, format!("prefixIds of {group} are missing"));
    };
    let most = 1_i128 << (64 - length);
    let (mut ids, mut beyond) = (Vec::new(), Vec::new());
    for item in list.list().unwrap_or_default() {
        match item.integer() {
            Some(id) if (0..most).contains(&id) && !ids.contains(&id) => ids.push(id),
            Some(id) if (0..most).contains(&id) => {}
            Some(id) if id >= 0 => beyond.push(id.to_string()),
            _ => draft
                .problem(item.line, format!("a prefixId of {group} is {}, and should be an integer", item.written())),
        }
    }
    page.blank();
    if !beyond.is_empty() {
        page.comment(&format!(
            "{group}: k6u also took the /64 with the number {}, which a /{length} does not have: it belongs to somebody else.",
            beyond.join(", ")
        ));
    }
    fields.rest(page);
    if ids.is_empty() {
        return page.comment(&format!("{group} (line {line}) has no prefixIds, and is left out."));
    }
    let name = page::name(&group);
    if !names.insert(name.clone()) {
        return draft.problem(line, format!("{group} is there twice; k6u refuses that, too"));
    }
    page.line("[[dynamicPrefix.subnets]]");
    page.entry("name", &page::text(&name));
    page.entry("index", &format!("[{}]", ids.iter().map(i128::to_string).collect::<Vec<_>>().join(", ")));
    page.entry("prefixLength", "64");
    draft
        .bindings
        .comment("k6u made this the whole list, and so does Replace. With Append what you write there stays.");
    draft.bindings.line("[[binding]]");
    draft.bindings.entry("prefixRef", &page::text(&format!("{NAME}/{name}")));
    draft.bindings.entry("target", &page::text(&format!("CiliumCIDRGroup/{group}")));
    draft.bindings.entry("updateStrategy", &page::text("Replace"));
    draft.bindings.blank();
}
