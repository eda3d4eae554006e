//! The cluster that is struck, and what it says of itself through the public commands.

use crate::args::suspect::Suspect;
use crate::args::{LinkName, OnOff, Up};
use crate::client::Client;
use crate::commands::nodes::{Node, Roll};
use crate::commands::status;
use crate::exit::{Failure, Outcome, file_failure};
use crate::place::{self, Local};
use crate::up::Launched;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use syncom_engine::clock;
use syncom_seam::SECOND;
use syncom_wire::Frame;
use syncom_wire::control::Verb;
use syncom_wire::member::MemberState;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// How long a cluster may take to be well again before that is a failure.
const PATIENCE_NS: u64 = 90 * SECOND;
/// A cluster has settled when no node has changed for so long.
const SETTLED_NS: u64 = SECOND;

/// Something that the station committed about a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) kind: String,
    pub(super) node: String,
    pub(super) seq: u64,
}

/// A cluster of processes, and a client of it.
#[derive(Debug)]
pub(super) struct Processes {
    launched: Launched,
    client: Client,
    dir: PathBuf,
    locals: Vec<Local>,
    nodes: usize,
    /// The next event to read.
    from: u64,
}

impl Processes {
    /// Starts the cluster in a new directory under `parent` and waits until it is well.
    pub(super) fn start(args: &Suspect, parent: &Path) -> Result<Self, Failure> {
        let dir = parent.join(format!("syncom-suspect-{}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|error| file_failure("create", &dir, &error))?;
        let up = Up {
            nodes: args.nodes,
            satellites: args.satellites,
            replicas: 3,
            profile: args.profile,
            link: LinkName::Auto,
            processes: true,
            for_: None,
            dir: None,
            service: Vec::new(),
            domains: args.domains,
            icmp: OnOff::On,
            heartbeat_budget: args.heartbeat_budget,
            json: false,
        };
        let launched = Launched::start(&up, &dir)?;
        let client = Client::open(launched.place())?;
        let nodes = args.nodes as usize;
        let mut cluster = Self { launched, client, dir, locals: Vec::new(), nodes, from: 1 };
        cluster.until_settled()?;
        cluster.locals = place::local_members(&cluster.dir);
        cluster.news()?;
        Ok(cluster)
    }

    /// Its members on this machine.
    pub(super) fn locals(&self) -> &[Local] {
        &self.locals
    }

    /// Sends a signal to some members at once.
    pub(super) fn signal(&self, names: &[String], signal: &str) -> Outcome {
        let pids = self.locals.iter().filter(|local| names.contains(&local.name));
        let pids: Vec<String> = pids.map(|local| local.pid.to_string()).collect();
        match Command::new("kill").arg(signal).args(&pids).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(_) | Err(_) => Err(Failure::failed(format!("cannot send {signal} to {names:?}"))),
        }
    }

    /// Which life each node is in, by name.
    pub(super) fn lives(&mut self) -> Result<BTreeMap<String, u32>, Failure> {
        let roll = Roll::ask(&mut self.client)?;
        Ok(roll.0.values().map(|node| (node.name.clone(), node.head.incarnation.0)).collect())
    }

    /// What has been committed about nodes since the last call.
    pub(super) fn news(&mut self) -> Result<Vec<News>, Failure> {
        let (mut news, mut from) = (Vec::new(), self.from);
        self.client.pages(Verb::Events, from, &[], |frame| {
            if let Frame::Event(event) = frame {
                from = from.max(event.head.seq + 1);
                news.push(News {
                    kind: event.kind.into(),
                    node: event.subject.into(),
                    seq: event.head.seq,
                });
            }
        })?;
        self.from = from;
        Ok(news)
    }

    /// Waits until every node and every satellite is well; how long that took, in ns.
    pub(super) fn until_well(&mut self) -> Result<u64, Failure> {
        self.until("all members are well again", 0)
    }

    /// Waits until every node has been well for a while.
    pub(super) fn until_settled(&mut self) -> Outcome {
        self.until("all nodes are well", SETTLED_NS).map(|_| ())
    }

    fn until(&mut self, what: &str, for_ns: u64) -> Result<u64, Failure> {
        let began = clock::now();
        loop {
            if let Some(trouble) = self.launched.troubles().first() {
                return Err(Failure::failed(trouble.clone()));
            }
            let waited_ns = clock::now().since(began);
            // A station that is starved may leave a question open.
            if self.is_well(for_ns).unwrap_or(false) {
                return Ok(waited_ns);
            }
            if waited_ns > PATIENCE_NS {
                let roll = Roll::ask(&mut self.client)?;
                let ill = roll.0.values().filter(|node| node.state() != MemberState::Alive);
                let ill = roll.fold(ill.map(Node::slot));
                return Err(Failure::failed(format!("never happened: {what}; not well: {ill}")));
            }
            self.client.wait(LOOK);
        }
    }

    fn is_well(&mut self, for_ns: u64) -> Result<bool, Failure> {
        let latest_ns = clock::read().wall.0.saturating_sub(for_ns);
        let roll = Roll::ask(&mut self.client)?;
        let snapshot = status::ask(&mut self.client)?;
        let alive = MemberState::Alive as u8;
        let serve = snapshot.satellites.iter().all(|satellite| satellite.state == alive);
        let live = roll.0.values().filter(|node| {
            node.state() == MemberState::Alive && (for_ns == 0 || node.head.since_ns <= latest_ns)
        });
        Ok(serve && live.count() == self.nodes && roll.0.len() == self.nodes)
    }

    /// What `syncom explain` says of an event.
    pub(super) fn explain(&self, seq: u64) -> String {
        let Ok(program) = std::env::current_exe() else { return String::new() };
        let said = Command::new(program)
            .arg("--cluster")
            .arg(&self.dir)
            .args(["explain", &seq.to_string()])
            .output();
        said.map_or_else(
            |error| error.to_string(),
            |said| String::from_utf8_lossy(&said.stdout).trim().to_owned(),
        )
    }

    /// Stops it; its directory stays when there is something to be seen in it.
    pub(super) fn stop(self, is_kept: bool) {
        let Self { launched, dir, .. } = self;
        drop(launched);
        if !is_kept {
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}
