//! What tests say to kvd, and how it answers.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use handoff_std::host::Process;

use super::world::{LONG, wait_for};

/// What INFO says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) generation: u64,
    pub(crate) committed: bool,
}

impl Info {
    pub(crate) fn process(&self) -> Process {
        Process::of(self.pid).unwrap()
    }
}

/// Asks until somebody answers.
pub(crate) fn info(port: u16) -> Info {
    wait_for("INFO", || {
        let text = ask(port, &["INFO"])?;
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name))?;
            Some(value.trim().to_owned())
        };
        Some(Info {
            version: field("version:")?,
            pid: field("pid:")?.parse().ok()?,
            generation: field("generation:")?.parse().ok()?,
            committed: field("committed:")? == "yes",
        })
    })
}

/// Asks until a process with another pid answers.
pub(crate) fn info_of_another(port: u16, than: u32) -> Info {
    wait_for("another daemon", || {
        Some(info(port)).filter(|info| info.pid != than)
    })
}

/// Waits until INFO says that the daemon of this version serves.
pub(crate) fn info_of_version(port: u16, version: &str) -> Info {
    wait_for("the version", || {
        Some(info(port)).filter(|info| info.version == version)
    })
}

/// Sends one request; the answer without its header line, if there was one.
pub(crate) fn ask(port: u16, words: &[&str]) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(LONG)).ok()?;
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        let _ = write!(request, "${}\r\n{word}\r\n", word.len());
    }
    stream.write_all(request.as_bytes()).ok()?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let Some(length) = line.strip_prefix('$') else {
        return (!line.is_empty()).then(|| line.trim_end().to_owned());
    };
    let mut text = vec![0; length.trim().parse().ok()?];
    stream.read_exact(&mut text).ok()?;
    String::from_utf8(text).ok()
}

pub(crate) fn assert_set(port: u16, key: &str) {
    assert_eq!(ask(port, &["SET", key, "kept"]).as_deref(), Some("+OK"));
}

pub(crate) fn assert_kept(port: u16, key: &str) {
    assert_eq!(ask(port, &["GET", key]).as_deref(), Some("kept"));
}
