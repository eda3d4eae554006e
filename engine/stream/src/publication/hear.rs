//! What receivers say to a publication.

use super::{Phase, Publication};
use crate::audience::Listener;
use crate::line::distance;
use crate::post::Post;
use syncom_seam::{Counter, MS, Origin, Time, US};
use syncom_wire::stream::{StreamNak, StreamReset, StreamStatus};

impl Publication {
    /// Shortest round in which a window may be repaired once.
    const REPAIR_ROUND_MIN_NS: u64 = 50 * US;

    /// A receiver says how far it is. True when it was not known before.
    pub fn on_status(&mut self, now: Time, from: &Origin, status: &StreamStatus) -> bool {
        if status.session != self.session || status.next > self.sent {
            return false;
        }
        let heard = Listener {
            peer: from.peer,
            boot: from.boot,
            tag: status.tag,
            next: status.next,
            limit: status.next.saturating_add(u64::from(status.window)),
            heard: now,
        };
        let Some(is_new) = self.audience.hear(heard) else { return false };
        if let Some(sample) = self.rtt.on_echo(now, status.echo_us) {
            self.congestion.on_round_trip(sample);
        }
        self.doublings = 0;
        let seen = status.next.saturating_add(u64::from(status.ahead));
        self.seen = self.seen.max(seen.min(self.sent));
        self.settle(now);
        is_new
    }

    /// Draws the consequences of what is known of the receivers.
    pub(super) fn settle(&mut self, now: Time) {
        let Some((next, limit)) = self.audience.bounds() else { return };
        self.limit = self.limit.max(limit);
        let next = next.min(self.sent);
        if next > self.base {
            let bytes = next - self.base;
            self.base = next;
            self.credit.earn(bytes, self.config.window);
            self.congestion.on_ack(now, bytes, next, self.sent);
            self.make_writable();
            self.deadline = match self.phase {
                Phase::Open if self.base == self.tail => Time::NEVER,
                Phase::Ending if self.base == self.tail => now,
                Phase::Open | Phase::Ending => now.after(self.rto_ns()),
                Phase::Ended => Time::NEVER,
            };
        }
        self.cut_at = self.sent + Self::burst(self.payload);
    }

    /// A receiver misses bytes: sends them again, at most a window per round trip, whatever is
    /// asked for, and to the only receiver no more than it has earned ([`super::credit`]).
    pub fn on_nak<P: Post>(&mut self, now: Time, from: &Origin, nak: &StreamNak<'_>, out: &mut P) {
        if nak.head.session != self.session || !self.audience.knows(from.peer, from.boot) {
            return;
        }
        self.doublings = 0;
        if self.deadline != Time::NEVER {
            self.deadline = now.after(self.rto_ns());
        }
        let round_ns = self.rtt.smoothed_ns().clamp(Self::REPAIR_ROUND_MIN_NS, 100 * MS);
        if now.since(self.repair_since) >= round_ns {
            (self.repair_since, self.repair_left) = (now, self.config.window);
        }
        for gap in nak.gaps.iter() {
            let mut at = gap.position.max(self.base);
            let to = gap.position.saturating_add(u64::from(gap.len)).min(self.sent);
            if at >= to || self.is_served(now, round_ns, at, to) {
                continue;
            }
            self.congestion.on_loss(to - at, to, self.sent);
            while at < to && self.repair_left > 0 {
                let count = distance(at, to).min(self.payload).min(self.repair_left);
                if self.config.flow.is_none() && !self.credit.pay(now, count, self.config.window) {
                    return;
                }
                self.repair_left -= count;
                if !self.emit(now, at, count as u64, out) {
                    return;
                }
                at += count as u64;
                out.count(Counter::StreamResent, 1);
                out.count(Counter::StreamCopiedOut, count as u64);
            }
        }
    }

    /// Whether somebody else's request for the same was answered within half a round trip, so that
    /// the answer is under way to all.
    fn is_served(&mut self, now: Time, round_ns: u64, from: u64, to: u64) -> bool {
        let since = Time(now.0.saturating_sub(round_ns / 2));
        self.config.flow.is_some() && self.repaired.is_repeated(now, since, from, to)
    }

    /// A receiver is done with this stream: it has all of it, or wants no more.
    pub fn on_done(&mut self, now: Time, from: &Origin, reset: &StreamReset) {
        if reset.session != self.session || !self.audience.knows(from.peer, from.boot) {
            return;
        }
        if self.phase == Phase::Ending && reset.position == self.tail {
            let status = StreamStatus {
                lane: reset.lane,
                tag: 0,
                session: reset.session,
                next: reset.position,
                window: 0,
                ahead: 0,
                echo_us: 0,
            };
            self.on_status(now, from, &status);
            self.audience.forget(from.peer);
            if self.audience.len() == 0 && self.base == self.tail {
                self.phase = Phase::Ended;
                self.deadline = Time::NEVER;
            }
        } else {
            self.audience.forget(from.peer);
            self.settle(now);
        }
    }
}
