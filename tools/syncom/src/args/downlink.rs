//! `syncom bench downlink`, as typed.

use clap::Args;
use std::path::PathBuf;

/// `syncom bench downlink`.
#[derive(Clone, Debug, Args)]
pub struct Downlink {
    /// Destinations: whole agents, a socket each, on a few threads of this process
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub nodes: u32,
    /// Satellites, a thread each
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub satellites: u16,
    /// Satellites that are killed while an order is under way; there is one order then
    #[arg(long, default_value_t = 0, value_name = "SATELLITES")]
    pub kill: u16,
    /// Threads that the agents share
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
    /// Orders that are measured, each beside the bare sockets
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub turns: u16,
    /// What every destination runs; nothing when not said, and the order asks for an answer alone
    #[arg(long, value_name = "COMMAND")]
    pub command: Option<String>,
    /// Where the cluster keeps its state
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
