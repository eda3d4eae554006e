//! The one clock of the process.
//!
//! Timers and deadlines live on the monotonic clock (`CLOCK_BOOTTIME`, which goes on during
//! suspend), kernel receive timestamps on the wall clock. Both are sampled together once per
//! burst, and the difference turns a receive timestamp into a moment. When somebody steps the wall
//! clock, timestamps from before and after the step cannot be told apart for a while; then "now"
//! stands in, since a step must never make a living peer look silent.

use std::sync::atomic::{AtomicI64, Ordering};
use syncom_seam::{MS, Now, SECOND, Time, WallTime};

/// How far this process sees the wall clock set off, in ns: see [`step_wall`].
static WALL_OFF_NS: AtomicI64 = AtomicI64::new(0);

/// A change of the difference between the clocks, between two samples, that no slewing explains:
/// the kernel slews by at most 500 ppm, so this takes two seconds without a sample.
const STEP_NS: u64 = MS;
/// How long after a step datagrams stamped before it may still be in a receive buffer.
const DOUBT_NS: u64 = SECOND;

/// Samples both clocks and turns receive timestamps into moments.
#[derive(Clone, Debug)]
pub struct Clock {
    now: Now,
    /// Until when timestamps are not believed, because the wall clock was stepped.
    doubt_until: Time,
    /// When both clocks were read last.
    sampled: Time,
}

impl Clock {
    /// A clock that has been sampled once.
    #[must_use]
    pub fn new() -> Self {
        let now = read();
        Self { now, doubt_until: Time(0), sampled: now.at }
    }

    /// Samples both clocks, once per burst, after receiving it. Never goes back.
    pub fn sample(&mut self) -> Now {
        self.observe(read());
        self.now
    }

    /// As [`Self::sample`], at half the cost, for those who turn no timestamps into moments: the
    /// wall clock is read once a second and goes on with the other one in between.
    pub fn tick(&mut self) -> Now {
        let at = now();
        if at.since(self.sampled) >= SECOND {
            return self.sample();
        }
        let at = at.max(self.now.at);
        let wall = self.now.wall.0 + at.since(self.now.at);
        self.now = Now { at, wall: WallTime(wall) };
        self.now
    }

    /// The last sample.
    #[must_use]
    pub const fn now(&self) -> Now {
        self.now
    }

    /// The moment of a receive timestamp: never later than the last sample, and equal to it when
    /// there is no timestamp or it cannot be believed.
    #[must_use]
    pub fn heard(&self, stamp: Option<WallTime>) -> Time {
        let Some(stamp) = stamp else { return self.now.at };
        let age = self.now.wall.0.checked_sub(shown(stamp.0));
        match age.and_then(|age| self.now.at.0.checked_sub(age)) {
            Some(at) if self.now.at >= self.doubt_until => Time(at),
            Some(_) | None => self.now.at,
        }
    }

    fn observe(&mut self, next: Now) {
        let monotonic = i128::from(next.at.0) - i128::from(self.now.at.0);
        let wall = i128::from(next.wall.0) - i128::from(self.now.wall.0);
        let slew = u64::try_from(monotonic / 1000).unwrap_or(0);
        if (wall - monotonic).unsigned_abs() > u128::from(STEP_NS + slew) {
            self.doubt_until = next.at.after(DOUBT_NS);
        }
        self.now = Now { at: self.now.at.max(next.at), wall: next.wall };
        self.sampled = self.now.at;
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads both clocks.
#[must_use]
pub fn read() -> Now {
    let wall = WallTime(shown(get(libc::CLOCK_REALTIME)));
    Now { at: Time(get(libc::CLOCK_BOOTTIME)), wall }
}

/// Steps the wall clock as this process sees it, receive timestamps included: what happens when
/// somebody sets a host's clock can be tried without setting the machine's.
pub fn step_wall(by_ns: i64) {
    WALL_OFF_NS.fetch_add(by_ns, Ordering::Relaxed);
}

/// What this process is shown when the kernel's wall clock shows `wall_ns`.
fn shown(wall_ns: u64) -> u64 {
    wall_ns.saturating_add_signed(WALL_OFF_NS.load(Ordering::Relaxed))
}

/// The moment on the monotonic clock.
#[must_use]
pub fn now() -> Time {
    Time(get(libc::CLOCK_BOOTTIME))
}

/// Processor time that this process has used, in ns.
#[must_use]
pub fn cpu_ns() -> u64 {
    get(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Time that this thread has spent on a core so far, in ns.
#[must_use]
pub fn thread_cpu_ns() -> u64 {
    get(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn get(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec that outlives the call, and the kernel writes nothing
    // else.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) } != 0;
    assert!(!failed, "this kernel has no clock {clock}");
    nanoseconds(time)
}

/// A kernel time in ns; 0 for times before 1970.
pub(crate) fn nanoseconds(time: libc::timespec) -> u64 {
    let (Ok(seconds), Ok(ns)) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec)) else {
        return 0;
    };
    seconds.saturating_mul(SECOND).saturating_add(ns)
}

/// When a test that waits for something gives up: later than busy machines stand still.
#[cfg(test)]
pub(crate) fn patience() -> Time {
    now().after(60 * SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(monotonic: u64, wall: u64) -> Now {
        Now { at: Time(monotonic), wall: WallTime(wall) }
    }

    fn clock(now: Now) -> Clock {
        Clock { now, doubt_until: Time(0), sampled: now.at }
    }

    #[test]
    fn a_stamp_is_as_old_on_one_clock_as_on_the_other() {
        let mut clock = clock(at(50 * SECOND, 900 * SECOND));
        clock.observe(at(51 * SECOND, 901 * SECOND));
        assert_eq!(clock.heard(Some(WallTime(900 * SECOND + 7))), Time(50 * SECOND + 7));
        assert_eq!(clock.heard(Some(WallTime(902 * SECOND))), Time(51 * SECOND), "the future");
        assert_eq!(clock.heard(Some(WallTime(1))), Time(51 * SECOND), "before boot");
        assert_eq!(clock.heard(None), Time(51 * SECOND));
    }

    #[test]
    fn after_a_step_of_the_wall_clock_nobody_looks_silent() {
        for stepped in [910 * SECOND, 4_500 * SECOND, SECOND] {
            let mut clock = clock(at(50 * SECOND, 900 * SECOND));
            let moment = 50 * SECOND + MS;
            clock.observe(at(moment, stepped));
            assert_eq!(clock.heard(Some(WallTime(900 * SECOND))), Time(moment));
            clock.observe(at(moment + DOUBT_NS, stepped + DOUBT_NS));
            assert_eq!(clock.heard(Some(WallTime(stepped))), Time(moment));
        }
    }

    #[test]
    fn ticks_take_the_wall_clock_along_and_read_it_again_once_a_second() {
        let mut clock = Clock::new();
        let first = clock.now();
        // However long this thread stands still here, that second is not over.
        clock.sampled = Time::NEVER;
        let next = clock.tick();
        assert!(next.at >= first.at);
        assert_eq!(next.wall.0 - first.wall.0, next.at.0 - first.at.0);
        clock.sampled = Time(0);
        assert!(clock.tick().at >= next.at && clock.sampled >= next.at);
    }

    #[test]
    fn slewing_is_not_a_step() {
        let mut clock = clock(at(50 * SECOND, 900 * SECOND));
        clock.observe(at(60 * SECOND, 910 * SECOND + 5 * MS));
        assert_eq!(clock.doubt_until, Time(0));
    }

    #[test]
    fn the_clock_never_goes_back() {
        let mut clock = clock(at(50, 900));
        clock.observe(at(40, 890));
        assert_eq!(clock.now(), at(50, 890));
        let mut clock = Clock::new();
        let first = clock.sample();
        assert!(clock.sample().at >= first.at && first.wall.0 > 1_600_000_000 * SECOND);
    }
}
