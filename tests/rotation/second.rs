//! A second DynamicPrefix beside the one that the router announces: it stands in the file, and changes when it likes.

use anyhow::{Context as _, Result};
use ipnet::Ipv6Net;

use crate::generations::Of;
use crate::services::of_two;
use crate::story::Story;
use crate::world::Setup;

/// The prefix that it is, and those that it was.
#[derive(Clone, Debug)]
pub(crate) struct Second {
    pub(crate) current: Ipv6Net,
    pub(crate) former: Vec<Ipv6Net>,
    transition: String,
}

impl Second {
    /// The first one.
    pub(crate) fn new(transition: &str) -> Result<Self> {
        Ok(Self { current: prefix(0)?, former: Vec::new(), transition: transition.to_owned() })
    }
}

fn prefix(number: usize) -> Result<Ipv6Net> {
    Ok(format!("2001:db8:{:x}::/64", 0x5000 + number).parse()?)
}

impl Story<'_> {
    /// There is a second one from now on.
    pub(crate) fn with_second(&mut self, second: Second) -> Result<()> {
        self.monitor.announce(Of::Second, second.current, &[])?;
        self.second = Some(second);
        self.configure_second()
    }

    /// Two of three times it changes with the other one, to a new prefix or back to the one before.
    pub(crate) fn rotate_second(&mut self) -> Result<()> {
        self.turns += 1;
        let number = self.turns;
        let Some(second) = self.second.as_mut().filter(|_| number % 3 != 2) else { return Ok(()) };
        let next = match second.former.last().copied().filter(|_| number % 4 == 3) {
            Some(net) => net,
            None => prefix(number)?,
        };
        let before = std::mem::replace(&mut second.current, next);
        second.former.retain(|net| *net != next);
        second.former.push(before);
        self.monitor.note(&format!("=== the second prefix: {before} -> {next}"));
        self.monitor.announce(Of::Second, next, &[])?;
        self.tally.second += 1;
        self.world.wait_heard()?;
        self.configure_second()?;
        self.world.reload()
    }

    fn configure_second(&self) -> Result<()> {
        let second = self.second.as_ref().context("there are two")?;
        let (acquisition, transition) = (self.source.acquisition(), second.transition.clone());
        self.world.configure(&Setup { acquisition, transition, second: Some(second.current) }, &of_two())
    }
}
