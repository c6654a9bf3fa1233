//! A command's conversation with the supervisor: a line there, and lines back until the answer.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::args::Reach;
use super::protocol::{Reply, Request};
use crate::config::Config;

/// A conversation, once the request is made.
pub(super) struct Talk {
    socket: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Talk {
    /// Asks the supervisor behind this socket.
    ///
    /// # Errors
    /// Nobody is there, or a path of the request is no UTF-8.
    pub(super) fn begin(socket: &Path, request: &Request) -> anyhow::Result<Self> {
        // The one part that may be no text is the path of a binary.
        let line = serde_json::to_string(request);
        let mut line = line.context("the supervisor cannot be asked for this binary")?;
        line.push('\n');
        let ask = || {
            let mut stream = UnixStream::connect(socket)?;
            stream.write_all(line.as_bytes())?;
            std::io::Result::Ok(stream)
        };
        Ok(Self {
            stream: BufReader::new(ask().with_context(|| nobody(socket))?),
            socket: socket.into(),
        })
    }

    /// What comes next: an event, or the answer, which is the last. Waits as long as it takes.
    ///
    /// # Errors
    /// Nothing comes any more.
    pub(super) fn hear(&mut self) -> anyhow::Result<Reply> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        read.with_context(|| nobody(&self.socket))?;
        if line.is_empty() {
            bail!(
                "the supervisor on {} has closed the connection without an answer: it does not let \
                 this user ask, or it has ended",
                self.socket.display()
            );
        }
        serde_json::from_str(&line)
            .context("the supervisor's answer cannot be understood; is it of the same version?")
    }
}

fn nobody(socket: &Path) -> String {
    format!(
        "no supervisor answers on {}; is it running, and are you allowed to ask it?",
        socket.display()
    )
}

/// Asks for something that is answered in one line.
///
/// # Errors
/// There is no answer.
pub(super) fn ask(socket: &Path, request: &Request) -> anyhow::Result<Reply> {
    Talk::begin(socket, request)?.hear()
}

impl Reach {
    /// Where the supervisor's socket is.
    ///
    /// # Errors
    /// The configuration is wrong, or names none.
    pub(super) fn socket(&self) -> anyhow::Result<PathBuf> {
        let (file, socket) = match (&self.socket, &self.config) {
            (Some(socket), _) => return Ok(socket.clone()),
            (None, Some(file)) => (file, Config::load(file)?.supervisor.socket),
            (None, None) => bail!("no socket is given; see --help"),
        };
        socket.with_context(|| {
            format!(
                "{} gives the supervisor no socket; add `socket` to [supervisor]",
                file.display()
            )
        })
    }
}
