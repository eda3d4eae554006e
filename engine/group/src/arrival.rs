//! When a heartbeat is overdue.
//!
//! A sender keeps a schedule; the network and two schedulers shift each arrival a little. Chen,
//! Toueg and Aguilera (IEEE ToC 2002) expect the next arrival at the mean shift of the last arrivals
//! after its scheduled moment; Bertier, Marin and Sens (DSN 2002) add a margin that follows the error
//! of that expectation as TCP's time-out follows the round trip. What is *late* is then measured
//! against what this one sender usually does, and nothing is tuned by hand.
//!
//! The schedule is kept as the moment at which the last heartbeat was due, and advances by the
//! *sender's* announced interval. When the sender changes its interval, skips far ahead or was
//! itself stopped, the schedule begins anew at that arrival: an average over two schedules would
//! expect the next heartbeat in the past.

use crate::profile::Profile;
use syncom_seam::{MS, Time};

/// Arrivals that are averaged.
const WINDOW: usize = 32;
/// Least margin, in ns: no scheduler is better than this for long.
const MARGIN_MIN_NS: u64 = 20 * MS;
/// Longest believable interval, as frames allow it, in ns.
const INTERVAL_MAX_NS: u64 = 60_000 * MS;
/// Heartbeats missed in a row beyond which the schedule begins anew.
const GAP_MAX: u64 = 1_024;
/// Drift against the schedule beyond which it begins anew, so that sums stay small.
const SHIFT_MAX_NS: u64 = 3_600_000 * MS;

/// What is expected of one sender on one plane. Constant memory, constant time per heartbeat.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When the heartbeat `seq` was due by the sender's schedule.
    due: Time,
    /// The last heartbeat taken; 0 when none has been heard.
    seq: u64,
    interval_ns: u64,
    count: usize,
    sum: i64,
    /// J: smoothed error of the expectation, in ns.
    error_ns: u64,
    heard: Option<Time>,
    /// Bit per heartbeat, [`RECENT`](Self::RECENT) up to the last one that was taken, which has the lowest
    /// bit: whether it is missing.
    missing: u8,
    /// Shifts of the last arrivals against their schedule, in ns. Behind all else: of these, a
    /// heartbeat touches one.
    shifts: [i64; WINDOW],
}

impl Arrival {
    /// Heartbeats of which it is known whether they are missing.
    pub const RECENT: u32 = u8::BITS;
    /// So many of those are missing when the sender can hardly be heard: hardly ever by chance where one
    /// of a hundred is lost (5 of 10⁹ times), nearly always where four of five are.
    pub const PATCHY: u32 = 5;

    /// Expects the first heartbeat one interval after `now`, which is when the sender was told of
    /// us at the earliest. Without experience the margin is generous.
    #[must_use]
    pub fn new(now: Time, interval_ns: u64) -> Self {
        let interval_ns = interval_ns.clamp(MS, INTERVAL_MAX_NS);
        Self {
            due: now,
            seq: 0,
            interval_ns,
            shifts: [0; WINDOW],
            count: 0,
            sum: 0,
            error_ns: interval_ns / 4,
            heard: None,
            missing: 0,
        }
    }

    /// Takes a heartbeat: its number, the interval that it announces, in ns, and when the kernel
    /// received it. Whether it is newer than all before; an old or repeated one only proves life.
    pub fn on_heartbeat(&mut self, seq: u64, interval_ns: u64, heard: Time) -> bool {
        let first = self.heard.is_none();
        self.heard = Some(self.heard.map_or(heard, |before| before.max(heard)));
        if seq <= self.seq && !first {
            let back = u32::try_from(self.seq.saturating_sub(seq)).unwrap_or(u32::MAX);
            self.missing &= !1_u8.checked_shl(back).unwrap_or(0);
            return false;
        }
        let interval_ns = interval_ns.clamp(MS, INTERVAL_MAX_NS);
        let gap = seq.saturating_sub(self.seq);
        if self.count == 0 || interval_ns != self.interval_ns || gap > GAP_MAX {
            self.missing = 0;
            self.restart(seq, interval_ns, heard);
            return true;
        }
        self.note_missing(gap);
        let due = self.due.after(gap * interval_ns);
        let shift = difference(heard, due);
        let error_ns = shift.abs_diff(self.mean());
        self.error_ns = (7 * self.error_ns + error_ns.min(interval_ns)) / 8;
        if error_ns > interval_ns || shift.unsigned_abs() > SHIFT_MAX_NS {
            self.restart(seq, interval_ns, heard);
            return true;
        }
        (self.seq, self.due) = (seq, due);
        self.push(shift);
        true
    }

    /// Takes what a sender says of itself when asked, outside of its schedule: the number of its last
    /// heartbeat and its interval. To whoever has no heartbeat of it yet, that says until when to wait
    /// for the next one, whose arrival begins the schedule; to others, only that it lives.
    pub fn on_word(&mut self, seq: u64, interval_ns: u64, heard: Time) {
        if !self.has_begun() && seq >= self.seq {
            (self.seq, self.due) = (seq, self.due.max(heard));
            self.interval_ns = interval_ns.clamp(MS, INTERVAL_MAX_NS);
        }
        self.heard = Some(self.heard.map_or(heard, |before| before.max(heard)));
    }

    /// Until when to wait for the next heartbeat: EA + (m − 1)·η + α·(1 + local health), with
    /// α = 4·J + α_min, at least 20 ms and at most η.
    #[must_use]
    pub fn deadline(&self, profile: &Profile, health: u8) -> Time {
        self.deadline_after(profile.misses, profile, health)
    }

    /// The same when only so many heartbeats may be missed.
    #[must_use]
    pub fn deadline_after(&self, misses: u32, profile: &Profile, health: u8) -> Time {
        let misses = u64::from(misses.saturating_sub(1));
        let margin_ns = self.margin_ns(profile) * (1 + u64::from(health));
        self.expected().after(misses.saturating_mul(self.interval_ns).saturating_add(margin_ns))
    }

    /// When the next heartbeat is expected (EA).
    #[must_use]
    pub fn expected(&self) -> Time {
        let due = self.due.after(self.interval_ns);
        let mean = self.mean();
        if mean < 0 {
            Time(due.0.saturating_sub(mean.unsigned_abs()))
        } else {
            due.after(mean.unsigned_abs())
        }
    }

    /// Moves every expectation by `gap_ns`, because this process or its machine stood still for so
    /// long and heartbeats may be gone.
    pub fn shift(&mut self, gap_ns: u64) {
        self.due = self.due.after(gap_ns);
    }

    /// Makes of it what is left when these arrivals were the last ones, for whoever lets calm time pass
    /// without living through it. Each comes with how many heartbeats it was sent before the newest
    /// that was heard, which is the last of them; their clock has gone on for `skipped_ns` that this one
    /// has not seen, and in which all of them were sent. The schedule goes on as it was.
    pub fn relive(&mut self, skipped_ns: u64, arrivals: impl IntoIterator<Item = (u64, Time)>) {
        let (seq, heard, due) = (self.seq, self.heard, self.due);
        let newest = seq.saturating_add(GAP_MAX);
        for (at, (back, heard)) in arrivals.into_iter().enumerate() {
            let number = newest.saturating_sub(back);
            if at == 0 {
                let since_ns = (back + 1) * self.interval_ns;
                self.due = Time(due.after(skipped_ns).0.saturating_sub(since_ns));
                self.seq = number.saturating_sub(1);
            }
            self.on_heartbeat(number, self.interval_ns, heard);
        }
        (self.seq, self.heard, self.due) = (seq, heard, due);
    }

    /// Whether most of what the sender has sent is missing, up to the last heartbeat that came:
    /// [`PATCHY`](Self::PATCHY) of [`RECENT`](Self::RECENT). Of those before it was known to us, none is.
    #[must_use]
    pub const fn is_patchy(&self) -> bool {
        self.missing.count_ones() >= Self::PATCHY
    }

    /// Holds nothing that is missing against the sender: it was lost here.
    pub const fn excuse(&mut self) {
        self.missing = 0;
    }

    /// Believes the sender to be this regular, in ns, until it is known better: where it costs little to
    /// be wrong about somebody who speaks rarely, it would take long to learn.
    pub fn expect_closely(&mut self, error_ns: u64) {
        self.error_ns = self.error_ns.min(error_ns);
    }

    /// Whether a heartbeat has begun the schedule. Words do not: who says that it lives may speak to
    /// others only.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.count > 0
    }

    /// When the sender was last heard, by the kernel's clock; `None` when never.
    #[must_use]
    pub const fn heard(&self) -> Option<Time> {
        self.heard
    }

    /// The number of the newest heartbeat; 0 when none was heard.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The interval that the sender announced last, in ns.
    #[must_use]
    pub const fn interval_ns(&self) -> u64 {
        self.interval_ns
    }

    /// The smoothed error of the expectation (J), in ns.
    #[must_use]
    pub const fn error_ns(&self) -> u64 {
        self.error_ns
    }

    /// The margin (α), in ns: what an arrival may be later than expected by a healthy watcher.
    #[must_use]
    pub fn margin_ns(&self, profile: &Profile) -> u64 {
        (4 * self.error_ns + profile.margin_min_ns).min(self.interval_ns).max(MARGIN_MIN_NS)
    }

    /// Begins a new schedule at this arrival; what is known of the error stays.
    fn restart(&mut self, seq: u64, interval_ns: u64, heard: Time) {
        (self.seq, self.due, self.interval_ns) = (seq, heard, interval_ns);
        (self.count, self.sum) = (0, 0);
        self.push(0);
    }

    /// A heartbeat came, so many numbers after the one before it.
    fn note_missing(&mut self, gap: u64) {
        let gap = u32::try_from(gap).unwrap_or(u32::MAX);
        let before = self.missing.checked_shl(gap).unwrap_or(0);
        let between = 1_u8.checked_shl(gap).map_or(u8::MAX, |bound| bound - 1);
        self.missing = before | (between & !1);
    }

    fn push(&mut self, shift: i64) {
        let place = &mut self.shifts[self.count % WINDOW];
        if self.count >= WINDOW {
            self.sum -= *place;
        }
        *place = shift;
        self.sum += shift;
        self.count += 1;
        if self.count == 2 * WINDOW {
            self.count = WINDOW;
        }
    }

    fn mean(&self) -> i64 {
        match i64::try_from(self.count.min(WINDOW)) {
            Ok(0) | Err(_) => 0,
            Ok(count) => self.sum / count,
        }
    }
}

/// `a − b` in ns, cut to what an `i64` holds.
fn difference(a: Time, b: Time) -> i64 {
    let size = i64::try_from(a.0.abs_diff(b.0)).unwrap_or(i64::MAX);
    if a >= b { size } else { -size }
}

#[cfg(test)]
mod tests;
