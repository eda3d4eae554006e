//! Who may import whom: the table of the house. ARCHITECTURE.md tells the reasons.

/// A crate, where it lives and what it may import.
#[derive(Debug)]
pub(crate) struct Room {
    /// Its folder.
    pub(crate) folder: &'static str,
    /// Its name.
    pub(crate) name: &'static str,
    /// Crates of the house that it may import.
    pub(crate) house: &'static [&'static str],
    /// Crates of others whose one home it is.
    pub(crate) others: &'static [&'static str],
    /// How far it is kept from the operating system.
    pub(crate) purity: Purity,
}

/// How far a crate is kept from the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purity {
    /// `no_std`, no unsafe: no I/O, clock, thread or source of chance can be named at all.
    Bare,
    /// May use the collections of `std`, nothing that touches the system.
    Collections,
    /// Free.
    Free,
}

const WIRE: &str = "syncom-wire";
const SEAM: &str = "syncom-seam";
const GROUP: &str = "syncom-group";
const STREAM: &str = "syncom-stream";
const ENGINE: &str = "syncom-engine";
const AGENT: &str = "syncom-agent";
const TRANSPONDER: &str = "syncom-transponder";
const STATION: &str = "syncom-station";
const STORE: &str = "syncom-store";
const CONSOLE: &str = "syncom-console";
const SIM: &str = "syncom-sim";
const PROGRAM: &str = "syncom";

const ROLE: &[&str] = &[GROUP, STREAM, SEAM, WIRE];
const EVERYTHING: &[&str] =
    &[WIRE, SEAM, GROUP, STREAM, ENGINE, AGENT, TRANSPONDER, STATION, STORE, CONSOLE, SIM];
/// What has a parser.
const FUZZED: &[&str] = &[WIRE, SEAM, STREAM, ENGINE, AGENT, TRANSPONDER, STATION, PROGRAM];

const fn room(
    folder: &'static str,
    name: &'static str,
    house: &'static [&'static str],
    others: &'static [&'static str],
    purity: Purity,
) -> Room {
    Room { folder, name, house, others, purity }
}

/// All crates, in the order in which data flows.
pub(crate) const ROOMS: &[Room] = &[
    room("engine/wire", WIRE, &[], &["zerocopy"], Purity::Bare),
    room("engine/seam", SEAM, &[WIRE], &[], Purity::Bare),
    room("engine/group", GROUP, &[SEAM, WIRE], &[], Purity::Bare),
    room("engine/stream", STREAM, &[SEAM, WIRE], &[], Purity::Bare),
    room(
        "engine",
        ENGINE,
        ROLE,
        &[
            "aegis",
            "aws-lc-rs",
            "bytes",
            "crossbeam",
            "hdrhistogram",
            "hkdf",
            "io-uring",
            "libc",
            "mio",
            "sha2",
            "zeroize",
        ],
        Purity::Free,
    ),
    room("engine/models", "syncom-models", &[], &[], Purity::Free),
    room("agent", AGENT, ROLE, &[], Purity::Bare),
    room("transponder", TRANSPONDER, ROLE, &[], Purity::Bare),
    room("station", STATION, ROLE, &["raft", "slog"], Purity::Collections),
    room("station/store", STORE, &[SEAM, WIRE], &["raft-engine"], Purity::Free),
    room(
        "benches",
        "syncom-benches",
        EVERYTHING,
        &["epaint_default_fonts", "plotters", "png", "rtrb"],
        Purity::Free,
    ),
    room(
        "benches/peers",
        "syncom-peers",
        &[],
        &["h2", "http", "nix", "rusteron-media-driver", "zmq"],
        Purity::Free,
    ),
    room(
        "tools/syncom",
        PROGRAM,
        EVERYTHING,
        &["clap", "clap_complete", "serde", "serde_json", "toml"],
        Purity::Free,
    ),
    room("tools/console", CONSOLE, &[ENGINE, SEAM, WIRE], &["axum", "tokio"], Purity::Free),
    room(
        "tools/sim",
        SIM,
        &[AGENT, TRANSPONDER, STATION, STORE, GROUP, STREAM, SEAM, WIRE],
        &[],
        Purity::Free,
    ),
    room("tools/x", "syncom-x", &[], &[], Purity::Free),
    room("fuzz", "syncom-fuzz", FUZZED, &["libfuzzer-sys"], Purity::Free),
];

/// Crates that only tests use: they have no home.
pub(crate) const TEST_ONLY: &[&str] = &["proptest", "loom"];

/// Crates that the benches measure against, or drive others with, wherever their home is.
pub(crate) const BASELINES: &[&str] = &["bytes", "crossbeam", "tokio"];

/// The room in a folder.
pub(crate) fn room_in(folder: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.folder == folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_foreign_crate_has_one_home() {
        let mut all: Vec<_> = ROOMS.iter().flat_map(|room| room.others).collect();
        let homes = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), homes);
    }

    #[test]
    fn no_role_may_import_a_role_or_the_engine() {
        for role in [AGENT, TRANSPONDER, STATION] {
            let room = ROOMS.iter().find(|room| room.name == role);
            assert_eq!(room.map(|room| room.house), Some(ROLE));
        }
    }

    #[test]
    fn the_simulator_never_sees_the_engine() {
        assert!(room_in("tools/sim").is_some_and(|room| !room.house.contains(&ENGINE)));
    }
}
