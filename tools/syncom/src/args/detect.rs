//! `syncom bench detect`, as typed.

use super::{LinkName, ProfileName};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use syncom_group::BUDGET_MIN;

/// What dies, and what the network says about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum How {
    /// An agent, silently, as if its host had gone: nobody takes the network's word (ICMP)
    #[default]
    Crash,
    /// An agent whose host lives and says that its port is closed (ICMP)
    Gone,
    /// A managed service
    Service,
}

impl How {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Gone => "gone",
            Self::Service => "service",
        }
    }
}

/// `syncom bench detect`.
#[derive(Clone, Debug, Args)]
pub struct Detect {
    /// Agents, a process each
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    pub nodes: u32,
    /// How many of them, or of their services, are killed, one after another
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub kills: u32,
    /// How fast deaths are to be noticed
    #[arg(long, value_enum, default_value_t)]
    pub profile: ProfileName,
    /// What heartbeats may cost a node at most, in bytes per second [default: what the profile takes]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(BUDGET_MIN..))]
    pub heartbeat_budget: Option<u64>,
    /// What dies: an agent without a word (crash), one whose host answers for it (gone), or a service
    #[arg(long, value_enum, default_value_t)]
    pub how: How,
    /// Which backend moves datagrams
    #[arg(long, value_enum, default_value_t)]
    pub link: LinkName,
    /// Satellites
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub satellites: u16,
    /// Who is killed, and when within an interval
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where the cluster keeps its state
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
