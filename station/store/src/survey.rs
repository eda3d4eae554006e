//! A look at the files of the log before the library sees them.
//!
//! The library has two habits that a store of promises cannot share. It believes a file's header,
//! which has no checksum. And in the newest file it takes the first batch that it cannot read for
//! the end of the log and cuts the rest off: right for the batch that a power cut tore, wrong for
//! one that rotted with others behind it. Batches are written one after the other, each durable
//! before the next begins, so a manifest found anywhere in that file proves that every batch before
//! its own was durable once. Manifests carry the stamp of their directory, a number that nobody
//! else knows, or a client could plant one in what it asks us to store.

use crate::fault;
use crate::manifest::{MAGIC, Manifest, SIZE};
use std::fs::{self, File};
use std::io::Error;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use syncom_seam::DiskFault;

/// First bytes of each file of the log in the version that we write; eight of alignment follow.
const HEADER: &[u8; 61] =
    b"RAFT-LOG-FILE-HEADER-9986AB3E47F320B394C8E84916EB0ED5\0\0\0\0\0\0\0\x02";

/// Refuses files whose header asks for an alignment, which we never write: the library would
/// allocate whatever a damaged one asks for. Returns the number of the last batch that was durable
/// for certain, as far as the newest file of the log shows; 0 if it shows nothing.
pub(crate) fn survey(raft: &Path, stamp: u64) -> Result<u64, DiskFault> {
    let failed = |error: Error| fault::io(raft, &error);
    let mut newest: Option<PathBuf> = None;
    for entry in fs::read_dir(raft).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let kind = path.extension().and_then(|kind| kind.to_str());
        if !matches!(kind, Some("raftlog" | "rewrite")) {
            continue;
        }
        let mut header = [0; 69];
        let read = File::open(&path).map_err(failed)?.read_exact_at(&mut header, 0);
        if read.is_ok() && header.starts_with(HEADER) && !header.ends_with(&[0; 8]) {
            return Err(fault::corrupt(&path, "header damaged"));
        }
        // Their names are numbers of one length.
        if kind == Some("raftlog") && newest.as_ref().is_none_or(|newest| *newest < path) {
            newest = Some(path);
        }
    }
    let Some(newest) = newest else { return Ok(0) };
    let bytes = fs::read(&newest).map_err(|error| fault::io(&newest, &error))?;
    Ok(last_manifest(&bytes, stamp).saturating_sub(1))
}

/// The highest batch of which a manifest with this stamp lies in `bytes`; 0 without any.
fn last_manifest(bytes: &[u8], stamp: u64) -> u64 {
    let mut last = 0;
    let mut rest = bytes;
    while let Some(skip) = rest.iter().position(|byte| *byte == MAGIC[0]) {
        rest = rest.get(skip..).unwrap_or_default();
        if rest.starts_with(MAGIC)
            && let Some(Ok(manifest)) = rest.get(..SIZE).map(Manifest::decode)
            && manifest.stamp == stamp
        {
            last = last.max(manifest.batch);
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_counts_wherever_it_lies_unless_another_hand_wrote_it() {
        let with = |stamp, batch| Manifest { stamp, batch, ..Manifest::default() }.encode();
        assert_eq!(with(1, 1).len(), SIZE);
        let mut bytes = [b"SSSYNC".to_vec(), with(5, 8), vec![0; 99], with(5, 7)].concat();
        assert_eq!(last_manifest(&bytes, 5), 8);
        bytes.extend(with(6, 1_000));
        assert_eq!(last_manifest(&bytes, 5), 8, "planted with a guessed stamp");
        bytes[6 + 20] ^= 1;
        assert_eq!(last_manifest(&bytes, 5), 7, "damaged");
        assert_eq!(last_manifest(&bytes[..SIZE], 5), 0, "cut short");
    }
}
