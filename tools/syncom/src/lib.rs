//! The `syncom` program: its command line, its configuration, and clusters on one machine.
//!
//! The binary is a few lines around [`main`]; everything lives here so that it can be tested.

pub mod args;
pub mod assemble;
pub mod client;
pub mod commands;
pub mod config;
pub mod exit;
pub mod member;
pub mod nodeset;
pub mod place;
pub mod policy;
pub mod ports;
pub mod secret;
pub mod show;
pub mod up;

use args::{Cli, Command};
use clap::{CommandFactory as _, Parser as _};
use exit::Outcome;
use std::process::ExitCode;

/// Runs the program: parses the command line, does what it says, and turns the result into an exit
/// code. Failures go to stderr as one message.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            show::tell(&failure.message);
            failure.code.into()
        }
    }
}

/// Whether the command runs members, which a closed pipe must not end.
const fn owns_state(command: &Command) -> bool {
    match command {
        Command::Up(_) => true,
        Command::Station(args::Station { member: Some(args), what: None }) => !args.check,
        Command::Station(_) => false,
        Command::Satellite(args) | Command::Agent(args) => !args.check,
        Command::Init(_)
        | Command::Status(_)
        | Command::Nodes(_)
        | Command::Events(_)
        | Command::Explain(_)
        | Command::Report(_)
        | Command::Run(_)
        | Command::Cancel(_)
        | Command::Decisions(_)
        | Command::Policy(_)
        | Command::Drain(_)
        | Command::Undrain(_)
        | Command::Graph(_)
        | Command::Counters(_)
        | Command::Doctor(_)
        | Command::Sim(_)
        | Command::Bench(_)
        | Command::Completions { .. } => false,
    }
}

fn dispatch(cli: Cli) -> Outcome {
    if !owns_state(&cli.command) {
        // Without it, printing into a closed pipe panics; nothing worse.
        let _ = syncom_engine::signal::end_at_closed_pipe();
    }
    let find = || place::find(cli.cluster.as_deref());
    match cli.command {
        Command::Up(args) => up::run(&args),
        Command::Station(args::Station { what: Some(verb), .. }) => match verb {
            args::StationVerb::Replace(args) => commands::replace::run(find, &args),
        },
        Command::Station(args::Station { member: Some(args), .. }) => {
            member::run(config::Kind::Station, &args)
        }
        Command::Station(_) => Err(exit::Failure::usage("name a file with --config")),
        Command::Satellite(args) => member::run(config::Kind::Satellite, &args),
        Command::Agent(args) => member::run(config::Kind::Agent, &args),
        Command::Init(args) => commands::init::run(&args),
        Command::Status(args) => commands::status::run(find()?, args),
        Command::Nodes(args) => commands::nodes::run(find()?, &args),
        Command::Events(args) => commands::events::run(find()?, &args),
        Command::Explain(args) => commands::explain::run(find()?, &args),
        Command::Report(args) => commands::report::run(find()?, &args),
        Command::Run(args) => commands::run::run(find()?, &args),
        Command::Cancel(args) => commands::cancel::run(find()?, &args),
        Command::Decisions(args) => commands::listing::decisions(find()?, &args),
        Command::Policy(args) => commands::policy::run(find, &args.what),
        Command::Drain(args) => commands::drain::run(find()?, &args, true),
        Command::Undrain(args) => commands::drain::run(find()?, &args, false),
        Command::Graph(args) => commands::listing::graph(find()?, &args),
        Command::Counters(args) => commands::listing::counters(&find()?, args.json),
        Command::Doctor(args) => commands::doctor::run(args.json),
        Command::Sim(args) => commands::sim::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Completions { shell } => {
            let mut command = Cli::command();
            clap_complete::generate(shell, &mut command, "syncom", &mut std::io::stdout());
            Ok(())
        }
    }
}
