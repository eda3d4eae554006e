//! One replica of three is stopped, one byte of its directory is changed, and it is started again:
//! it serves what was acknowledged, or it says which file is damaged and what to do, and ends. The
//! station serves all along and forgets nothing.
//!
//! `SYNCOM_BYTES` sets how many bytes, `SYNCOM_SEED` which; the defaults keep the test short.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use cluster::{TempDir, eventually, free_port, json_lines, run, syncom};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use syncom_seam::Rng;

const REPLICAS: usize = 3;

/// A station of processes, started by hand from the files of `init`.
struct Lab {
    dir: PathBuf,
    members: BTreeMap<String, Child>,
    /// Events acknowledged so far, by number.
    acknowledged: BTreeMap<u64, String>,
}

impl Lab {
    fn start(dir: PathBuf) -> Self {
        let text = dir.to_str().unwrap().to_owned();
        let addrs: Vec<String> =
            (0..=REPLICAS).map(|_| format!("127.0.0.1:{}", free_port())).collect();
        let (satellite, replicas) = addrs.split_first().unwrap();
        let port = free_port().to_string();
        let words = ["init", "--dir", &text, "--name", "lab", "--nodes", "node1", "--port", &port];
        let mut init = syncom(&words);
        init.args(["--replicas", &replicas.join(","), "--satellites", satellite]);
        assert!(init.output().unwrap().status.success());
        // What a client needs that asks one replica only.
        for (number, addr) in (1..).zip(replicas) {
            let only = dir.join(format!("only{number}"));
            fs::create_dir(&only).unwrap();
            fs::copy(dir.join("secret.key"), only.join("secret.key")).unwrap();
            let cluster = fs::read_to_string(dir.join("cluster.toml")).unwrap();
            let line = |line: &str| {
                if line.starts_with("replicas") {
                    format!("replicas = [\"{addr}\"]\n")
                } else {
                    format!("{line}\n")
                }
            };
            let cluster: String = cluster.lines().map(line).collect();
            fs::write(only.join("cluster.toml"), cluster).unwrap();
        }
        let mut lab = Self { dir, members: BTreeMap::new(), acknowledged: BTreeMap::new() };
        (1..=REPLICAS).for_each(|number| lab.begin("station", &format!("station{number}")));
        lab.begin("satellite", "sat1");
        lab.begin("agent", "node1");
        lab
    }

    fn begin(&mut self, role: &str, name: &str) {
        let log = fs::File::create(self.dir.join(format!("{name}.log"))).unwrap();
        let config = self.dir.join(format!("{name}.toml"));
        let child = syncom(&[role, "--config", config.to_str().unwrap()]).stderr(log).spawn();
        self.members.insert(name.to_owned(), child.unwrap());
    }

    fn kill(&mut self, name: &str) {
        let mut member = self.members.remove(name).unwrap();
        let _ = member.kill();
        member.wait().unwrap();
    }

    /// Reports something new and waits until it is acknowledged.
    fn report(&mut self) {
        let kind = format!("note-{}", self.acknowledged.len());
        let dir = self.dir.to_str().unwrap();
        let words = ["--cluster", dir, "report", "node1", &kind, "--wait", "--json"];
        let seq = eventually("a report is acknowledged", || {
            let output = run(&words);
            output.status.success().then(|| json_lines(&output).remove(0)["seq"].as_u64().unwrap())
        });
        self.acknowledged.insert(seq, kind);
    }

    /// The notes that one replica shows by itself; `None` when it does not answer.
    fn shown_by(&self, number: usize) -> Option<BTreeMap<u64, String>> {
        let only = self.dir.join(format!("only{number}"));
        let words = ["--cluster", only.to_str().unwrap(), "events", "--stale", "--json"];
        let output = run(&words);
        output.status.success().then(|| {
            let events = json_lines(&output).into_iter().map(|event| {
                (event["seq"].as_u64().unwrap(), event["kind"].as_str().unwrap().to_owned())
            });
            events.filter(|(_, kind)| kind.starts_with("note-")).collect()
        })
    }

    /// Starts a replica and waits for what becomes of it: whether it serves all that was
    /// acknowledged, or the code with which it ended.
    fn outcome(&mut self, number: usize) -> Option<i32> {
        let name = format!("station{number}");
        self.begin("station", &name);
        let mut looks = 0;
        eventually(&format!("{name} serves or ends"), || {
            if let Some(status) = self.members.get_mut(&name).unwrap().try_wait().unwrap() {
                return Some(Some(status.code().unwrap_or(-1)));
            }
            // A client asks for seconds before it gives up: first let it end if it wants to.
            looks += 1;
            let shown = if looks > 10 { self.shown_by(number)? } else { return None };
            for (seq, kind) in &shown {
                assert_eq!(self.acknowledged.get(seq), Some(kind), "{name} shows another event");
            }
            (shown == self.acknowledged).then_some(None)
        })
    }

    fn state_of(&self, number: usize) -> PathBuf {
        self.dir.join("state").join(format!("station{number}"))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for member in self.members.values_mut() {
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

/// Files below a directory that hold something.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(files(&entry));
        } else if fs::metadata(&entry).unwrap().len() > 0 {
            found.push(entry);
        }
    }
    found.sort();
    found
}

/// Changes one byte somewhere, every other time where something was written; says where, and what
/// the file held before.
fn change(dir: &Path, rng: &mut Rng) -> (PathBuf, Vec<u8>, String) {
    let files = files(dir);
    let path = files[usize::try_from(rng.below(files.len() as u64)).unwrap()].clone();
    let before = fs::read(&path).unwrap();
    let written = before.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
    let span = if rng.chance(1, 2) { written } else { before.len() };
    let place = usize::try_from(rng.below(span as u64)).unwrap();
    let mut bytes = before.clone();
    bytes[place] ^= rng.below(255).to_le_bytes()[0] + 1;
    fs::write(&path, bytes).unwrap();
    let what = format!("byte {place} of {}", path.display());
    (path, before, what)
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn a_replica_with_a_changed_byte_serves_the_truth_or_says_why_not() {
    let bytes = setting("SYNCOM_BYTES", 16);
    let temp = TempDir::new("bytes");
    let mut lab = Lab::start(temp.0.join("lab"));
    let mut rng = Rng::new(setting("SYNCOM_SEED", 8));
    let (mut served, mut refused) = (0, 0);
    (0..20).for_each(|_| lab.report());
    for round in 0..bytes {
        let number = 1 + usize::try_from(round).unwrap() % REPLICAS;
        lab.kill(&format!("station{number}"));
        let (path, before, what) = change(&lab.state_of(number), &mut rng);
        // Two replicas serve; what they acknowledge now, the third must learn from them.
        lab.report();
        if let Some(code) = lab.outcome(number) {
            let said = fs::read_to_string(lab.dir.join(format!("station{number}.log"))).unwrap();
            assert_eq!(code, 1, "{what}: {said}");
            assert!(said.contains(&*lab.state_of(number).to_string_lossy()), "{what}: {said}");
            assert!(!said.contains("panicked"), "{what}: {said}");
            refused += 1;
            // As it was: this replica has promised nothing since.
            fs::write(path, before).unwrap();
            assert_eq!(lab.outcome(number), None, "{what}, put right");
        } else {
            served += 1;
        }
    }
    println!("{bytes} bytes changed: {served} times it served, {refused} times it was refused");
    assert!(served > 0 && refused > 0, "{served} and {refused}");
}
