//! The listeners that a supervisor holds, by name: `NAME=ADDRESS` in a configuration, bound once,
//! and handed to one daemon after the other.

mod bind;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::str::FromStr;

use super::socket::{self, BACKLOG};

/// Why a listener could not be understood or bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The text is not `NAME=ADDRESS`.
    #[error(
        "`{text}` is not a listener: {problem}; write NAME=ADDRESS, such as web=127.0.0.1:8080, \
         web=[::1]:8080 or web=unix:/run/web.sock"
    )]
    Malformed {
        /// The text.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The name cannot stand in `LISTEN_FDNAMES`.
    #[error(
        "`{name}` cannot be a listener's name: it must have 1 to 255 printable ASCII characters, \
         without colon, equals sign and space"
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// Somebody else listens there.
    #[error("port in use: another process listens on {address}; find who with: {find}")]
    InUse {
        /// The address.
        address: String,
        /// A command that shows who.
        find: String,
    },
    /// A file that is not a socket is in the way.
    #[error(
        "{} exists and is not a socket; it is left alone: remove it or choose another address",
        path.display()
    )]
    NotASocket {
        /// The file.
        path: PathBuf,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {source}{}", advice(source))]
    Io {
        /// The address.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
}

fn advice(source: &io::Error) -> &'static str {
    use io::ErrorKind::{AddrNotAvailable, NotFound, PermissionDenied};
    match source.kind() {
        PermissionDenied => "; ports below 1024 and protected directories need more rights",
        AddrNotAvailable => "; no interface of this machine has that address",
        NotFound => "; create its directory",
        _ => "",
    }
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// On a TCP port; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// On a Unix stream socket.
    Unix(PathBuf),
}

/// A listener to be bound: `NAME=ADDRESS`, where the address is `IP:PORT` or `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSpec {
    /// The name the daemon asks for it by.
    pub name: String,
    /// Where it listens.
    pub address: ListenAddress,
    /// How. `NAME=ADDRESS` as text leaves it at the default.
    pub options: ListenOptions,
}

/// How a listener is bound. What does not fit the address, such as a mode for a TCP port, is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenOptions {
    /// Connections that may wait in its queue; the system cuts it down to its own limit
    /// (`net.core.somaxconn`). Default: 1024, for a listener that is handed over must hold a pause's
    /// worth of connections.
    pub backlog: u32,
    /// TCP: let other sockets of the same user that ask for it as well listen on the same port.
    /// Default: no.
    pub reuse_port: bool,
    /// TCP over IPv6: whether IPv4 connections are left to others. `None`, the default: as the system
    /// has it.
    pub ipv6_only: Option<bool>,
    /// Unix: the mode of the socket's file, such as `0o660`. `None`, the default: what the umask leaves.
    pub mode: Option<u32>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: BACKLOG.unsigned_abs(),
            reuse_port: false,
            ipv6_only: None,
            mode: None,
        }
    }
}

/// A bound listener: in blocking mode, close-on-exec.
#[derive(Debug)]
pub struct NamedListener {
    /// The name the daemon asks for it by.
    pub name: String,
    /// The listening socket.
    pub fd: OwnedFd,
    /// Where it really listens, as [`address_of`] writes it.
    pub address: String,
}

impl ListenAddress {
    /// Understand `IP:PORT` or `unix:PATH`.
    ///
    /// # Errors
    /// What is wrong with it, in words that go on from its name.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text.strip_prefix("unix:") {
            Some("") => Err("the path is empty"),
            Some(path) if path.len() > socket::PATH_LIMIT => {
                Err("the path is too long for a Unix socket")
            }
            Some(path) if path.contains('\0') => Err("the path has a zero byte in it"),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text
                .parse()
                .map(Self::Tcp)
                .map_err(|_| "its address is neither IP:PORT nor unix:PATH"),
        }
    }

    /// Whether a listener whose [`address_of`] is `found` listens here. Port 0 stands for any port of its
    /// IP address.
    pub fn matches(&self, found: &str) -> bool {
        match self {
            Self::Tcp(wanted) => found.parse().is_ok_and(|found: SocketAddr| {
                let mut wanted = *wanted;
                if wanted.port() == 0 {
                    wanted.set_port(found.port());
                }
                wanted == found
            }),
            Self::Unix(path) => found
                .strip_prefix("unix:")
                .is_some_and(|found| found == path.to_string_lossy()),
        }
    }
}

impl FromStr for ListenSpec {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let malformed = |problem| ListenError::Malformed {
            text: text.into(),
            problem,
        };
        let (name, address) = text
            .split_once('=')
            .ok_or_else(|| malformed("it has no equals sign"))?;
        check_name(name)?;
        let address = ListenAddress::parse(address).map_err(malformed)?;
        Ok(Self {
            name: name.into(),
            address,
            options: ListenOptions::default(),
        })
    }
}

impl ListenSpec {
    /// Whether this is the listener that is meant: the name is the same, and so is the
    /// [address](ListenAddress::matches). The options are not looked at: they cannot be read back.
    pub fn matches(&self, listener: &NamedListener) -> bool {
        self.name == listener.name && self.address.matches(&listener.address)
    }

    /// Bind it and listen. A Unix socket that nobody listens on is replaced.
    ///
    /// # Errors
    /// [`ListenError`]; nothing is left behind.
    pub fn bind(&self) -> Result<NamedListener, ListenError> {
        let fd = match &self.address {
            ListenAddress::Tcp(address) => bind::tcp(*address, &self.options)?,
            ListenAddress::Unix(path) => bind::unix(path, &self.options)?,
        };
        let address = address_of(&fd).map_err(|source| io_error(&self.address, source))?;
        Ok(NamedListener {
            name: self.name.clone(),
            fd,
            address,
        })
    }

    /// Removes the file of its Unix socket, if it has one and nobody listens on it any more. Somebody who
    /// does sees a connection come and go.
    ///
    /// # Errors
    /// [`ListenError`]: the file cannot be removed.
    pub fn tidy(&self) -> Result<(), ListenError> {
        match &self.address {
            ListenAddress::Tcp(_) => Ok(()),
            ListenAddress::Unix(path) => bind::tidy(path),
        }
    }
}

/// Where a listening socket listens, as text: `127.0.0.1:8080`, `[::1]:8080` or `unix:/path`. Two
/// descriptors of one listener give the same text.
///
/// # Errors
/// The system's, or `InvalidInput` for a socket of another family.
pub fn address_of(fd: &impl AsFd) -> io::Result<String> {
    let address = rustix::net::getsockname(fd)?;
    if let Ok(address) = SocketAddr::try_from(address.clone()) {
        return Ok(address.to_string());
    }
    match rustix::net::SocketAddrUnix::try_from(address) {
        Ok(address) => {
            let path = address.path().unwrap_or_default();
            Ok(format!("unix:{}", path.to_string_lossy()))
        }
        Err(_) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "neither a TCP nor a Unix socket",
        )),
    }
}

/// Whether this is a socket that listens.
pub fn is_listening(fd: &impl AsFd) -> bool {
    #[cfg(not(target_vendor = "apple"))]
    return rustix::net::sockopt::socket_acceptconn(fd) == Ok(true);
    // Apple's systems cannot tell; there a stream socket without a peer is taken for a listener.
    #[cfg(target_vendor = "apple")]
    return rustix::net::sockopt::socket_type(fd) == Ok(rustix::net::SocketType::STREAM)
        && rustix::net::getpeername(fd).is_err();
}

/// Check that `name` can stand in `LISTEN_FDNAMES`.
///
/// # Errors
/// [`ListenError::BadName`].
pub fn check_name(name: &str) -> Result<(), ListenError> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b':' && byte != b'=';
    if (1..=255).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(ListenError::BadName { name: name.into() })
    }
}

fn io_error(address: &ListenAddress, source: io::Error) -> ListenError {
    let address = match address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(path) => format!("unix:{}", path.display()),
    };
    ListenError::Io { address, source }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn spec(text: &str) -> ListenSpec {
        text.parse().unwrap()
    }

    #[test]
    fn texts_that_are_listeners() {
        assert_eq!(
            spec("web=127.0.0.1:80").address,
            ListenAddress::Tcp(([127, 0, 0, 1], 80).into())
        );
        assert_eq!(spec("a=[::1]:0").name, "a");
        assert_eq!(
            spec("u=unix:/run/a=b:c").address,
            ListenAddress::Unix("/run/a=b:c".into())
        );
    }

    #[test]
    fn texts_that_are_not() {
        let long = format!("a=unix:/{}", "x".repeat(socket::PATH_LIMIT));
        for text in [
            "",
            "web",
            "=1.2.3.4:5",
            "a b=1.2.3.4:5",
            "a:b=1.2.3.4:5",
            "a=",
            "a=localhost:80",
            "a=1.2.3.4",
            "a=unix:",
            "a=1.2.3.4:65536",
            &long,
        ] {
            let error = text.parse::<ListenSpec>().unwrap_err().to_string();
            assert!(error.contains("a listener"), "{error}");
        }
    }

    #[test]
    fn a_listener_is_told_by_its_name_and_address() {
        let tcp = spec("a=127.0.0.1:0").bind().unwrap();
        let port = tcp.address.parse::<SocketAddr>().unwrap().port();
        for (text, same) in [
            (format!("a={}", tcp.address), true),
            ("a=127.0.0.1:0".into(), true),
            (format!("b={}", tcp.address), false),
            (format!("a=127.0.0.1:{}", port ^ 1), false),
            ("a=127.0.0.2:0".into(), false),
            ("a=0.0.0.0:0".into(), false),
            ("a=[::1]:0".into(), false),
            ("a=unix:/run/a".into(), false),
        ] {
            assert_eq!(spec(&text).matches(&tcp), same, "{text}");
        }
        let dir = tempfile::tempdir().unwrap();
        let unix = spec(&format!("u=unix:{}/s", dir.path().display()));
        let bound = unix.bind().unwrap();
        assert!(unix.matches(&bound));
        assert!(!spec("u=unix:/run/s").matches(&bound));
        assert!(!spec("u=127.0.0.1:0").matches(&bound));
    }

    #[test]
    fn only_what_listens_listens() {
        let tcp = spec("a=127.0.0.1:0").bind().unwrap();
        assert!(is_listening(&tcp.fd));
        assert!(!is_listening(&tempfile::tempfile().unwrap()));
        let (a, _b) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(!is_listening(&a));
        rustix::net::shutdown(&tcp.fd, rustix::net::Shutdown::Both).unwrap();
        assert!(!is_listening(&tcp.fd));
    }

    #[test]
    fn tcp_says_its_port_and_who_is_in_the_way() {
        let bound = spec("a=127.0.0.1:0").bind().unwrap();
        let address: SocketAddr = bound.address.parse().unwrap();
        assert_ne!(address.port(), 0);
        assert_eq!(
            address_of(&bound.fd.try_clone().unwrap()).unwrap(),
            bound.address
        );
        let error = spec(&format!("a={address}")).bind().unwrap_err();
        assert!(matches!(error, ListenError::InUse { .. }));
        let text = error.to_string();
        assert!(text.contains("port in use"), "{text}");
        assert!(
            text.contains(&format!("sport = :{}", address.port())),
            "{text}"
        );
        let error = spec("a=192.0.2.1:0").bind().unwrap_err().to_string();
        assert!(error.contains("no interface"), "{error}");
    }

    #[test]
    fn only_a_stale_unix_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let spec = spec(&format!("u=unix:{}", path.display()));
        let bound = spec.bind().unwrap();
        assert_eq!(bound.address, format!("unix:{}", path.display()));
        assert!(matches!(spec.bind(), Err(ListenError::InUse { .. })));
        drop(bound);
        let again = spec.bind().unwrap();
        spec.tidy().unwrap();
        assert!(path.exists());
        drop(again);
        spec.tidy().unwrap();
        assert!(!path.exists());
        spec.tidy().unwrap();
        fs::write(&path, "precious").unwrap();
        spec.tidy().unwrap();
        assert!(matches!(spec.bind(), Err(ListenError::NotASocket { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
