//! `syncom station|satellite|agent`: one member in production, until it is told to stop.

use crate::args;
use crate::assemble::{self, Common};
use crate::config::{self, Config, Kind};
use crate::exit::{Failure, Outcome, file_failure};
use crate::place::{self, Local};
use crate::secret::Secret;
use crate::show;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use syncom_agent::{AgentConfig, ServiceConfig};
use syncom_engine::clock;
use syncom_engine::host::{Host, HostHandle, Member, Sink};
use syncom_engine::link::fault::{FaultLink, Faults};
use syncom_engine::link::{Link, Options};
use syncom_engine::priority;
use syncom_engine::signal::StopSignals;
use syncom_group::Profile;
use syncom_seam::{Notice, Role};
use syncom_wire::{Addr, Uuid, ids};

/// How long to wait for a signal at a time: for ever, but for what goes wrong with signals.
const LOOK: Duration = Duration::from_secs(3600);
/// How long a member may take to leave in good order.
const LEAVE: Duration = Duration::from_secs(2);

/// How long a member may be alone before it says so.
const ALONE: Duration = Duration::from_secs(5);

/// What a second process with the same state is told.
const BUSY: &str = "this member already runs; stop it, or give this one its own member.dir";

/// Runs the command.
///
/// # Errors
/// Bad configuration; a port in use; a store that cannot be trusted; and whatever ends the member.
pub fn run(kind: Kind, args: &args::Member) -> Outcome {
    let config = Config::load(&args.config, kind)?;
    let secret = Secret::read(&config.cluster.secret)?;
    if secret.cluster != config.cluster.name {
        return Err(Failure::usage(format!(
            "{}: cluster.name is {:?} but the secret belongs to {:?}",
            args.config.display(),
            config.cluster.name,
            secret.cluster
        )));
    }
    if args.check {
        explain(kind, &config);
        return Ok(());
    }
    let dir = &config.member.dir;
    let _lock = place::lock(dir, BUSY)?;
    let profile = Profile::named(&config.cluster.profile).unwrap_or(Profile::DEFAULT);
    let cluster_dir = args.config.parent().unwrap_or(Path::new("."));
    let common = Common {
        secret,
        seal: config.cluster.seal,
        profile,
        counters: Some(cluster_dir.join("counters")),
    };
    if !common.seal {
        show::tell("datagrams are NOT sealed: anyone on the network may forge them");
    }
    let link = open_link(kind, &config)?;
    let role = kind.name();
    let addr = reachable(link.local_addr().into(), &config.cluster.replicas);
    let local = Local {
        name: config.member.name.clone(),
        role: role.into(),
        pid: std::process::id(),
        addr,
    };
    place::publish_member(cluster_dir, &local)?;
    let Config { cluster, member, .. } = &config;
    let number = member.number.unwrap_or(0);
    match kind {
        Kind::Station => {
            let name = &member.name;
            let made = assemble::station(&common, name, number, link, &cluster.replicas, dir)?;
            let newcomer = is_newcomer(kind, &config);
            drive(made, role, &if newcomer { waiting(&config) } else { alone(&config) })
        }
        Kind::Satellite => {
            let boot = assemble::next_boot(dir)?;
            let (name, domain) = (&member.name, &member.domain);
            let replicas = &cluster.replicas;
            let made = assemble::satellite(&common, name, domain, number, link, replicas, boot)?;
            drive(made, role, &alone(&config))
        }
        Kind::Agent => {
            let made = assemble::agent(&common, agent_config(&config)?, link)?;
            drive(made, role, &alone(&config))
        }
    }
}

/// Opens the member's link, and says what is wrong or missing there.
fn open_link(kind: Kind, config: &Config) -> Result<Box<dyn Link>, Failure> {
    let config::Member { link, listen, icmp, loss_ppm, .. } = &config.member;
    let options = if kind == Kind::Agent { Options::SMALL } else { Options::LARGE };
    let options = Options { hears_refusals: *icmp, ..options };
    let mut link = match kind {
        Kind::Agent => assemble::open_agent_link(link, *listen, &options)?,
        Kind::Station | Kind::Satellite => assemble::open_link(link, *listen, &options)?,
    };
    for shortcoming in link.shortcomings() {
        show::tell(&shortcoming);
    }
    if *loss_ppm > 0 {
        show::tell(&format!("{loss_ppm} of a million datagrams are LOST ON PURPOSE"));
        let faults = Faults { loss_ppm: *loss_ppm, ..Faults::default() };
        let seed = u64::from(std::process::id());
        link = Box::new(FaultLink::new(link, faults, seed, &options));
    }
    Ok(link)
}

fn agent_config(config: &Config) -> Result<AgentConfig, Failure> {
    let Config { cluster, member, service } = config;
    let boot = assemble::next_boot(&member.dir)?;
    let uuid = uuid(&member.dir)?;
    let seeds = assemble::addrs(&cluster.replicas).collect();
    let seed = ids::hash(&uuid.0) ^ boot.0;
    let mut agent = AgentConfig::new(uuid, boot, &member.name, Addr::NONE, seeds, seed);
    agent.domain.clone_from(&member.domain);
    agent.budget = member.heartbeat_budget;
    agent.services = service
        .iter()
        .map(|service| ServiceConfig { name: service.name.clone(), argv: service.command.clone() })
        .collect();
    Ok(agent)
}

/// The identity of a state directory: minted once, kept in it.
///
/// # Errors
/// When it cannot be read or written, or is no UUID.
pub fn uuid(dir: &Path) -> Result<Uuid, Failure> {
    let path = dir.join("uuid");
    if let Ok(text) = std::fs::read_to_string(&path) {
        let hex: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        let number = u128::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == 32);
        return number.map(|number| Uuid(number.to_be_bytes())).ok_or_else(|| {
            Failure::usage(format!(
                "{} is no UUID; restore it, or remove it to join as a new node",
                path.display()
            ))
        });
    }
    let mut bytes = [0; 16];
    let source = Path::new("/dev/urandom");
    std::fs::File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| file_failure("read", source, &error))?;
    // Version 4, variant 1 (RFC 9562, section 5.4).
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let uuid = Uuid(bytes);
    std::fs::write(&path, format!("{uuid}\n"))
        .map_err(|error| file_failure("write", &path, &error))?;
    Ok(uuid)
}

/// Where commands on this machine reach a socket that listens everywhere.
fn reachable(listen: SocketAddr, replicas: &[SocketAddr]) -> SocketAddr {
    if !listen.ip().is_unspecified() {
        return listen;
    }
    let v6 = replicas.first().is_some_and(SocketAddr::is_ipv6);
    let ip: std::net::IpAddr =
        if v6 { [0, 0, 0, 0, 0, 0, 0, 1].into() } else { [127, 0, 0, 1].into() };
    SocketAddr::new(ip, listen.port())
}

/// Whether this is a replica that was not there from the beginning.
fn is_newcomer(kind: Kind, config: &Config) -> bool {
    let number = config.member.number.map_or(0, usize::from);
    kind == Kind::Station && number > config.cluster.replicas.len()
}

/// What a replica says that nobody has added yet.
fn waiting(config: &Config) -> String {
    let config::Member { name, listen, .. } = &config.member;
    format!(
        "{name} waits until it is told to replace another replica: from anywhere, type syncom \
         station replace OLD {name}@IP:{}. Nothing else is to be done here",
        listen.port()
    )
}

/// What a member says that nobody takes in.
fn alone(config: &Config) -> String {
    let replicas: Vec<String> = config.cluster.replicas.iter().map(ToString::to_string).collect();
    format!(
        "not taken in for {} s by the station at {}: do enough replicas run, can this machine \
         reach them, and is {} their secret? Still trying",
        ALONE.as_secs(),
        replicas.join(", "),
        config.cluster.secret.display()
    )
}

/// Drives one member until a signal, the end of its parent, or its own end. Says `alone` when it is
/// not ready in good time.
fn drive<R: Role>(member: Member<R>, role: &str, alone: &str) -> Outcome {
    // Whoever is judged by when it speaks, or judges by it. A station's disk must not wait for it.
    let is_timely = role == Kind::Agent.name();
    let signals = StopSignals::install()
        .map_err(|error| Failure::failed(format!("cannot watch for signals: {error}")))?;
    let fatal: Arc<Mutex<Option<String>>> = Arc::default();
    let ready: Arc<AtomicBool> = Arc::default();
    let mut host = Host::new(sink(role, Arc::clone(&fatal), Arc::clone(&ready)))
        .and_then(|mut host| host.add(member).map(|_| host))
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    let _running = watch(signals, host.handle(), ready, alone.to_owned());
    if is_timely {
        put_first(role);
    }
    host.run().map_err(|error| Failure::failed(format!("the main loop failed: {error}")))?;
    let fatal = fatal.lock().ok().and_then(|mut text| text.take());
    fatal.map_or(Ok(()), |text| Err(Failure::failed(text)))
}

/// Lets this thread run before ordinary ones, its memory kept; says once what the system does not
/// permit.
fn put_first(role: &str) {
    let late = "when other programs take all cores";
    if let Err(error) = priority::rise() {
        show::tell(&format!(
            "{role} runs at ordinary priority ({error}): {late}, its heartbeats are late and it may \
             be taken for dead; give it CAP_SYS_NICE, or LimitRTPRIO=1 in its systemd unit"
        ));
    }
    if let Err(error) = priority::stay_in_memory() {
        show::tell(&format!(
            "{role} may be swapped out ({error}): its heartbeats are late then; give it \
             CAP_IPC_LOCK, or LimitMEMLOCK=infinity in its systemd unit"
        ));
    }
}

/// Says what a person should know; keeps what ended the member.
fn sink(role: &str, fatal: Arc<Mutex<Option<String>>>, ready: Arc<AtomicBool>) -> Sink {
    let role = role.to_owned();
    Box::new(move |_, notice| match notice {
        Notice::Fatal(text) => {
            if let Ok(mut slot) = fatal.lock() {
                *slot = Some(text.into());
            }
        }
        Notice::Ready => {
            ready.store(true, Ordering::Relaxed);
            show::tell(&format!("{role} is ready"));
        }
        Notice::Gone => show::tell(&format!("{role} has left in good order")),
        Notice::Info(text) => show::tell(text),
        Notice::Event(_) => {}
    })
}

/// Stops the host when the process is told to, or, under `up`, when its parent is gone. What it
/// returns is dropped when the host has ended.
fn watch(
    signals: StopSignals,
    handle: HostHandle,
    ready: Arc<AtomicBool>,
    alone: String,
) -> Sender<()> {
    let by_signal = handle.clone();
    let (running, ended) = channel();
    std::thread::spawn(move || {
        if !signals.wait(ALONE) && !ready.load(Ordering::Relaxed) {
            show::tell(&alone);
        }
        while !signals.wait(LOOK) {}
        by_signal.leave();
        // Whoever cannot leave in good time goes without saying so.
        let _ = ended.recv_timeout(LEAVE);
        by_signal.stop();
    });
    if std::env::var_os(crate::up::PARENT).is_some() {
        std::thread::spawn(move || {
            // The parent holds the other end. What it writes is what a bench sets our clock off by.
            let mut step = [0; 8];
            while std::io::stdin().read_exact(&mut step).is_ok() {
                clock::step_wall(i64::from_le_bytes(step));
            }
            handle.stop();
        });
    }
    running
}

/// `--check`: what the file means.
fn explain(kind: Kind, config: &Config) {
    let Config { cluster, member, service } = config;
    let number = member.number.map_or_else(String::new, |number| format!(" number {number}"));
    let waits = is_newcomer(kind, config);
    println!("{}{number} {:?} of cluster {:?}", kind.name(), member.name, cluster.name);
    println!("listens on {}; state in {}", member.listen, member.dir.display());
    if waits {
        println!("waits until it is told to replace another: syncom station replace OLD NEW");
    }
    println!(
        "station of {}: survives the loss of {}",
        cluster.replicas.len(),
        (cluster.replicas.len() - 1) / 2
    );
    println!(
        "profile {}; datagrams {}",
        cluster.profile,
        if cluster.seal { "sealed" } else { "NOT sealed" }
    );
    for service in service {
        println!("keeps running {:?}: {}", service.name, service.command.join(" "));
    }
    println!("the file is good");
}
