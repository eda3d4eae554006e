//! How much a sender may have under way, so that many share a network.
//!
//! CUBIC (RFC 9438) with integers: after a decrease the window climbs back along a cubic curve of
//! time, slowly around the size at which congestion began and faster away from it. One thing
//! differs: a loss is congestion only if datagrams also waited in a queue (the round trip has
//! grown) or if losses are many. A faulty cable loses datagrams too, and slowing down for those
//! mends nothing.

use syncom_seam::{MS, Time};

/// How the window of a sender is governed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Control {
    /// CUBIC, up to the window: for networks that are shared.
    #[default]
    Cubic,
    /// The whole window, always: for a network, or a part of one, that is ours alone.
    Static,
}

/// The congestion window.
#[derive(Debug)]
pub(crate) struct Congestion {
    control: Control,
    /// Bytes of a full fragment.
    segment: u64,
    /// Bytes that the window never exceeds.
    most: u64,
    window: u64,
    /// Below it the window doubles per round trip.
    threshold: u64,
    /// Window before the latest decrease, in segments.
    peak: u64,
    /// Since when the curve is climbed.
    epoch: Option<Time>,
    /// Least round trip seen; 0 before the first sample.
    rtt_min_ns: u64,
    /// Least round trip of the latest whole round: one sample may be late for want of a processor.
    rtt_ns: u64,
    /// Least one of the present round; 0 before its first sample.
    rtt_round_ns: u64,
    /// Losses below this position belong to a decrease that was made.
    recovery: u64,
    /// Bytes sent and lost in the present round, which ends when `round_end` is acknowledged.
    sent: u64,
    lost: u64,
    round_end: u64,
}

impl Congestion {
    /// Segments that may be under way before anything is known of the path (RFC 6928).
    const FIRST: u64 = 10;
    /// Segments that may always be.
    const LEAST: u64 = 4;
    /// Queueing below this is the noise of schedulers.
    const QUEUE_NOISE_NS: u64 = MS;

    pub(crate) fn new(control: Control, segment: usize, most: usize) -> Self {
        let (segment, most) = (segment.max(1) as u64, most as u64);
        let window = match control {
            Control::Cubic => (Self::FIRST * segment).min(most),
            Control::Static => most,
        };
        Self {
            control,
            segment,
            most,
            window,
            threshold: most,
            peak: 0,
            epoch: None,
            rtt_min_ns: 0,
            rtt_ns: 0,
            rtt_round_ns: 0,
            recovery: 0,
            sent: 0,
            lost: 0,
            round_end: 0,
        }
    }

    /// Bytes that may be under way.
    pub(crate) const fn window(&self) -> u64 {
        self.window
    }

    /// A round trip was measured.
    pub(crate) fn on_round_trip(&mut self, rtt_ns: u64) {
        if self.rtt_round_ns == 0 || rtt_ns < self.rtt_round_ns {
            self.rtt_round_ns = rtt_ns;
        }
        if self.rtt_min_ns == 0 || rtt_ns < self.rtt_min_ns {
            self.rtt_min_ns = rtt_ns.max(1);
        }
    }

    /// Bytes were sent for the first time.
    pub(crate) const fn on_sent(&mut self, bytes: u64) {
        self.sent = self.sent.saturating_add(bytes);
    }

    /// `bytes` up to `acked` were acknowledged while the sender had sent up to `sent`.
    pub(crate) fn on_ack(&mut self, now: Time, bytes: u64, acked: u64, sent: u64) {
        if acked >= self.round_end {
            (self.round_end, self.sent, self.lost) = (sent, 0, 0);
            self.rtt_ns = core::mem::take(&mut self.rtt_round_ns);
        }
        if self.control == Control::Static {
            return;
        }
        if self.window < self.threshold {
            self.window = self.window.saturating_add(bytes).min(self.most);
            return;
        }
        let epoch = *self.epoch.get_or_insert(now);
        let target = self.curve(now.since(epoch).saturating_add(self.rtt_ns) / MS);
        // At most half as much again per round trip (RFC 9438, section 4.2).
        let target = (target * self.segment).clamp(self.window, self.window + self.window / 2);
        let step = (target - self.window).saturating_mul(bytes) / self.window.max(1);
        // Never slower than one segment per round trip, as Reno does.
        let reno = self.segment.saturating_mul(bytes) / self.window.max(1);
        self.window = (self.window + step.max(reno)).min(self.most);
    }

    /// Bytes up to `end` are missing while the sender had sent up to `sent`.
    pub(crate) fn on_loss(&mut self, bytes: u64, end: u64, sent: u64) {
        self.lost = self.lost.saturating_add(bytes);
        let is_many = self.lost > self.sent / 4 && self.lost > 16 * self.segment;
        if self.control == Control::Static || end <= self.recovery || !(self.has_queue() || is_many)
        {
            return;
        }
        self.recovery = sent;
        self.peak = self.window / self.segment;
        self.window = (self.window / 10 * 7).max(Self::LEAST * self.segment).min(self.most);
        self.threshold = self.window;
        self.epoch = None;
    }

    /// Nothing was heard for a whole timeout: begin again carefully.
    pub(crate) fn on_timeout(&mut self) {
        if self.control == Control::Cubic {
            self.peak = self.window / self.segment;
            self.threshold = (self.window / 10 * 7).max(Self::FIRST * self.segment);
            self.window = (Self::FIRST * self.segment).min(self.most);
            self.epoch = None;
        }
    }

    /// Whether datagrams wait somewhere on the way.
    const fn has_queue(&self) -> bool {
        self.rtt_ns > self.rtt_min_ns + self.rtt_min_ns / 4 + Self::QUEUE_NOISE_NS
    }

    /// W(t) = C·(t − K)³ + W_max in segments, with C = 0.4 per s³ and K = ∛(W_max·0.3 / C) s.
    fn curve(&self, at_ms: u64) -> u64 {
        let k_ms = cube_root(self.peak.saturating_mul(750_000_000));
        let distance = u128::from(at_ms.abs_diff(k_ms).min(1 << 32));
        let rise = distance * distance * distance * 4 / 10_000_000_000;
        let rise = u64::try_from(rise).unwrap_or(u64::MAX).min(1 << 40);
        if at_ms < k_ms { self.peak.saturating_sub(rise) } else { self.peak + rise }
    }
}

/// The largest number whose cube is at most `n`.
fn cube_root(n: u64) -> u64 {
    let cube = |root: u64| root.checked_mul(root).and_then(|square| square.checked_mul(root));
    (0..22).rev().fold(0, |root, bit| {
        let next = root | 1 << bit;
        if cube(next).is_some_and(|cube| cube <= n) { next } else { root }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: usize = 1000;

    fn grown(rtt_ns: u64) -> Congestion {
        let mut congestion = Congestion::new(Control::Cubic, SEGMENT, 1 << 20);
        congestion.on_round_trip(rtt_ns);
        for n in 1..=1 << 10 {
            congestion.on_ack(Time(n * MS), 1024, n * 1024, n * 1024 + 500);
        }
        assert_eq!(congestion.window(), 1 << 20);
        congestion
    }

    /// A whole round in which every round trip took so long.
    fn round(congestion: &mut Congestion, rtt_ns: u64) {
        congestion.on_round_trip(rtt_ns);
        congestion.rtt_round_ns = rtt_ns;
        congestion.on_ack(Time(2000 * MS), 0, u64::MAX, 0);
    }

    #[test]
    fn cube_roots_are_exact() {
        for n in [0, 1, 7, 8, 26, 27, 28, 999_999, 1_000_000] {
            let root = cube_root(n);
            assert!(root.pow(3) <= n && (root + 1).pow(3) > n, "{n}");
        }
        assert_eq!(cube_root(u64::MAX), 2_642_245);
    }

    #[test]
    fn a_loss_behind_a_queue_costs_three_tenths_once_per_window() {
        let mut congestion = grown(MS);
        round(&mut congestion, 3 * MS);
        congestion.on_loss(1000, 5_000, 90_000);
        let window = congestion.window();
        assert_eq!(window, (1_u64 << 20) / 10 * 7);
        congestion.on_loss(1000, 80_000, 95_000);
        assert_eq!(congestion.window(), window, "the same window");
        congestion.on_loss(1000, 95_000, 99_000);
        assert!(congestion.window() < window);
    }

    #[test]
    fn losses_without_a_queue_cost_nothing_unless_they_are_many() {
        let mut congestion = grown(MS);
        congestion.on_sent(1_000_000);
        for at in 0..100 {
            congestion.on_loss(1000, at * 10_000, 1_000_000);
        }
        assert_eq!(congestion.window(), 1 << 20);
        congestion.on_loss(200_000, 1_000_000, 1_000_000);
        assert!(congestion.window() < 1 << 20);
    }

    #[test]
    fn the_window_climbs_back_along_the_curve() {
        let mut congestion = grown(MS);
        round(&mut congestion, 3 * MS);
        congestion.on_loss(1000, 5_000, 90_000);
        let mut before = congestion.window();
        let k_ms = cube_root(congestion.peak * 750_000_000);
        let mut now = Time(10_000 * MS);
        let (mut at_k, began) = (None, now);
        while congestion.window() < 1 << 20 {
            let window = congestion.window();
            congestion.on_ack(now, window, 0, 1);
            now = now.after(10 * MS);
            assert!(congestion.window() >= before);
            before = congestion.window();
            if now.since(began) >= k_ms * MS && at_k.is_none() {
                at_k = Some(before);
            }
            assert!(now.since(began) < 100_000 * MS, "it never got there");
        }
    }

    #[test]
    fn a_static_window_never_moves() {
        let mut congestion = Congestion::new(Control::Static, SEGMENT, 77_000);
        congestion.on_loss(70_000, 70_000, 70_000);
        congestion.on_timeout();
        congestion.on_ack(Time(1), 1, 1, 1);
        assert_eq!(congestion.window(), 77_000);
    }
}
