//! Whose turn it is to hear that we live, where a budget does not let all observers hear it at once.
//!
//! A round has one turn for each observer. Each keeps its own while others change: what it expects is
//! when it hears us. One that was replaced keeps its turn beside its successor, until it is released.

use crate::heartbeats::Observer;
use syncom_wire::limits::OBSERVERS_MAX;

/// The turn of who has none yet.
pub(crate) const UNTURNED: u8 = u8::MAX;

/// The turns of a round.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turns {
    /// The next turn.
    next: u8,
    /// Turns of the present round.
    count: u8,
}

impl Turns {
    /// Turns of the present round; 0 when nobody is there to hear us.
    pub(crate) const fn count(&self) -> usize {
        self.count as usize
    }

    /// Whose turn it is; the one after it is next.
    pub(crate) const fn next(&mut self) -> u8 {
        let turn = self.next;
        self.next = self.next.saturating_add(1);
        turn
    }

    /// Whether the round is over, so that another begins now.
    pub(crate) fn is_over(&mut self, observers: &mut [Observer]) -> bool {
        let is_over = self.next >= self.count;
        if is_over {
            self.next = 0;
            self.assign(observers);
        }
        is_over
    }

    /// Gives a turn to each observer that has none, or none any more: of those that are present,
    /// everybody has its own, as far as there are turns.
    pub(crate) fn assign(&mut self, observers: &mut [Observer]) {
        let present = observers.iter().filter(|observer| observer.is_present()).count();
        self.count = u8::try_from(present.min(OBSERVERS_MAX)).unwrap_or(0);
        let mut taken = 0_u64;
        for observer in observers.iter_mut().filter(|observer| observer.is_present()) {
            let is_its = observer.turn < self.count && taken >> observer.turn & 1 == 0;
            if is_its {
                taken |= 1 << observer.turn;
            } else {
                observer.turn = UNTURNED;
            }
        }
        let mut free = (0..self.count).filter(|turn| taken >> turn & 1 == 0);
        let unturned = |observer: &&mut Observer| observer.turn == UNTURNED;
        for observer in observers.iter_mut().filter(|o| o.is_present()).filter(unturned) {
            observer.turn = free.next().unwrap_or(0);
        }
        for observer in observers.iter_mut().filter(|observer| !observer.is_present()) {
            observer.turn = observer.turn.checked_rem(self.count).unwrap_or(0);
        }
    }
}
