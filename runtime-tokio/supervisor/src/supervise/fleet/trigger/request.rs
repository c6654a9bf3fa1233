//! What a line asks for.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Something that a client of the trigger socket asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// A handoff to this binary; to the current one, started anew, if there is none.
    Handoff(Option<PathBuf>),
    /// The end of the probation that goes on, by a rollback.
    Rollback,
}

/// Why a line is not a request. The words go to the client.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("unknown command `{0}`; write `handoff`, `handoff /path/to/binary` or `rollback`")]
    UnknownCommand(String),
    #[error("`rollback` takes nothing after it; it ends the one probation that goes on")]
    NotAlone,
    #[error("`{0}` is not an absolute path; write `handoff /path/to/binary`")]
    NotAbsolute(String),
}

impl Request {
    /// Understands a line, without its line break. The path is the rest of the line, so it may hold
    /// spaces; those around it do not belong to it.
    pub(super) fn parse(line: &[u8]) -> Result<Self, Malformed> {
        let line = line.trim_ascii();
        let (command, rest) = match line.iter().position(u8::is_ascii_whitespace) {
            Some(space) => line.split_at(space),
            None => (line, &b""[..]),
        };
        let rest = rest.trim_ascii();
        match command {
            b"handoff" => {}
            b"rollback" if rest.is_empty() => return Ok(Self::Rollback),
            b"rollback" => return Err(Malformed::NotAlone),
            _ => return Err(Malformed::UnknownCommand(printable(command))),
        }
        if rest.is_empty() {
            return Ok(Self::Handoff(None));
        }
        let path = PathBuf::from(OsStr::from_bytes(rest));
        if path.is_absolute() && !rest.contains(&0) {
            Ok(Self::Handoff(Some(path)))
        } else {
            Err(Malformed::NotAbsolute(printable(rest)))
        }
    }
}

/// The front of what a client wrote, fit for an answer of one line.
fn printable(bytes: &[u8]) -> String {
    const SHOWN: usize = 64;
    let shown = bytes.get(..SHOWN.min(bytes.len())).unwrap_or_default();
    let mut text = shown.escape_ascii().to_string();
    if bytes.len() > SHOWN {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_requests() {
        assert_eq!(Request::parse(b"handoff"), Ok(Request::Handoff(None)));
        assert_eq!(Request::parse(b" handoff\t\r"), Ok(Request::Handoff(None)));
        assert_eq!(
            Request::parse(b"handoff  /opt/my daemon/v 2 \r"),
            Ok(Request::Handoff(Some("/opt/my daemon/v 2".into())))
        );
        assert_eq!(Request::parse(b"rollback\r"), Ok(Request::Rollback));
    }

    #[test]
    fn lines_that_are_not() {
        for line in [&b""[..], b"handof", b"HANDOFF", b"handoff2 /x", b"\xff\n"] {
            let error = Request::parse(line).unwrap_err();
            assert!(matches!(error, Malformed::UnknownCommand(_)), "{line:?}");
            assert!(error.to_string().is_ascii());
        }
        for line in [&b"handoff x"[..], b"handoff ./x", b"handoff /x\0y"] {
            let error = Request::parse(line).unwrap_err();
            assert!(matches!(error, Malformed::NotAbsolute(_)), "{line:?}");
        }
        assert_eq!(Request::parse(b"rollback now"), Err(Malformed::NotAlone));
        let long = Request::parse(&[b'x'; 4000]).unwrap_err().to_string();
        assert!(long.len() < 200, "{long}");
    }
}
