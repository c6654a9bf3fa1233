//! Listeners that the supervisor has inherited under a name (`LISTEN_FDS`), such as from a systemd
//! socket unit.

use handoff_std::InheritedListeners;
use handoff_std::host::listen::{ListenAddress, address_of};
use handoff_std::host::{ListenSpec, NamedListener};

use super::kept::written;

/// Takes those that `specs` ask for, by their names.
///
/// # Errors
/// One is of another kind than asked for.
pub(super) fn take(
    specs: &[ListenSpec],
    inherited: &mut InheritedListeners,
) -> anyhow::Result<Vec<NamedListener>> {
    let mut adopted = Vec::new();
    for spec in specs {
        adopted.extend(take_one(spec, inherited)?);
    }
    Ok(adopted)
}

fn take_one(
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
            "the inherited listener is used, though it listens elsewhere than is configured"
        );
    }
    Ok(Some(listener))
}
