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

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(files: &[(&str, &str)]) -> String {
        let findings = check(&Tree::planted(files));
        findings.iter().map(|finding| format!("{finding}\n")).collect()
    }

    /// Invariant 12: the wire knows nothing of sockets; the engine knows nothing of the protocol.
    #[test]
    fn a_socket_in_the_wire_and_a_role_in_the_engine_are_found() {
        let found = texts(&[
            ("engine/wire/Cargo.toml", ""),
            ("engine/wire/src/lib.rs", "use std::net::UdpSocket;"),
            ("engine/Cargo.toml", "[dependencies]\nsyncom-agent = \"1\""),
            ("engine/src/lib.rs", "use syncom_agent::Agent;"),
        ]);
        assert!(found.contains("engine/wire/src/lib.rs:1: a role never sees `UdpSocket`"));
        assert!(found.contains("engine/wire/src/lib.rs: #![no_std] is missing"));
        assert!(found.contains("engine/Cargo.toml:2: syncom-engine may not import syncom-agent"));
        assert!(found.contains("engine/src/lib.rs:1: syncom-engine may not import syncom-agent"));
    }
}
