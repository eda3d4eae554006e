//! The directory of a log: who owns it, who is using it, and how far it was durable.
//!
//! ```text
//! identity   whose log this is (text), written last when the directory is made
//! lock       held while a process has the log open
//! durable    stamp of the directory, and number of the last batch known to be durable
//! raft/      the log itself, written by raft-engine
//! snapshot-<index>-<hash>.bin  the last two snapshots
//! ```
//!
//! `durable` is a witness. A log that lost its tail looks like one that never had it, and a replica
//! that comes back with less than it promised breaks Raft. So after each flush the batch's number
//! is written here, without a flush of its own: after the death of the process it is exact; after a
//! power cut it may be some tens of seconds old, but never ahead of the log. It is flushed at each
//! start and with each snapshot.
//!
//! The stamp is drawn when the directory is made and stands in every batch of its log: a log that
//! was put beside the witness of another is not this one.

#[cfg(test)]
use crate::journal::{self, Op};
use crate::seal::{seal, unseal};
use crate::snapshot::write_whole;
use crate::{Identity, fault};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use syncom_seam::DiskFault;

const MAGIC: &[u8; 8] = b"SYNCDUR2";

/// An open directory, locked against other processes for as long as this lives.
#[derive(Debug)]
pub(crate) struct Home {
    dir: PathBuf,
    stamp: u64,
    witness: File,
    _lock: File,
}

impl Home {
    /// Enters `dir`, making it for `identity` if it is new. Returns also the number of the last
    /// batch that is known to have been durable.
    pub(crate) fn enter(dir: &Path, identity: Identity) -> Result<(Self, u64), DiskFault> {
        let at = |name: &str| dir.join(name);
        make_dir(dir)?;
        let lock = lock(&at("lock"))?;
        let known = fs::read(at("identity"));
        match &known {
            Ok(text) => check(&at("identity"), text, identity)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if at("raft").exists() {
                    return Err(fault::corrupt(&at("identity"), "missing, though there is a log"));
                }
                write_whole(&at("durable"), &mark(draw_stamp()?, 0))?;
                write_whole(&at("identity"), text(identity).as_bytes())?;
            }
            Err(error) => return Err(fault::io(&at("identity"), error)),
        }
        make_dir(&at("raft"))?;
        let (stamp, durable) = read_mark(&at("durable"))?;
        let witness = OpenOptions::new().write(true).open(at("durable"));
        let witness = witness.map_err(|error| fault::io(&at("durable"), &error))?;
        Ok((Self { dir: dir.to_path_buf(), stamp, witness, _lock: lock }, durable))
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A number that only this directory has.
    pub(crate) const fn stamp(&self) -> u64 {
        self.stamp
    }

    /// Where the log library writes.
    pub(crate) fn raft(&self) -> PathBuf {
        self.dir.join("raft")
    }

    /// Notes that `batch` is durable.
    pub(crate) fn witness(&self, batch: u64) -> Result<(), DiskFault> {
        let mark = mark(self.stamp, batch);
        #[cfg(test)]
        journal::note(&self.dir.join("durable"), |path| Op::Write(path, 0, mark.clone()));
        let written = self.witness.write_all_at(&mark, 0);
        written.map_err(|error| fault::io(&self.dir.join("durable"), &error))
    }

    /// Makes the last note durable itself.
    pub(crate) fn settle(&self) -> Result<(), DiskFault> {
        #[cfg(test)]
        journal::note(&self.dir.join("durable"), Op::Sync);
        let synced = self.witness.sync_data();
        synced.map_err(|error| fault::io(&self.dir.join("durable"), &error))
    }
}

fn make_dir(dir: &Path) -> Result<(), DiskFault> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| fault::io(dir, &error))
}

fn lock(path: &Path) -> Result<File, DiskFault> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(|error| fault::io(path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DiskFault::Io(format!(
            "{}: the log is in use by another process; what to do: stop that one first",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(fault::io(path, &error)),
    }
}

fn text(identity: Identity) -> String {
    let Identity { cluster, replica } = identity;
    format!("syncom log\nformat 1\ncluster {cluster}\nreplica {replica}\n")
}

/// Refuses a log that is not `identity`'s. The text is compared as a whole: a number that one
/// changed digit turned into another valid one is still not ours.
fn check(path: &Path, found: &[u8], identity: Identity) -> Result<(), DiskFault> {
    if found == text(identity).as_bytes() {
        return Ok(());
    }
    let Identity { cluster, replica } = identity;
    let found = String::from_utf8_lossy(found.get(..120).unwrap_or(found)).replace('\n', ", ");
    Err(DiskFault::Corrupt(format!(
        "{}: the log belongs to \"{found}\", this is replica {replica} of cluster {cluster}, \
         format 1; what to do: start the replica whose log it is, or replace this one by a new \
         one with an empty directory, `syncom station replace OLD NEW`",
        path.display()
    )))
}

/// A number that nobody can guess.
fn draw_stamp() -> Result<u64, DiskFault> {
    let source = Path::new("/dev/urandom");
    let mut stamp = [0; 8];
    let drawn = File::open(source).and_then(|mut file| file.read_exact(&mut stamp));
    drawn.map_err(|error| fault::io(source, &error))?;
    Ok(u64::from_le_bytes(stamp))
}

/// The content of the witness.
pub(crate) fn mark(stamp: u64, batch: u64) -> Vec<u8> {
    seal([MAGIC.as_slice(), &stamp.to_le_bytes(), &batch.to_le_bytes()].concat())
}

fn read_mark(path: &Path) -> Result<(u64, u64), DiskFault> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(fault::corrupt(path, "missing"));
        }
        Err(error) => return Err(fault::io(path, &error)),
    };
    let mut fields = unseal(MAGIC, &bytes).map_err(|what| fault::corrupt(path, what))?;
    let mark = (fields.u64(), fields.u64());
    match (mark, fields.end(())) {
        ((Some(stamp), Some(batch)), Some(())) => Ok((stamp, batch)),
        _ => Err(fault::corrupt(path, "wrong length")),
    }
}
