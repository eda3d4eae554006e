//! How many must agree before a silent node is called dead.
//!
//! Rapid (Suresh et al., USENIX ATC 2018) watches each node by K observers and cuts at two
//! watermarks: below L an accusation is noise, from H on it is a verdict, and between them the node
//! is gray. K = 8, H = 6, L = 2 keeps false removals below one in ten thousand even when 2 % of
//! all nodes accuse everybody they watch (ALGORITHMS.md 4.1); small groups scale it down.

use syncom_wire::limits::OBSERVERS_MAX;

/// The watermarks for a given size of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// K: distinct observers of each node; 0 when there is nobody else, and homes alone decide.
    pub observers: u32,
    /// H: votes that make a node dead; at least 1.
    pub high: u32,
    /// L: distinct reporters from which on homes probe and the node may be gray; at least 1.
    pub low: u32,
}

impl Quorum {
    /// The watermarks for `present` nodes, the watched one included.
    #[must_use]
    pub fn of(present: usize) -> Self {
        let observers = u32::try_from(observers(present)).unwrap_or(0);
        let high = (observers * 7).div_ceil(10).max(1);
        Self { observers, high, low: high.min(2) }
    }

    /// H in units of [`VOTE`].
    #[must_use]
    pub const fn high_votes(self) -> u32 {
        self.high * VOTE
    }
}

/// K = min(8, N − 1).
pub(crate) fn observers(present: usize) -> usize {
    present.saturating_sub(1).min(OBSERVERS_MAX)
}

/// The weight of one healthy vote: divisible by every 1 + health (1 to 8) and by 4, so that
/// weighted sums are exact.
pub const VOTE: u32 = 3360;

/// The weight of a reporter's vote: [`VOTE`] / (1 + local health), a quarter of it when the
/// reporter suspects itself. Shipping local health (Dadgar et al., Lifeguard, 2018) in each report
/// makes a slow watcher count less.
#[must_use]
pub fn vote(health: u8, self_suspect: bool) -> u32 {
    let weight = VOTE / (1 + u32::from(health.min(7)));
    if self_suspect { weight / 4 } else { weight }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_groups_have_the_watermarks_of_the_design() {
        let of = |n| {
            let quorum = Quorum::of(n);
            (quorum.observers, quorum.high, quorum.low)
        };
        assert_eq!(of(1), (0, 1, 1));
        assert_eq!(of(2), (1, 1, 1));
        assert_eq!(of(3), (2, 2, 2));
        assert_eq!(of(5), (4, 3, 2));
        assert_eq!(of(8), (7, 5, 2));
        assert_eq!(of(9), (8, 6, 2));
        assert_eq!(of(100_000), (8, 6, 2));
    }

    #[test]
    fn weighted_votes_divide_without_rest() {
        for health in 0..=7 {
            assert_eq!(vote(health, false) * (1 + u32::from(health)), VOTE);
            assert_eq!(vote(health, true) * 4, vote(health, false));
        }
    }
}
