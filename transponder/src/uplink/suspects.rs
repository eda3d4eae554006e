//! All cases against nodes, judged together: observers that are accused themselves vote by their
//! silence, and deaths of one cause go up in one batch.

use crate::feed::ASK_NS;
use crate::uplink::asks::Asks;
use crate::uplink::batch::{Batches, Tag};
use crate::uplink::evidence::{Absorbed, Word};
use crate::uplink::hold::Hold;
use crate::uplink::reach;
use crate::uplink::second::Second;
use crate::uplink::suspicion::{Sight, Stage, Suspicion};
use crate::uplink::tally::Tally;
use crate::uplink::verdict::{Asked, Verdict, judge};
use crate::world::World;
use alloc::vec::Vec;
use syncom_seam::bounded::BoundedMap;
use syncom_seam::{Counter, MS, Outbox, Rng, SECOND, Time};
use syncom_wire::member::MemberState;
use syncom_wire::opinion::Opinion;
use syncom_wire::probe::Probe;
use syncom_wire::report::EventKind;
use syncom_wire::uplink::{ItemResult, Record, RecordHead};
use syncom_wire::{Addr, Incarnation, List, Slot};

/// Cases looked at to make room for a new one.
const SEARCH_MAX: usize = 64;
/// How long a settled case waits for the view before it is forgotten, in ns.
const SETTLED_NS: u64 = 5 * SECOND;
/// Pause before something that met a full station is announced again, in ns.
const BUSY_PAUSE_NS: u64 = 200 * MS;

/// The leader may take so many times as long to answer as it took last, once it is asked.
const PROOF_TRIPS: u64 = 4;
/// An answer that took longer than twice the last one and this is believed to be one that was lost on
/// its way and asked for again, in ns.
const PROOF_STEP_NS: u64 = 5 * MS;

/// What became of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is kept.
    Kept,
    /// It changed nothing.
    Repeated,
    /// There is no room, and nothing less important to drop.
    NoRoom,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Suspects {
    /// Where a case stands in the list.
    index: BoundedMap<usize>,
    list: Vec<Suspicion>,
    /// Where the next search for room begins.
    hand: usize,
    hold: Hold,
    /// What the leader took to answer last, as far as that is believed, in ns.
    proof_trip_ns: u64,
    /// Cases that may end in death and are not judged yet, as of the last look.
    undecided: usize,
    /// Since when no leader answers: what is silent here may be on the other side of a cut.
    cut_since: Option<Time>,
}

fn key(slot: Slot, incarnation: Incarnation) -> u64 {
    u64::from(slot.0) << 32 | u64::from(incarnation.0)
}

impl Suspects {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            index: BoundedMap::new(capacity),
            list: Vec::new(),
            hand: 0,
            hold: Hold::default(),
            proof_trip_ns: 0,
            undecided: 0,
            cut_since: None,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.list.len()
    }

    /// Cases that may end in death and were not judged yet when they were last looked at.
    pub(crate) fn undecided(&self) -> u32 {
        // A view may have settled the last of them.
        u32::try_from(self.undecided.min(self.list.len())).unwrap_or(u32::MAX)
    }

    /// The case against this life of a node.
    pub(crate) fn get(&self, slot: Slot, incarnation: Incarnation) -> Option<&Suspicion> {
        self.list.get(*self.index.get(key(slot, incarnation))?)
    }

    fn get_mut(&mut self, slot: Slot, incarnation: Incarnation) -> Option<&mut Suspicion> {
        self.list.get_mut(*self.index.get(key(slot, incarnation))?)
    }

    /// Takes an observer's word about a node that is present in this life.
    pub(crate) fn on_word<O: Outbox>(
        &mut self,
        sight: &Sight<'_>,
        slot: Slot,
        incarnation: Incarnation,
        word: &Word,
        out: &mut O,
    ) -> Taken {
        let is_nothing = word.is_retracted && word.patchy == Time(0);
        if is_nothing && self.get(slot, incarnation).is_none() {
            return Taken::Repeated;
        }
        let Some(case) = self.open(sight, slot, incarnation) else { return Taken::NoRoom };
        // Of the dead, too, some have lost the last heartbeat; and clocks and queues may differ.
        let margin_ns = sight.interval_ns(slot) + sight.profile.margin_min_ns;
        let known = case.evidence.accused_since().after(margin_ns);
        // Whoever repeats what it has said tells nothing new.
        let own = case.evidence.words().iter().find(|held| held.slot == word.slot);
        let known = known.max(own.map_or(Time(0), |held| held.heard));
        let is_again = own.is_some_and(|held| held.seq == word.seq && !held.is_retracted);
        case.make_room(sight.now.at);
        if case.evidence.absorb(word) == Absorbed::Nothing {
            return Taken::Repeated;
        }
        if !word.is_retracted {
            case.on_accused(word, is_again, sight.now.at);
        } else if word.heard > known
            && case.is_refuted_by(word, sight)
            && case.inquiry.veto(sight.now.at)
        {
            // It was heard later than by all who accuse it: a sign of life.
            out.count(Counter::Vetoes, 1);
        }
        Taken::Kept
    }

    /// A node's host has refused the heartbeat of somebody whom it observes: asks the node.
    pub(crate) fn on_refused(&mut self, sight: &Sight<'_>, slot: Slot, incarnation: Incarnation) {
        let is_new = self.get(slot, incarnation).is_none();
        if let Some(case) = self.open(sight, slot, incarnation) {
            // Nobody accuses it here, so nothing is here to be cleared.
            case.is_gray &= !is_new;
            case.note_refusal(sight);
        }
    }

    /// The other home says what it makes of a node, and is told what is believed here when it asks.
    pub(crate) fn on_opinion<O: Outbox>(
        &mut self,
        sight: &Sight<'_>,
        (slot, home): (Slot, Addr),
        opinion: &Opinion,
        out: &mut O,
    ) {
        let is_new = self.get(slot, opinion.incarnation).is_none();
        let asks = opinion.flags & Opinion::ASKS != 0;
        let is_cut_off = self.cut_since.is_some();
        if is_new && !asks {
            return;
        }
        let Some(case) = self.open(sight, slot, opinion.incarnation) else { return };
        // Nobody accuses it here, so nothing is here to be cleared.
        case.is_gray &= !is_new;
        case.second.on_opinion(sight.now.at, opinion);
        if asks && (!is_cut_off || case.has_sign_of_life(sight)) {
            let accusers = case.evidence.words().iter().filter(|word| !word.is_retracted).count();
            let accusers = u32::try_from(accusers).unwrap_or(u32::MAX);
            case.second.note_told(case.rounds(sight));
            out.send(home, &case.opinion(accusers, false, sight));
            out.count(Counter::OpinionsSent, 1);
        }
    }

    /// The question with this nonce came back from the host of a node; whether it is of the present
    /// round, so that its observers should be asked.
    pub(crate) fn is_returned(&self, probe: &Probe) -> bool {
        let case = self.get(probe.slot, probe.incarnation);
        case.is_some_and(|case| {
            case.stage == Stage::Open && case.inquiry.is_answered_by(probe.nonce)
        })
    }

    /// Opens a case because this home itself misses the node.
    pub(crate) fn on_missed(&mut self, sight: &Sight<'_>, slot: Slot, incarnation: Incarnation) {
        if let Some(case) = self.open(sight, slot, incarnation) {
            case.is_own = true;
        }
    }

    fn open(
        &mut self,
        sight: &Sight<'_>,
        slot: Slot,
        incarnation: Incarnation,
    ) -> Option<&mut Suspicion> {
        if self.index.get(key(slot, incarnation)).is_none() {
            if self.index.is_full() {
                let victim = self.find_noise()?;
                self.forget(victim);
            }
            let state = sight.world.members().agent(slot)?.state();
            let is_gray = state == MemberState::Gray;
            self.index.insert(key(slot, incarnation), self.list.len()).ok()?;
            self.list.push(Suspicion::new(slot, incarnation, sight.now.at, is_gray));
        }
        self.get_mut(slot, incarnation)
    }

    /// A case below L that can make room; what is probable is never dropped for what is not.
    fn find_noise(&mut self) -> Option<usize> {
        let len = self.list.len();
        for _ in 0..SEARCH_MAX.min(len) {
            self.hand = (self.hand + 1) % len;
            let case = &self.list[self.hand];
            if !case.is_probable && !case.is_gray && case.stage == Stage::Open {
                return Some(self.hand);
            }
        }
        None
    }

    fn forget(&mut self, at: usize) {
        let case = self.list.swap_remove(at);
        self.index.remove(key(case.slot, case.incarnation));
        if let Some(moved) = self.list.get(at)
            && let Some(place) = self.index.get_mut(key(moved.slot, moved.incarnation))
        {
            *place = at;
        }
    }

    /// The accused answered the question with this nonce; whether that is a veto.
    pub(crate) fn on_answer(
        &mut self,
        now: Time,
        slot: Slot,
        incarnation: Incarnation,
        nonce: u64,
    ) -> bool {
        let mut is_veto = false;
        for case in self.list.iter_mut().filter(|case| case.slot == slot) {
            if case.incarnation <= incarnation && case.inquiry.is_answered_by(nonce) {
                is_veto |= case.inquiry.on_answer(now);
            }
        }
        is_veto
    }

    /// The leader answered what it was asked at `sent`: see [`Inquiry::on_proof`].
    ///
    /// [`Inquiry::on_proof`]: crate::uplink::veto::Inquiry::on_proof
    pub(crate) fn on_proof(&mut self, sent: Time, now: Time) {
        let believed_ns = 2 * self.proof_trip_ns + PROOF_STEP_NS;
        self.proof_trip_ns = now.since(sent).min(believed_ns);
        self.list.iter_mut().for_each(|case| case.inquiry.on_proof(sent, now));
    }

    /// The station's word on a conclusion.
    pub(crate) fn on_result(
        &mut self,
        now: Time,
        (slot, incarnation, kind): (Slot, Incarnation, EventKind),
        code: u8,
    ) {
        let Some(case) = self.get_mut(slot, incarnation) else { return };
        let is_busy = code == ItemResult::BUSY;
        if is_busy {
            case.not_before = now.after(BUSY_PAUSE_NS);
        }
        match kind {
            EventKind::DEAD if is_busy => case.stage = Stage::Open,
            EventKind::DEAD => case.stage = Stage::Settled(now),
            EventKind::GRAY if is_busy => case.is_gray = false,
            _ => {}
        }
    }

    /// The view moved: drops the cases of those who are gone, handing each to `gone` first.
    pub(crate) fn on_view(&mut self, world: &World, mut gone: impl FnMut(&Suspicion)) {
        for at in (0..self.list.len()).rev() {
            let case = &self.list[at];
            if world.living(case.slot, case.incarnation).is_none() {
                gone(case);
                self.forget(at);
            }
        }
    }

    /// Since when this satellite is cut off from the station; nothing is concluded meanwhile.
    pub(crate) const fn cut_since(&self) -> Option<Time> {
        self.cut_since
    }

    /// What was concluded about a node will not reach the station.
    pub(crate) fn on_withdrawn(&mut self, slot: Slot, incarnation: Incarnation, was: EventKind) {
        if let Some(case) = self.get_mut(slot, incarnation) {
            case.is_gray &= was != EventKind::GRAY;
        }
    }

    /// A cut begins, or is over: what the accused did not answer says nothing any more.
    pub(crate) fn ask_anew(&mut self, cut_since: Option<Time>) {
        self.cut_since = cut_since;
        for case in &mut self.list {
            if case.stage == Stage::Announced {
                case.stage = Stage::Open;
            }
            case.inquiry.begin_anew();
            case.second = Second::default();
            case.asks = Asks::default();
        }
    }

    /// The votes of a case.
    pub(crate) fn tally(&self, case: &Suspicion, sight: &Sight<'_>) -> Tally {
        let is_suspected = |slot, incarnation| {
            self.get(slot, incarnation)
                .is_some_and(|case| case.is_probable && !case.inquiry.is_vetoed())
        };
        case.tally(sight, is_suspected)
    }

    /// Judges all cases: asks, announces, forgets. Whether anybody accused was asked, so that the leader
    /// is to be asked, too.
    pub(crate) fn judge_all<O: Outbox>(
        &mut self,
        sight: &Sight<'_>,
        rng: &mut Rng,
        batches: &mut Batches,
        out: &mut O,
    ) -> bool {
        let (mut ripe, mut undecided, mut asks) = (0, 0, false);
        for at in (0..self.list.len()).rev() {
            let is_over = match self.list[at].stage {
                Stage::Announced => continue,
                Stage::Settled(since) => sight.now.at.since(since) > SETTLED_NS,
                Stage::Open | Stage::Ripe => {
                    let tally = self.tally(&self.list[at], sight);
                    self.judge_one(at, &tally, sight, rng, batches, out)
                }
            };
            if is_over {
                self.forget(at);
                continue;
            }
            let case = &self.list[at];
            asks |= case.inquiry.is_asked_at(sight.now.at);
            ripe += usize::from(case.stage == Stage::Ripe);
            undecided += usize::from(case.is_undecided(sight.now.at));
        }
        self.undecided = undecided;
        // While the station cannot be reached, a death stays open to signs of life.
        let is_free = self.cut_since.is_none() && !batches.is_stalled(sight.now.at);
        if is_free && self.hold.release(sight.now.at, ripe, undecided) {
            self.announce(sight, batches, out);
        }
        out.gauge(Counter::EvidenceLive, u64::try_from(self.list.len()).unwrap_or(u64::MAX));
        asks
    }

    /// Judges one case that was not announced; whether it is over.
    fn judge_one<O: Outbox>(
        &mut self,
        at: usize,
        tally: &Tally,
        sight: &Sight<'_>,
        rng: &mut Rng,
        batches: &mut Batches,
        out: &mut O,
    ) -> bool {
        let now = sight.now.at;
        let is_cut_off = self.cut_since.is_some();
        let proof_ns = if is_cut_off { 0 } else { ASK_NS + PROOF_TRIPS * self.proof_trip_ns };
        let case = &mut self.list[at];
        case.stage = Stage::Open;
        let is_heard = case.is_heard_by_home(sight);
        if case.is_probable && tally.distinct > 0 && is_heard {
            out.count(Counter::Vetoes, u64::from(case.inquiry.veto(now)));
        } else if now.since(case.lived(sight)) >= sight.silence_ns(case.slot) {
            case.inquiry.on_accused(now);
        }
        let situation = case.situation(tally, sight);
        match judge(&situation) {
            Verdict::Wait => {}
            Verdict::Probe => inquire(case, sight, proof_ns, rng),
            Verdict::Dead if now >= case.not_before && !case.is_unborn(sight) => {
                case.stage = Stage::Ripe;
            }
            Verdict::Dead => {}
            Verdict::Gray | Verdict::Cleared if is_cut_off => {}
            Verdict::Gray if now >= case.not_before => {
                let head = case.record(EventKind::GRAY, tally, sight);
                let detail = reach::words(case, tally, sight);
                case.is_gray = send(sight, &head, &detail, batches, out);
            }
            Verdict::Gray => {}
            Verdict::Cleared => {
                let head = case.record(EventKind::CLEARED, tally, sight);
                return send(sight, &head, "", batches, out);
            }
            Verdict::Noise => {
                out.count(Counter::UplinkNoise, 1);
                return true;
            }
        }
        let is_called = case.is_called(now);
        if is_called && case.inquiry.asked(now) == Asked::No {
            inquire(case, sight, proof_ns, rng);
        }
        if (situation.is_probable || is_called) && !situation.is_vetoed {
            probe(case, tally, sight, out);
            if !is_cut_off {
                consult(case, tally, sight, out);
            }
        }
        false
    }

    /// Sends every ripe case up, as far as there is room; the rest stays ripe.
    fn announce<O: Outbox>(&mut self, sight: &Sight<'_>, batches: &mut Batches, out: &mut O) {
        for at in 0..self.list.len() {
            if self.list[at].stage != Stage::Ripe {
                continue;
            }
            let tally = self.tally(&self.list[at], sight);
            let head = self.list[at].record(EventKind::DEAD, &tally, sight);
            if !send(sight, &head, "", batches, out) {
                return;
            }
            self.list[at].stage = Stage::Announced;
        }
    }
}

/// Begins to ask the accused.
fn inquire(case: &mut Suspicion, sight: &Sight<'_>, proof_ns: u64, rng: &mut Rng) {
    let times_ns = (sight.interval_ns(case.slot), sight.homes.rtt_ns(case.slot), proof_ns);
    case.inquiry.begin(sight.now.at, rng.next_u64(), times_ns);
}

/// Sends the probes that are due: to the accused, and to its observers that do not accuse it; not to
/// them when it is asked only because its host refuses: nobody has begun to miss it.
fn probe<O: Outbox>(case: &mut Suspicion, tally: &Tally, sight: &Sight<'_>, out: &mut O) {
    while let Some(nonce) = case.inquiry.next_probe(sight.now.at) {
        let probe = Probe {
            nonce,
            slot: case.slot,
            incarnation: case.incarnation,
            accusers: tally.distinct,
            reserved: 0,
        };
        if let Some(addr) = sight.homes.addr(sight.world, case.slot) {
            out.send(addr, &probe);
            out.count(Counter::ProbesSent, 1);
        }
        if tally.distinct == 0 && case.is_called(sight.now.at) {
            continue;
        }
        for (at, observer) in sight.world.observers(case.slot).iter().enumerate() {
            let addr = sight.homes.addr(sight.world, *observer);
            if let Some(addr) = addr.filter(|_| tally.askable >> at & 1 == 1) {
                case.asks.note(*observer, &case.evidence, sight.now.at);
                out.send(addr, &probe);
                out.count(Counter::ObserversAsked, 1);
            }
        }
    }
}

/// Tells the other home what is believed, when it wants to know or is to say what it believes.
fn consult<O: Outbox>(case: &mut Suspicion, tally: &Tally, sight: &Sight<'_>, out: &mut O) {
    let now = sight.now.at;
    let Some(home) = sight.world.other_home(case.slot) else { return };
    let is_missed = case.is_probable && case.inquiry.asked(now) != Asked::No;
    if let Some(asks) = case.second.speak(now, case.rounds(sight), is_missed) {
        out.send(home.head.addr, &case.opinion(tally.distinct, asks, sight));
        out.count(Counter::OpinionsSent, 1);
    }
}

/// Puts a conclusion into the next batch; whether there was room.
pub(crate) fn send<O: Outbox>(
    sight: &Sight<'_>,
    head: &RecordHead,
    detail: &str,
    batches: &mut Batches,
    out: &mut O,
) -> bool {
    let Some(slot) = head.subject.slot() else { return false };
    let contributors = List::new(&[]);
    let record = Record { head: *head, contributors, subject: "", kind: "", detail };
    let tag = Tag::Verdict(slot, head.incarnation, head.kind);
    let sent = batches.push(sight.now.at, &record, tag).is_ok();
    out.count(Counter::UplinkRecords, u64::from(sent));
    sent
}
