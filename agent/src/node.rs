//! What all parts of an agent share.

use crate::announcement::Announcement;
use crate::config::AgentConfig;
use crate::homes::HomeLinks;
use crate::timers::Timers;
use syncom_group::{LocalHealth, Pace, Roster};
use syncom_seam::{Rng, Time};
use syncom_wire::{Incarnation, PeerId, Role, Slot, Term, View};

/// Who this node is, as the station said in its welcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its slot, for ever.
    pub slot: Slot,
    /// Its present incarnation.
    pub incarnation: Incarnation,
    /// Its failure domain, as the station numbered it.
    pub domain: u16,
    /// The view in which it became a member.
    pub view: View,
}

/// What all parts of an agent share: what it was told, who it is, whom it talks to.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) config: AgentConfig,
    /// What it says of its services when it joins.
    pub(crate) announcement: Announcement,
    /// None until the first welcome; from then on always somebody.
    pub(crate) identity: Option<Identity>,
    pub(crate) roster: Roster,
    pub(crate) homes: HomeLinks,
    /// Highest term seen anywhere: the fence of orders.
    pub(crate) term: Term,
    /// The interval of heartbeats to observers.
    pub(crate) pace: Pace,
    pub(crate) health: LocalHealth,
    pub(crate) numbers: Numbers,
    pub(crate) timers: Timers,
    pub(crate) rng: Rng,
    /// Tokens given to children so far.
    children: u64,
    /// When this process started.
    pub(crate) started: Time,
}

impl Node {
    pub(crate) fn new(config: AgentConfig) -> Self {
        Self {
            identity: None,
            roster: Roster::new(),
            homes: HomeLinks::new(),
            term: Term(0),
            pace: Pace::new(&config.profile, config.budget, Time(0)),
            health: LocalHealth::default(),
            numbers: Numbers::new(),
            timers: Timers::new(),
            rng: Rng::new(config.rng_seed),
            announcement: Announcement::of(&config.name, &config.services),
            children: 0,
            started: Time(0),
            config,
        }
    }

    /// A token that no child of this agent had before.
    pub(crate) const fn token(&mut self) -> u64 {
        self.children += 1;
        self.children
    }

    /// Notes a term; whether it is not older than the newest.
    pub(crate) fn see_term(&mut self, term: Term) -> bool {
        self.term = self.term.max(term);
        term == self.term
    }

    /// The interval on the home plane, in ns: the profile's, and never below the peer plane's.
    pub(crate) fn home_interval_ns(&self) -> u64 {
        self.pace.home_interval_ns(&self.config.profile)
    }

    /// How long a node that stopped sending is given before it is late, without experience, in ns:
    /// m·η + α, with α at its most; two rounds where observers hear of it in turn.
    pub(crate) fn patience_ns(&self) -> u64 {
        let announced_ns = self.pace.announced_ns();
        if self.pace.is_in_turn() { 2 * announced_ns } else { self.patience_with_ns(announced_ns) }
    }

    /// The same with one that keeps this interval, in ns.
    fn patience_with_ns(&self, interval_ns: u64) -> u64 {
        interval_ns.saturating_mul(u64::from(self.config.profile.misses) + 1)
    }

    /// How long a replaced observer that was not released is still sent heartbeats by a node that keeps
    /// this interval, in ns. It watches for half of that: so it may learn much later that it was
    /// replaced, and still misses nothing.
    pub(crate) fn handover_ns(&self, interval_ns: u64) -> u64 {
        let home_interval_ns = self.config.profile.home_interval_ns.max(interval_ns);
        4 * (home_interval_ns + self.patience_with_ns(interval_ns))
    }
}

/// Whether a peer may speak for the group: a satellite, or a replica in its place.
pub(crate) const fn is_group(peer: PeerId) -> bool {
    match peer.role() {
        Role::Satellite | Role::Station => true,
        Role::Agent | Role::Client => false,
    }
}

/// Running numbers of reports.
///
/// The station remembers the last 64 numbers of a producer and takes everything older for known. So
/// no number may be on its way together with one that is 64 older: reports wait for the oldest
/// that is not committed, and accusations, which must never wait, share the last number of the
/// window when it is used up. They are evidence, merged by subject and observer; their numbers
/// only serve to acknowledge them.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    next: u64,
    /// The oldest report that is sent and not committed.
    oldest: Option<u64>,
}

impl Numbers {
    /// Numbers that a producer may have on their way.
    const WINDOW: u64 = 64;
    /// Part of the window that reports may use; the rest is for accusations.
    const FOR_REPORTS: u64 = 32;

    pub(crate) const fn new() -> Self {
        Self { next: 1, oldest: None }
    }

    /// A number for a report, if it may go out now.
    pub(crate) fn for_report(&mut self) -> Option<u64> {
        let seq = self.next;
        if self.oldest.is_some_and(|oldest| seq >= oldest + Self::FOR_REPORTS) {
            return None;
        }
        self.oldest.get_or_insert(seq);
        self.next += 1;
        Some(seq)
    }

    /// The newest number that was given; 0 before the first.
    pub(crate) const fn newest(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// Whether the next accusation has no number of its own: none is left beside what waits.
    pub(crate) fn is_spent(&self) -> bool {
        self.oldest.is_some_and(|oldest| self.next >= oldest + Self::WINDOW)
    }

    /// A number for an accusation.
    pub(crate) fn for_accusation(&mut self) -> u64 {
        let last = self.oldest.map_or(u64::MAX, |oldest| oldest + Self::WINDOW - 1);
        let seq = self.next.min(last);
        self.next = self.next.max(seq + 1);
        seq
    }

    /// Says which report is now the oldest that is sent and not committed.
    pub(crate) const fn set_oldest(&mut self, oldest: Option<u64>) {
        self.oldest = oldest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_on_its_way_with_one_that_is_64_older() {
        let mut numbers = Numbers::new();
        assert_eq!((0..100).filter_map(|_| numbers.for_report()).count(), 32);
        assert!((0..100).map(|_| numbers.for_accusation()).all(|seq| seq < 1 + 64));
        assert_eq!(numbers.for_report(), None);
        numbers.set_oldest(Some(20));
        assert_eq!((numbers.for_report(), numbers.for_accusation()), (None, 65));
        numbers.set_oldest(None);
        assert_eq!(numbers.for_report(), Some(66));
    }
}
