//! `dyn-prefix report`: what another DHCPv6 client was delegated.

use std::io;
use std::path::Path;

use crate::clock;
use crate::control::client::{Connection, Failure};
use crate::control::{Report, Request, Response};
use crate::daemon::reporting;
use crate::spool::entry::Entry;
use crate::spool::{Left, MOST, Spool};

use super::args::ReportArgs;
use super::{Exit, socket, terminal};

/// Tells the daemon; leaves it for the next one if there is none.
pub(super) fn report(args: ReportArgs) -> anyhow::Result<Exit> {
    let ReportArgs { name, prefix, preferred, valid, excluded, gone, config } = args;
    let report = Report { name, prefix, preferred, valid, excluded, gone };
    let socket = socket(&config);
    match ask(&socket, Request::Report { report: report.clone() })? {
        Ok(answer) => handled(answer),
        Err(away) => leave(&socket, report, &away),
    }
}

/// What the daemon answers; why it does not, where it is not there, or has gone meanwhile.
fn ask(socket: &Path, request: Request) -> anyhow::Result<Result<Response, String>> {
    let mut connection = match Connection::open(socket, request) {
        Ok(connection) => connection,
        Err(failure @ Failure::NotRunning(_)) => return Ok(Err(failure.to_string())),
        Err(Failure::Other(error)) => return Err(error),
    };
    let has_gone = || Ok(Err("dyn-prefix is stopping: it hung up without an answer".to_owned()));
    match connection.next_response() {
        Ok(Some(response)) => Ok(Ok(response)),
        Ok(None) => has_gone(),
        Err(error) if is_reset(&error) => has_gone(),
        Err(error) => Err(error),
    }
}

/// As when it was killed.
fn is_reset(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

fn handled(answer: Response) -> anyhow::Result<Exit> {
    match answer {
        Response::Handled { done, .. } => {
            terminal::say(&done.join("\n"))?;
            Ok(Exit::Done)
        }
        Response::Error { message } => anyhow::bail!("{message}"),
        Response::Status { .. } | Response::Reloaded { .. } | Response::Refused { .. } | Response::Released { .. } => {
            anyhow::bail!("the daemon answered something else")
        }
    }
}

/// Leaves it for the next start; `away`: why, as "dyn-prefix is not running".
fn leave(socket: &Path, report: Report, away: &str) -> anyhow::Result<Exit> {
    let now = clock::now();
    let can_wait = || Entry::new(report.clone(), None, now).check();
    reporting::check(&report).and_then(|()| can_wait()).map_err(anyhow::Error::msg)?;
    let left = match Spool::make(socket).and_then(|spool| spool.leave(report, now)) {
        Ok(left) => left,
        Err(error) => {
            terminal::complain(&format!("{away}; nor could the report be left for its next start: {error:#}"));
            return Ok(Exit::NotRunning);
        }
    };
    // A daemon that has started meanwhile may have looked before there was anything; and it alone takes anything away.
    match ask(socket, Request::TakeUpReports) {
        Ok(Ok(Response::Handled { done, left })) if !left.is_empty() => {
            terminal::say(&done.join("\n"))?;
            anyhow::bail!("{}", left.join("\n"))
        }
        Ok(Ok(Response::Handled { done, .. })) if !done.is_empty() => {
            terminal::say(&done.join("\n"))?;
        }
        // It has looked by itself.
        Ok(Ok(Response::Handled { .. })) => {
            terminal::say("dyn-prefix has just started, and has taken the report up.")?;
        }
        // It is not there yet, or says no more than that.
        Ok(_) | Err(_) => say_left(&left, away)?,
    }
    Ok(Exit::Done)
}

fn say_left(left: &Left, away: &str) -> anyhow::Result<()> {
    let Left { path, dropped } = left;
    let mut sentence = format!(
        "{away}; the report waits in {} for its next start, which takes the time until then off the lifetimes.",
        path.display()
    );
    if *dropped > 0 {
        sentence.push_str(&format!(" There is room for {MOST} reports only: the oldest one was dropped for it."));
    }
    terminal::say(&sentence)?;
    Ok(())
}
