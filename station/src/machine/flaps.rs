//! Nodes that keep dying and coming back, and get no work until they have been steady for a while.
//!
//! As route flap damping does (RFC 2439, section 4.2): each return from the dead adds one to a
//! node's penalty, which halves every five minutes. From three on the node is **damped**: a member
//! like any other, watched and announced, but no rule gives it work; below one it is trusted again.

use crate::machine::command::list;
use crate::machine::encoder::Encoder;
use std::collections::BTreeMap;
use syncom_seam::SECOND;
use syncom_wire::limits::NODES_MAX;
use syncom_wire::{Malformed, Reader, Slot};

/// One return from the dead, in thousandths.
const RETURN: u32 = 1_000;
/// A node is damped from this penalty on, in thousandths.
const SUPPRESS: u32 = 3_000;
/// A damped node is trusted again below this penalty, in thousandths.
const REUSE: u32 = 1_000;
/// A penalty is not worth remembering below this, in thousandths.
const FORGET: u32 = 50;
/// In which time a penalty halves, in ns.
const HALF_LIFE_NS: u64 = 300 * SECOND;

/// What one node has gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Penalty {
    /// In thousandths, as of `at_ns`.
    amount: u32,
    at_ns: u64,
    is_damped: bool,
}

impl Penalty {
    /// What is left of it; straight between two halvings.
    fn left(&self, now_ns: u64) -> u32 {
        let age_ns = now_ns.saturating_sub(self.at_ns);
        let halvings = u32::try_from(age_ns / HALF_LIFE_NS).unwrap_or(u32::MAX);
        let whole = self.amount.checked_shr(halvings).unwrap_or(0);
        let part = u64::from(whole / 2) * (age_ns % HALF_LIFE_NS) / HALF_LIFE_NS;
        whole - u32::try_from(part).unwrap_or(whole)
    }

    fn is_damped(&self, now_ns: u64) -> bool {
        self.is_damped && self.left(now_ns) >= REUSE
    }
}

/// How often penalties that are not worth remembering are forgotten, in ns: a room that comes back is
/// thousands of returns at once.
const FORGET_EVERY_NS: u64 = 60 * SECOND;

/// All nodes that came back from the dead lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flaps {
    penalties: BTreeMap<Slot, Penalty>,
    forgot_ns: u64,
}

impl Flaps {
    /// A node came back from the dead; whether it is damped.
    pub(crate) fn on_return(&mut self, slot: Slot, now_ns: u64) -> bool {
        if now_ns.saturating_sub(self.forgot_ns) >= FORGET_EVERY_NS {
            self.penalties.retain(|_, penalty| penalty.left(now_ns) >= FORGET);
            self.forgot_ns = now_ns;
        }
        let old = self.penalties.get(&slot);
        let amount = old.map_or(0, |old| old.left(now_ns)).saturating_add(RETURN);
        let is_damped = amount >= SUPPRESS || old.is_some_and(|old| old.is_damped(now_ns));
        self.penalties.insert(slot, Penalty { amount, at_ns: now_ns, is_damped });
        is_damped
    }

    /// Whether a node gets no work for now.
    pub(crate) fn is_damped(&self, slot: Slot, now_ns: u64) -> bool {
        self.penalties.get(&slot).is_some_and(|penalty| penalty.is_damped(now_ns))
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.field(self.forgot_ns);
        out.count(self.penalties.len());
        for (slot, penalty) in &self.penalties {
            out.field(*slot);
            out.field(penalty.amount);
            out.field(penalty.at_ns);
            out.field(u8::from(penalty.is_damped));
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let forgot_ns = reader.field()?;
        let all = list(reader, NODES_MAX, |r| {
            let slot = r.field()?;
            let (amount, at_ns) = (r.field()?, r.field()?);
            Ok((slot, Penalty { amount, at_ns, is_damped: r.field::<u8>()? != 0 }))
        })?;
        Ok(Self { penalties: all.into_iter().collect(), forgot_ns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: Slot = Slot(7);
    const MINUTE: u64 = 60 * SECOND;

    #[test]
    fn a_penalty_halves_every_five_minutes() {
        let penalty = Penalty { amount: 4_000, at_ns: MINUTE, is_damped: true };
        let left = |minutes| penalty.left(MINUTE + minutes * MINUTE);
        assert_eq!([0, 5, 10, 15].map(left), [4_000, 2_000, 1_000, 500]);
        assert_eq!(left(60 * 24 * 365), 0);
        assert!((1..100).all(|minute| left(minute) <= left(minute - 1)));
    }

    #[test]
    fn the_third_return_within_moments_damps_and_steadiness_ends_it() {
        let mut flaps = Flaps::default();
        assert!(!flaps.on_return(NODE, SECOND));
        assert!(!flaps.on_return(NODE, SECOND));
        assert!(flaps.on_return(NODE, SECOND));
        assert!(flaps.is_damped(NODE, 7 * MINUTE), "still above one");
        assert!(!flaps.is_damped(NODE, 9 * MINUTE));
        assert!(!flaps.on_return(NODE, 9 * MINUTE), "it begins anew below three");
        assert!(!flaps.is_damped(Slot(8), SECOND));
    }

    #[test]
    fn a_return_once_in_ten_minutes_never_damps() {
        let mut flaps = Flaps::default();
        assert!((0..100).all(|turn| !flaps.on_return(NODE, turn * 10 * MINUTE)));
    }

    #[test]
    fn a_damped_node_that_goes_on_flapping_stays_damped() {
        let mut flaps = Flaps::default();
        assert!((0..3).any(|_| flaps.on_return(NODE, 0)));
        assert!((1..20).all(|turn| flaps.on_return(NODE, turn * 4 * MINUTE)));
    }

    #[test]
    fn what_has_faded_is_forgotten() {
        let mut flaps = Flaps::default();
        flaps.on_return(NODE, 0);
        flaps.on_return(Slot(8), 60 * MINUTE);
        assert_eq!(flaps.penalties.len(), 1);
        let mut out = Encoder::default();
        flaps.encode(&mut out);
        assert_eq!(Flaps::decode(&mut Reader::new(&out.finish())), Ok(flaps));
    }
}
