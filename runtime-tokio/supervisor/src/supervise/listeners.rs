//! The daemon's listeners: inherited by name, or given back by a daemon that lives, or bound, or
//! missing because somebody else still listens there.

use anyhow::bail;
use handoff_std::InheritedListeners;
use handoff_std::host::listen::{ListenAddress, address_of};
use handoff_std::host::{ListenError, ListenSpec, NamedListener};

use super::kept::{self, Kept, written};

/// What became of the listeners that the command line asks for.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// Those that are there: inherited, given back, or bound just now.
    pub(super) held: Vec<NamedListener>,
    /// The names of those that were bound just now.
    pub(super) fresh: Vec<String>,
    /// Those whose address is in use, and the reason in words.
    pub(super) missing: Vec<(ListenSpec, ListenError)>,
    /// How what the daemon keeps differs from that, in words; it has been logged.
    pub(super) differences: Vec<String>,
    /// Why the daemon does not give more back.
    pub(super) refused: Option<String>,
}

impl Listeners {
    /// Takes or binds every one of `specs`. `kept` is what a living daemon gives back; what of it is
    /// not asked for is closed.
    ///
    /// # Errors
    /// Names the listener and what is wrong with it. An address in use is no error yet.
    pub(super) fn open(
        specs: &[ListenSpec],
        mut inherited: InheritedListeners,
        kept: Kept,
    ) -> anyhow::Result<Self> {
        let Kept {
            listeners: mut kept,
            refused,
        } = kept;
        let mut listeners = Self::beside(specs, &kept, refused);
        for (at, spec) in specs.iter().enumerate() {
            if specs.iter().take(at).any(|other| other.name == spec.name) {
                bail!("two listeners are called `{}`; rename one", spec.name);
            }
            if let Some(listener) = take(spec, &mut inherited)? {
                listeners.held.push(listener);
                continue;
            }
            if let Some(listener) = kept::take(spec, &mut kept) {
                listeners.held.push(listener);
                continue;
            }
            match listeners.bind(spec) {
                Ok(()) => {}
                Err(error @ ListenError::InUse { .. }) => {
                    listeners.missing.push((spec.clone(), error));
                }
                Err(error) => return Err(error.into()),
            }
        }
        for name in inherited.names() {
            tracing::warn!(name, "inherited, but no --listener has this name; closed");
        }
        Ok(listeners)
    }
}

impl Listeners {
    /// Takes every one of `specs` from what a living daemon gives back, or binds it. Whatever cannot
    /// be had is missing, whyever.
    pub(super) fn take_or_bind(specs: &[ListenSpec], kept: Kept) -> Self {
        let Kept {
            listeners: mut kept,
            refused,
        } = kept;
        let mut listeners = Self::beside(specs, &kept, refused);
        for spec in specs {
            if let Some(listener) = kept::take(spec, &mut kept) {
                listeners.held.push(listener);
            } else if let Err(error) = listeners.bind(spec) {
                listeners.missing.push((spec.clone(), error));
            }
        }
        listeners
    }

    /// None yet, beside what the daemon keeps; what differs is logged.
    fn beside(specs: &[ListenSpec], kept: &[NamedListener], refused: Option<String>) -> Self {
        let listeners = Self {
            differences: kept::differences(specs, kept),
            refused,
            ..Self::default()
        };
        for difference in &listeners.differences {
            tracing::warn!("{difference}");
        }
        if let Some(why) = &listeners.refused {
            tracing::warn!(why, "the daemon does not give its listeners back");
        }
        listeners
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

fn take(
    spec: &ListenSpec,
    inherited: &mut InheritedListeners,
) -> anyhow::Result<Option<NamedListener>> {
    let name = spec.name.clone();
    let fd = match &spec.address {
        ListenAddress::Tcp(_) => inherited.take_tcp(&name)?.map(Into::into),
        ListenAddress::Unix(_) => inherited.take_unix(&name)?.map(Into::into),
    };
    let Some(fd) = fd else { return Ok(None) };
    let address = address_of(&fd)?;
    tracing::info!(name, address, "listening (inherited)");
    let listener = NamedListener { name, fd, address };
    if !spec.matches(&listener) {
        tracing::warn!(
            name = listener.name,
            address = listener.address,
            wanted = written(spec),
            "the inherited listener is used, though it listens elsewhere than the command line says"
        );
    }
    Ok(Some(listener))
}
