//! The daemon's listeners: inherited by name, or bound, or missing because somebody else still
//! listens there.

use anyhow::bail;
use handoff_std::InheritedListeners;
use handoff_std::host::listen::{ListenAddress, address_of};
use handoff_std::host::{ListenError, ListenSpec, NamedListener};

/// What became of the listeners that the command line asks for.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// Those that were inherited.
    pub(super) inherited: Vec<NamedListener>,
    /// Those that were bound just now.
    pub(super) bound: Vec<NamedListener>,
    /// Those whose address is in use, and the reason in words.
    pub(super) missing: Vec<(ListenSpec, ListenError)>,
}

impl Listeners {
    /// Takes or binds every one of `specs`.
    ///
    /// # Errors
    /// Names the listener and what is wrong with it. An address in use is no error yet.
    pub(super) fn open(
        specs: &[ListenSpec],
        mut inherited: InheritedListeners,
    ) -> anyhow::Result<Self> {
        let mut listeners = Self::default();
        for (at, spec) in specs.iter().enumerate() {
            if specs.iter().take(at).any(|other| other.name == spec.name) {
                bail!("two listeners are called `{}`; rename one", spec.name);
            }
            if let Some(listener) = take(spec, &mut inherited)? {
                listeners.inherited.push(listener);
                continue;
            }
            match spec.bind() {
                Ok(listener) => listeners.bound.push(listener),
                Err(error @ ListenError::InUse { .. }) => {
                    listeners.missing.push((spec.clone(), error));
                }
                Err(error) => return Err(error.into()),
            }
        }
        for name in inherited.names() {
            tracing::warn!(name, "inherited, but no --listener has this name; closed");
        }
        for NamedListener { name, address, .. } in &listeners.inherited {
            tracing::info!(name, address, "listening (inherited)");
        }
        for NamedListener { name, address, .. } in &listeners.bound {
            tracing::info!(name, address, "listening");
        }
        Ok(listeners)
    }
}

/// Tries once more to bind what is missing; returns what could be bound.
pub(super) fn bind_missing(missing: &mut Vec<(ListenSpec, ListenError)>) -> Vec<NamedListener> {
    let mut bound = Vec::new();
    missing.retain_mut(|(spec, reason)| match spec.bind() {
        Ok(listener) => {
            tracing::info!(
                name = listener.name,
                address = listener.address,
                "listening"
            );
            bound.push(listener);
            false
        }
        Err(error) => {
            tracing::debug!(name = spec.name, %error, "still missing");
            *reason = error;
            true
        }
    });
    bound
}

fn take(
    spec: &ListenSpec,
    inherited: &mut InheritedListeners,
) -> anyhow::Result<Option<NamedListener>> {
    let name = spec.name.clone();
    let (fd, wanted) = match &spec.address {
        ListenAddress::Tcp(address) => (
            inherited.take_tcp(&name)?.map(Into::into),
            (address.port() != 0).then(|| address.to_string()),
        ),
        ListenAddress::Unix(path) => (
            inherited.take_unix(&name)?.map(Into::into),
            Some(format!("unix:{}", path.display())),
        ),
    };
    let Some(fd) = fd else { return Ok(None) };
    let address = address_of(&fd)?;
    if wanted.as_ref().is_some_and(|wanted| *wanted != address) {
        tracing::warn!(
            name,
            address,
            wanted,
            "the inherited listener is used, though it listens elsewhere than the command line says"
        );
    }
    Ok(Some(NamedListener { name, fd, address }))
}
