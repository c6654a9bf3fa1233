//! Who is at the other end of a Unix socket, as the kernel knows it, and who may talk to us
//! (protocol, section 6).
//!
//! Read through nix, not rustix: a peer from another pid namespace has pid 0, which rustix's type
//! for credentials cannot hold.

use std::io;
use std::os::fd::AsFd;

use super::Process;

/// The process at the other end of a Unix socket, as it was when it connected (or listened).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCredentials {
    /// Its effective user id.
    pub uid: u32,
    /// Its pid; `None` where the system does not tell, or when it lives in another pid namespace.
    pub pid: Option<u32>,
}

impl PeerCredentials {
    /// The peer of a connected Unix socket.
    ///
    /// # Errors
    /// Whatever the system says when `socket` is not a connected Unix socket.
    pub fn of(socket: &impl AsFd) -> io::Result<Self> {
        read(socket)
    }

    /// Which process it is, as far as that can be found out.
    pub fn process(&self) -> handoff_core::op::Process {
        let process = self.pid.and_then(Process::of);
        process.map(Into::into).unwrap_or_default()
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn read(socket: &impl AsFd) -> io::Result<PeerCredentials> {
    let credentials =
        nix::sys::socket::getsockopt(socket, nix::sys::socket::sockopt::PeerCredentials)?;
    Ok(PeerCredentials {
        uid: credentials.uid(),
        pid: u32::try_from(credentials.pid())
            .ok()
            .filter(|&pid| pid != 0),
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn read(socket: &impl AsFd) -> io::Result<PeerCredentials> {
    let (uid, _) = nix::unistd::getpeereid(socket)?;
    #[cfg(target_vendor = "apple")]
    let pid = nix::sys::socket::getsockopt(socket, nix::sys::socket::sockopt::LocalPeerPid)
        .ok()
        .and_then(|pid| u32::try_from(pid).ok())
        .filter(|&pid| pid != 0);
    #[cfg(not(target_vendor = "apple"))]
    let pid = None;
    Ok(PeerCredentials {
        uid: uid.as_raw(),
        pid,
    })
}

/// Whether a peer with this uid may talk to us: our own user, root, or one of `also`.
pub fn uid_allowed(uid: u32, also: &[u32]) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw() || also.contains(&uid)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socketpair_is_ourselves() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = PeerCredentials::of(&one).unwrap();
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        #[cfg(target_os = "linux")]
        assert_eq!(peer.pid, Some(std::process::id()));
    }

    #[test]
    fn only_ours_roots_and_named_uids_may_talk() {
        let ours = rustix::process::geteuid().as_raw();
        let stranger = ours.wrapping_add(4242);
        assert!(uid_allowed(ours, &[]));
        assert!(uid_allowed(0, &[]));
        assert!(!uid_allowed(stranger, &[]));
        assert!(uid_allowed(stranger, &[7, stranger]));
    }
}
