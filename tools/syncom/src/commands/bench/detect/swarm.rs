//! A cluster of processes that can be killed, and a client that follows its events.

use crate::args::detect::{Detect, How};
use crate::args::{OnOff, ProfileName, Up};
use crate::assemble;
use crate::client::Client;
use crate::commands::status;
use crate::exit::{Failure, Outcome};
use crate::up::processes::{self, Processes};
use crate::up::{Plan, usage};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use syncom_engine::clock;
use syncom_engine::counters::CountersReader;
use syncom_seam::{Counter, SECOND, Time};
use syncom_wire::Frame;
use syncom_wire::control::Verb;

/// Replicas of the station.
const REPLICAS: u16 = 3;
/// Failure domains of the nodes.
const DOMAINS: u32 = 4;
/// Observers of a node at most.
const OBSERVERS_MAX: u32 = 8;
/// Heartbeats that somebody has heard of each of its subjects when none is new to it: half of what
/// an expectation averages over.
const SETTLED_BEATS: u64 = 16;
/// The same where a budget makes them rare, when all have started: whoever was an observer for a moment
/// only is told so eight times.
const LEAN_BEATS: u64 = 10;
/// And when one comes back, while everybody else knows everybody.
const LEAN_BEATS_OF_ONE: u64 = 2;
/// How often conditions are looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long they may take to hold: where a budget makes heartbeats rare, each takes some seconds.
const PATIENCE_NS: u64 = 240 * SECOND;
/// A service that does nothing for days.
const SERVICE: [&str; 2] = ["sleep", "3600"];

/// An event as the follower saw it.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) seq: u64,
    pub(super) kind: String,
    pub(super) subject: String,
    /// When the station decided it, by the wall clock.
    pub(super) decided_ns: u64,
    pub(super) seen: Time,
}

/// When observers had spoken, by the wall clock, and about what.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stages {
    pub(super) first_ns: u64,
    pub(super) last_ns: u64,
    pub(super) probes: u8,
}

/// What an agent costs while nothing happens.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Idle {
    /// Bytes and packets through the loopback, headers included, of all members and per agent.
    pub(super) bytes_per_s: f64,
    pub(super) packets_per_s: f64,
    /// Of the agents alone.
    pub(super) cpu_percent: f64,
    pub(super) rss_bytes: u64,
}

/// The cluster. It stops when this is dropped, and its directory goes.
#[derive(Debug)]
pub(super) struct Swarm {
    pub(super) processes: Processes,
    client: Client,
    dir: PathBuf,
    nodes: u32,
    interval_ns: u64,
    /// Whether heartbeats have a budget.
    is_lean: bool,
    /// The next event.
    from: u64,
    is_serving: bool,
    /// CPU seconds of agents that were killed.
    buried_cpu_s: f64,
}

impl Swarm {
    /// Starts the cluster and waits until all its nodes are alive.
    pub(super) fn start(args: &Detect) -> Result<Self, Failure> {
        let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
        let dir = parent.join(format!("syncom-detect-{}", std::process::id()));
        let up = up(args);
        let plan = Plan::new(&up, dir.clone())?;
        let (replicas, processes) = processes::start(&plan)?;
        let client = Client::open(plan.place(replicas))?;
        let interval_ns = assemble::profile(args.profile).interval_ns;
        let nodes = args.nodes;
        let is_serving = matches!(args.how, How::Service);
        let (from, buried_cpu_s, is_lean) = (1, 0.0, args.heartbeat_budget.is_some());
        let mut swarm = Self {
            processes,
            client,
            dir,
            nodes,
            interval_ns,
            is_lean,
            from,
            is_serving,
            buried_cpu_s,
        };
        // The first leader may take its time.
        swarm.client.hurry(Duration::from_nanos(PATIENCE_NS));
        swarm.until("all nodes are alive", Self::is_alive)?;
        swarm.news()?;
        Ok(swarm)
    }

    pub(super) const fn interval_ns(&self) -> u64 {
        self.interval_ns
    }

    /// Lets time pass.
    pub(super) fn wait(&mut self, pause: Duration) {
        self.client.wait(pause);
    }

    pub(super) fn wait_ns(&mut self, pause_ns: u64) {
        self.wait(Duration::from_nanos(pause_ns));
    }

    /// Events that were not seen before.
    pub(super) fn news(&mut self) -> Result<Vec<Heard>, Failure> {
        let (mut from, mut news) = (self.from, Vec::new());
        self.client.pages(Verb::Events, from, &[], |frame| {
            if let Frame::Event(event) = frame {
                from = from.max(event.head.seq + 1);
                news.push(Heard {
                    seq: event.head.seq,
                    kind: event.kind.into(),
                    subject: event.subject.into(),
                    decided_ns: event.head.time_ns,
                    seen: clock::now(),
                });
            }
        })?;
        self.from = from;
        Ok(news)
    }

    /// When the evidence of an event came together.
    pub(super) fn evidence(&mut self, seq: u64) -> Result<Stages, Failure> {
        let answer = self.client.ask(Verb::Explain, seq, &[])?;
        let found = answer.frames().find_map(|frame| match frame {
            Frame::Evidence(evidence) => Some(evidence.head),
            _ => None,
        });
        Ok(found.map_or_else(Stages::default, |head| Stages {
            first_ns: head.first_ns,
            last_ns: head.last_ns,
            probes: head.probes,
        }))
    }

    /// Members that died and were found to live.
    pub(super) fn false_deaths(&mut self) -> Result<u64, Failure> {
        Ok(status::ask(&mut self.client)?.head.false_deaths)
    }

    fn is_alive(&mut self) -> Result<bool, Failure> {
        let head = status::ask(&mut self.client)?.head;
        Ok((head.alive, head.gray) == (self.nodes, 0))
    }

    /// Waits until all are alive, and until `name`, or everybody, knows its subjects well.
    pub(super) fn until_whole(&mut self, name: Option<&str>) -> Outcome {
        let names: Vec<String> = match name {
            Some(name) => vec![name.into()],
            None => (1..=self.nodes).map(|number| format!("node{number}")).collect(),
        };
        let beats = match (self.is_lean, name) {
            (false, _) => SETTLED_BEATS,
            (true, None) => LEAN_BEATS,
            (true, Some(_)) => LEAN_BEATS_OF_ONE,
        };
        let enough = beats * u64::from(OBSERVERS_MAX.min(self.nodes - 1));
        self.until("all know their subjects", |swarm| {
            let heard = |name: &String| swarm.counter(name, Counter::HeartbeatsHeard);
            Ok(names.iter().all(|name| heard(name) >= enough) && swarm.is_alive()?)
        })
    }

    fn until(
        &mut self,
        what: &str,
        mut holds: impl FnMut(&mut Self) -> Result<bool, Failure>,
    ) -> Outcome {
        let give_up = clock::now().after(PATIENCE_NS);
        while !holds(self)? {
            if clock::now() > give_up {
                return Err(Failure::failed(format!("it never came to be that {what}")));
            }
            self.wait(LOOK);
        }
        Ok(())
    }

    fn counters(&self, name: &str) -> PathBuf {
        self.dir.join(format!("counters/{name}.counters"))
    }

    fn counter(&self, name: &str, counter: Counter) -> u64 {
        CountersReader::open(&self.counters(name)).map_or(0, |file| file.get(counter))
    }

    /// Forgets what a member that does not run has counted.
    pub(super) fn forget_counters(&self, name: &str) {
        // It may not have counted anything yet.
        let _ = fs::remove_file(self.counters(name));
    }

    /// The process of a node's service.
    pub(super) fn service_of(&self, name: &str) -> Result<u32, Failure> {
        let agent = self.processes.pid(name);
        let pid = agent.and_then(|agent| children_of(agent).first().copied());
        pid.ok_or_else(|| Failure::failed(format!("{name} runs no service")))
    }

    /// Waits until a node's service runs again as another process than `before`.
    pub(super) fn until_served(&mut self, name: &str, before: u32) -> Outcome {
        self.until("a service that died runs again", |swarm| {
            Ok(swarm.service_of(name).is_ok_and(|pid| pid != before))
        })
    }

    /// Kills an agent; false when there is none.
    pub(super) fn kill(&mut self, name: &str) -> bool {
        self.buried_cpu_s += self.processes.pid(name).map_or(0.0, usage::cpu_s);
        self.processes.kill(name)
    }

    /// CPU seconds that all processes have spent, those that were killed among them.
    pub(super) fn cpu_s(&self) -> f64 {
        let roles = ["station", "satellite", "agent"];
        let pids = roles.iter().flat_map(|role| self.processes.pids_of(role));
        self.buried_cpu_s + pids.map(usage::cpu_s).sum::<f64>()
    }

    /// Leaves the cluster alone for so long; what it costs meanwhile.
    pub(super) fn idle(&mut self, span_ns: u64) -> Result<Idle, Failure> {
        let agents = self.processes.pids_of("agent");
        let cpu_s = || agents.iter().map(|pid| usage::cpu_s(*pid)).sum::<f64>();
        let (began, before, cpu_before) = (clock::now(), loopback()?, cpu_s());
        self.wait_ns(span_ns);
        let (after, cpu_after) = (loopback()?, cpu_s());
        let seconds = Duration::from_nanos(clock::now().since(began)).as_secs_f64();
        let per_node = seconds * f64::from(self.nodes);
        let rss_bytes: u64 = agents.iter().map(|pid| usage::rss_bytes(*pid)).sum();
        Ok(Idle {
            bytes_per_s: super::super::pair::float(after.0.saturating_sub(before.0)) / per_node,
            packets_per_s: super::super::pair::float(after.1.saturating_sub(before.1)) / per_node,
            cpu_percent: 100.0 * (cpu_after - cpu_before) / per_node,
            rss_bytes: rss_bytes / u64::from(self.nodes),
        })
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        // Services end in good order, with their agents; who has none need not wait for that.
        if !self.is_serving {
            self.processes.kill_all();
        }
        self.processes.end();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The cluster as `syncom up` would make it.
fn up(args: &Detect) -> Up {
    let service = match args.how {
        How::Service => vec![("idle".into(), SERVICE.map(String::from).to_vec())],
        How::Crash | How::Gone => Vec::new(),
    };
    Up {
        nodes: args.nodes,
        satellites: args.satellites,
        replicas: REPLICAS,
        profile: args.profile,
        link: args.link,
        processes: true,
        for_: None,
        dir: None,
        service,
        domains: DOMAINS,
        heartbeat_budget: args.heartbeat_budget,
        icmp: if args.how == How::Crash { OnOff::Off } else { OnOff::On },
        json: false,
    }
}

/// The name of a profile.
pub(super) const fn profile_name(profile: ProfileName) -> &'static str {
    match profile {
        ProfileName::Fast => "fast",
        ProfileName::Default => "default",
        ProfileName::Quiet => "quiet",
    }
}

/// Bytes and packets that have come through the loopback since the machine was started.
fn loopback() -> Result<(u64, u64), Failure> {
    let text = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("lo:"));
    let mut numbers = line.unwrap_or_default().split_whitespace().map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(bytes)), Some(Ok(packets))) => Ok((bytes, packets)),
        _ => Err(Failure::failed("the system does not count what goes through its loopback")),
    }
}

/// Processes whose parent is `pid`.
fn children_of(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let parent_of = |text: &str| -> Option<u32> {
        // The command may contain anything; what follows its last parenthesis is numbers.
        text.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
    };
    let candidates = entries.flatten().filter_map(|entry| {
        let child: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        (parent_of(&stat) == Some(pid)).then_some(child)
    });
    candidates.collect()
}
