//! One connection to a RESP server, as a client sees it: requests out, replies in, with a limit on
//! time and on size.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::kvd::resp;

/// How often a wait looks whether it should give up.
const SLICE: Duration = Duration::from_millis(50);
/// A reply longer than this is malformed, in bytes. Longer than any value the daemon keeps.
const MAX_REPLY: usize = 2 * 1024 * 1024;

/// What the server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `+text` or `:number`, as it stands.
    Simple(String),
    /// `-text`.
    Error(String),
    /// A bulk string; `None` for a key without a value.
    Bulk(Option<Vec<u8>>),
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum NoReply {
    /// The connection was closed or reset before the reply was complete.
    #[error("the connection was closed: {0}")]
    Broken(io::Error),
    /// The time was up.
    #[error("no reply in time")]
    Late,
    /// The caller no longer wants it.
    #[error("no longer wanted")]
    Unwanted,
    /// What came is not a reply.
    #[error("malformed reply")]
    Malformed,
}

/// A connection. After a [`NoReply`] it must not be used again.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    /// Connects, which takes no longer than `limit`.
    ///
    /// # Errors
    /// What the system says; a full backlog makes it time out.
    pub fn connect(addr: SocketAddr, limit: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, limit)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SLICE))?;
        stream.set_write_timeout(Some(SLICE))?;
        Ok(Self {
            stream,
            received: Vec::new(),
        })
    }

    /// Sends requests that are encoded already, without waiting for their replies. Gives up at
    /// `until` or when `is_wanted` says no.
    ///
    /// # Errors
    /// The connection broke or the time is up; the server may have got some of it.
    pub fn send(
        &mut self,
        mut bytes: &[u8],
        until: Instant,
        is_wanted: impl Fn() -> bool,
    ) -> Result<(), NoReply> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(NoReply::Broken(io::ErrorKind::WriteZero.into())),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) => patience(error, until, &is_wanted)?,
            }
        }
        Ok(())
    }

    /// The next reply. Gives up at `until` or when `is_wanted` says no.
    ///
    /// # Errors
    /// Why there is none.
    pub fn receive(
        &mut self,
        until: Instant,
        is_wanted: impl Fn() -> bool,
    ) -> Result<Reply, NoReply> {
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some((reply, length)) = parse(&self.received)? {
                self.received.drain(..length);
                return Ok(reply);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(NoReply::Broken(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => self
                    .received
                    .extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(error) => patience(error, until, &is_wanted)?,
            }
        }
    }
}

/// Whether to try again after `error`.
fn patience(
    error: io::Error,
    until: Instant,
    is_wanted: &impl Fn() -> bool,
) -> Result<(), NoReply> {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    if !matches!(error.kind(), Interrupted | TimedOut | WouldBlock) {
        return Err(NoReply::Broken(error));
    }
    if !is_wanted() {
        return Err(NoReply::Unwanted);
    }
    if Instant::now() >= until {
        return Err(NoReply::Late);
    }
    Ok(())
}

/// Appends `SET key value`.
pub(crate) fn set(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    resp::request(out, &[b"SET", key.as_bytes(), value]);
}

/// Appends `GET key`.
pub(crate) fn get(out: &mut Vec<u8>, key: &str) {
    resp::request(out, &[b"GET", key.as_bytes()]);
}

/// The reply at the start of `bytes` and its length, or `None` when it is not all there.
fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, NoReply> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return within_limit(bytes);
    };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let (kind, text) = line
        .and_then(<[u8]>::split_first)
        .ok_or(NoReply::Malformed)?;
    let text = std::str::from_utf8(text).map_err(|_| NoReply::Malformed)?;
    let after = end + 1;
    match kind {
        b'+' | b':' => Ok(Some((Reply::Simple(text.into()), after))),
        b'-' => Ok(Some((Reply::Error(text.into()), after))),
        b'$' if text == "-1" => Ok(Some((Reply::Bulk(None), after))),
        b'$' => {
            let length: usize = text.parse().map_err(|_| NoReply::Malformed)?;
            if length > MAX_REPLY {
                return Err(NoReply::Malformed);
            }
            match bytes.get(after..after + length + 2) {
                None => Ok(None),
                Some([value @ .., b'\r', b'\n']) => Ok(Some((
                    Reply::Bulk(Some(value.to_vec())),
                    after + length + 2,
                ))),
                Some(_) => Err(NoReply::Malformed),
            }
        }
        _ => Err(NoReply::Malformed),
    }
}

fn within_limit(bytes: &[u8]) -> Result<Option<(Reply, usize)>, NoReply> {
    if bytes.len() > MAX_REPLY {
        return Err(NoReply::Malformed);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn replies_are_told_apart() {
        let cases = [
            (&b"+OK\r\n+"[..], Reply::Simple("OK".into()), 5),
            (b":12\r\n", Reply::Simple("12".into()), 5),
            (b"-ERR no\r\n", Reply::Error("ERR no".into()), 9),
            (b"$-1\r\n", Reply::Bulk(None), 5),
            (b"$2\r\n\r\n\r\n", Reply::Bulk(Some(b"\r\n".to_vec())), 8),
        ];
        for (bytes, reply, length) in cases {
            assert_eq!(parse(bytes).unwrap(), Some((reply, length)));
        }
        for part in [&b""[..], b"+O", b"$2\r\n", b"$2\r\nxx\r"] {
            assert_eq!(parse(part).unwrap(), None);
        }
        for wrong in [
            &b"\r\n"[..],
            b"+\xff\r\n",
            b"?\r\n",
            b"$x\r\n",
            b"$1\r\nabc",
            b"+OK\n",
        ] {
            assert!(matches!(parse(wrong), Err(NoReply::Malformed)), "{wrong:?}");
        }
        assert!(parse(b"$99999999\r\n").is_err());
        assert!(parse(b"$18446744073709551615\r\n").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            if let Ok(Some((_, length))) = parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
