//! A member's configuration file: what must agree across the cluster, and what is this member's own.

mod template;

pub use template::{Layout, write_cluster, write_replica};

use crate::assemble::LINKS;
use crate::exit::{Failure, file_failure};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use syncom_group::BUDGET_MIN;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What every member's file must say alike.
    pub cluster: Cluster,
    /// What is this member's own.
    pub member: Member,
    /// Commands that an agent keeps running.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service: Vec<Service>,
}

/// What every member's file must say alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Name of the cluster, part of every key: clusters of different names cannot hear each other.
    pub name: String,
    /// File with the cluster's secret: 64 hexadecimal digits, readable by its owner only. Relative
    /// to this file.
    pub secret: PathBuf,
    /// `fast`, `default` or `quiet`: how soon deaths are noticed, and what that costs.
    #[serde(default = "default_profile")]
    pub profile: String,
    /// Addresses of the replicas that founded the station, in order: 1, 3 or 5. When one was
    /// replaced, the address of the new one may stand in its place; their number never changes.
    pub replicas: Vec<SocketAddr>,
    /// `true` seals every datagram. `false` is for laboratories and says so at every start.
    #[serde(default = "default_seal")]
    pub seal: bool,
}

/// What is this member's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name, unique in the cluster.
    pub name: String,
    /// Replicas and satellites: its number, from 1. A replica that replaces another has one that no
    /// other ever had, beyond those of `cluster.replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u16>,
    /// Where it listens. Replicas: as in `cluster.replicas`. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// Its failure domain (rack, switch, PDU), if any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Where it keeps its state. Relative to this file.
    pub dir: PathBuf,
    /// `auto`, `mmsg` or `uring`: what moves its datagrams.
    #[serde(default = "default_link")]
    pub link: String,
    /// Agents: what heartbeats may cost this node at most, in bytes per second, all headers counted;
    /// 0 for what the profile takes. A smaller one makes them rarer, down to one every 10 s, and a
    /// death of this node known later by as much: silence is m of its intervals.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub heartbeat_budget: u64,
    /// Of a million datagrams that it sends, so many are lost on purpose: for tests only.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub loss_ppm: u32,
    /// `true` takes the network's word (ICMP) that nobody listens at a member's port any more, as
    /// one vote among others. Where a firewall forges or floods such words, `false` costs some time.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub icmp: bool,
}

/// A command that an agent keeps running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name, unique on the node.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
}

fn default_profile() -> String {
    "default".into()
}

fn default_link() -> String {
    "auto".into()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_nothing(number: &u64) -> bool {
    *number == 0
}

const fn default_seal() -> bool {
    true
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_true(flag: &bool) -> bool {
    *flag
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A replica of the station.
    Station,
    /// A satellite.
    Satellite,
    /// A node's agent.
    Agent,
}

impl Kind {
    /// Its name, which is also its command's.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Station => "station",
            Self::Satellite => "satellite",
            Self::Agent => "agent",
        }
    }
}

impl Config {
    /// Reads and validates a file; relative paths in it become relative to the file.
    ///
    /// # Errors
    /// Names the file, the line, the key and what is expected.
    pub fn load(path: &Path, kind: Kind) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| file_failure("read the configuration", path, &error))?;
        let mut config = Self::parse(&text, kind)
            .map_err(|why| Failure::usage(format!("{}: {why}", path.display())))?;
        let base = path.parent().unwrap_or(Path::new("."));
        config.cluster.secret = base.join(&config.cluster.secret);
        config.member.dir = base.join(&config.member.dir);
        Ok(config)
    }

    /// Takes a file's text and validates it.
    ///
    /// # Errors
    /// Names the line or the key, and what is expected.
    fn parse(text: &str, kind: Kind) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        config.validate(kind)?;
        Ok(config)
    }

    /// Checks what no type can: contradictions and ranges. The text says what to change.
    fn validate(&self, kind: Kind) -> Result<(), String> {
        let Cluster { name, profile, replicas, .. } = &self.cluster;
        if name.is_empty() || name.len() > 64 {
            return Err("cluster.name must have 1 to 64 bytes".into());
        }
        if !matches!(profile.as_str(), "fast" | "default" | "quiet") {
            return Err(format!(
                "cluster.profile is {profile:?}; choose \"fast\", \"default\" or \"quiet\""
            ));
        }
        if !matches!(replicas.len(), 1 | 3 | 5) {
            return Err(format!(
                "cluster.replicas lists {} addresses; a station has 1, 3 or 5",
                replicas.len()
            ));
        }
        for (index, addr) in replicas.iter().enumerate() {
            if addr.port() == 0 || addr.ip().is_unspecified() {
                return Err(format!(
                    "cluster.replicas: {addr} is no address that others can send to"
                ));
            }
            if replicas[..index].contains(addr) {
                return Err(format!("cluster.replicas: {addr} is listed twice"));
            }
        }
        self.validate_member(kind)
    }

    fn validate_member(&self, kind: Kind) -> Result<(), String> {
        let Member { name, number, listen, domain, link, .. } = &self.member;
        let replicas = &self.cluster.replicas;
        if name.is_empty() || name.len() > 64 || name.contains(['/', ',', '[', ']', ' ']) {
            return Err("member.name must have 1 to 64 bytes, without / , [ ] or spaces".into());
        }
        if domain.len() > 32 {
            return Err("member.domain may have at most 32 bytes".into());
        }
        if !LINKS.contains(&link.as_str()) {
            return Err(format!("member.link is {link:?}; this version has {}", LINKS.join(", ")));
        }
        match self.member.heartbeat_budget {
            0 => {}
            _ if kind != Kind::Agent => {
                return Err("member.heartbeat_budget is for agents; remove it".into());
            }
            BUDGET_MIN.. => {}
            budget => {
                return Err(format!(
                    "member.heartbeat_budget is {budget}; it must be at least {BUDGET_MIN} bytes per \
                     second, which a heartbeat every 2.5 s costs, or 0 for what the profile takes"
                ));
            }
        }
        match (kind, number) {
            (Kind::Station, Some(n)) if (1..=replicas.len()).contains(&usize::from(*n)) => {
                let expected = replicas[usize::from(*n) - 1];
                if expected.port() != listen.port() {
                    return Err(format!(
                        "member.listen is {listen} but cluster.replicas gives number {n} {expected}"
                    ));
                }
            }
            (Kind::Station, Some(n)) if usize::from(*n) > replicas.len() => {
                if listen.port() == 0 {
                    return Err("member.listen needs a port: a new replica is sent to".into());
                }
            }
            (Kind::Station, _) => {
                return Err(format!(
                    "member.number must be 1 to {}, its place in cluster.replicas, or a larger one \
                     that was never used, to replace another",
                    replicas.len()
                ));
            }
            (Kind::Satellite, Some(1..=256)) => {}
            (Kind::Satellite, _) => return Err("member.number must be 1 to 256".into()),
            (Kind::Agent, None) => {}
            (Kind::Agent, Some(_)) => {
                return Err("member.number is for replicas and satellites; remove it".into());
            }
        }
        if kind != Kind::Agent && !self.service.is_empty() {
            return Err("[[service]] is for agents; remove it".into());
        }
        for (index, service) in self.service.iter().enumerate() {
            if service.name.is_empty() || service.name.contains('/') || service.command.is_empty() {
                return Err(format!("service {}: needs a name without / and a command", index + 1));
            }
            if self.service[..index].iter().any(|other| other.name == service.name) {
                return Err(format!("service {:?} is listed twice", service.name));
            }
        }
        Ok(())
    }
}
