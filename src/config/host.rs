//! What is done on this host: `[[hook]]` and `[[file]]`.

use std::path::PathBuf;
use std::time::Duration;

use crate::host::template::Template;

/// The default of `timeoutSeconds`.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// `[[hook]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// `name`
    pub name: String,
    /// `command`: a program by its absolute path, and its arguments.
    pub command: Vec<String>,
    /// `dynamicPrefix`: those it is run for.
    pub dynamic_prefixes: Vec<String>,
    /// `timeoutSeconds`
    pub timeout: Duration,
}

/// `[[file]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTarget {
    /// `path`
    pub path: PathBuf,
    /// `template` or `text`, read.
    pub template: Template,
    /// `template`: the file that it was read from.
    pub template_path: Option<PathBuf>,
    /// `mode`
    pub mode: u32,
    /// `reload`: what is run after a change.
    pub reload: Option<Vec<String>>,
    /// `timeoutSeconds` of `reload`.
    pub timeout: Duration,
}
