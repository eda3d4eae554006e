//! How long things took: every measurement, within a thousandth of its value, in constant memory.

use crate::clock;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::fmt;
use std::io;
use std::time::{Duration, UNIX_EPOCH};
use syncom_seam::{SECOND, WallTime};

/// Longer times count as this long.
const LONGEST_NS: u64 = 3600 * SECOND;
/// Decimal digits that are kept.
const DIGITS: u8 = 3;

/// A histogram of times in ns.
#[derive(Clone)]
pub struct Latency {
    times: Histogram<u64>,
    began: WallTime,
}

impl Latency {
    /// An empty one, which begins now.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new() -> io::Result<Self> {
        let times = Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).map_err(io::Error::other)?;
        Ok(Self { times, began: clock::read().wall })
    }

    /// Something took `ns`.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.times.saturating_record(ns);
    }

    /// How many times were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.times.len()
    }

    /// The time that a share of all did not exceed, in ns: 0.5 for the median. 0 when there is none.
    #[must_use]
    pub fn at(&self, share: f64) -> u64 {
        self.times.value_at_quantile(share)
    }

    /// The longest time in ns.
    #[must_use]
    pub fn most(&self) -> u64 {
        self.times.max()
    }

    /// Writes all of it as one interval, tagged, of the histogram log (V2, compressed) that the
    /// tools of HdrHistogram read. Longest times are shown there in ms.
    ///
    /// # Errors
    /// What `out` says, or that `tag` holds a blank or a comma.
    pub fn write_log<W: io::Write>(&self, tag: &str, out: &mut W) -> io::Result<()> {
        let tag = Tag::new(tag).ok_or(io::ErrorKind::InvalidInput)?;
        let mut serializer = V2DeflateSerializer::new();
        let began = Duration::from_nanos(self.began.0);
        let lasted = Duration::from_nanos(clock::read().wall.0).saturating_sub(began);
        let mut log = IntervalLogWriterBuilder::new()
            .add_comment("times in ns")
            .with_start_time(UNIX_EPOCH + began)
            .with_max_value_divisor(1e6)
            .begin_log_with(out, &mut serializer)?;
        let written = log.write_histogram(&self.times, Duration::ZERO, lasted, Some(tag));
        written.map_err(|error| io::Error::other(format!("{error:?}")))
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} times of up to {} ns", self.count(), self.most())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn a_thousand_times_are_told_apart_and_a_log_of_them_can_be_read_again() {
        let mut latency = Latency::new().unwrap();
        assert_eq!((latency.count(), latency.at(0.5), latency.most()), (0, 0, 0));
        (1..=1000).for_each(|n| latency.record(n * 1000));
        latency.record(u64::MAX);
        assert_eq!(latency.count(), 1001);
        assert!((500_000..502_000).contains(&latency.at(0.5)), "{}", latency.at(0.5));
        assert!(latency.most() >= LONGEST_NS);

        let mut log = Vec::new();
        latency.write_log("rtt", &mut log).unwrap();
        let intervals: Vec<_> = IntervalLogIterator::new(&log)
            .filter_map(|entry| match entry {
                Ok(LogEntry::Interval(interval)) => Some(interval.tag()?.as_str()),
                Ok(_) | Err(_) => None,
            })
            .collect();
        assert_eq!(intervals, ["rtt"]);
        assert!(latency.write_log("not a tag", &mut log).is_err());
    }
}
