//! A client of the daemon: one request, one connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long one request may take before the client looks again.
const LIMIT: Duration = Duration::from_secs(2);

fn ask(address: SocketAddr, request: &str, limit: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(request.as_bytes())?;
    let mut reply = Vec::new();
    let mut buffer = [0; 512];
    while !is_whole(&reply) {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => reply.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&reply).trim_end().to_owned())
}

/// A value is its length, and itself; all else is one line.
fn is_whole(reply: &[u8]) -> bool {
    let Some(line) = reply.iter().position(|byte| *byte == b'\n') else {
        return false;
    };
    let length = reply.strip_prefix(b"$").and_then(|rest| {
        std::str::from_utf8(rest.get(..line - 2)?)
            .ok()?
            .parse()
            .ok()
    });
    reply.len() >= length.map_or(line, |length: usize| line + 1 + length + 2)
}

/// Writes; `Ok` once the write is acknowledged.
pub(crate) fn set(address: SocketAddr, key: &str, value: &str) -> Result<(), String> {
    set_within(address, key, value, LIMIT)
}

/// The same, in so much time.
pub(crate) fn set_within(
    address: SocketAddr,
    key: &str,
    value: &str,
    limit: Duration,
) -> Result<(), String> {
    match ask(address, &format!("SET {key} {value}\r\n"), limit) {
        Ok(reply) if reply == "+OK" => Ok(()),
        Ok(reply) => Err(reply),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads a value.
pub(crate) fn get(address: SocketAddr, key: &str) -> Result<String, String> {
    let reply = ask(address, &format!("GET {key}\r\n"), LIMIT).map_err(|e| e.to_string())?;
    reply
        .split_once("\r\n")
        .map(|(_, value)| value.to_owned())
        .ok_or(reply)
}

/// Whether the daemon says that there is no way back to the one before it.
pub(crate) fn is_committed(address: SocketAddr) -> bool {
    ask(address, "INFO\r\n", LIMIT).is_ok_and(|text| text.contains("committed:yes"))
}
