//! The memory of a link in a server: enough for the largest frame of a version 1 peer.

use std::alloc::{Layout, handle_alloc_error};

use handoff_core::Storage;
use handoff_core::wire::{HEADER_LEN, MAX_FRAME_LEN};
use memmap2::MmapMut;

/// Link memory of 1 MiB each way, straight from the system. The pages are not there before they are
/// needed, so an idle link costs next to nothing; and none is left once the link's machine is gone.
///
/// An allocator promises neither: once a piece of this size has been given back to glibc's, it keeps the
/// next one, and writes zeros all over it whenever it is given out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerRoom {}

/// Memory of one way of a link.
#[derive(Debug)]
pub struct Pages(MmapMut);

impl Pages {
    /// So many bytes of it, all zero.
    pub(super) fn of(length: usize) -> Self {
        match (MmapMut::map_anon(length), Layout::array::<u8>(length)) {
            (Ok(pages), _) => Self(pages),
            // As any other allocation that fails.
            (Err(_), Ok(layout)) => handle_alloc_error(layout),
            (Err(_), Err(_)) => handle_alloc_error(Layout::new::<u8>()),
        }
    }
}

impl AsRef<[u8]> for Pages {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for Pages {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Storage for ServerRoom {
    const RX: usize = MAX_FRAME_LEN + HEADER_LEN;
    const TX: usize = MAX_FRAME_LEN + HEADER_LEN;
    type Rx = Pages;
    type Tx = Pages;

    fn rx() -> Pages {
        Pages::of(Self::RX)
    }

    fn tx() -> Pages {
        Pages::of(Self::TX)
    }
}
