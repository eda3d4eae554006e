//! Sets of slots on the wire: delta-coded ranges while they are few, a bitmap when that is smaller.
//!
//! Image: one tag byte; then, for ranges (tag 0), pairs of LEB128 numbers (gap since the end of the
//! last range, length minus one); for a bitmap (tag 1), a LEB128 first slot (a multiple of 8) and
//! the bits, lowest first. The empty set is the empty image.

use crate::bytes::Writer;
use crate::ids::Slot;
use crate::layout::{Malformed, Overflow};
use crate::limits::NODES_MAX;

const RANGES: u8 = 0;
const BITMAP: u8 = 1;

/// A checked image of a set, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdSet<'a>(&'a [u8]);

impl<'a> IdSet<'a> {
    /// The set of nothing.
    pub const EMPTY: Self = Self(&[]);

    /// Checks an image: well-formed, in order, below [`NODES_MAX`].
    ///
    /// # Errors
    /// [`Malformed`] with the first broken rule.
    pub fn parse(image: &'a [u8]) -> Result<Self, Malformed> {
        let mut walk = Walk::new(image)?;
        while let Some(range) = walk.range()? {
            if range.1 as usize > NODES_MAX {
                return Err(Malformed("slot beyond the largest cluster"));
            }
        }
        Ok(Self(image))
    }

    /// The image.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Ranges of slots, ascending, as (first, one past the last).
    pub fn ranges(self) -> impl Iterator<Item = (u32, u32)> + use<'a> {
        let mut walk = Walk::new(self.0).unwrap_or(Walk::NOTHING);
        core::iter::from_fn(move || walk.range().ok().flatten())
    }

    /// Slots, ascending.
    pub fn iter(self) -> impl Iterator<Item = Slot> + use<'a> {
        self.ranges().flat_map(|(from, to)| (from..to).map(Slot))
    }

    /// How many slots there are.
    #[must_use]
    pub fn len(self) -> usize {
        self.ranges().map(|(from, to)| (to - from) as usize).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.ranges().next().is_none()
    }

    /// Whether `slot` is one of them.
    #[must_use]
    pub fn contains(self, slot: Slot) -> bool {
        self.ranges().any(|(from, to)| (from..to).contains(&slot.0))
    }
}

/// Writes the image of the set given by ascending, disjoint, non-touching ranges; picks the smaller
/// form. Returns the bytes used.
///
/// # Errors
/// [`Overflow`] when `out` is too small.
pub fn encode(
    ranges: impl Iterator<Item = (u32, u32)> + Clone,
    out: &mut [u8],
) -> Result<usize, Overflow> {
    let (mut size, mut first, mut end) = (1, None, 0);
    for (from, to) in ranges.clone() {
        size += leb_len(from - end) + leb_len(to - from - 1);
        first.get_or_insert(from);
        end = to;
    }
    let Some(first) = first else { return Ok(0) };
    let base = first & !7;
    let bitmap = 1 + leb_len(base) + (end - base).div_ceil(8) as usize;
    let mut writer = Writer::new(out);
    if size <= bitmap {
        writer.put(&[RANGES])?;
        let mut end = 0;
        for (from, to) in ranges {
            put_leb(&mut writer, from - end)?;
            put_leb(&mut writer, to - from - 1)?;
            end = to;
        }
        return Ok(writer.written());
    }
    writer.put(&[BITMAP])?;
    put_leb(&mut writer, base)?;
    let at = writer.written();
    let bits = out.get_mut(at..bitmap).ok_or(Overflow)?;
    bits.fill(0);
    for (from, to) in ranges {
        for slot in from - base..to - base {
            bits[slot as usize / 8] |= 1 << (slot % 8);
        }
    }
    Ok(bitmap)
}

#[derive(Clone, Copy, Debug)]
struct Walk<'a> {
    rest: &'a [u8],
    bitmap: bool,
    /// End of the last range; for a bitmap, the next bit to look at.
    at: u32,
    base: u32,
}

impl<'a> Walk<'a> {
    const NOTHING: Self = Self { rest: &[], bitmap: false, at: 0, base: 0 };

    fn new(image: &'a [u8]) -> Result<Self, Malformed> {
        let Some((tag, rest)) = image.split_first() else { return Ok(Self::NOTHING) };
        let mut walk = Self { rest, ..Self::NOTHING };
        match *tag {
            RANGES => {}
            BITMAP => {
                walk.bitmap = true;
                walk.base = walk.leb()?;
                if !walk.base.is_multiple_of(8) || walk.rest.len() > NODES_MAX / 8 {
                    return Err(Malformed("bitmap out of place"));
                }
                if walk.base as usize > NODES_MAX {
                    return Err(Malformed("slot beyond the largest cluster"));
                }
            }
            _ => return Err(Malformed("unknown form of a set")),
        }
        if walk.rest.is_empty() {
            return Err(Malformed("set cut short"));
        }
        Ok(walk)
    }

    fn range(&mut self) -> Result<Option<(u32, u32)>, Malformed> {
        if self.bitmap {
            return Ok(self.bits());
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let beyond = Malformed("slot beyond the largest cluster");
        let from = self.at.checked_add(self.leb()?).ok_or(beyond)?;
        let to = self.leb()?.checked_add(1).and_then(|len| from.checked_add(len)).ok_or(beyond)?;
        self.at = to;
        Ok(Some((from, to)))
    }

    fn bits(&mut self) -> Option<(u32, u32)> {
        let total = u32::try_from(self.rest.len() * 8).ok()?;
        let is_set = |at: u32| self.rest[at as usize / 8] >> (at % 8) & 1 == 1;
        let from = (self.at..total).find(|at| is_set(*at))?;
        let to = (from..total).find(|at| !is_set(*at)).unwrap_or(total);
        self.at = to;
        Some((self.base + from, self.base + to))
    }

    fn leb(&mut self) -> Result<u32, Malformed> {
        let mut value = 0;
        for shift in (0..28).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(Malformed("set cut short"))?;
            self.rest = rest;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("number in a set too long"))
    }
}

const fn leb_len(value: u32) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

fn put_leb(writer: &mut Writer<'_>, mut value: u32) -> Result<(), Overflow> {
    if value >= 1 << 28 {
        return Err(Overflow);
    }
    while value >= 0x80 {
        writer.put(&[(value & 0x7f) as u8 | 0x80])?;
        value >>= 7;
    }
    writer.put(&[(value & 0x7f) as u8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    fn ranges(set: &BTreeSet<u32>) -> Vec<(u32, u32)> {
        let mut out: Vec<(u32, u32)> = Vec::new();
        for slot in set {
            match out.last_mut() {
                Some((_, to)) if *to == *slot => *to += 1,
                _ => out.push((*slot, slot + 1)),
            }
        }
        out
    }

    proptest! {
        #[test]
        fn a_set_survives_the_round_trip(set in prop::collection::btree_set(0..5000u32, 0..400)) {
            let mut out = [0; 4096];
            let len = encode(ranges(&set).into_iter(), &mut out).unwrap();
            let image = IdSet::parse(&out[..len]).unwrap();
            prop_assert_eq!(image.iter().map(|slot| slot.0).collect::<BTreeSet<_>>(), set);
        }

        #[test]
        fn any_bytes_parse_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(set) = IdSet::parse(&bytes) {
                prop_assert!(set.iter().all(|slot| (slot.0 as usize) < NODES_MAX));
            }
        }
    }

    #[test]
    fn a_whole_cluster_takes_a_handful_of_bytes() {
        let mut out = [0; 16];
        assert_eq!(encode(core::iter::once((0, 100_000)), &mut out), Ok(5));
    }
}
