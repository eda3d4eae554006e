//! Chance that depends on nothing but who, where to, and when.
//!
//! A generator that is asked by one datagram after the other gives each what is left by those before
//! it: leave one out, and all that follow fare otherwise. Here the fate of a datagram is a hash of the
//! seed, its two ends and the moment at which it leaves, so a run that leaves out what does not
//! matter gives the rest the same fates as one that leaves out nothing; and what becomes of a
//! heartbeat in an hour can be looked up now.

use syncom_seam::Time;
use syncom_wire::ids::mix;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dice(u64);

/// What was thrown for one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Throw(u64);

/// What is thrown for the datagrams of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x6469_6365))
    }

    /// The path from one member to another.
    pub(crate) const fn path(self, from: usize, to: usize) -> Path {
        Path(mix(self.0 ^ (from as u64) << 32 ^ to as u64))
    }
}

impl Path {
    /// What is thrown for the datagram that leaves at a moment.
    pub(crate) const fn at(self, sent: Time) -> Throw {
        Throw(mix(self.0 ^ sent.0))
    }

    /// Which of so many datagrams are lost, where so many parts of 10,000 are: they leave one after
    /// the other, the first at a moment. The same as to ask each of them, in half the time: this is
    /// asked of hundreds of millions.
    pub(crate) fn lost(
        self,
        first: Time,
        every_ns: u64,
        many: u64,
        parts: u64,
    ) -> impl Iterator<Item = u64> {
        let bound = Throw::bound(parts);
        let mut sent = first.0;
        (0..many).filter(move |_| {
            let thrown = mix(self.0 ^ sent);
            sent = sent.wrapping_add(every_ns);
            thrown >> 32 < bound
        })
    }
}

impl Throw {
    /// Below what the upper half of a throw is lost.
    const fn bound(parts: u64) -> u64 {
        (parts << 32).div_ceil(10_000)
    }

    /// Whether it is lost, where so many parts of 10,000 are.
    pub(crate) const fn is_lost(self, parts: u64) -> bool {
        self.0 >> 32 < Self::bound(parts)
    }

    /// A number in `0..bound` that has nothing to do with whether it is lost.
    pub(crate) const fn below(self, bound: u64) -> u64 {
        ((self.0 & 0xFFFF_FFFF) * bound) >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates_are_spread_as_they_should_and_depend_on_all_that_is_given() {
        let path = Dice::new(7).path(3, 4);
        let throws = || (0..100_000).map(|at| path.at(Time(at * 200_000_000)));
        let lost = throws().filter(|throw| throw.is_lost(100)).count();
        assert!((900..1_100).contains(&lost), "{lost} of 100,000 lost where one of 100 should be");
        let mean = throws().map(|throw| throw.below(1_000)).sum::<u64>() / 100_000;
        assert!((490..510).contains(&mean), "{mean}");
        let in_a_row = |many: usize| {
            let fates: Vec<bool> = throws().map(|throw| throw.is_lost(1_000)).collect();
            fates.windows(many).filter(|run| run.iter().all(|lost| *lost)).count()
        };
        assert!((900..1_100).contains(&in_a_row(2)), "{}", in_a_row(2));
        assert!((60..140).contains(&in_a_row(3)), "{}", in_a_row(3));
        let first = Time(77);
        let one_by_one = (0..50_000).filter(|n| path.at(first.after(n * 800)).is_lost(300));
        assert!(path.lost(first, 800, 50_000, 300).eq(one_by_one));
        let others = [Dice::new(8).path(3, 4), Dice::new(7).path(4, 3), Dice::new(7).path(3, 5)];
        assert!(others.iter().all(|other| other.at(Time(9)) != path.at(Time(9))));
        assert_ne!(path.at(Time(8)), path.at(Time(9)));
    }
}
