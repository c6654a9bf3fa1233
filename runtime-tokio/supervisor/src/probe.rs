//! `handoff probe`: one look at whether a service is well, as the health check of a probation runs it.
//! It waits as long as it takes; whoever runs it has a limit for that.

use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, bail};
use clap::Subcommand;

/// What to look at. The exit status is 0 if it is well, else 1.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ProbeArgs {
    /// Whether a TCP connection is accepted.
    Tcp {
        /// IP:PORT.
        address: SocketAddr,
    },
    /// Whether a GET is answered with a status from 200 to 299.
    Http {
        /// A URL without TLS.
        url: String,
    },
}

/// Looks once.
///
/// # Errors
/// Why it is not well.
pub(crate) fn run(args: &ProbeArgs) -> anyhow::Result<()> {
    match args {
        ProbeArgs::Tcp { address } => {
            TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        }
        ProbeArgs::Http { url } => {
            // The service itself has to answer: no proxy for it, and no other place for its answer.
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .proxy(None)
                .max_redirects(0)
                .http_status_as_error(false)
                .build()
                .into();
            let status = agent
                .get(url)
                .call()
                .with_context(|| format!("no answer from {url}"))?
                .status();
            if !status.is_success() {
                bail!("{url} answers {status}");
            }
        }
    }
    Ok(())
}
