//! Snapshots of the state machine: one sealed file each.

use crate::fault;
#[cfg(test)]
use crate::journal::{self, Op};
use crate::manifest::{Manifest, SnapshotRef};
use crate::seal::{Fields, put_list, seal, sum_of, unseal};
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use syncom_seam::{DiskFault, SavedSnapshot};

const MAGIC: &[u8; 8] = b"SYNCSNP1";

/// The file of a snapshot. The hash keeps two snapshots of one index apart: until the manifest names
/// the newer one, the older must stay what it was.
pub(crate) fn path(dir: &Path, named: SnapshotRef) -> PathBuf {
    dir.join(format!("snapshot-{}-{:016x}.bin", named.index, named.sum))
}

/// Writes `bytes` to `path` so that it holds all of them or what it held before, durably.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), DiskFault> {
    let temporary = path.with_extension("tmp");
    let write = || {
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        #[cfg(test)]
        journal::note(&temporary, |path| Op::Write(path, 0, bytes.to_vec()));
        file.write_all(bytes)?;
        file.sync_all()?;
        #[cfg(test)]
        journal::note(&temporary, Op::Sync);
        #[cfg(test)]
        journal::note(path, |path| Op::Rename(temporary.clone(), path));
        fs::rename(&temporary, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|error| fault::io(path, &error))
}

/// Makes a snapshot durable, and says how the manifest shall name it and how long it is.
pub(crate) fn write(
    dir: &Path,
    cluster: u32,
    snapshot: &SavedSnapshot,
) -> Result<(SnapshotRef, u64), DiskFault> {
    let mut bytes = Vec::with_capacity(snapshot.data.len() + 256);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&cluster.to_le_bytes());
    bytes.extend_from_slice(&snapshot.index.to_le_bytes());
    bytes.extend_from_slice(&snapshot.term.to_le_bytes());
    put_list(&mut bytes, &snapshot.voters);
    put_list(&mut bytes, &snapshot.learners);
    bytes.extend_from_slice(&snapshot.data);
    let sealed = seal(bytes);
    let named = SnapshotRef { index: snapshot.index, sum: sum_of(&sealed) };
    write_whole(&path(dir, named), &sealed)?;
    Ok((named, sealed.len() as u64))
}

/// Reads a snapshot that the manifest names.
pub(crate) fn read(
    dir: &Path,
    cluster: u32,
    named: SnapshotRef,
) -> Result<SavedSnapshot, DiskFault> {
    let path = path(dir, named);
    let sealed = match fs::read(&path) {
        Ok(sealed) => sealed,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(fault::corrupt(&path, "missing"));
        }
        Err(error) => return Err(fault::io(&path, &error)),
    };
    let fields = unseal(MAGIC, &sealed).map_err(|what| fault::corrupt(&path, what))?;
    match decode(fields) {
        Some((owner, snapshot))
            if owner == cluster
                && snapshot.index == named.index
                && sum_of(&sealed) == named.sum =>
        {
            Ok(snapshot)
        }
        Some(_) => Err(fault::corrupt(&path, "not the snapshot that the log names")),
        None => Err(fault::corrupt(&path, "too short")),
    }
}

/// Removes snapshots that the manifest no longer names, and leavings of interrupted writes.
pub(crate) fn sweep(dir: &Path, manifest: &Manifest) -> Result<(), DiskFault> {
    let kept: Vec<PathBuf> =
        manifest.snapshots.into_iter().flatten().map(|named| path(dir, named)).collect();
    let sweep = || {
        for file in fs::read_dir(dir)? {
            let file = file?;
            let ours = file.file_name().to_string_lossy().starts_with("snapshot-");
            if ours && !kept.contains(&file.path()) {
                #[cfg(test)]
                journal::note(&file.path(), Op::Remove);
                fs::remove_file(file.path())?;
            }
        }
        Ok(())
    };
    sweep().map_err(|error| fault::io(dir, &error))
}

fn decode(mut fields: Fields<'_>) -> Option<(u32, SavedSnapshot)> {
    let cluster = fields.u32()?;
    let (index, term) = (fields.u64()?, fields.u64()?);
    let (voters, learners) = (fields.list()?, fields.list()?);
    Some((cluster, SavedSnapshot { index, term, voters, learners, data: fields.rest() }))
}
