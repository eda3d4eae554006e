//! One destination of an order.

use syncom_seam::{MS, Rng, SECOND, Time};
use syncom_wire::Slot;
use syncom_wire::order::Receipt;

/// Longest pause between two tries, and the pause after ACCEPTED, in ns.
const PAUSE_MAX_NS: u64 = SECOND;
/// Shortest time-out of a first transmission, in ns: what a node's thread may be late by without
/// having lost anything.
pub(crate) const RTO_MIN_NS: u64 = 5 * MS;

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
    /// When it was sent last.
    sent: Time,
    due: Time,
    pause_ns: u64,
    /// How often it was sent.
    tries: u8,
    /// It said last that it has too much to do.
    is_busy: bool,
}

impl Delivery {
    pub(crate) const fn new(slot: Slot) -> Self {
        Self {
            slot,
            state: State::Waiting,
            sent: Time(0),
            due: Time(0),
            pause_ns: 0,
            tries: 0,
            is_busy: false,
        }
    }

    /// Whether it is under way: sent, and not finally answered.
    pub(crate) const fn is_under_way(&self) -> bool {
        matches!(self.state, State::Sent | State::Accepted)
    }

    /// When it must be sent again; never while its turn has not come, or after its answer.
    pub(crate) const fn due(&self) -> Time {
        if self.is_under_way() { self.due } else { Time::NEVER }
    }

    /// How long the answer to its only transmission took, if there was but one: an answer to one of
    /// several proves nothing (Karn's rule).
    pub(crate) fn round_trip_ns(&self, now: Time) -> Option<u64> {
        (self.tries == 1 && matches!(self.state, State::Sent)).then(|| now.since(self.sent))
    }

    /// Notes that it was sent; `rto_ns` is the time-out of a first transmission.
    pub(crate) fn on_sent(&mut self, now: Time, rto_ns: u64, rng: &mut Rng) {
        match self.state {
            State::Waiting => (self.state, self.pause_ns) = (State::Sent, rto_ns),
            State::Sent => self.pause_ns = (2 * self.pause_ns).min(PAUSE_MAX_NS),
            State::Accepted | State::Answered => self.pause_ns = PAUSE_MAX_NS,
        }
        self.tries = self.tries.saturating_add(1);
        self.sent = now;
        self.due = now.after(rng.jitter(self.pause_ns));
    }

    /// Its first time-out is over, by what was known when it was sent. Waits for longer where the
    /// answers of others have taken longer since: then the nodes are slow, or this satellite is, and
    /// nothing is lost. Whether it does.
    pub(crate) fn is_patient(&mut self, now: Time, rto_ns: u64, rng: &mut Rng) -> bool {
        if self.tries != 1 || self.state != State::Sent || rto_ns <= self.pause_ns {
            return false;
        }
        self.pause_ns = rto_ns;
        self.due = self.sent.after(rng.jitter(rto_ns));
        self.due > now
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
        assert_eq!(delivery.due(), Time::NEVER, "its turn has not come");
        let mut now = Time(SECOND);
        let mut pauses = std::vec::Vec::new();
        for _ in 0..8 {
            delivery.on_sent(now, 20 * MS, &mut rng);
            pauses.push(delivery.pause_ns / MS);
            now = delivery.due();
        }
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 1000, 1000]);
        delivery.on_accepted(now);
        assert_eq!(delivery.due(), now.after(SECOND));
    }

    #[test]
    fn the_first_pause_grows_with_what_the_answers_of_others_take() {
        let mut rng = Rng::new(1);
        let mut delivery = Delivery::new(Slot(1));
        delivery.on_sent(Time(SECOND), 20 * MS, &mut rng);
        let now = delivery.due();
        assert!(delivery.is_patient(now, 200 * MS, &mut rng) && delivery.due() > now);
        assert!(!delivery.is_patient(delivery.due(), 200 * MS, &mut rng), "no more than that");
        assert_eq!(delivery.round_trip_ns(Time(2 * SECOND)), Some(SECOND));
        delivery.on_sent(Time(2 * SECOND), 20 * MS, &mut rng);
        assert!(!delivery.is_patient(Time(3 * SECOND), 900 * MS, &mut rng), "it was repeated");
        assert_eq!(delivery.round_trip_ns(Time(3 * SECOND)), None);
    }
}
