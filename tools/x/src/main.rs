//! The project's own chores.
//!
//! `cargo x ci` changes nothing and is what continuous integration runs; `cargo x fix` and
//! `cargo x golden --write` are the only commands that write, with `cargo x instructions --write`.
//! Needs nothing but the toolchain, and valgrind to count instructions.

mod ci;
mod finding;
mod frames;
mod golden;
mod instructions;
mod modules;
mod source;
mod steps;
mod tidy;
mod tree;

use std::process::ExitCode;
use steps::Steps;

const USAGE: &str = "\
usage: cargo x COMMAND

  ci [--seeds N]    everything that must hold before a change is taken; writes nothing
  fix               format the sources and write the golden files and tables
  tidy              the rules that clippy cannot check
  golden [--write]  compare (or write) golden frames and the tables of PROTOCOL.md
  curve [--write]   measure the curve of detection and compare (or write) its table and picture
  instructions [--write]
                    count the instructions of the hot paths and compare (or write) their table
  sim [ARGS]        the simulator: `--seeds N` runs that many seeds (300 without arguments),
                    anything else goes to `syncom sim` as it is";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut steps = Steps::new();
    match args.as_slice() {
        ["ci"] => ci::check(&mut steps, ci::SEEDS),
        ["ci", "--seeds", seeds] => ci::check(&mut steps, seeds),
        ["fix"] => ci::fix(&mut steps),
        ["tidy"] => steps.check("tidy", tidy::check),
        ["golden"] => golden::check(&mut steps),
        ["golden", "--write"] => golden::write(&mut steps),
        ["curve"] => golden::check_curve(&mut steps),
        ["curve", "--write"] => golden::write_curve(&mut steps),
        ["instructions"] => instructions::check(&mut steps),
        ["instructions", "--write"] => instructions::write(&mut steps),
        ["sim", rest @ ..] => ci::simulate(&mut steps, rest),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("cargo x: cannot understand `{}`\n{USAGE}", args.join(" "));
            return ExitCode::from(2);
        }
    }
    steps.summary()
}
