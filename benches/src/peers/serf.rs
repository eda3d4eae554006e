//! Serf: agents of Debian's package on the loopback, killed one after another.
//!
//! An agent says on its standard output what it comes to know, at the moment at which it does; a
//! thread per agent reads along and notes when. Deaths overlap: each is timed by itself, and the next
//! kill does not wait for Serf to have noticed the last one.

use super::detect::{Costs, Figures, Meter};
use super::suspect::{Spinners, Stroke};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;
use syncom_engine::clock;
use syncom_seam::{MS, SECOND, Time};

/// Ports of the agents: where they speak with one another, and with clients.
const PORT: usize = 27_000;
const RPC_PORT: usize = 28_000;
/// How long agents may take to find each other, and a death to be known to all.
const PATIENCE_NS: u64 = 120 * SECOND;
/// From one kill to the next.
const PAUSE_NS: u64 = 1_500 * MS;
/// How long agents that know each other are left alone before anything is measured.
const SETTLE_NS: u64 = 3 * SECOND;

/// Serf's program: the machine's own, or out of Debian's package.
///
/// # Errors
/// Why there is none.
pub(super) fn program(folder: &Path) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let known = std::env::split_paths(&path).map(|dir| dir.join("serf")).find(|path| path.exists());
    let unpacked = folder.join("usr/bin/serf");
    if let Some(path) = known.or_else(|| Some(unpacked.clone()).filter(|path| path.exists())) {
        return Ok(path);
    }
    let script = "apt-get download serf && dpkg -x serf_*.deb .";
    let fetched = std::fs::create_dir_all(folder)
        .and_then(|()| Command::new("sh").args(["-c", script]).current_dir(folder).output())
        .map_err(|error| format!("Serf cannot be fetched: {error}"))?;
    if fetched.status.success() && unpacked.exists() {
        return Ok(unpacked);
    }
    let text = String::from_utf8_lossy(&fetched.stderr);
    let last = text.lines().next_back().unwrap_or("apt-get said nothing");
    Err(format!("Debian's package serf cannot be had ({last})"))
}

/// What the package calls itself.
pub(super) fn version(program: &Path) -> String {
    let output = Command::new(program).arg("version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default().lines().next().unwrap_or("unknown").to_owned()
}

/// What an agent came to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct News {
    agent: usize,
    is_death: bool,
    about: usize,
    at: Time,
}

/// Agents that run; they are killed when this is dropped.
#[derive(Debug)]
struct Swarm {
    agents: Vec<Child>,
    news: Receiver<News>,
    /// All that was heard.
    heard: Vec<News>,
}

/// Measures a profile of Serf's: deaths, and what an agent costs while nothing happens.
///
/// # Errors
/// When agents cannot be started, or do not find each other.
pub(super) fn measure(
    program: &Path,
    profile: &str,
    nodes: usize,
    kills: usize,
    meter: Meter,
) -> Result<Figures, String> {
    let mut swarm = Swarm::start(program, profile, nodes)?;
    swarm.until("all agents know each other", |swarm| {
        (0..nodes).all(|agent| swarm.known_to(agent) == nodes)
    })?;
    swarm.wait(SETTLE_NS);
    let pids: Vec<u32> = swarm.agents.iter().map(Child::id).collect();
    let before = Costs::now(&pids)?;
    swarm.wait(meter.span_ns);
    let idle = Costs::now(&pids)?.since(&before, nodes);
    // Spread over all, so that no two stand next to each other in anybody's list.
    let victims: Vec<usize> = (1..=kills).map(|n| n * nodes / (kills + 1)).collect();
    let mut began = Vec::new();
    for victim in &victims {
        began.push(clock::now());
        swarm.kill(*victim);
        swarm.wait(PAUSE_NS);
    }
    let survivors = nodes - victims.len();
    swarm.until("all deaths are known to all", |swarm| {
        victims.iter().all(|victim| swarm.deaths_of(*victim, &victims).len() == survivors)
    })?;
    let of = |victim: &usize, began: &Time| {
        let mut known: Vec<u64> =
            swarm.deaths_of(*victim, &victims).iter().map(|at| at.since(*began)).collect();
        known.sort_unstable();
        (known.first().copied().unwrap_or(0), known.last().copied().unwrap_or(0))
    };
    let known: Vec<(u64, u64)> = victims.iter().zip(&began).map(|(v, at)| of(v, at)).collect();
    let false_dead = swarm.heard.iter().filter(|news| {
        let killed = victims.iter().position(|victim| *victim == news.about);
        news.is_death && killed.is_none_or(|at| news.at < began[at])
    });
    Ok(Figures {
        first_ns: known.iter().map(|(first, _)| *first).collect(),
        known_ns: known.iter().map(|(_, last)| *last).collect(),
        false_dead: false_dead.map(|news| news.about).collect::<BTreeSet<_>>().len(),
        idle,
    })
}

/// How agents bore strokes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) tries: usize,
    /// Times that an agent stood still.
    pub(super) stopped: usize,
    /// Of these, how many were declared dead.
    pub(super) noticed: usize,
    /// Deaths of agents that ran all along, each counted once a try.
    pub(super) false_dead: usize,
    pub(super) healed_max_ms: u64,
}

/// Lets strokes fall on agents of this profile, one after the other, each when all are well again.
///
/// # Errors
/// When agents cannot be started, or do not find each other again.
pub(super) fn suspect(
    program: &Path,
    profile: &str,
    nodes: usize,
    strokes: &[Stroke],
) -> Result<Health, String> {
    let mut swarm = Swarm::start(program, profile, nodes)?;
    swarm.until("all agents know each other", |swarm| {
        (0..nodes).all(|agent| swarm.known_to(agent) == nodes)
    })?;
    let mut health = Health::default();
    for stroke in strokes {
        swarm.wait(SETTLE_NS);
        let before = swarm.heard.len();
        let spinners = Spinners::of(stroke)?;
        swarm.signal(stroke.stopped(), "-STOP")?;
        swarm.wait(stroke.lasts_ns());
        swarm.signal(stroke.stopped(), "-CONT")?;
        drop(spinners);
        let ended = clock::now();
        // What was decided meanwhile is said within so long by whoever stood still.
        swarm.wait(SETTLE_NS);
        swarm.until("nobody misses anybody", Swarm::is_well)?;
        let last = swarm.heard[before..].iter().map(|news| news.at).max().unwrap_or(ended);
        let dead = swarm.heard[before..].iter().filter(|news| news.is_death);
        let dead: BTreeSet<usize> = dead.map(|news| news.about).collect();
        let noticed = dead.iter().filter(|agent| stroke.stopped().contains(agent)).count();
        health.tries += 1;
        health.stopped += stroke.stopped().len();
        health.noticed += noticed;
        health.false_dead += dead.len() - noticed;
        health.healed_max_ms = health.healed_max_ms.max(last.since(ended) / MS);
    }
    Ok(health)
}

impl Swarm {
    fn start(program: &Path, profile: &str, nodes: usize) -> Result<Self, String> {
        let (sender, news) = channel();
        let mut swarm = Self { agents: Vec::new(), news, heard: Vec::new() };
        for number in 0..nodes {
            let mut command = Command::new(program);
            command
                .arg("agent")
                .arg(format!("-node=peer{number}"))
                .arg(format!("-bind=127.0.0.1:{}", PORT + number))
                .arg(format!("-rpc-addr=127.0.0.1:{}", RPC_PORT + number))
                .arg(format!("-profile={profile}"))
                .args(["-log-level=info", "-retry-interval=1s"]);
            if number > 0 {
                command.arg(format!("-retry-join=127.0.0.1:{PORT}"));
            }
            let mut child = command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .map_err(|error| format!("an agent of Serf cannot be started: {error}"))?;
            if let Some(output) = child.stdout.take() {
                let sender = sender.clone();
                thread::spawn(move || read(number, output, &sender));
            }
            swarm.agents.push(child);
        }
        Ok(swarm)
    }

    fn take(&mut self) {
        self.heard.extend(self.news.try_iter());
    }

    fn wait(&mut self, span_ns: u64) {
        let until = clock::now().after(span_ns);
        while clock::now() < until {
            thread::park_timeout(Duration::from_nanos(until.since(clock::now())));
        }
        self.take();
    }

    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<(), String> {
        let give_up = clock::now().after(PATIENCE_NS);
        while !holds(self) {
            if clock::now() > give_up {
                return Err(format!("it never came to be that {what}"));
            }
            self.wait(20 * MS);
        }
        Ok(())
    }

    /// How many agents one has come to know, itself among them.
    fn known_to(&self, agent: usize) -> usize {
        let joins = self.heard.iter().filter(|news| news.agent == agent && !news.is_death);
        joins.map(|news| news.about).collect::<BTreeSet<_>>().len()
    }

    /// When those who live came to know of a death.
    fn deaths_of(&self, victim: usize, dead: &[usize]) -> Vec<Time> {
        let mut seen = BTreeSet::new();
        let news = self.heard.iter().filter(|news| news.is_death && news.about == victim);
        let living = news.filter(|news| !dead.contains(&news.agent) && seen.insert(news.agent));
        living.map(|news| news.at).collect()
    }

    /// Whether nobody believes anybody to be dead.
    fn is_well(&self) -> bool {
        let mut missed = BTreeSet::new();
        for News { agent, is_death, about, .. } in &self.heard {
            if *is_death {
                missed.insert((agent, about));
            } else {
                missed.remove(&(agent, about));
            }
        }
        missed.is_empty()
    }

    fn signal(&self, agents: &[usize], signal: &str) -> Result<(), String> {
        let pids = agents.iter().filter_map(|agent| self.agents.get(*agent));
        let pids: Vec<String> = pids.map(|agent| agent.id().to_string()).collect();
        if pids.is_empty() {
            return Ok(());
        }
        let status = Command::new("kill").arg(signal).args(&pids).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(_) | Err(_) => Err(format!("cannot send {signal} to agents of Serf")),
        }
    }

    fn kill(&mut self, victim: usize) {
        if let Some(child) = self.agents.get_mut(victim) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        (0..self.agents.len()).for_each(|agent| self.kill(agent));
    }
}

/// Reads what an agent says, until it is gone.
fn read(agent: usize, output: impl std::io::Read, sender: &Sender<News>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let Some((is_death, about)) = parse(&line) else { continue };
        if sender.send(News { agent, is_death, about, at: clock::now() }).is_err() {
            return;
        }
    }
}

/// What a line of an agent's log says of another: whether that died, and its number.
fn parse(line: &str) -> Option<(bool, usize)> {
    let (is_death, rest) = match line.split_once("EventMemberFailed: ") {
        Some((_, rest)) => (true, rest),
        None => (false, line.split_once("EventMemberJoin: ")?.1),
    };
    let number = rest.split_whitespace().next()?.strip_prefix("peer")?.parse().ok()?;
    Some((is_death, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_and_deaths_are_read_from_the_log() {
        let line = "    2026/11/22 02:00:00 [INFO] serf: EventMemberFailed: peer7 127.0.0.1";
        assert_eq!(parse(line), Some((true, 7)));
        let line = "    2026/11/22 02:00:00 [INFO] serf: EventMemberJoin: peer12 127.0.0.1";
        assert_eq!(parse(line), Some((false, 12)));
        assert_eq!(parse("    2026/11/22 02:00:00 [INFO] memberlist: Suspect peer7"), None);
        assert_eq!(parse("EventMemberJoin: somebody 127.0.0.1"), None);
    }

    #[test]
    fn a_machine_without_serf_says_why() {
        let swarm = measure(Path::new("/no/such/serf"), "lan", 2, 1, Meter { span_ns: 0 });
        assert!(swarm.unwrap_err().contains("cannot be started"));
    }
}
