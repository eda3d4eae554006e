//! Members as processes of their own, each with its configuration file: what can be killed, stopped
//! and looked at with the system's own tools.

use super::{PARENT, Plan, Running};
use crate::args::OnOff;
use crate::config::{Config, Member, Service};
use crate::exit::{Failure, file_failure};
use crate::ports;
use crate::show;
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use syncom_engine::clock;
use syncom_seam::SECOND;

/// How often members that stop are looked at.
const LOOK: Duration = Duration::from_millis(5);
/// How long members may take to stop.
const STOP_NS: u64 = 5 * SECOND;

/// The processes. They stop when this is dropped, or when this process dies: their standard input
/// closes.
#[derive(Debug)]
pub(crate) struct Processes {
    program: PathBuf,
    children: Vec<Process>,
}

#[derive(Debug)]
struct Process {
    name: String,
    role: &'static str,
    child: Child,
    config: PathBuf,
    log: PathBuf,
}

/// Starts all members; returns where the replicas listen.
///
/// # Errors
/// The first member that cannot start.
pub(crate) fn start(plan: &Plan<'_>) -> Result<(Vec<SocketAddr>, Processes), Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::failed(format!("cannot find this program's file: {error}")))?;
    let replicas = ports::free(usize::from(plan.args.replicas))?;
    let mut cluster = Processes { program, children: Vec::new() };
    for (number, listen) in (1..).zip(&replicas) {
        let name = format!("station{number}");
        let config = config(plan, &replicas, &name, Some(number), *listen, String::new());
        cluster.spawn(plan, "station", &config)?;
    }
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    for number in 1..=plan.args.satellites {
        let name = format!("sat{number}");
        let config = config(plan, &replicas, &name, Some(number), any, String::new());
        cluster.spawn(plan, "satellite", &config)?;
    }
    for number in 1..=plan.args.nodes {
        let name = format!("node{number}");
        let mut config = config(plan, &replicas, &name, None, any, plan.domain(number));
        config.member.heartbeat_budget = plan.args.heartbeat_budget.unwrap_or(0);
        config.service = plan
            .args
            .service
            .iter()
            .map(|(name, command)| Service { name: name.clone(), command: command.clone() })
            .collect();
        cluster.spawn(plan, "agent", &config)?;
    }
    Ok((replicas, cluster))
}

fn config(
    plan: &Plan<'_>,
    replicas: &[SocketAddr],
    name: &str,
    number: Option<u16>,
    listen: SocketAddr,
    domain: String,
) -> Config {
    Config {
        cluster: plan.cluster(replicas),
        member: Member {
            name: name.into(),
            number,
            listen,
            domain,
            dir: name.into(),
            link: plan.args.link.name().into(),
            heartbeat_budget: 0,
            loss_ppm: 0,
            icmp: plan.args.icmp == OnOff::On,
        },
        service: Vec::new(),
    }
}

impl Processes {
    fn spawn(
        &mut self,
        plan: &Plan<'_>,
        role: &'static str,
        config: &Config,
    ) -> Result<(), Failure> {
        let name = config.member.name.clone();
        let path = plan.dir.join(format!("{name}.toml"));
        let text = toml::to_string(config)
            .map_err(|error| Failure::failed(format!("cannot describe {name}: {error}")))?;
        std::fs::write(&path, text).map_err(|error| file_failure("write", &path, &error))?;
        let log = plan.dir.join(format!("{name}.log"));
        let child = self.launch(role, &name, &path, &log)?;
        self.children.push(Process { name, role, child, config: path, log });
        Ok(())
    }

    fn launch(&self, role: &str, name: &str, config: &Path, log: &Path) -> Result<Child, Failure> {
        let errors = File::create(log).map_err(|error| file_failure("write", log, &error))?;
        Command::new(&self.program)
            .args([role, "--config"])
            .arg(config)
            .env(PARENT, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(errors)
            // Ctrl-C is for this process, which then stops them in good order.
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::failed(format!("cannot start {name}: {error}")))
    }

    /// The process of a member.
    pub(crate) fn pid(&self, name: &str) -> Option<u32> {
        self.children.iter().find(|process| process.name == name).map(|one| one.child.id())
    }

    /// Ends a member with SIGKILL and waits until it is gone; false when there is none.
    pub(crate) fn kill(&mut self, name: &str) -> bool {
        let Some(process) = self.children.iter_mut().find(|process| process.name == name) else {
            return false;
        };
        process.child.kill().is_ok() && process.child.wait().is_ok()
    }

    /// Starts a member anew that was killed.
    ///
    /// # Errors
    /// When it is no member, or cannot be started.
    pub(crate) fn restart(&mut self, name: &str) -> Result<(), Failure> {
        let at = self.children.iter().position(|process| process.name == name);
        let at = at.ok_or_else(|| Failure::failed(format!("there is no member {name}")))?;
        let Process { role, config, log, .. } = &self.children[at];
        let child = self.launch(role, name, config, log)?;
        self.children[at].child = child;
        Ok(())
    }

    /// Ends all members with SIGKILL: nobody has to be told.
    pub(crate) fn kill_all(&mut self) {
        for Process { child, .. } in &mut self.children {
            let _ = child.kill();
        }
        for Process { child, .. } in &mut self.children {
            let _ = child.wait();
        }
    }

    /// Ends all members in good order: they stop when their standard input closes, and one that hangs
    /// is killed.
    pub(crate) fn end(&mut self) {
        for process in &mut self.children {
            drop(process.child.stdin.take());
        }
        let give_up = clock::now().after(STOP_NS);
        for Process { name, child, .. } in &mut self.children {
            while matches!(child.try_wait(), Ok(None)) {
                if clock::now() >= give_up {
                    show::tell(&format!("{name} (pid {}) does not stop: killed", child.id()));
                    let _ = child.kill();
                    let _ = child.wait();
                    break;
                }
                std::thread::park_timeout(LOOK);
            }
        }
    }

    /// Processes of one role.
    pub(crate) fn pids_of(&self, role: &str) -> Vec<u32> {
        let of_role = self.children.iter().filter(|process| process.role == role);
        of_role.map(|process| process.child.id()).collect()
    }
}

impl Running for Processes {
    fn troubles(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        self.children.retain_mut(|Process { name, child, log, .. }| match child.try_wait() {
            Ok(Some(status)) => {
                let words = std::fs::read_to_string(log).unwrap_or_default();
                let last = words.lines().last().unwrap_or_default();
                lines.push(format!("{name} (pid {}) ended: {status}; {last}", child.id()));
                false
            }
            Ok(None) | Err(_) => true,
        });
        lines
    }

    fn replicas(&mut self) -> usize {
        self.children.iter().filter(|child| child.role == "station").count()
    }

    fn pids(&self) -> Vec<u32> {
        self.children.iter().map(|process| process.child.id()).collect()
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.end();
    }
}
