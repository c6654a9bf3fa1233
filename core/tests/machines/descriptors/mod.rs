//! Descriptors: taken with the frame that they belong to and with no other, and sent with its first byte.

mod sent;
mod taken;

use handoff_core::wire::{Message, Names};
use handoff_core::{Handles, LinkId};

const ONE: LinkId = LinkId(1);
const TWO: Handles = Handles {
    first: 40,
    count: 2,
};
const BEAT: Message<'_> = Message::Heartbeat { ts_ms: 1 };

fn listeners() -> Message<'static> {
    Message::Listeners {
        names: Names::from(&["http", "admin"][..]),
    }
}
