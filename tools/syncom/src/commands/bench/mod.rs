//! `syncom bench`: what this machine does with the real code.
//!
//! Each case counts what it computed into a hash, so that a number cannot come from work that was
//! not done, and says beside every rate what it cost.

mod alloc;
mod campaign;
mod commit;
mod compare;
mod dedupe;
mod detect;
mod downlink;
mod events;
mod failover;
mod floor;
mod load;
mod message;
mod pair;
mod queue;
mod replicas;
mod rtt;
mod stream;
mod suspect;
mod uplink;
mod woken;
mod writer;

pub use compare::BenchCompare;
pub use dedupe::BenchDedupe;
pub use queue::BenchQueue;
pub use uplink::BenchUplink;

use crate::args::{Bench, BenchCase};
use crate::exit::Outcome;

/// Runs the command.
///
/// # Errors
/// Code 1 when the case could not run to its end, or lost something.
pub fn run(args: &Bench) -> Outcome {
    match &args.case {
        BenchCase::Stream(args) => stream::run(args),
        BenchCase::Rtt(args) => rtt::run(args),
        BenchCase::Alloc(args) => alloc::run(args),
        BenchCase::Queue(args) => queue::run(args),
        BenchCase::Dedupe(args) => dedupe::run(args),
        BenchCase::Uplink(args) => uplink::run(args),
        BenchCase::Compare(args) => compare::run(args),
        BenchCase::Commit(args) => commit::run(args),
        BenchCase::Events(args) => events::run(args),
        BenchCase::Failover(args) => failover::run(args),
        BenchCase::Detect(args) => detect::run(args),
        BenchCase::Downlink(args) => downlink::run(args),
        BenchCase::Reads(args) => campaign::run(args),
        BenchCase::Suspect(args) => suspect::run(args),
    }
}
