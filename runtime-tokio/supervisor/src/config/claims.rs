//! What only one can have: a path, a data directory, an address. Two that claim the same would be in
//! each other's way, at the start or, worse, in a handoff.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use handoff_std::host::{ListenAddress, ListenSpec};

use super::report::{Mark, Report};

/// All claims so far, with who made them.
#[derive(Debug, Default)]
pub(super) struct Claims {
    paths: Vec<(PathBuf, String, Mark)>,
    data_dirs: Vec<(PathBuf, String, Mark)>,
    listeners: Vec<(Tcp, String, Mark)>,
}

#[derive(Debug, Clone, Copy)]
struct Tcp {
    address: SocketAddr,
    shared: bool,
    ipv6_only: bool,
}

impl Tcp {
    /// Whether the system refuses the second of them. Port 0 is another one every time.
    fn collides(self, other: Self) -> bool {
        let same_port = self.address.port() == other.address.port() && self.address.port() != 0;
        same_port && !(self.shared && other.shared) && (self.covers(other) || other.covers(self))
    }

    fn covers(self, other: Self) -> bool {
        match (self.address.ip(), other.address.ip()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => ours.is_unspecified() || ours == theirs,
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => ours.is_unspecified() || ours == theirs,
            (IpAddr::V6(ours), IpAddr::V4(_)) => ours.is_unspecified() && !self.ipv6_only,
            (IpAddr::V4(_), IpAddr::V6(_)) => false,
        }
    }
}

impl Report<'_> {
    /// `who` has this socket or file for itself.
    pub(super) fn claim_path(&mut self, path: &Path, who: &str, mark: &Mark) {
        let taken = find(&self.claims.paths, |claimed| claimed == path);
        self.refuse(taken, &path.display().to_string(), mark, "another path");
        self.claims
            .paths
            .push((path.into(), who.into(), mark.clone()));
    }

    /// `who` keeps its data there.
    pub(super) fn claim_data_dir(&mut self, path: &Path, who: &str, mark: &Mark) {
        let taken = find(&self.claims.data_dirs, |claimed| claimed == path);
        let expected = "a data directory of its own: it has one writer";
        self.refuse(taken, &path.display().to_string(), mark, expected);
        self.claims
            .data_dirs
            .push((path.into(), who.into(), mark.clone()));
    }

    /// `who` listens there.
    pub(super) fn claim_listener(&mut self, spec: &ListenSpec, who: &str, mark: &Mark) {
        let address = match &spec.address {
            ListenAddress::Unix(path) => return self.claim_path(path, who, mark),
            ListenAddress::Tcp(address) => *address,
        };
        let tcp = Tcp {
            address,
            shared: spec.options.reuse_port,
            ipv6_only: spec.options.ipv6_only == Some(true),
        };
        self.claim_tcp(tcp, who, mark);
    }

    /// `who` has this address for itself.
    pub(super) fn claim_address(&mut self, address: SocketAddr, who: &str, mark: &Mark) {
        let tcp = Tcp {
            address,
            shared: false,
            ipv6_only: false,
        };
        self.claim_tcp(tcp, who, mark);
    }

    fn claim_tcp(&mut self, tcp: Tcp, who: &str, mark: &Mark) {
        let taken = find(&self.claims.listeners, |claimed| claimed.collides(tcp));
        let expected = "another address, or `reuse_port = true` for both";
        self.refuse(taken, &tcp.address.to_string(), mark, expected);
        self.claims.listeners.push((tcp, who.into(), mark.clone()));
    }

    fn refuse(
        &mut self,
        taken: Option<(String, Mark)>,
        what: &str,
        mark: &Mark,
        expected: &'static str,
    ) {
        if let Some((who, other)) = taken {
            let line = self.line(&other);
            let found = format!("{what} belongs to {who} already (line {line})");
            self.wrong(mark, found, expected);
        }
    }
}

fn find<T>(claims: &[(T, String, Mark)], is_meant: impl Fn(&T) -> bool) -> Option<(String, Mark)> {
    claims
        .iter()
        .find(|(claimed, ..)| is_meant(claimed))
        .map(|(_, who, mark)| (who.clone(), mark.clone()))
}
