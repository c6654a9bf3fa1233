//! The files of Unix listeners: each is removed once nobody can listen on it any more.

use handoff_std::host::{ListenSpec, NamedListener};
use tokio::task::spawn_blocking;

use super::{Attendant, Stop};

/// Listeners that are not asked for any more, and may have left a file.
pub(super) struct Sockets {
    /// The names of those that were inherited: their files are somebody else's.
    inherited: Vec<String>,
    /// The daemon that serves may have these.
    released: Vec<ListenSpec>,
    /// Daemons that are leaving may have these, and nobody else.
    stale: Vec<ListenSpec>,
}

impl Sockets {
    pub(super) fn new(inherited: &[NamedListener]) -> Self {
        let inherited = inherited.iter().map(|one| one.name.clone());
        Self {
            inherited: inherited.collect(),
            released: Vec::new(),
            stale: Vec::new(),
        }
    }

    /// This one is not asked for any more; if there is a daemon, it has it until it is replaced.
    pub(super) fn let_go(&mut self, spec: Option<ListenSpec>, daemon: bool) {
        let specs = if daemon {
            &mut self.released
        } else {
            &mut self.stale
        };
        specs.extend(spec.filter(|spec| !self.inherited.contains(&spec.name)));
    }

    /// The daemon has been replaced by one that has only what is asked for.
    pub(super) fn daemon_is_replaced(&mut self) {
        self.stale.append(&mut self.released);
    }

    /// Removes what nobody has: all earlier daemons have ended. `wanted` is asked for.
    pub(super) fn tidy(&mut self, wanted: &[ListenSpec]) {
        if self.stale.is_empty() {
            return;
        }
        let mut stale = std::mem::take(&mut self.stale);
        stale.retain(|stale| wanted.iter().all(|spec| spec.address != stale.address));
        // It says by itself what goes wrong.
        drop(spawn_blocking(move || remove(&stale)));
    }
}

impl Attendant {
    /// The end of the task. If the daemon has been ended, nothing is left of its listeners.
    pub(super) async fn close(self) {
        if let Stop::Asked { keep: true } = self.stop {
            return;
        }
        let Sockets {
            inherited,
            mut released,
            mut stale,
        } = self.sockets;
        let wanted = self.service.listeners.iter();
        stale.extend(wanted.filter(|one| !inherited.contains(&one.name)).cloned());
        stale.append(&mut released);
        // With our own descriptors.
        drop(self.doing);
        drop(self.missing);
        let _ = spawn_blocking(move || remove(&stale)).await;
    }
}

fn remove(specs: &[ListenSpec]) {
    for spec in specs {
        if let Err(error) = spec.tidy() {
            tracing::warn!(name = spec.name, %error, "the file of a listener cannot be removed");
        }
    }
}
