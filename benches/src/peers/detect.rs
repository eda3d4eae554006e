//! `peers detect`: how soon killed agents are known to be dead, ours and Serf's, in one run, and what
//! knowing it costs.
//!
//! All run as processes on a loopback of their own, so that what goes through it is theirs. Ours are
//! known dead when the committed event is read by a client, Serf's when the first and the last of its
//! other agents say so. What an agent costs is measured while nothing happens: bytes and packets with
//! all headers, processor and memory. Ours are sealed, Serf's are not, as it is by default.

use super::commit::build;
use super::options::pairs;
use super::ours;
use super::serf;
use super::systems::target;
use crate::host;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use syncom_engine::namespace;
use syncom_group::BUDGET_MIN;
use syncom_seam::SECOND;

/// Clock ticks per second in `/proc/*/stat`: 100 on every Linux that Rust supports.
const TICKS_PER_S: f64 = 100.0;
/// Bytes of a page in `/proc/*/statm`.
const PAGE: f64 = 4_096.0;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    json: bool,
    out: Option<String>,
    only: Option<String>,
    nodes: usize,
    kills: usize,
    /// Already in a network of its own; the program says it to itself.
    inside: bool,
}

impl Options {
    /// Understands what follows `peers detect`; `None` when it cannot.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        let mut options =
            Self { json: false, out: None, only: None, nodes: 50, kills: 6, inside: false };
        // The last word, when there.
        let (words, inside) =
            words.strip_suffix(&["--inside"]).map_or((words, false), |words| (words, true));
        options.inside = inside;
        options.json = pairs(words, |flag, value| {
            match flag {
                "--out" => options.out = Some(value.into()),
                "--only" => options.only = Some(value.into()),
                "--nodes" => {
                    options.nodes = value.parse().ok().filter(|n| (3..=200).contains(n))?;
                }
                "--kills" => options.kills = value.parse().ok().filter(|n| *n > 0)?,
                _ => return None,
            }
            Some(())
        })?;
        (options.kills * 2 <= options.nodes).then_some(options)
    }
}

/// How long costs are measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meter {
    pub(super) span_ns: u64,
}

/// Long enough for a third of Serf's full exchanges of state.
const METER: Meter = Meter { span_ns: 10 * SECOND };

/// What some processes have cost so far; or, of a while, per process and second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Costs {
    at_ns: f64,
    /// Through the loopback, headers included.
    bytes: f64,
    packets: f64,
    /// CPU seconds; of a while, per cent of a core.
    cpu: f64,
    rss_bytes: f64,
}

impl Costs {
    /// What these processes have cost so far.
    ///
    /// # Errors
    /// When the system does not count.
    pub(super) fn now(pids: &[u32]) -> Result<Self, String> {
        let text = fs::read_to_string("/proc/net/dev").unwrap_or_default();
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix("lo:"));
        let mut numbers = line.unwrap_or_default().split_whitespace().map(str::parse::<f64>);
        let (Some(Ok(bytes)), Some(Ok(packets))) = (numbers.next(), numbers.next()) else {
            return Err("the system does not count what goes through its loopback".into());
        };
        let (cpu, rss_bytes) = pids
            .iter()
            .filter_map(|pid| usage(*pid))
            .fold((0.0, 0.0), |(cpu, rss), (more_cpu, more_rss)| (cpu + more_cpu, rss + more_rss));
        let at_ns = syncom_engine::clock::now().0 as f64;
        Ok(Self { at_ns, bytes, packets, cpu, rss_bytes })
    }

    /// Per process and second since `before`.
    pub(super) fn since(&self, before: &Self, nodes: usize) -> Self {
        let seconds = (self.at_ns - before.at_ns) / SECOND as f64;
        let per = seconds * nodes as f64;
        Self {
            at_ns: self.at_ns,
            bytes: (self.bytes - before.bytes) / per,
            packets: (self.packets - before.packets) / per,
            cpu: 100.0 * (self.cpu - before.cpu) / per,
            rss_bytes: self.rss_bytes / nodes as f64,
        }
    }
}

/// CPU seconds and resident bytes of a process.
fn usage(pid: u32) -> Option<(f64, f64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command may contain anything; what follows its last parenthesis is numbers.
    let numbers: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks = |at: usize| numbers.get(at)?.parse::<f64>().ok();
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: f64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(((ticks(11)? + ticks(12)?) / TICKS_PER_S, pages * PAGE))
}

/// What a system showed.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// From each kill until somebody knew; empty where nobody does before all do.
    pub(super) first_ns: Vec<u64>,
    /// From each kill until it was committed, or known to all.
    pub(super) known_ns: Vec<u64>,
    /// How many died that nobody had killed.
    pub(super) false_dead: usize,
    pub(super) idle: Costs,
}

/// Value at this part of the samples, by nearest rank, in ms.
fn rank_ms(samples: &[u64], percent: usize) -> f64 {
    let mut samples = samples.to_vec();
    samples.sort_unstable();
    let at = (samples.len() * percent).div_ceil(100).saturating_sub(1);
    samples.get(at).copied().unwrap_or(0) as f64 / 1e6
}

/// A system in a configuration.
#[derive(Clone, Copy, Debug)]
struct Contender {
    system: &'static str,
    /// Serf's profile, or ours and what dies.
    profile: &'static str,
    how: &'static str,
    /// Serf's profile whose bytes ours may cost.
    dear_as: Option<&'static str>,
    config: &'static str,
}

/// Serf lets its probes be tuned by profile only, of which "local" is the fastest.
const CONTENDERS: [Contender; 8] = [
    contender("serf", "lan", "", "profile lan (default), not encrypted"),
    contender("serf", "local", "", "profile local, its fastest, not encrypted"),
    Contender {
        dear_as: Some("lan"),
        ..contender("syncom", "quiet", "crash", "no more bytes than Serf's profile lan, sealed")
    },
    Contender {
        dear_as: Some("local"),
        ..contender("syncom", "quiet", "crash", "no more bytes than Serf's profile local, sealed")
    },
    contender("syncom", "quiet", "crash", "profile quiet, sealed"),
    contender("syncom", "default", "crash", "profile default, sealed"),
    contender("syncom", "fast", "crash", "profile fast, sealed"),
    contender("syncom", "default", "gone", "profile default, sealed, ICMP heard"),
];

const fn contender(
    system: &'static str,
    profile: &'static str,
    how: &'static str,
    config: &'static str,
) -> Contender {
    Contender { system, profile, how, dear_as: None, config }
}

struct Row {
    contender: Contender,
    version: String,
    result: Result<Figures, String>,
}

/// Runs the case and prints what came out.
///
/// # Errors
/// When results cannot be written. A system that cannot be had is a row that says why.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let ours = build("syncom", &["--bin", "syncom"], &target());
    let serf = serf::program(&target().join("serf"));
    if !options.inside && namespace::is_allowed() {
        let is_done = namespace::run_again("--inside");
        let is_done = is_done.map_err(|error| format!("cannot run in a namespace: {error}"))?;
        return if is_done { Ok(()) } else { Err("see above".into()) };
    }
    let wanted = |one: &Contender| {
        let only = options.only.as_deref();
        only.is_none_or(|only| {
            let dear = one.dear_as.is_some();
            only.split(',').any(|name| {
                name == one.system || name == one.profile && !dear || name == "lean" && dear
            })
        })
    };
    let mut rows: Vec<Row> = Vec::new();
    for contender in CONTENDERS.into_iter().filter(wanted) {
        eprintln!("{}, {}", contender.system, contender.config);
        let (result, version) = match (contender.system, &serf, &ours) {
            ("serf", Ok(serf), _) => {
                let Options { nodes, kills, .. } = *options;
                (serf::measure(serf, contender.profile, nodes, kills, METER), serf::version(serf))
            }
            ("syncom", _, Ok(program)) => {
                let result = match contender.dear_as.map(|profile| (profile, base(&rows, profile)))
                {
                    None => take_ours(program, contender, None, options),
                    Some((_, Some(serf))) => {
                        take_within(program, contender, serf.idle.bytes, options)
                    }
                    Some((profile, None)) => {
                        Err(format!("what Serf's profile {profile} costs is not known"))
                    }
                };
                (result, env!("CARGO_PKG_VERSION").into())
            }
            ("serf", Err(why), _) | (_, _, Err(why)) => (Err(why.clone()), String::new()),
            _ => continue,
        };
        rows.push(Row { contender, version, result });
    }
    let lines: Vec<String> = rows.iter().map(|row| object(row, &rows, options)).collect();
    if options.json {
        lines.iter().for_each(|line| println!("{line}"));
    } else {
        print(&rows, options);
    }
    options.out.as_deref().map_or(Ok(()), |folder| keep(folder, &lines))
}

/// Turns in which a budget is found.
const TURNS: usize = 4;
/// Of the bytes that are left to agents, the part that a budget aims at.
const AIM: f64 = 0.95;
/// Of a budget, the part that a loopback shows: it is kept on networks that put more around a datagram.
const SHOWN: f64 = 0.75;

/// Ours with a budget that lets it cost no more than `bytes` per agent and second, all in: what replicas
/// and satellites say goes on the same account, and no budget bounds it. A turn with a single death
/// shows how much that is.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some hundred bytes")]
fn take_within(
    program: &Path,
    one: Contender,
    bytes: f64,
    options: &Options,
) -> Result<Figures, String> {
    let least = BUDGET_MIN as f64;
    let mut budget = least.max(bytes / 2.0);
    let mut kills = 1;
    for _ in 0..TURNS {
        let turn = Options { kills, ..options.clone() };
        let figures = take_ours(program, one, Some(budget as u64), &turn)?;
        let cost = figures.idle.bytes;
        eprintln!("a budget of {budget:.0} B/s: {cost:.0} of {bytes:.0} B/s");
        if kills == options.kills && cost <= bytes {
            return Ok(figures);
        }
        if budget <= least && cost > bytes {
            return Err(format!(
                "{cost:.0} B/s per agent with the least budget, and Serf takes {bytes:.0}: more agents \
                 would share what satellites and replicas cost"
            ));
        }
        budget = (budget + (AIM * bytes - cost) / SHOWN).max(least);
        kills = options.kills;
    }
    Err(format!("no budget was found that costs {bytes:.0} B/s"))
}

/// What came out for a profile of Serf's.
fn base<'a>(rows: &'a [Row], profile: &str) -> Option<&'a Figures> {
    let is_it = |row: &&Row| row.contender.system == "serf" && row.contender.profile == profile;
    rows.iter().find(is_it)?.result.as_ref().ok()
}

fn take_ours(
    program: &Path,
    one: Contender,
    budget: Option<u64>,
    options: &Options,
) -> Result<Figures, String> {
    let mut command = Command::new(program);
    command.args(["bench", "detect"]);
    if let Some(budget) = budget {
        command.args(["--heartbeat-budget", &budget.to_string()]);
    }
    let output = command
        .args(["--json", "--profile", one.profile, "--how", one.how])
        .args(["--nodes", &options.nodes.to_string(), "--kills", &options.kills.to_string()])
        .arg("--dir")
        .arg(target())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot be started: {error}"))?;
    let json = String::from_utf8_lossy(&output.stdout);
    if json.is_empty() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(text.lines().next_back().unwrap_or("it said nothing").into());
    }
    Ok(figures(&json))
}

/// Reads what `syncom bench detect` tells.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and times of a turn are far below 2^53"
)]
fn figures(json: &str) -> Figures {
    let number = |key| ours::number(json, key);
    let list = json.split_once("\"samples_ms\":[").map_or("", |(_, rest)| rest);
    let samples = list.split(']').next().unwrap_or_default().split(',');
    Figures {
        first_ns: Vec::new(),
        known_ns: samples
            .filter_map(|text| text.trim().parse::<f64>().ok())
            .map(|ms| (ms * 1e6) as u64)
            .collect(),
        false_dead: number("false_dead") as usize,
        idle: Costs {
            at_ns: 0.0,
            bytes: number("node_bytes_per_s"),
            packets: number("node_packets_per_s"),
            cpu: number("node_cpu_percent"),
            rss_bytes: number("node_rss_bytes"),
        },
    }
}

/// How many times as fast as Serf's profile of that name, by p99, and how many times as many bytes.
fn against(row: &Row, rows: &[Row], profile: &str) -> Option<(f64, f64)> {
    let base = base(rows, profile)?;
    let own = row.result.as_ref().ok()?;
    let speed = rank_ms(&base.known_ns, 99) / rank_ms(&own.known_ns, 99);
    let bytes = own.idle.bytes / base.idle.bytes;
    (speed.is_finite() && bytes.is_finite()).then_some((speed, bytes))
}

fn print(rows: &[Row], options: &Options) {
    println!(
        "{} agents, {} killed with SIGKILL; known dead to a client (syncom) or to all agents (serf), \
         first: to one of them",
        options.nodes, options.kills
    );
    println!(
        "{:<8} {:>9} {:>9} {:>9} {:>9} {:>6} {:>9} {:>7} {:>7} {:>7} {:>8} {:>7}  config",
        "system",
        "first ms",
        "p50 ms",
        "p99 ms",
        "max ms",
        "false",
        "B/s node",
        "pkt/s",
        "cpu %",
        "rss MB",
        "speed",
        "bytes"
    );
    for row in rows {
        let Contender { system, config, .. } = row.contender;
        let figures = match &row.result {
            Ok(figures) => figures,
            Err(why) => {
                println!("{system:<8} {why}  {config}");
                continue;
            }
        };
        let first = match figures.first_ns.as_slice() {
            [] => "-".into(),
            first => format!("{:.0}", rank_ms(first, 50)),
        };
        let profile = row.contender.dear_as.unwrap_or("local");
        let (speed, bytes) = against(row, rows, profile).unwrap_or_default();
        println!(
            "{system:<8} {first:>9} {:>9.0} {:>9.0} {:>9.0} {:>6} {:>9.0} {:>7.1} {:>7.2} {:>7.1} \
             {speed:>7.1}x {bytes:>6.1}x  {config}",
            rank_ms(&figures.known_ns, 50),
            rank_ms(&figures.known_ns, 99),
            rank_ms(&figures.known_ns, 100),
            figures.false_dead,
            figures.idle.bytes,
            figures.idle.packets,
            figures.idle.cpu,
            figures.idle.rss_bytes / 1e6,
        );
    }
    println!(
        "speed and bytes: p99 and bytes against Serf's profile local, or the one that ours may not exceed"
    );
}

/// A row for programs.
fn object(row: &Row, rows: &[Row], options: &Options) -> String {
    let head = format!(
        "{{\"system\":\"{}\",\"version\":\"{}\",\"config\":\"{}\",\"case\":\"detect\",\"size_b\":0,\
         \"nodes\":{},\"kills\":{}",
        row.contender.system,
        host::quotable(&row.version),
        row.contender.config,
        options.nodes,
        options.kills,
    );
    let host = host::json();
    let figures = match &row.result {
        Ok(figures) => figures,
        Err(why) => {
            return format!("{head},\"unavailable\":\"{}\",\"host\":{host}}}", host::quotable(why));
        }
    };
    let known = |percent| rank_ms(&figures.known_ns, percent);
    let ratio = |profile| {
        let ratio = against(row, rows, profile);
        ratio.map_or_else(|| "null".into(), |(speed, bytes)| format!("[{speed:.2},{bytes:.3}]"))
    };
    format!(
        "{head},\"first_p50_ms\":{:.1},\"p50_ms\":{:.1},\"p99_ms\":{:.1},\"max_ms\":{:.1},\
         \"false_dead\":{},\"node_bytes_per_s\":{:.1},\"node_packets_per_s\":{:.2},\
         \"node_cpu_percent\":{:.3},\"node_rss_bytes\":{:.0},\"speed_and_bytes_to_serf_lan\":{},\
         \"speed_and_bytes_to_serf_local\":{},\"host\":{host}}}",
        rank_ms(&figures.first_ns, 50),
        known(50),
        known(99),
        known(100),
        figures.false_dead,
        figures.idle.bytes,
        figures.idle.packets,
        figures.idle.cpu,
        figures.idle.rss_bytes,
        ratio("lan"),
        ratio("local"),
    )
}

fn keep(folder: &str, lines: &[String]) -> Result<(), String> {
    let path = Path::new(folder).join("peers-detect.jsonl");
    let write = || {
        fs::create_dir_all(folder)?;
        let mut file = fs::File::create(&path)?;
        lines.iter().try_for_each(|line| writeln!(file, "{line}"))
    };
    write().map_err(|error| format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_ask_for_fewer_deaths_than_there_are_survivors() {
        let options = Options::parse(&["--nodes", "20", "--kills", "5", "--json"]).unwrap();
        assert_eq!((options.nodes, options.kills, options.json), (20, 5, true));
        for wrong in [&["--nodes", "8", "--kills", "5"][..], &["--nodes"], &["--nodes", "1"]] {
            assert!(Options::parse(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_result_of_ours_is_read_and_compared() {
        let json = "{\"false_dead\":0,\"node_bytes_per_s\":4000.0,\"samples_ms\":[900.0,800.5]}";
        let ours = figures(json);
        assert_eq!((rank_ms(&ours.known_ns, 50), rank_ms(&ours.known_ns, 99)), (800.5, 900.0));
        let base = Figures { known_ns: vec![9_000_000_000], ..figures(json) };
        let row =
            |contender, figures| Row { contender, version: String::new(), result: Ok(figures) };
        let rows = [row(CONTENDERS[1], base), row(CONTENDERS[4], ours)];
        assert_eq!(against(&rows[1], &rows, "local"), Some((10.0, 1.0)));
        assert_eq!(against(&rows[1], &rows, "lan"), None);
    }
}
