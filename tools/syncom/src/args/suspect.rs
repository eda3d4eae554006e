//! `syncom bench suspect`, as typed.

use super::ProfileName;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use syncom_group::BUDGET_MIN;

/// What `syncom bench suspect` does to a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// A tenth of the nodes is stopped (SIGSTOP) and woken
    #[default]
    Stop,
    /// Others take all cores
    Starve,
    /// Satellites are stopped and woken
    Satellites,
    /// A fifth of all datagrams from and to one failure domain is lost
    Loss,
    /// A tenth of the nodes hears nothing, or is hardly heard, or not by half of the others
    OneWay,
}

impl Fault {
    /// Its name in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Starve => "starve",
            Self::Satellites => "satellites",
            Self::Loss => "loss",
            Self::OneWay => "one-way",
        }
    }

    /// Whether datagrams are lost, which takes a network of our own.
    #[must_use]
    pub const fn is_of_network(self) -> bool {
        match self {
            Self::Stop | Self::Starve | Self::Satellites => false,
            Self::Loss | Self::OneWay => true,
        }
    }
}

/// `syncom bench suspect`.
#[derive(Clone, Debug, Args)]
pub struct Suspect {
    /// What is done to the cluster
    #[arg(long, value_enum, default_value_t)]
    pub how: Fault,
    /// Times that it is done, to one cluster, which has recovered before the next
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub tries: u32,
    /// Seed of the first try: who is struck, how and how long; those of later ones follow
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Nodes, each a process
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(4..=500))]
    pub nodes: u32,
    /// Satellites
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub satellites: u16,
    /// Failure domains to spread the nodes over
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub domains: u32,
    /// How fast deaths are noticed
    #[arg(long, value_enum, default_value_t)]
    pub profile: ProfileName,
    /// What heartbeats may cost a node at most, in bytes per second [default: what the profile takes]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(BUDGET_MIN..))]
    pub heartbeat_budget: Option<u64>,
    /// No fault lasts longer, in s
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=30))]
    pub longest: u32,
    /// Where the cluster keeps its state; kept when something was found
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Already in a network of its own; the program says it to itself
    #[arg(long, hide = true)]
    pub inside: bool,
}
