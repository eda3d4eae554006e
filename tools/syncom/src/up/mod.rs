//! `syncom up`: a whole cluster on this machine, loopback only, without set-up.

mod embedded;
pub(crate) mod processes;
pub(crate) mod usage;
mod watch;

use crate::args::{self, LinkName};
use crate::config::Cluster;
use crate::exit::{Failure, Outcome, file_failure};
use crate::place::{self, Place};
use crate::secret::{Secret, user};
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use syncom_engine::clock;
use syncom_seam::Time;

/// Environment variable that tells a member to stop when its standard input closes, and to step its
/// wall clock by each eight bytes that come over it: ns, signed, little-endian.
pub const PARENT: &str = "SYNCOM_PARENT";

/// Name of clusters that `up` makes.
const NAME: &str = "up";

/// What a second cluster in one directory is told.
const BUSY: &str =
    "a cluster already runs in it; stop that, or choose another directory with --dir";

/// A cluster about to start.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    args: &'a args::Up,
    dir: PathBuf,
    secret: Secret,
    began: Time,
}

/// What keeps a started cluster running; dropping it stops it.
trait Running {
    /// What went wrong since the last call, as lines for a person.
    fn troubles(&mut self) -> Vec<String>;
    /// Replicas that still run.
    fn replicas(&mut self) -> usize;
    /// Processes of the members, this one aside.
    fn pids(&self) -> Vec<u32>;
}

/// Runs the command.
///
/// # Errors
/// A directory in use or not writable; members that cannot start.
pub fn run(args: &args::Up) -> Outcome {
    let began = clock::now();
    match args.link {
        LinkName::Auto | LinkName::Mmsg | LinkName::Uring => {}
        LinkName::Xdp => {
            return Err(Failure::usage(
                "up stays on the loopback, where AF_XDP has no card to receive from and nothing to \
                 gain; leave --link out or say mmsg or uring",
            ));
        }
        LinkName::Mem => {
            return Err(Failure::usage(
                "up cannot run over mem: other commands reach its members by UDP, and nothing \
                 wakes a thread that waits for a link of mem; leave --link out or say mmsg or uring",
            ));
        }
    }
    let per_node = if args.link == LinkName::Uring { 4 } else { 1 };
    let files = u64::from(args.nodes) * per_node + 512;
    let allowed = syncom_engine::host_info::allow_open_files(files).map_err(|error| {
        Failure::failed(format!("cannot raise the limit of open files: {error}"))
    })?;
    if !args.processes && allowed < files {
        return Err(Failure::failed(format!(
            "{} nodes open {files} files but only {allowed} are allowed; type: ulimit -Hn {files}",
            args.nodes
        )));
    }
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => private(place::default_dir())?,
    };
    let _lock = place::lock(&dir, BUSY)?;
    if args.dir.is_none() {
        empty(&dir)?;
    }
    let secret = keep_secret(&dir)?;
    let plan = Plan { args, dir, secret, began };
    let (replicas, mut running): (Vec<SocketAddr>, Box<dyn Running>) = if args.processes {
        let (replicas, cluster) = processes::start(&plan)?;
        (replicas, Box::new(cluster))
    } else {
        let (replicas, cluster) = embedded::start(&plan)?;
        (replicas, Box::new(cluster))
    };
    let cluster = plan.cluster(&replicas);
    place::publish(&plan.dir, &cluster)?;
    let place = plan.place(replicas);
    watch::watch(&plan, place, running.as_mut())
}

impl<'a> Plan<'a> {
    /// A cluster in an empty directory, with a secret of its own.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub(crate) fn new(args: &'a args::Up, dir: PathBuf) -> Result<Self, Failure> {
        std::fs::create_dir_all(&dir).map_err(|error| file_failure("create", &dir, &error))?;
        let secret = keep_secret(&dir)?;
        Ok(Self { args, dir, secret, began: clock::now() })
    }

    /// Where the cluster is, for a client, once its replicas listen there.
    pub(crate) fn place(&self, replicas: Vec<SocketAddr>) -> Place {
        let dir = Some(self.dir.clone());
        Place { replicas, secret: self.secret.clone(), seal: true, dir }
    }

    fn cluster(&self, replicas: &[SocketAddr]) -> Cluster {
        let profile = match self.args.profile {
            args::ProfileName::Fast => "fast",
            args::ProfileName::Default => "default",
            args::ProfileName::Quiet => "quiet",
        };
        Cluster {
            name: NAME.into(),
            secret: "secret.key".into(),
            profile: profile.into(),
            replicas: replicas.to_vec(),
            seal: true,
        }
    }

    /// The failure domain of node `number`.
    fn domain(&self, number: u32) -> String {
        domain(number, self.args.domains)
    }
}

/// The failure domain of node `number` where there are so many.
pub(crate) fn domain(number: u32, domains: u32) -> String {
    format!("rack{}", (number - 1) % domains + 1)
}

/// A cluster of processes that nobody watches: for benches. It stops when this is dropped, or when
/// this process dies.
#[derive(Debug)]
pub(crate) struct Launched {
    running: processes::Processes,
    place: Place,
    _lock: File,
}

impl Launched {
    /// Starts it in `dir`.
    ///
    /// # Errors
    /// A directory in use or not writable; members that cannot start.
    pub(crate) fn start(args: &args::Up, dir: &Path) -> Result<Self, Failure> {
        let lock = place::lock(dir, BUSY)?;
        let secret = keep_secret(dir)?;
        let plan = Plan { args, dir: dir.to_path_buf(), secret, began: clock::now() };
        let (replicas, running) = processes::start(&plan)?;
        place::publish(dir, &plan.cluster(&replicas))?;
        let place = Place { replicas, secret: plan.secret, seal: true, dir: Some(plan.dir) };
        Ok(Self { running, place, _lock: lock })
    }

    /// Where it is, for a client.
    pub(crate) fn place(&self) -> Place {
        self.place.clone()
    }

    /// Members that ended by themselves since the last call, as lines for a person.
    pub(crate) fn troubles(&mut self) -> Vec<String> {
        self.running.troubles()
    }
}

/// The default directory, readable by its owner only; refused when somebody else made it.
fn private(dir: PathBuf) -> Result<PathBuf, Failure> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .map_err(|error| file_failure("create", &dir, &error))?;
    let meta = std::fs::metadata(&dir).map_err(|error| file_failure("look at", &dir, &error))?;
    if meta.uid() != user() || meta.mode() & 0o022 != 0 {
        return Err(Failure::failed(format!(
            "{} belongs to somebody else or others may write to it; choose another with --dir",
            dir.display()
        )));
    }
    Ok(dir)
}

/// Removes what an earlier cluster left in the default directory.
fn empty(dir: &Path) -> Result<(), Failure> {
    let failed = |error| file_failure("empty", dir, &error);
    for entry in std::fs::read_dir(dir).map_err(failed)?.flatten() {
        let path = entry.path();
        if path.file_name().is_some_and(|name| name == "lock") {
            continue;
        }
        let removed = if path.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.map_err(failed)?;
    }
    Ok(())
}

/// The secret of an earlier start, or a new one. Also forgets who ran here before.
fn keep_secret(dir: &Path) -> Result<Secret, Failure> {
    let _ = std::fs::remove_dir_all(dir.join("run"));
    let path = dir.join("secret.key");
    if path.exists() {
        return Secret::read(&path);
    }
    let secret = Secret::draw(NAME)?;
    secret.write(&path)?;
    Ok(secret)
}
