//! Arguments of `syncom station`, which runs a replica or replaces one.

use super::{Member, duration};
use clap::{Args, Subcommand};
use std::time::Duration;

/// `syncom station`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Station {
    /// A replica to run
    #[command(flatten)]
    pub member: Option<Member>,
    /// Something else to do with replicas
    #[command(subcommand)]
    pub what: Option<StationVerb>,
}

/// What can be done with replicas beside running one.
#[derive(Clone, Debug, Subcommand)]
pub enum StationVerb {
    /// Put a new replica in the place of one that is dead, while the station serves
    Replace(Replace),
}

/// `syncom station replace`.
#[derive(Clone, Debug, Args)]
pub struct Replace {
    /// The replica that goes, such as station2
    #[arg(value_name = "OLD")]
    pub old: String,
    /// The one that comes, under a number that was never used: station4, if its file is in the
    /// cluster's directory, or station4@IP:PORT
    #[arg(value_name = "NEW")]
    pub new: String,
    /// Even if the old one still answers: it stops then
    #[arg(long)]
    pub force: bool,
    /// Call the replacement off, as long as the new one does not vote
    #[arg(long, conflicts_with = "force")]
    pub cancel: bool,
    /// How long to wait until it is done; the station goes on by itself
    #[arg(long, default_value = "10m", value_parser = duration, value_name = "DUR")]
    pub timeout: Duration,
    /// Print JSON, the result in the last line
    #[arg(long)]
    pub json: bool,
}
