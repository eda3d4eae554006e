//! A network of one's own, for benches that cut, lose and delay.
//!
//! What such a run does to its loopback, no other process of the host may feel. So the program runs
//! itself again under `unshare --net` (network_namespaces(7)), with a flag that says so, and does
//! there what it was asked for.

use std::io;
use std::process::{Command, Stdio};

/// Whether this process may make a network of its own.
#[must_use]
pub fn is_allowed() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--net", "true"]).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs this program again with the same arguments and `flag`, where the loopback is its own, until it
/// ends; whether it succeeded.
///
/// # Errors
/// When it cannot be started there.
pub fn run_again(flag: &str) -> io::Result<bool> {
    let script = format!("ip link set lo up && exec \"$@\" {flag}");
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &script, "sh"]);
    command.arg(std::env::current_exe()?).args(std::env::args_os().skip(1));
    Ok(command.status()?.success())
}
