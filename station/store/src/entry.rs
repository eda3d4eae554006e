//! One log entry as it lies on the disk.

use crate::seal::{seal, unseal};
use syncom_seam::LogEntry;

const MAGIC: &[u8; 8] = b"SYNCENT1";

/// Magic, index, term, kind, data, hash. The length is the record's, and the hash covers it.
pub(crate) fn encode(entry: &LogEntry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entry.data.len() + 40);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&entry.index.to_le_bytes());
    bytes.extend_from_slice(&entry.term.to_le_bytes());
    bytes.push(entry.kind);
    bytes.extend_from_slice(&entry.data);
    seal(bytes)
}

/// The entry, or what is wrong with the bytes.
pub(crate) fn decode(sealed: &[u8]) -> Result<LogEntry, &'static str> {
    let mut fields = unseal(MAGIC, sealed)?;
    let header = (fields.u64(), fields.u64(), fields.u8());
    let (Some(index), Some(term), Some(kind)) = header else { return Err("too short") };
    Ok(LogEntry { index, term, kind, data: fields.rest() })
}
