//! Disks that tear, fill up, fail, forget and lie, and replicas that die at every point of a write.
//!
//! `SYNCOM_SEEDS` sets how many seeds; the default keeps the test short.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use syncom_sim::persist::PersistPoint;
use syncom_sim::{Options, Outcome, Scenario, run};

fn outcomes(scenario: &str, replicas: usize, seeds: u64) -> impl Iterator<Item = Outcome> {
    let scenario = scenario.to_owned();
    let small = Options { nodes: 8, satellites: 1, fault_ms: 15_000, ..Options::default() };
    let options = Options { replicas, scenario, ..small };
    (1..=seeds).map(move |seed| run(seed, &options).unwrap())
}

/// Invariants 3, 10, 11, 14: what was acknowledged is there, what rotted is refused, nobody is of another mind,
/// and one manages. Of five replicas two may be lost for good.
#[test]
fn replicas_die_at_every_point_of_a_write_and_every_promise_is_kept() {
    let seeds = std::env::var("SYNCOM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    let mut points = [0; PersistPoint::ALL.len()];
    let (mut failures, mut refused, mut compared) = (0, 0, 0);
    let mut broken = Vec::new();
    for outcome in outcomes("disks", 3, seeds).chain(outcomes("disks", 5, seeds / 4)) {
        if !outcome.violations.is_empty() {
            broken.push((outcome.seed, outcome.violations));
        }
        for (sum, count) in points.iter_mut().zip(outcome.faults.points) {
            *sum += count;
        }
        failures += outcome.faults.disk_failures;
        refused += outcome.faults.refused;
        compared += outcome.compared;
    }
    for (point, count) in PersistPoint::ALL.iter().zip(points) {
        println!("{point}: {count}");
    }
    println!("{seeds} seeds: {failures} failures, {refused} refused, {compared} states compared");
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(points.iter().filter(|count| **count > 0).count() >= 14, "{points:?}");
    assert!(failures > seeds / 4 && refused > seeds / 8 && compared > seeds * 10);
}

/// A harness that finds nothing when every disk forgets what it has acknowledged would prove nothing.
#[test]
fn disks_that_do_not_flush_are_found_out() {
    let (mut forgotten, mut lost) = (0, 0);
    for outcome in outcomes(Scenario::UNSYNCED, 3, 6) {
        let has = |word: &str| outcome.violations.iter().any(|text| text.contains(word));
        forgotten += u32::from(has("forgot"));
        lost += u32::from(has("was acknowledged, station"));
    }
    println!("of 6 runs {forgotten} forgot what was flushed, {lost} lost what was acknowledged");
    assert!(forgotten >= 5 && lost >= 3, "{forgotten} and {lost} of 6");
}
