//! `cargo x tidy`: the rules of the house that clippy cannot check, one file per rule.

mod counters;
mod dead;
mod edges;
mod invariants;
mod machine;
mod manifest;
mod protocol;
mod purity;
mod rooms;
mod size;
mod sleep;

use crate::finding::Finding;
use crate::tree::Tree;

/// Runs every check.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let checks: [fn(&Tree) -> Vec<Finding>; 9] = [
        edges::check,
        purity::check,
        size::check,
        dead::check,
        counters::check,
        protocol::check,
        invariants::check,
        sleep::check,
        machine::check,
    ];
    let mut findings: Vec<Finding> = checks.iter().flat_map(|check| check(tree)).collect();
    findings.sort();
    findings.dedup();
    findings
}
