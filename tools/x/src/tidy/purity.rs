//! Roles touch nothing: no socket, clock, thread or source of chance is named in their rooms.
//!
//! `#![no_std]` makes the compiler prove it for the product; this check insists on the attribute
//! and looks at what the compiler does not: test code, the station, and back doors to `std`.

use super::rooms::{Purity, room_in};
use crate::finding::Finding;
use crate::source::{Source, words};
use crate::tree::Tree;

/// Modules of `std` that touch the system.
const SYSTEM: &[&str] = &["env", "fs", "net", "os", "process", "thread", "time"];
/// Types that touch the system, however they were imported.
const TYPES: &[&str] =
    &["Instant", "SystemTime", "TcpListener", "TcpStream", "UdpSocket", "UnixStream"];

/// Looks at every source of a pure room.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, source) in tree.sources() {
        let Some(folder) = tree.crate_of(path) else { continue };
        let Some(room) = room_in(folder).filter(|room| room.purity != Purity::Free) else {
            continue;
        };
        let Some(file) = path.strip_prefix(&format!("{folder}/src/")) else { continue };
        if file == "lib.rs" {
            attributes(path, source, room.purity, &mut findings);
        }
        for (line, code) in source.code() {
            let mut report = |text: String| findings.push(Finding::at(path, line, text));
            let names_std = words(code).any(|(_, word)| word == "std");
            if room.purity == Purity::Bare && !source.is_test(line) && names_std {
                report("this room does without the standard library".into());
            }
            for (before, word) in words(code) {
                let path_of_std = is_in_std(before) && SYSTEM.contains(&word);
                if path_of_std || TYPES.contains(&word) {
                    report(format!("a role never sees `{word}`: it comes through the seam"));
                }
            }
        }
    }
    findings
}

fn attributes(path: &str, source: &Source, purity: Purity, findings: &mut Vec<Finding>) {
    let wanted: &[&str] = match purity {
        Purity::Bare => &["#![no_std]", "#![forbid(unsafe_code)]"],
        Purity::Collections => &["#![forbid(unsafe_code)]"],
        Purity::Free => &[],
    };
    for attribute in wanted {
        if !source.code().any(|(_, code)| code.trim() == *attribute) {
            findings.push(Finding::file(path, format!("{attribute} is missing")));
        }
    }
}

/// Whether the next word is a module of `std`: after `std::`, or in the braces of `use std::{…}`.
fn is_in_std(before: &str) -> bool {
    if before.ends_with("std::") {
        return true;
    }
    before.rsplit_once("std::{").is_some_and(|(_, inside)| {
        let depth = inside.matches('{').count().checked_sub(inside.matches('}').count());
        depth == Some(0) && !inside.trim_end().ends_with("::")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PURE: &str = "#![no_std]\n#![forbid(unsafe_code)]\n";

    fn texts(folder: &str, code: &str) -> Vec<String> {
        let manifest = format!("{folder}/Cargo.toml");
        let lib = format!("{folder}/src/lib.rs");
        let tree = Tree::planted(&[(&manifest, ""), (&lib, code)]);
        check(&tree).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn a_pure_role_passes() {
        let code = format!(
            "{PURE}use core::time::Duration; // std::time\n#[cfg(test)]\nextern crate std;"
        );
        assert_eq!(texts("agent", &code), [""; 0]);
    }

    #[test]
    fn a_role_that_names_the_clock_is_found() {
        let found = texts("agent", &format!("{PURE}use std::time::Instant;"));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].ends_with("this room does without the standard library"));
        assert!(found[1].contains("`time`") && found[2].contains("`Instant`"));
    }

    #[test]
    fn a_socket_in_the_tests_of_a_role_is_found() {
        let code = format!("{PURE}#[cfg(test)]\nmod tests {{ use std::net::UdpSocket; }}");
        assert_eq!(texts("transponder", &code).len(), 2);
    }

    #[test]
    fn the_station_may_use_collections_and_nothing_else() {
        let pure = "#![forbid(unsafe_code)]\nuse std::collections::BTreeMap;\n";
        assert_eq!(texts("station", pure), [""; 0]);
        let braces = format!("{pure}use std::{{collections::BTreeSet, thread}};");
        let found = texts("station", &braces);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("`thread`"));
    }

    #[test]
    fn a_missing_attribute_is_found() {
        assert_eq!(texts("engine/group", "").len(), 2);
        assert_eq!(texts("station", "").len(), 1);
    }

    #[test]
    fn the_engine_is_free() {
        assert_eq!(texts("engine", "use std::net::UdpSocket;"), [""; 0]);
    }
}
