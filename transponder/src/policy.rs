//! How many must say a thing before it becomes an event.
//!
//! Silence of nodes has its own rules (the `uplink::verdict` module). Everything else that can be
//! reported is believed by a threshold per kind, from configuration.

use alloc::vec::Vec;
use syncom_seam::{MS, SECOND};
use syncom_wire::policy::Policy as Frame;
use syncom_wire::report::EventKind;

/// The threshold of one kind of report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Distinct reporters, at least 1.
    pub min_distinct: u32,
    /// Distinct reporters as a part of all present nodes, in thousandths, 0 to 1000.
    pub min_fraction_permille: u32,
    /// Within which time they must report, in ns. Too short: slow reporters never add up. Too
    /// long: unrelated reports do.
    pub window_ns: u64,
    /// Failure domains that reporters must come from; no more are asked for than there are.
    pub min_domains: u32,
    /// Records of one subject and kind per second, at least 1; what comes faster is gathered into
    /// the next record.
    pub max_rate: u32,
}

impl Default for Policy {
    /// One reporter is believed.
    fn default() -> Self {
        Self {
            min_distinct: 1,
            min_fraction_permille: 0,
            window_ns: SECOND,
            min_domains: 1,
            max_rate: 100,
        }
    }
}

/// What was reported of one thing so far, and by how many of whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Support {
    /// Distinct reporters.
    pub distinct: u32,
    /// Bit per failure domain (number modulo 64) of reporters.
    pub domains: u64,
    /// Present nodes.
    pub population: usize,
    /// Bit per failure domain of present nodes.
    pub population_domains: u64,
}

impl Policy {
    /// Whether so much support is enough.
    #[must_use]
    pub fn is_met(&self, support: &Support) -> bool {
        let population = u64::try_from(support.population).unwrap_or(u64::MAX);
        let part = population.saturating_mul(u64::from(self.min_fraction_permille)).div_ceil(1000);
        let domains = self.min_domains.min(support.population_domains.count_ones());
        support.distinct >= self.min_distinct
            && u64::from(support.distinct) >= part
            && support.domains.count_ones() >= domains
    }

    /// Least time between two records of one subject and kind, in ns.
    #[must_use]
    pub fn spacing_ns(&self) -> u64 {
        SECOND / u64::from(self.max_rate.max(1))
    }
}

/// Thresholds by kind.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// For every kind that has none of its own.
    pub default: Policy,
    /// Kinds with a threshold of their own.
    pub kinds: Vec<(EventKind, Policy)>,
}

impl Policies {
    /// The thresholds of an operator's policy; whatever it leaves out is as it is by default.
    #[must_use]
    pub fn of_frame(frame: &Frame<'_>) -> Self {
        let mut policies = Self::default();
        for threshold in frame.thresholds() {
            let head = &threshold.head;
            let policy = Policy {
                min_distinct: head.min_distinct,
                min_fraction_permille: u32::from(head.min_permille),
                window_ns: u64::from(head.window_ms) * MS,
                min_domains: u32::from(head.min_domains),
                max_rate: head.max_rate,
            };
            match threshold.kind {
                "*" => policies.default = policy,
                kind => policies.kinds.push((EventKind::named(kind), policy)),
            }
        }
        policies
    }

    /// The threshold of a kind.
    #[must_use]
    pub fn of(&self, kind: EventKind) -> &Policy {
        self.kinds.iter().find(|(of, _)| *of == kind).map_or(&self.default, |(_, policy)| policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_of_a_threshold_must_hold() {
        let policy = Policy {
            min_distinct: 3,
            min_fraction_permille: 10,
            min_domains: 2,
            ..Policy::default()
        };
        let enough =
            Support { distinct: 4, domains: 0b11, population: 400, population_domains: 0b111 };
        assert!(policy.is_met(&enough));
        assert!(!policy.is_met(&Support { distinct: 2, ..enough }));
        assert!(!policy.is_met(&Support { population: 401, ..enough }));
        assert!(!policy.is_met(&Support { domains: 0b10, ..enough }));
    }

    #[test]
    fn thresholds_come_from_the_policy_of_the_station() {
        use syncom_wire::policy::{PolicyHead, Threshold, ThresholdHead};
        let mut parts = alloc::vec![0; 256];
        let mut packer = syncom_wire::frame::Packer::new(&mut parts);
        for (kind, reporters) in [("*", 2), ("disk", 7)] {
            let head = ThresholdHead {
                min_distinct: reporters,
                window_ms: 4_000,
                max_rate: 5,
                min_permille: 20,
                min_domains: 3,
                reserved: [0; 8],
            };
            packer.push(&Threshold { head, kind }).unwrap();
        }
        let len = packer.len();
        let head = PolicyHead {
            version: 1,
            guard_nodes: 0,
            guard_window_ms: 0,
            guard_permille: 0,
            guard_last: 0,
            brake_domains: 0,
            brake_deaths: 0,
            brake_permille: 0,
            thresholds: 2,
            brake_window_ms: 0,
            brake_calm_ms: 0,
            rules: 0,
            reserved: [0; 10],
        };
        let policies = Policies::of_frame(&Frame { head, parts: &parts[..len] });
        let disk = policies.of(EventKind::named("disk"));
        assert_eq!((disk.min_distinct, disk.window_ns), (7, 4 * SECOND));
        assert_eq!((disk.min_fraction_permille, disk.min_domains, disk.max_rate), (20, 3, 5));
        assert_eq!(policies.of(EventKind::SERVICE).min_distinct, 2);
    }

    #[test]
    fn no_more_domains_are_asked_for_than_there_are() {
        let policy = Policy { min_domains: 2, ..Policy::default() };
        let one = Support { distinct: 1, domains: 1, population: 9, population_domains: 1 };
        assert!(policy.is_met(&one));
    }
}
