//! One destination of an order.

use syncom_seam::{Rng, SECOND, Time};
use syncom_wire::Slot;
use syncom_wire::order::Receipt;

/// Longest pause between two tries, and the pause after ACCEPTED, in ns.
const PAUSE_MAX_NS: u64 = SECOND;

/// How far a destination is.
///
/// ```text
///   Waiting ──send──▶ Sent ──ACCEPTED──▶ Accepted
///                      │                     │
///                      └──DONE or REFUSED────┴──▶ Answered
/// ```
///
/// A node that is too busy refuses for the moment only: it stays Sent and is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its turn has not come.
    Waiting,
    /// Sent, not answered.
    Sent,
    /// The node has begun.
    Accepted,
    /// The final receipt is here.
    Answered,
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub(crate) slot: Slot,
    pub(crate) state: State,
    due: Time,
    pause_ns: u64,
    /// It said last that it has too much to do.
    is_busy: bool,
}

impl Delivery {
    pub(crate) const fn new(slot: Slot) -> Self {
        Self { slot, state: State::Waiting, due: Time(0), pause_ns: 0, is_busy: false }
    }

    /// Whether it is under way: sent, and not finally answered.
    pub(crate) const fn is_under_way(&self) -> bool {
        matches!(self.state, State::Sent | State::Accepted)
    }

    /// Whether it must be sent again now.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.is_under_way() && now >= self.due
    }

    /// Notes that it was sent; `rto_ns` is the time-out of a first transmission.
    pub(crate) fn on_sent(&mut self, now: Time, rto_ns: u64, rng: &mut Rng) {
        match self.state {
            State::Waiting => (self.state, self.pause_ns) = (State::Sent, rto_ns),
            State::Sent => self.pause_ns = (2 * self.pause_ns).min(PAUSE_MAX_NS),
            State::Accepted | State::Answered => self.pause_ns = PAUSE_MAX_NS,
        }
        self.due = now.after(rng.jitter(self.pause_ns));
    }

    /// The node has too much to do at present; the next try is due as if it had been silent.
    pub(crate) const fn on_busy(&mut self) {
        self.is_busy = true;
    }

    /// What to say of it when its time is over.
    pub(crate) const fn code_when_late(&self) -> i32 {
        if self.is_busy && matches!(self.state, State::Sent) {
            Receipt::BUSY
        } else {
            Receipt::NO_ANSWER
        }
    }

    /// The node has begun: from now on only an occasional question.
    pub(crate) fn on_accepted(&mut self, now: Time) {
        if self.is_under_way() {
            (self.state, self.pause_ns) = (State::Accepted, PAUSE_MAX_NS);
            self.due = now.after(PAUSE_MAX_NS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncom_seam::MS;

    #[test]
    fn pauses_double_up_to_a_second_and_rest_after_acceptance() {
        let mut rng = Rng::new(1);
        let mut delivery = Delivery::new(Slot(1));
        assert!(!delivery.is_due(Time::NEVER), "its turn has not come");
        let mut now = Time(SECOND);
        let mut pauses = std::vec::Vec::new();
        for _ in 0..8 {
            delivery.on_sent(now, 20 * MS, &mut rng);
            pauses.push(delivery.pause_ns / MS);
            now = delivery.due;
            assert!(delivery.is_due(now));
        }
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 1000, 1000]);
        delivery.on_accepted(now);
        assert!(!delivery.is_due(now.after(SECOND - 1)) && delivery.is_due(now.after(SECOND)));
    }
}
