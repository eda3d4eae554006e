//! What a stage found, and what was promised of it.

use core::fmt;

/// One number, and the most that it may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// What it is, its unit last.
    pub name: &'static str,
    /// How much.
    pub value: f64,
    /// The most that is promised, if anything is.
    pub most: Option<f64>,
}

impl Figure {
    /// Whether it is more than was promised.
    #[must_use]
    pub fn is_missed(&self) -> bool {
        self.most.is_some_and(|most| self.value > most)
    }
}

/// What one stage found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The stage's name.
    pub stage: &'static str,
    /// Virtual time that it took, in ms.
    pub virtual_ms: u64,
    /// Datagrams, timers and other things that happened in it.
    pub events: u64,
    /// What was measured.
    pub figures: Vec<Figure>,
    /// Promises of the cluster that were broken in it, as sentences.
    pub violations: Vec<String>,
}

impl Finding {
    /// Whether everything promised was kept.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.violations.is_empty() && !self.figures.iter().any(Figure::is_missed)
    }

    /// The figure with this name.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8}", self.stage)?;
        for figure in &self.figures {
            write!(f, "  {} {:.3}", figure.name, figure.value)?;
            match figure.most {
                Some(most) if figure.is_missed() => write!(f, " (MORE than {most})")?,
                Some(most) => write!(f, " (of {most})")?,
                None => {}
            }
        }
        for violation in &self.violations {
            write!(f, "\n          {violation}")?;
        }
        Ok(())
    }
}

/// The least of `sorted` that so many per cent of it do not exceed; 0 of nothing.
pub(super) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}

/// Counts stay far below what a float holds exactly.
pub(super) fn count(number: impl TryInto<u64>) -> f64 {
    number.try_into().unwrap_or(0) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_samples_themselves() {
        let sorted: Vec<f64> = (1..=200).map(f64::from).collect();
        let ranks = [0, 1, 50, 99, 100].map(|percent| percentile(&sorted, percent));
        assert_eq!(ranks, [1.0, 2.0, 100.0, 198.0, 200.0]);
        assert!(percentile(&[], 99).abs() < f64::EPSILON);
    }

    #[test]
    fn a_promise_is_missed_by_more_than_it_says() {
        let figure = |value, most| Figure { name: "x_ms", value, most };
        assert!(figure(2.0, Some(1.0)).is_missed() && !figure(1.0, Some(1.0)).is_missed());
        assert!(!figure(2.0, None).is_missed());
    }
}
