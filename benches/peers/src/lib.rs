//! What the peers have in common: what they are asked to do, and how they say what came out.
//!
//! A peer is a program for each system. It runs as one end of a case, in a process of its own that
//! is pinned to a core, and speaks in lines on its standard output: `ready` when the other end may
//! start, and at the end `result` with `key=value` pairs. Anything else goes to standard error, and
//! a failure is an exit code other than 0.

mod plan;
mod tally;

pub use plan::{Plan, Role};
pub use tally::{FINAL, Tally, Trips};

use nix::time::{ClockId, clock_gettime};

/// What a peer fails with: a sentence for people.
pub type Failure = Box<dyn std::error::Error>;

/// Round trips that warm up and are not counted.
pub const WARM_UP: u64 = 1000;

/// Time since some moment in the past, in ns.
#[must_use]
pub fn now_ns() -> u64 {
    clock_ns(ClockId::CLOCK_MONOTONIC)
}

/// Time that all threads of this process have spent on cores, in ns.
#[must_use]
pub fn cpu_ns() -> u64 {
    clock_ns(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

fn clock_ns(clock: ClockId) -> u64 {
    let Ok(time) = clock_gettime(clock) else { return 0 };
    let part = |part: i64| u64::try_from(part).unwrap_or(0);
    part(time.tv_sec()) * 1_000_000_000 + part(time.tv_nsec())
}

/// Tells the other end that it may start.
pub fn say_ready() {
    println!("ready");
}

/// Runs a peer: parses what it is asked for, pins it, and turns a failure into an exit code.
pub fn run(peer: impl FnOnce(&Plan) -> Result<(), Failure>) -> std::process::ExitCode {
    let result = Plan::parse(std::env::args().skip(1)).and_then(|plan| {
        plan.pin()?;
        peer(&plan)
    });
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            std::process::ExitCode::FAILURE
        }
    }
}
