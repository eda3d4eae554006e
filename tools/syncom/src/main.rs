//! The `syncom` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    syncom::main()
}
