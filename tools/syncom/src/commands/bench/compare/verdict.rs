//! What the difference of two figures means.

use super::measurement::Figure;
use serde_json::{Map, Value, json};
use std::fmt;

/// A figure may always be so far off, whatever its repeats say: two runs of one program differ by
/// where it lies in memory.
const PLACEMENT: f64 = 0.02;

/// What a difference means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Better,
    Worse,
    /// Within the noise.
    Same,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Same => "same",
        }
    }
}

/// One figure, before and after.
#[derive(Debug)]
pub(super) struct Change {
    /// What tells its measurement from others.
    pub(super) title: String,
    key: String,
    before: Figure,
    after: Figure,
    pub(super) verdict: Verdict,
}

impl Change {
    /// Judges a figure; `None` for a key of which neither more nor less is better.
    pub(super) fn of(title: &str, key: &str, before: Figure, after: Figure) -> Option<Self> {
        let more_is_better = more_is_better(key)?;
        let (was, is) = (widened(before), widened(after));
        let verdict = match (is.least > was.most, is.most < was.least) {
            (true, _) if more_is_better => Verdict::Better,
            (true, _) => Verdict::Worse,
            (_, true) if more_is_better => Verdict::Worse,
            (_, true) => Verdict::Better,
            (false, false) => Verdict::Same,
        };
        Some(Self { title: title.into(), key: key.into(), before, after, verdict })
    }

    /// The share by which the figure changed; `None` when there was nothing before.
    fn share(&self) -> Option<f64> {
        let was = self.before.median;
        (was != 0.0).then(|| (self.after.median - was) / was)
    }

    pub(super) fn to_json(&self) -> Map<String, Value> {
        let spread = |figure: Figure| json!([figure.least, figure.most]);
        let pairs = [
            ("measurement", json!(self.title)),
            ("key", json!(self.key)),
            ("before", json!(self.before.median)),
            ("after", json!(self.after.median)),
            ("noise_before", spread(self.before)),
            ("noise_after", spread(self.after)),
            ("change", json!(self.share())),
            ("verdict", json!(self.verdict.name())),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noise = |figure: Figure| format!("{}..{}", short(figure.least), short(figure.most));
        let share = self.share().map_or_else(String::new, |share| format!("{:+.1} %", share * 1e2));
        write!(
            f,
            "  {:<22} {:>9} ({:<15}) -> {:>9} ({:<15}) {share:>9}  {}",
            self.key,
            short(self.before.median),
            noise(self.before),
            short(self.after.median),
            noise(self.after),
            self.verdict.name()
        )
    }
}

/// Whether more is better; `None` when the key says nothing of that kind. The longest of all times
/// is a single event, and bytes only say again what messages of one size say.
fn more_is_better(key: &str) -> Option<bool> {
    let ends = |words: &[&str]| words.iter().any(|word| key.ends_with(word));
    if matches!(key, "max_ns" | "bytes_per_s") || ends(&["_least", "_most"]) {
        return None;
    }
    if ends(&["_per_s"]) {
        return Some(true);
    }
    let is_cost = ends(&["_ns", "_us", "_ms", "_per_op", "_per_msg"])
        || key.starts_with("cpu_ns_per_op")
        || matches!(key, "lost" | "missing" | "wrong" | "executed_twice" | "double_commits");
    is_cost.then_some(false)
}

fn widened(figure: Figure) -> Figure {
    let by = figure.median.abs() * PLACEMENT;
    let least = figure.least.min(figure.median - by);
    Figure { least, most: figure.most.max(figure.median + by), ..figure }
}

/// Three digits and a unit.
fn short(number: f64) -> String {
    let (scaled, unit) = match number.abs() {
        n if n >= 1e9 => (number / 1e9, " G"),
        n if n >= 1e6 => (number / 1e6, " M"),
        n if n >= 1e4 => (number / 1e3, " k"),
        _ => (number, ""),
    };
    let digits = match scaled.abs() {
        n if n >= 100.0 => 0,
        n if n >= 10.0 => 1,
        _ => 2,
    };
    format!("{scaled:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(key: &str, before: f64, after: f64) -> Option<Verdict> {
        let figure = |median| Figure { least: median, median, most: median };
        Change::of("x", key, figure(before), figure(after)).map(|change| change.verdict)
    }

    #[test]
    fn rates_rise_and_costs_fall_when_it_gets_better() {
        assert_eq!(verdict("msgs_per_s", 100.0, 120.0), Some(Verdict::Better));
        assert_eq!(verdict("msgs_per_s", 120.0, 100.0), Some(Verdict::Worse));
        assert_eq!(verdict("p99_ns", 100.0, 120.0), Some(Verdict::Worse));
        assert_eq!(verdict("cpu_ns_per_op_sender", 120.0, 100.0), Some(Verdict::Better));
        assert_eq!(verdict("lost", 0.0, 1.0), Some(Verdict::Worse));
        assert_eq!(verdict("seconds", 1.0, 2.0), None);
        assert_eq!(verdict("max_ns", 1.0, 2.0), None);
    }

    #[test]
    fn what_memory_layout_does_is_no_change() {
        assert_eq!(verdict("ops_per_s", 100.0, 103.0), Some(Verdict::Same));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, 40.43, 9_999.0].map(short), ["0.00", "40.4", "9999"]);
        assert_eq!([12_345.0, 40_432_566.0].map(short), ["12.3 k", "40.4 M"]);
    }
}
