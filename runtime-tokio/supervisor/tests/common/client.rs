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
    // A value is two lines: its length, and itself.
    while reply.split(|byte| *byte == b'\n').count() < if reply.starts_with(b"$") { 3 } else { 2 } {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => reply.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&reply).trim_end().to_owned())
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
