//! Moments: timers that are due, and the end of a burst.

use super::Host;
use syncom_seam::{Counter, Loss, MS, Notice, Now, Role};

/// Later than this a timer is counted as late.
const LATE_NS: u64 = 10 * MS;

impl<R: Role> Host<R> {
    /// Hands over the timers that were due when the turn began, in order of their moments.
    ///
    /// Timers armed meanwhile have their turn in the next turn, so that a role that arms one for
    /// "now" does not keep the loop.
    pub(super) fn expire(&mut self, now: Now) {
        let armed_before = self.shared.timers.armed();
        while let Some((due, index, timer)) = self.shared.timers.pop_due(now.at, armed_before) {
            let handed = self.call(index, now, |role, out| role.on_timer(now, timer, out));
            if let (true, Some(Some(seat))) = (handed, self.seats.get(index)) {
                seat.port.counters.add(Counter::TimersFired, 1);
                if now.at.since(due) > LATE_NS {
                    seat.port.counters.add(Counter::TimersLate, 1);
                }
            }
        }
    }

    /// Tells every member that took part in this turn that the burst is over, and flushes.
    pub(super) fn end_burst(&mut self, now: Now) {
        for at in 0..self.touched.len() {
            self.call(self.touched[at], now, |role, out| role.on_burst_end(now, out));
        }
        if let Some(index) = self.shared.gathering.take()
            && let Some(Some(seat)) = self.seats.get_mut(index)
        {
            self.shared.gather.close_all(&mut seat.port);
        }
        for at in 0..self.touched.len() {
            self.flush(self.touched[at], now);
            self.tell_unsent(self.touched[at], now);
        }
        for at in (0..self.watched.len()).rev() {
            self.flush(self.watched[at], now);
        }
        while let Some(index) = self.shared.ended.pop() {
            self.remove(index);
        }
        let seats = &self.seats;
        self.watched.retain(|index| seats.get(*index).is_some_and(Option::is_some));
    }

    /// Tells a member what of its own was lost since the last time.
    fn tell_unsent(&mut self, index: usize, now: Now) {
        let Some(Some(seat)) = self.seats.get_mut(index) else { return };
        let dropped = seat.port.counters.get(Counter::TxDropped);
        let lost = dropped - std::mem::replace(&mut seat.unsent_told, dropped);
        if lost > 0 {
            self.call(index, now, |role, out| role.on_loss(now, Loss::Unsent(lost), out));
        }
    }

    fn flush(&mut self, index: usize, now: Now) {
        let Some(Some(seat)) = self.seats.get_mut(index) else { return };
        if let Err(error) = seat.port.flush() {
            let why = format!("the network link failed: {error}");
            (self.shared.sink)(index, Notice::Fatal(&why));
            self.shared.ended.push(index);
            return;
        }
        seat.link_wake = seat.port.link.advance(now.at);
        self.watch(index);
    }
}
