//! Reads bytes as a little program, so that mutations of the bytes are changes of the program.
//!
//! A script never fails: when its bytes run out, every answer is zero and [`Script::is_done`] tells.

use crate::goldens::goldens;
use std::collections::VecDeque;
use syncom_seam::{MS, SECOND};

/// Frames of the other side that a script remembers, to answer with parts of them.
const HEARD_MAX: usize = 16;
/// Changes to one frame.
const EDITS_MAX: u8 = 7;

/// Bytes, read from front to back.
#[derive(Clone, Debug)]
pub(crate) struct Script<'a> {
    rest: &'a [u8],
    heard: VecDeque<Vec<u8>>,
}

impl<'a> Script<'a> {
    /// Starts at the front of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, heard: VecDeque::with_capacity(HEARD_MAX) }
    }

    /// Whether nothing is left.
    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// A number below `bound`, which is at most 65,536.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let value = if bound <= 256 { usize::from(self.byte()) } else { self.short() };
        value % bound.max(1)
    }

    /// Up to `count` of the next bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (head, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        head
    }

    /// A number near which things tend to break, or any.
    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() {
            tag @ 0..200 => u64::from(tag),
            tag @ 200..210 => 1 << (6 * (tag - 200)),
            tag @ 210..220 => u64::MAX - u64::from(tag - 210),
            tag @ 220..230 => (1 << 20) + u64::from(tag) - 225,
            tag @ 230..240 => SECOND + u64::from(tag - 230),
            _ => self.bytes(8).iter().fold(0, |value, byte| value << 8 | u64::from(*byte)),
        }
    }

    /// The low half of [`Self::number`].
    pub(crate) fn number_u32(&mut self) -> u32 {
        u32::try_from(self.number() & u64::from(u32::MAX)).unwrap_or_default()
    }

    /// A pause, in ns.
    pub(crate) fn pause(&mut self) -> u64 {
        const PAUSES: [u64; 8] =
            [0, MS, 5 * MS, 50 * MS, 200 * MS, SECOND, 10 * SECOND, 100 * SECOND];
        PAUSES[self.below(PAUSES.len())]
    }

    /// Remembers a frame that the other side has sent.
    pub(crate) fn hear(&mut self, frame: &[u8]) {
        if self.heard.len() == HEARD_MAX {
            self.heard.pop_front();
        }
        self.heard.push_back(frame.to_vec());
    }

    /// Bytes of a frame: a golden one or one that was heard, edited; or anything behind a header.
    pub(crate) fn frame(&mut self) -> Vec<u8> {
        let mut frame = match self.byte() {
            0..16 => self.anything(),
            at @ 16..32 if !self.heard.is_empty() => {
                self.heard[usize::from(at) % self.heard.len()].clone()
            }
            at => goldens()[usize::from(at) % goldens().len()].clone(),
        };
        for _ in 0..self.byte() % (EDITS_MAX + 1) {
            self.edit(&mut frame);
        }
        frame
    }

    fn anything(&mut self) -> Vec<u8> {
        let (kind, len) = (self.byte(), self.byte());
        let body = self.bytes(usize::from(len));
        let len = u32::try_from(body.len()).unwrap_or_default().to_le_bytes();
        [&[kind, 1, 0, 0], &len[..], body].concat()
    }

    /// Changes a byte or a number, or puts in a part of something that was heard.
    fn edit(&mut self, frame: &mut [u8]) {
        let (what, at) = (self.byte(), self.short() % frame.len().max(1));
        match what % 4 {
            0 => overwrite(frame, at, &[self.byte()]),
            1 => overwrite(frame, at, &self.number_u32().to_le_bytes()),
            2 => overwrite(frame, at, &self.number().to_le_bytes()),
            _ => {
                let (which, from) = (self.byte(), usize::from(self.byte()));
                let len = [1, 2, 4, 8, 16, 32][usize::from(what / 4) % 6];
                let Some(heard) = self.heard.get(usize::from(which) % HEARD_MAX) else { return };
                overwrite(frame, at, heard.get(from..from + len).unwrap_or_default());
            }
        }
    }

    fn short(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }
}

fn overwrite(frame: &mut [u8], at: usize, bytes: &[u8]) {
    frame.iter_mut().skip(at).zip(bytes).for_each(|(old, new)| *old = *new);
}
