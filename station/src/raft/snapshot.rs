//! Snapshots between replicas: the leader announces one by a manifest, the follower pulls it.

use crate::machine::encoder::Encoder;
use crate::machine::snapshot::SNAPSHOT_MAX;
use std::collections::BTreeMap;
use syncom_seam::{SECOND, Time};
use syncom_wire::ids::hash;
use syncom_wire::limits::{REPLICAS_MAX, SNAPSHOT_CHUNK};
use syncom_wire::raft::RaftHead;
use syncom_wire::snapshot::{ChunkHead, SnapshotAsk, SnapshotChunk};
use syncom_wire::{Malformed, Reader};

/// A follower that asks for nothing for so long is given up; Raft then probes it anew. Without
/// this, one lost snapshot stops a follower for ever (etcd#10225).
const SEND_PATIENCE_NS: u64 = 5 * SECOND;
/// A follower asks again after this long without a chunk, and gives up after ten times.
pub(crate) const PULL_PATIENCE_NS: u64 = SECOND / 2;
const PULLS_MAX: u32 = 10;

/// What a snapshot is, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) total: u64,
    pub(crate) hash: u64,
    pub(crate) voters: Vec<u64>,
    pub(crate) learners: Vec<u64>,
}

impl Manifest {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.field(self.index);
        out.field(self.term);
        out.field(self.total);
        out.field(self.hash);
        out.count(self.voters.len());
        self.voters.iter().for_each(|voter| out.field(*voter));
        out.count(self.learners.len());
        self.learners.iter().for_each(|learner| out.field(*learner));
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let (index, term) = (reader.field()?, reader.field()?);
        let (total, hash) = (reader.field()?, reader.field()?);
        let voters = crate::machine::command::list(&mut reader, REPLICAS_MAX, |r| r.field())?;
        let learners = crate::machine::command::list(&mut reader, REPLICAS_MAX, |r| r.field())?;
        reader.end()?;
        if index == 0 || total > SNAPSHOT_MAX as u64 {
            return Err(Malformed("manifest out of bounds"));
        }
        Ok(Self { index, term, total, hash, voters, learners })
    }
}

/// A snapshot with its bytes, as it stands in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) manifest: Manifest,
    pub(crate) data: Vec<u8>,
}

impl Image {
    pub(crate) fn new(index: u64, term: u64, voters: Vec<u64>, data: Vec<u8>) -> Self {
        let (total, hash, learners) = (data.len() as u64, hash(&data), Vec::new());
        Self { manifest: Manifest { index, term, total, hash, voters, learners }, data }
    }

    /// The same with these learners.
    pub(crate) fn with_learners(mut self, learners: Vec<u64>) -> Self {
        self.manifest.learners = learners;
        self
    }

    /// The part that was asked for; nothing from beyond the end.
    pub(crate) fn chunk(&self, ask: &SnapshotAsk) -> SnapshotChunk<'_> {
        let from = usize::try_from(ask.offset).unwrap_or(usize::MAX).min(self.data.len());
        let to = (from + SNAPSHOT_CHUNK).min(self.data.len());
        let head = ChunkHead {
            index: ask.index,
            term: ask.term,
            offset: from as u64,
            total: self.manifest.total,
            hash: self.manifest.hash,
        };
        SnapshotChunk { head, data: &self.data[from..to] }
    }
}

/// A snapshot that a follower is pulling.
#[derive(Clone, Debug)]
pub(crate) struct Pull {
    pub(crate) head: RaftHead,
    pub(crate) manifest: Manifest,
    data: Vec<u8>,
    deadline: Time,
    tries: u32,
}

/// What a chunk led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// It belongs to something else.
    Foreign,
    /// Ask for the next.
    More,
    /// The snapshot is whole and is what the manifest says.
    Whole,
    /// The sender no longer has it, or the bytes are not what the manifest says.
    Broken,
}

impl Pull {
    pub(crate) const fn new(head: RaftHead, manifest: Manifest, now: Time) -> Self {
        let deadline = now.after(PULL_PATIENCE_NS);
        Self { head, manifest, data: Vec::new(), deadline, tries: 0 }
    }

    /// What to ask for next.
    pub(crate) const fn ask(&self) -> SnapshotAsk {
        SnapshotAsk {
            index: self.manifest.index,
            term: self.manifest.term,
            offset: self.data.len() as u64,
            reserved: 0,
        }
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
        if head.offset != self.data.len() as u64 {
            return Pulled::Foreign;
        }
        self.data.extend_from_slice(chunk.data);
        self.deadline = now.after(PULL_PATIENCE_NS);
        self.tries = 0;
        if (self.data.len() as u64) < manifest.total {
            return if chunk.data.is_empty() { Pulled::Broken } else { Pulled::More };
        }
        if hash(&self.data) == manifest.hash { Pulled::Whole } else { Pulled::Broken }
    }

    /// Whether it is time to ask again; `None` when it is time to give up.
    pub(crate) fn on_tick(&mut self, now: Time) -> Option<bool> {
        if now < self.deadline {
            return Some(false);
        }
        self.tries += 1;
        self.deadline = now.after(PULL_PATIENCE_NS);
        (self.tries < PULLS_MAX).then_some(true)
    }

    pub(crate) fn into_image(self) -> Image {
        Image { manifest: self.manifest, data: self.data }
    }
}

/// Followers that a leader has announced a snapshot to, and until when they must ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sending {
    deadlines: BTreeMap<u64, Time>,
}

impl Sending {
    /// A snapshot was announced to a follower, or it has asked for a part.
    pub(crate) fn extend(&mut self, follower: u64, now: Time) {
        self.deadlines.insert(follower, now.after(SEND_PATIENCE_NS));
    }

    pub(crate) fn knows(&self, follower: u64) -> bool {
        self.deadlines.contains_key(&follower)
    }

    /// Followers that are given up, forgotten by this call; `done` names those that have finished.
    pub(crate) fn give_up(&mut self, now: Time, done: impl Fn(u64) -> bool) -> Vec<u64> {
        self.deadlines.retain(|follower, _| !done(*follower));
        let late: Vec<u64> =
            self.deadlines.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        self.deadlines.retain(|_, at| *at > now);
        late
    }

    pub(crate) fn clear(&mut self) {
        self.deadlines.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncom_seam::MS;

    fn head() -> RaftHead {
        RaftHead {
            kind: 7,
            reject: 0,
            entries: 1,
            reserved: 0,
            to: 1,
            from: 2,
            term: 3,
            log_term: 0,
            index: 0,
            commit: 0,
            commit_term: 0,
            request_snapshot: 0,
            reject_hint: 0,
            priority: 0,
            generation: 0,
        }
    }

    #[test]
    fn a_snapshot_is_pulled_in_chunks_and_verified() {
        let data: Vec<u8> = (0..200_000_u32).map(|i| i.to_le_bytes()[1]).collect();
        let image = Image::new(9, 3, vec![1, 2], data);
        let manifest = Manifest::decode(&image.manifest.encode()).unwrap();
        assert_eq!(manifest, image.manifest);
        let mut pull = Pull::new(head(), manifest, Time(0));
        for _ in 0..3 {
            let ask = pull.ask();
            assert_eq!(pull.on_chunk(&image.chunk(&ask), Time(0)), Pulled::More);
            assert_eq!(pull.on_chunk(&image.chunk(&ask), Time(0)), Pulled::Foreign, "a repetition");
        }
        assert_eq!(pull.on_chunk(&image.chunk(&pull.ask()), Time(0)), Pulled::Whole);
        assert_eq!(pull.into_image(), image);
    }

    #[test]
    fn damaged_bytes_are_noticed() {
        let mut image = Image::new(9, 3, vec![1], vec![7; 100]);
        let mut pull = Pull::new(head(), image.manifest.clone(), Time(0));
        image.data[50] ^= 1;
        assert_eq!(pull.on_chunk(&image.chunk(&pull.ask()), Time(0)), Pulled::Broken);
    }

    #[test]
    fn silence_ends_both_sides() {
        let image = Image::new(9, 3, vec![1], vec![7; 100]);
        let mut pull = Pull::new(head(), image.manifest, Time(0));
        let mut now = Time(0);
        let mut asked = 0;
        while let Some(again) = pull.on_tick(now) {
            asked += u32::from(again);
            now = now.after(100 * MS);
        }
        assert_eq!(asked, PULLS_MAX - 1);
        let mut sending = Sending::default();
        sending.extend(2, Time(0));
        sending.extend(3, Time(0));
        assert!(sending.give_up(Time(SECOND), |id| id == 3).is_empty());
        assert_eq!(sending.give_up(Time(6 * SECOND), |_| false), [2]);
    }
}
