//! The command line, as typed. What it means is decided in the commands.

pub mod bench;
pub mod commit;
pub mod detect;
pub mod downlink;
mod recovery;
mod station;
pub mod suspect;

pub use bench::{Bench, BenchAlloc, BenchCase, BenchPair, BenchRtt, BenchStream, OnOff};
pub use recovery::{Decisions, Drain, Policy, PolicyFile, PolicyVerb};
pub use station::{Replace, Station, StationVerb};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use syncom_group::BUDGET_MIN;

/// Kernel-bypass messaging and recovery fabric for bare-metal clusters.
#[derive(Clone, Debug, Parser)]
#[command(name = "syncom", version, max_term_width = 80, propagate_version = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 bad usage or configuration, \
                        3 no cluster or quorum reachable, 4 some destinations failed.")]
pub struct Cli {
    /// The cluster to talk to: a directory made by `up` or `init`, or a replica's address
    #[arg(long, global = true, env = "SYNCOM_CLUSTER", value_name = "DIR_OR_ADDRESS")]
    pub cluster: Option<String>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run a whole cluster on this machine, loopback only, without set-up
    Up(Up),
    /// Run one replica of the tracking station, or replace one
    Station(Station),
    /// Run one satellite
    Satellite(Member),
    /// Run one node's agent
    Agent(Member),
    /// Write a commented configuration and a cluster secret
    Init(Init),
    /// Show the cluster: view, leader, replicas, satellites, nodes, warnings
    Status(Look),
    /// Show members
    Nodes(Nodes),
    /// Show committed events, newPeer and deadPeer among them
    Events(Events),
    /// Show why: evidence, rule and action behind an event or a node's newest event
    Explain(Explain),
    /// Report something through the local agent
    Report(Report),
    /// Run a command on every node of a set and gather the results
    Run(Run),
    /// Stop an order that is under way: what runs for it is killed
    Cancel(Cancel),
    /// Show what the recovery manager decided
    Decisions(Decisions),
    /// Show, check or apply the rules of recovery
    Policy(Policy),
    /// Give nodes no new work
    Drain(Drain),
    /// Let drained nodes work again
    Undrain(Drain),
    /// Show the resource graph
    Graph(Graph),
    /// Show counters of the members on this machine, dead or alive
    Counters(Json),
    /// Show what of this machine will be used, what is missing, and what to type
    Doctor(Json),
    /// Simulate a whole cluster in virtual time, faults included
    Sim(Sim),
    /// Measure this machine with the real code
    Bench(Bench),
    /// Print a shell completion script
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Only whether to print JSON.
#[derive(Clone, Copy, Debug, Args)]
pub struct Json {
    /// Print JSON and nothing else on stdout
    #[arg(long)]
    pub json: bool,
}

/// How to read the station's state.
#[derive(Clone, Copy, Debug, Args)]
pub struct Look {
    /// Print JSON and nothing else on stdout
    #[arg(long)]
    pub json: bool,
    /// Be content with what the replica at hand has, and say how old it is
    #[arg(long)]
    pub stale: bool,
}

/// How fast deaths are noticed, and what that costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProfileName {
    /// Heartbeats every 50 ms: deaths known in a quarter of a second
    Fast,
    /// Heartbeats every 200 ms: deaths known within a second
    #[default]
    Default,
    /// Heartbeats every second: three seconds, for jitter-sensitive machines
    Quiet,
}

/// Which backend moves datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LinkName {
    /// The best that works here
    #[default]
    Auto,
    /// Kernel sockets with segmentation offload
    Mmsg,
    /// io_uring
    Uring,
    /// AF_XDP
    Xdp,
    /// In-process only (embedded clusters)
    Mem,
}

impl LinkName {
    /// Its name in configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Mmsg => "mmsg",
            Self::Uring => "uring",
            Self::Xdp => "xdp",
            Self::Mem => "mem",
        }
    }
}

/// `syncom up`.
#[derive(Clone, Debug, Args)]
pub struct Up {
    /// Nodes
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub nodes: u32,
    /// Satellites
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub satellites: u16,
    /// Replicas of the station: 1, 3 or 5
    #[arg(long, default_value_t = 3, value_parser = odd_replicas)]
    pub replicas: u16,
    /// How fast deaths are noticed
    #[arg(long, value_enum, default_value_t)]
    pub profile: ProfileName,
    /// Which backend moves datagrams
    #[arg(long, value_enum, default_value_t)]
    pub link: LinkName,
    /// One process per member instead of threads
    #[arg(long)]
    pub processes: bool,
    /// Stop after this long (such as 20s or 5m); without it, on Ctrl-C
    #[arg(long = "for", value_name = "DUR", value_parser = duration)]
    pub for_: Option<Duration>,
    /// Keep the cluster's state here; a restart continues from it
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// A service that every node runs and the station restarts when it dies
    #[arg(long, value_name = "NAME=COMMAND", value_parser = service)]
    pub service: Vec<(String, Vec<String>)>,
    /// Failure domains to spread the nodes over
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub domains: u32,
    /// Whether members take the network's word that nobody listens at a port any more (ICMP)
    #[arg(long, value_enum, default_value_t)]
    pub icmp: OnOff,
    /// What heartbeats may cost a node at most, in bytes per second [default: what the profile takes]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(BUDGET_MIN..))]
    pub heartbeat_budget: Option<u64>,
    /// Print JSON: one line per event, and a last line with totals
    #[arg(long)]
    pub json: bool,
}

/// `syncom station|satellite|agent`.
#[derive(Clone, Debug, Args)]
pub struct Member {
    /// The member's configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Check the file, print what it means, and stop
    #[arg(long)]
    pub check: bool,
}

/// What `syncom init` takes for a new cluster only; `--replica` reads it in the old one's directory.
const OF_NEW_CLUSTERS: [&str; 5] = ["name", "replicas", "satellites", "nodes", "port"];

/// `syncom init`.
#[derive(Clone, Debug, Args)]
#[command(override_usage = "syncom init [OPTIONS] --replicas <IP:PORT,...> \\\n            \
                            --satellites <IP:PORT,...> --nodes <NODESET>\n       \
                            syncom init [--dir <DIR>] --replica <stationN@IP:PORT>")]
pub struct Init {
    /// Where to write (created if missing; existing files are never overwritten)
    #[arg(long, default_value = "syncom-cluster")]
    pub dir: PathBuf,
    /// Name of the cluster
    #[arg(long, default_value = "syncom")]
    pub name: String,
    /// Addresses of the station's replicas, in order: one, three or five
    #[arg(long, value_delimiter = ',', value_name = "IP:PORT,...")]
    #[arg(required_unless_present = "replica")]
    pub replicas: Vec<SocketAddr>,
    /// Addresses of the satellites, in order
    #[arg(long, value_delimiter = ',', value_name = "IP:PORT,...")]
    #[arg(required_unless_present = "replica")]
    pub satellites: Vec<SocketAddr>,
    /// Names of the nodes, as a node set such as `node[001-100]`
    #[arg(long, value_name = "NODESET", default_value = "", hide_default_value = true)]
    #[arg(required_unless_present = "replica")]
    pub nodes: String,
    /// UDP port of the nodes' agents
    #[arg(long, default_value_t = 7420)]
    pub port: u16,
    /// Only the file of a replica that is to replace another, in the directory of its cluster
    #[arg(long, value_name = "stationN@IP:PORT", conflicts_with_all = OF_NEW_CLUSTERS)]
    pub replica: Option<String>,
}

/// `syncom nodes`.
#[derive(Clone, Debug, Args)]
pub struct Nodes {
    /// Only these
    #[arg(value_name = "NODESET")]
    pub nodeset: Option<String>,
    /// Only those in this state: alive, gray, dead or left
    #[arg(long, value_parser = ["alive", "gray", "dead", "left"])]
    pub state: Option<String>,
    /// Be content with what the replica at hand has, and say how old it is
    #[arg(long)]
    pub stale: bool,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
}

/// `syncom events`.
#[derive(Clone, Debug, Args)]
pub struct Events {
    /// Go on as events are committed
    #[arg(long)]
    pub follow: bool,
    /// From this sequence number on
    #[arg(long, default_value_t = 0, value_name = "SEQ")]
    pub since: u64,
    /// Only this kind
    #[arg(long)]
    pub kind: Option<String>,
    /// Be content with what the replica at hand has, and say how old it is
    #[arg(long)]
    pub stale: bool,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
}

/// `syncom explain`.
#[derive(Clone, Debug, Args)]
pub struct Explain {
    /// An event's number, or a node's name for its newest event
    #[arg(value_name = "EVENT|NODE")]
    pub what: String,
    /// Be content with what the replica at hand has, and say how old it is
    #[arg(long)]
    pub stale: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `syncom report`.
#[derive(Clone, Debug, Args)]
pub struct Report {
    /// What it is about: a node's name, or any name such as `rack3-pdu` or `node7/web`
    pub subject: String,
    /// What happened: any short name
    pub kind: String,
    /// What a person should read
    #[arg(long, default_value = "")]
    pub detail: String,
    /// How bad it is
    #[arg(long, value_parser = ["notice", "warning", "error", "critical"], default_value = "warning")]
    pub severity: String,
    /// Return when it is committed
    #[arg(long)]
    pub wait: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `syncom run`.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// Where to run it
    #[arg(short = 'w', long = "where", value_name = "NODESET")]
    pub nodeset: String,
    /// How long it may take
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "DUR")]
    pub deadline: Duration,
    /// Print JSON, the result in the last line
    #[arg(long)]
    pub json: bool,
    /// Be content when so many nodes have answered; those that have begun go on
    #[arg(long, value_name = "NODES", value_parser = clap::value_parser!(u32).range(1..))]
    pub quorum: Option<u32>,
    /// Be content when so many nodes have answered, and stop the others
    #[arg(long, value_name = "NODES", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(conflicts_with = "quorum")]
    pub first: Option<u32>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `syncom cancel`.
#[derive(Clone, Debug, Args)]
pub struct Cancel {
    /// The order's number, as `run` prints it
    #[arg(value_name = "ORDER", value_parser = order_number)]
    pub order: u64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// An order's number: sixteen hexadecimal digits.
fn order_number(text: &str) -> Result<u64, String> {
    let number = (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
    number.ok_or_else(|| format!("{text:?} is no order; its number has 16 hexadecimal digits"))
}

/// `syncom graph`.
#[derive(Clone, Debug, Args)]
pub struct Graph {
    /// Only lines that contain this text
    pub query: Option<String>,
    /// Be content with what the replica at hand has, and say how old it is
    #[arg(long)]
    pub stale: bool,
    /// How to print it
    #[arg(long, value_parser = ["table", "json", "dot"], default_value = "table")]
    pub format: String,
}

/// `syncom sim`.
#[derive(Clone, Debug, Args)]
pub struct Sim {
    /// The seed, `soak` for many, `scale` for one large cluster that is measured, `orders` for orders to
    /// all of such a one, or `hours` for clusters that live on in trouble
    #[arg(default_value = "1")]
    pub seed: String,
    /// With `soak`: how many seeds
    #[arg(long, default_value_t = 10)]
    pub seeds: u64,
    /// With `soak`, `scale`, `orders` and `hours`: the first seed
    #[arg(long, default_value_t = 1)]
    pub first: u64,
    /// Nodes
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub nodes: u32,
    /// Satellites [default: 2; with `scale` and `orders` one for a thousand nodes]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub satellites: Option<u16>,
    /// With `scale`: what happens after all nodes have joined, of quiet, kills, power, tenth and
    /// half; all of them when not said
    #[arg(long, value_name = "STAGES", value_delimiter = ',')]
    pub what: Vec<String>,
    /// With `scale`: how fast the cluster wants to know
    #[arg(long, value_enum, default_value_t)]
    pub profile: ProfileName,
    /// Per cent of datagrams that are lost [default: 0 with `scale` and `orders`, 1 with `hours`]
    #[arg(long, value_parser = per_cent)]
    pub loss: Option<f64>,
    /// With `orders`: how many orders, one after the other
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub turns: u16,
    /// With `orders`: satellites that die while each of them is under way
    #[arg(long, default_value_t = 0)]
    pub kill: u16,
    /// With `orders`: of so many nodes one does not answer
    #[arg(long, default_value_t = 0, value_name = "NODES")]
    pub deaf_of: u32,
    /// With `hours`: how many node-hours at least
    #[arg(long, default_value_t = 10.0)]
    pub hours: f64,
    /// With `hours`: lives that are lived at one time, each on a thread of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,
    /// With `hours`: skip the calm between troubles, where nothing comes of it
    #[arg(long)]
    pub skip: bool,
    /// With `hours`: seconds of calm after each trouble [default: 0; with `--skip` six hours]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    pub calm: Option<u64>,
    /// Which mix of faults
    #[arg(long, default_value = "swarm")]
    pub scenario: String,
    /// Length of the fault phase in virtual minutes
    #[arg(long, value_name = "VIRTUAL")]
    pub minutes: Option<f64>,
    /// Run each seed twice and compare the traces
    #[arg(long)]
    pub twice: bool,
    /// Print what members say
    #[arg(long)]
    pub log: bool,
    /// Print one JSON object per seed
    #[arg(long)]
    pub json: bool,
}

/// Parts of a hundred, at most half, with up to two decimals.
fn per_cent(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|value| (0.0..=50.0).contains(value));
    value.ok_or_else(|| format!("{text:?} is no percentage from 0 to 50"))
}

fn odd_replicas(text: &str) -> Result<u16, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        "5" => Ok(5),
        _ => Err("a station has 1, 3 or 5 replicas (an even one survives no more)".into()),
    }
}

/// Parses `150ms`, `20s`, `5m` or `1h`; a bare number is seconds.
///
/// # Errors
/// Says what is expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let expected = || format!("{text:?} is not a duration; write 150ms, 20s, 5m or 1h");
    let number: u64 = text[..digits].parse().map_err(|_| expected())?;
    let ms = match &text[digits..] {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    let ms = ms.filter(|ms| *ms > 0 && *ms <= 365 * 24 * 3_600_000).ok_or_else(expected)?;
    Ok(Duration::from_millis(ms))
}

fn service(text: &str) -> Result<(String, Vec<String>), String> {
    let expected = || format!("{text:?} is not NAME=COMMAND, such as web=\"sleep 1000\"");
    let (name, command) = text.split_once('=').ok_or_else(expected)?;
    let command: Vec<String> = command.split_whitespace().map(String::from).collect();
    if name.is_empty() || name.contains('/') || command.is_empty() {
        return Err(expected());
    }
    Ok((name.into(), command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_say_what_they_expect() {
        assert_eq!(duration("150ms"), Ok(Duration::from_millis(150)));
        assert_eq!(duration("20"), Ok(Duration::from_secs(20)));
        assert!(duration("soon").unwrap_err().contains("150ms, 20s"));
        assert!(duration("99999999999h").is_err());
    }
}
