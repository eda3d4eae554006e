//! `syncom bench commit`, `events`, `failover` and `reads`, as typed.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// `syncom bench commit`.
#[derive(Clone, Debug, Args)]
pub struct Commit {
    /// Clients, each waiting for its answer before it writes again
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub clients: u16,
    /// Bytes that a client writes
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=512))]
    pub size: u32,
    /// How long to measure
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,
    /// Datagrams of the replicas that are lost on purpose, in per cent
    #[arg(long, default_value_t = 0.0, value_parser = percent)]
    pub loss: f64,
    /// Measure so many times by turns without and with the loss, and compare; 0: once, with it
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub rounds: u32,
    /// Where the replicas keep their logs, and on which disk therefore
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Commit {
    /// Datagrams of a million that are lost on purpose.
    #[must_use]
    pub fn loss_ppm(&self) -> u32 {
        ppm(self.loss)
    }
}

/// `syncom bench events`.
#[derive(Clone, Debug, Args)]
pub struct Events {
    /// Events, each of its own
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    pub events: u64,
    /// Replicas of the station: 3 or 5
    #[arg(long, default_value_t = 5, value_parser = replicas)]
    pub replicas: u16,
    /// Clients, each waiting for its answer before it writes again
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub clients: u16,
    /// Bytes of an event's detail
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=512))]
    pub size: u32,
    /// Datagrams of the replicas that are lost on purpose, in per cent
    #[arg(long, default_value_t = 1.0, value_parser = percent)]
    pub loss: f64,
    /// Where the replicas keep their logs, and on which disk therefore
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Events {
    /// Datagrams of a million that are lost on purpose.
    #[must_use]
    pub fn loss_ppm(&self) -> u32 {
        ppm(self.loss)
    }
}

/// How `syncom bench failover` strikes the leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum How {
    /// Killed, and started again
    Kill,
    /// Stopped, and woken when another has led for a while
    Stop,
    /// Killed and stopped by turns
    #[default]
    Both,
}

/// `syncom bench failover`.
#[derive(Clone, Debug, Args)]
pub struct Failover {
    /// Clients, each waiting for its answer before it writes again
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub clients: u16,
    /// Bytes that a client writes
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=512))]
    pub size: u32,
    /// Times that the leader is struck
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,
    /// How it is struck: killed (SIGKILL), stopped (SIGSTOP), or both by turns
    #[arg(long, value_enum, default_value_t)]
    pub how: How,
    /// Where the replicas keep their logs, and on which disk therefore
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `syncom bench reads`.
#[derive(Clone, Debug, Args)]
pub struct Reads {
    /// Times that a new station is fought over
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub campaigns: u32,
    /// How long each is struck
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,
    /// Clients that submit and read orders, one thing at a time each
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub clients: u16,
    /// Seed of the first campaign: who is struck when, and how; those of later ones follow
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Take stale answers for current ones in one read of four: the judge must find out
    #[arg(long)]
    pub stale: bool,
    /// Where the replicas keep their logs
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Already in a network of its own; the program says it to itself
    #[arg(long, hide = true)]
    pub inside: bool,
}

/// As many as a station may have that lives on when one is killed.
fn replicas(text: &str) -> Result<u16, String> {
    match text {
        "3" => Ok(3),
        "5" => Ok(5),
        _ => Err("a station that one replica may leave has 3 or 5".into()),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 50 per cent")]
fn ppm(percent: f64) -> u32 {
    (percent * 10_000.0) as u32
}

fn percent(text: &str) -> Result<f64, String> {
    let expected = || format!("{text:?} is not a number from 0 to 50");
    let number: f64 = text.parse().map_err(|_| expected())?;
    if (0.0..=50.0).contains(&number) { Ok(number) } else { Err(expected()) }
}
