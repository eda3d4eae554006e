//! Bytes that know when they were changed, and reading them back field by field.
//!
//! Everything this room writes is little-endian, begins with eight bytes that say what it is and in
//! which format, and ends with a 64-bit hash of all before it: FNV-1a with a final avalanche. Each
//! step of it is a bijection, so a change confined to one byte is always found; any other damage
//! passes with a chance of 2^-64. Below it lies raft-engine's CRC-32 of each batch. Neither is a
//! defence against somebody who writes to the disk on purpose.

use syncom_wire::ids::hash;

/// Bytes of the hash at the end.
const HASH_LEN: usize = 8;

/// Ends `bytes` with their hash.
pub(crate) fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = hash(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// The hash at the end of sealed bytes: their name in a manifest.
pub(crate) fn sum_of(sealed: &[u8]) -> u64 {
    sealed.last_chunk::<HASH_LEN>().map_or(0, |sum| u64::from_le_bytes(*sum))
}

/// The fields of sealed bytes of one kind, or what is wrong with them.
pub(crate) fn unseal<'a>(magic: &[u8; 8], sealed: &'a [u8]) -> Result<Fields<'a>, &'static str> {
    let Some((body, sum)) = sealed.split_last_chunk::<HASH_LEN>() else { return Err("too short") };
    if hash(body) != u64::from_le_bytes(*sum) {
        return Err("hash differs");
    }
    body.strip_prefix(magic).map(Fields).ok_or("unknown kind or format")
}

/// What is left to read of checked bytes. Every getter returns `None` when they end too early.
#[derive(Debug)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A list of numbers, as [`put_list`] wrote it.
    pub(crate) fn list(&mut self) -> Option<Vec<u64>> {
        let count = self.u32()?;
        (0..count).map(|_| self.u64()).collect()
    }

    /// All that is left.
    pub(crate) fn rest(self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// `value`, if nothing is left.
    pub(crate) fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
}

/// Writes a list of numbers after its length.
pub(crate) fn put_list(bytes: &mut Vec<u8>, list: &[u64]) {
    let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&count.to_le_bytes());
    for number in list {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: &[u8; 8] = b"TESTING1";

    #[test]
    fn no_single_changed_byte_and_no_shortening_passes() {
        let sealed = seal([MAGIC.as_slice(), &[7; 40]].concat());
        assert!(unseal(MAGIC, &sealed).is_ok());
        for place in 0..sealed.len() {
            for flip in 1..=255 {
                let mut bytes = sealed.clone();
                bytes[place] ^= flip;
                assert!(unseal(MAGIC, &bytes).is_err(), "byte {place} changed by {flip}");
            }
            assert!(unseal(MAGIC, &sealed[..place]).is_err(), "cut to {place} bytes");
        }
    }

    #[test]
    fn another_kind_is_refused_though_its_hash_is_right() {
        let sealed = seal(b"TESTING2".to_vec());
        assert_eq!(unseal(MAGIC, &sealed).unwrap_err(), "unknown kind or format");
    }
}
