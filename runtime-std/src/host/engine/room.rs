//! The memory of a link in a server: enough for the largest frame of a version 1 peer.

use handoff_core::Storage;
use handoff_core::wire::{HEADER_LEN, MAX_FRAME_LEN};

/// Link memory on the heap, 1 MiB each way. The pages are not touched before they are needed, so an
/// idle link costs next to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerRoom {}

impl Storage for ServerRoom {
    const RX: usize = MAX_FRAME_LEN + HEADER_LEN;
    const TX: usize = MAX_FRAME_LEN + HEADER_LEN;
    type Rx = Box<[u8]>;
    type Tx = Box<[u8]>;

    fn rx() -> Box<[u8]> {
        vec![0; Self::RX].into_boxed_slice()
    }

    fn tx() -> Box<[u8]> {
        vec![0; Self::TX].into_boxed_slice()
    }
}
