//! The internet checksum (RFC 1071): the ones' complement of the ones' complement sum of 16-bit
//! words.
//!
//! The sum does not depend on byte order as long as words are read and written in the same one, so
//! everything here is in the order of this machine. Sums of parts may be added, as long as each part
//! but the last has an even length.

/// A ones' complement sum, not yet folded. Room for 2^48 bytes of words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum(u64);

/// Bytes that are summed in one step: as many words side by side as a vector register holds.
const STEP: usize = 64;
const LANES: usize = STEP / 4;

/// Below so many bytes steps do not pay.
const WIDE_MIN: usize = 256;

/// [`sum`], compiled for wider registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sum_wide(bytes: &[u8]) -> u64 {
    sum(bytes)
}

/// The sum of all 32-bit words. 64 bits cannot overflow below 16 GB: the carries of all 16-bit
/// words are in there and come back when the sum is folded.
#[inline(always)]
fn sum(bytes: &[u8]) -> u64 {
    let mut lanes = [0_u64; LANES];
    let (steps, rest) = bytes.as_chunks::<STEP>();
    for step in steps {
        for (lane, word) in lanes.iter_mut().zip(step.as_chunks::<4>().0) {
            *lane = lane.wrapping_add(u64::from(u32::from_ne_bytes(*word)));
        }
    }
    let mut sum = lanes.iter().fold(0_u64, |sum, lane| sum.wrapping_add(*lane));
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        sum = sum.wrapping_add(u64::from(u32::from_ne_bytes(*word)));
    }
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum.wrapping_add(u64::from(u32::from_ne_bytes(last)))
}

/// As [`sum`], for a few bytes: unrolled when their number is known.
#[inline(always)]
fn sum_short(bytes: &[u8]) -> u64 {
    const LOW: u64 = 0xffff_ffff;
    let (doubles, rest) = bytes.as_chunks::<8>();
    let (mut low, mut high) = (0_u64, 0_u64);
    for double in doubles {
        let double = u64::from_ne_bytes(*double);
        low = low.wrapping_add(double & LOW);
        high = high.wrapping_add(double >> 32);
    }
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        low = low.wrapping_add(u64::from(u32::from_ne_bytes(*word)));
    }
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    low.wrapping_add(high).wrapping_add(u64::from(u32::from_ne_bytes(last)))
}

impl Sum {
    /// The sum of `bytes`; an odd one at the end counts as if a zero followed.
    #[inline]
    pub(super) fn of(bytes: &[u8]) -> Self {
        if bytes.len() < WIDE_MIN {
            return Self(sum_short(bytes));
        }
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: this processor has AVX2, as just detected.
            return Self(unsafe { sum_wide(bytes) });
        }
        Self(sum(bytes))
    }

    /// The sum of one word that is written in network order.
    pub(super) const fn word(word: u16) -> Self {
        Self(word.to_be() as u64)
    }

    /// Both together.
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    /// The sum in 16 bits.
    pub(super) const fn folded(self) -> u16 {
        let mut sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        low(sum)
    }

    /// The bytes of a checksum field over what was summed.
    pub(super) const fn checksum(self) -> [u8; 2] {
        (!self.folded()).to_ne_bytes()
    }

    /// The bytes of UDP's checksum field, where 0 means "none" and is written as its twin 0xffff.
    pub(super) const fn udp_checksum(self) -> [u8; 2] {
        match self.checksum() {
            [0, 0] => [0xff, 0xff],
            other => other,
        }
    }

    /// Whether what was summed, with its checksum in it, is whole.
    pub(super) const fn is_whole(self) -> bool {
        self.folded() == 0xffff
    }
}

#[expect(clippy::cast_possible_truncation, reason = "folded to 16 bits by the caller")]
const fn low(sum: u64) -> u16 {
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    /// As the RFC says it, word by word in network order.
    fn slowly(bytes: &[u8]) -> [u8; 2] {
        let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        let mut sum: u32 = bytes.chunks(2).map(word).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (!u16::try_from(sum).unwrap()).to_be_bytes()
    }

    #[test]
    fn the_example_of_the_rfc_gives_its_sum() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::of(&bytes).checksum(), (!0xddf2_u16).to_be_bytes());
    }

    #[test]
    fn many_carries_are_not_lost() {
        assert_eq!(Sum::of(&[0xff; 65_535]).checksum(), slowly(&[0xff; 65_535]));
        assert_eq!(Sum(u64::MAX).folded(), 0xffff);
    }

    proptest! {
        #[test]
        fn it_is_what_the_rfc_says(bytes: Vec<u8>, many in any::<[u8; 32]>()) {
            let bytes: Vec<u8> = bytes.into_iter().chain(many.repeat(9)).collect();
            for at in [0, 1, 2, 3, 63, 64, 65] {
                prop_assert_eq!(Sum::of(&bytes[at..]).checksum(), slowly(&bytes[at..]));
            }
        }

        #[test]
        fn parts_add_up(head in any::<[u8; 20]>(), tail: Vec<u8>, word: u16) {
            let mut all = head.to_vec();
            all.extend(word.to_be_bytes());
            all.extend(&tail);
            let parts = Sum::of(&tail).and(Sum::word(word)).and(Sum::of(&head));
            prop_assert_eq!(parts.checksum(), slowly(&all));
        }

        #[test]
        fn with_its_checksum_it_is_whole(mut bytes in any::<[u8; 30]>()) {
            bytes[6..8].fill(0);
            let checksum = Sum::of(&bytes).checksum();
            bytes[6..8].copy_from_slice(&checksum);
            prop_assert!(Sum::of(&bytes).is_whole());
            bytes[20] ^= 1;
            prop_assert!(!Sum::of(&bytes).is_whole());
        }
    }
}
