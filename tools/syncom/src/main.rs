//! The `syncom` binary.

use std::process::ExitCode;
use syncom_engine::allocation::Counting;

/// Counts per thread, for `syncom bench alloc`; see there what that costs.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    syncom::main()
}
