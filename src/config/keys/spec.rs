//! What the key table is made of.

/// A table of the file.
#[derive(Debug)]
pub struct TableSpec {
    /// How it is written: `[[cluster]]`.
    pub title: &'static str,
    /// What it is for, one line.
    pub help: &'static str,
    /// Its keys, in the order in which they are documented.
    pub keys: &'static [KeySpec],
}

/// A key of a table.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// Its name.
    pub name: &'static str,
    /// Another name that is accepted.
    pub alias: Option<&'static str>,
    /// What it holds.
    pub kind: ValueKind,
    /// Whether it has to be there.
    pub required: bool,
    /// What holds when it is absent.
    pub default: Option<&'static str>,
    /// What it is for, one line.
    pub help: &'static str,
}

/// What a key holds.
#[derive(Clone, Copy, Debug)]
pub enum ValueKind {
    /// A string.
    Text,
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// true or false.
    Boolean,
    /// An integer from the first to the second, both included.
    Integer(i64, i64),
    /// Such an integer, or "none".
    IntegerOrNone(i64, i64),
    /// A list of strings.
    Texts,
    /// A string or a list of strings.
    Names,
    /// A number of addresses up to 2^128 - 1: an integer, or a string with one, or an IPv6-style string.
    Amount,
    /// An integer from 0, or a list of them.
    Indexes,
    /// A table.
    Table(&'static TableSpec),
    /// A list of tables.
    Tables(&'static TableSpec),
    /// A string, or a table that says the same at length.
    TextOrTable(&'static TableSpec),
}

impl ValueKind {
    /// What is wanted, for "must be …".
    pub fn wanted(self) -> String {
        match self {
            Self::Text => "a string".to_owned(),
            Self::Choice(values) => values.iter().map(|value| format!("\"{value}\"")).collect::<Vec<_>>().join(" or "),
            Self::Boolean => "true or false".to_owned(),
            Self::Integer(min, max) => format!("an integer from {min} to {max}"),
            Self::IntegerOrNone(min, max) => format!("an integer from {min} to {max}, or \"none\""),
            Self::Texts => "a list of strings".to_owned(),
            Self::Names => "a string or a list of strings".to_owned(),
            Self::Amount => "a number of addresses: an integer, or a string like \"0:0:0:1::\"".to_owned(),
            Self::Indexes => "an integer from 0, or a list of them".to_owned(),
            Self::Table(table) => format!("a table, written as {}", table.title),
            Self::Tables(table) => format!("a list of tables, each written as {}", table.title),
            Self::TextOrTable(table) => format!("a string, or a table with {}", table.names()),
        }
    }

    /// The table below this key.
    pub const fn table(self) -> Option<&'static TableSpec> {
        match self {
            Self::Table(table) | Self::Tables(table) | Self::TextOrTable(table) => Some(table),
            Self::Text
            | Self::Choice(..)
            | Self::Boolean
            | Self::Integer(..)
            | Self::IntegerOrNone(..)
            | Self::Texts
            | Self::Names
            | Self::Amount
            | Self::Indexes => None,
        }
    }
}

impl TableSpec {
    /// The key of this name or alias.
    pub fn key(&self, name: &str) -> Option<&'static KeySpec> {
        self.keys.iter().find(|key| key.name == name || key.alias == Some(name))
    }

    /// The names of its keys, separated by commas.
    pub fn names(&self) -> String {
        self.keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
    }
}

pub(super) const fn key(name: &'static str, kind: ValueKind, help: &'static str) -> KeySpec {
    KeySpec { name, alias: None, kind, required: false, default: None, help }
}

impl KeySpec {
    pub(super) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    pub(super) const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    pub(super) const fn also(self, alias: &'static str) -> Self {
        Self { alias: Some(alias), ..self }
    }
}
