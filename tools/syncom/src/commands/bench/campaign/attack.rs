//! Strokes as they fall on real processes.
//!
//! Datagrams are dropped by nftables, in the namespace of the campaign alone. Clocks that count from
//! boot belong to a time namespace, which a process enters when it starts; a jump of them while it
//! runs would be a sleep of its host, and is to it what a stop is. The wall clock is the whole
//! machine's, so only what the replica reads of it is stepped, receive timestamps included.

use super::super::replicas::Replicas;
use super::plan::{Blow, Cut, Means, Stroke};
use crate::exit::{Failure, Outcome};
use std::process::{Command, Stdio};
use syncom_engine::clock;
use syncom_seam::SECOND;

/// Our tables in nftables are called this and the replica's number.
const TABLE: &str = "syncom_bench";
/// How far ahead a clock is that does not begin anew, in s: 30 days.
const AHEAD_S: i64 = 30 * 24 * 3_600;

impl Means {
    /// Finds out what this process may do.
    pub(super) fn probe() -> Self {
        let is_root = crate::secret::user() == 0;
        let boot = boot_offset(false);
        Self {
            cuts: is_root && works("unshare", &["--net", "nft", "list", "tables"]),
            resets: is_root && works("unshare", &[&boot[..], &["true".to_owned()]].concat()),
        }
    }

    /// What must be left out, as sentences for a person.
    pub(super) fn left_out(self) -> Vec<String> {
        let cuts = "partitions are LEFT OUT: they need root, unshare and nft";
        let resets = "clocks that begin anew are LEFT OUT: they need root and time namespaces";
        let missing = [(self.cuts, cuts), (self.resets, resets)];
        missing.iter().filter(|(has, _)| !has).map(|(_, words)| (*words).to_owned()).collect()
    }
}

/// Whether a program runs to a good end, whatever it says.
pub(in crate::commands::bench) fn works(
    program: &str,
    arguments: &[impl AsRef<std::ffi::OsStr>],
) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// What `unshare` is told to start a process whose clocks count from just now, or from 30 days ago.
fn boot_offset(is_ahead: bool) -> Vec<String> {
    let up_s = i64::try_from(clock::now().0 / SECOND).unwrap_or(0);
    let offset = if is_ahead { AHEAD_S } else { -(up_s - 1).max(0) }.to_string();
    ["--time", "--boottime", &offset, "--monotonic", &offset].map(str::to_owned).to_vec()
}

/// A stroke begins.
pub(super) fn begin(replicas: &mut Replicas, stroke: &Stroke) -> Outcome {
    match stroke.blow {
        Blow::Kill | Blow::Reset { .. } => {
            replicas.kill(stroke.replica);
            Ok(())
        }
        Blow::Stop => replicas.signal(stroke.replica, "-STOP"),
        Blow::Cut(cut) => sever(replicas, stroke.replica, cut),
        Blow::Step(by_ns) => replicas.step_wall(stroke.replica, by_ns),
    }
}

/// And ends.
pub(super) fn end(replicas: &mut Replicas, stroke: &Stroke) -> Outcome {
    match stroke.blow {
        Blow::Kill => replicas.restart(stroke.replica),
        Blow::Reset { is_ahead } => replicas.restart_in(stroke.replica, boot_offset(is_ahead)),
        Blow::Stop => replicas.signal(stroke.replica, "-CONT"),
        Blow::Cut(_) => nft(&format!("delete table inet {TABLE}{}", stroke.replica)),
        Blow::Step(_) => Ok(()),
    }
}

/// Cuts a replica off from others; clients still reach it.
fn sever(replicas: &Replicas, number: u16, cut: Cut) -> Outcome {
    let port = |number: u16| replicas.place().replicas[usize::from(number) - 1].port();
    let own = port(number);
    let others = (1..=3).filter(|other| match cut {
        Cut::Whole | Cut::Mute | Cut::Deaf => *other != number,
        Cut::Between(one) => *other == one,
    });
    let others: Vec<String> = others.map(|other| port(other).to_string()).collect();
    let others = others.join(", ");
    let out = format!("udp sport {own} udp dport {{ {others} }} drop;");
    let back = format!("udp sport {{ {others} }} udp dport {own} drop;");
    let rules = match cut {
        Cut::Whole | Cut::Between(_) => format!("{out} {back}"),
        Cut::Mute => out,
        Cut::Deaf => back,
    };
    nft(&format!(
        "table inet {TABLE}{number} {{ chain in {{ type filter hook input priority 0; {rules} }}; }}"
    ))
}

/// Has nftables do something in the network that this process is in.
pub(in crate::commands::bench) fn nft(rules: &str) -> Outcome {
    let done = Command::new("nft").arg(rules).output();
    match done {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr);
            Err(Failure::failed(format!("nft refuses: {}", words.lines().next().unwrap_or(""))))
        }
        Err(error) => Err(Failure::failed(format!("cuts need nft: {error}"))),
    }
}
