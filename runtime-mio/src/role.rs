//! What this process was started as.

use handoff_std::host::{InheritError, Inherited, InheritedListeners};

use crate::successor::Successor;

/// What this process was started as.
#[derive(Debug)]
pub enum Role {
    /// There is nobody to take over from. Listeners may be inherited all the same, from a supervisor
    /// or from systemd.
    ColdStart(InheritedListeners),
    /// A supervisor started it to take over from the incumbent.
    Successor(Successor),
}

/// Find out from the environment what this process was started as, and take what it inherited.
///
/// Call it first in `main`, before there are other threads, if there ever are. The variables are
/// consumed: a second call, or a child of the daemon, sees none of them.
///
/// # Errors
/// [`InheritError`] names the variable that is wrong, its value and what was expected.
pub fn detect_role() -> Result<Role, InheritError> {
    let Inherited {
        listeners,
        successor_channel,
    } = Inherited::from_env()?;
    Ok(match successor_channel {
        Some(channel) => Role::Successor(Successor::new(channel, listeners)),
        None => Role::ColdStart(listeners),
    })
}
