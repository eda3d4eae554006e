//! The sign of life as observers that are used to it hear it.
//!
//! Nearly everything that a cluster at rest says is this frame: forty times a second, every node tells
//! its eight observers that nothing is new. So it goes alone, in a datagram with the short header
//! [`Brief`] and without a frame header: 48 bytes in all, where a [`Heartbeat`] takes 112. What the
//! seal proves is not said again (whose slot), nor what only homes ask for (epochs, the clock). What
//! does not fit, or has a flag, goes as a heartbeat.
//!
//! [`Brief`]: crate::Brief

use crate::frame::fixed_frame;
use crate::heartbeat::Heartbeat;
use crate::ids::Incarnation;
use crate::layout::{Malformed, layout};

layout! {
    /// I live, and nothing else is new. From a node to observers that have said that they watch it.
    pub struct Beat: 16 {
        /// The sender's incarnation; its slot is that of whoever sealed the datagram.
        incarnation: Incarnation,
        /// As [`Heartbeat::seq`], with which it is counted.
        seq: u32,
        /// The sender's present interval, in µs: receivers use this, not their own.
        interval_us: u32,
        /// The last two bytes of [`Heartbeat::progress`].
        progress: u16,
        /// Managed services that run.
        services_up: u8,
        /// Managed services that should run and do not.
        services_down: u8,
    }
}

impl Beat {
    /// One in so many heartbeats goes in full to those who know us, too: an observer that has
    /// forgotten our life, because a crowd passed through its table while we were quiet, learns it.
    pub const IN_FULL_EVERY: u64 = 32;
    /// The same of a sender that speaks to its observers in turn ([`Heartbeat::IN_TURN`]): who has
    /// forgotten its life asks it, and hears its answer.
    pub const IN_FULL_IN_TURN: u64 = 8;
    /// Time between two of those, in µs, of whoever sends fewer meanwhile.
    const IN_FULL_WITHIN_US: u64 = 8_000_000;

    /// One in how many heartbeats goes in full at this interval, in µs: 32, fewer where that would
    /// take longer than 8 s, and every other one of the slowest, so that an observer that has
    /// forgotten us misses one and not several in a row.
    #[must_use]
    pub const fn in_full_every(interval_us: u64) -> u64 {
        match Self::IN_FULL_WITHIN_US.checked_div(interval_us) {
            None | Some(Self::IN_FULL_EVERY..) => Self::IN_FULL_EVERY,
            Some(0..=2) => 2,
            Some(every) => every,
        }
    }

    /// The heartbeat said in short; `None` when it says what has no place here. That it speaks to its
    /// observers in turn is said in full, and remembered.
    #[must_use]
    pub fn of(beat: &Heartbeat) -> Option<Self> {
        if beat.plane != Heartbeat::PEER || beat.flags & !Heartbeat::IN_TURN != 0 {
            return None;
        }
        Some(Self {
            incarnation: beat.incarnation,
            seq: u32::try_from(beat.seq).ok()?,
            interval_us: beat.interval_us,
            progress: Self::short_progress(beat.progress),
            services_up: u8::try_from(beat.services_up).ok()?,
            services_down: u8::try_from(beat.services_down).ok()?,
        })
    }

    /// What this frame says of [`Heartbeat::progress`].
    #[must_use]
    pub const fn short_progress(progress: u32) -> u16 {
        let [low, high, ..] = progress.to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    const fn check(&self) -> Result<(), Malformed> {
        Heartbeat::check_interval(self.interval_us)
    }
}

fixed_frame!(Beat, Beat, Beat::check; is_brief = true);

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeat() -> Heartbeat {
        let mut beat = Heartbeat::of_satellite(7, 200_000, 9);
        (beat.plane, beat.incarnation, beat.progress) = (Heartbeat::PEER, Incarnation(3), 0x5_0004);
        (beat.services_up, beat.services_down) = (255, 1);
        beat
    }

    #[test]
    fn it_says_what_the_heartbeat_says() {
        let beat = Beat::of(&heartbeat()).unwrap();
        assert_eq!((beat.incarnation, beat.seq, beat.interval_us), (Incarnation(3), 7, 200_000));
        assert_eq!((beat.progress, beat.services_up, beat.services_down), (4, 255, 1));
    }

    #[test]
    fn whoever_speaks_rarely_is_not_known_for_longer_than_who_speaks_often() {
        let every = |interval_ms: u64| Beat::in_full_every(interval_ms * 1_000);
        assert_eq!([every(50), every(250), every(251)], [32, 32, 31]);
        assert_eq!([every(1_000), every(3_000), every(10_000)], [8, 2, 2]);
        assert_eq!((Beat::in_full_every(0), Beat::in_full_every(u64::MAX)), (32, 2));
    }

    #[test]
    fn what_has_no_place_in_it_is_not_said_in_short() {
        let with = |change: fn(&mut Heartbeat)| {
            let mut beat = heartbeat();
            change(&mut beat);
            Beat::of(&beat)
        };
        assert!(with(|_| ()).is_some());
        assert_eq!(with(|beat| beat.plane = Heartbeat::HOME), None);
        assert_eq!(with(|beat| beat.flags = Heartbeat::LEAVING), None);
        assert!(with(|beat| beat.flags = Heartbeat::IN_TURN).is_some(), "it goes without saying");
        assert_eq!(with(|beat| beat.seq = 1 << 32), None);
        assert_eq!(with(|beat| beat.services_up = 256), None);
        assert_eq!(with(|beat| beat.services_down = 256), None);
    }
}
