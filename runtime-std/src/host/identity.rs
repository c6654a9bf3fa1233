//! What this process says in its Hello.

use handoff_core::Identity;

/// This process, with the front of `build_id` that fits.
pub fn this_process(build_id: &[u8]) -> Identity {
    let mut identity = Identity {
        pid: std::process::id(),
        ..Identity::default()
    };
    let room = identity.build_id.capacity();
    let used = build_id.get(..room.min(build_id.len())).unwrap_or_default();
    // It was cut to what fits.
    let _ = identity.build_id.extend_from_slice(used);
    identity
}
