//! One link: the memory that its bytes live in, and what is owed to the peer.
//!
//! Incoming bytes gather in the `rx` room until a frame is whole; outgoing frames gather in the `tx`
//! room, are lent to the adapter by `Send`, and stay until `Wrote` says that they are gone. A frame
//! may be *staged*: written into the room, but not lent before it is released.

use serde::{Deserialize, Serialize};

use crate::handles::Handles;
use crate::time::Instant;
use crate::wire::{self, FrameReader, Message};

/// Names one connection. The adapter picks it when the connection opens and never uses it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LinkId(pub u32);

/// Where the bytes of a link live. A type to choose, not a value to pass.
///
/// A frame longer than `RX - 4` ends its session, so a server gives 1 MiB and 4 bytes (what version
/// 1 peers may send) and a small device a few hundred bytes. `TX` bounds what may be owed to a peer:
/// the longest message plus a few short ones. Both are at least [`MIN_ROOM`].
pub trait Storage {
    /// Bytes of room for what comes in.
    const RX: usize;
    /// Bytes of room for what goes out.
    const TX: usize;
    /// The room for incoming bytes.
    type Rx: AsRef<[u8]> + AsMut<[u8]>;
    /// The room for outgoing bytes.
    type Tx: AsRef<[u8]> + AsMut<[u8]>;
    /// Makes the room for incoming bytes, `RX` long from when it is first written to (`as_mut`).
    fn rx() -> Self::Rx;
    /// Makes the room for outgoing bytes, `TX` long from when it is first written to (`as_mut`).
    fn tx() -> Self::Tx;
}

/// The least room that any link can do with: every message without lists, with its texts cut short.
pub const MIN_ROOM: usize = 512;

/// Link memory inside the machine itself; no heap.
///
/// Too little of it does not compile:
///
/// ```compile_fail
/// use handoff_core::{Inline, SuccessorConfig, SuccessorMachine};
/// let machine = SuccessorMachine::<Inline<100, 512>>::new(SuccessorConfig::default());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inline<const RX: usize = 1024, const TX: usize = 1024> {}

impl<const RX: usize, const TX: usize> Storage for Inline<RX, TX> {
    const RX: usize = RX;
    const TX: usize = TX;
    type Rx = [u8; RX];
    type Tx = [u8; TX];
    fn rx() -> [u8; RX] {
        [0; RX]
    }
    fn tx() -> [u8; TX] {
        [0; TX]
    }
}

/// The incoming side of a link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Inbox<B> {
    pub(crate) reader: FrameReader,
    /// Whose bytes these are. The place is used again by later links.
    link: Option<LinkId>,
    /// The descriptors that came with the frame.
    handles: Handles,
    room: B,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Inbox<B> {
    pub(crate) const fn new(room: B) -> Self {
        Self {
            reader: FrameReader::new(),
            link: None,
            handles: Handles::NONE,
            room,
        }
    }

    /// Takes bytes of `link`; what an earlier link left of an unfinished frame is forgotten.
    pub(crate) fn push(
        &mut self,
        link: LinkId,
        bytes: &[u8],
    ) -> Result<wire::Pushed, wire::FrameError> {
        if self.link != Some(link) {
            self.link = Some(link);
            self.reader.clear();
        }
        if self.reader.is_empty() {
            self.handles = Handles::NONE;
        }
        self.reader.push(self.room.as_mut(), bytes)
    }

    /// Takes descriptors that came with the last bytes. Returns whether they may have come with the
    /// first byte of the frame, as they must.
    pub(crate) fn keep(&mut self, handles: Handles, began: bool) -> bool {
        self.handles = handles;
        began
    }

    pub(crate) const fn handles(&self) -> Handles {
        self.handles
    }

    pub(crate) fn frame(&self) -> Option<wire::Frame<'_>> {
        self.reader.frame(self.room.as_ref())
    }
}

/// What a link is there for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Life {
    Free,
    Open(LinkId),
    /// No longer read from; closed once what is owed is written, or at `until`.
    Closing {
        link: LinkId,
        until: Instant,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Link<B> {
    pub(crate) life: Life,
    /// The version of every frame after the handshake.
    pub(crate) version: Option<u16>,
    /// A message found no room: the peer does not read, and is given up after this input.
    pub(crate) stalled: bool,
    outbox: Outbox,
    room: B,
}

/// Where the outgoing bytes lie in the `tx` room: `start..ready` may be written, `ready..end` is
/// staged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Outbox {
    start: usize,
    ready: usize,
    end: usize,
    /// The frame that descriptors go with, and they.
    enclosed: Option<Enclosed>,
    /// A `Send` is with the adapter, or on its way there.
    lent: bool,
}

/// A frame with descriptors, from `start` to `end` in the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Enclosed {
    start: usize,
    end: usize,
    handles: Handles,
}

impl Outbox {
    /// What one `Send` may lend. Descriptors belong to their own frame, so it stops before and after one.
    const fn lendable(&self) -> (usize, usize, Handles) {
        match self.enclosed {
            Some(frame) if frame.start <= self.start => (self.start, frame.end, frame.handles),
            Some(frame) => (self.start, frame.start, Handles::NONE),
            None => (self.start, self.ready, Handles::NONE),
        }
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Link<B> {
    pub(crate) const fn new(room: B) -> Self {
        Self {
            life: Life::Free,
            version: None,
            stalled: false,
            outbox: Outbox {
                start: 0,
                ready: 0,
                end: 0,
                enclosed: None,
                lent: false,
            },
            room,
        }
    }

    pub(crate) const fn id(&self) -> Option<LinkId> {
        match self.life {
            Life::Free => None,
            Life::Open(link) | Life::Closing { link, .. } => Some(link),
        }
    }

    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.life, Life::Open(_))
    }

    pub(crate) fn open(&mut self, link: LinkId) {
        self.life = Life::Open(link);
        self.version = None;
        self.stalled = false;
        self.outbox = Outbox::default();
    }

    pub(crate) fn free(&mut self) {
        self.life = Life::Free;
        self.outbox = Outbox::default();
    }

    /// Whether nothing is owed to the peer.
    pub(crate) const fn is_flushed(&self) -> bool {
        self.outbox.start == self.outbox.ready
    }

    /// Whether bytes wait that no `Send` has lent yet. Asking lends them.
    pub(crate) fn lend(&mut self) -> bool {
        let lend = !self.outbox.lent && !self.is_flushed();
        self.outbox.lent |= lend;
        lend
    }

    /// The bytes for one `Send`, and the descriptors that go with the first of them.
    pub(crate) fn owed(&self) -> (&[u8], Handles) {
        let (start, end, handles) = self.outbox.lendable();
        let bytes = self.room.as_ref().get(start..end);
        (bytes.unwrap_or_default(), handles)
    }

    /// How many bytes a `Send` has lent at the most.
    pub(crate) const fn lent(&self) -> usize {
        if self.outbox.lent {
            let (start, end, _) = self.outbox.lendable();
            end.saturating_sub(start)
        } else {
            0
        }
    }

    /// The adapter wrote `count` of the bytes that it was lent.
    pub(crate) fn wrote(&mut self, count: usize) {
        if count > 0
            && let Some(frame) = self.outbox.enclosed
            && frame.start <= self.outbox.start
        {
            self.outbox.enclosed = None;
        }
        self.outbox.start = self
            .outbox
            .start
            .saturating_add(count)
            .min(self.outbox.ready);
        self.outbox.lent = false;
        if self.outbox.start == self.outbox.end {
            self.outbox = Outbox::default();
        }
    }

    /// Appends a frame to what is owed, before anything staged. Without room for it the link counts as
    /// stalled.
    pub(crate) fn send(&mut self, message: &Message<'_>) {
        if self.insert(message).is_none() {
            self.stalled = true;
        }
    }

    /// Appends a frame that descriptors go with. Returns whether it fits; only one such frame may be
    /// owed at a time.
    pub(crate) fn enclose(&mut self, message: &Message<'_>, handles: Handles) -> bool {
        if self.outbox.enclosed.is_some() && !handles.is_empty() {
            return false;
        }
        let Some((start, end)) = self.insert(message) else {
            return false;
        };
        if !handles.is_empty() {
            self.outbox.enclosed = Some(Enclosed {
                start,
                end,
                handles,
            });
        }
        true
    }

    /// Appends a frame that waits for [`release`](Self::release). Returns whether it fits.
    pub(crate) fn stage(&mut self, message: &Message<'_>) -> bool {
        self.outbox.ready == self.outbox.end && self.append(message).is_some()
    }

    pub(crate) fn release(&mut self) {
        self.outbox.ready = self.outbox.end;
    }

    pub(crate) fn unstage(&mut self) {
        self.outbox.end = self.outbox.ready;
    }

    /// Writes a frame between what is owed and what is staged. Returns where.
    fn insert(&mut self, message: &Message<'_>) -> Option<(usize, usize)> {
        let count = self.append(message)?;
        let Outbox { ready, end, .. } = self.outbox;
        // The frame is last; it goes to the front of what is staged.
        self.room.as_mut().get_mut(ready..end)?.rotate_right(count);
        self.outbox.ready = ready.saturating_add(count);
        Some((ready, self.outbox.ready))
    }

    /// Writes a frame behind everything. Returns its length.
    fn append(&mut self, message: &Message<'_>) -> Option<usize> {
        let Outbox { start, end, .. } = self.outbox;
        let room = self.room.as_mut();
        if start > 0 && start <= end && end <= room.len() {
            room.copy_within(start..end, 0);
            self.outbox.start = 0;
            self.outbox.ready = self.outbox.ready.saturating_sub(start);
            self.outbox.end = end.saturating_sub(start);
            if let Some(frame) = &mut self.outbox.enclosed {
                frame.start = frame.start.saturating_sub(start);
                frame.end = frame.end.saturating_sub(start);
            }
        }
        let rest = room.get_mut(self.outbox.end..).unwrap_or_default();
        let count = wire::encode(self.version.unwrap_or(1), message, rest).ok()?;
        self.outbox.end = self.outbox.end.saturating_add(count);
        Some(count)
    }
}
