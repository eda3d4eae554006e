//! Imports flow one way: every edge between crates is in the table, in manifests and in code.

use super::manifest::dependencies;
use super::rooms::{BASELINES, ROOMS, Room, TEST_ONLY, room_in};
use crate::finding::Finding;
use crate::source::words;
use crate::tree::Tree;

/// Compares manifests and paths in the code with the table of rooms.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        let Some(folder) = path.strip_suffix("/Cargo.toml") else { continue };
        match room_in(folder) {
            Some(room) => manifest(room, path, text, &mut findings),
            None => findings.push(Finding::file(path, "this crate is not in the table of rooms")),
        }
    }
    for (path, source) in tree.sources() {
        let Some(room) = tree.crate_of(path).and_then(room_in) else { continue };
        for (line, code) in source.code() {
            for (_, word) in words(code).filter(|(_, word)| word.starts_with("syncom_")) {
                let name = word.replace('_', "-");
                let is_crate = ROOMS.iter().any(|room| room.name == name);
                if is_crate && name != room.name && !room.house.contains(&name.as_str()) {
                    let text = format!("{} may not import {name}", room.name);
                    findings.push(Finding::at(path, line, text));
                }
            }
        }
    }
    findings
}

fn manifest(room: &Room, path: &str, text: &str, findings: &mut Vec<Finding>) {
    for dependency in dependencies(text) {
        let name = dependency.name.as_str();
        let is_ours = ROOMS.iter().any(|room| room.name == name);
        let refusal = if is_ours {
            (!room.house.contains(&name)).then(|| format!("{} may not import {name}", room.name))
        } else if TEST_ONLY.contains(&name)
            || room.folder.starts_with("benches") && BASELINES.contains(&name)
        {
            None
        } else {
            (!room.others.contains(&name)).then(|| match home_of(name) {
                Some(home) => format!("the one home of {name} is {home}"),
                None => format!("{name} has no home in the table of rooms"),
            })
        };
        findings.extend(refusal.map(|text| Finding::at(path, dependency.line, text)));
    }
}

fn home_of(name: &str) -> Option<&'static str> {
    ROOMS.iter().find(|room| room.others.contains(&name)).map(|room| room.folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::planted(files)).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn edges_of_the_table_pass() {
        let manifest = "[dependencies]\nsyncom-wire = \"1\"\n[dev-dependencies]\nproptest = \"1\"";
        let files = [
            ("agent/Cargo.toml", manifest),
            ("agent/src/lib.rs", "use syncom_wire::Slot; // not syncom_station"),
        ];
        assert_eq!(texts(&files), [""; 0]);
    }

    #[test]
    fn a_role_in_the_manifest_of_a_role_is_found() {
        let files = [("agent/Cargo.toml", "[dependencies]\nsyncom-station.workspace = true")];
        assert_eq!(
            texts(&files),
            ["agent/Cargo.toml:2: syncom-agent may not import syncom-station"]
        );
    }

    #[test]
    fn a_role_in_the_code_of_a_role_is_found_even_in_tests() {
        let files = [
            ("agent/Cargo.toml", ""),
            ("agent/src/lib.rs", "fn a() {}\n#[cfg(test)]\nuse syncom_transponder::Transponder;"),
        ];
        assert_eq!(
            texts(&files),
            ["agent/src/lib.rs:3: syncom-agent may not import syncom-transponder"]
        );
    }

    #[test]
    fn a_foreign_crate_away_from_home_is_found() {
        let files =
            [("station/Cargo.toml", "[dependencies]\nlibc = \"0.2\"\nserde = \"1\"\nrand = \"1\"")];
        assert_eq!(
            texts(&files),
            [
                "station/Cargo.toml:2: the one home of libc is engine",
                "station/Cargo.toml:3: the one home of serde is tools/syncom",
                "station/Cargo.toml:4: rand has no home in the table of rooms",
            ]
        );
    }

    #[test]
    fn a_crate_outside_the_table_is_found() {
        let files = [("extra/Cargo.toml", "")];
        assert_eq!(texts(&files), ["extra/Cargo.toml: this crate is not in the table of rooms"]);
    }
}
