//! Binding: a socket is made, given its options, bound and given its mode, and only then listens, so
//! that nobody reaches it before it is what was asked for.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, sockopt};

use super::super::mode::set_socket_mode;
use super::{ListenAddress, ListenError, ListenOptions, io_error, socket};

pub(super) fn tcp(address: SocketAddr, options: &ListenOptions) -> Result<OwnedFd, ListenError> {
    let open = || {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = socket::stream(family)?;
        // Connections of an earlier listener that linger are not in the way.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        if options.reuse_port {
            sockopt::set_socket_reuseport(&socket, true)?;
        }
        if let (SocketAddr::V6(_), Some(only)) = (address, options.ipv6_only) {
            sockopt::set_ipv6_v6only(&socket, only)?;
        }
        rustix::net::bind(&socket, &address)?;
        // Of two that have bound the same port, it is the second listen that fails.
        rustix::net::listen(&socket, backlog(options))?;
        Ok(socket)
    };
    open().map_err(|source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse {
            address: address.to_string(),
            find: format!("ss -ltnp 'sport = :{}'", address.port()),
        },
        _ => io_error(&ListenAddress::Tcp(address), source),
    })
}

pub(super) fn unix(path: &Path, options: &ListenOptions) -> Result<OwnedFd, ListenError> {
    let failed = |source| io_error(&ListenAddress::Unix(path.into()), source);
    let socket = socket::stream(AddressFamily::UNIX).map_err(failed)?;
    match bind_unix(&socket, path) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path)?;
            bind_unix(&socket, path).map_err(failed)?;
        }
        bound => bound.map_err(failed)?,
    }
    let listen = || {
        if let Some(mode) = options.mode {
            set_socket_mode(path, mode)?;
        }
        Ok(rustix::net::listen(&socket, backlog(options))?)
    };
    listen().map_err(|source: io::Error| {
        // Bound just now, so it is ours.
        let _ = fs::remove_file(path);
        failed(source)
    })?;
    Ok(socket)
}

fn bind_unix(socket: &OwnedFd, path: &Path) -> io::Result<()> {
    let address = SocketAddrUnix::new(path)?;
    rustix::net::bind(socket, &address).map_err(|e| match e {
        // What some systems say of a file that is no socket.
        Errno::EXIST => Errno::ADDRINUSE.into(),
        e => e.into(),
    })
}

/// Removes a socket that nobody listens on.
fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let failed = |source| io_error(&ListenAddress::Unix(path.into()), source);
    let found = fs::symlink_metadata(path).map_err(failed)?;
    if !found.file_type().is_socket() {
        return Err(ListenError::NotASocket { path: path.into() });
    }
    match socket::connect(path) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        // Whatever else came of it, somebody may be there.
        _ => Err(ListenError::InUse {
            address: format!("unix:{}", path.display()),
            find: format!("ss -lxp src {}", path.display()),
        }),
    }
}

/// Removes the file of a socket that nobody listens on. Anything else stays as it is.
pub(super) fn tidy(path: &Path) -> Result<(), ListenError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => match remove_stale(path) {
            Err(ListenError::InUse { .. }) => Ok(()),
            removed => removed,
        },
        _ => Ok(()),
    }
}

/// As the system call takes it.
fn backlog(options: &ListenOptions) -> i32 {
    i32::try_from(options.backlog).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::os::unix::fs::MetadataExt;

    use super::super::{ListenSpec, NamedListener, is_listening};
    use super::*;

    fn spec(address: ListenAddress, options: ListenOptions) -> ListenSpec {
        ListenSpec {
            name: "a".into(),
            address,
            options,
        }
    }

    fn tcp_at(address: &str, options: ListenOptions) -> Result<NamedListener, ListenError> {
        spec(ListenAddress::Tcp(address.parse().unwrap()), options).bind()
    }

    #[test]
    fn a_port_is_shared_when_both_ask_for_it() {
        let shared = || ListenOptions {
            reuse_port: true,
            ..ListenOptions::default()
        };
        let first = tcp_at("127.0.0.1:0", shared()).unwrap();
        let second = tcp_at(&first.address, shared()).unwrap();
        assert_eq!(first.address, second.address);
        assert!(is_listening(&second.fd));
        let error = tcp_at(&first.address, ListenOptions::default()).unwrap_err();
        assert!(matches!(error, ListenError::InUse { .. }), "{error}");
    }

    #[test]
    fn ipv6_takes_ipv4_along_or_leaves_it() {
        for only in [true, false] {
            let options = ListenOptions {
                ipv6_only: Some(only),
                ..ListenOptions::default()
            };
            let Ok(bound) = tcp_at("[::]:0", options) else {
                return; // a machine without IPv6
            };
            assert_eq!(sockopt::ipv6_v6only(&bound.fd).unwrap(), only);
            let port = bound.address.parse::<SocketAddr>().unwrap().port();
            if !only {
                TcpStream::connect(("127.0.0.1", port)).unwrap();
            }
        }
    }

    #[test]
    fn a_backlog_however_long_is_taken() {
        for backlog in [1, u32::MAX] {
            let options = ListenOptions {
                backlog,
                ..ListenOptions::default()
            };
            let bound = tcp_at("127.0.0.1:0", options).unwrap();
            TcpStream::connect(bound.address).unwrap();
        }
    }

    #[test]
    fn a_unix_socket_has_its_mode_from_the_start() {
        let dir = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o666] {
            let path = dir.path().join(format!("{mode:o}"));
            let options = ListenOptions {
                mode: Some(mode),
                ..ListenOptions::default()
            };
            let _bound = spec(ListenAddress::Unix(path.clone()), options)
                .bind()
                .unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
        }
    }
}
