//! A daemon's listeners: inherited by name, or given back by a daemon that lives, or bound, or
//! missing because somebody else still listens there.

use handoff_std::host::{ListenError, ListenSpec, NamedListener};
use rustix::fs::fstat;

use super::kept::{self, Kept};

/// What became of the listeners that are asked for.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// Those that are there: inherited, given back, or bound just now.
    pub(super) held: Vec<NamedListener>,
    /// The names of those that a daemon that lives does not have: bound or inherited just now.
    pub(super) fresh: Vec<String>,
    /// Those that cannot be had, and why.
    pub(super) missing: Vec<(ListenSpec, ListenError)>,
    /// How what the daemon keeps differs from that, in words; it has been logged.
    pub(super) differences: Vec<String>,
    /// Why the daemon does not give more back.
    pub(super) refused: Option<String>,
}

impl Listeners {
    /// Takes every one of `specs` from what a living daemon gives back, or from those that were
    /// inherited for them, or binds it. Whatever cannot be had is missing, whyever.
    pub(super) fn open(specs: &[ListenSpec], mut adopted: Vec<NamedListener>, kept: Kept) -> Self {
        let Kept {
            listeners: mut kept,
            refused,
        } = kept;
        let mut listeners = Self {
            differences: kept::differences(specs, &kept),
            refused,
            ..Self::default()
        };
        for difference in &listeners.differences {
            tracing::warn!("{difference}");
        }
        if let Some(why) = &listeners.refused {
            tracing::warn!(why, "the daemon does not give its listeners back");
        }
        for spec in specs {
            let inherited = adopted.iter().position(|one| one.name == spec.name);
            let inherited = inherited.map(|at| adopted.swap_remove(at));
            if let Some(listener) = listeners.choose(kept::take(spec, &mut kept), inherited) {
                listeners.held.push(listener);
            } else if let Err(error) = listeners.bind(spec) {
                listeners.missing.push((spec.clone(), error));
            }
        }
        listeners
    }

    /// Which of two that are both what is asked for is taken, such that no connection is lost.
    ///
    /// What is given back is what clients are served from, and mostly the very socket that was inherited.
    /// Where it is not: two TCP sockets share an address (`reuse_port`), and connections wait on that of
    /// the daemon. Of two Unix sockets only one can be reached by their path, and that is the one that
    /// somebody has bound since then.
    fn choose(
        &mut self,
        given_back: Option<NamedListener>,
        inherited: Option<NamedListener>,
    ) -> Option<NamedListener> {
        let (given_back, inherited) = match (given_back, inherited) {
            (Some(given_back), Some(inherited)) => (given_back, inherited),
            (given_back, None) => return given_back,
            (None, Some(inherited)) => return Some(self.adopt(inherited)),
        };
        let NamedListener { name, address, .. } = &inherited;
        if is_same(&given_back, &inherited) {
            return Some(given_back);
        }
        if address.starts_with("unix:") {
            tracing::warn!(
                name,
                address,
                "the daemon listens on a socket of an earlier time"
            );
            return Some(self.adopt(inherited));
        }
        tracing::warn!(
            name,
            address,
            "inherited, and the daemon has another socket for the same address: that one is used. If \
             connections reach the inherited one all the same (ReusePort=), nobody takes them: leave it out"
        );
        Some(given_back)
    }

    fn adopt(&mut self, inherited: NamedListener) -> NamedListener {
        let NamedListener { name, address, .. } = &inherited;
        tracing::info!(name, address, "listening (inherited)");
        // A daemon that lives and keeps none of this name; of one that does not say nothing is known.
        if self.refused.is_none() {
            self.fresh.push(name.clone());
        }
        inherited
    }

    fn bind(&mut self, spec: &ListenSpec) -> Result<(), ListenError> {
        let listener = spec.bind()?;
        let NamedListener { name, address, .. } = &listener;
        tracing::info!(name, address, "listening");
        self.fresh.push(name.clone());
        self.held.push(listener);
        Ok(())
    }
}

/// Whether these are two descriptors of one socket.
fn is_same(one: &NamedListener, other: &NamedListener) -> bool {
    let known = |listener: &NamedListener| {
        let found = fstat(&listener.fd).ok()?;
        Some((found.st_dev, found.st_ino))
    };
    known(one).is_some_and(|one| Some(one) == known(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(text: &str) -> NamedListener {
        text.parse::<ListenSpec>().unwrap().bind().unwrap()
    }

    fn again(listener: &NamedListener) -> NamedListener {
        NamedListener {
            name: listener.name.clone(),
            fd: listener.fd.try_clone().unwrap(),
            address: listener.address.clone(),
        }
    }

    /// What is held of one listener that the daemon gives back and of one that is inherited.
    fn held(given_back: Option<&NamedListener>, inherited: &NamedListener) -> Listeners {
        let spec: ListenSpec = format!("{}={}", inherited.name, inherited.address)
            .parse()
            .unwrap();
        let kept = Kept {
            listeners: given_back.map(again).into_iter().collect(),
            refused: None,
        };
        Listeners::open(&[spec], vec![again(inherited)], kept)
    }

    #[test]
    fn what_is_inherited_is_not_bound_and_the_daemon_does_not_have_it() {
        let inherited = bind("a=127.0.0.1:0");
        let listeners = held(None, &inherited);
        assert!(is_same(&listeners.held[0], &inherited));
        assert_eq!(
            (&*listeners.fresh, listeners.missing.len()),
            (&["a".into()][..], 0)
        );
    }

    #[test]
    fn the_daemons_own_comes_first() {
        let one = bind("a=127.0.0.1:0");
        let listeners = held(Some(&one), &one);
        assert!(is_same(&listeners.held[0], &one) && listeners.fresh.is_empty());

        let shared = |text: &str| {
            let mut spec: ListenSpec = text.parse().unwrap();
            spec.options.reuse_port = true;
            spec.bind().unwrap()
        };
        let daemons = shared("a=127.0.0.1:0");
        let other = shared(&format!("a={}", daemons.address));
        assert!(!is_same(&daemons, &other));
        assert!(is_same(&held(Some(&daemons), &other).held[0], &daemons));
    }

    #[test]
    fn a_unix_socket_that_was_bound_anew_is_the_one_that_can_be_reached() {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("a=unix:{}/s", dir.path().display());
        let daemons = bind(&text);
        std::fs::remove_file(dir.path().join("s")).unwrap();
        let inherited = bind(&text);
        let listeners = held(Some(&daemons), &inherited);
        assert!(is_same(&listeners.held[0], &inherited));
        assert_eq!(listeners.fresh, ["a"]);
    }
}
