//! `syncom bench rtt`: ping-pong.

use crate::args::BenchRtt;
use crate::exit::{Failure, Outcome};

/// Runs the case, or the echo's part of it.
pub(super) fn run(_: &BenchRtt) -> Outcome {
    Err(Failure::failed("not there yet"))
}
