//! Who listens to a publication, and how far behind the slowest of them may hold it.

use alloc::vec::Vec;
use syncom_seam::{SECOND, Time};
use syncom_wire::{Boot, PeerId};

/// What a publication to many waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// Everybody who was heard lately: nobody loses anything, the slowest sets the pace.
    #[default]
    Min,
    /// The fastest: the others take what they can get and lose the rest.
    Max,
    /// Those whose statuses carry this tag; the others as with [`Self::Max`].
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

/// The receivers of one publication, up to a bound.
#[derive(Debug)]
pub(crate) struct Audience {
    listeners: Vec<Listener>,
    flow: Flow,
    is_single: bool,
    /// A receiver that was silent for so long no longer holds the others up.
    patience_ns: u64,
}

impl Audience {
    /// Receivers of one publication; more are not counted, and not waited for.
    pub(crate) const MANY: usize = 128;
    /// A stopped receiver holds the others up for so long at most.
    pub(crate) const PATIENCE_NS: u64 = 5 * SECOND;

    /// Nobody yet. A single listener is replaced by whoever is younger.
    pub(crate) fn new(flow: Flow, is_single: bool) -> Self {
        let room = if is_single { 1 } else { Self::MANY };
        Self {
            listeners: Vec::with_capacity(room),
            flow,
            is_single,
            patience_ns: Self::PATIENCE_NS,
        }
    }

    /// How many are known.
    pub(crate) const fn len(&self) -> usize {
        self.listeners.len()
    }

    /// Whether `peer` is one of them.
    pub(crate) fn knows(&self, peer: PeerId, boot: Boot) -> bool {
        self.listeners.iter().any(|known| known.peer == peer && known.boot == boot)
    }

    /// Takes what a receiver says of itself, and says whether it is new. `None`: what an earlier
    /// life said, or somebody for whom there is no room, is ignored.
    pub(crate) fn hear(&mut self, heard: Listener) -> Option<bool> {
        if let Some(known) = self.listeners.iter_mut().find(|known| known.peer == heard.peer) {
            if known.boot > heard.boot {
                return None;
            }
            let is_new = known.boot < heard.boot;
            let (next, limit) = (known.next.max(heard.next), known.limit.max(heard.limit));
            *known = heard;
            if !is_new {
                (known.next, known.limit) = (next, limit);
            }
            return Some(is_new);
        }
        if self.is_single {
            if self.listeners.first().is_some_and(|known| known.boot >= heard.boot) {
                return None;
            }
            self.listeners.clear();
        }
        let has_room = self.listeners.len() < self.listeners.capacity();
        if has_room {
            self.listeners.push(heard);
        }
        has_room.then_some(true)
    }

    /// Forgets one that has ended.
    pub(crate) fn forget(&mut self, peer: PeerId) {
        self.listeners.retain(|known| known.peer != peer);
    }

    /// Forgets those that were silent for too long; how many.
    pub(crate) fn expire(&mut self, now: Time) -> usize {
        let before = self.listeners.len();
        if !self.is_single {
            let patience_ns = self.patience_ns;
            self.listeners.retain(|known| now.since(known.heard) < patience_ns);
        }
        before - self.listeners.len()
    }

    /// Whom to wait for: bytes below the first position are done with, and bytes from the second
    /// on must wait. `None` while nobody counts.
    pub(crate) fn bounds(&self) -> Option<(u64, u64)> {
        let least = |counts: &dyn Fn(&Listener) -> bool| {
            let counted = || self.listeners.iter().filter(|known| counts(known));
            let next = counted().map(|known| known.next).min()?;
            Some((next, counted().map(|known| known.limit).min()?))
        };
        match self.flow {
            Flow::Min => least(&|_| true),
            Flow::Tagged(tag) => least(&|known| known.tag == tag),
            Flow::Max => {
                let next = self.listeners.iter().map(|known| known.next).max()?;
                Some((next, self.listeners.iter().map(|known| known.limit).max()?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(n: u16, boot: u64, tag: u16, next: u64, heard: u64) -> Listener {
        let peer = PeerId::satellite(n);
        let (boot, heard) = (Boot(boot), Time(heard));
        Listener { peer, boot, tag, next, limit: next + 100, heard }
    }

    fn bounds(flow: Flow) -> Option<(u64, u64)> {
        let mut audience = Audience::new(flow, false);
        for heard in [listener(1, 1, 0, 50, 0), listener(2, 1, 7, 80, 0), listener(3, 1, 7, 90, 0)]
        {
            assert_eq!(audience.hear(heard), Some(true));
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
    fn the_silent_hold_nobody_up_for_ever() {
        let mut audience = Audience::new(Flow::Min, false);
        audience.hear(listener(1, 1, 0, 50, 0));
        audience.hear(listener(2, 1, 0, 80, SECOND));
        assert_eq!(audience.expire(Time(Audience::PATIENCE_NS)), 1);
        assert_eq!(audience.bounds(), Some((80, 180)));
    }

    #[test]
    fn a_flood_of_listeners_is_bounded_and_old_lives_are_ignored() {
        let mut audience = Audience::new(Flow::Min, false);
        let taken = (0..1000).filter(|n| audience.hear(listener(*n, 5, 0, 9, 0)).is_some()).count();
        assert_eq!((taken, audience.len()), (Audience::MANY, Audience::MANY));
        assert_eq!(audience.hear(listener(1, 4, 0, 99, 0)), None);
        assert_eq!(audience.bounds(), Some((9, 109)));
    }

    #[test]
    fn a_single_listener_is_replaced_by_a_younger_one_only() {
        let mut audience = Audience::new(Flow::Min, true);
        assert_eq!(audience.hear(listener(1, 5, 0, 50, 0)), Some(true));
        assert_eq!(audience.hear(listener(2, 4, 0, 90, 0)), None);
        assert_eq!(audience.hear(listener(2, 6, 0, 70, 0)), Some(true));
        assert_eq!((audience.len(), audience.bounds()), (1, Some((70, 170))));
    }
}
