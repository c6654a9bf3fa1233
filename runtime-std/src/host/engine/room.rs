//! The memory of a link in a server: enough for the largest frame of a version 1 peer.

use handoff_core::Storage;
use handoff_core::wire::{HEADER_LEN, MAX_FRAME_LEN};

/// Link memory on the heap, 1 MiB each way, taken when the link is first used: a machine that is set up or
/// torn down inside the pause does not ask the system for what most of its links never need. The pages are
/// not touched before they are needed, so an idle link costs next to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerRoom {}

/// 1 MiB and a header, and empty before it is first written to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LazyRoom(Box<[u8]>);

/// The length of either room, in bytes.
const ROOM: usize = MAX_FRAME_LEN + HEADER_LEN;

impl AsRef<[u8]> for LazyRoom {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for LazyRoom {
    fn as_mut(&mut self) -> &mut [u8] {
        if self.0.is_empty() {
            self.0 = vec![0; ROOM].into_boxed_slice();
        }
        &mut self.0
    }
}

impl Storage for ServerRoom {
    const RX: usize = ROOM;
    const TX: usize = ROOM;
    type Rx = LazyRoom;
    type Tx = LazyRoom;

    fn rx() -> LazyRoom {
        LazyRoom::default()
    }

    fn tx() -> LazyRoom {
        LazyRoom::default()
    }
}
