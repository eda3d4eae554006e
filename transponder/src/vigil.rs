//! What a home does about its own silence.
//!
//! Nodes are watched by their observers. But when most observers of a node died with it, too few
//! are left to speak, so the home that misses a node opens the case itself. It needs the same
//! votes, and the dead cannot answer the probes. A home that misses more than half of its nodes at
//! once suspects itself and opens nothing: its own ear is the likelier failure.

use crate::homes::HOME_MISSES;
use crate::transponder::Transponder;
use crate::uplink::batch::Tag;
use crate::uplink::suspects;
use crate::uplink::suspicion::{Sight, Suspicion};
use syncom_seam::{Now, Outbox, SECOND, Time};
use syncom_wire::Slot;
use syncom_wire::member::MemberState;
use syncom_wire::report::EventKind;

/// So many missing nodes are believed whatever their share.
const FEW: usize = 2;
/// A node that is gray, heard, and accused by nobody for so long is well again, in ns.
const WELL_NS: u64 = 12 * SECOND;

impl Transponder {
    /// Looks over all nodes that were ever heard here.
    pub(crate) fn keep_vigil<O: Outbox>(&mut self, now: Now, out: &mut O) {
        if !self.world.is_whole() || !self.homes.is_mature(now.at) {
            return;
        }
        let (mut heard, mut missed, mut is_any_gray) = (0, 0, false);
        for (slot, entry) in self.homes.heard_nodes() {
            if !self.is_heard_here(slot) {
                continue;
            }
            heard += 1;
            missed += usize::from(self.is_missed(now.at, slot));
            is_any_gray |= entry.gray_since > Time(0) || self.is_gray(slot);
        }
        if is_any_gray {
            self.absolve_all(now, out);
        }
        let is_unheard = missed > FEW.max(heard / 2);
        self.homes.set_unheard(is_unheard);
        if missed == 0 || is_unheard {
            return;
        }
        let mut last = None;
        while let Some(slot) = self.homes.next_after(last) {
            last = Some(slot);
            if !self.is_heard_here(slot) || !self.is_missed(now.at, slot) {
                continue;
            }
            let Self { suspects, world, homes, config, .. } = self;
            let Some(entry) = world.members().agent(slot) else { continue };
            let sight = Sight { now, world, homes, profile: &config.profile };
            suspects.on_missed(&sight, slot, entry.head.incarnation);
        }
    }

    /// Whether the present life of a node was heard here, and this is one of its homes.
    fn is_heard_here(&self, slot: Slot) -> bool {
        let Some(entry) = self.world.members().agent(slot) else { return false };
        let is_heard = self.homes.get(slot, entry.head.incarnation).is_some();
        is_heard && entry.is_present() && self.world.is_home(slot)
    }

    fn is_missed(&self, now: Time, slot: Slot) -> bool {
        self.world.members().agent(slot).is_some_and(|entry| {
            self.homes.is_silent(slot, entry.head.incarnation, HOME_MISSES, now)
        })
    }

    fn is_gray(&self, slot: Slot) -> bool {
        let entry = self.world.members().agent(slot);
        entry.is_some_and(|entry| entry.state() == MemberState::Gray)
    }

    fn absolve_all<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let mut last = None;
        while let Some(slot) = self.homes.next_after(last) {
            last = Some(slot);
            if self.is_heard_here(slot) {
                self.absolve(now, slot, out);
            }
        }
    }

    /// Announces that a gray node is well, when the home that called it gray no longer can.
    fn absolve<O: Outbox>(&mut self, now: Now, slot: Slot, out: &mut O) {
        let Some(entry) = self.world.members().agent(slot) else { return };
        let incarnation = entry.head.incarnation;
        let is_gray = entry.state() == MemberState::Gray;
        let is_clean = self.suspects.get(slot, incarnation).is_none()
            && !self.homes.is_silent(slot, incarnation, 2, now.at);
        let tag = Tag::Verdict(slot, incarnation, EventKind::CLEARED);
        let since = self.homes.gray_since(slot, is_gray && is_clean, now.at);
        let is_long = since.is_some_and(|since| now.at.since(since) >= WELL_NS);
        if !is_long || !self.world.is_first_home(slot) || self.batches.holds(tag) {
            return;
        }
        let Self { world, homes, config, batches, .. } = self;
        let sight = Sight { now, world, homes, profile: &config.profile };
        let case = Suspicion::new(slot, incarnation, now.at, true);
        let tally = case.tally(&sight, |_, _| false);
        let head = case.record(EventKind::CLEARED, &tally, &sight);
        suspects::send(&sight, &head, "", batches, out);
    }
}
