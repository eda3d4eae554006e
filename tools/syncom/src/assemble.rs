//! Puts members together: role, link, seal, counters and store. The one place where rooms meet.

use crate::args::ProfileName;
use crate::exit::{Failure, file_failure};
use crate::secret::Secret;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use syncom_agent::{Agent, AgentConfig};
use syncom_engine::clock;
use syncom_engine::counters::Counters;
use syncom_engine::host::Member;
use syncom_engine::link::unhurried::{Unhurried, UnhurriedLink};
use syncom_engine::link::{self, Kind, Link, Options};
use syncom_engine::seal::{ClusterKeys, Sealer};
use syncom_group::Profile;
use syncom_seam::limits::MEMBERS_MAX;
use syncom_station::{RaftTiming, Station, StationConfig};
use syncom_transponder::{Transponder, TransponderConfig};
use syncom_wire::beat::Beat;
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::{Addr, Boot, Brief, Fixed, FrameHeader, Header, PeerId, ids};

/// Senders that an agent believes at a time: neighbours, homes, replicas, local clients.
const AGENT_SENDERS: usize = 128;

/// What all members of a cluster share.
#[derive(Clone, Debug)]
pub struct Common {
    /// The cluster's secret.
    pub secret: Secret,
    /// Whether datagrams are sealed.
    pub seal: bool,
    /// How soon deaths are noticed.
    pub profile: Profile,
    /// Where counters files go; none for the many members of an embedded cluster.
    pub counters: Option<PathBuf>,
}

impl Common {
    /// A sealer that speaks as `peer`.
    fn sealer(&self, peer: PeerId, boot: Boot, senders: usize) -> Result<Sealer, Failure> {
        let keys =
            ClusterKeys::new(&self.secret.cluster, &self.secret.bytes, ClusterKeys::FIRST_EPOCH);
        if self.seal {
            Sealer::new(keys, peer, boot, 0, senders)
                .map_err(|error| Failure::failed(format!("cannot seal: {error}")))
        } else {
            Ok(Sealer::off(keys, peer, boot, 0, senders))
        }
    }

    fn counters(&self, name: &str) -> Result<Counters, Failure> {
        let Some(dir) = &self.counters else { return Ok(Counters::anonymous()) };
        std::fs::create_dir_all(dir).map_err(|error| file_failure("create", dir, &error))?;
        Counters::create(&dir.join(format!("{name}.counters")), name)
            .map_err(|error| Failure::failed(format!("cannot make the counters file: {error}")))
    }

    /// The number that tells this cluster's log from another's.
    #[expect(clippy::cast_possible_truncation, reason = "a hash, cut to 32 bits")]
    fn cluster(&self) -> u32 {
        ids::hash(self.secret.cluster.as_bytes()) as u32
    }
}

/// The profile with this name.
#[must_use]
pub const fn profile(name: ProfileName) -> Profile {
    match name {
        ProfileName::Fast => Profile::FAST,
        ProfileName::Default => Profile::DEFAULT,
        ProfileName::Quiet => Profile::QUIET,
    }
}

/// How fast Raft's clock runs in a profile.
fn timing(profile: Profile) -> RaftTiming {
    if profile == Profile::FAST {
        RaftTiming::FAST
    } else if profile == Profile::QUIET {
        RaftTiming::QUIET
    } else {
        RaftTiming::MEDIUM
    }
}

/// Names of the links that a member can have: `auto` is the first of the others, because it moves
/// more wherever it was measured and works everywhere.
pub const LINKS: [&str; 3] = ["auto", "mmsg", "uring"];

/// Opens a link by its name; the failure says what to do.
///
/// # Errors
/// No such link; port in use, no such address, missing privilege, a kernel that forbids it.
pub fn open_link(
    name: &str,
    listen: SocketAddr,
    options: &Options,
) -> Result<Box<dyn Link>, Failure> {
    let kind = match name {
        "auto" | "mmsg" => Kind::Mmsg,
        "uring" => Kind::Uring,
        other => {
            let names = LINKS.join(", ");
            return Err(Failure::usage(format!("no link is called {other:?}; there are: {names}")));
        }
    };
    link::open(&kind, listen.into(), options)
        .map_err(|error| Failure::failed(format!("cannot listen on {listen}: {error}")))
}

/// What an agent need not be woken for: heartbeats of other agents, in short and in full.
#[expect(clippy::cast_possible_truncation, reason = "a few dozen bytes")]
const HEARTBEATS: Unhurried = Unhurried {
    lens: [
        (Brief::OVERHEAD + Beat::SIZE) as u32,
        (Header::OVERHEAD + FrameHeader::SIZE + Heartbeat::SIZE) as u32,
    ],
    sender_at: Header::SENDER_AT as u32,
    below: PeerId::AGENTS_END.to_le_bytes()[3],
};

/// Opens the link of an agent that has a process of its own: heartbeats of others wait there until it
/// wakes up anyhow, where this kernel can tell them from the rest.
///
/// # Errors
/// As [`open_link`].
pub fn open_agent_link(
    name: &str,
    listen: SocketAddr,
    options: &Options,
) -> Result<Box<dyn Link>, Failure> {
    // Room for what comes while it is stopped, of which nothing is used otherwise.
    let options = Options { rx_buffer: Options::LARGE.rx_buffer, ..*options };
    if !matches!(name, "auto" | "mmsg") {
        return open_link(name, listen, &options);
    }
    match UnhurriedLink::open(listen.into(), &options, HEARTBEATS) {
        Ok(link) => Ok(Box::new(link)),
        // Whatever is wrong with the address is said by the plain link, too.
        Err(_) => open_link(name, listen, &options),
    }
}

/// A boot number larger than every earlier one of this state directory, even when the wall clock
/// went back: keys of an earlier life must never come again.
///
/// # Errors
/// When the directory cannot be read or written, when what it holds is no number, or one so far ahead
/// of the clock that nobody would hear this member.
pub fn next_boot(dir: &Path) -> Result<Boot, Failure> {
    std::fs::create_dir_all(dir).map_err(|error| file_failure("create", dir, &error))?;
    let path = dir.join("boot");
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse::<u64>().map_err(|_| {
            Failure::failed(format!(
                "{} holds no number; if the clock is right and was right, remove the file",
                path.display()
            ))
        })?,
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => return Err(file_failure("read", &path, &error)),
    };
    let wall_ns = clock::read().wall.0;
    let boot = wall_ns.max(before.saturating_add(1));
    if boot > wall_ns.saturating_add(Sealer::BOOT_AHEAD_MAX_NS) {
        return Err(Failure::failed(format!(
            "{} is more than a day ahead of the clock, so nobody would hear this member; set the \
             clock right, or, if it is right and was right, remove the file",
            path.display()
        )));
    }
    let fresh = path.with_extension("new");
    File::create(&fresh)
        .and_then(|mut file| {
            writeln!(file, "{boot}")?;
            // A power cut must not leave a name without its content.
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&fresh, &path))
        .map_err(|error| file_failure("write", &path, &error))?;
    Ok(Boot(boot))
}

/// A replica of the station, its log opened.
///
/// # Errors
/// A corrupt, foreign or full store; what it is and what to do.
pub fn station(
    common: &Common,
    name: &str,
    number: u16,
    link: Box<dyn Link>,
    replicas: &[SocketAddr],
    dir: &Path,
) -> Result<Member<Station>, Failure> {
    let boot = next_boot(dir)?;
    let peers: Vec<(PeerId, Addr)> = (1..).map(PeerId::station).zip(addrs(replicas)).collect();
    let mut config = StationConfig::new(number, peers);
    config.boot = boot;
    config.cluster = common.cluster();
    config.seed = ids::mix(boot.0 ^ u64::from(number));
    config.sealed = common.seal;
    config.timing = timing(common.profile);
    let identity = syncom_store::Identity { cluster: common.cluster(), replica: number };
    let (store, loaded) = syncom_store::open(&dir.join("log"), identity)
        .map_err(|fault| Failure::failed(format!("{name}: {fault}")))?;
    config.disk = disk_number(&dir.join("log"))?;
    Ok(Member {
        role: Station::new(config, loaded).map_err(Failure::failed)?,
        link,
        sealer: common.sealer(PeerId::station(number), boot, MEMBERS_MAX)?,
        counters: common.counters(name)?,
        store: Some(Box::new(store)),
    })
}

/// The number of the disk that a log is on: drawn when the log is made, and lost with it. So a
/// replica that comes back with another log than it had is known by it.
fn disk_number(log: &Path) -> Result<u64, Failure> {
    let path = log.join("disk");
    let seal = |number: u64| format!("{number:016x} {:016x}\n", ids::mix(number));
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let number = text.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok());
            let number = number.filter(|number| *number != 0 && seal(*number) == text);
            number.ok_or_else(|| {
                Failure::failed(format!(
                    "{} is damaged; restore it: it tells that this log is the replica's own, \
                     which is replaced as lost otherwise (syncom station replace)",
                    path.display()
                ))
            })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut bytes = [0; 8];
            let source = Path::new("/dev/urandom");
            File::open(source)
                .and_then(|mut file| file.read_exact(&mut bytes))
                .map_err(|error| file_failure("read", source, &error))?;
            let number = u64::from_le_bytes(bytes).max(1);
            let fresh = path.with_extension("new");
            File::create(&fresh)
                .and_then(|mut file| {
                    file.write_all(seal(number).as_bytes())?;
                    file.sync_all()
                })
                .and_then(|()| std::fs::rename(&fresh, &path))
                .and_then(|()| File::open(log)?.sync_all())
                .map_err(|error| file_failure("write", &path, &error))?;
            Ok(number)
        }
        Err(error) => Err(file_failure("read", &path, &error)),
    }
}

/// A satellite.
///
/// # Errors
/// When it cannot seal or count.
pub fn satellite(
    common: &Common,
    name: &str,
    domain: &str,
    number: u16,
    link: Box<dyn Link>,
    replicas: &[SocketAddr],
    boot: Boot,
) -> Result<Member<Transponder>, Failure> {
    let peers: Vec<(PeerId, Addr)> = (1..).map(PeerId::station).zip(addrs(replicas)).collect();
    let local = SocketAddr::from(link.local_addr());
    // A socket that listens everywhere is reached where its datagrams come from.
    let listen = if local.ip().is_unspecified() { Addr::NONE } else { local.into() };
    let mut config = TransponderConfig::new(number, boot, listen, peers);
    config.pid = std::process::id();
    config.name = name.into();
    config.domain = domain.into();
    config.profile = common.profile;
    config.validate().map_err(|error| Failure::usage(error.to_string()))?;
    Ok(Member {
        role: Transponder::new(config),
        link,
        sealer: common.sealer(PeerId::satellite(number), boot, MEMBERS_MAX)?,
        counters: common.counters(name)?,
        store: None,
    })
}

/// A node's agent.
///
/// # Errors
/// When its configuration contradicts itself, or it cannot seal or count.
pub fn agent(
    common: &Common,
    mut config: AgentConfig,
    link: Box<dyn Link>,
) -> Result<Member<Agent>, Failure> {
    config.pid = std::process::id();
    config.profile = common.profile;
    config.validate().map_err(|error| Failure::usage(error.to_string()))?;
    let peer = PeerId::client(ids::hash(&config.uuid.0));
    let counters = common.counters(&config.name)?;
    Ok(Member {
        sealer: common.sealer(peer, config.boot, AGENT_SENDERS)?,
        role: Agent::new(config),
        link,
        counters,
        store: None,
    })
}

/// Addresses as data.
pub fn addrs(sockets: &[SocketAddr]) -> impl Iterator<Item = Addr> {
    sockets.iter().map(|socket| Addr::from(*socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boots_grow_even_when_the_clock_has_gone_back() {
        let dir = std::env::temp_dir().join(format!("syncom-boot-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let first = next_boot(&dir).unwrap();
        assert!(first < next_boot(&dir).unwrap());
        // An hour ahead of the wall clock: the clock was wrong then, or is wrong now.
        let ahead = clock::read().wall.0 + 3_600_000_000_000;
        std::fs::write(dir.join("boot"), format!("{ahead}\n")).unwrap();
        assert_eq!(next_boot(&dir).unwrap(), Boot(ahead + 1));
        assert_eq!(next_boot(&dir).unwrap(), Boot(ahead + 2));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_damaged_boot_number_is_refused() {
        let dir = std::env::temp_dir().join(format!("syncom-no-boot-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("boot"), "yesterday\n").unwrap();
        assert!(next_boot(&dir).unwrap_err().message.contains("boot"));
        // One changed digit: nobody would hear this member for five days.
        let ahead = clock::read().wall.0 + 5 * Sealer::BOOT_AHEAD_MAX_NS;
        std::fs::write(dir.join("boot"), format!("{ahead}\n")).unwrap();
        let message = next_boot(&dir).unwrap_err().message;
        assert!(message.contains("boot") && message.contains("more than a day ahead"), "{message}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
