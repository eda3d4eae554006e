//! The satellites that know this node: two homes by rendezvous hashing, and whom to try instead.
//!
//! Everybody computes the homes of a node from the roster, so nobody assigns them. A home that
//! leaves three heartbeats unanswered, or says that it goes, is avoided for a while and the next
//! choice takes its place; the station will say the same in a new roster a moment later.

use syncom_group::{Roster, RoundTrip};
use syncom_seam::{MS, SECOND, Time};
use syncom_wire::heartbeat::HomeAnswer;
use syncom_wire::ids::PeerId;
use syncom_wire::limits::HOMES;
use syncom_wire::roster::RosterEntry;
use syncom_wire::{Addr, Slot, Subject};

/// Unanswered heartbeats after which a home is given up.
const UNANSWERED_MAX: u32 = 3;
/// How long a silent satellite is avoided, in ns.
const AVOID_NS: u64 = 5 * SECOND;
/// Satellites that can be avoided at a time; the one avoided longest makes room.
const AVOIDED_MAX: usize = 8;
/// Least time-out of anything that waits for a satellite, in ns.
pub(crate) const RTO_MIN_NS: u64 = 20 * MS;
/// Least time-out of a receipt, for which an operator waits, in ns.
const RECEIPT_RTO_MIN_NS: u64 = 5 * MS;
/// Longest time-out, in ns.
pub(crate) const RTO_MAX_NS: u64 = SECOND;
/// Time-out before anything was measured: long enough for most networks, in ns.
const RTO_FIRST_NS: u64 = 50 * MS;

/// One home.
#[derive(Clone, Debug)]
pub(crate) struct HomeLink {
    pub(crate) peer: PeerId,
    pub(crate) addr: Addr,
    pub(crate) rtt: RoundTrip,
    /// Heartbeats since the last answer.
    unanswered: u32,
    /// Answers in a row that said UNKNOWN.
    unknown: u32,
}

#[derive(Clone, Copy, Debug)]
struct Avoided {
    peer: PeerId,
    until: Time,
}

/// The homes of this node, and the satellites to avoid.
#[derive(Clone, Debug)]
pub(crate) struct HomeLinks {
    links: [Option<HomeLink>; HOMES],
    avoided: [Option<Avoided>; AVOIDED_MAX],
    /// When a home last answered.
    answered: Time,
    /// When anybody of the group was last heard.
    heard: Time,
}

impl HomeLinks {
    pub(crate) const fn new() -> Self {
        Self {
            links: [const { None }; HOMES],
            avoided: [None; AVOIDED_MAX],
            answered: Time(0),
            heard: Time(0),
        }
    }

    /// The homes, best first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &HomeLink> {
        self.links.iter().flatten()
    }

    /// Chooses homes by the roster; those that stay keep what is known of them.
    pub(crate) fn choose(&mut self, slot: Slot, roster: &Roster, now: Time) {
        let mut old = core::mem::replace(&mut self.links, [const { None }; HOMES]);
        let mut chosen = [None; HOMES];
        let wanted = self.preference(Subject::node(slot), roster, now).take(HOMES);
        for (place, entry) in chosen.iter_mut().zip(wanted) {
            *place = Some(entry);
        }
        for (place, entry) in self.links.iter_mut().zip(chosen.into_iter().flatten()) {
            let mut kept = old.iter_mut().filter(|link| {
                link.as_ref().is_some_and(|l| (l.peer, l.addr) == (entry.peer, entry.addr))
            });
            *place = kept.next().and_then(Option::take).or(Some(HomeLink {
                peer: entry.peer,
                addr: entry.addr,
                rtt: RoundTrip::new(),
                unanswered: 0,
                unknown: 0,
            }));
        }
    }

    /// Forgets all complaints, as after a welcome.
    pub(crate) fn welcome(&mut self, now: Time) {
        self.answered = now;
        for link in self.links.iter_mut().flatten() {
            (link.unanswered, link.unknown) = (0, 0);
        }
    }

    /// Counts a heartbeat to every home; whether one has to be given up first. Call until it is
    /// false, choosing anew in between.
    pub(crate) fn give_up_silent(&mut self, now: Time) -> bool {
        let silent = self.iter().find(|link| link.unanswered >= UNANSWERED_MAX);
        let Some(peer) = silent.map(|link| link.peer) else { return false };
        self.avoid(peer, now);
        // Nobody else may be left: then the same home is chosen again, with a clean sheet.
        for link in self.links.iter_mut().flatten().filter(|link| link.peer == peer) {
            link.unanswered = 0;
        }
        true
    }

    /// A heartbeat goes to every home.
    pub(crate) fn count_beat(&mut self) {
        for link in self.links.iter_mut().flatten() {
            link.unanswered = link.unanswered.saturating_add(1);
        }
    }

    /// Takes an answer; false when it does not come from a home.
    pub(crate) fn on_answer(
        &mut self,
        peer: PeerId,
        answer: &HomeAnswer,
        heard: Time,
        now: Time,
    ) -> bool {
        let Some(link) = self.links.iter_mut().flatten().find(|link| link.peer == peer) else {
            return false;
        };
        link.unanswered = 0;
        link.unknown = if answer.flags & HomeAnswer::UNKNOWN == 0 {
            0
        } else {
            link.unknown.saturating_add(1)
        };
        // An echo from the future, or from another life, measures nothing.
        let trip_ns = heard.0.checked_sub(answer.echo_ns).filter(|trip_ns| *trip_ns <= 10 * SECOND);
        if let Some(trip_ns) = trip_ns.filter(|_| answer.echo_ns != 0) {
            link.rtt.sample(trip_ns.saturating_sub(u64::from(answer.hold_us) * 1_000));
        }
        self.answered = self.answered.max(heard);
        if answer.flags & HomeAnswer::LEAVING != 0 {
            self.avoid(peer, now);
        }
        true
    }

    /// Whether the homes say that this node is not a member.
    pub(crate) fn is_unknown(&self) -> bool {
        let unknown = self.iter().filter(|link| link.unknown > 0).count();
        unknown == HOMES || self.iter().any(|link| link.unknown > 1)
    }

    /// A new join is under way: what was said before it no longer counts.
    pub(crate) fn forget_unknown(&mut self) {
        for link in self.links.iter_mut().flatten() {
            link.unknown = 0;
        }
    }

    /// Somebody of the group was heard.
    pub(crate) fn on_group(&mut self, heard: Time) {
        self.heard = self.heard.max(heard);
    }

    /// When anybody of the group was last heard, by the kernel's clock.
    pub(crate) const fn heard(&self) -> Time {
        self.heard
    }

    /// Whether every home left the last heartbeat unanswered, and there is one.
    pub(crate) fn are_all_silent(&self) -> bool {
        self.iter().next().is_some() && self.iter().all(|link| link.unanswered > 0)
    }

    /// Whether no home has answered for so long that it is more likely us than them.
    pub(crate) fn is_isolated(&self, interval_ns: u64, now: Time) -> bool {
        self.iter().next().is_some()
            && now.since(self.answered) > (UNANSWERED_MAX as u64 + 1) * interval_ns
    }

    /// The longest smoothed round trip to a home, in ns; 0 when none is known.
    pub(crate) fn srtt_max_ns(&self) -> u64 {
        self.iter().filter_map(|link| link.rtt.srtt_ns()).max().unwrap_or(0)
    }

    /// How long to wait for an answer of the member at `addr`, after `repeats` in vain, in ns.
    pub(crate) fn time_out_ns(&self, addr: Addr, repeats: u32) -> u64 {
        let known = self.iter().find(|link| link.addr == addr && link.rtt.srtt_ns().is_some());
        let first_ns = known.map_or(RTO_FIRST_NS, |link| link.rtt.rto_ns());
        first_ns.max(RTO_MIN_NS).saturating_mul(1 << repeats.min(16)).min(RTO_MAX_NS)
    }

    /// How long to wait for a satellite to say that a receipt arrived, after `repeats` in vain, in ns.
    /// A satellite that is no home is hardly further away than the homes are.
    pub(crate) fn receipt_time_out_ns(&self, addr: Addr, repeats: u32) -> u64 {
        let measured = || self.iter().filter(|link| link.rtt.srtt_ns().is_some());
        let own = measured().find(|link| link.addr == addr).map(|link| link.rtt.rto_ns());
        let first_ns = own.or_else(|| measured().map(|link| link.rtt.rto_ns()).max());
        let first_ns = first_ns.unwrap_or(RTO_FIRST_NS).max(RECEIPT_RTO_MIN_NS);
        first_ns.saturating_mul(1 << repeats.min(16)).min(RTO_MAX_NS)
    }

    /// Where choice number `n` for `subject` listens: satellites by preference, round and round;
    /// replicas when no satellite is left.
    pub(crate) fn choice(
        &self,
        subject: Subject,
        n: usize,
        roster: &Roster,
        now: Time,
    ) -> Option<Addr> {
        let (satellites, replicas) = (roster.rendezvous().len(), roster.replicas().count());
        if let Some(n) = n.checked_rem(satellites) {
            return self.preference(subject, roster, now).nth(n).map(|entry| entry.addr);
        }
        roster.replicas().nth(n.checked_rem(replicas)?).map(|entry| entry.addr)
    }

    /// Satellites in the order in which to try them for `subject`: the avoided ones last.
    fn preference<'a>(
        &'a self,
        subject: Subject,
        roster: &'a Roster,
        now: Time,
    ) -> impl Iterator<Item = RosterEntry> + 'a {
        let all = move || roster.rendezvous().preference_of(subject);
        let good = all().filter(move |peer| !self.is_avoided(*peer, now));
        let bad = all().filter(move |peer| self.is_avoided(*peer, now));
        good.chain(bad).filter_map(|peer| roster.entry(peer).copied())
    }

    fn avoid(&mut self, peer: PeerId, now: Time) {
        let until = now.after(AVOID_NS);
        let rank = |place: &Option<Avoided>| match place {
            Some(avoided) if avoided.peer == peer => Time(0),
            Some(avoided) => avoided.until.max(Time(2)),
            None => Time(1),
        };
        if let Some(place) = self.avoided.iter_mut().min_by_key(|place| rank(place)) {
            *place = Some(Avoided { peer, until });
        }
    }

    fn is_avoided(&self, peer: PeerId, now: Time) -> bool {
        self.avoided.iter().flatten().any(|avoided| avoided.peer == peer && now < avoided.until)
    }
}
