//! Watching others, and saying so when they fall silent.
//!
//! An observer compares each subject's heartbeats with what that subject usually does (see
//! [`Arrival`]) and reports silence to both homes of the subject. It never judges: homes weigh the
//! words of all observers. What it owes them is honesty about itself. A process that was stopped
//! accuses nobody until it has listened again; one that misses half of its subjects at once says
//! that it may be its own fault; one whose homes are all silent says nothing. One that misses the turn
//! of a subject that speaks in turn asks it first ([`asking`]).
//!
//! [`asking`]: crate::asking

use crate::asking;
use crate::node::{Identity, Node};
use crate::telling::{first_wait_ns, homes, report, send};
use crate::timers::TimerKind;
use crate::watched::{Claim, Sign, Watched};
use alloc::vec::Vec;
use syncom_group::Arrival;
use syncom_seam::limits::SUBJECTS_MAX;
use syncom_seam::{Counter, Now, Outbox, SECOND, Time};
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::neighbours::Neighbours;
use syncom_wire::probe::Probe;
use syncom_wire::report::{AckItem, Report};
use syncom_wire::watch::Watch;
use syncom_wire::{Addr, Incarnation, PeerId, Slot};

/// First refresh of an accusation, in ns; it doubles.
const REFRESH_FIRST_NS: u64 = SECOND;
/// Longest time between two refreshes, in ns.
const REFRESH_MAX_NS: u64 = 8 * SECOND;
/// How often a retraction is said without an answer.
const RETRACTIONS: u32 = 5;

/// The subjects of this node.
#[derive(Debug)]
pub(crate) struct Observing {
    pub(crate) watched: Vec<Watched>,
    /// Slots of `watched`, in the same order: heartbeats are looked up by them, and all of these lie
    /// in one cache line.
    slots: Vec<Slot>,
    /// Subjects of which no heartbeat came, and where they listen.
    strangers: Vec<(Slot, Addr)>,
    /// No accusation before this moment.
    mute_until: Time,
    /// An overflow mutes nobody before this moment: one that never ends must not.
    overflow_from: Time,
    /// Since when so many are late at once that it may be our own fault.
    suspect_since: Option<Time>,
    /// When any agent was heard last.
    pub(crate) peer_heard: Time,
    /// It heard nobody any more before this moment, unless it has heard somebody since.
    pub(crate) alone_since: Time,
    /// Who hears nobody does not show itself again before this moment.
    pub(crate) outcry_next: Time,
    /// Who has refuted an accusation last.
    refuter: Option<Slot>,
}

impl Observing {
    pub(crate) fn new() -> Self {
        Self {
            watched: Vec::with_capacity(SUBJECTS_MAX),
            slots: Vec::with_capacity(SUBJECTS_MAX),
            strangers: Vec::with_capacity(SUBJECTS_MAX),
            mute_until: Time(0),
            overflow_from: Time(0),
            suspect_since: None,
            peer_heard: Time(0),
            alone_since: Time(0),
            outcry_next: Time(0),
            refuter: None,
        }
    }

    /// Bytes that say who the subjects are; what is expected of each comes on top ([`Arrival`]).
    ///
    /// [`Arrival`]: syncom_group::Arrival
    pub(crate) fn bytes(&self) -> usize {
        self.watched.len() * size_of::<(Slot, Incarnation, u16)>()
            + size_of_val(self.strangers.as_slice())
    }

    /// Where those listen of whom no heartbeat came.
    pub(crate) fn strangers(&mut self) -> impl Iterator<Item = Addr> {
        let watched = &self.watched;
        let is_one = |slot| watched.iter().any(|one| one.slot == slot && one.is_stranger());
        self.strangers.retain(|(slot, _)| is_one(*slot));
        self.strangers.iter().map(|(_, addr)| *addr)
    }

    /// A new life begins: it watches nobody yet.
    pub(crate) fn clear(&mut self) {
        self.watched.clear();
        self.slots.clear();
        self.strangers.clear();
        self.suspect_since = None;
    }

    /// Takes the subjects of a newer set. Those that are no longer in it are watched until they say
    /// that others do, or for a while: should one die now, its new observers may never have heard it.
    /// One that we have never heard ourselves is forgotten: it may not even know that we were to watch
    /// it, and would not tell us that others do.
    pub(crate) fn on_neighbours<O: Outbox>(
        &mut self,
        now: Now,
        set: &Neighbours<'_>,
        node: &mut Node,
        out: &mut O,
    ) {
        for watched in &mut self.watched {
            watched.leave_by(now.at, node);
        }
        self.strangers.clear();
        for one in set.subjects.iter() {
            // As many at most as are watched; who is none is left out when they are asked.
            if self.strangers.len() < SUBJECTS_MAX {
                self.strangers.push((one.slot, one.addr));
            }
            let known = self.find(one.slot).and_then(|at| self.watched.get_mut(at));
            if let Some(watched) = known {
                watched.assign(one, set.head.epoch, now.at, node);
                continue;
            }
            if self.watched.len() == SUBJECTS_MAX {
                let replaced = self.watched.iter().position(|w| w.leave_at != Time::NEVER);
                let Some(at) = replaced else { break };
                self.watched.swap_remove(at);
                self.slots.swap_remove(at);
            }
            self.watched.push(Watched::new(one, set.head.epoch, now.at, node));
            self.slots.push(one.slot);
        }
        self.watched.iter_mut().for_each(|watched| watched.excuse(now.at));
        self.keep(|watched| watched.leave_at == Time::NEVER || watched.has_evidence());
        self.arm(now.at, node, out);
    }

    /// Forgets all others.
    fn keep(&mut self, is_kept: impl FnMut(&Watched) -> bool) {
        self.watched.retain(is_kept);
        if self.watched.len() < self.slots.len() {
            self.slots.clear();
            self.slots.extend(self.watched.iter().map(|watched| watched.slot));
        }
    }

    fn find(&self, slot: Slot) -> Option<usize> {
        self.slots.iter().position(|one| *one == slot)
    }

    pub(crate) fn on_sign<O: Outbox>(
        &mut self,
        now: Now,
        beat: &Sign,
        (heard, is_awake): (Time, bool),
        node: &mut Node,
        out: &mut O,
    ) {
        let at = self.find(beat.slot);
        let Some(watched) = at.and_then(|at| self.watched.get_mut(at)) else { return };
        if !watched.on_sign(beat, heard, node) {
            return;
        }
        out.count(Counter::HeartbeatsHeard, 1);
        if beat.flags & Heartbeat::LEAVING != 0 {
            watched.claim = Claim::Settled;
            return;
        }
        // Replaced already, or by a set that has not come here yet: its own is newer than ours.
        let is_replaced = watched.leave_at != Time::NEVER || beat.neighbours > watched.epoch;
        if beat.flags & Heartbeat::RELEASED != 0 && is_replaced {
            // What was said of it is taken back below, and then it is forgotten, before it has said
            // so for the last time.
            let soon_ns = node.pace.interval_ns().min(watched.arrival.interval_ns());
            watched.leave_at = watched.leave_at.min(now.at.after(soon_ns));
        }
        watched.excuse_gaps(now.at < self.mute_until);
        if watched.is_late(node, now.at) || !watched.claim.is_open() {
            let is_called = watched.question.is_called();
            at.filter(|_| is_awake).into_iter().for_each(|at| self.tell_gaps(at, now, node, out));
            at.filter(|_| is_called).into_iter().for_each(|at| self.tell_homes(at, now, node, out));
            return;
        }
        watched.claim = match watched.claim {
            Claim::Accused { seq, .. } => {
                // Refuted: our margins are too tight for what we are. The same one again and again
                // says something of its own cable.
                let is_another = self.refuter.replace(beat.slot) != Some(beat.slot);
                if is_another && !watched.is_asked(now.at) {
                    node.health.blame(now.at);
                }
                out.count(Counter::Retractions, 1);
                Claim::Retracting { seq, heard_by: None, repeats: 0, next: now.at }
            }
            Claim::None | Claim::Settled | Claim::Retracting { .. } => Claim::None,
        };
        // About this one alone: what others have sent may still be waiting to be read.
        if let (Some(at), Some(identity)) = (at, node.identity) {
            self.speak(at, identity, now, node, out);
            self.tell_homes(at, now, node, out);
        }
        self.arm(now.at, node, out);
    }

    /// Says of a subject that is heard, but of which most is missing, that it is so. One that misses most
    /// of half of its subjects is deaf itself, and says nothing.
    fn tell_gaps<O: Outbox>(&mut self, at: usize, now: Now, node: &Node, out: &mut O) {
        let Some(identity) = node.identity.filter(|_| !node.numbers.is_spent()) else { return };
        let has_gaps = self.watched.get(at).is_some_and(|watched| watched.has_gaps_to_tell(now.at));
        if !has_gaps || self.is_deaf() {
            return;
        }
        if let Some(watched) = self.watched.get_mut(at) {
            watched.note_gaps_told(now.at);
            let flags = Report::RETRACT | Report::ASKED | Report::PATCHY;
            send(watched, node.numbers.newest(), flags, identity, now, node, out);
        }
    }

    /// Whether most of what half of the subjects send is missing here.
    fn is_deaf(&self) -> bool {
        2 * self.watched.iter().filter(|watched| watched.arrival.is_patchy()).count()
            >= self.watched.len()
    }

    /// What is expected of the node in this slot.
    pub(crate) fn arrival_mut(&mut self, slot: Slot) -> Option<&mut Arrival> {
        let at = self.find(slot)?;
        self.watched.get_mut(at).map(|watched| &mut watched.arrival)
    }

    /// Whether the node in this slot is one of those that it is to watch.
    pub(crate) fn watches(&self, slot: Slot) -> bool {
        self.watched.iter().any(|one| one.slot == slot && one.leave_at == Time::NEVER)
    }

    /// A home says that the host of somebody refuses what is sent to it, as if its agent were gone.
    pub(crate) fn on_refused<O: Outbox>(
        &mut self,
        now: Now,
        probe: &Probe,
        node: &mut Node,
        out: &mut O,
    ) {
        let life = (probe.slot, probe.incarnation);
        let is_meant = |watched: &&mut Watched| (watched.slot, watched.incarnation) == life;
        let Some(watched) = self.watched.iter_mut().find(is_meant) else { return };
        watched.ask(now.at);
        if watched.is_in_turn && watched.question.is_idle() {
            watched.question.begin(now.at, node.rng.next_u64(), asking::trip_ns(node));
        }
        self.judge(now, node, out);
    }

    /// This process or its machine stood still for `gap_ns`: what it missed is nobody's fault.
    pub(crate) fn on_pause(&mut self, now: Time, gap_ns: u64, node: &Node) {
        self.mute_until = now.after(2 * node.pace.interval_ns());
        for watched in &mut self.watched {
            watched.on_pause(now, gap_ns);
        }
    }

    /// The kernel dropped what we were sent, heartbeats perhaps among it: that is like a pause of two
    /// intervals. Where it goes on and on, our health says how little our word is worth, and what the
    /// homes make of it is theirs.
    pub(crate) fn on_overflow<O: Outbox>(&mut self, now: Time, node: &Node, out: &mut O) {
        if now < self.overflow_from {
            return;
        }
        out.count(Counter::Pauses, 1);
        self.on_pause(now, 2 * node.pace.interval_ns(), node);
        self.overflow_from = self.mute_until.after(2 * node.patience_ns());
    }

    pub(crate) fn on_ack(
        &mut self,
        now: Time,
        from: PeerId,
        incarnation: Incarnation,
        item: AckItem,
        node: &Node,
    ) {
        if node.identity.is_none_or(|identity| identity.incarnation != incarnation) {
            return;
        }
        let homes = homes(node);
        for watched in &mut self.watched {
            watched.claim.on_ack(item, from, homes, now);
        }
    }

    /// Accuses whoever is late, says again what was said, and waits for the next deadline.
    pub(crate) fn judge<O: Outbox>(&mut self, now: Now, node: &mut Node, out: &mut O) {
        let Some(identity) = node.identity else { return };
        node.health.settle(now.at);
        self.keep(|watched| now.at < watched.leave_at);
        self.ask_due(now, node, out);
        self.suspect_self(now, node, out);
        if self.may_accuse(now.at, node) {
            for at in 0..self.watched.len() {
                self.speak(at, identity, now, node, out);
            }
        }
        self.arm(now.at, node, out);
    }

    fn suspect_self<O: Outbox>(&mut self, now: Now, node: &Node, out: &mut O) {
        let late = || self.watched.iter().filter(|watched| watched.counts_as_late(node, now.at));
        let all_span = spans(self.watched.iter().map(|watched| watched.domain));
        let late_span = spans(late().map(|watched| watched.domain));
        let half = self.watched.len().div_ceil(2).max(2);
        let suspect = late().count() >= half && (late_span || !all_span);
        if suspect && self.suspect_since.is_none() {
            out.count(Counter::SelfSuspicions, 1);
        }
        self.suspect_since = suspect.then(|| self.suspect_since.unwrap_or(now.at));
    }

    /// Whether anybody may be accused now: not after a pause, not without homes, and not by one who
    /// suspects itself, before somebody of the group was heard since: whoever hears nobody any more is
    /// cut off, and what it would say of others says nothing of them.
    pub(crate) fn may_accuse(&self, now: Time, node: &Node) -> bool {
        now >= self.mute_until
            && !node.homes.is_isolated(node.home_interval_ns(), now)
            && self.suspect_since.is_none_or(|since| node.homes.heard() >= since)
    }

    /// Whether it waits to hear anybody of the group before it accuses somebody.
    pub(crate) fn is_in_doubt(&self, node: &Node) -> bool {
        self.suspect_since.is_some_and(|since| node.homes.heard() < since)
    }

    /// What it makes of each subject, for people.
    pub(crate) fn show(&self, now: Time, node: &Node) -> impl Iterator<Item = Watch> {
        let doubts = [
            (now < self.mute_until, Watch::MUTE),
            (node.homes.is_isolated(node.home_interval_ns(), now), Watch::ISOLATED),
            (self.suspect_since.is_some(), Watch::SELF_SUSPECT),
            (self.is_in_doubt(node), Watch::IN_DOUBT),
        ];
        let flags = doubts.iter().filter(|(is_so, _)| *is_so).fold(0, |all, (_, flag)| all | flag);
        self.watched.iter().map(move |watched| watched.show(flags, node, now))
    }

    /// Whether to ask the group for an answer that would end the doubt: for as long as it would take
    /// to be accused oneself, and no longer.
    pub(crate) fn asks_group(&self, now: Time, node: &Node) -> bool {
        self.is_in_doubt(node)
            && self.suspect_since.is_some_and(|since| now.since(since) <= node.patience_ns())
    }

    /// Says about one subject what there is to say now.
    pub(crate) fn speak<O: Outbox>(
        &mut self,
        at: usize,
        identity: Identity,
        now: Now,
        node: &mut Node,
        out: &mut O,
    ) {
        let Some(watched) = self.watched.get_mut(at) else { return };
        let is_late = watched.is_late(node, now.at);
        let is_turn_new = watched.is_turn_news(node, now.at);
        let (seq, flags) = match &mut watched.claim {
            Claim::None | Claim::Retracting { .. } if is_late => {
                out.count(Counter::Accusations, 1);
                let seq = node.numbers.for_accusation();
                watched.claim = Claim::Accused {
                    seq,
                    received: false,
                    repeats: 0,
                    refresh_ns: REFRESH_FIRST_NS,
                    next: now.at.after(first_wait_ns(watched.slot, now, node)),
                };
                (seq, 0)
            }
            Claim::Accused { seq, received, repeats, refresh_ns, next }
                if *next <= now.at || is_turn_new =>
            {
                let wait_ns = if *received {
                    *refresh_ns = (*refresh_ns * 2).min(REFRESH_MAX_NS);
                    *refresh_ns
                } else {
                    *repeats += 1;
                    first_wait_ns(watched.slot, now, node).saturating_mul(1 << (*repeats).min(5))
                };
                *next = now.at.after(node.rng.jitter(wait_ns.min(REFRESH_MAX_NS)));
                (*seq, 0)
            }
            Claim::Retracting { seq, repeats, next, .. } if *next <= now.at => {
                let seq = *seq;
                *repeats += 1;
                let wait_ns = first_wait_ns(watched.slot, now, node) << (*repeats).min(5);
                *next = now.at.after(wait_ns.min(REFRESH_MAX_NS));
                if *repeats >= RETRACTIONS {
                    watched.claim = Claim::None;
                }
                (seq, Report::RETRACT)
            }
            Claim::None | Claim::Accused { .. } | Claim::Retracting { .. } | Claim::Settled => {
                return;
            }
        };
        watched.note_turn_told(node, now.at);
        if let Some(watched) = self.watched.get(at) {
            send(watched, seq, flags | self.doubts(watched), identity, now, node, out);
        }
    }

    /// What is to be said with each word about a subject.
    fn doubts(&self, watched: &Watched) -> u16 {
        let of_itself = if self.suspect_since.is_some() { Report::SELF_SUSPECT } else { 0 };
        let is_patchy = watched.arrival.is_patchy() && !self.is_deaf();
        of_itself | if is_patchy { Report::PATCHY } else { 0 }
    }

    /// Tells a home that asks about a subject that others accuse: says again what was said, or that it
    /// was heard. Whoever is about to accuse it says nothing else.
    pub(crate) fn tell_home<O: Outbox>(
        &self,
        now: Now,
        home: Addr,
        at: usize,
        node: &Node,
        out: &mut O,
    ) {
        let Some(watched) = self.watched.get(at) else { return };
        let Some(identity) = node.identity else { return };
        let (seq, flags) = match watched.claim {
            Claim::Settled => return,
            Claim::Accused { seq, .. } => (seq, 0),
            Claim::Retracting { seq, .. } => (seq, Report::RETRACT),
            Claim::None if watched.is_late(node, now.at) || node.numbers.is_spent() => return,
            Claim::None => (node.numbers.newest(), Report::RETRACT),
        };
        let flags = flags | self.doubts(watched) | Report::ASKED;
        let head = report(watched, seq, flags, identity, now, node);
        out.send(home, &Report { head, subject: "", kind: "", detail: "" });
        out.count(Counter::ReportsSent, 1);
    }

    /// Waits for the next moment at which there may be something to say; after a moment that had to
    /// be passed over in silence, for a fraction of an interval.
    pub(crate) fn arm<O: Outbox>(&self, now: Time, node: &mut Node, out: &mut O) {
        let next = self.watched.iter().map(|watched| watched.next_moment(node)).min();
        let next = next.map(|next| next.min(self.outcry(node)));
        let Some(next) = next.filter(|next| *next != Time::NEVER) else { return };
        let soonest = now.after(node.pace.interval_ns() / 4).max(self.mute_until);
        node.timers.by(TimerKind::Watch, if next > now { next } else { soonest }, out);
    }
}

/// Whether more than one domain is among them.
fn spans(mut domains: impl Iterator<Item = u16>) -> bool {
    let first = domains.next();
    domains.any(|domain| Some(domain) != first)
}
