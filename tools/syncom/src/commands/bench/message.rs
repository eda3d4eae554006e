//! Numbered messages, and proof that each arrived, once, in order and whole.

/// Writes number `n` into a message: at its front, and mixed at its end.
#[inline]
pub(super) fn write(message: &mut [u8], n: u64) {
    if let Some(tail) = message.last_chunk_mut::<8>() {
        *tail = mixed(n).to_le_bytes();
    }
    if let Some(front) = message.first_chunk_mut::<8>() {
        *front = n.to_le_bytes();
    }
}

const fn mixed(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What was seen of a row of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Proof {
    /// Messages seen: the next one's number.
    pub(super) count: u64,
    /// Messages that were not the one expected.
    pub(super) wrong: u64,
    /// Messages that were left out, and how often: see [`Self::see_or_skip`].
    pub(super) missed: u64,
    pub(super) gaps: u64,
    hash: u64,
}

impl Proof {
    /// Looks at the next message, which must be `size` bytes long.
    #[inline]
    pub(super) fn see(&mut self, message: &[u8], size: usize) {
        let front =
            message.first_chunk::<8>().map_or(self.count, |bytes| u64::from_le_bytes(*bytes));
        let tail = message.last_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let is_right = front == self.count && message.len() == size;
        self.wrong += u64::from(!is_right);
        // Rotated, because in a message of eight bytes both are the same.
        let seen = tail.rotate_left(32) ^ front;
        self.hash = (self.hash ^ seen).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        self.count += 1;
    }

    /// The same where the stream may leave messages out, as long as it says so: a later message than
    /// the one expected is a gap.
    #[inline]
    pub(super) fn see_or_skip(&mut self, message: &[u8], size: usize) {
        if let Some(front) = message.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes))
            && front > self.count
        {
            self.missed += front - self.count;
            self.gaps += 1;
            self.count = front;
        }
        self.see(message, size);
    }

    /// A hash of everything that was seen.
    pub(super) const fn hash(&self) -> u64 {
        self.hash ^ self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_repeated_or_spoilt_message_shows() {
        for size in [8, 9, 16, 64] {
            let row = |numbers: &[u64]| {
                let mut proof = Proof::default();
                for n in numbers {
                    let mut message = vec![0; size];
                    write(&mut message, *n);
                    proof.see(&message, size);
                }
                proof
            };
            assert_eq!(row(&[0, 1, 2]).wrong, 0);
            assert_eq!(row(&[0, 2, 3]).wrong, 2);
            assert_eq!(row(&[0, 1, 1]).wrong, 1);
            assert_ne!(row(&[0, 1, 2]).hash(), row(&[0, 2, 1]).hash());
            let mut proof = Proof::default();
            proof.see(&[0; 7], size);
            assert_eq!(proof.wrong, 1);
            let mut proof = Proof::default();
            for n in [0_u64, 5, 6, 3] {
                let mut message = vec![0; size];
                write(&mut message, n);
                proof.see_or_skip(&message, size);
            }
            assert_eq!((proof.missed, proof.gaps, proof.wrong), (4, 1, 1));
        }
    }
}
