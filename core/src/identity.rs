//! What a process says about itself in its Hello.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::wire::{Hello, Message, Side, VersionRange};

/// Who a process says it is, in its Hello.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Its pid.
    pub pid: u32,
    /// A build id of its own choosing; at most 64 bytes.
    pub build_id: Vec<u8, 64>,
}

impl Identity {
    pub(crate) fn hello(&self, side: Side, versions: VersionRange) -> Message<'_> {
        Message::Hello(Hello {
            side,
            pid: self.pid,
            build_id: &self.build_id,
            versions,
            capabilities: 0,
        })
    }
}
