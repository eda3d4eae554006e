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
    /// Whose turn it is; the one after it is next.
    pub(crate) const fn next(&mut self) -> u8 {
        let turn = self.next;
        self.next = self.next.saturating_add(1);
        turn
    }

    /// Whether the round is over.
    pub(crate) const fn is_over(&self) -> bool {
        self.next >= self.count
    }

    /// Begins a round of so many turns, and gives one to each observer that has none, or none any more: of
    /// those that are present everybody has its own, as far as there are turns. Nobody has to wait longer
    /// for that than a round of what was announced: whoever is moved comes earlier, and those who are too
    /// many for the present round come last in it.
    pub(crate) fn begin(&mut self, count: usize, observers: &mut [Observer]) {
        self.count = u8::try_from(count.min(OBSERVERS_MAX)).unwrap_or(0).max(1);
        self.next = 0;
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
            observer.turn = free.next().unwrap_or(self.count - 1);
        }
        for observer in observers.iter_mut().filter(|observer| !observer.is_present()) {
            observer.turn %= self.count;
        }
    }
}
