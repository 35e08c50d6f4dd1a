//! The journal: where log lines go, and what one looks like.
//!
//! Every message is a full sentence with the facts in it; the same facts stand in journald fields for filtering
//! (`journalctl -u dyn-prefix DYN_PREFIX_CLUSTER=home`), and every kind of message has its MESSAGE_ID. Lines are
//! made in [`record`] and go out in [`emit`]; nothing else logs above debug level.

use std::fmt;
use std::io;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

pub mod record;

/// How much a line matters (syslog priorities 3, 4 and 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// We cannot do our work.
    Error,
    /// Unusual, still working; somebody should look.
    Warning,
    /// A change of state that the operator cares about.
    Info,
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The MESSAGE_ID of its kind, 32 hexadecimal digits.
    pub id: &'static str,
    /// How much it matters.
    pub priority: Priority,
    /// Full sentences.
    pub message: String,
    /// DYN_PREFIX_NAME: the DynamicPrefix.
    pub name: Option<String>,
    /// DYN_PREFIX_CURRENT: the prefix in use.
    pub current: Option<String>,
    /// DYN_PREFIX_PREVIOUS: the prefix that it replaced.
    pub previous: Option<String>,
    /// DYN_PREFIX_SOURCE: the source.
    pub source: Option<String>,
    /// DYN_PREFIX_CLUSTER: the cluster.
    pub cluster: Option<String>,
    /// DYN_PREFIX_TARGET: the object.
    pub target: Option<String>,
}

impl Entry {
    /// A line without any of the optional fields.
    pub const fn new(id: &'static str, priority: Priority, message: String) -> Self {
        Self {
            id,
            priority,
            message,
            name: None,
            current: None,
            previous: None,
            source: None,
            cluster: None,
            target: None,
        }
    }
}

/// Writes one line to the journal.
pub fn emit(entry: &Entry) {
    macro_rules! at {
        ($level:ident) => {
            tracing::event!(
                tracing::Level::$level,
                "MESSAGE_ID" = entry.id,
                "DYN_PREFIX_NAME" = entry.name,
                "DYN_PREFIX_CURRENT" = entry.current,
                "DYN_PREFIX_PREVIOUS" = entry.previous,
                "DYN_PREFIX_SOURCE" = entry.source,
                "DYN_PREFIX_CLUSTER" = entry.cluster,
                "DYN_PREFIX_TARGET" = entry.target,
                "{}",
                entry.message
            )
        };
    }
    match entry.priority {
        Priority::Error => at!(ERROR),
        Priority::Warning => at!(WARN),
        Priority::Info => at!(INFO),
    }
}

/// Sends log lines to journald when the process runs under systemd, else to standard error.
///
/// `DYN_PREFIX_LOG` takes a filter such as `debug` or `dyn_prefix::source=debug`. A release has nothing below that level:
/// we trace nothing, and what libraries would is left out to keep it small.
pub fn init() {
    let asked = std::env::var("DYN_PREFIX_LOG").ok();
    let filter = filter(asked.as_deref());
    let journal = if std::env::var_os("JOURNAL_STREAM").is_some() { tracing_journald::layer().ok() } else { None };
    let layer = match journal {
        Some(journal) => journal
            .with_field_prefix(None)
            .with_syslog_identifier("dyn-prefix".to_owned())
            .with_priority_mappings(tracing_journald::PriorityMappings {
                error: tracing_journald::Priority::Error,
                warn: tracing_journald::Priority::Warning,
                info: tracing_journald::Priority::Informational,
                debug: tracing_journald::Priority::Debug,
                trace: tracing_journald::Priority::Debug,
            })
            .boxed(),
        None => tracing_subscriber::fmt::layer().event_format(Plain).with_writer(io::stderr).boxed(),
    };
    // Fails only when a subscriber was set before, as in tests; that one then stays.
    drop(tracing_subscriber::registry().with(layer.with_filter(filter)).try_init());
}

/// What is logged; a filter that cannot be read counts as none. Not an EnvFilter: that can tell spans by their fields,
/// which we have no use for, and brings a regex engine for it.
fn filter(asked: Option<&str>) -> Targets {
    let ours = || Targets::new().with_target("dyn_prefix", LevelFilter::INFO).with_default(LevelFilter::ERROR);
    asked.and_then(|asked| asked.parse().ok()).unwrap_or_else(ours)
}

/// `warning: message`: the reader of a terminal or of a plain log has the time from elsewhere.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = event.metadata().level();
        if *level <= tracing::Level::WARN {
            write!(writer, "{}: ", if *level == tracing::Level::WARN { "warning" } else { "error" })?;
        }
        let mut message = Message::default();
        event.record(&mut message);
        if *level >= tracing::Level::DEBUG {
            write!(writer, "{}: ", event.metadata().target())?;
            return writeln!(writer, "{}{}", message.text, message.fields);
        }
        writeln!(writer, "{}", message.text)
    }
}

#[derive(Default)]
struct Message {
    text: String,
    fields: String,
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.text = format!("{value:?}");
        } else {
            self.fields.push_str(&format!(" {}={value:?}", field.name()));
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn what_is_logged_can_be_chosen_by_module_and_level() {
        let logs = |asked, module, level| filter(asked).would_enable(module, &level);
        for asked in [None, Some("dyn_prefix=loud")] {
            assert!(logs(asked, "dyn_prefix::source::ra", Level::INFO), "{asked:?}");
            assert!(!logs(asked, "dyn_prefix::source::ra", Level::DEBUG), "{asked:?}");
            assert!(logs(asked, "kube_client", Level::ERROR), "{asked:?}");
            assert!(!logs(asked, "kube_client", Level::WARN), "{asked:?}");
        }
        assert!(logs(Some("debug"), "kube_client", Level::DEBUG));
        let one = Some("dyn_prefix::source=trace");
        assert!(logs(one, "dyn_prefix::source::ra", Level::TRACE));
        assert!(!logs(one, "dyn_prefix::daemon", Level::ERROR));
    }
}
