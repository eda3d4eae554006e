//! Who listens to a publication, and how far behind the slowest of them may hold it.
//!
//! A receiver that is waited for has a **mark**: where the sender was when the mark was set. It is
//! given `linger_ns` to get there; then the next mark is set. One that does not make it, because it
//! is stopped, dead, or reads less than what it was sent in that time, is **behind**: the others go
//! on without it. It is still known, may ask for whatever the sender still keeps, and is waited for
//! again once it has caught up. So nobody costs the others more than `linger_ns` at a time, and
//! whoever returns in time, or is repaired from what is kept, has lost nothing.

use alloc::vec::Vec;
use syncom_seam::{SECOND, Time};
use syncom_wire::{Boot, PeerId};

/// What a publication to many waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// Everybody, each within a bound: nobody who keeps to it loses anything, and the slowest sets
    /// the pace.
    #[default]
    Min,
    /// The fastest: the others take what they can get and lose the rest.
    Max,
    /// Those whose statuses carry this tag, as with [`Self::Min`]; the others as with
    /// [`Self::Max`].
    Tagged(u16),
}

/// A receiver, as its statuses describe it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listener {
    pub(crate) peer: PeerId,
    pub(crate) boot: Boot,
    pub(crate) tag: u16,
    /// All below has arrived there.
    pub(crate) next: u64,
    /// It has room below this position.
    pub(crate) limit: u64,
    pub(crate) heard: Time,
}

/// A receiver, and what we think of it.
#[derive(Clone, Copy, Debug)]
struct Known {
    is: Listener,
    /// The position that it is to reach, and since when.
    mark: u64,
    since: Time,
    is_behind: bool,
    /// Bytes that were sent again on its account in the present round.
    served: usize,
}

/// The receivers of one publication, up to a bound.
#[derive(Debug)]
pub(crate) struct Audience {
    known: Vec<Known>,
    flow: Flow,
    is_single: bool,
    linger_ns: u64,
    /// When the marks are looked at next.
    judged_next: Time,
    /// Receivers that fell behind and were not told of yet.
    laggards: u64,
}

impl Audience {
    /// Receivers of one publication; more are not counted, and not waited for.
    pub(crate) const MANY: usize = 1024;
    /// How long others wait for a receiver by default.
    pub(crate) const LINGER_NS: u64 = 5 * SECOND;
    /// Looks at the marks within `linger_ns`.
    const LOOKS: u64 = 8;

    /// Nobody yet. A single listener is replaced by whoever is younger, and waited for.
    pub(crate) fn new(flow: Flow, is_single: bool, linger_ns: u64) -> Self {
        let room = if is_single { 1 } else { Self::MANY };
        Self {
            known: Vec::with_capacity(room),
            flow,
            is_single,
            linger_ns,
            judged_next: Time(0),
            laggards: 0,
        }
    }

    /// How many keep up.
    pub(crate) fn len(&self) -> usize {
        self.known.iter().filter(|known| !known.is_behind).count()
    }

    /// How many are known, those behind included.
    pub(crate) const fn known(&self) -> usize {
        self.known.len()
    }

    /// Whether `peer` is one of them, or may be one for whom there was no room.
    pub(crate) fn knows(&self, peer: PeerId, boot: Boot) -> bool {
        let is_same = |known: &Known| known.is.peer == peer && known.is.boot == boot;
        self.known.iter().any(is_same) || (!self.is_single && self.is_full())
    }

    fn is_full(&self) -> bool {
        self.known.len() == self.known.capacity()
    }

    /// Takes what a receiver says of itself while the sender has sent everything below `sent` and
    /// is done with everything below `base`; says whether it is new. `None`: what an earlier life
    /// said, or somebody for whom there is no room, is ignored.
    pub(crate) fn hear(&mut self, heard: Listener, base: u64, sent: u64) -> Option<bool> {
        let fresh = Known {
            is: heard,
            mark: sent,
            since: heard.heard,
            is_behind: heard.next < base && !self.is_single,
            served: 0,
        };
        if let Some(known) = self.known.iter_mut().find(|known| known.is.peer == heard.peer) {
            if known.is.boot != heard.boot {
                let is_younger = known.is.boot < heard.boot;
                if is_younger {
                    *known = fresh;
                }
                return is_younger.then_some(true);
            }
            let (next, limit) = (known.is.next.max(heard.next), known.is.limit.max(heard.limit));
            known.is = Listener { next, limit, ..heard };
            if next >= known.mark || (known.is_behind && next >= base) {
                (known.mark, known.since) = (sent, heard.heard);
            }
            known.is_behind &= next < base;
            return Some(false);
        }
        if self.is_single {
            if self.known.first().is_some_and(|known| known.is.boot >= heard.boot) {
                return None;
            }
            self.known.clear();
        }
        if self.is_full() {
            // Somebody who is gone makes room.
            let gone = |known: &Known| {
                known.is_behind && heard.heard.since(known.is.heard) >= self.linger_ns
            };
            let at = self.known.iter().position(gone)?;
            self.known.swap_remove(at);
        }
        self.known.push(fresh);
        Some(true)
    }

    /// Forgets one that has ended.
    pub(crate) fn forget(&mut self, peer: PeerId) {
        self.known.retain(|known| known.is.peer != peer);
    }

    /// Looks at the marks, now and then: who has not reached its own in time is behind. Says
    /// whether somebody fell behind.
    pub(crate) fn judge(&mut self, now: Time, sent: u64) -> bool {
        if self.is_single || now < self.judged_next {
            return false;
        }
        self.judged_next = now.after(self.linger_ns / Self::LOOKS);
        let before = self.laggards;
        for known in self.known.iter_mut().filter(|known| !known.is_behind) {
            if known.is.next >= known.mark {
                (known.mark, known.since) = (sent, now);
            } else if now.since(known.since) >= self.linger_ns {
                known.is_behind = true;
                let is_counted = Self::counts(self.flow, known);
                self.laggards += u64::from(is_counted);
            }
        }
        self.laggards > before
    }

    /// How many that were waited for fell behind since the last call.
    pub(crate) const fn take_laggards(&mut self) -> u64 {
        core::mem::replace(&mut self.laggards, 0)
    }

    /// Whether somebody is behind who was heard lately, so that it pays to say where we are.
    pub(crate) fn has_returned(&self, now: Time) -> bool {
        let lately = |known: &Known| now.since(known.is.heard) < self.linger_ns;
        self.known.iter().any(|known| known.is_behind && lately(known))
    }

    /// Begins a round of repairs.
    pub(crate) fn begin_round(&mut self) {
        self.known.iter_mut().for_each(|known| known.served = 0);
    }

    /// What has been sent again on account of `peer` in this round; those for whom there is no
    /// room share nothing but the total.
    pub(crate) fn served_mut(&mut self, peer: PeerId) -> Option<&mut usize> {
        let known = self.known.iter_mut().find(|known| known.is.peer == peer)?;
        Some(&mut known.served)
    }

    fn counts(flow: Flow, known: &Known) -> bool {
        match flow {
            Flow::Min => true,
            Flow::Max => false,
            Flow::Tagged(tag) => known.is.tag == tag,
        }
    }

    /// Whom to wait for: bytes below the first position are done with, and bytes from the second
    /// on must wait. `None` while nobody counts: then nothing moves, and nothing is lost.
    pub(crate) fn bounds(&self) -> Option<(u64, u64)> {
        let keep_up = || self.known.iter().filter(|known| !known.is_behind);
        if self.flow == Flow::Max {
            let next = keep_up().map(|known| known.is.next).max()?;
            return Some((next, keep_up().map(|known| known.is.limit).max()?));
        }
        let counted = || keep_up().filter(|known| Self::counts(self.flow, known));
        let next = counted().map(|known| known.is.next).min()?;
        Some((next, counted().map(|known| known.is.limit).min()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINGER_NS: u64 = SECOND;

    fn listener(n: u16, boot: u64, tag: u16, next: u64, heard: u64) -> Listener {
        let peer = PeerId::satellite(n);
        let (boot, heard) = (Boot(boot), Time(heard));
        Listener { peer, boot, tag, next, limit: next + 100, heard }
    }

    fn many() -> Audience {
        Audience::new(Flow::Min, false, LINGER_NS)
    }

    fn bounds(flow: Flow) -> Option<(u64, u64)> {
        let mut audience = Audience::new(flow, false, LINGER_NS);
        for heard in [listener(1, 1, 0, 50, 0), listener(2, 1, 7, 80, 0), listener(3, 1, 7, 90, 0)]
        {
            assert_eq!(audience.hear(heard, 0, 90), Some(true));
        }
        audience.bounds()
    }

    #[test]
    fn each_strategy_waits_for_its_own() {
        assert_eq!(bounds(Flow::Min), Some((50, 150)));
        assert_eq!(bounds(Flow::Max), Some((90, 190)));
        assert_eq!(bounds(Flow::Tagged(7)), Some((80, 180)));
        assert_eq!(bounds(Flow::Tagged(8)), None);
    }

    #[test]
    fn the_silent_hold_nobody_up_for_longer_than_the_bound_and_count_again_when_they_are_back() {
        let mut audience = many();
        audience.hear(listener(1, 1, 0, 50, 0), 0, 80);
        audience.hear(listener(2, 1, 0, 80, 0), 0, 80);
        assert!(!audience.judge(Time(LINGER_NS - 1), 80));
        assert!(audience.judge(Time(2 * LINGER_NS), 500));
        assert_eq!((audience.bounds(), audience.take_laggards()), (Some((80, 180)), 1));
        assert_eq!((audience.len(), audience.known()), (1, 2));
        // On its way back it holds nobody up.
        assert_eq!(audience.hear(listener(1, 1, 0, 60, 3 * LINGER_NS), 80, 500), Some(false));
        assert_eq!(audience.bounds(), Some((80, 180)));
        assert_eq!(audience.hear(listener(1, 1, 0, 85, 3 * LINGER_NS), 80, 500), Some(false));
        assert_eq!((audience.len(), audience.bounds()), (2, Some((80, 180))));
        audience.judge(Time(4 * LINGER_NS - 1), 500);
        let left = audience.known.iter().find(|known| !known.is_behind);
        assert_eq!(left.map(|known| known.is.next), Some(85), "it has time again");
    }

    #[test]
    fn one_that_trickles_is_behind_as_one_that_is_silent_is() {
        let mut audience = many();
        audience.hear(listener(1, 1, 0, 0, 0), 0, 1000);
        let mut fell = None;
        for n in 1..100 {
            audience.hear(listener(1, 1, 0, n, n * LINGER_NS / 10), 0, 1000);
            if audience.judge(Time(n * LINGER_NS / 10), 1000) {
                fell = fell.or(Some(n));
            }
        }
        assert!(fell.is_some_and(|n| n <= 12), "{fell:?}");
    }

    #[test]
    fn silence_while_nothing_was_sent_is_no_fault() {
        let mut audience = many();
        audience.hear(listener(1, 1, 0, 100, 0), 0, 100);
        assert!(!audience.judge(Time(100 * LINGER_NS), 200));
        assert!(!audience.judge(Time(101 * LINGER_NS - 1), 300));
        assert!(audience.judge(Time(102 * LINGER_NS), 300), "it had time from when it was due");
    }

    #[test]
    fn a_flood_of_listeners_is_bounded_and_old_lives_are_ignored() {
        let mut audience = many();
        let hear = |audience: &mut Audience, n| audience.hear(listener(n, 5, 0, 9, 0), 0, 99);
        let taken = (0..5000).filter(|n| hear(&mut audience, *n).is_some()).count();
        assert_eq!((taken, audience.len()), (Audience::MANY, Audience::MANY));
        assert_eq!(audience.hear(listener(1, 4, 0, 99, 0), 0, 99), None);
        assert_eq!(audience.bounds(), Some((9, 109)));
        // Those who are gone for long make room.
        audience.judge(Time(LINGER_NS), 99);
        assert!(audience.hear(listener(5001, 5, 0, 9, LINGER_NS), 0, 99).is_some());
        assert_eq!(audience.known(), Audience::MANY);
    }

    #[test]
    fn a_single_listener_is_replaced_by_a_younger_one_only() {
        let mut audience = Audience::new(Flow::Min, true, LINGER_NS);
        assert_eq!(audience.hear(listener(1, 5, 0, 50, 0), 0, 99), Some(true));
        assert_eq!(audience.hear(listener(2, 4, 0, 90, 0), 0, 99), None);
        assert_eq!(audience.hear(listener(2, 6, 0, 70, 0), 0, 99), Some(true));
        assert_eq!((audience.len(), audience.bounds()), (1, Some((70, 170))));
        assert!(!audience.judge(Time(100 * LINGER_NS), 99), "there is nobody else to protect");
    }
}
