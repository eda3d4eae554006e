//! What a restart finds: everything checked against the manifest, or nothing at all.

use crate::files::{Files, Ledger};
use crate::home::Home;
use crate::manifest::Manifest;
use crate::store::{ENTRY, MANIFEST, REGION};
use crate::{Identity, entry, fault, snapshot};
use raft_engine::Engine;
use syncom_seam::{DiskFault, Loaded, LogEntry, SavedSnapshot};

/// A log that holds what its manifest says.
pub(crate) struct Found {
    /// The manifest, naming only snapshots that can be read.
    pub(crate) manifest: Manifest,
    /// What the role gets.
    pub(crate) loaded: Loaded,
    /// Keys of entries outside the log. Once rewritten, a deleted value may come back when the file
    /// with its deletion is gone; it must not stay.
    pub(crate) stale: Vec<Vec<u8>>,
}

/// Loads the log, of which batches up to `durable` were seen durable.
pub(crate) fn load(
    engine: &Engine<Files>,
    home: &Home,
    identity: Identity,
    durable: u64,
    ledger: &Ledger,
) -> Result<Found, DiskFault> {
    let raft = home.raft();
    let mut manifest = match engine.get(REGION, MANIFEST) {
        Some(bytes) => Manifest::decode(&bytes)
            .map_err(|what| fault::corrupt(&raft, format!("manifest: {what}")))?,
        None => Manifest { stamp: home.stamp(), ..Manifest::default() },
    };
    if manifest.stamp != home.stamp() {
        return Err(fault::corrupt(&raft, "the log of another directory"));
    }
    if manifest.batch < durable {
        let what = format!(
            "the log ends with batch {}, but batch {durable} was durable{}",
            manifest.batch,
            ledger.cut()
        );
        return Err(fault::corrupt(&raft, what));
    }
    let snapshot = newest_snapshot(home, identity, &mut manifest)?;
    let after = snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
    let (entries, stale) = entries(engine, &manifest, after)
        .map_err(|(index, what)| fault::corrupt(&raft, format!("entry {index}: {what}")))?;
    if manifest.hard.commit > after.max(manifest.next - 1) {
        let (commit, last) = (manifest.hard.commit, manifest.next - 1);
        let what = format!("the log ends at {last}, but {commit} was committed");
        return Err(fault::corrupt(&raft, what));
    }
    if entries.last().is_some_and(|last| last.term != manifest.last_term) {
        let what = format!("entry {}: not of the term that was written last", manifest.next - 1);
        return Err(fault::corrupt(&raft, what));
    }
    Ok(Found { loaded: Loaded { hard: manifest.hard, snapshot, entries }, manifest, stale })
}

/// The newest snapshot that can be read and that the log still follows.
///
/// The one before the last serves only while every entry since then is there; otherwise the fault
/// of the newest is returned.
fn newest_snapshot(
    home: &Home,
    identity: Identity,
    manifest: &mut Manifest,
) -> Result<Option<SavedSnapshot>, DiskFault> {
    let [newest, previous] = manifest.snapshots;
    let Some(newest) = newest else { return Ok(None) };
    let fault = match snapshot::read(home.dir(), identity.cluster, newest) {
        Ok(snapshot) => return Ok(Some(snapshot)),
        Err(fault) => fault,
    };
    let Some(previous) = previous.filter(|previous| manifest.first <= previous.index + 1) else {
        return Err(fault);
    };
    let snapshot = snapshot::read(home.dir(), identity.cluster, previous).map_err(|_| fault)?;
    manifest.snapshots = [Some(previous), None];
    Ok(Some(snapshot))
}

type Entries = (Vec<LogEntry>, Vec<Vec<u8>>);

/// Entries after the snapshot, and keys outside the log; or the index of the first bad entry and
/// what is wrong with it.
fn entries(
    engine: &Engine<Files>,
    manifest: &Manifest,
    after: u64,
) -> Result<Entries, (u64, &'static str)> {
    let start = manifest.first.max(after + 1);
    let (mut next, mut entries, mut stale) = (start, Vec::new(), Vec::new());
    let mut bad = None;
    let scan = engine.scan_raw_messages(REGION, Some(&[ENTRY]), Some(&[ENTRY + 1]), false, {
        |key, value| {
            let index = key.get(1..).and_then(|key| key.try_into().ok()).map(u64::from_be_bytes);
            match index {
                Some(index) if (start..manifest.next).contains(&index) => {
                    match entry::decode(value) {
                        _ if index != next => bad = Some((next, "missing")),
                        Ok(entry) if entry.index == index => entries.push(entry),
                        Ok(_) => bad = Some((index, "another entry in its place")),
                        Err(what) => bad = Some((index, what)),
                    }
                    next += 1;
                }
                Some(index) if (manifest.first..start).contains(&index) => {}
                Some(_) | None => stale.push(key.to_vec()),
            }
            bad.is_none()
        }
    });
    if scan.is_err() {
        return Err((next, "unreadable"));
    }
    match bad {
        Some(bad) => Err(bad),
        None if next < manifest.next => Err((next, "missing")),
        None if manifest.first > after + 1 => Err((after + 1, "missing")),
        None => Ok((entries, stale)),
    }
}
