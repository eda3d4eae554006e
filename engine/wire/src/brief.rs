//! The short header of a datagram that holds one sign of life.
//!
//! Whoever hears a sender every fifth of a second knows nearly all of its [`Header`] by heart. What is
//! left out is put back before the seal is opened, from what an earlier datagram with the whole header
//! has proved: life and key epoch, of which a mark remains, and the high half of the counter (as in
//! RFC 9000, appendix A.3, and RFC 4303, appendix A). So a brief datagram is sealed for anyone, with
//! the same key, and counted by the same counter as the others of its sender's life and shard; whoever
//! does not know that life cannot open it. All 16 bytes are authenticated. After them comes the sealed
//! body, one [`Beat`](crate::beat::Beat) without a frame header, then the tag.
//!
//! [`Header`]: crate::Header

use crate::datagram::Header;
use crate::ids::{Boot, PeerId, mix};
use crate::layout::{Fixed, Malformed, layout};

layout! {
    /// The short clear header.
    pub struct Brief: 16 {
        /// [`Brief::VERSION`]: no version of the whole header has its top bit set.
        version: u8,
        /// Sending shard.
        shard: u8,
        /// Mark of the sender's life and key epoch, see [`Brief::mark_of`].
        mark: u16,
        /// As in the whole header.
        cluster: u32,
        /// The low half of the counter.
        counter: u32,
        /// Who sealed it: at the same place as in the whole header.
        sender: PeerId,
    }
}

impl Brief {
    /// The first version, in short.
    pub const VERSION: u8 = 0x81;
    /// Bytes that sealing adds to a body.
    pub const OVERHEAD: usize = Self::SIZE + Header::TAG;

    /// Whether the datagram has this header, or claims to.
    #[must_use]
    pub fn is_of(datagram: &[u8]) -> bool {
        datagram.first() == Some(&Self::VERSION)
    }

    /// Reads and checks the header of a datagram.
    ///
    /// # Errors
    /// [`Malformed`] with the first broken rule: too short, version.
    pub fn parse(datagram: &[u8]) -> Result<Self, Malformed> {
        const SHORT: Malformed = Malformed("shorter than header and tag");
        if datagram.len() < Self::OVERHEAD {
            return Err(SHORT);
        }
        let header = Self::read(datagram).ok_or(SHORT)?;
        if header.version == Self::VERSION { Ok(header) } else { Err(Malformed("unknown version")) }
    }

    /// What remains of a life and a key epoch: enough to tell the present life from the one before.
    #[must_use]
    pub const fn mark_of(boot: Boot, epoch: u16) -> u16 {
        (mix(boot.0 ^ (epoch as u64) << 48) >> 48) as u16
    }

    /// The counter whose low half this is: of all those, the one nearest to `near`.
    #[must_use]
    pub const fn counter_near(&self, near: u64) -> u64 {
        const HALF: u64 = 1 << 31;
        const WHOLE: u64 = 1 << 32;
        let guess = near & !(WHOLE - 1) | self.counter as u64;
        if guess.saturating_add(HALF) < near {
            guess.saturating_add(WHOLE)
        } else if guess > near.saturating_add(HALF) && guess >= WHOLE {
            guess - WHOLE
        } else {
            guess
        }
    }

    /// The whole header that this one stands for: of the life `boot`, under `epoch`, the newest of
    /// whose counters is about `near`.
    #[must_use]
    pub const fn whole(&self, boot: Boot, epoch: u16, near: u64) -> Header {
        Header {
            version: Header::VERSION,
            flags: Header::TO_ANY,
            reserved: 0,
            cluster: self.cluster,
            epoch,
            shard: self.shard as u16,
            sender: self.sender,
            boot,
            counter: self.counter_near(near),
        }
    }

    /// A header in short; `None` when it says what has no place here: another receiver than anyone,
    /// a wide seal, a shard beyond 255.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is kept")]
    pub fn of(header: &Header) -> Option<Self> {
        let shard = u8::try_from(header.shard).ok()?;
        (header.flags == Header::TO_ANY).then_some(Self {
            version: Self::VERSION,
            shard,
            mark: Self::mark_of(header.boot, header.epoch),
            cluster: header.cluster,
            counter: header.counter as u32,
            sender: header.sender,
        })
    }
}

// Those who tell datagrams apart before they are opened look for the sender at one place.
const _: () = assert!(Header::SENDER_AT + 4 == Brief::SIZE);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Strategy as _, any, prop_oneof, proptest};

    fn header(counter: u64) -> Header {
        Header {
            version: Header::VERSION,
            flags: Header::TO_ANY,
            reserved: 0,
            cluster: 0x1122_3344,
            epoch: 1,
            shard: 2,
            sender: PeerId(0x0A0B_0C0D),
            boot: Boot(4),
            counter,
        }
    }

    #[test]
    fn the_image_is_little_endian_and_the_sender_is_where_it_is_looked_for() {
        let brief = Brief::of(&header(0x5_0000_0007)).unwrap();
        let mut bytes = [0; Brief::OVERHEAD];
        brief.write(&mut bytes).unwrap();
        assert_eq!(bytes[..2], [0x81, 2]);
        assert_eq!(bytes[4..12], [0x44, 0x33, 0x22, 0x11, 7, 0, 0, 0]);
        assert_eq!(bytes[Header::SENDER_AT..16], [0x0D, 0x0C, 0x0B, 0x0A]);
        assert_eq!(Brief::parse(&bytes), Ok(brief));
        assert!(Header::parse(&[bytes, bytes].concat()).is_err(), "nobody takes it for the other");
    }

    #[test]
    fn every_broken_rule_is_named() {
        let mut bytes = [0; Brief::OVERHEAD];
        Brief::of(&header(1)).unwrap().write(&mut bytes).unwrap();
        assert_eq!(Brief::parse(&bytes[..31]), Err(Malformed("shorter than header and tag")));
        bytes[0] = Header::VERSION;
        assert_eq!(Brief::parse(&bytes), Err(Malformed("unknown version")));
        assert_eq!(Brief::of(&Header { flags: 0, ..header(1) }), None);
        assert_eq!(Brief::of(&Header { flags: Header::TO_ANY | Header::WIDE, ..header(1) }), None);
        assert_eq!(Brief::of(&Header { shard: 256, ..header(1) }), None);
    }

    #[test]
    fn the_mark_tells_lives_and_epochs_apart() {
        let marks: std::collections::BTreeSet<u16> = (0..100)
            .map(|life| Brief::mark_of(Boot(1_800_000_000_000_000_000 + life), 1))
            .collect();
        assert!(marks.len() > 98);
        assert_ne!(Brief::mark_of(Boot(9), 1), Brief::mark_of(Boot(9), 2));
    }

    proptest! {
        #[test]
        fn the_whole_header_comes_back_while_the_counter_is_near(
            near in prop_oneof![0..1_u64 << 48, (1_u64..99).prop_map(|high| high << 32)],
            off in -(1_i64 << 31) + 1..1 << 31,
            epoch in any::<u16>(),
        ) {
            let counter = near.saturating_add_signed(off).max(1);
            let header = Header { epoch, ..header(counter) };
            let brief = Brief::of(&header).unwrap();
            assert_eq!(brief.whole(header.boot, epoch, near), header);
        }
    }
}
