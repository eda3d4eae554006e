//! Counting messages and round trips.

use crate::{cpu_ns, now_ns};

/// Marks the last message of a stream.
pub const FINAL: u64 = 1 << 63;

/// What has arrived of a numbered stream. Time runs from the first message to the last.
#[derive(Debug, Default)]
pub struct Tally {
    began_ns: u64,
    ended_ns: u64,
    messages: u64,
    expected: u64,
    lost: u64,
    hash: u64,
}

impl Tally {
    /// Counts a message, whose first eight bytes are its number; says whether it was the last.
    #[inline]
    pub fn take(&mut self, message: &[u8]) -> bool {
        let Some(number) = message.first_chunk() else { return false };
        let number = u64::from_le_bytes(*number);
        if self.messages == 0 {
            self.began_ns = now_ns();
        }
        let at = number & !FINAL;
        self.lost += at.saturating_sub(self.expected);
        self.expected = at + 1;
        self.messages += 1;
        self.hash = self.hash.rotate_left(1) ^ number;
        if number & FINAL != 0 {
            self.ended_ns = now_ns();
        }
        number & FINAL != 0
    }

    /// Prints the result line of a receiver. `others_ns` is what processes that serve both ends
    /// have spent on cores.
    pub fn report(&self, others_ns: u64) {
        println!(
            "result messages={} ns={} lost={} hash={:016x} cpu_ns={}",
            self.messages,
            self.ended_ns.saturating_sub(self.began_ns),
            self.lost,
            self.hash,
            cpu_ns() + others_ns
        );
    }
}

/// Round trip times.
#[derive(Debug, Default)]
pub struct Trips {
    times_ns: Vec<u64>,
}

impl Trips {
    /// Counts a round trip.
    pub fn add(&mut self, ns: u64) {
        self.times_ns.push(ns);
    }

    /// Prints the result line of a ping.
    pub fn report(mut self) {
        self.times_ns.sort_unstable();
        let at = |thousandths: usize| {
            let rank = self.times_ns.len() * thousandths / 1000;
            self.times_ns.get(rank.min(self.times_ns.len().saturating_sub(1))).copied().unwrap_or(0)
        };
        println!(
            "result messages={} p50_ns={} p99_ns={} p999_ns={} max_ns={} lost=0 cpu_ns={}",
            self.times_ns.len(),
            at(500),
            at(990),
            at(999),
            at(1000),
            cpu_ns()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_in_the_numbers_is_loss() {
        let mut tally = Tally::default();
        for number in [0, 1, 4, 5_u64] {
            assert!(!tally.take(&number.to_le_bytes()));
        }
        assert!(tally.take(&(6 | FINAL).to_le_bytes()));
        assert_eq!((tally.messages, tally.lost), (5, 2));
    }
}
