//! One order on its way.
//!
//! A satellite holds a shard as long as it shows progress; otherwise its *lease* ends, what is left
//! goes to the others, and it is asked last for this order from then on. Late in the order those that
//! are still at work get a *backup*: others are given what they have left as well, before anybody
//! knows whether they are slow or dead. What any of them hears counts, whoever holds the shard.

use crate::machine::command::NewOrder;
use crate::machine::encoder::Encoder;
use std::collections::{BTreeMap, BTreeSet};
use syncom_group::SlotSet;
use syncom_seam::limits::OUTCOMES_MAX;
use syncom_seam::{MS, Time};
use syncom_wire::idset::IdSet;
use syncom_wire::order::{OrderHead, Outcome, Receipt};
use syncom_wire::{PeerId, Slot};

/// How long a satellite may work without showing progress; twice as long after every time that it
/// failed to in this order, in ns.
pub(crate) const LEASE_NS: u64 = 50 * MS;
/// Doublings of a lease at most: to 800 ms.
const DOUBLINGS_MAX: u32 = 4;
/// A shard that takes so many times what half of the others took gets a backup.
const BACKUP_TIMES: u64 = 2;
/// No shard gets a backup sooner, in ns: a receipt that is lost twice has been asked for again.
const BACKUP_MIN_NS: u64 = 15 * MS;
/// A satellite says at once that it has a shard. Where one does not for so long, in ns, and others did,
/// the shard is on its way again at best.
const UNHEARD_NS: u64 = 6 * MS;
/// Backups are for the last of so many shards.
const LATE_PARTS: usize = 10;

/// A part of an order at one satellite.
#[derive(Debug)]
pub(crate) struct ShardState {
    pub(crate) satellite: PeerId,
    to: SlotSet,
    sent: Time,
    /// When it last showed progress, or was sent.
    heard: Time,
    /// Whether it ever showed any.
    is_heard: bool,
    /// It is a backup, or has one.
    is_backed: bool,
    /// Its lease has ended: others have what was left.
    is_lost: bool,
}

/// New shards: number, satellite, destinations.
pub(crate) type Parts = Vec<(u32, PeerId, SlotSet)>;

/// An order that is under way.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) policy: u8,
    need: usize,
    to: SlotSet,
    answered: SlotSet,
    /// Nodes by (code, cut, output).
    outcomes: BTreeMap<(i32, u8, Vec<u8>), SlotSet>,
    output_bytes: usize,
    pub(crate) shards: BTreeMap<u32, ShardState>,
    last_shard: u32,
    /// There may be destinations that nobody works on.
    pub(crate) is_loose: bool,
    /// How often each satellite failed to show progress.
    lapses: BTreeMap<PeerId, u32>,
    /// How long shards took that are done, in ns.
    took_ns: Vec<u64>,
    since: Time,
    pub(crate) deadline: Time,
    pub(crate) first_us: u64,
    pub(crate) last_us: u64,
    /// An operator wants it stopped.
    pub(crate) is_cancelled: bool,
    pub(crate) done: u32,
    pub(crate) failed: u32,
    /// Until then its outcome is not proposed again.
    pub(crate) proposed_until: Time,
}

impl Job {
    /// Begins an order. A new leader gives all the time again: what passed before is known by wall
    /// clocks only, which jump and differ, and would void an order that was never sent.
    pub(crate) fn new(order: &NewOrder, to: SlotSet, now: Time) -> Self {
        Self {
            policy: order.policy,
            need: order.need as usize,
            to,
            answered: SlotSet::new(),
            outcomes: BTreeMap::new(),
            output_bytes: 0,
            shards: BTreeMap::new(),
            last_shard: 0,
            is_loose: true,
            lapses: BTreeMap::new(),
            took_ns: Vec::new(),
            since: now,
            deadline: now.after(u64::from(order.deadline_ms) * MS),
            first_us: 0,
            last_us: 0,
            is_cancelled: false,
            done: 0,
            failed: 0,
            proposed_until: Time(0),
        }
    }

    /// Destinations without an answer.
    pub(crate) fn missing(&self) -> impl Iterator<Item = Slot> {
        self.to.difference(&self.answered)
    }

    pub(crate) fn is_complete(&self) -> bool {
        let all = self.answered.len() == self.to.len();
        all || self.policy != OrderHead::ALL && self.answered.len() >= self.need
    }

    /// Takes an answer of several nodes; those that answered before are left as they are.
    pub(crate) fn answer(&mut self, code: i32, cut: u8, nodes: &SlotSet, output: &[u8], now: Time) {
        let mut fresh = SlotSet::new();
        for slot in nodes.iter() {
            if self.to.contains(slot) && self.answered.insert(slot) {
                fresh.insert(slot);
            }
        }
        if fresh.is_empty() {
            return;
        }
        let nodes = u32::try_from(fresh.len()).unwrap_or(u32::MAX);
        if code < 0 {
            self.failed += nodes;
        } else {
            self.done += nodes;
        }
        if now > self.since {
            let us = now.since(self.since) / 1_000;
            self.last_us = us;
            if self.first_us == 0 {
                self.first_us = us;
            }
        }
        let key = (code, cut, output.to_vec());
        if let Some(known) = self.outcomes.get_mut(&key) {
            known.union(&fresh);
            return;
        }
        let key = if self.output_bytes + output.len() > OUTCOMES_MAX / 2 {
            (code, 1, Vec::new())
        } else {
            self.output_bytes += output.len();
            key
        };
        self.outcomes.entry(key).or_default().union(&fresh);
    }

    /// A shard shows progress, its last one perhaps. Of one that is not held here there is nothing to
    /// note.
    pub(crate) fn renew(&mut self, number: u32, from: PeerId, is_last: bool, now: Time) {
        let Some(shard) = self.shards.get_mut(&number).filter(|shard| shard.satellite == from)
        else {
            return;
        };
        (shard.heard, shard.is_heard) = (now, true);
        if !is_last {
            return;
        }
        let mut left = shard.to.clone();
        left.subtract(&self.answered);
        self.is_loose |= !left.is_empty();
        if !shard.is_lost && left.is_empty() {
            self.took_ns.push(now.since(shard.sent));
        }
        self.shards.remove(&number);
    }

    /// Takes what a satellite works on away from it; whether there was anything.
    pub(crate) fn give_up(&mut self, satellite: PeerId) -> bool {
        let mut any = false;
        for shard in self.shards.values_mut() {
            if shard.satellite == satellite && !shard.is_lost {
                (shard.is_lost, any) = (true, true);
            }
        }
        if any {
            *self.lapses.entry(satellite).or_insert(0) += 1;
            self.is_loose = true;
        }
        any
    }

    /// Takes shards away from satellites that show no progress, where there is somebody else.
    pub(crate) fn expire(&mut self, now: Time, serving: &BTreeSet<PeerId>) {
        let is_over = |shard: &&ShardState| {
            let lapses = self.lapses.get(&shard.satellite).copied().unwrap_or(0);
            let lease_ns = LEASE_NS << lapses.min(DOUBLINGS_MAX);
            !shard.is_lost && now.since(shard.heard) >= lease_ns
        };
        let silent: BTreeSet<PeerId> =
            self.shards.values().filter(is_over).map(|shard| shard.satellite).collect();
        for satellite in silent {
            if serving.iter().any(|other| *other != satellite) {
                self.give_up(satellite);
            }
        }
    }

    /// Those of `serving` that should be given something: none that failed in this order, while there
    /// are others.
    pub(crate) fn trusted(&self, serving: &BTreeSet<PeerId>) -> BTreeSet<PeerId> {
        let trusted: BTreeSet<PeerId> =
            serving.iter().filter(|peer| !self.lapses.contains_key(peer)).copied().collect();
        if trusted.is_empty() { serving.clone() } else { trusted }
    }

    /// Destinations that nobody has answered for and nobody works on.
    fn unassigned(&self) -> SlotSet {
        let mut left = self.to.clone();
        left.subtract(&self.answered);
        for shard in self.shards.values().filter(|shard| !shard.is_lost) {
            left.subtract(&shard.to);
        }
        left
    }

    /// Cuts what nobody works on into new shards by `choose`; returns what is to be sent.
    pub(crate) fn split(&mut self, now: Time, choose: impl Fn(Slot) -> Option<PeerId>) -> Parts {
        let left = self.unassigned();
        let parts = self.cut(now, &left, false, choose);
        self.is_loose = parts.iter().map(|(.., to)| to.len()).sum::<usize>() < left.len();
        parts
    }

    fn cut(
        &mut self,
        now: Time,
        left: &SlotSet,
        is_backed: bool,
        choose: impl Fn(Slot) -> Option<PeerId>,
    ) -> Parts {
        let mut parts: BTreeMap<PeerId, SlotSet> = BTreeMap::new();
        for slot in left.iter() {
            if let Some(satellite) = choose(slot) {
                parts.entry(satellite).or_default().insert(slot);
            }
        }
        let mut sent = Vec::new();
        for (satellite, to) in parts {
            self.last_shard += 1;
            sent.push((self.last_shard, satellite, to.clone()));
            let state = ShardState {
                satellite,
                to,
                sent: now,
                heard: now,
                is_heard: false,
                is_backed,
                is_lost: false,
            };
            self.shards.insert(self.last_shard, state);
        }
        sent
    }

    /// Shards that are late: those of the last few to be taken that nothing was heard of, and those of
    /// the last few to be done that take much longer than the others.
    fn late(&self, now: Time) -> Vec<u32> {
        let is_open = |shard: &&ShardState| !shard.is_lost && !shard.is_backed;
        let open = || self.shards.values().filter(is_open);
        let all = open().count() + self.took_ns.len();
        let are_few = |some: usize| some < all && (some == 1 || some * LATE_PARTS <= all);
        let unheard_ns = if are_few(open().filter(|shard| !shard.is_heard).count()) {
            UNHEARD_NS
        } else {
            u64::MAX
        };
        let patience_ns = if are_few(open().count()) { self.patience_ns() } else { u64::MAX };
        let is_late = |shard: &&ShardState| {
            let age_ns = now.since(shard.sent);
            is_open(shard) && (age_ns >= patience_ns || !shard.is_heard && age_ns >= unheard_ns)
        };
        let late = self.shards.iter().filter(|(_, shard)| is_late(shard));
        late.map(|(number, _)| *number).collect()
    }

    /// What a shard may take, by what those took that are done, in ns.
    fn patience_ns(&self) -> u64 {
        let mut took_ns = self.took_ns.clone();
        let middle = took_ns.len() / 2;
        if took_ns.is_empty() {
            return u64::MAX;
        }
        let (_, median_ns, _) = took_ns.select_nth_unstable(middle);
        (BACKUP_TIMES * *median_ns).max(BACKUP_MIN_NS)
    }

    /// Who of `serving` may be given what the late ones have left, when there are any of both.
    pub(crate) fn helpers(&self, now: Time, serving: &BTreeSet<PeerId>) -> BTreeSet<PeerId> {
        let late = self.late(now);
        if late.is_empty() {
            return BTreeSet::new();
        }
        let busy: BTreeSet<PeerId> = late
            .iter()
            .filter_map(|number| self.shards.get(number))
            .map(|shard| shard.satellite)
            .collect();
        let may = |peer: &&PeerId| !busy.contains(peer) && !self.lapses.contains_key(peer);
        serving.iter().filter(may).copied().collect()
    }

    /// Gives what late shards have left to others as well.
    pub(crate) fn back_up(&mut self, now: Time, choose: impl Fn(Slot) -> Option<PeerId>) -> Parts {
        let mut left = SlotSet::new();
        for number in self.late(now) {
            if let Some(shard) = self.shards.get_mut(&number) {
                shard.is_backed = true;
                left.union(&shard.to);
            }
        }
        left.subtract(&self.answered);
        self.cut(now, &left, true, choose)
    }

    /// All outcomes as frames, those that never answered included.
    pub(crate) fn outcome_frames(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        let put = |out: &mut Encoder, code, cut, nodes: &SlotSet, output: &[u8]| {
            let image = nodes.to_image();
            if let Ok(nodes) = IdSet::parse(&image) {
                out.frame(&Outcome { code, cut, nodes, output });
            }
        };
        for ((code, cut, output), nodes) in &self.outcomes {
            put(&mut out, *code, *cut, nodes, output);
        }
        let mut silent = SlotSet::new();
        for slot in self.missing() {
            silent.insert(slot);
        }
        if !silent.is_empty() {
            put(&mut out, Receipt::NO_ANSWER, 0, &silent, &[]);
        }
        out.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncom_wire::OrderId;

    fn job(slots: u32) -> Job {
        let order = NewOrder {
            id: OrderId(1),
            verb: 1,
            policy: OrderHead::ALL,
            need: 0,
            deadline_ms: 1_000,
            event: 0,
            to: Vec::new(),
            payload: Vec::new(),
        };
        let to = (0..slots).fold(SlotSet::new(), |mut set, slot| {
            set.insert(Slot(slot));
            set
        });
        Job::new(&order, to, Time(1_000))
    }

    fn only(slot: u32) -> SlotSet {
        let mut set = SlotSet::new();
        set.insert(Slot(slot));
        set
    }

    #[test]
    fn a_shard_that_nothing_is_heard_of_gets_a_backup_when_most_were_taken() {
        let mut job = job(20);
        let serving: BTreeSet<PeerId> = (0..20).map(PeerId::satellite).collect();
        job.split(Time(0), |slot| Some(PeerId::satellite(u16::try_from(slot.0).unwrap())));
        for n in 0..17_u16 {
            job.renew(u32::from(n) + 1, PeerId::satellite(n), false, Time(MS));
        }
        assert!(job.helpers(Time(UNHEARD_NS), &serving).is_empty(), "three of twenty");
        job.renew(18, PeerId::satellite(17), false, Time(MS));
        assert!(job.helpers(Time(UNHEARD_NS - 1), &serving).is_empty());
        assert_eq!(job.helpers(Time(UNHEARD_NS), &serving).len(), 18);
    }

    fn of(parts: &Parts) -> Vec<(u32, PeerId, usize)> {
        parts.iter().map(|(number, peer, to)| (*number, *peer, to.len())).collect()
    }

    #[test]
    fn the_residual_of_a_lost_shard_goes_to_another() {
        let mut job = job(4);
        let (one, two) = (PeerId::satellite(1), PeerId::satellite(2));
        let both = BTreeSet::from([one, two]);
        assert_eq!(of(&job.split(Time(0), |_| Some(one))), [(1, one, 4)]);
        job.answer(0, 0, &only(2), b"ok", Time(5_000));
        job.renew(1, two, true, Time(0));
        assert!(!job.is_loose && job.shards.len() == 1, "not its shard");
        assert!(job.give_up(one) && job.is_loose && !job.give_up(one));
        assert_eq!(job.trusted(&both), BTreeSet::from([two]));
        assert_eq!(job.trusted(&BTreeSet::from([one])), BTreeSet::from([one]), "nobody else");
        let again = job.split(Time(0), |_| Some(two));
        assert_eq!(again[0].0, 2, "a new number");
        assert_eq!(again[0].2.iter().map(|slot| slot.0).collect::<Vec<_>>(), [0, 1, 3]);
    }

    #[test]
    fn a_lease_lasts_as_long_as_progress_is_shown_and_longer_after_each_lapse() {
        let mut job = job(2);
        let (one, two) = (PeerId::satellite(1), PeerId::satellite(2));
        let both = BTreeSet::from([one, two]);
        let is_loose_after = |job: &mut Job, at: u64, serving: &BTreeSet<PeerId>| {
            job.expire(Time(at), serving);
            std::mem::take(&mut job.is_loose)
        };
        job.split(Time(0), |_| Some(one));
        assert!(!is_loose_after(&mut job, LEASE_NS - 1, &both));
        job.renew(1, one, false, Time(LEASE_NS - 1));
        assert!(!is_loose_after(&mut job, LEASE_NS, &both), "it was renewed");
        assert!(!is_loose_after(&mut job, 9 * LEASE_NS, &BTreeSet::from([one])), "nobody else");
        assert!(is_loose_after(&mut job, 9 * LEASE_NS, &both));
        job.split(Time(9 * LEASE_NS), |_| Some(one));
        assert!(!is_loose_after(&mut job, 11 * LEASE_NS - 1, &both), "it is known to be slow");
        assert!(is_loose_after(&mut job, 11 * LEASE_NS, &both));
    }

    #[test]
    fn the_last_shards_get_backups_once_when_they_take_long() {
        let mut job = job(20);
        let serving: BTreeSet<PeerId> = (0..20).map(PeerId::satellite).collect();
        let own = |slot: Slot| Some(PeerId::satellite(u16::try_from(slot.0).unwrap()));
        assert_eq!(job.split(Time(0), own).len(), 20);
        for n in 0..20 {
            job.renew(u32::from(n) + 1, PeerId::satellite(n), false, Time(0));
        }
        let mut done = 0..20_u16;
        let mut end = |job: &mut Job, many| {
            for n in done.by_ref().take(many) {
                job.answer(0, 0, &only(u32::from(n)), b"", Time(MS));
                job.renew(u32::from(n) + 1, PeerId::satellite(n), true, Time(MS));
            }
        };
        end(&mut job, 17);
        assert!(job.helpers(Time(LEASE_NS), &serving).is_empty(), "three of twenty are open");
        end(&mut job, 1);
        assert!(job.helpers(Time(BACKUP_MIN_NS - 1), &serving).is_empty(), "too soon");
        let helpers = job.helpers(Time(BACKUP_MIN_NS), &serving);
        assert_eq!(helpers.len(), 18, "all but those that are late");
        let zero = PeerId::satellite(0);
        assert_eq!(of(&job.back_up(Time(BACKUP_MIN_NS), |_| Some(zero))), [(21, zero, 2)]);
        assert!(job.helpers(Time(LEASE_NS), &serving).is_empty(), "no backup of a backup");
        assert!(job.unassigned().is_empty() && !job.is_loose);
        job.give_up(PeerId::satellite(18));
        assert!(job.unassigned().is_empty(), "the backup works on it");
        job.give_up(zero);
        assert_eq!(job.unassigned().len(), 1);
    }

    #[test]
    fn equal_answers_fold_and_the_first_answer_counts() {
        let mut job = job(3);
        job.answer(0, 0, &only(0), b"ok", Time(5_000));
        job.answer(0, 0, &only(1), b"ok", Time(6_000));
        job.answer(9, 0, &only(1), b"late", Time(7_000));
        assert_eq!((job.outcomes.len(), job.done, job.failed), (1, 2, 0));
        assert!(!job.is_complete());
        job.answer(Receipt::NODE_DEAD, 0, &only(2), &[], Time(0));
        assert!(job.is_complete());
        assert_eq!((job.first_us, job.last_us), (4, 5));
    }

    #[test]
    fn outputs_beyond_the_bound_are_cut_and_still_counted() {
        let mut job = job(100);
        for slot in 0..100_u32 {
            let output = vec![slot.to_le_bytes()[0]; 16 * 1024];
            job.answer(0, 0, &only(slot), &output, Time(5_000));
        }
        assert!(job.outcome_frames().len() < OUTCOMES_MAX);
        assert_eq!(crate::machine::orders::tally(&job.outcome_frames()), (100, 0));
    }
}
