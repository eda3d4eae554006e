//! `peers downlink`: one order to a thousand targets on this machine, ours beside pdsh and clush.
//!
//! The peers start a process for each target, `true`, by their local exec worker, so nothing crosses a
//! network. Ours are two rows: an order that asks every agent for a sealed receipt and nothing else, and
//! one that has every agent run `true` as well. A turn of ours is what the client waits for, of a
//! cluster that runs; a turn of theirs is a run of their program, which keeps nothing running.

use super::commit::build;
use super::options::pairs;
use super::ours;
use super::systems::target;
use crate::host;
use std::path::Path;
use std::process::{Command, Stdio};
use syncom_engine::clock;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    json: bool,
    nodes: usize,
    rounds: usize,
}

impl Options {
    /// Understands what follows `peers downlink`; `None` when it cannot.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        let mut options = Self { json: false, nodes: 1_000, rounds: 5 };
        options.json = pairs(words, |flag, value| {
            match flag {
                "--nodes" => {
                    options.nodes = value.parse().ok().filter(|n| (1..=10_000).contains(n))?;
                }
                "--rounds" => options.rounds = value.parse().ok().filter(|n| *n > 0)?,
                _ => return None,
            }
            Some(())
        })?;
        Some(options)
    }
}

/// What takes turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    /// Ours, with a command for each destination or without.
    Ours(Option<&'static str>),
    /// A program and what is said to it before the targets.
    Peer(&'static str, &'static [&'static str]),
}

struct Row {
    system: System,
    config: &'static str,
    version: String,
    took_ms: Vec<f64>,
    /// Why there is nothing more to show.
    unavailable: Option<String>,
}

const SYSTEMS: [(System, &str); 5] = [
    (System::Ours(None), "receipts"),
    (System::Ours(Some("true")), "true"),
    (System::Peer("pdsh", &["-R", "exec"]), "exec, fan-out 32"),
    (System::Peer("pdsh", &["-R", "exec", "-f", "256"]), "exec, fan-out 256"),
    (System::Peer("clush", &["-R", "exec"]), "exec, fan-out 64"),
];

/// Runs the case and prints what came out.
///
/// # Errors
/// When there is no program of ours. A peer that this machine has not is a row that says so.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let program = build("syncom", &["--bin", "syncom"], &target())?;
    let mut rows = SYSTEMS.map(|(system, config)| {
        let version = version(system);
        let unavailable = version.as_ref().err().cloned();
        let version = version.unwrap_or_default();
        Row { system, config, version, took_ms: Vec::new(), unavailable }
    });
    for round in 1..=options.rounds {
        for row in rows.iter_mut().filter(|row| row.unavailable.is_none()) {
            eprintln!("round {round} of {}: {:?}", options.rounds, row.system);
            match take(&program, row.system, options.nodes) {
                Ok(ms) => row.took_ms.push(ms),
                Err(why) => row.unavailable = Some(why),
            }
        }
    }
    print(&rows, options);
    Ok(())
}

/// One turn, in ms.
fn take(program: &Path, system: System, nodes: usize) -> Result<f64, String> {
    match system {
        System::Ours(command) => take_ours(program, command, nodes),
        System::Peer(name, options) => {
            let mut run = Command::new(name);
            run.args(options).args(["-w", &format!("t[1-{nodes}]")]);
            // clush takes what follows for its own options otherwise.
            run.args((name == "clush").then_some("--")).arg("true");
            run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            let began = clock::now();
            let output = run.output().map_err(|error| format!("{name}: {error}"))?;
            let took_ms = clock::now().since(began) as f64 / 1e6;
            if output.status.success() {
                return Ok(took_ms);
            }
            let text = String::from_utf8_lossy(&output.stderr);
            Err(format!("{name}: {}", text.lines().next_back().unwrap_or("it failed")))
        }
    }
}

fn take_ours(program: &Path, command: Option<&str>, nodes: usize) -> Result<f64, String> {
    let mut run = Command::new(program);
    run.args(["bench", "downlink", "--json", "--turns", "3", "--nodes", &nodes.to_string()]);
    if let Some(command) = command {
        run.args(["--command", command]);
    }
    run.arg("--dir").arg(target()).stdin(Stdio::null());
    let output = run.output().map_err(|error| format!("cannot be started: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(text.lines().next_back().unwrap_or("it said nothing").into());
    }
    Ok(ours::number(&String::from_utf8_lossy(&output.stdout), "total_ms"))
}

/// What a system calls its version.
fn version(system: System) -> Result<String, String> {
    let System::Peer(name, _) = system else { return Ok(env!("CARGO_PKG_VERSION").into()) };
    let flag = if name == "pdsh" { "-V" } else { "--version" };
    let output = Command::new(name).arg(flag).stdin(Stdio::null()).output();
    let output = output.map_err(|error| {
        let package = if name == "pdsh" { "pdsh" } else { "clustershell" };
        format!("{name} is not here ({error}); type: apt-get install {package}")
    })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().next().unwrap_or("unknown").trim().to_owned())
}

/// Least, median and most.
fn spread(took_ms: &[f64]) -> [f64; 3] {
    let mut sorted = took_ms.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |rank: usize| sorted.get(rank).copied().unwrap_or(f64::NAN);
    [at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1))]
}

fn print(rows: &[Row], options: &Options) {
    let [_, ours, _] = rows.first().map_or([f64::NAN; 3], |row| spread(&row.took_ms));
    if !options.json {
        println!(
            "{} targets on this machine, median of {} turns; times as long as ours",
            options.nodes, options.rounds
        );
    }
    for row in rows {
        let name = match row.system {
            System::Ours(_) => "syncom",
            System::Peer(name, _) => name,
        };
        let head = format!(
            "{{\"system\":\"{name}\",\"version\":\"{}\",\"config\":\"{}\",\"case\":\"downlink\",\
             \"size_b\":0,\"nodes\":{}",
            host::quotable(&row.version),
            row.config,
            options.nodes
        );
        let [least, median, most] = spread(&row.took_ms);
        match (&row.unavailable, options.json) {
            (None, false) => println!(
                "{name:<8} {:<18} {median:>9.1} ms  {least:>8.1}-{most:<8.1} {:>7.1}",
                row.config,
                median / ours
            ),
            (Some(why), false) => println!("{name:<8} {:<18} {why}", row.config),
            (None, true) => println!(
                "{head},\"total_ms\":{median:.3},\"total_ms_least\":{least:.3},\
                 \"total_ms_most\":{most:.3},\"rounds\":{},\"times_ours\":{:.3},\"host\":{}}}",
                row.took_ms.len(),
                median / ours,
                host::json()
            ),
            (Some(why), true) => println!("{}", host::unavailable(&head, why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_in_any_order_and_nonsense_is_refused() {
        let options = Options::parse(&["--rounds", "7", "--json", "--nodes", "20"]).unwrap();
        assert_eq!((options.rounds, options.json, options.nodes), (7, true, 20));
        for wrong in [&["--nodes", "0"][..], &["--rounds", "0"], &["--only", "x"], &["--nodes"]] {
            assert!(Options::parse(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_not_here_is_a_row_that_says_how_to_get_it() {
        let why = version(System::Peer("no-such-program", &[])).unwrap_err();
        assert!(why.contains("not here") && why.contains("apt-get install"), "{why}");
    }

    #[test]
    fn the_middle_turn_counts() {
        assert!(
            spread(&[3.0, 1.0, 2.0]).iter().zip([1.0, 2.0, 3.0]).all(|(a, b)| (a - b).abs() < 1e-9)
        );
    }
}
