//! `peers suspect`: how many nodes that run are declared dead under trouble, ours and Serf's.
//!
//! Ours go first and say of each try what struck them, and for how long; then the same strokes fall on
//! agents of Serf, one profile after the other, on the same machine. A node of ours is dead when that
//! is committed; one of Serf's when any other agent that runs says that it failed. What stood still may
//! be called dead by anybody, and is not counted.

use super::commit::build;
use super::options::pairs;
use super::ours;
use super::serf::{self, Health};
use super::systems::target;
use crate::host;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use syncom_engine::{namespace, pin};
use syncom_seam::MS;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    json: bool,
    /// `stop` or `starve`, as `syncom bench suspect` knows them.
    how: &'static str,
    nodes: usize,
    tries: usize,
    seed: u64,
    /// Already in a network of its own; the program says it to itself.
    inside: bool,
}

impl Options {
    /// Understands what follows `peers suspect`; `None` when it cannot.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        let mut options =
            Self { json: false, how: "stop", nodes: 20, tries: 20, seed: 1, inside: false };
        // The last word, when there.
        let (words, inside) =
            words.strip_suffix(&["--inside"]).map_or((words, false), |words| (words, true));
        options.inside = inside;
        options.json = pairs(words, |flag, value| {
            match (flag, value) {
                ("--how", "stop") => options.how = "stop",
                ("--how", "starve") => options.how = "starve",
                ("--nodes", _) => {
                    options.nodes = value.parse().ok().filter(|n| (8..=100).contains(n))?;
                }
                ("--tries", _) => options.tries = value.parse().ok().filter(|n| *n > 0)?,
                ("--seed", _) => options.seed = value.parse().ok()?,
                _ => return None,
            }
            Some(())
        })?;
        Some(options)
    }
}

/// What struck ours in one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stroke {
    /// These stood still, counted from 0.
    Stop { nodes: Vec<usize>, lasts_ns: u64 },
    /// So many processes of this niceness computed on each core.
    Starve { per_core: usize, nicer: i32, lasts_ns: u64 },
}

impl Stroke {
    /// Out of what `syncom bench suspect` tells: "seed 3: node6, node3 stopped for 2289 ms: …" or
    /// "seed 3: 2 processes per core, niceness -5 for 4000 ms: …".
    fn parse(line: &str) -> Option<Self> {
        let (_, words) = line.split_once("seed ")?.1.split_once(": ")?;
        let (what, rest) = words.split_once(" for ")?;
        let lasts_ns = rest.split_once(" ms: ")?.0.parse::<u64>().ok()? * MS;
        if let Some(names) = what.strip_suffix(" stopped") {
            let number =
                |name: &str| name.strip_prefix("node")?.parse::<usize>().ok()?.checked_sub(1);
            let nodes = names.split(", ").map(number).collect::<Option<_>>()?;
            return Some(Self::Stop { nodes, lasts_ns });
        }
        let (per_core, nicer) = what.split_once(" processes per core, niceness ")?;
        let (per_core, nicer) = (per_core.parse().ok()?, nicer.parse().ok()?);
        Some(Self::Starve { per_core, nicer, lasts_ns })
    }

    pub(super) fn lasts_ns(&self) -> u64 {
        match self {
            Self::Stop { lasts_ns, .. } | Self::Starve { lasts_ns, .. } => *lasts_ns,
        }
    }

    /// Who stands still meanwhile.
    pub(super) fn stopped(&self) -> &[usize] {
        match self {
            Self::Stop { nodes, .. } => nodes,
            Self::Starve { .. } => &[],
        }
    }
}

/// Processes that compute, for a minute at most; gone when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Spinners(Vec<Child>);

impl Spinners {
    /// Those of a stroke, which may be none.
    ///
    /// # Errors
    /// When one cannot be started.
    pub(super) fn of(stroke: &Stroke) -> Result<Self, String> {
        let mut spinners = Self::default();
        if let Stroke::Starve { per_core, nicer, .. } = stroke {
            let cores = pin::cores().map_or(1, |cores| cores.len());
            for _ in 0..per_core * cores {
                let spinner = Command::new("nice")
                    .args(["-n", &nicer.to_string(), "sh", "-c"])
                    .arg("ulimit -t 60; while :; do :; done")
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .map_err(|error| format!("cannot take the cores: {error}"))?;
                spinners.0.push(spinner);
            }
        }
        Ok(spinners)
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        for spinner in &mut self.0 {
            let _ = spinner.kill();
            let _ = spinner.wait();
        }
    }
}

struct Row {
    system: &'static str,
    config: &'static str,
    version: String,
    result: Result<Health, String>,
}

/// Runs the case and prints what came out.
///
/// # Errors
/// When there is no program of ours, or it cannot run. A Serf that cannot be had is a row that says why.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let program = build("syncom", &["--bin", "syncom"], &target())?;
    let serf = serf::program(&target().join("serf"));
    if !options.inside && namespace::is_allowed() {
        let is_done = namespace::run_again("--inside");
        let is_done = is_done.map_err(|error| format!("cannot run in a namespace: {error}"))?;
        return if is_done { Ok(()) } else { Err("see above".into()) };
    }
    eprintln!("syncom, profile default");
    let (health, strokes) = take_ours(&program, options)?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let mut rows = vec![Row { system: "syncom", config: "default", version, result: Ok(health) }];
    for config in ["lan", "local"] {
        eprintln!("serf, profile {config}");
        let result = serf.as_ref().map_err(Clone::clone);
        let result = result.and_then(|serf| serf::suspect(serf, config, options.nodes, &strokes));
        let version = serf.as_ref().map(|serf| serf::version(serf)).unwrap_or_default();
        rows.push(Row { system: "serf", config, version, result });
    }
    print(&rows, options);
    Ok(())
}

/// What ours came to, and what struck them.
fn take_ours(program: &Path, options: &Options) -> Result<(Health, Vec<Stroke>), String> {
    let output = Command::new(program)
        .args(["bench", "suspect", "--json", "--how", options.how])
        .args(["--nodes", &options.nodes.to_string(), "--tries", &options.tries.to_string()])
        .args(["--seed", &options.seed.to_string()])
        .arg("--dir")
        .arg(target())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot be started: {error}"))?;
    let (json, said) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    let strokes: Vec<Stroke> = said.lines().filter_map(Stroke::parse).collect();
    if strokes.len() != options.tries {
        return Err(said.lines().next_back().unwrap_or("it said nothing").into());
    }
    Ok((health(&json, &strokes), strokes))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of some tries are far below 2^53"
)]
fn health(json: &str, strokes: &[Stroke]) -> Health {
    let number = |key| ours::number(json, key) as usize;
    Health {
        tries: number("tries"),
        stopped: strokes.iter().map(|stroke| stroke.stopped().len()).sum(),
        noticed: number("dead_by_rule"),
        false_dead: number("false_dead"),
        healed_max_ms: number("healed_max_ms") as u64,
    }
}

fn print(rows: &[Row], options: &Options) {
    if !options.json {
        println!(
            "{} agents, {} tries of {}: nodes that ran and were declared dead",
            options.nodes, options.tries, options.how
        );
        println!("system   profile    false dead   stopped   of these dead   well after, at most");
    }
    for Row { system, config, version, result } in rows {
        let head = format!(
            "{{\"system\":\"{system}\",\"version\":\"{}\",\"config\":\"{config}\",\
             \"case\":\"suspect\",\"how\":\"{}\",\"nodes\":{}",
            host::quotable(version),
            options.how,
            options.nodes
        );
        match (result, options.json) {
            (Ok(it), false) => println!(
                "{system:<8} {config:<8} {:>12} {:>9} {:>15} {:>18} ms",
                it.false_dead, it.stopped, it.noticed, it.healed_max_ms
            ),
            (Err(why), false) => println!("{system:<8} {config:<8} {why}"),
            (Ok(it), true) => println!(
                "{head},\"tries\":{},\"false_dead\":{},\"stopped\":{},\"stopped_dead\":{},\
                 \"healed_max_ms\":{},\"host\":{}}}",
                it.tries,
                it.false_dead,
                it.stopped,
                it.noticed,
                it.healed_max_ms,
                host::json()
            ),
            (Err(why), true) => println!("{}", host::unavailable(&head, why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_struck_ours_is_read_from_what_they_say() {
        let line = "syncom: seed 54: node6, node3 stopped for 2289 ms: 2 dead by the rules, 0 gray";
        let stroke = Stroke::parse(line).unwrap();
        assert_eq!(stroke, Stroke::Stop { nodes: vec![5, 2], lasts_ns: 2_289 * MS });
        assert_eq!((stroke.stopped(), stroke.lasts_ns()), (&[5, 2][..], 2_289 * MS));
        let line = "syncom: seed 7: 3 processes per core, niceness -10 for 4000 ms: 0 dead by the";
        let stroke = Stroke::parse(line).unwrap();
        assert_eq!(stroke, Stroke::Starve { per_core: 3, nicer: -10, lasts_ns: 4_000 * MS });
        assert!(stroke.stopped().is_empty());
        for other in ["syncom: 20 nodes", "seed 7: sat1 stopped for 5 ms: x", "seed 7: x for y"] {
            assert_eq!(Stroke::parse(other), None, "{other}");
        }
    }

    #[test]
    fn what_ours_came_to_is_read_from_their_result() {
        let json = "{\"dead_by_rule\":3,\"false_dead\":0,\"healed_max_ms\":71,\"tries\":2}";
        let strokes = [Stroke::Stop { nodes: vec![1, 2], lasts_ns: 9 }];
        let found = health(json, &strokes);
        assert_eq!((found.tries, found.stopped, found.noticed), (2, 2, 3));
        assert_eq!((found.false_dead, found.healed_max_ms), (0, 71));
    }

    #[test]
    fn only_blows_that_serf_can_be_dealt_are_understood() {
        let options = Options::parse(&["--how", "starve", "--tries", "5"]).unwrap();
        assert_eq!((options.how, options.tries, options.nodes), ("starve", 5, 20));
        for wrong in [&["--how", "loss"][..], &["--nodes", "7"], &["--tries", "0"]] {
            assert!(Options::parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
