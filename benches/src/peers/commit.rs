//! `peers commit`: durable writes of 256 B to three replicas on this disk, ours and etcd's, turn by
//! turn.
//!
//! Both run as processes on the loopback and flush before they answer. Each of ours is
//! `syncom bench commit`; etcd is Debian's package, fetched into the target folder when there is
//! none on the path, driven over gRPC by `benches/peers/src/bin/etcd.rs`.

use super::options::pairs;
use super::ours;
use super::systems::{ROOT, target};
use crate::host;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const USUAL_CLIENTS: &[usize] = &[1, 256];
const USUAL_ROUNDS: usize = 3;
const SIZE_B: usize = 256;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    json: bool,
    out: Option<String>,
    rounds: usize,
    seconds: usize,
    clients: Vec<usize>,
}

impl Options {
    /// Understands what follows `peers commit`; `None` when it cannot.
    pub(crate) fn parse(rest: &[&str]) -> Option<Self> {
        let clients = USUAL_CLIENTS.to_vec();
        let mut options =
            Self { json: false, out: None, rounds: USUAL_ROUNDS, seconds: 3, clients };
        options.json = pairs(rest, |flag, value| {
            match flag {
                "--out" => options.out = Some(value.into()),
                "--rounds" => options.rounds = value.parse().ok().filter(|rounds| *rounds > 0)?,
                "--seconds" => options.seconds = value.parse().ok().filter(|s| *s > 0)?,
                "--clients" => options.clients = vec![value.parse().ok()?],
                _ => return None,
            }
            Some(())
        })?;
        Some(options)
    }
}

/// What one turn gave.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    commits_per_s: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_ns_per_op: f64,
    /// One flush and two bare round trips, in the same run; ours only.
    floor_us: f64,
    fsyncs_per_s: f64,
}

#[derive(Clone, Debug)]
struct Row {
    is_ours: bool,
    clients: usize,
    turns: Vec<Turn>,
    unavailable: Option<String>,
}

impl Row {
    const fn system(&self) -> &'static str {
        if self.is_ours { "syncom" } else { "etcd" }
    }

    fn median(&self, value: impl Fn(&Turn) -> f64) -> f64 {
        self.spread(value)[1]
    }

    fn spread(&self, value: impl Fn(&Turn) -> f64) -> [f64; 3] {
        let mut values: Vec<f64> = self.turns.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        let at = |rank: usize| values.get(rank).copied().unwrap_or(0.0);
        [at(0), at(values.len() / 2), at(values.len().saturating_sub(1))]
    }
}

/// Runs the case and prints what came out.
///
/// # Errors
/// When results cannot be written. A system that cannot be had is a row that says why.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let ours = build("syncom", &["--bin", "syncom"], &target());
    let peer = etcd().and_then(|etcd| {
        let manifest = format!("{ROOT}/benches/peers/Cargo.toml");
        let words = ["--manifest-path", &manifest, "--features", "etcd", "--bin", "peer-etcd"];
        build("peer-etcd", &words, &target().join("peers")).map(|program| (program, etcd))
    });
    let row = |is_ours, clients, why: Option<String>| Row {
        is_ours,
        clients,
        turns: Vec::new(),
        unavailable: why,
    };
    let mut rows = Vec::new();
    for clients in &options.clients {
        rows.push(row(false, *clients, peer.as_ref().err().cloned()));
        rows.push(row(true, *clients, ours.as_ref().err().cloned()));
    }
    for round in 0..options.rounds {
        for row in rows.iter_mut().filter(|row| row.unavailable.is_none()) {
            let (system, clients) = (row.system(), row.clients);
            eprintln!("round {} of {}: {system}, {clients} clients", round + 1, options.rounds);
            let turn = match (&ours, &peer) {
                (Ok(program), _) if row.is_ours => take_ours(program, clients, options.seconds),
                (_, Ok((program, etcd))) => take_etcd(program, etcd, clients, options.seconds),
                (Ok(_) | Err(_), Err(why)) => Err(why.clone()),
            };
            match turn {
                Ok(turn) => row.turns.push(turn),
                Err(why) => row.unavailable = Some(why),
            }
        }
    }
    let lines: Vec<String> = rows.iter().map(|row| object(row, &rows)).collect();
    if options.json {
        lines.iter().for_each(|line| println!("{line}"));
    } else {
        print(&rows);
    }
    options.out.as_deref().map_or(Ok(()), |folder| keep(folder, &lines))
}

pub(super) fn build(name: &str, words: &[&str], target: &Path) -> Result<PathBuf, String> {
    eprintln!("building {name}");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--locked", "--quiet"]).args(words).current_dir(ROOT);
    cargo.arg("--target-dir").arg(target);
    let output = cargo.output().map_err(|error| format!("cannot run cargo: {error}"))?;
    if output.status.success() {
        return Ok(target.join("release").join(name));
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let first = text.lines().find(|line| line.contains("error")).unwrap_or("no reason was given");
    Err(format!("{name} cannot be built here: {first}"))
}

/// etcd's program: on the path, or out of Debian's package.
fn etcd() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let known = std::env::split_paths(&path).map(|dir| dir.join("etcd")).find(|path| path.exists());
    let folder = target().join("etcd");
    let unpacked = folder.join("usr/bin/etcd");
    if let Some(path) = known.or_else(|| Some(unpacked.clone()).filter(|path| path.exists())) {
        return Ok(path);
    }
    let script = "apt-get download etcd-server && dpkg -x etcd-server_*.deb .";
    let fetched = fs::create_dir_all(&folder)
        .and_then(|()| Command::new("sh").args(["-c", script]).current_dir(&folder).output())
        .map_err(|error| format!("etcd cannot be fetched: {error}"))?;
    if fetched.status.success() && unpacked.exists() {
        return Ok(unpacked);
    }
    let text = String::from_utf8_lossy(&fetched.stderr);
    let last = text.lines().next_back().unwrap_or("apt-get said nothing");
    Err(format!("Debian's etcd-server cannot be had ({last}); install etcd and put it on the path"))
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(text.lines().next_back().unwrap_or("it said nothing").into())
}

fn take_ours(program: &Path, clients: usize, seconds: usize) -> Result<Turn, String> {
    let json = output(
        Command::new(program)
            .args(["bench", "commit", "--json", "--size", &SIZE_B.to_string()])
            .args(["--clients", &clients.to_string(), "--seconds", &seconds.to_string()])
            .arg("--dir")
            .arg(target()),
    )?;
    let number = |key| ours::number(&json, key);
    Ok(Turn {
        commits_per_s: number("commits_per_s"),
        p50_us: number("p50_us"),
        p99_us: number("p99_us"),
        cpu_ns_per_op: number("cpu_ns_per_op"),
        floor_us: number("floor_us"),
        fsyncs_per_s: number("fsyncs_per_s"),
    })
}

fn take_etcd(program: &Path, etcd: &Path, clients: usize, seconds: usize) -> Result<Turn, String> {
    let dir = target().join(format!("etcd-data-{}", std::process::id()));
    let result = output(
        Command::new(program)
            .arg(format!("etcd={}", etcd.display()))
            .arg(format!("dir={}", dir.display()))
            .arg(format!("clients={clients}"))
            .arg(format!("size={SIZE_B}"))
            .arg(format!("ms={}", seconds * 1_000)),
    );
    let _ = fs::remove_dir_all(&dir);
    let line = result?;
    let number = |key: &str| {
        let pair =
            line.split_whitespace().find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        pair.and_then(|value| value.parse::<f64>().ok()).unwrap_or(0.0)
    };
    let count = number("messages").max(1.0);
    Ok(Turn {
        commits_per_s: number("messages") / (number("ns").max(1.0) / 1e9),
        p50_us: number("p50_ns") / 1e3,
        p99_us: number("p99_ns") / 1e3,
        cpu_ns_per_op: number("cpu_ns") / count,
        ..Turn::default()
    })
}

/// Rate and p99 of ours against etcd's with as many clients: above 1 is better.
fn ratios(row: &Row, rows: &[Row]) -> Option<(f64, f64)> {
    let base = rows.iter().find(|base| !base.is_ours && base.clients == row.clients)?;
    let rate = row.median(|turn| turn.commits_per_s) / base.median(|turn| turn.commits_per_s);
    let p99 = base.median(|turn| turn.p99_us) / row.median(|turn| turn.p99_us);
    (rate.is_finite() && p99.is_finite()).then_some((rate, p99))
}

fn print(rows: &[Row]) {
    println!("commit of {SIZE_B} B, three replicas, durable: medians; ratios to etcd");
    println!(
        "{:<8} {:>7} {:>10} {:>19} {:>9} {:>9} {:>9} {:>7} {:>7}",
        "system",
        "clients",
        "commits/s",
        "least-most",
        "p50 us",
        "p99 us",
        "floor us",
        "rate x",
        "p99 x"
    );
    for row in rows {
        if let Some(why) = &row.unavailable {
            println!("{:<8} {:>7} {why}", row.system(), row.clients);
            continue;
        }
        let [least, rate, most] = row.spread(|turn| turn.commits_per_s);
        let ratio = ratios(row, rows);
        let text = |value: Option<f64>| value.map_or_else(|| "-".into(), |x| format!("{x:.1}"));
        println!(
            "{:<8} {:>7} {rate:>10.0} {:>19} {:>9.0} {:>9.0} {:>9.0} {:>7} {:>7}",
            row.system(),
            row.clients,
            format!("{least:.0}-{most:.0}"),
            row.median(|turn| turn.p50_us),
            row.median(|turn| turn.p99_us),
            row.median(|turn| turn.floor_us),
            text(ratio.map(|ratio| ratio.0)),
            text(ratio.map(|ratio| ratio.1)),
        );
    }
}

fn object(row: &Row, rows: &[Row]) -> String {
    let (system, clients) = (row.system(), row.clients);
    let version = if row.is_ours { env!("CARGO_PKG_VERSION") } else { "Debian etcd-server" };
    let head = format!(
        "{{\"system\":\"{system}\",\"version\":\"{version}\",\"config\":\"3 replicas, durable, \
         closed loop\",\"case\":\"commit\",\"size_b\":{SIZE_B},\"clients\":{clients}"
    );
    if let Some(why) = &row.unavailable {
        return host::unavailable(&head, why);
    }
    let host = host::json();
    let [least, rate, most] = row.spread(|turn| turn.commits_per_s);
    let (rate_ratio, p99_ratio) = ratios(row, rows).unwrap_or((0.0, 0.0));
    format!(
        "{head},\"rounds\":{},\"commits_per_s\":{rate:.0},\"commits_per_s_least\":{least:.0},\
         \"commits_per_s_most\":{most:.0},\"p50_us\":{:.1},\"p99_us\":{:.1},\"fsyncs_per_s\":{:.0},\
         \"floor_us\":{:.1},\"cpu_ns_per_op\":{:.0},\"rate_to_etcd\":{rate_ratio:.2},\
         \"p99_to_etcd\":{p99_ratio:.2},\"host\":{host}}}",
        row.turns.len(),
        row.median(|turn| turn.p50_us),
        row.median(|turn| turn.p99_us),
        row.median(|turn| turn.fsyncs_per_s),
        row.median(|turn| turn.floor_us),
        row.median(|turn| turn.cpu_ns_per_op),
    )
}

fn keep(folder: &str, lines: &[String]) -> Result<(), String> {
    let path = format!("{folder}/peers-commit.jsonl");
    let write = || {
        fs::create_dir_all(folder)?;
        let mut file = fs::File::create(&path)?;
        lines.iter().try_for_each(|line| writeln!(file, "{line}"))
    };
    write().map_err(|error| format!("cannot write {path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_to_etcd_with_as_many_clients_and_better_is_above_one() {
        let row = |is_ours, clients, commits_per_s, p99_us| {
            let turn = Turn { commits_per_s, p99_us, ..Turn::default() };
            Row { is_ours, clients, turns: vec![turn], unavailable: None }
        };
        let rows = [
            row(false, 1, 100.0, 50.0),
            row(false, 256, 1_000.0, 90.0),
            row(true, 256, 5_000.0, 30.0),
        ];
        assert_eq!(ratios(&rows[2], &rows), Some((5.0, 3.0)));
        let absent = Row { turns: Vec::new(), ..rows[1].clone() };
        assert_eq!(ratios(&rows[2], &[absent]), None, "nothing to compare with");
    }

    #[test]
    fn options_are_understood_or_refused() {
        let options = Options::parse(&["--clients", "32", "--rounds", "5", "--json"]).unwrap();
        assert_eq!((options.clients, options.rounds, options.json), (vec![32], 5, true));
        for wrong in [&["--rounds", "0"][..], &["--rounds"], &["--mail", "1"]] {
            assert!(Options::parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
