//! A follower's side of a snapshot: it asks for parts, a few at a time.
//!
//! Whoever wants the bytes sets the pace. A **window** of parts is under way: it grows by one with
//! every part that comes soon after it was asked for, and is halved by one that does not, down to
//! one. So a slow path is never filled with more than a part or two, behind which votes and
//! heartbeats, which travel as datagrams of their own, would wait in the queues of the network; and
//! a quick one is kept busy. What has arrived is kept, whatever happens to the stream or the leader:
//! the same snapshot from another leader goes on where it was.

use crate::raft::snapshot::{Image, Manifest};
use std::collections::VecDeque;
use std::sync::Arc;
use syncom_seam::{MS, SECOND, Time};
use syncom_wire::ids::hash;
use syncom_wire::limits::SNAPSHOT_CHUNK;
use syncom_wire::raft::RaftHead;
use syncom_wire::snapshot::{SnapshotAsk, SnapshotChunk};

/// A follower asks again after this long without a part, and gives up after ten times.
pub(crate) const PATIENCE_NS: u64 = SECOND / 2;
const TRIES_MAX: u32 = 10;
/// Parts under way at most: half of what the leader's stream holds.
pub(crate) const WINDOW_MAX: usize = 8;
/// A part that takes longer than this, questions before it included, came over a queue: as long as
/// the leader lets pass between two heartbeats.
const SOON_NS: u64 = 20 * MS;
/// Memory grows by so much at a time, so that nothing is copied over and a manifest alone, whatever
/// it says, costs little.
const GROWTH: usize = 4 << 20;

/// A snapshot that a follower is pulling.
#[derive(Clone, Debug)]
pub(crate) struct Pull {
    pub(crate) head: RaftHead,
    pub(crate) manifest: Manifest,
    data: Vec<u8>,
    /// Parts that were asked for and have not come: where each begins, and since when.
    asked: VecDeque<(u64, Time)>,
    window: usize,
    deadline: Time,
    tries: u32,
}

/// What a part led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// It belongs to something else, nobody asked for it, or something before it is missing.
    Foreign,
    /// Ask for more.
    More,
    /// The snapshot is whole and is what the manifest says.
    Whole,
    /// The sender no longer has it, or the bytes are not what the manifest says.
    Broken,
}

impl Pull {
    pub(crate) const fn new(head: RaftHead, manifest: Manifest, now: Time) -> Self {
        Self {
            head,
            manifest,
            data: Vec::new(),
            asked: VecDeque::new(),
            window: 1,
            deadline: now.after(PATIENCE_NS),
            tries: 0,
        }
    }

    /// What to ask for now, if the window has room; to be called until it has not.
    pub(crate) fn ask(&mut self, now: Time) -> Option<SnapshotAsk> {
        let offset = match self.asked.back() {
            Some((last, _)) => last + SNAPSHOT_CHUNK as u64,
            None => self.data.len() as u64,
        };
        // A snapshot without a byte is asked for, too: the answer makes it whole.
        let is_all = offset >= self.manifest.total && offset > 0;
        if is_all || self.asked.len() >= self.window {
            return None;
        }
        self.asked.push_back((offset, now));
        let Manifest { index, term, .. } = self.manifest;
        Some(SnapshotAsk { index, term, offset, reserved: 0 })
    }

    /// Whatever was asked for and has not come is lost: asks anew, and with care.
    pub(crate) fn restart(&mut self, now: Time) {
        self.asked.clear();
        self.window = 1;
        self.deadline = now.after(PATIENCE_NS);
    }

    /// Another leader has announced the same snapshot.
    pub(crate) fn adopt(&mut self, head: RaftHead, now: Time) {
        if head.from != self.head.from {
            self.restart(now);
        }
        self.head = head;
    }

    pub(crate) fn on_chunk(&mut self, chunk: &SnapshotChunk<'_>, now: Time) -> Pulled {
        let manifest = &self.manifest;
        let head = &chunk.head;
        if (head.index, head.term) != (manifest.index, manifest.term) {
            return Pulled::Foreign;
        }
        if (head.total, head.hash) != (manifest.total, manifest.hash) {
            return Pulled::Broken;
        }
        let is_asked = self.asked.front().is_some_and(|(offset, _)| *offset == head.offset);
        if !is_asked || head.offset != self.data.len() as u64 {
            return Pulled::Foreign;
        }
        let total = usize::try_from(manifest.total).unwrap_or(usize::MAX);
        if chunk.data.len() != (total - self.data.len()).min(SNAPSHOT_CHUNK) {
            return Pulled::Broken;
        }
        if self.data.capacity() - self.data.len() < chunk.data.len() {
            self.data.reserve_exact((total - self.data.len()).min(GROWTH));
        }
        self.data.extend_from_slice(chunk.data);
        self.pace(now);
        self.deadline = now.after(PATIENCE_NS);
        self.tries = 0;
        if self.data.len() < total {
            return Pulled::More;
        }
        if hash(&self.data) == self.manifest.hash { Pulled::Whole } else { Pulled::Broken }
    }

    /// Widens or narrows the window by how long the oldest part took, which has come.
    fn pace(&mut self, now: Time) {
        let Some((_, since)) = self.asked.pop_front() else { return };
        self.window = if now.since(since) <= SOON_NS {
            (self.window + 1).min(WINDOW_MAX)
        } else {
            (self.window / 2).max(1)
        };
    }

    /// Whether it is time to ask again; `None` when it is time to give up.
    pub(crate) fn on_tick(&mut self, now: Time) -> Option<bool> {
        if now < self.deadline {
            return Some(false);
        }
        self.tries += 1;
        self.restart(now);
        (self.tries < TRIES_MAX).then_some(true)
    }

    /// Memory that has been taken for it, in bytes.
    pub(crate) const fn held_bytes(&self) -> usize {
        self.data.capacity()
    }

    pub(crate) fn into_image(self) -> Image {
        Image { manifest: self.manifest, data: Arc::new(self.data) }
    }
}

#[cfg(test)]
mod tests;
