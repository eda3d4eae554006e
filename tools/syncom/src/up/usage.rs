//! What the cluster costs: CPU time and resident memory, as the kernel counts them.

use std::fs::read_to_string;

/// Clock ticks per second in `/proc/*/stat`: 100 on every Linux that Rust supports.
const TICKS_PER_S: f64 = 100.0;
/// Bytes of a page in `/proc/*/statm`.
const PAGE: u64 = 4_096;

/// CPU seconds and resident bytes of some processes, this one included.
pub(super) fn usage(pids: &[u32]) -> (f64, u64) {
    let own = std::process::id();
    pids.iter().chain([&own]).fold((0.0, 0), |(cpu_s, rss_bytes), pid| {
        let (cpu, rss) = of(*pid).unwrap_or_default();
        (cpu_s + cpu, rss_bytes + rss)
    })
}

/// CPU seconds of one process; 0 when it is gone.
pub(crate) fn cpu_s(pid: u32) -> f64 {
    of(pid).map_or(0.0, |(cpu_s, _)| cpu_s)
}

/// Resident bytes of one process; 0 when it is gone.
pub(crate) fn rss_bytes(pid: u32) -> u64 {
    of(pid).map_or(0, |(_, rss_bytes)| rss_bytes)
}

fn of(pid: u32) -> Option<(f64, u64)> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command may contain anything; what follows its last parenthesis is numbers.
    let numbers: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let user: u32 = numbers.get(11)?.parse().ok()?;
    let system: u32 = numbers.get(12)?.parse().ok()?;
    let statm = read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(((f64::from(user) + f64::from(system)) / TICKS_PER_S, pages * PAGE))
}
