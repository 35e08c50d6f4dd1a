//! The fields of a mapping, taken one by one, so that what nobody has taken can be said.

use super::Draft;
use super::page::Page;
use super::yaml::Node;

/// What is left of a mapping.
#[derive(Debug)]
pub(super) struct Fields {
    path: String,
    line: usize,
    entries: Vec<(String, Node)>,
}

impl Fields {
    /// Of a node that is a mapping; of any other there is nothing.
    pub(super) fn new(node: Node, path: &str) -> Self {
        Self { path: path.to_owned(), line: node.line, entries: node.into_map().unwrap_or_default() }
    }

    pub(super) fn nothing(path: &str, line: usize) -> Self {
        Self { path: path.to_owned(), line, entries: Vec::new() }
    }

    pub(super) const fn line(&self) -> usize {
        self.line
    }

    /// Its path with a key.
    pub(super) fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Node> {
        let at = self.entries.iter().position(|(name, _)| name == key)?;
        Some(self.entries.remove(at).1).filter(|node| !node.is_nothing())
    }

    pub(super) fn take_table(&mut self, key: &str) -> Option<Self> {
        let path = self.name(key);
        let node = self.take(key)?;
        Some(Self::new(node, &path))
    }

    /// The mappings of a list.
    pub(super) fn take_tables(&mut self, key: &str, draft: &mut Draft) -> Vec<Self> {
        let path = self.name(key);
        let Some(node) = self.take(key) else { return Vec::new() };
        let Some(items) = node.list() else {
            draft.problem(node.line, format!("{path} is {}, and should be a list", node.written()));
            return Vec::new();
        };
        let each = |(number, item): (usize, &Node)| Self::new(item.clone(), &format!("{path}[{number}]"));
        items.iter().enumerate().map(each).collect()
    }

    pub(super) fn take_text(&mut self, key: &str, draft: &mut Draft) -> Option<String> {
        let node = self.take(key)?;
        match node.text() {
            Some(text) => Some(text.to_owned()),
            None => {
                let name = self.name(key);
                draft.problem(node.line, format!("{name} is {}, and should be a string", node.written()));
                None
            }
        }
    }

    /// Like [`Self::take_text`], and its absence is a problem.
    pub(super) fn need_text(&mut self, key: &str, draft: &mut Draft) -> Option<String> {
        if !self.entries.iter().any(|(name, node)| name == key && !node.is_nothing()) {
            draft.problem(self.line, format!("{} is missing", self.name(key)));
        }
        self.take_text(key, draft)
    }

    pub(super) fn take_integer(&mut self, key: &str, draft: &mut Draft) -> Option<(i128, usize)> {
        let node = self.take(key)?;
        match node.integer() {
            Some(value) => Some((value, node.line)),
            None => {
                let name = self.name(key);
                draft.problem(node.line, format!("{name} is {}, and should be an integer", node.written()));
                None
            }
        }
    }

    pub(super) fn take_boolean(&mut self, key: &str, draft: &mut Draft) -> Option<bool> {
        let node = self.take(key)?;
        let value = node.boolean();
        if value.is_none() {
            let name = self.name(key);
            draft.problem(node.line, format!("{name} is {}, and should be true or false", node.written()));
        }
        value
    }

    /// Says of everything that is left that it has no equivalent.
    pub(super) fn rest(self, page: &mut Page) {
        for (key, node) in &self.entries {
            page.comment(&format!("{} (line {}) is not known here, and is left out.", self.name(key), node.line));
        }
    }
}
