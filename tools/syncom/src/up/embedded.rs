//! Members as threads of this process: replicas and satellites one each, agents a few hundred each.

use super::{Plan, Running};
use crate::args::OnOff;
use crate::assemble::{self, Common};
use crate::exit::Failure;
use crate::member;
use crate::place::{self, Local};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use syncom_agent::{AgentConfig, ServiceConfig};
use syncom_engine::host::{Host, HostHandle, Member, Sink};
use syncom_engine::link::{Link, Options};
use syncom_seam::{Notice, Role};
use syncom_wire::{Addr, Boot, Uuid, ids};

/// Any free port on this machine.
const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 0);
/// Agents of one thread: more threads than cores only add switches.
const AGENTS_PER_THREAD: u32 = 500;
/// Agents that local commands may speak to.
const AGENTS_PUBLISHED: u32 = 8;

/// The threads and what they had to say.
#[derive(Debug)]
pub(super) struct Embedded {
    /// The replicas' come first.
    threads: Vec<(HostHandle, JoinHandle<()>)>,
    replicas: usize,
    troubles: Arc<Mutex<Vec<String>>>,
}

/// Starts all members; returns where the replicas listen.
///
/// # Errors
/// The first member that cannot start.
pub(super) fn start(plan: &Plan<'_>) -> Result<(Vec<SocketAddr>, Embedded), Failure> {
    let mut cluster = Embedded {
        threads: Vec::new(),
        replicas: usize::from(plan.args.replicas),
        troubles: Arc::default(),
    };
    let common = Common {
        secret: plan.secret.clone(),
        seal: true,
        profile: assemble::profile(plan.args.profile),
        counters: Some(plan.dir.join("counters")),
    };
    let boot = assemble::next_boot(&plan.dir)?;
    let hears_refusals = plan.args.icmp == OnOff::On;
    let options = Options { hears_refusals, ..Options::LARGE };
    let open = || assemble::open_link(plan.args.link.name(), LISTEN.into(), &options);
    let links: Vec<Box<dyn Link>> =
        (0..plan.args.replicas).map(|_| open()).collect::<Result<_, _>>()?;
    let replicas: Vec<SocketAddr> =
        links.iter().map(|link| SocketAddr::from(link.local_addr())).collect();
    for (number, link) in (1..).zip(links) {
        let name = format!("station{number}");
        let dir = plan.dir.join(&name);
        publish(plan, &name, "station", link.local_addr())?;
        let member = assemble::station(&common, &name, number, link, &replicas, &dir)?;
        cluster.spawn(&name, vec![(name.clone(), member)])?;
    }
    for number in 1..=plan.args.satellites {
        let name = format!("sat{number}");
        let link = open()?;
        publish(plan, &name, "satellite", link.local_addr())?;
        let member = assemble::satellite(&common, &name, "", number, link, &replicas, boot)?;
        cluster.spawn(&name, vec![(name.clone(), member)])?;
    }
    start_agents(plan, &common, boot, &replicas, &mut cluster)?;
    Ok((replicas, cluster))
}

fn start_agents(
    plan: &Plan<'_>,
    common: &Common,
    boot: Boot,
    replicas: &[SocketAddr],
    cluster: &mut Embedded,
) -> Result<(), Failure> {
    // One counters file per node would be a thousand files; agents count in memory.
    let common = Common { counters: None, ..common.clone() };
    let base = member::uuid(&plan.dir)?;
    let nodes: Vec<u32> = (1..=plan.args.nodes).collect();
    let threads = plan.args.nodes.div_ceil(AGENTS_PER_THREAD).max(plan.args.nodes.min(2));
    let share = nodes.len().div_ceil(threads as usize);
    for (thread, numbers) in nodes.chunks(share).enumerate() {
        let mut members = Vec::with_capacity(numbers.len());
        for number in numbers {
            let config = agent_config(plan, *number, base, boot, replicas);
            let name = config.name.clone();
            let link_name = plan.args.link.name();
            let options = Options { hears_refusals: plan.args.icmp == OnOff::On, ..Options::SMALL };
            let link = assemble::open_link(link_name, LISTEN.into(), &options)?;
            if *number <= AGENTS_PUBLISHED {
                publish(plan, &name, "agent", link.local_addr())?;
            }
            members.push((name, assemble::agent(&common, config, link)?));
        }
        cluster.spawn(&format!("agents{}", thread + 1), members)?;
    }
    Ok(())
}

/// The agent of node `number`. Its UUID follows from `base`, so that a restart with the same
/// directory finds the same nodes.
fn agent_config(
    plan: &Plan<'_>,
    number: u32,
    base: Uuid,
    boot: Boot,
    replicas: &[SocketAddr],
) -> AgentConfig {
    let name = format!("node{number}");
    let uuid = node_uuid(base, &name);
    let seeds = assemble::addrs(replicas).collect();
    let seed = ids::mix(ids::hash(&uuid.0) ^ boot.0);
    let mut config = AgentConfig::new(uuid, boot, &name, Addr::NONE, seeds, seed);
    config.domain = plan.domain(number);
    config.budget = plan.args.heartbeat_budget.unwrap_or(0);
    config.services = plan
        .args
        .service
        .iter()
        .map(|(name, argv)| ServiceConfig { name: name.clone(), argv: argv.clone() })
        .collect();
    config
}

/// The UUID of the node with this name: it follows from the directory's own.
fn node_uuid(base: Uuid, name: &str) -> Uuid {
    let half = |salt: u8| ids::hash(&[&base.0, name.as_bytes(), &[salt]].concat()).to_be_bytes();
    let mut uuid = [0; 16];
    uuid[..8].copy_from_slice(&half(0));
    uuid[8..].copy_from_slice(&half(1));
    Uuid(uuid)
}

fn publish(plan: &Plan<'_>, name: &str, role: &str, addr: Addr) -> Result<(), Failure> {
    let local =
        Local { name: name.into(), role: role.into(), pid: std::process::id(), addr: addr.into() };
    place::publish_member(&plan.dir, &local)
}

impl Embedded {
    fn spawn<R: Role + Send + 'static>(
        &mut self,
        thread: &str,
        members: Vec<(String, Member<R>)>,
    ) -> Result<(), Failure> {
        let cannot = |error| Failure::failed(format!("cannot start {thread}: {error}"));
        let names: Vec<String> = members.iter().map(|(name, _)| name.clone()).collect();
        let mut host = Host::new(self.sink(names)).map_err(cannot)?;
        for (_, member) in members {
            host.add(member).map_err(cannot)?;
        }
        let handle = host.handle();
        let troubles = Arc::clone(&self.troubles);
        let name = thread.to_owned();
        let joined = std::thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                if let Err(error) = host.run() {
                    note(&troubles, format!("{name}: the main loop failed: {error}"));
                }
            })
            .map_err(cannot)?;
        self.threads.push((handle, joined));
        Ok(())
    }

    fn sink(&self, names: Vec<String>) -> Sink {
        let troubles = Arc::clone(&self.troubles);
        Box::new(move |member, notice| {
            if let Notice::Fatal(text) = notice {
                let name = names.get(member).map_or("a member", String::as_str);
                note(&troubles, format!("{name} stopped: {text}"));
            }
        })
    }
}

fn note(troubles: &Mutex<Vec<String>>, line: String) {
    if let Ok(mut lines) = troubles.lock() {
        lines.push(line);
    }
}

impl Running for Embedded {
    fn troubles(&mut self) -> Vec<String> {
        self.troubles.lock().map(|mut lines| std::mem::take(&mut *lines)).unwrap_or_default()
    }

    fn replicas(&mut self) -> usize {
        let replicas = self.threads.iter().take(self.replicas);
        replicas.filter(|(_, thread)| !thread.is_finished()).count()
    }

    fn pids(&self) -> Vec<u32> {
        Vec::new()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        for (handle, _) in &self.threads {
            handle.stop();
        }
        for (_, joined) in self.threads.drain(..) {
            let _ = joined.join();
        }
    }
}
