//! The reader: text into tables with places, checked against the key table.
//!
//! After [`document`] every value that a getter of [`Table`] returns has the type that the key table asks for; a value of
//! another type was reported and is not returned. What the values mean is the business of [`super::check`].

use toml::de::{DeInteger, DeTable, DeValue};

use super::finding::{At, Report, SYNTAX, Span, quoted};
use super::keys::{KeySpec, ROOT, TableSpec, ValueKind};
use super::suggest::{enumerated, nearest};

/// A table of the file.
#[derive(Clone, Copy)]
pub(super) struct Table<'t> {
    spec: &'static TableSpec,
    entries: &'t DeTable<'t>,
    /// Its header, or the whole of an inline table.
    pub(super) span: Span,
}

/// Reports syntax errors; what could be read of the file is returned in any case.
pub(super) fn parse<'t>(text: &'t str, report: &mut Report<'_>) -> DeTable<'t> {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().map(Span::from).unwrap_or_default();
        let (message, hint) = plainly(error.message());
        report.error(SYNTAX, span, format!("not valid TOML: {message}")).hint(hint);
    }
    document.into_inner()
}

/// The parser's words, and what to do.
fn plainly(message: &str) -> (String, &'static str) {
    if message.starts_with("string values must be quoted") {
        let hint = "write a string as \"…\", a number or true and false without quotes";
        return ("there is no value here, or a string without quotes".to_owned(), hint);
    }
    if message.starts_with("duplicate key") {
        let hint = "a table has a key once: remove one of the two, or begin another table with [[…]]";
        return ("this key or table is written a second time".to_owned(), hint);
    }
    if message.starts_with("invalid basic string") && message.contains("expected `\"`") {
        return ("this string has no closing quote".to_owned(), "close it with \" on the same line");
    }
    // What was expected stands on a second line.
    (message.trim_end().replace('\n', "; "), "https://toml.io describes the format")
}

/// The top level of the file, after everything below it was compared with the key table.
pub(super) fn document<'t>(entries: &'t DeTable<'t>, report: &mut Report<'_>) -> Table<'t> {
    let root = Table { spec: &ROOT, entries, span: Span::default() };
    compare(root, report);
    root
}

impl<'t> Table<'t> {
    /// Whether the key is written, whatever its value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn text(&self, key: &str) -> Option<At<&'t str>> {
        let value = self.get(key)?;
        value.value.as_str().map(|text| value.with(text))
    }

    pub(super) fn boolean(&self, key: &str) -> Option<At<bool>> {
        let value = self.get(key)?;
        value.value.as_bool().map(|boolean| value.with(boolean))
    }

    /// An integer within the limits of the key table; one outside was reported.
    pub(super) fn integer<T: TryFrom<i128>>(&self, key: &str) -> Option<At<T>> {
        let value = self.get(key)?;
        let (ValueKind::Integer(min, max) | ValueKind::IntegerOrNone(min, max)) = self.spec.key(key)?.kind else {
            return None;
        };
        let number = signed(value.value.as_integer()?)?;
        let number = T::try_from(number).ok().filter(|_| (i128::from(min)..=i128::from(max)).contains(&number))?;
        Some(value.with(number))
    }

    /// The strings of a list, or a single string as a list of one.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<At<&'t str>>> {
        let value = self.get(key)?;
        items(value).into_iter().map(|item| item.value.as_str().map(|text| item.with(text))).collect()
    }

    /// The integers of a list, or a single integer as a list of one; [`unsigned`] reads them.
    pub(super) fn integers(&self, key: &str) -> Option<At<Vec<At<&'t DeInteger<'t>>>>> {
        let value = self.get(key)?;
        let integers: Option<Vec<_>> =
            items(value).into_iter().map(|item| item.value.as_integer().map(|integer| item.with(integer))).collect();
        integers.map(|integers| value.with(integers))
    }

    /// A value that may have one of several types.
    pub(super) fn value(&self, key: &str) -> Option<At<&'t DeValue<'t>>> {
        self.get(key)
    }

    pub(super) fn table(&self, key: &str) -> Option<Self> {
        let value = self.get(key)?;
        let spec = self.spec.key(key)?.kind.table()?;
        value.value.as_table().map(|entries| Self { spec, entries, span: value.span })
    }

    /// All tables of a list, under the key's name and its alias, in the order of the file.
    pub(super) fn tables(&self, key: &str) -> Vec<Self> {
        let Some((key, spec)) = self.spec.key(key).and_then(|key| Some((key, key.kind.table()?))) else {
            return Vec::new();
        };
        let mut tables: Vec<Self> = std::iter::once(key.name)
            .chain(key.alias)
            .filter_map(|name| self.entries.get(name))
            .flat_map(|value| items(at(value)))
            .filter_map(|item| item.value.as_table().map(|entries| Self { spec, entries, span: item.span }))
            .collect();
        tables.sort_by_key(|table| table.span.start);
        tables
    }

    fn get(&self, key: &str) -> Option<At<&'t DeValue<'t>>> {
        let key = self.spec.key(key)?;
        self.entries.get(key.name).or_else(|| self.entries.get(key.alias?)).map(at)
    }
}

fn at<'t>(value: &'t toml::Spanned<DeValue<'t>>) -> At<&'t DeValue<'t>> {
    At::new(value.get_ref(), value.span().into())
}

/// The items of a list; anything else is a list of one.
fn items<'t>(value: At<&'t DeValue<'t>>) -> Vec<At<&'t DeValue<'t>>> {
    match value.value.as_array() {
        Some(array) => array.iter().map(at).collect(),
        None => vec![value],
    }
}

/// The value of an integer that is not negative.
///
/// TOML promises 64 bits with a sign; a prefix has more addresses, so longer ones are read in full.
pub(super) fn unsigned(integer: &DeInteger<'_>) -> Option<u128> {
    u128::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn signed(integer: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// Compares a table and everything below it with the key table.
fn compare(table: Table<'_>, report: &mut Report<'_>) {
    for (key, value) in table.entries.iter() {
        let name = At::new(key.get_ref().as_ref(), key.span().into());
        match table.spec.key(name.value) {
            Some(spec) => compare_value(spec, at(value), report),
            None => refuse_key(table.spec, name, report),
        }
    }
    for key in table.spec.keys {
        compare_presence(table, key, report);
        compare_alias(table, key, report);
    }
}

fn refuse_key(spec: &TableSpec, name: At<&str>, report: &mut Report<'_>) {
    let found = report.error("unknown-key", name.span, format!("{} has no key {}", spec.title, quoted(name.value)));
    match nearest(name.value, spec.keys.iter().flat_map(|key| std::iter::once(key.name).chain(key.alias))) {
        Some(meant) => found.hint(format!("did you mean `{meant}`? Valid here: {}", spec.names())),
        None => found.hint(format!("valid here: {}", spec.names())),
    }
}

fn compare_presence(table: Table<'_>, key: &KeySpec, report: &mut Report<'_>) {
    if key.required && !table.has(key.name) {
        report
            .error("missing-key", table.span, format!("{} needs the key `{}`", table.spec.title, key.name))
            .hint(format!("add `{}`: {}. {}", key.name, key.kind.wanted(), key.help));
    }
}

/// A list may be written under both names; anything else has one value.
fn compare_alias(table: Table<'_>, key: &KeySpec, report: &mut Report<'_>) {
    let Some(alias) = key.alias.filter(|_| !matches!(key.kind, ValueKind::Tables(_))) else {
        return;
    };
    let place = |name: &str| table.entries.get_key_value(name).map(|(key, _)| Span::from(key.span()));
    if let Some((first, second)) = place(key.name).zip(place(alias)) {
        let line = report.line(first);
        report
            .error("two-names", second, format!("`{alias}` is another name of `{}`, which is at line {line}", key.name))
            .hint("keep one of the two");
    }
}

fn compare_value(key: &KeySpec, value: At<&DeValue<'_>>, report: &mut Report<'_>) {
    match key.kind {
        ValueKind::Text => want(value.value.is_str(), key, value, report),
        ValueKind::Boolean => want(value.value.is_bool(), key, value, report),
        ValueKind::Choice(values) => compare_choice(key, values, value, report),
        ValueKind::Integer(min, max) => compare_integer(key, min, max, value, report),
        ValueKind::IntegerOrNone(min, max) => {
            if value.value.as_str() != Some("none") {
                compare_integer(key, min, max, value, report);
            }
        }
        ValueKind::Texts => match value.value.as_array() {
            Some(_) => compare_items(key, value, |item| item.is_str(), report),
            None => want(false, key, value, report),
        },
        ValueKind::Names => compare_items(key, value, |item| item.is_str(), report),
        ValueKind::Indexes => compare_items(key, value, |item| item.is_integer(), report),
        ValueKind::Amount => want(value.value.is_str() || value.value.is_integer(), key, value, report),
        ValueKind::Table(spec) => compare_table(key, spec, value, report),
        ValueKind::Tables(spec) => compare_tables(key, spec, value, report),
        ValueKind::TextOrTable(spec) => {
            if !value.value.is_str() {
                compare_table(key, spec, value, report);
            }
        }
    }
}

fn want(right: bool, key: &KeySpec, value: At<&DeValue<'_>>, report: &mut Report<'_>) {
    if right {
        return;
    }
    report
        .error(
            "wrong-type",
            value.span,
            format!("`{}` must be {}, found {}", key.name, key.kind.wanted(), described(value.value)),
        )
        .hint(format!("{}: {}", key.name, key.help));
}

fn compare_items(key: &KeySpec, value: At<&DeValue<'_>>, right: fn(&DeValue<'_>) -> bool, report: &mut Report<'_>) {
    for item in items(value) {
        want(right(item.value), key, item, report);
    }
}

fn compare_choice(key: &KeySpec, values: &'static [&'static str], value: At<&DeValue<'_>>, report: &mut Report<'_>) {
    let Some(text) = value.value.as_str() else {
        return want(false, key, value, report);
    };
    choose(key.name, values, value.with(text), report);
}

/// The one of `values` that is written, or a finding.
pub(super) fn choose(
    name: &str,
    values: &'static [&'static str],
    text: At<&str>,
    report: &mut Report<'_>,
) -> Option<&'static str> {
    if let Some(value) = values.iter().find(|value| **value == text.value) {
        return Some(value);
    }
    let written = quoted(text.value);
    let valid = enumerated(values.iter().copied());
    let found = report.error("wrong-value", text.span, format!("`{name}` cannot be {written}"));
    match nearest(text.value, values.iter().copied()) {
        Some(meant) => found.hint(format!("did you mean \"{meant}\"? Valid: {valid}")),
        None => found.hint(format!("valid: {valid}")),
    }
    None
}

fn compare_integer(key: &KeySpec, min: i64, max: i64, value: At<&DeValue<'_>>, report: &mut Report<'_>) {
    let Some(integer) = value.value.as_integer() else {
        return want(false, key, value, report);
    };
    if signed(integer).is_some_and(|number| (i128::from(min)..=i128::from(max)).contains(&number)) {
        return;
    }
    report
        .error("wrong-value", value.span, format!("`{}` must be {}, found {integer}", key.name, key.kind.wanted()))
        .hint(format!("{}: {}", key.name, key.help));
}

fn compare_table(key: &KeySpec, spec: &'static TableSpec, value: At<&DeValue<'_>>, report: &mut Report<'_>) {
    if let Some(entries) = value.value.as_table() {
        return compare(Table { spec, entries, span: value.span }, report);
    }
    let is_list_of_tables = matches!(key.kind, ValueKind::Table(_))
        && value.value.as_array().is_some_and(|list| list.iter().any(|item| item.get_ref().is_table()));
    if is_list_of_tables {
        report
            .error("wrong-type", value.span, format!("there is one `{}`, not a list of them", key.name))
            .hint(format!("write it once, as {}", spec.title));
        return;
    }
    want(false, key, value, report);
}

fn compare_tables(key: &KeySpec, spec: &'static TableSpec, value: At<&DeValue<'_>>, report: &mut Report<'_>) {
    if value.value.is_table() {
        report
            .error("wrong-type", value.span, format!("`{}` is a list: there can be several", key.name))
            .hint(format!("write {}, with double brackets", spec.title));
    }
    for item in items(value) {
        match item.value.as_table() {
            Some(entries) => compare(Table { spec, entries, span: item.span }, report),
            None => want(false, key, item, report),
        }
    }
}

fn described(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string {}", quoted(text)),
        DeValue::Integer(integer) => format!("the integer {integer}"),
        DeValue::Float(float) => format!("the number {float}"),
        DeValue::Boolean(boolean) => format!("{boolean}"),
        DeValue::Datetime(datetime) => format!("the date or time {datetime}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
