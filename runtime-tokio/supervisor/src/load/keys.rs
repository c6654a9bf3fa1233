//! The keys that a load writes, and which of them were acknowledged.
//!
//! Key and value follow from the worker and a sequence number, so that remembering an acknowledged
//! write takes no memory as long as its neighbours were acknowledged too.

use std::ops::Range;

/// How keys are named and how long values are.
#[derive(Debug, Clone)]
pub(crate) struct Naming {
    /// What every key begins with.
    pub(crate) key_prefix: String,
    /// Length of every value, in bytes. Values shorter than about 16 bytes may be equal for
    /// different keys.
    pub(crate) value_len: usize,
}

impl Naming {
    /// The key of `worker`'s write number `seq`.
    pub(crate) fn key(&self, worker: usize, seq: u64) -> String {
        format!("{}:{worker}:{seq}", self.key_prefix)
    }

    /// The value of `worker`'s write number `seq`.
    pub(crate) fn value(&self, worker: usize, seq: u64) -> Vec<u8> {
        let text = format!("{worker}:{seq};");
        text.bytes().cycle().take(self.value_len).collect()
    }
}

/// The sequence numbers of one worker's acknowledged writes, in rising order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AckedSeqs {
    ranges: Vec<Range<u64>>,
    count: u64,
}

impl AckedSeqs {
    /// Remembers `seq`, which must be larger than all before.
    pub(crate) fn push(&mut self, seq: u64) {
        self.count += 1;
        match self.ranges.last_mut() {
            Some(last) if last.end == seq => last.end += 1,
            _ => self.ranges.push(seq..seq + 1),
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// One of them, which one depending on `choice`; `None` when there is none.
    pub(crate) fn pick(&self, choice: u64) -> Option<u64> {
        let mut left = choice.checked_rem(self.count)?;
        for range in self.ranges.iter().rev() {
            let length = range.end - range.start;
            if left < length {
                return Some(range.end - 1 - left);
            }
            left -= length;
        }
        None
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        self.ranges.iter().cloned().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_range() {
        let mut acked = AckedSeqs::default();
        assert_eq!(acked.pick(7), None);
        for seq in [0, 1, 2, 5, 6] {
            acked.push(seq);
        }
        assert_eq!(acked.ranges, [0..3, 5..7]);
        assert_eq!(acked.iter().collect::<Vec<_>>(), [0, 1, 2, 5, 6]);
        let picked: Vec<_> = (0..6).filter_map(|choice| acked.pick(choice)).collect();
        assert_eq!(picked, [6, 5, 2, 1, 0, 6]);
    }

    #[test]
    fn values_follow_from_their_key() {
        let naming = Naming {
            key_prefix: "p".into(),
            value_len: 9,
        };
        assert_eq!(naming.key(3, 14), "p:3:14");
        assert_eq!(naming.value(3, 14), b"3:14;3:14");
    }
}
