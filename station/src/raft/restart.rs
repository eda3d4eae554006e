//! How a replica's Raft begins: from nothing as a founder or a newcomer, or from what it stored.

use crate::config::StationConfig;
use crate::raft::codec;
use crate::raft::conf::{Change, Conf};
use crate::raft::snapshot::Image;
use crate::raft::storage::RamLog;
use raft::eraftpb::Entry;
use syncom_seam::{Loaded, SavedSnapshot};
use syncom_wire::ids::{hash, mix};

/// The log as it was stored, with those who have a part in it, and the index up to which the stored
/// snapshot goes. Whoever is no founder begins with an empty configuration: it waits for a snapshot.
pub(super) fn load(config: &StationConfig, loaded: Loaded) -> Result<(RamLog, u64), String> {
    let Loaded { hard, snapshot, entries } = loaded;
    let founders = config.replicas.iter().map(|(peer, _)| u64::from(peer.number())).collect();
    let mut conf = Conf::default();
    if config.is_founder() {
        conf = Conf::new(founders, Vec::new());
    }
    let mut applied = 0;
    let mut image = None;
    if let Some(snapshot) = snapshot {
        conf = Conf::new(snapshot.voters, snapshot.learners);
        conf.check().map_err(|why| format!("the stored snapshot has no sound replicas: {why}"))?;
        applied = snapshot.index;
        image = Some(Image::new(applied, snapshot.term, &conf, snapshot.data));
    }
    let mut log = RamLog::new(conf);
    if let Some(image) = image {
        log.reset_to(image);
    }
    let after = entries.iter().filter(|entry| entry.index > applied);
    if after.clone().any(|one| one.kind > codec::CHANGE || one.kind == 1)
        || after.clone().any(|one| one.kind == codec::CHANGE && Change::decode(&one.data).is_err())
    {
        return Err("the stored log holds an entry that this version cannot read".into());
    }
    let after: Vec<Entry> =
        after.map(|one| codec::new_entry(one.index, one.term, one.kind, &one.data)).collect();
    let gapless = after.iter().zip(applied + 1..).all(|(entry, index)| entry.index == index);
    if !gapless {
        return Err(format!("the stored log does not go on after its snapshot at {applied}"));
    }
    log.append(&after);
    let commit = hard.commit.max(applied);
    if commit > log.last() {
        return Err(format!(
            "the log ends at {} but {commit} was committed: its tail is lost; this replica must \
             not come back under its number with less than it promised: {}",
            log.last(),
            config.how_to_replace()
        ));
    }
    log.hard.term = hard.term;
    log.hard.vote = hard.vote;
    log.hard.commit = commit;
    Ok((log, applied))
}

/// A snapshot as the disk gets it. None is taken while two majorities decide, so it names one.
pub(super) fn saved(image: &Image) -> SavedSnapshot {
    SavedSnapshot {
        index: image.manifest.index,
        term: image.manifest.term,
        voters: image.manifest.voters.clone(),
        learners: image.manifest.learners.clone(),
        data: image.data.to_vec(),
    }
}

/// Names the cluster and its founders, so that messages of others are refused.
pub(super) fn generation(config: &StationConfig) -> u64 {
    let mut numbers: Vec<u32> = config.replicas.iter().map(|(peer, _)| peer.0).collect();
    numbers.sort_unstable();
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    mix(hash(&bytes) ^ u64::from(config.cluster))
}
