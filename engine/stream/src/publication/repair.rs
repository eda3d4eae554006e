//! What is sent again, and how much of it at a time.
//!
//! Time is cut into rounds of about a round trip. In each, so much may be sent again and no more,
//! whatever is asked for and by whomever. A request that exceeds it is kept, one at a time, and
//! goes on in the next round without being repeated.

use super::Publication;
use crate::line::distance;
use crate::post::Post;
use syncom_seam::{Counter, MS, Origin, Time, US};
use syncom_wire::PeerId;
use syncom_wire::stream::StreamNak;

/// The rest of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    peer: PeerId,
    from: u64,
    to: u64,
}

impl Publication {
    /// Shortest round in which a window may be repaired once.
    const REPAIR_ROUND_MIN_NS: u64 = 50 * US;
    /// The same to many, where less of it may be repaired: see [`Self::shares`].
    const REPAIR_ROUND_OF_MANY_MIN_NS: u64 = 500 * US;

    /// What may be sent again in a round, and how much of it on account of one receiver. To one it
    /// is the whole window; to many, who all get what one of them asked for, a quarter of it, and
    /// half of that for each, so that none who asks for everything takes the others' share.
    fn shares(&self) -> (usize, usize) {
        match self.config.flow {
            None => (self.config.window, self.config.window),
            Some(_) => {
                let round = (self.config.window / 4).max(4 * self.payload);
                (round, round / 2)
            }
        }
    }

    fn round_ns(&self) -> u64 {
        let least_ns = match self.config.flow {
            None => Self::REPAIR_ROUND_MIN_NS,
            Some(_) => Self::REPAIR_ROUND_OF_MANY_MIN_NS,
        };
        self.rtt.smoothed_ns().clamp(least_ns, 100 * MS)
    }

    /// Begins a round if the last one is over; whether it was.
    fn begin_round(&mut self, now: Time) -> bool {
        let is_over = now.since(self.repair_since) >= self.round_ns();
        if is_over {
            (self.repair_since, self.repair_left) = (now, self.shares().0);
            self.audience.begin_round();
        }
        is_over
    }

    /// How many bytes may be sent again for `peer` in this round.
    fn allowance(&mut self, peer: PeerId) -> usize {
        let share = self.shares().1;
        let served = self.audience.served_mut(peer).map_or(0, |served| *served);
        self.repair_left.min(share.saturating_sub(served))
    }

    fn spend(&mut self, peer: PeerId, count: usize) {
        self.repair_left = self.repair_left.saturating_sub(count);
        if let Some(served) = self.audience.served_mut(peer) {
            *served += count;
        }
    }

    /// A receiver misses bytes: sends them again, at most a window per round trip, whatever is
    /// asked for. What is not kept any more is not passed over in silence: it hears what is.
    pub fn on_nak<P: Post>(&mut self, now: Time, from: &Origin, nak: &StreamNak<'_>, out: &mut P) {
        if nak.head.session != self.session || !self.audience.knows(from.peer, from.boot) {
            return;
        }
        self.doublings = 0;
        if self.deadline != Time::NEVER {
            self.deadline = now.after(self.rto_ns());
        }
        self.begin_round(now);
        let (oldest, is_to_many) = (self.oldest(), self.config.flow.is_some());
        for gap in nak.gaps.iter() {
            if gap.position < oldest && is_to_many && self.allowance(from.peer) >= self.payload {
                self.spend(from.peer, self.payload);
                self.emit(now, self.sent, 0, out);
            }
            let at = gap.position.max(oldest);
            let to = gap.position.saturating_add(u64::from(gap.len)).min(self.sent);
            let at = if is_to_many { self.skip_repaired(now, at) } else { at };
            if at >= to {
                continue;
            }
            self.congestion.on_loss(to - at, to, self.sent);
            let at = self.repair(now, from.peer, at, to, out);
            if at < to && is_to_many && self.owed.is_none_or(|owed| owed.peer == from.peer) {
                self.owed = Some(Owed { peer: from.peer, from: at, to });
                return;
            }
        }
    }

    /// Goes on with what was left of a request when its round was over.
    pub(super) fn repair_owed<P: Post>(&mut self, now: Time, out: &mut P) {
        let Some(owed) = self.owed else { return };
        if !self.begin_round(now) {
            return;
        }
        let at = self.skip_repaired(now, owed.from.max(self.oldest()));
        let at = self.repair(now, owed.peer, at, owed.to, out);
        self.owed = (at < owed.to).then_some(Owed { from: at, ..owed });
    }

    /// When [`Self::repair_owed`] has something to do.
    pub(super) fn owed_due(&self) -> Time {
        match self.owed {
            Some(_) => self.repair_since.after(self.round_ns()),
            None => Time::NEVER,
        }
    }

    /// Sends bytes `at..to` again as far as this round allows, and to the only receiver no more than
    /// it has earned ([`super::credit`]); how far that was.
    fn repair<P: Post>(&mut self, now: Time, peer: PeerId, from: u64, to: u64, out: &mut P) -> u64 {
        let (mut at, mut left) = (from, self.allowance(peer));
        while at < to && left > 0 {
            let count = distance(at, to).min(self.payload).min(left);
            if self.config.flow.is_none() && !self.credit.pay(now, count, self.config.window) {
                break;
            }
            if !self.emit(now, at, count as u64, out) {
                break;
            }
            left -= count;
            at += count as u64;
            out.count(Counter::StreamResent, 1);
            out.count(Counter::StreamCopiedOut, count as u64);
        }
        self.spend(peer, distance(from, at));
        self.repaired.note(now, from, at);
        at
    }

    /// The first position from `from` on that was not sent again on somebody's account so lately
    /// that a receiver who asks may not have it yet: requests of a round trip ago are answered by it.
    fn skip_repaired(&self, now: Time, from: u64) -> u64 {
        let lately_ns = self.round_ns() / 4 * 5;
        self.repaired.skip(Time(now.0.saturating_sub(lately_ns)), from)
    }
}
