//! `dyn-prefix report`: what another DHCPv6 client was delegated.

use crate::control::client::{Connection, Failure};
use crate::control::{Report, Request, Response};

use super::args::ReportArgs;
use super::{Exit, socket, terminal};

/// Tells the daemon.
pub(super) fn report(args: ReportArgs) -> anyhow::Result<Exit> {
    let ReportArgs { name, prefix, preferred, valid, excluded, gone, config } = args;
    let request = Request::Report { report: Report { name, prefix, preferred, valid, excluded, gone } };
    let mut connection = match Connection::open(&socket(&config), request) {
        Ok(connection) => connection,
        Err(failure @ Failure::NotRunning(_)) => {
            terminal::complain(&failure.to_string());
            return Ok(Exit::NotRunning);
        }
        Err(Failure::Other(error)) => return Err(error),
    };
    match connection.next_response()? {
        Some(Response::Handled { done, .. }) => {
            terminal::say(&done.join("\n"))?;
            Ok(Exit::Done)
        }
        Some(Response::Error { message }) => anyhow::bail!("{message}"),
        Some(
            Response::Status { .. } | Response::Reloaded { .. } | Response::Refused { .. } | Response::Released { .. },
        ) => anyhow::bail!("the daemon answered something else"),
        None => anyhow::bail!("the daemon closed the connection without an answer; is it stopping?"),
    }
}
