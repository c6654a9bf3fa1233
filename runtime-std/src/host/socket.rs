//! Socket calls that std does not offer: a socket that is bound, given its mode and only then
//! listens, and a connect that cannot hang.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

/// The longest path a Unix socket can have, in bytes, without the closing NUL.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) const PATH_LIMIT: usize = 107;
/// The longest path a Unix socket can have, in bytes, without the closing NUL.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) const PATH_LIMIT: usize = 103;

/// Connections that may wait in a listener's queue.
pub(super) const BACKLOG: i32 = 1024;

/// A new stream socket, close-on-exec and in blocking mode.
pub(super) fn stream(family: AddressFamily) -> io::Result<OwnedFd> {
    #[cfg(not(target_vendor = "apple"))]
    let socket = rustix::net::socket_with(
        family,
        SocketType::STREAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    #[cfg(target_vendor = "apple")]
    let socket = {
        let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        socket
    };
    Ok(socket)
}

/// A new Unix stream socket, close-on-exec and non-blocking.
pub(super) fn unix_stream() -> io::Result<OwnedFd> {
    let socket = stream(AddressFamily::UNIX)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// Connect to the Unix socket at `path` without ever waiting; the stream is non-blocking.
///
/// # Errors
/// `WouldBlock` when the listener's queue is full, `ConnectionRefused` when nobody listens,
/// `NotFound` when there is no such file, or whatever else the system says.
pub(super) fn connect(path: &Path) -> io::Result<OwnedFd> {
    let socket = unix_stream()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}
