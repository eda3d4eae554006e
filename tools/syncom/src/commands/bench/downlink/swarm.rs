//! A replica, satellites and thousands of agents on threads of this process.

use crate::args::downlink::Downlink;
use crate::assemble::{self, Common};
use crate::client::Client;
use crate::exit::{Failure, file_failure};
use crate::place::Place;
use crate::secret::Secret;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;
use syncom_agent::AgentConfig;
use syncom_engine::clock;
use syncom_engine::counters::Counters;
use syncom_engine::host::{Host, HostHandle, Member};
use syncom_engine::link::{Link, Options};
use syncom_group::{INTERVAL_MAX_NS, Profile};
use syncom_seam::{Counter, Role, SECOND};
use syncom_wire::control::Verb;
use syncom_wire::{Addr, Boot, Frame, Uuid, ids};

/// Any free port on this machine.
const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 0);
/// Heartbeats that take the processor from what is measured as little as can be.
const STILL: Profile = Profile {
    name: "still",
    interval_ns: INTERVAL_MAX_NS,
    misses: 16,
    margin_min_ns: SECOND,
    home_interval_ns: INTERVAL_MAX_NS,
};
/// How long joining may take.
const JOINS_MAX_NS: u64 = 60 * SECOND;
/// Pause between two looks at how many have joined.
const LOOK: Duration = Duration::from_millis(100);

/// The threads, and what their members count.
pub(super) struct Swarm {
    /// The station's, the satellites', the agents'.
    threads: Vec<(HostHandle, Option<JoinHandle<()>>)>,
    nodes: u32,
    agents: Vec<Counters>,
    place: Place,
    dir: PathBuf,
}

impl Swarm {
    /// Starts all of them.
    pub(super) fn start(args: &Downlink) -> Result<Self, Failure> {
        allow_files(args.nodes)?;
        let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
        let dir = parent.join(format!("syncom-downlink-{}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|error| file_failure("create", &dir, &error))?;
        let secret = Secret::draw("downlink")?;
        let common = Common { secret: secret.clone(), seal: true, profile: STILL, counters: None };
        let link = open(&Options::LARGE)?;
        let replicas = vec![SocketAddr::from(link.local_addr())];
        let place = Place { replicas: replicas.clone(), secret, seal: true, dir: None };
        let (threads, agents) = (Vec::new(), Vec::new());
        let mut swarm = Self { threads, nodes: args.nodes, agents, place, dir };
        let boot = assemble::next_boot(&swarm.dir)?;
        let log = swarm.dir.join("station1");
        let station = assemble::station(&common, "station1", 1, link, &replicas, &log)?;
        swarm.spawn("station", vec![station])?;
        for number in 1..=args.satellites {
            let (name, link) = (format!("sat{number}"), open(&Options::LARGE)?);
            let satellite = assemble::satellite(&common, &name, "", number, link, &replicas, boot)?;
            swarm.spawn(&name, vec![satellite])?;
        }
        let numbers: Vec<u32> = (1..=args.nodes).collect();
        for (thread, share) in
            (1..).zip(numbers.chunks(numbers.len().div_ceil(args.threads.into())))
        {
            let agent = |number: &u32| {
                let config = agent_config(*number, boot, &replicas);
                assemble::agent(&common, config, open(&Options::SMALL)?)
            };
            let members = share.iter().map(agent).collect::<Result<Vec<_>, _>>()?;
            swarm.agents.extend(members.iter().map(|member| member.counters.clone()));
            swarm.spawn(&format!("agents{thread}"), members)?;
        }
        Ok(swarm)
    }

    fn spawn<R: Role + Send + 'static>(
        &mut self,
        name: &str,
        members: Vec<Member<R>>,
    ) -> Result<(), Failure> {
        let cannot = |error| Failure::failed(format!("cannot start {name}: {error}"));
        let mut host = Host::new(Box::new(|_, _| {})).map_err(cannot)?;
        for member in members {
            host.add(member).map_err(cannot)?;
        }
        let handle = host.handle();
        let builder = std::thread::Builder::new().name(name.into());
        // What breaks the loop shows as destinations that are missing.
        let thread = builder.spawn(move || drop(host.run())).map_err(cannot)?;
        self.threads.push((handle, Some(thread)));
        Ok(())
    }

    /// Where the cluster is, for a client.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// Waits until all nodes are alive.
    pub(super) fn await_all(&self, client: &mut Client) -> Result<(), Failure> {
        let until = clock::now().after(JOINS_MAX_NS);
        let mut alive = 0;
        while clock::now() < until {
            client.pages(Verb::Status, 0, &[], |frame| {
                if let Frame::Status(status) = frame {
                    alive = status.head.alive;
                }
            })?;
            if alive >= self.nodes {
                return Ok(());
            }
            client.wait(LOOK);
        }
        Err(Failure::failed(format!("only {alive} of {} nodes came alive in time", self.nodes)))
    }

    /// How many orders each agent has executed.
    pub(super) fn executed(&self) -> Vec<u64> {
        self.agents.iter().map(|counters| counters.get(Counter::OrdersExecuted)).collect()
    }

    /// How often since then an agent has executed one more than the first.
    pub(super) fn executed_twice_since(&self, before: &[u64]) -> u64 {
        let now = self.executed();
        now.iter().zip(before).map(|(now, before)| (now - before).saturating_sub(1)).sum()
    }

    /// Ends the first so many satellites as if they had been killed.
    pub(super) fn kill_satellites(&mut self, many: u16) {
        for (handle, _) in self.threads.iter().skip(1).take(many.into()) {
            handle.kill(0);
        }
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        for (handle, _) in &self.threads {
            handle.stop();
        }
        for (_, thread) in &mut self.threads {
            let _ = thread.take().map(JoinHandle::join);
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn open(options: &Options) -> Result<Box<dyn Link>, Failure> {
    assemble::open_link("mmsg", LISTEN.into(), options)
}

fn allow_files(nodes: u32) -> Result<(), Failure> {
    // One socket for each, and for each another one beside it.
    let files = 2 * u64::from(nodes) + 512;
    let allowed = syncom_engine::host_info::allow_open_files(files);
    let allowed = allowed
        .map_err(|error| Failure::failed(format!("cannot raise the limit of open files: {error}")));
    if allowed? < files {
        return Err(Failure::failed(format!(
            "{nodes} destinations open {files} files, which are not allowed; type: ulimit -Hn {files}"
        )));
    }
    Ok(())
}

fn agent_config(number: u32, boot: Boot, replicas: &[SocketAddr]) -> AgentConfig {
    let mut uuid = [0; 16];
    uuid[..8].copy_from_slice(&ids::mix(u64::from(number)).to_le_bytes());
    uuid[8..].copy_from_slice(&boot.0.to_le_bytes());
    let seeds = assemble::addrs(replicas).collect();
    let seed = ids::mix(ids::hash(&uuid) ^ boot.0);
    let name = format!("node{number}");
    let mut config = AgentConfig::new(Uuid(uuid), boot, &name, Addr::NONE, seeds, seed);
    config.domain = format!("rack{}", number % 10);
    config
}
