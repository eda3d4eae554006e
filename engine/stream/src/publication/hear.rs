//! What receivers say to a publication.

use super::{Phase, Publication};
use crate::audience::Listener;
use syncom_seam::{Origin, Time};
use syncom_wire::stream::{StreamReset, StreamStatus};

impl Publication {
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
        let is_to_many = self.config.flow.is_some();
        let Some(is_new) = self.audience.hear(heard, self.base, self.sent) else { return false };
        let sample = match is_to_many {
            true => self.rtt.on_echo_of_many(now, status.echo_us),
            false => self.rtt.on_echo(now, status.echo_us),
        };
        if let Some(sample) = sample {
            self.congestion.on_round_trip(sample);
        }
        self.doublings = 0;
        self.audience.judge(now, self.sent);
        let seen = status.next.saturating_add(u64::from(status.ahead));
        self.seen = self.seen.max(seen.min(self.sent));
        self.settle(now);
        if is_to_many && status.next < self.base {
            // It is behind: tells it how far we are, even if nothing else is to be said.
            self.deadline = self.deadline.min(now.after(self.rto_ns()));
        }
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
        self.easy_below = 0;
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
            if self.audience.known() == 0 && self.base == self.tail {
                self.phase = Phase::Ended;
                self.deadline = Time::NEVER;
            }
        } else {
            self.audience.forget(from.peer);
            self.settle(now);
        }
    }
}
