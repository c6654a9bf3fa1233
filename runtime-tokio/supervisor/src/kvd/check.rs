//! `handoff kvd check`: is the daemon well? For a supervisor's health check, and for people.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::resp;
use crate::load::{Client, Reply};

/// How long the daemon may take to answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks the daemon at `address` how it is, and says so on stdout.
///
/// # Errors
/// It is not well, or does not answer.
pub(super) fn check(address: SocketAddr) -> anyhow::Result<()> {
    let until = Instant::now() + LIMIT;
    let mut request = Vec::new();
    resp::request(&mut request, &[b"INFO"]);
    let mut client =
        Client::connect(address, LIMIT).with_context(|| format!("nobody answers on {address}"))?;
    let reply = client
        .send(&request, until, || true)
        .and_then(|()| client.receive(until, || true))
        .with_context(|| format!("{address} gives no answer to INFO"))?;
    let Reply::Bulk(Some(text)) = reply else {
        bail!("{address} is no kvd: its answer to INFO is {reply:?}");
    };
    let text = String::from_utf8_lossy(&text);
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let (pid, healthy) = (field("pid").unwrap_or("?"), field("healthy"));
    match healthy {
        Some("yes") => {
            writeln!(io::stdout(), "pid {pid} is well")?;
            Ok(())
        }
        Some(_) => bail!("pid {pid} says that it is not well"),
        None => bail!("{address} is no kvd: its INFO does not say whether it is healthy"),
    }
}
