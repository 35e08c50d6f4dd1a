//! The files in which another DHCPv6 client keeps its leases: whether the daemon may read them (acquisition.observe).
//!
//! It is no fault that it may not, and so with dhcpcd almost everywhere: the delegation is known without. What is not, right
//! after a start, a hook of that client can tell.

use super::reading::{self, Account, File};
use super::{Check, Finding, Level};
use crate::source::observe::Program;

/// What is known of the client on one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The interface.
    pub interface: String,
    /// Who the daemon is; `None`: nobody knows.
    pub account: Option<Account>,
    /// The client that runs or is configured there, in words; `None`: nobody was found.
    pub client: Option<String>,
    /// The files that are there, with who writes them.
    pub files: Vec<(Program, File)>,
}

/// Looks at each file.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let Some(account) = &facts.account else { return Vec::new() };
    // A program that has left its files behind needs no hook.
    let is_its = |program: Program| facts.client.as_ref().is_none_or(|client| client.contains(program.name()));
    let files = facts.files.iter().filter(|(program, _)| is_its(*program));
    files.map(|(program, file)| one(&facts.interface, account, *program, file)).collect()
}

fn one(interface: &str, account: &Account, program: Program, file: &File) -> Finding {
    let (name, path) = (program.name(), file.path.display());
    let subject = path.to_string();
    let refusal = reading::check(Check::LeaseFile, account, std::slice::from_ref(file)).pop();
    let Some(refusal) = refusal else {
        let message = format!("The user {} can read {path}, the leases of {name}.", account.user);
        return Finding::ok(Check::LeaseFile, subject, message);
    };
    if refusal.level == Level::Unseen {
        return refusal;
    }
    let message = format!(
        "{} Until {name} next speaks with its server, a daemon that was just started knows the delegation on {interface} by \
         routes, addresses and its own record alone.",
        refusal.message
    );
    // Its owner writes it anew now and then: what one gave it would not last.
    let mut advice = format!(
        "Let {name} tell it: copy examples/hooks/{name} (below /usr/share/doc/dyn-prefix) to {}, or append it to what is \
         there, and write the name of the dynamicPrefix into it.",
        program.hook()
    );
    if let Some(group) = group(account, file) {
        advice += &format!(
            " Or run `systemctl edit dyn-prefix`, write `[Service]` and `SupplementaryGroups={group}` on a line each, and \
             restart dyn-prefix, which may then read all that this group may."
        );
    }
    Finding { advice: Some(advice), ..Finding::note(Check::LeaseFile, subject, message) }
}

/// The group whose members may read it.
fn group<'a>(account: &Account, file: &'a File) -> Option<&'a str> {
    // What only the group root may read is not meant for anybody else.
    let target = file.steps.last().filter(|target| target.group.0 != 0)?;
    let mut member = account.clone();
    member.gids.insert(target.group.0);
    let may = reading::check(Check::LeaseFile, &member, std::slice::from_ref(file)).is_empty();
    may.then_some(target.group.1.as_str())
}
