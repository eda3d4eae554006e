//! Sets of slots on the wire, in the smallest of four forms: what a thousandth of a cluster, all but
//! a thousandth of it, a rack and a scattered half are said with is not the same.
//!
//! Image: one tag byte, then LEB128 numbers. *Ranges* (tag 0): pairs of a gap since the end of the
//! last range and a length minus one. *Bitmap* (tag 1): the first slot, a multiple of 8, and the bits,
//! lowest first. *Slots* (tag 2): for each slot the gap since the one before. *Holes* (tag 3): the
//! first slot, how many there are up to the last one, minus one, and for each slot between them that
//! is not in the set the gap since the one before. The empty set is the empty image.

use crate::bytes::Writer;
use crate::ids::Slot;
use crate::layout::{Malformed, Overflow};
use crate::limits::NODES_MAX;

const RANGES: u8 = 0;
const BITMAP: u8 = 1;
const SLOTS: u8 = 2;
const HOLES: u8 = 3;

const BEYOND: Malformed = Malformed("slot beyond the largest cluster");

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
                return Err(BEYOND);
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

/// Bytes of each form of a set, by tag, and where the set begins and ends.
fn sizes(ranges: impl Iterator<Item = (u32, u32)>) -> Option<([u32; 4], u32, u32)> {
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    let (mut by_range, mut by_slot, mut by_hole) = (1, 1, 1);
    let (mut first, mut start, mut end) = (None, 0, 0);
    for (from, to) in ranges {
        debug_assert!(first.is_none() || from > end, "ranges touch");
        let (gap, more) = (count(leb_len(from - end)), to - from - 1);
        by_range += gap + count(leb_len(more));
        by_slot += gap + more;
        if first.is_some() {
            // One number for each hole: what lies before the first of them, and nothing between them.
            by_hole += count(leb_len(end - start)) + (from - end - 1);
        }
        first.get_or_insert(from);
        (start, end) = (from, to);
    }
    let first = first?;
    let base = first & !7;
    let bitmap = 1 + count(leb_len(base)) + (end - base).div_ceil(8);
    by_hole += count(leb_len(first) + leb_len(end - first - 1));
    Some(([by_range, bitmap, by_slot, by_hole], first, end))
}

/// Writes the image of the set given by ascending, disjoint, non-touching ranges; picks the smallest
/// form. Returns the bytes used.
///
/// # Errors
/// [`Overflow`] when `out` is too small.
pub fn encode(
    ranges: impl Iterator<Item = (u32, u32)> + Clone,
    out: &mut [u8],
) -> Result<usize, Overflow> {
    let Some((sizes, first, last)) = sizes(ranges.clone()) else { return Ok(0) };
    let form = (RANGES..=HOLES).min_by_key(|form| sizes[usize::from(*form)]).unwrap_or(RANGES);
    if form == BITMAP {
        return encode_bits(ranges, (first & !7, sizes[usize::from(BITMAP)]), out);
    }
    let mut writer = Writer::new(out);
    writer.put(&[form])?;
    if form == HOLES {
        put_leb(&mut writer, first)?;
        put_leb(&mut writer, last - first - 1)?;
    }
    let (mut start, mut end) = (0, 0);
    for (from, to) in ranges {
        match form {
            RANGES => {
                put_leb(&mut writer, from - end)?;
                put_leb(&mut writer, to - from - 1)?;
            }
            SLOTS => {
                put_leb(&mut writer, from - end)?;
                (from + 1..to).try_for_each(|_| writer.put(&[0]))?;
            }
            _ if end > 0 => {
                put_leb(&mut writer, end - start)?;
                (end + 1..from).try_for_each(|_| writer.put(&[0]))?;
            }
            _ => {}
        }
        (start, end) = (from, to);
    }
    Ok(writer.written())
}

fn encode_bits(
    ranges: impl Iterator<Item = (u32, u32)>,
    (base, size): (u32, u32),
    out: &mut [u8],
) -> Result<usize, Overflow> {
    let mut writer = Writer::new(out);
    writer.put(&[BITMAP])?;
    put_leb(&mut writer, base)?;
    let at = writer.written();
    let bits = out.get_mut(at..size as usize).ok_or(Overflow)?;
    bits.fill(0);
    for (from, to) in ranges {
        for slot in from - base..to - base {
            bits[slot as usize / 8] |= 1 << (slot % 8);
        }
    }
    Ok(size as usize)
}

#[derive(Clone, Copy, Debug)]
struct Walk<'a> {
    rest: &'a [u8],
    form: u8,
    /// End of the last range; for a bitmap, the next bit to look at; for holes, behind the last one.
    at: u32,
    /// Of a bitmap, the first slot.
    base: u32,
    /// Of a set with holes, its end.
    end: u32,
}

impl<'a> Walk<'a> {
    const NOTHING: Self = Self { rest: &[], form: RANGES, at: 0, base: 0, end: 0 };

    fn new(image: &'a [u8]) -> Result<Self, Malformed> {
        let Some((tag, rest)) = image.split_first() else { return Ok(Self::NOTHING) };
        let mut walk = Self { rest, form: *tag, ..Self::NOTHING };
        match *tag {
            RANGES | SLOTS => {}
            BITMAP => {
                walk.base = walk.leb()?;
                if !walk.base.is_multiple_of(8) || walk.rest.len() > NODES_MAX / 8 {
                    return Err(Malformed("bitmap out of place"));
                }
                if walk.base as usize > NODES_MAX {
                    return Err(BEYOND);
                }
            }
            HOLES => {
                walk.at = walk.leb()?;
                let len = walk.leb()?.checked_add(1);
                walk.end = len.and_then(|len| walk.at.checked_add(len)).ok_or(BEYOND)?;
                return Ok(walk);
            }
            _ => return Err(Malformed("unknown form of a set")),
        }
        if walk.rest.is_empty() {
            return Err(Malformed("set cut short"));
        }
        Ok(walk)
    }

    fn range(&mut self) -> Result<Option<(u32, u32)>, Malformed> {
        match self.form {
            BITMAP => return Ok(self.bits()),
            HOLES => return self.between_holes(),
            _ => {}
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let from = self.at.checked_add(self.leb()?).ok_or(BEYOND)?;
        let len = if self.form == RANGES { self.leb()?.checked_add(1) } else { Some(1) };
        let mut to = len.and_then(|len| from.checked_add(len)).ok_or(BEYOND)?;
        while self.form == SLOTS && self.rest.first() == Some(&0) {
            self.rest = &self.rest[1..];
            to = to.checked_add(1).ok_or(BEYOND)?;
        }
        self.at = to;
        Ok(Some((from, to)))
    }

    fn between_holes(&mut self) -> Result<Option<(u32, u32)>, Malformed> {
        while self.at < self.end {
            let from = self.at;
            if self.rest.is_empty() {
                self.at = self.end;
                return Ok(Some((from, self.end)));
            }
            let hole = from.checked_add(self.leb()?).filter(|hole| *hole < self.end);
            let hole = hole.ok_or(Malformed("hole beyond the end of its set"))?;
            self.at = hole + 1;
            if hole > from {
                return Ok(Some((from, hole)));
            }
        }
        if self.rest.is_empty() { Ok(None) } else { Err(Malformed("more holes than slots")) }
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

    proptest! {
        #[test]
        fn a_set_with_holes_survives_the_round_trip(
            holes in prop::collection::btree_set(0..5000u32, 0..40),
            (from, len) in (0..3000u32, 1..3000u32),
        ) {
            let set: BTreeSet<u32> = (from..from + len).filter(|slot| !holes.contains(slot)).collect();
            let mut out = [0; 4096];
            let used = encode(ranges(&set).into_iter(), &mut out).unwrap();
            let image = IdSet::parse(&out[..used]).unwrap();
            prop_assert_eq!(image.ranges().collect::<Vec<_>>(), ranges(&set));
        }
    }

    /// A thousandth of a large cluster, and all but it, fit a small datagram each.
    #[test]
    fn a_thousandth_and_all_but_a_thousandth_take_less_than_300_bytes() {
        for seed in 0..20u64 {
            let is_one = |slot: &u32| {
                crate::ids::mix(crate::ids::mix(seed) ^ u64::from(*slot)).is_multiple_of(1_000)
            };
            let few: BTreeSet<u32> = (0..100_000).filter(is_one).collect();
            let most: BTreeSet<u32> = (0..100_000).filter(|slot| !is_one(slot)).collect();
            for set in [few, most] {
                let mut out = [0; 512];
                let len = encode(ranges(&set).into_iter(), &mut out).unwrap();
                assert!(len <= 300, "{len} B for {} slots", set.len());
                assert_eq!(IdSet::parse(&out[..len]).unwrap().len(), set.len());
            }
        }
    }

    #[test]
    fn holes_beyond_the_end_are_refused() {
        assert_eq!(IdSet::parse(&[3, 0, 9, 4]).unwrap().len(), 9);
        assert!(IdSet::parse(&[3, 0, 9, 10]).is_err(), "behind the last slot");
        assert!(IdSet::parse(&[3, 0, 0, 0, 0]).is_err(), "two holes in one slot");
        assert!(IdSet::parse(&[3, 0]).is_err() && IdSet::parse(&[3]).is_err(), "cut short");
        assert!(IdSet::parse(&[2]).is_err() && IdSet::parse(&[4, 0]).is_err());
    }

    #[test]
    fn a_whole_cluster_takes_a_handful_of_bytes() {
        let mut out = [0; 16];
        assert_eq!(encode(core::iter::once((0, 100_000)), &mut out), Ok(5));
    }
}
