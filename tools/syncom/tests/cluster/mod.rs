//! A cluster under test: started by the program, looked at through its commands only, and gone
//! when the test is.

#![allow(dead_code, reason = "each test uses its part")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use syncom_engine::clock;

/// How long anything may take before the test gives up. Generous: machines are shared.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Pause between two looks, so that the cluster gets the processor.
const PAUSE: Duration = Duration::from_millis(20);
/// Held by the one cluster that runs: two at once would slow each other into failing.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A directory of its own, removed at the end.
#[derive(Debug)]
pub(crate) struct TempDir(pub(crate) PathBuf);

impl TempDir {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("syncom-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// The program with some arguments.
pub(crate) fn syncom(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncom"));
    command.args(args).stdin(Stdio::null());
    command
}

/// What this machine's wall clock shows, since 1970.
pub(crate) fn wall_now() -> Duration {
    Duration::from_nanos(clock::read().wall.0)
}

/// Runs a command to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    syncom(args).output().unwrap()
}

/// The lines of an output as JSON.
pub(crate) fn json_lines(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line:?}: {e}")))
        .collect()
}

/// Tries until it gives something; fails the test when it never does.
pub(crate) fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let give_up = clock::now().after(u64::try_from(PATIENCE.as_nanos()).unwrap());
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(clock::now() < give_up, "never happened: {what}");
        std::thread::park_timeout(PAUSE);
    }
}

/// Looks again and again for a while; fails the test as soon as `holds` does not.
pub(crate) fn throughout(what: &str, span: Duration, mut holds: impl FnMut() -> bool) {
    let until = clock::now().after(u64::try_from(span.as_nanos()).unwrap());
    while clock::now() < until {
        assert!(holds(), "did not hold throughout: {what}");
        std::thread::park_timeout(PAUSE);
    }
}

/// Kills processes the hard way, all within microseconds.
pub(crate) fn kill_9(pids: &[u64]) {
    let pids: Vec<String> = pids.iter().map(u64::to_string).collect();
    let status = Command::new("kill").arg("-9").args(&pids).status().unwrap();
    assert!(status.success(), "kill -9 {pids:?}");
}

/// A running `syncom up`.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) dir: PathBuf,
    pub(crate) up: Child,
    _alone: MutexGuard<'static, ()>,
}

impl Cluster {
    /// Starts a cluster and waits until all nodes are alive.
    pub(crate) fn start(dir: &Path, args: &[&str], nodes: u64) -> Self {
        Self::start_with_log(dir, &dir.join("up.log"), args, nodes)
    }

    /// The same, with what `up` says in a file of choice.
    pub(crate) fn start_with_log(dir: &Path, log: &Path, args: &[&str], nodes: u64) -> Self {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let text = dir.to_str().unwrap();
        let said = std::fs::File::create(log).unwrap();
        let up = syncom(&["up", "--dir", text, "--nodes", &nodes.to_string()])
            .args(args)
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        let mut cluster = Self { dir: dir.to_path_buf(), up, _alone: alone };
        eventually("all nodes alive", || {
            if let Some(status) = cluster.up.try_wait().unwrap() {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                panic!("up ended: {status}\n{said}");
            }
            let status = cluster.try_status()?;
            (status["nodes"]["alive"] == nodes).then_some(())
        });
        cluster
    }

    /// Runs a command against this cluster.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let dir = self.dir.to_str().unwrap();
        syncom(&["--cluster", dir]).args(args).output().unwrap()
    }

    /// The JSON lines of a command that must succeed.
    pub(crate) fn json(&self, args: &[&str]) -> Vec<Value> {
        let output = self.run(args);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {words}");
        json_lines(&output)
    }

    pub(crate) fn try_status(&self) -> Option<Value> {
        let output = self.run(&["status", "--json"]);
        output.status.success().then(|| json_lines(&output).remove(0))
    }

    pub(crate) fn status(&self) -> Value {
        eventually("status", || self.try_status())
    }

    /// Process of every node, by name.
    pub(crate) fn node_pids(&self) -> BTreeMap<String, u64> {
        let nodes = self.json(&["nodes", "--json"]);
        nodes
            .iter()
            .map(|node| (node["name"].as_str().unwrap().to_owned(), node["pid"].as_u64().unwrap()))
            .collect()
    }

    /// Events of one kind.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        self.json(&["events", "--json", "--kind", kind])
    }

    /// Kills `up` and everything that it started.
    pub(crate) fn kill_everything(mut self) {
        let pids: Vec<u64> = members(&self.dir).into_values().collect();
        self.up.kill().unwrap();
        self.up.wait().unwrap();
        for pid in pids {
            // It may have noticed the end of its parent already.
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).output();
        }
    }

    /// Asks `up` to stop and waits for its end.
    pub(crate) fn stop(mut self) {
        let pid = self.up.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let status = self.up.wait().unwrap();
        assert!(status.success(), "up ended with {status}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Members notice the end of their parent and stop by themselves.
        let _ = self.up.kill();
        let _ = self.up.wait();
    }
}

/// Processes of members by name, from the cluster's directory.
pub(crate) fn members(dir: &Path) -> BTreeMap<String, u64> {
    let entries = std::fs::read_dir(dir.join("run")).unwrap();
    entries
        .map(|entry| {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let value: Value = serde_json::from_str(&text).unwrap();
            (value["name"].as_str().unwrap().to_owned(), value["pid"].as_u64().unwrap())
        })
        .collect()
}

/// Processes that a process has started and that are not over.
pub(crate) fn children(pid: u64) -> Vec<u64> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut children: Vec<u64> =
        pids.filter(|child| matches!(state(*child), Some((_, parent)) if parent == pid)).collect();
    children.retain(|child| lives(*child));
    children.sort_unstable();
    children
}

/// Whether a process runs: one that is over and not yet waited for does not.
pub(crate) fn lives(pid: u64) -> bool {
    state(pid).is_some_and(|(state, _)| state != "Z" && state != "X")
}

/// A process's state and its parent, from `/proc/PID/stat`.
fn state(pid: u64) -> Option<(String, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command may contain anything; what follows its last parenthesis does not.
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// A UDP port of the loopback that is free, and that no client of the cluster is given.
pub(crate) fn free_port() -> u16 {
    syncom::ports::free(1).unwrap()[0].port()
}
