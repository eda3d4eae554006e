//! The systems that are measured beside each other: one table, one line protocol.

use super::debian;
use super::options::Case;
use crate::host;
use std::path::PathBuf;
use std::process::Command;

/// A system in its best configuration on this kind of machine.
#[derive(Debug)]
pub(super) struct System {
    pub(super) name: &'static str,
    pub(super) config: &'static str,
    /// The crate that brings it, whose version is shown; none when it is the kernel.
    package: Option<&'static str>,
    /// What carries its bytes.
    pub(super) link: &'static str,
    /// How it is had.
    pub(super) source: Source,
    /// Whether the size of its datagrams can be chosen.
    pub(super) has_mtu: bool,
    /// Whether it has streams to many.
    pub(super) has_groups: bool,
    /// Whether each end is pinned to a core of its own.
    pub(super) is_pinned: bool,
}

/// Where a system comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// Ourselves; sealed, or not for the difference; over a stream or with single datagrams.
    Ours { seal: &'static str, is_datagram: bool },
    /// A program of `benches/peers`.
    Peer(Peer),
}

/// How a program of `benches/peers` is had.
#[derive(Debug)]
pub(super) struct Peer {
    program: &'static str,
    /// The feature that builds it.
    feature: Option<&'static str>,
    /// The package of the distribution that it runs.
    package: Option<&'static str>,
    /// What it wants from the machine.
    needs: &'static str,
}

/// All systems; ratios are to the first.
pub(super) const SYSTEMS: &[System] = &[
    System {
        name: "aeron",
        config: "driver in the process, spinning",
        package: Some("rusteron-media-driver"),
        link: "udp loopback",
        source: Source::Peer(Peer {
            program: "peer-aeron",
            feature: Some("aeron"),
            package: None,
            needs: "cmake >= 3.30 (pip install cmake), clang, libclang-dev, uuid-dev",
        }),
        has_mtu: true,
        has_groups: true,
        is_pinned: true,
    },
    System {
        name: "syncom",
        config: "sealed, spinning",
        package: None,
        link: "udp loopback",
        source: Source::Ours { seal: "on", is_datagram: false },
        has_mtu: true,
        has_groups: true,
        is_pinned: true,
    },
    System {
        name: "syncom-off",
        config: "not sealed, spinning",
        package: None,
        link: "udp loopback",
        source: Source::Ours { seal: "off", is_datagram: false },
        has_mtu: true,
        has_groups: true,
        is_pinned: true,
    },
    System {
        name: "syncom-dgram",
        config: "single datagrams, sealed, spinning",
        package: None,
        link: "udp loopback",
        source: Source::Ours { seal: "on", is_datagram: true },
        has_mtu: true,
        has_groups: false,
        is_pinned: true,
    },
    System {
        name: "zeromq",
        config: "push/pull, pair",
        package: Some("zmq"),
        link: "tcp loopback",
        source: Source::Peer(Peer {
            program: "peer-zeromq",
            feature: Some("zeromq"),
            package: None,
            needs: "a C++ compiler, or libzmq3-dev",
        }),
        has_mtu: false,
        has_groups: false,
        // It has a thread for I/O in each process, which would wait for the core of the other.
        is_pinned: false,
    },
    System {
        name: "nats",
        config: "core publish/subscribe through its server",
        package: None,
        link: "tcp loopback",
        source: Source::Peer(Peer {
            program: "peer-nats",
            feature: None,
            package: Some("nats-server"),
            needs: "Debian's nats-server, through `apt-get download` or on the PATH",
        }),
        has_mtu: false,
        has_groups: false,
        // Its server is a third process, with threads of its own.
        is_pinned: false,
    },
    System {
        name: "bare udp",
        config: "segmented, packed, nothing repaired",
        package: None,
        link: "udp loopback",
        source: Source::Peer(Peer {
            program: "peer-udp",
            feature: None,
            package: None,
            needs: "nothing",
        }),
        has_mtu: true,
        has_groups: false,
        is_pinned: true,
    },
];

/// The root of the project.
pub(super) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

impl System {
    /// Whether it takes part in a case: single datagrams are no stream.
    pub(super) const fn knows(&self, case: Case) -> bool {
        !matches!((&self.source, case), (Source::Ours { is_datagram: true, .. }, Case::Stream))
    }

    /// Whether its datagrams are sealed.
    pub(super) const fn seal(&self) -> &'static str {
        match self.source {
            Source::Ours { seal, .. } => seal,
            Source::Peer(_) => "off",
        }
    }

    /// Version of what brings it.
    pub(super) fn version(&self) -> String {
        match &self.source {
            Source::Ours { .. } => return env!("CARGO_PKG_VERSION").into(),
            Source::Peer(Peer { package: Some(package), .. }) => {
                return debian::version(package, &peers());
            }
            Source::Peer(_) => {}
        }
        let lock = include_str!("../../peers/Cargo.lock");
        let version = |package| format!("{package} {}", host::version_in(lock, package));
        self.package.map_or_else(|| "the kernel's".into(), version)
    }

    /// Builds it, unless that has been done.
    ///
    /// # Errors
    /// Why it cannot be had, in one sentence.
    pub(super) fn build(&self) -> Result<(), String> {
        eprintln!("building {} (minutes the first time)", self.name);
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--locked", "--quiet", "--bin", self.program()]);
        cargo.current_dir(ROOT).arg("--target-dir");
        match &self.source {
            Source::Ours { .. } => cargo.arg(target()),
            Source::Peer(Peer { feature, .. }) => cargo
                .arg(peers())
                .args(["--manifest-path", "benches/peers/Cargo.toml"])
                .args(feature.iter().flat_map(|feature| ["--features", feature])),
        };
        let output = cargo.output().map_err(|error| format!("cannot run cargo: {error}"))?;
        if output.status.success() {
            return self.fetch();
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let telling = ["CMake Error", "is required", "error: ", "error["];
        let mut lines = text.lines().map(str::trim);
        let first = telling.iter().find_map(|sign| {
            text.lines()
                .map(str::trim)
                .find(|line| line.contains(sign) && !line.contains("custom build"))
        });
        let reason = first.or_else(|| lines.next_back()).unwrap_or("no reason was given");
        Err(format!("cannot be built here ({reason}); it needs {}", self.needs()))
    }

    /// Brings the package that its program runs, unless it is there.
    fn fetch(&self) -> Result<(), String> {
        let Source::Peer(Peer { package: Some(package), .. }) = self.source else { return Ok(()) };
        debian::bring(package, &peers())
            .map_err(|reason| format!("cannot be had here ({reason}); it needs {}", self.needs()))
    }

    const fn needs(&self) -> &'static str {
        match &self.source {
            Source::Ours { .. } => "nothing but the toolchain",
            Source::Peer(peer) => peer.needs,
        }
    }

    const fn program(&self) -> &'static str {
        match &self.source {
            Source::Ours { .. } => "syncom",
            Source::Peer(peer) => peer.program,
        }
    }

    /// Where its program is. Peers are built beside what else is built, but apart from it.
    pub(super) fn path(&self) -> PathBuf {
        let target = match self.source {
            Source::Ours { .. } => target(),
            Source::Peer(_) => peers(),
        };
        target.join("release").join(self.program())
    }
}

fn peers() -> PathBuf {
    target().join("peers")
}

/// Where everything is built.
pub(super) fn target() -> PathBuf {
    let ours = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    ours.unwrap_or_else(|| PathBuf::from(ROOT).join("target"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_is_locked_to_a_version() {
        for system in SYSTEMS {
            assert!(!system.version().contains("unknown"), "{}", system.name);
        }
    }
}
