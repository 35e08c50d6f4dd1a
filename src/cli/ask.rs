//! `dyn-prefix status`, `history`, `reload` and `dhcp-release`: what is asked of the running daemon.

use std::path::Path;

use crate::control::client::{Connection, Failure};
use crate::control::{Request, Response};
use crate::status::Status;

use super::{Exit, Output, render, terminal};

/// Prints the status once.
pub(super) fn status(socket: &Path, output: Output) -> anyhow::Result<Exit> {
    show(socket, |status| format_status(status, output))
}

/// Prints the former prefixes.
pub(super) fn history(socket: &Path, output: Output) -> anyhow::Result<Exit> {
    let exit = show(socket, |status| match output {
        Output::Text => Ok(render::history(status)),
        Output::Json => {
            let histories: serde_json::Map<String, serde_json::Value> = status
                .dynamic_prefixes
                .iter()
                .map(|prefix| Ok((prefix.name.clone(), serde_json::to_value(&prefix.history)?)))
                .collect::<anyhow::Result<_>>()?;
            Ok(serde_json::to_string_pretty(&histories)?)
        }
    })?;
    // The past is what it is: only `status` judges the present.
    Ok(if exit == Exit::Degraded { Exit::Done } else { exit })
}

/// Prints the status now and after every change.
pub(super) fn watch(socket: &Path, output: Output) -> anyhow::Result<Exit> {
    let Some(mut connection) = connect(socket, Request::Watch)? else { return Ok(Exit::NotRunning) };
    while let Some(response) = connection.next_response()? {
        let status = status_of(response)?;
        let text = match output {
            Output::Text => format!("{}\n", render::status(&status)),
            // One line each, so that a program can read them one by one.
            Output::Json => serde_json::to_string(&status)?,
        };
        if !terminal::say(&text)? {
            return Ok(Exit::Done);
        }
    }
    terminal::complain("dyn-prefix has stopped");
    Ok(Exit::NotRunning)
}

/// Makes the daemon read its configuration again.
pub(super) fn reload(socket: &Path) -> anyhow::Result<Exit> {
    let Some(mut connection) = connect(socket, Request::Reload)? else { return Ok(Exit::NotRunning) };
    match connection.next_response()? {
        Some(Response::Reloaded { findings }) => {
            findings.iter().for_each(|finding| terminal::complain(finding));
            Ok(Exit::Done)
        }
        Some(Response::Refused { findings }) => {
            // As ExecReload= of the unit: the daemon has written all of it there.
            if terminal::complains_to_the_journal() {
                return Ok(Exit::Configuration);
            }
            findings.iter().for_each(|finding| terminal::complain(finding));
            terminal::complain("the new configuration was refused; the former one stays in use");
            Ok(Exit::Configuration)
        }
        Some(Response::Error { message }) => anyhow::bail!("{message}"),
        Some(Response::Status { .. } | Response::Released { .. } | Response::Handled { .. }) => {
            anyhow::bail!("the daemon answered something else")
        }
        None => anyhow::bail!("the daemon closed the connection without an answer; is it stopping?"),
    }
}

/// Gives the delegation of a DynamicPrefix back to the DHCPv6 server.
pub(super) fn dhcp_release(socket: &Path, name: String) -> anyhow::Result<Exit> {
    let Some(mut connection) = connect(socket, Request::DhcpRelease { name })? else { return Ok(Exit::NotRunning) };
    match connection.next_response()? {
        Some(Response::Released { done }) => {
            terminal::say(&done.join("\n"))?;
            Ok(Exit::Done)
        }
        Some(Response::Error { message }) => anyhow::bail!("{message}"),
        Some(
            Response::Status { .. } | Response::Reloaded { .. } | Response::Refused { .. } | Response::Handled { .. },
        ) => {
            anyhow::bail!("the daemon answered something else")
        }
        None => anyhow::bail!("the daemon closed the connection without an answer; is it stopping?"),
    }
}

fn show(socket: &Path, format: impl FnOnce(&Status) -> anyhow::Result<String>) -> anyhow::Result<Exit> {
    let Some(mut connection) = connect(socket, Request::Status)? else { return Ok(Exit::NotRunning) };
    let Some(response) = connection.next_response()? else {
        anyhow::bail!("the daemon closed the connection without an answer; is it stopping?");
    };
    let status = status_of(response)?;
    terminal::say(&format(&status)?)?;
    Ok(if status.is_healthy() { Exit::Done } else { Exit::Degraded })
}

/// `None`, with a word about it, when the daemon is not running.
fn connect(socket: &Path, request: Request) -> anyhow::Result<Option<Connection>> {
    match Connection::open(socket, request) {
        Ok(connection) => Ok(Some(connection)),
        Err(failure @ Failure::NotRunning(_)) => {
            terminal::complain(&failure.to_string());
            Ok(None)
        }
        Err(Failure::Other(error)) => Err(error),
    }
}

fn status_of(response: Response) -> anyhow::Result<Status> {
    match response {
        Response::Status { status } => Ok(*status),
        Response::Error { message } => anyhow::bail!("{message}"),
        Response::Reloaded { .. } | Response::Refused { .. } | Response::Released { .. } | Response::Handled { .. } => {
            anyhow::bail!("the daemon answered something else")
        }
    }
}

fn format_status(status: &Status, output: Output) -> anyhow::Result<String> {
    Ok(match output {
        Output::Text => render::status(status),
        Output::Json => serde_json::to_string_pretty(status)?,
    })
}
