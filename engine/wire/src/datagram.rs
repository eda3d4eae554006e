//! The clear header of every sealed datagram.
//!
//! All 32 bytes are authenticated but not encrypted. The destination is authenticated too, without
//! being sent, unless [`Header::TO_ANY`] is set. After the header comes the sealed body, then the
//! 16-byte tag. Nonce: counter, shard, epoch and sender; never random, never repeated, because each
//! life of a process has a key of its own.

use crate::ids::{Boot, PeerId};
use crate::layout::{Fixed, Malformed, layout};

layout! {
    /// The clear header.
    pub struct Header: 32 {
        /// Protocol version; another one is dropped and counted.
        version: u8,
        /// See [`Header::TO_ANY`] and [`Header::WIDE`]; unknown bits are refused.
        flags: u8,
        /// Zero.
        reserved: u16,
        /// Hash of the cluster's identity: keeps strangers and twin clusters apart before any
        /// cryptography.
        cluster: u32,
        /// Key epoch: says which key to try, so that only one is.
        epoch: u16,
        /// Sending shard: each has its own counter.
        shard: u16,
        /// Who sealed it.
        sender: PeerId,
        /// Which life of that process: part of the key.
        boot: Boot,
        /// Counts the datagrams of this sender, life and shard from 1: nonce and replay number.
        counter: u64,
    }
}

impl Header {
    /// The protocol version of this crate.
    pub const VERSION: u8 = 1;
    /// Flag: sealed for anyone in the cluster (fan-out, or a receiver not known yet).
    pub const TO_ANY: u8 = 1;
    /// Flag: sealed with AEGIS-128X4 instead of AEGIS-128L, as bodies of 1 KiB and more are.
    pub const WIDE: u8 = 2;
    /// Bytes of the tag behind the body.
    pub const TAG: usize = 16;
    /// Where [`Header::sender`] lies, for those who tell datagrams apart before they are opened.
    pub const SENDER_AT: usize = 12;
    /// Bytes that sealing adds to a body.
    pub const OVERHEAD: usize = Self::SIZE + Self::TAG;

    /// Reads and checks the header of a datagram.
    ///
    /// # Errors
    /// [`Malformed`] with the first broken rule: too short, version, flags, reserved bits.
    pub fn parse(datagram: &[u8]) -> Result<Self, Malformed> {
        if datagram.len() < Self::OVERHEAD {
            return Err(Malformed("shorter than header and tag"));
        }
        let header = Self::read(datagram).ok_or(Malformed("shorter than header and tag"))?;
        if header.version != Self::VERSION {
            return Err(Malformed("unknown version"));
        }
        if header.flags & !(Self::TO_ANY | Self::WIDE) != 0 || !header.reserved_is_zero() {
            return Err(Malformed("reserved bits set"));
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            version: Header::VERSION,
            flags: Header::TO_ANY,
            reserved: 0,
            cluster: 0x1122_3344,
            epoch: 1,
            shard: 2,
            sender: PeerId::satellite(3),
            boot: Boot(4),
            counter: 5,
        }
    }

    #[test]
    fn the_image_is_little_endian_and_unpadded() {
        let mut bytes = [0; Header::OVERHEAD];
        header().write(&mut bytes).unwrap();
        assert_eq!(&bytes[..12], &[1, 1, 0, 0, 0x44, 0x33, 0x22, 0x11, 1, 0, 2, 0]);
        assert_eq!(Header::parse(&bytes), Ok(header()));
    }

    #[test]
    fn every_broken_rule_is_named() {
        let mut bytes = [0; Header::OVERHEAD];
        header().write(&mut bytes).unwrap();
        assert_eq!(Header::parse(&bytes[..47]), Err(Malformed("shorter than header and tag")));
        bytes[0] = 9;
        assert_eq!(Header::parse(&bytes), Err(Malformed("unknown version")));
        bytes[0] = Header::VERSION;
        bytes[2] = 1;
        assert_eq!(Header::parse(&bytes), Err(Malformed("reserved bits set")));
        bytes[2] = 0;
        for flags in 0..=u8::MAX {
            bytes[1] = flags;
            let is_known = flags & !(Header::TO_ANY | Header::WIDE) == 0;
            assert_eq!(Header::parse(&bytes).is_ok(), is_known, "flags {flags}");
        }
    }
}
