//! Snapshots between replicas: the leader announces one by a manifest, the follower pulls it
//! ([`super::pull`]) while the leader keeps it ([`super::sending`]).

use crate::machine::encoder::Encoder;
use crate::machine::snapshot::SNAPSHOT_MAX;
use crate::raft::conf::Conf;
use std::sync::Arc;
use syncom_wire::ids::hash;
use syncom_wire::limits::{REPLICAS_MAX, SNAPSHOT_CHUNK};
use syncom_wire::snapshot::{ChunkHead, SnapshotAsk, SnapshotChunk};
use syncom_wire::{Malformed, Reader};

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
    /// Whether a replica has a part in what it describes.
    pub(crate) fn names(&self, id: u64) -> bool {
        self.voters.contains(&id) || self.learners.contains(&id)
    }

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

/// A snapshot with its bytes, as it stands in memory: once, however many hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) manifest: Manifest,
    pub(crate) data: Arc<Vec<u8>>,
}

impl Image {
    /// Of a configuration in which one majority decides.
    pub(crate) fn new(index: u64, term: u64, conf: &Conf, data: Vec<u8>) -> Self {
        let (total, hash) = (data.len() as u64, hash(&data));
        let (voters, learners) = (conf.voters.clone(), conf.learners.clone());
        let manifest = Manifest { index, term, total, hash, voters, learners };
        Self { manifest, data: Arc::new(data) }
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
