//! Messages out of a line: whole ones where they lie, those that straddle pieces gathered first.

use crate::config::PREFIX;
use alloc::vec::Vec;

/// A message longer than any may be: the sender does not do what a sender does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// Reads a line piece by piece and hands out its messages.
///
/// A message that lies within one piece is lent from there; only one that straddles pieces is
/// copied, into a buffer that grows with what has really arrived and is then reused.
#[derive(Debug)]
pub(crate) struct Carry {
    bytes: Vec<u8>,
    message_max: usize,
    /// Bytes gathered so far.
    gathered: u64,
}

impl Carry {
    /// Nothing gathered; messages above `message_max` bytes break the line.
    pub(crate) fn new(message_max: usize) -> Self {
        let bytes = Vec::with_capacity(2 * crate::ring::Ring::PIECE_MAX);
        Self { bytes, message_max, gathered: 0 }
    }

    /// Forgets what was gathered.
    pub(crate) fn restart(&mut self) {
        self.bytes.clear();
    }

    /// Bytes gathered since the last call.
    pub(crate) const fn take_gathered(&mut self) -> u64 {
        core::mem::replace(&mut self.gathered, 0)
    }

    /// Hands out up to `left` messages of the line that goes on with `piece`. Returns how many
    /// bytes of the piece were taken: all, unless `left` has become 0.
    ///
    /// # Errors
    /// [`Broken`]: the line makes no sense from here on.
    #[inline]
    pub(crate) fn read(
        &mut self,
        piece: &[u8],
        left: &mut usize,
        on_message: &mut impl FnMut(&[u8]),
    ) -> Result<usize, Broken> {
        let mut rest = piece;
        if !self.bytes.is_empty() {
            let taken = self.complete(piece, left, on_message)?;
            rest = piece.get(taken..).unwrap_or_default();
        }
        while *left > 0 {
            let Some((prefix, behind)) = rest.split_first_chunk::<PREFIX>() else { break };
            let Some((message, behind)) = behind.split_at_checked(length(*prefix)) else { break };
            on_message(message);
            *left -= 1;
            rest = behind;
        }
        if *left > 0 && !rest.is_empty() {
            self.keep(rest)?;
            rest = &[];
        }
        Ok(piece.len() - rest.len())
    }

    /// Goes on with the message that is being gathered; returns how many bytes that took.
    fn complete(
        &mut self,
        piece: &[u8],
        left: &mut usize,
        on_message: &mut impl FnMut(&[u8]),
    ) -> Result<usize, Broken> {
        if *left == 0 {
            return Ok(0);
        }
        let mut taken = 0;
        while let Some(missing) = self.missing()?.filter(|missing| *missing > 0) {
            let Some(next) = piece.get(taken..piece.len().min(taken + missing)) else { break };
            if next.is_empty() {
                return Ok(taken);
            }
            self.bytes.extend_from_slice(next);
            self.gathered += next.len() as u64;
            taken += next.len();
        }
        on_message(self.bytes.get(PREFIX..).unwrap_or_default());
        *left -= 1;
        self.bytes.clear();
        Ok(taken)
    }

    /// Begins to gather a message.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.bytes.extend_from_slice(bytes);
        self.gathered += bytes.len() as u64;
        self.missing().map(|_| ())
    }

    /// How many bytes to gather next: the rest of the prefix, or of the message.
    fn missing(&self) -> Result<Option<usize>, Broken> {
        let Some(prefix) = self.bytes.first_chunk::<PREFIX>() else {
            return Ok(Some(PREFIX - self.bytes.len()));
        };
        let len = length(*prefix);
        if len > self.message_max {
            return Err(Broken);
        }
        Ok((PREFIX + len).checked_sub(self.bytes.len()))
    }
}

/// What a prefix says.
#[inline]
const fn length(prefix: [u8; PREFIX]) -> usize {
    u32::from_le_bytes(prefix) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};
    use std::vec;

    fn line(messages: &[Vec<u8>]) -> Vec<u8> {
        let prefixed = |message: &Vec<u8>| {
            let mut bytes = u32::try_from(message.len()).unwrap().to_le_bytes().to_vec();
            bytes.extend_from_slice(message);
            bytes
        };
        messages.iter().flat_map(prefixed).collect()
    }

    proptest! {
        #[test]
        fn however_the_line_is_cut_and_limited_the_same_messages_come_out(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..90), 0..20),
            cuts in proptest::collection::vec((1..60_usize, 1..4_usize), 1..200),
        ) {
            let line = line(&messages);
            let (mut carry, mut out, mut at) = (Carry::new(100), vec![], 0);
            for (len, limit) in cuts.iter().cycle().take(5_000) {
                let mut left = *limit;
                let piece = &line[at..line.len().min(at + len)];
                at += carry.read(piece, &mut left, &mut |message| out.push(message.to_vec())).unwrap();
            }
            assert_eq!(at, line.len());
            assert_eq!(out, messages);
        }
    }

    #[test]
    fn a_message_that_is_too_long_breaks_the_line_before_it_is_gathered() {
        let mut carry = Carry::new(100);
        let mut left = 9;
        let read = carry.read(&line(&[vec![1; 101]])[..50], &mut left, &mut |_| panic!());
        assert_eq!(read, Err(Broken));
        carry.restart();
        assert_eq!(carry.read(&[255, 255], &mut left, &mut |_| panic!()), Ok(2));
        assert_eq!(carry.read(&[255, 255], &mut left, &mut |_| panic!()), Err(Broken));
        assert!(carry.bytes.capacity() < 1 << 20);
    }
}
