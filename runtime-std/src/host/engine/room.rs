//! The memory of a link in a server: enough for the largest frame of a version 1 peer.

use handoff_core::Storage;
use handoff_core::wire::{HEADER_LEN, MAX_FRAME_LEN};
use memmap2::MmapMut;

/// Link memory beside the heap, 1 MiB each way, taken when the link is first used: a machine that is set up or
/// torn down inside the pause does not ask the system for what most of its links never need. The pages are
/// not there before they are touched, so an idle link costs next to nothing; and all of it is given back
/// with the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerRoom {}

impl Storage for ServerRoom {
    const RX: usize = MAX_FRAME_LEN + HEADER_LEN;
    const TX: usize = MAX_FRAME_LEN + HEADER_LEN;
    type Rx = Room;
    type Tx = Room;

    fn rx() -> Room {
        Room::new(Self::RX)
    }

    fn tx() -> Room {
        Room::new(Self::TX)
    }
}

/// Empty until it is first written to, and then zeroes until something else is written.
#[derive(Debug)]
pub struct Room(Pages);

#[derive(Debug)]
enum Pages {
    /// Not taken yet: so many bytes.
    Wanted(usize),
    /// From the system. An allocator would take pages that were freed before, and touch all of them to
    /// clear them: that is what glibc does from the second time on.
    Mapped(MmapMut),
    /// If the system has no mapping left.
    Heap(Box<[u8]>),
}

impl Room {
    pub(super) const fn new(len: usize) -> Self {
        Self(Pages::Wanted(len))
    }
}

impl AsRef<[u8]> for Room {
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Pages::Wanted(_) => &[],
            Pages::Mapped(map) => map,
            Pages::Heap(bytes) => bytes,
        }
    }
}

impl AsMut<[u8]> for Room {
    fn as_mut(&mut self) -> &mut [u8] {
        if let Pages::Wanted(len) = self.0 {
            self.0 = match MmapMut::map_anon(len) {
                Ok(map) => Pages::Mapped(map),
                Err(_) => Pages::Heap(vec![0; len].into_boxed_slice()),
            };
        }
        match &mut self.0 {
            Pages::Wanted(_) => &mut [],
            Pages::Mapped(map) => map,
            Pages::Heap(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_can_be_used_and_nothing_is_taken_before() {
        let mut room = ServerRoom::rx();
        assert!(room.as_ref().is_empty());
        assert_eq!(room.as_mut().len(), ServerRoom::RX);
        assert!(room.as_ref().iter().all(|byte| *byte == 0));
        if let Some(last) = room.as_mut().last_mut() {
            *last = 1;
        }
        assert_eq!(room.as_ref().last(), Some(&1));
    }
}
