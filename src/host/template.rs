//! Templates of files: text with references like `${home-ipv6/loadbalancers.cidrs}`.
//!
//! | reference | what stands for it |
//! |---|---|
//! | `${NAME.current}` | the prefix in use; nothing, when there is none |
//! | `${NAME.draining}`, `${NAME.all}` | the former prefixes that drain, newest first; the same after the one in use |
//! | `${NAME.state}` | `in-use`, `lost` or `none` |
//! | `${NAME.current+::2}` | the address with this host part; so with `draining` and `all` |
//! | `${NAME/PART.cidrs}` | the CIDRs of a range or subnet in the prefix in use |
//! | `${NAME/PART.draining}`, `${NAME/PART.all}` | the same in the prefixes that drain; in all |
//! | `${NAME/PART.start}`, `${NAME/PART.end}` | its first and last address in the prefix in use |
//! | `${*REFERENCE}` | its line once for each, and not at all when there is none |
//! | `$${` | `${` |
//!
//! Several are joined by ", ". It is a language of our own because a name that does not exist is to be found before
//! anything is written, with its place, and because hosts have names with a `-` that the expressions of the usual engines
//! take for a minus. The smallest of those would make the program larger by a twentieth besides.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::ops::Range;

use super::Facts;
use crate::plan::{ComputedGeneration, Role, cidrs, range};

mod parse;

pub use parse::{Fault, Names};

/// No file that follows a prefix is longer. A template of a megabyte could ask for more than the memory of the host: each
/// reference may stand for thousands of addresses, and a line with a `*` stands once for each.
const LONGEST: usize = 8 << 20;

/// A template that was read: every name in it exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    lines: Vec<Line>,
    /// Why it cannot be filled in, whatever the prefix is.
    fault: Option<String>,
}

/// A line with its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Line {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Reference(Reference),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Reference {
    /// As it is written, for messages.
    written: String,
    /// Whether its line stands once for each.
    is_each: bool,
    dynamic_prefix: String,
    part: Option<String>,
    field: Field,
    /// The host part of an address.
    suffix: Option<Ipv6Addr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Current,
    Draining,
    All,
    State,
    Start,
    End,
}

/// Why a template has no text now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unrendered {
    /// Nothing is known of this DynamicPrefix yet.
    NoOpinion(String),
    /// A reference cannot be computed; a sentence.
    Error(String),
}

impl Template {
    /// Reads a template. Every reference has to be to one of `names`.
    ///
    /// # Errors
    /// All that is wrong with it, each with its place in the text.
    pub fn parse(text: &str, names: &Names<'_>) -> Result<Self, Vec<Fault>> {
        parse::template(text, names)
    }

    /// One that could not be read: `why`.
    pub fn unusable(why: &str) -> Self {
        let fault = format!("when the configuration was read, {why}; mend that, then reload the daemon.");
        Self { lines: Vec::new(), fault: Some(fault) }
    }

    /// Fills in what is known.
    ///
    /// # Errors
    /// When it cannot be: then the file is to be left as it is.
    pub fn render(&self, facts: &BTreeMap<String, Facts>) -> Result<String, Unrendered> {
        if let Some(fault) = &self.fault {
            return Err(Unrendered::Error(fault.clone()));
        }
        let mut out = String::new();
        for line in &self.lines {
            line.render(facts, &mut out)?;
        }
        Ok(out)
    }
}

impl Line {
    fn render(&self, facts: &BTreeMap<String, Facts>, out: &mut String) -> Result<(), Unrendered> {
        let (mut rounds, mut values, mut length) = (1, Vec::new(), 0);
        for piece in &self.pieces {
            let Piece::Reference(reference) = piece else { continue };
            let value = reference.values(facts)?;
            length += value.iter().map(String::len).sum::<usize>();
            is_bearable(length)?;
            if reference.is_each {
                rounds = value.len();
            }
            values.push(value);
        }
        let has_end =
            self.pieces.last().is_some_and(|piece| matches!(piece, Piece::Text(text) if text.ends_with('\n')));
        for round in 0..rounds {
            is_bearable(out.len())?;
            // The last line of a text may have no end, and cannot stand twice without one.
            if round > 0 && !has_end {
                out.push('\n');
            }
            let mut values = values.iter();
            for piece in &self.pieces {
                match piece {
                    Piece::Text(text) => out.push_str(text),
                    Piece::Reference(reference) => {
                        let value = values.next().map(Vec::as_slice).unwrap_or_default();
                        let one = reference.is_each.then(|| value.get(round).cloned().unwrap_or_default());
                        out.push_str(&one.unwrap_or_else(|| value.join(", ")));
                    }
                }
            }
        }
        is_bearable(out.len())
    }
}

fn is_bearable(length: usize) -> Result<(), Unrendered> {
    let why = || "its text would be longer than 8 MiB; ask for fewer ranges in the template.".to_owned();
    if length > LONGEST { Err(Unrendered::Error(why())) } else { Ok(()) }
}

impl Reference {
    fn values(&self, facts: &BTreeMap<String, Facts>) -> Result<Vec<String>, Unrendered> {
        let Some(facts) = facts.get(&self.dynamic_prefix) else {
            return Err(Unrendered::NoOpinion(self.dynamic_prefix.clone()));
        };
        if self.field == Field::State {
            return Ok(vec![facts.state().to_owned()]);
        }
        let wanted = |generation: &&ComputedGeneration| match self.field {
            Field::Draining => generation.role == Role::Draining,
            Field::All => true,
            Field::Current | Field::Start | Field::End | Field::State => generation.role == Role::Current,
        };
        let each: Result<Vec<Vec<String>>, Unrendered> =
            facts.generations.iter().filter(wanted).map(|generation| self.in_generation(generation)).collect();
        Ok(each?.concat())
    }

    fn in_generation(&self, generation: &ComputedGeneration) -> Result<Vec<String>, Unrendered> {
        let error = |why: &str| {
            let written = &self.written;
            Unrendered::Error(format!("{written} cannot be computed in {}: {why}", generation.prefix))
        };
        if let Some(part) = &self.part {
            let blocks = generation.part(part).map_err(|why| error(&why.message))?;
            return Ok(match self.field {
                Field::Start => blocks.iter().map(|block| block.interval().first()).min().iter().map(text).collect(),
                Field::End => blocks.iter().map(|block| block.interval().last()).max().iter().map(text).collect(),
                Field::Current | Field::Draining | Field::All | Field::State => cidrs(blocks),
            });
        }
        match self.suffix {
            Some(suffix) => match range::join(generation.prefix, suffix) {
                Ok(address) => Ok(vec![address.to_string()]),
                Err(why) => Err(error(&format!("{why}."))),
            },
            None => Ok(vec![generation.prefix.to_string()]),
        }
    }
}

fn text(address: &Ipv6Addr) -> String {
    address.to_string()
}

/// A piece of a text, in bytes.
pub(super) type Place = Range<usize>;
