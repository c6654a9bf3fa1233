//! An input as bytes.

use postcard::take_from_bytes;
use serde::Deserialize;

use super::{NoRoom, Unreadable};
use crate::handles::Handles;
use crate::machine::Input;
use crate::op::{
    Completion, ListenersReport, OpId, OpenReport, Report, SealReport, SnapshotReport,
};
use crate::time::Instant;
use crate::wire::List;

/// Writes an input, and the moment it was handed in, to the front of `out`, without anything around it:
/// for those who keep inputs alone; returns how many bytes
/// that took: beside the bytes and texts that the input lends less than 100, and 10 for each element
/// of a list.
///
/// # Errors
/// It does not fit. What `out` holds is then unspecified.
pub fn encode_input(now: Instant, input: &Input<'_>, out: &mut [u8]) -> Result<usize, NoRoom> {
    Ok(postcard::to_slice(&(now, input), out)?.len())
}

/// The input as it was taken: without bytes that were not consumed, which are handed in again. The
/// machine does the same with it, and what is recorded does not grow with what is still to come.
pub fn taken<'b>(input: &Input<'b>, consumed: usize) -> Input<'b> {
    match *input {
        Input::Bytes { link, bytes, .. } if consumed < bytes.len() => Input::Bytes {
            link,
            bytes: bytes.get(..consumed).unwrap_or_default(),
            // They count with the last of the bytes.
            handles: Handles::NONE,
        },
        whole => whole,
    }
}

/// Reads the input at the front of `bytes`: when it was handed in, what it was, and how many bytes
/// it took. What it lends is borrowed from `bytes`.
///
/// # Errors
/// The bytes are not an input, or not all of one.
pub fn decode_input(bytes: &[u8]) -> Result<(Instant, Input<'_>, usize), Unreadable> {
    let mut fields = Fields { rest: bytes };
    let now = fields.take()?;
    let input = fields.input()?;
    let used = bytes.len().saturating_sub(fields.rest.len());
    Ok((now, input, used))
}

/// What is left of a record while its values are taken from the front, one after the other.
pub(super) struct Fields<'b> {
    pub(super) rest: &'b [u8],
}

impl<'b> Fields<'b> {
    pub(super) fn input(&mut self) -> Result<Input<'b>, Unreadable> {
        Ok(match self.take::<u32>()? {
            0 => Input::Start,
            1 => Input::Opened {
                link: self.take()?,
                peer: self.take()?,
            },
            2 => Input::Bytes {
                link: self.take()?,
                bytes: self.take()?,
                handles: self.take()?,
            },
            3 => Input::Wrote {
                link: self.take()?,
                count: self.take()?,
            },
            4 => Input::Closed { link: self.take()? },
            5 => Input::Completed(Completion {
                op: self.take::<OpId>()?,
                report: self.report()?,
            }),
            6 => Input::Progress {
                sealed: self.take()?,
                total: self.take()?,
                revision: self.take()?,
            },
            7 => Input::Unbound,
            8 => Input::Deadline,
            9 => Input::Probation(self.take()?),
            other => return Err(Unreadable::Unknown(other)),
        })
    }

    fn report(&mut self) -> Result<Report<'b>, Unreadable> {
        Ok(match self.take::<u32>()? {
            0 => Report::Failed(self.take()?),
            1 => Report::Done,
            2 => Report::Drained(self.take()?),
            3 => Report::Sealed(SealReport {
                revisions: self.list()?,
                fingerprint: self.take()?,
            }),
            4 => Report::Lock(self.take()?),
            5 => Report::Path(self.take()?),
            6 => Report::Opened(OpenReport {
                listening_on: self.list()?,
                healthy: self.take()?,
                revisions: self.list()?,
            }),
            7 => Report::Linked(self.take()?),
            8 => Report::Started(self.take()?),
            9 => Report::Scene(self.take()?),
            10 => Report::Listeners(ListenersReport {
                names: self.list()?,
                handles: self.take()?,
            }),
            11 => Report::Snapshot(SnapshotReport {
                open_connections: self.take()?,
                revisions: self.list()?,
            }),
            other => return Err(Unreadable::Unknown(other)),
        })
    }

    pub(super) fn take<T: Deserialize<'b>>(&mut self) -> Result<T, Unreadable> {
        let (value, rest) = take_from_bytes(self.rest)?;
        self.rest = rest;
        Ok(value)
    }

    fn list<T: Deserialize<'b>>(&mut self) -> Result<List<'b, T>, Unreadable> {
        let (list, rest) = List::take_from(self.rest)?;
        self.rest = rest;
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::LinkId;
    use crate::op::{DrainReport, LinkReport, LockReport, PathOwner, Process, Scene, Verdict};
    use crate::wire::{Fault, Names, Revisions};

    const LINK: LinkId = LinkId(300);
    const PROCESS: Process = Process {
        pid: 7,
        start: u64::MAX,
    };

    const REPORTS: &[Report<'static>] = &[
        Report::Failed("naïve ✓"),
        Report::Done,
        Report::Drained(DrainReport {
            open_connections: 3,
            accept_closed: true,
        }),
        Report::Lock(LockReport::Taken {
            generation: 1 << 40,
        }),
        Report::Lock(LockReport::Held),
        Report::Path(PathOwner::Ours),
        Report::Path(PathOwner::Theirs),
        Report::Path(PathOwner::Nobody),
        Report::Linked(LinkReport {
            link: LINK,
            process: PROCESS,
        }),
        Report::Started(PROCESS),
        Report::Scene(Scene {
            incumbent_alive: true,
            successor_alive: false,
            lock_free: true,
        }),
    ];

    const OTHERS: &[Input<'static>] = &[
        Input::Start,
        Input::Opened {
            link: LINK,
            peer: u32::MAX,
        },
        Input::Bytes {
            link: LINK,
            bytes: b"some bytes",
            handles: crate::Handles {
                first: 1 << 20,
                count: 253,
            },
        },
        Input::Wrote {
            link: LINK,
            count: 1 << 20,
        },
        Input::Closed { link: LINK },
        Input::Progress {
            sealed: 1,
            total: 2,
            revision: 3,
        },
        Input::Unbound,
        Input::Deadline,
        Input::Probation(Verdict::Orphaned),
    ];

    /// A new input has to be listed above, and read by `Fields::input`.
    fn is_listed(input: &Input<'_>) {
        match input {
            Input::Start
            | Input::Opened { .. }
            | Input::Bytes { .. }
            | Input::Wrote { .. }
            | Input::Closed { .. }
            | Input::Completed(_)
            | Input::Progress { .. }
            | Input::Unbound
            | Input::Deadline
            | Input::Probation(_) => {}
        }
    }

    fn comes_back(input: &Input<'_>) {
        is_listed(input);
        let now = Instant::from_nanos(1 << 50);
        let mut room = [0xff; 160];
        let used = encode_input(now, input, &mut room).unwrap();
        assert_eq!(decode_input(&room), Ok((now, *input, used)));
        for cut in 0..used {
            let cut_short = decode_input(&room[..cut]);
            assert_eq!(cut_short, Err(Unreadable::CutShort), "{input:?} at {cut}");
            assert_eq!(encode_input(now, input, &mut [0; 160][..cut]), Err(NoRoom));
        }
    }

    #[test]
    fn every_input_comes_back_and_one_that_is_cut_short_does_not() {
        for input in OTHERS {
            comes_back(input);
        }
        let revisions = Revisions::from(&[0, 300, u64::MAX][..]);
        let sealed = Report::Sealed(SealReport {
            revisions,
            fingerprint: [9; 32],
        });
        let opened = Report::Opened(OpenReport {
            listening_on: Names::from(&["http", ""][..]),
            healthy: true,
            revisions,
        });
        let listeners = Report::Listeners(ListenersReport {
            names: Names::from(&["http", "admin"][..]),
            handles: crate::Handles { first: 0, count: 2 },
        });
        let snapshot = Report::Snapshot(SnapshotReport {
            open_connections: 7,
            revisions,
        });
        let lending = [sealed, opened, listeners, snapshot];
        for report in REPORTS.iter().copied().chain(lending) {
            let op = OpId(77);
            comes_back(&Input::Completed(Completion { op, report }));
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        assert_eq!(decode_input(&[0, 10]), Err(Unreadable::Unknown(10)));
        assert_eq!(decode_input(&[0, 5, 1, 12]), Err(Unreadable::Unknown(12)));
        let not_utf8 = decode_input(&[0, 5, 1, 0, 1, 0xff]);
        assert_eq!(not_utf8, Err(Unreadable::Damaged(Fault::NotUtf8)));
        let too_long = decode_input(&[0xff; 11]);
        assert_eq!(too_long, Err(Unreadable::Damaged(Fault::OutOfRange)));
    }
}
