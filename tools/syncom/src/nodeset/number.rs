//! Numbers in names, with the zeros in front of them; and the shortest way to write many.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// A number as it stands in a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number {
    pub(super) value: u64,
    /// Digits, leading zeros included.
    pub(super) digits: usize,
}

impl Number {
    const DIGITS_MAX: usize = 18;

    /// The number that these ASCII digits write; `None` when there are too many.
    pub(super) fn new(digits: &str) -> Option<Self> {
        let value = digits.parse().ok().filter(|_| digits.len() <= Self::DIGITS_MAX)?;
        Some(Self { value, digits: digits.len() })
    }

    /// Whether zeros stand in front.
    pub(super) fn is_padded(self) -> bool {
        self.digits > natural_digits(self.value)
    }

    /// The width to which a range that begins here is padded; 0 for none.
    pub(super) fn width(self) -> usize {
        if self.is_padded() { self.digits } else { 0 }
    }
}

fn natural_digits(value: u64) -> usize {
    value.checked_ilog10().unwrap_or(0) as usize + 1
}

/// Writes numbers as a list of ranges: `1-3,7` or `08-11`.
///
/// Numbers without zeros in front join a padded range that they continue: after 08 and 09, 10 is
/// written the same with and without padding.
pub(super) fn ranges(numbers: &[Number]) -> String {
    let widths: BTreeSet<usize> =
        numbers.iter().filter(|number| number.is_padded()).map(|number| number.digits).collect();
    let mut classes: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
    for number in numbers {
        let width = widths.range(..=number.digits).next_back().copied().unwrap_or(0);
        classes.entry(width).or_default().insert(number.value);
    }
    let mut text = String::new();
    for (width, values) in classes {
        for (from, to) in runs(&values) {
            let comma = if text.is_empty() { "" } else { "," };
            let written = if from == to {
                write!(text, "{comma}{from:0width$}")
            } else {
                write!(text, "{comma}{from:0width$}-{to:0width$}")
            };
            debug_assert!(written.is_ok(), "a string takes everything");
        }
    }
    text
}

/// Runs of consecutive values as (first, last).
fn runs(values: &BTreeSet<u64>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *value => *last = *value,
            _ => runs.push((*value, *value)),
        }
    }
    runs
}
