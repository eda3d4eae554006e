//! Arguments of the commands about recovery.

use super::{Json, Look};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `syncom decisions`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Decisions {
    /// Go on as decisions are made
    #[arg(long)]
    pub follow: bool,
    /// How to show them
    #[command(flatten)]
    pub look: Look,
}

/// `syncom policy`.
#[derive(Clone, Debug, Args)]
pub struct Policy {
    /// What to do with it
    #[command(subcommand)]
    pub what: PolicyVerb,
}

/// What to do with a policy.
#[derive(Clone, Debug, Subcommand)]
pub enum PolicyVerb {
    /// Print the policy that holds, as it could be applied again
    Show(Json),
    /// Say what is wrong with a file, without a cluster
    Check(PolicyFile),
    /// Let a file hold from now on
    Apply(PolicyFile),
}

/// `syncom policy check|apply`.
#[derive(Clone, Debug, Args)]
pub struct PolicyFile {
    /// The file, such as policy.toml
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `syncom drain|undrain`.
#[derive(Clone, Debug, Args)]
pub struct Drain {
    /// Which nodes
    #[arg(value_name = "NODESET")]
    pub nodeset: String,
    /// Why, for whoever reads it later
    #[arg(long, default_value = "by an operator", value_name = "TEXT")]
    pub reason: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
