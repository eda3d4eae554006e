//! Where a cluster is: its directory, who of it runs on this machine, and how commands find it.

use crate::config::Cluster;
use crate::exit::{Failure, file_failure};
use crate::secret::{Secret, user};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A member that runs, or ran, on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    /// Its name.
    pub name: String,
    /// `station`, `satellite` or `agent`.
    pub role: String,
    /// Its process.
    pub pid: u32,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// A cluster as a command finds it.
#[derive(Clone, Debug)]
pub struct Place {
    /// Addresses of the replicas.
    pub replicas: Vec<SocketAddr>,
    /// Its secret.
    pub secret: Secret,
    /// Whether datagrams are sealed.
    pub seal: bool,
    /// Its directory on this machine, if it has one.
    pub dir: Option<PathBuf>,
}

/// The file in a cluster's directory that tells commands where the replicas are.
const CLUSTER_FILE: &str = "cluster.toml";

#[derive(Debug, Serialize, Deserialize)]
struct ClusterFile {
    cluster: Cluster,
}

/// The directory that `up` uses when none is given: per user, empty at each start.
#[must_use]
pub fn default_dir() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(base) if !base.is_empty() => PathBuf::from(base).join("syncom"),
        _ => PathBuf::from(format!("/tmp/syncom-{}", user())),
    }
}

/// Takes the directory for this process alone, creating it if needed. `busy` says to whom it belongs
/// when it is taken, and what to do.
///
/// # Errors
/// When another process has it, or it cannot be written.
pub fn lock(dir: &Path, busy: &str) -> Result<File, Failure> {
    std::fs::create_dir_all(dir).map_err(|error| file_failure("create", dir, &error))?;
    let path = dir.join("lock");
    let file = File::create(&path).map_err(|error| file_failure("write", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Failure::failed(format!("{} is in use: {busy}", dir.display())))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(file_failure("lock", &path, &error)),
    }
}

/// Writes where the replicas are, for commands.
///
/// # Errors
/// When the file cannot be written.
pub fn publish(dir: &Path, cluster: &Cluster) -> Result<(), Failure> {
    let path = dir.join(CLUSTER_FILE);
    let text = toml::to_string(&ClusterFile { cluster: cluster.clone() })
        .map_err(|error| Failure::failed(format!("cannot describe the cluster: {error}")))?;
    replace(&path, text.as_bytes())
}

/// Writes anew where the replicas are.
///
/// # Errors
/// When the file cannot be read or written.
pub fn republish(dir: &Path, replicas: &[SocketAddr]) -> Result<(), Failure> {
    publish(dir, &Cluster { replicas: replicas.to_vec(), ..cluster(dir)? })
}

/// The cluster as its directory describes it.
///
/// # Errors
/// When there is none, or the file is no such thing.
pub fn cluster(dir: &Path) -> Result<Cluster, Failure> {
    let path = dir.join(CLUSTER_FILE);
    let text =
        std::fs::read_to_string(&path).map_err(|error| file_failure("read", &path, &error))?;
    let file: ClusterFile = toml::from_str(&text)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    Ok(file.cluster)
}

/// Says that a member runs here.
///
/// # Errors
/// When the file cannot be written.
pub fn publish_member(dir: &Path, local: &Local) -> Result<(), Failure> {
    let run = dir.join("run");
    std::fs::create_dir_all(&run).map_err(|error| file_failure("create", &run, &error))?;
    let text = serde_json::to_vec(local)
        .map_err(|error| Failure::failed(format!("cannot describe the member: {error}")))?;
    replace(&run.join(format!("{}.json", local.name)), &text)
}

/// Members that run on this machine now, by name.
#[must_use]
pub fn local_members(dir: &Path) -> Vec<Local> {
    let Ok(entries) = std::fs::read_dir(dir.join("run")) else { return Vec::new() };
    let mut members: Vec<Local> = entries
        .flatten()
        .filter_map(|entry| serde_json::from_slice(&std::fs::read(entry.path()).ok()?).ok())
        .filter(|local: &Local| Path::new(&format!("/proc/{}", local.pid)).exists())
        .collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    members
}

/// Replaces a file as a whole, so that readers see the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, bytes)
        .and_then(|()| std::fs::rename(&fresh, path))
        .map_err(|error| file_failure("write", path, &error))
}

/// Finds the cluster that a command is about: `--cluster` or `SYNCOM_CLUSTER`, else the default
/// directory.
///
/// # Errors
/// Says what was looked for and how to start or name a cluster.
pub fn find(given: Option<&str>) -> Result<Place, Failure> {
    if let Some(text) = given
        && let Ok(addr) = text.parse::<SocketAddr>()
    {
        let Some(path) = std::env::var_os("SYNCOM_SECRET") else {
            return Err(Failure::usage(
                "--cluster with an address also needs the secret; set SYNCOM_SECRET to its file",
            ));
        };
        let secret = Secret::read(Path::new(&path))?;
        return Ok(Place { replicas: vec![addr], secret, seal: true, dir: None });
    }
    let dir = given.map_or_else(default_dir, PathBuf::from);
    let path = dir.join(CLUSTER_FILE);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Failure::unreachable(format!(
            "no cluster in {} ({error}); start one with `syncom up`, or name one with --cluster",
            dir.display()
        ))
    })?;
    let ClusterFile { cluster } = toml::from_str(&text)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    let secret = Secret::read(&dir.join(&cluster.secret))?;
    if secret.cluster != cluster.name {
        return Err(Failure::usage(format!(
            "{} names cluster {:?} but its secret belongs to {:?}",
            path.display(),
            cluster.name,
            secret.cluster
        )));
    }
    Ok(Place { replicas: cluster.replicas, secret, seal: cluster.seal, dir: Some(dir) })
}
