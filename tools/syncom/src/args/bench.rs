//! Arguments of `syncom bench`.

use super::{LinkName, commit, detect, downlink, duration, suspect};
use crate::commands::bench::{BenchCompare, BenchDedupe, BenchQueue, BenchUplink};
use clap::{Args, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `syncom bench`.
#[derive(Clone, Debug, Args)]
pub struct Bench {
    /// What to measure
    #[command(subcommand)]
    pub case: BenchCase,
}

/// What to measure.
#[derive(Clone, Debug, Subcommand)]
pub enum BenchCase {
    /// A reliable stream one way between two processes
    Stream(BenchStream),
    /// Ping-pong between two processes
    Rtt(BenchRtt),
    /// Allocations and copies per message on every link
    Alloc(BenchAlloc),
    /// Our queues between two pinned threads
    Queue(BenchQueue),
    /// Reports from bytes to what goes up, on one core
    Dedupe(BenchDedupe),
    /// Reports that come by UDP to one satellite
    Uplink(BenchUplink),
    /// Say what changed between two files of results, beyond the noise
    Compare(BenchCompare),
    /// Durable writes to a station of three processes
    Commit(commit::Commit),
    /// What a station keeps of many events, and how replicas come back to it
    Events(commit::Events),
    /// How long writers wait when the station's leader is killed or stopped
    Failover(commit::Failover),
    /// How soon real agents, or their services, are known to be dead after kill -9
    Detect(detect::Detect),
    /// How soon an order to thousands of destinations is answered by all, beside bare sockets
    Downlink(downlink::Downlink),
    /// Whether what concurrent clients read is linearizable while replicas are struck
    Reads(commit::Reads),
    /// Whether a node that runs is ever declared dead while others are stopped, starved or not heard
    Suspect(suspect::Suspect),
}

/// Sealing, on or off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnOff {
    /// Sealed
    #[default]
    On,
    /// Clear, to see the difference
    Off,
}

/// What all cases between two processes have in common.
#[derive(Clone, Debug, Args)]
pub struct BenchPair {
    /// Bytes of a message
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(0..=16_777_216))]
    pub size: u32,
    /// Bytes of a datagram, header and tag included
    #[arg(long, default_value_t = 1408, value_parser = clap::value_parser!(u32).range(512..=65_472))]
    pub mtu: u32,
    /// Whether datagrams are sealed
    #[arg(long, value_enum, default_value_t)]
    pub seal: OnOff,
    /// How long to measure
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,
    /// Which backend moves datagrams
    #[arg(long, value_enum, default_value_t)]
    pub link: LinkName,
    /// Bytes under way at most, such as 512k or 4m
    #[arg(long, default_value = "2m")]
    pub window: String,
    /// Congestion control: cubic or static
    #[arg(long, value_parser = ["cubic", "static"], default_value = "cubic")]
    pub cc: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The part of the second process; the first one says it
    #[arg(long, hide = true, value_name = "ADDRESS")]
    pub other: Option<SocketAddr>,
}

/// `syncom bench stream`.
#[derive(Clone, Debug, Args)]
pub struct BenchStream {
    /// What all such cases have in common
    #[command(flatten)]
    pub pair: BenchPair,
    /// Write messages in place (claim and commit) instead of copying them (offer)
    #[arg(long)]
    pub claim: bool,
    /// So many receivers of one multicast stream; 0 for one receiver and unicast
    #[arg(long, default_value_t = 0, value_name = "RECEIVERS",
          value_parser = clap::value_parser!(u16).range(0..=64))]
    pub multicast: u16,
    /// To many: wait for all (min), the fastest (max), or one group (tagged:1)
    #[arg(long, default_value = "min")]
    pub flow: String,
    /// To many: how long the others wait for one that is stopped or too slow
    #[arg(long, default_value = "5s")]
    pub linger: String,
    /// To many: bytes kept for those who fell behind, such as 64m
    #[arg(long, default_value = "0")]
    pub history: String,
    /// To many: stop the first receiver (SIGSTOP) for so long, a third into the run
    #[arg(long, value_name = "DUR", value_parser = duration)]
    pub stop: Option<Duration>,
    /// Offer no more than so many messages per second; 0 for as many as are taken
    #[arg(long, default_value_t = 0, value_name = "MESSAGES")]
    pub rate: u64,
    /// Which receiver this is; the first process says it
    #[arg(long, hide = true, default_value_t = 0)]
    pub place: u16,
    /// Datagrams lost on purpose, in per cent
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=50))]
    pub loss: u32,
}

/// `syncom bench rtt`.
#[derive(Clone, Debug, Args)]
pub struct BenchRtt {
    /// What all such cases have in common
    #[command(flatten)]
    pub pair: BenchPair,
    /// Single datagrams instead of a stream
    #[arg(long)]
    pub datagram: bool,
    /// Messages per second, whether answers are late or not; without it the next follows the answer
    #[arg(long, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub rate: Option<u32>,
    /// Where to write all times as a histogram log (HdrHistogram, V2)
    #[arg(long, value_name = "FILE")]
    pub hdr: Option<PathBuf>,
}

/// `syncom bench alloc`.
#[derive(Clone, Debug, Args)]
pub struct BenchAlloc {
    /// Bytes of a message
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub size: u32,
    /// Whether datagrams are sealed
    #[arg(long, value_enum, default_value_t)]
    pub seal: OnOff,
    /// How long to measure each path
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,
    /// This link only
    #[arg(long, value_enum)]
    pub link: Option<LinkName>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
