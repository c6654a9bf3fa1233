//! A daemon's listeners: inherited by name, or given back by a daemon that lives, or bound, or
//! missing because somebody else still listens there.

use handoff_std::host::{ListenError, ListenSpec, NamedListener};

use super::kept::{self, Kept};

/// What became of the listeners that are asked for.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    /// Those that are there: inherited, given back, or bound just now.
    pub(super) held: Vec<NamedListener>,
    /// The names of those that were bound just now.
    pub(super) fresh: Vec<String>,
    /// Those that cannot be had, and why.
    pub(super) missing: Vec<(ListenSpec, ListenError)>,
    /// How what the daemon keeps differs from that, in words; it has been logged.
    pub(super) differences: Vec<String>,
    /// Why the daemon does not give more back.
    pub(super) refused: Option<String>,
}

impl Listeners {
    /// Takes every one of `specs` from those that were inherited for them, or from what a living daemon
    /// gives back, or binds it. Whatever cannot be had is missing, whyever.
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
            let there = inherited.map(|at| adopted.swap_remove(at));
            if let Some(listener) = there.or_else(|| kept::take(spec, &mut kept)) {
                listeners.held.push(listener);
            } else if let Err(error) = listeners.bind(spec) {
                listeners.missing.push((spec.clone(), error));
            }
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
