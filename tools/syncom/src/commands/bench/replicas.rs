//! A station of some replicas as processes of their own, to be written to, killed and stopped.

use crate::config::{Cluster, Config, Member};
use crate::exit::{Failure, file_failure};
use crate::place::{self, Place};
use crate::ports;
use crate::secret::Secret;
use crate::up::{PARENT, usage};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use syncom_engine::counters::CountersReader;
use syncom_seam::Counter;

/// Name of the cluster.
const NAME: &str = "bench";
/// Replicas of the station, unless more are asked for.
const REPLICAS: u16 = 3;

/// The replicas. They end when this is dropped, and so does their directory.
#[derive(Debug)]
pub(super) struct Replicas {
    dir: PathBuf,
    cluster: Cluster,
    secret: Secret,
    /// By number, from 1; none where one was killed.
    children: Vec<Option<Child>>,
    /// How far each one's wall clock is off, in ns.
    walls_ns: Vec<i64>,
    /// CPU seconds of those that were killed.
    spent_s: f64,
}

impl Replicas {
    /// Starts all of them in a new directory under `parent`; `loss_ppm` of the datagrams that they
    /// send are lost.
    pub(super) fn start(parent: &Path, loss_ppm: u32) -> Result<Self, Failure> {
        Self::start_many(parent, REPLICAS, loss_ppm)
    }

    /// The same, with so many replicas.
    pub(super) fn start_many(parent: &Path, count: u16, loss_ppm: u32) -> Result<Self, Failure> {
        let dir = parent.join(format!("syncom-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|error| file_failure("create", &dir, &error))?;
        let secret = Secret::draw(NAME)?;
        secret.write(&dir.join("secret.key"))?;
        let cluster = Cluster {
            name: NAME.into(),
            secret: "secret.key".into(),
            profile: "default".into(),
            replicas: ports::free(usize::from(count))?,
            seal: true,
        };
        place::publish(&dir, &cluster)?;
        let walls_ns = vec![0; usize::from(count)];
        let mut replicas =
            Self { dir, cluster, secret, children: Vec::new(), walls_ns, spent_s: 0.0 };
        for number in 1..=count {
            replicas.configure(number, loss_ppm)?;
            replicas.children.push(None);
            replicas.restart(number)?;
        }
        Ok(replicas)
    }

    fn configure(&self, number: u16, loss_ppm: u32) -> Result<(), Failure> {
        let name = format!("station{number}");
        let listen = self.cluster.replicas[usize::from(number) - 1];
        let member = Member {
            dir: name.clone().into(),
            name,
            number: Some(number),
            listen,
            domain: String::new(),
            link: "auto".into(),
            heartbeat_budget: 0,
            loss_ppm,
            icmp: true,
        };
        let config = Config { cluster: self.cluster.clone(), member, service: Vec::new() };
        let path = self.config(number);
        let text = toml::to_string(&config)
            .map_err(|error| Failure::failed(format!("cannot describe a replica: {error}")))?;
        std::fs::write(&path, text).map_err(|error| file_failure("write", &path, &error))
    }

    fn config(&self, number: u16) -> PathBuf {
        self.dir.join(format!("station{number}.toml"))
    }

    /// Starts a replica that does not run.
    pub(super) fn restart(&mut self, number: u16) -> Result<(), Failure> {
        let command = Command::new(program()?);
        self.spawn(number, command)
    }

    /// As [`Self::restart`], in namespaces that `unshare` makes for it.
    pub(super) fn restart_in(
        &mut self,
        number: u16,
        namespaces: Vec<String>,
    ) -> Result<(), Failure> {
        let mut command = Command::new("unshare");
        command.args(namespaces).arg(program()?);
        self.spawn(number, command)
    }

    fn spawn(&mut self, number: u16, mut command: Command) -> Result<(), Failure> {
        let log = self.dir.join(format!("station{number}.log"));
        let errors = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(|error| file_failure("write", &log, &error))?;
        let child = command
            .args(["station", "--config"])
            .arg(self.config(number))
            .env(PARENT, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::failed(format!("cannot start a replica: {error}")))?;
        self.children[usize::from(number) - 1] = Some(child);
        // Its host's clock is as wrong as it was.
        match self.walls_ns[usize::from(number) - 1] {
            0 => Ok(()),
            off_ns => self.tell_step(number, off_ns),
        }
    }

    /// Sets a replica's wall clock off by so much more, in ns. One that does not run learns of it
    /// when it starts.
    pub(super) fn step_wall(&mut self, number: u16, by_ns: i64) -> Result<(), Failure> {
        let wall_ns = &mut self.walls_ns[usize::from(number) - 1];
        *wall_ns = wall_ns.saturating_add(by_ns);
        self.tell_step(number, by_ns)
    }

    fn tell_step(&self, number: u16, by_ns: i64) -> Result<(), Failure> {
        let child = self.children[usize::from(number) - 1].as_ref();
        let Some(mut stdin) = child.and_then(|child| child.stdin.as_ref()) else { return Ok(()) };
        stdin
            .write_all(&by_ns.to_le_bytes())
            .map_err(|error| Failure::failed(format!("cannot set a replica's clock: {error}")))
    }

    /// Ends a replica with SIGKILL.
    pub(super) fn kill(&mut self, number: u16) {
        let Some(mut child) = self.children[usize::from(number) - 1].take() else { return };
        self.spent_s += usage::cpu_s(child.id());
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Sends a replica a signal by its name.
    pub(super) fn signal(&self, number: u16, name: &str) -> Result<(), Failure> {
        let Some(child) = &self.children[usize::from(number) - 1] else { return Ok(()) };
        let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
        match sent {
            Ok(status) if status.success() => Ok(()),
            Ok(_) | Err(_) => Err(Failure::failed(format!("cannot send {name} to a replica"))),
        }
    }

    /// Where the cluster is, for a client.
    pub(super) fn place(&self) -> Place {
        let replicas = self.cluster.replicas.clone();
        Place { replicas, secret: self.secret.clone(), seal: true, dir: Some(self.dir.clone()) }
    }

    /// Where their logs are.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A counter of a replica.
    pub(super) fn counter(&self, number: u16, counter: Counter) -> u64 {
        let path = self.dir.join(format!("counters/station{number}.counters"));
        CountersReader::open(&path).map_or(0, |file| file.get(counter))
    }

    /// How many there are, dead ones included.
    pub(super) fn count(&self) -> u16 {
        u16::try_from(self.children.len()).unwrap_or(u16::MAX)
    }

    /// Resident bytes of a replica; 0 when it does not run.
    pub(super) fn rss_bytes(&self, number: u16) -> u64 {
        let child = self.children[usize::from(number) - 1].as_ref();
        child.map_or(0, |child| usage::rss_bytes(child.id()))
    }

    /// Bytes of a replica's log on the disk.
    pub(super) fn log_bytes(&self, number: u16) -> u64 {
        bytes_in(&self.dir.join(format!("station{number}/log")))
    }

    /// Where a single replica is, for a client that asks nobody else.
    pub(super) fn place_of(&self, number: u16) -> Place {
        let mut place = self.place();
        place.replicas = vec![self.cluster.replicas[usize::from(number) - 1]];
        place
    }

    /// Forgets what a replica that does not run has counted.
    pub(super) fn forget_counters(&self, number: u16) {
        // It may not have counted anything yet.
        let _ = std::fs::remove_file(self.dir.join(format!("counters/station{number}.counters")));
    }

    /// CPU seconds that all of them have spent.
    pub(super) fn cpu_s(&self) -> f64 {
        let live = self.children.iter().flatten().map(|child| usage::cpu_s(child.id()));
        self.spent_s + live.sum::<f64>()
    }

    /// What a replica said last, for a message.
    pub(super) fn words(&self, number: u16) -> String {
        let log = self.dir.join(format!("station{number}.log"));
        let text = std::fs::read_to_string(log).unwrap_or_default();
        text.lines().next_back().unwrap_or_default().to_owned()
    }

    /// Replicas that ended by themselves: a bug, or a disk.
    pub(super) fn fallen(&mut self) -> Vec<u16> {
        let ended = |child: &mut Option<Child>| {
            child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))))
        };
        let numbers = (1..).zip(&mut self.children);
        numbers.filter_map(|(number, child)| ended(child).then_some(number)).collect()
    }
}

fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::failed(format!("cannot find this program: {error}")))
}

impl Drop for Replicas {
    fn drop(&mut self) {
        for child in self.children.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Bytes that the files of a directory occupy on the disk, those of directories in it included.
fn bytes_in(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_in(&entry.path()),
        Ok(meta) => meta.blocks() * 512,
        // Just removed by the store.
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}
