//! What happened when, for people.

use std::io::{self, Write as _};
use std::time::Duration;

use dyn_prefix::time::Instant;

/// Lines are broken at this column.
const WIDTH: usize = 118;
/// Time and actor stand before this column.
const INDENT: usize = 21;

/// Who did something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Isp,
    Daemon,
    Cluster,
}

impl Who {
    const fn name(self) -> &'static str {
        match self {
            Self::Isp => "ISP",
            Self::Daemon => "daemon",
            Self::Cluster => "cluster",
        }
    }

    const fn colour(self) -> &'static str {
        match self {
            Self::Isp => "\x1b[33m",
            Self::Daemon => "\x1b[36m",
            Self::Cluster => "\x1b[32m",
        }
    }
}

/// Something that happened.
pub(crate) struct Event {
    pub(crate) at: Instant,
    pub(crate) who: Who,
    pub(crate) text: String,
    /// Whether it is a DHCPv6 Reply with what is delegated.
    pub(crate) delegates: bool,
}

/// Prints it as it happens.
pub(crate) struct Timeline {
    colours: bool,
    zero: Instant,
    last: Option<(Who, String)>,
}

impl Timeline {
    pub(crate) const fn new(colours: bool) -> Self {
        Self { colours, zero: Instant::BOOT, last: None }
    }

    /// Starts a chapter; its times count from the first event.
    pub(crate) fn chapter(&mut self, title: &str, lines: &str) -> io::Result<()> {
        self.zero = Instant::BOOT;
        self.last = None;
        let title = self.paint("\x1b[1m", title);
        self.say(&format!("\n{title}\n"))?;
        for line in wrap(lines, WIDTH).iter().filter(|line| !line.is_empty()) {
            self.say(&format!("{line}\n"))?;
        }
        self.say("\n")
    }

    /// Prints an event. What the same actor does in the same moment stands together.
    pub(crate) fn event(&mut self, event: &Event) -> io::Result<()> {
        if self.zero == Instant::BOOT {
            self.zero = event.at;
        }
        let elapsed = milliseconds(event.at.saturating_since(self.zero));
        let head = (event.who, elapsed);
        let shown = if self.last.as_ref() == Some(&head) { String::new() } else { head.1.clone() };
        let name = if self.last.as_ref().is_some_and(|(who, _)| *who == event.who) { "" } else { event.who.name() };
        let name = self.paint(event.who.colour(), &format!("{name:<8}"));
        let indent = event.text.len() - event.text.trim_start().len();
        let mut lines = wrap(event.text.trim_start(), WIDTH - INDENT - indent).into_iter();
        let first = lines.next().unwrap_or_default();
        self.say(&format!("{shown:>10}  {name} {:indent$}{first}\n", ""))?;
        for line in lines {
            self.say(&format!("{:INDENT$}{:indent$}{line}\n", "", ""))?;
        }
        self.last = Some(head);
        Ok(())
    }

    /// Prints text as it is.
    pub(crate) fn say(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Text in a colour, if there are colours.
    pub(crate) fn paint(&self, colour: &str, text: &str) -> String {
        if self.colours { format!("{colour}{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// "4.1 ms", "2.50 s".
pub(crate) fn milliseconds(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
    } else {
        format!("{:.2} s", duration.as_secs_f64())
    }
}

/// Breaks text at spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
