//! What a host can be tuned by, beside what it has: see `docs/benchmarks.md`.

use super::{Finding, Grade, text};
use std::fs;

/// All that is known of it.
pub(super) fn examine() -> [Finding; 4] {
    [interrupts(), governor(), busy_poll(), backlog()]
}

/// Interrupts that may disturb isolated cores.
fn interrupts() -> Finding {
    let isolated = cores(&text("/sys/devices/system/cpu/isolated"));
    let lists = fs::read_dir("/proc/irq").into_iter().flatten().flatten();
    let disturbs = |list: &String| cores(list).iter().any(|core| isolated.contains(core));
    let count = lists
        .map(|entry| text(&format!("{}/effective_affinity_list", entry.path().display())))
        .filter(disturbs)
        .count();
    let (found, grade) = match (isolated.is_empty(), count) {
        (true, _) => ("wherever the kernel puts them: no core is isolated".into(), Grade::Good),
        (false, 0) => ("none on isolated cores".into(), Grade::Good),
        (false, count) => (format!("{count} on isolated cores"), Grade::Could),
    };
    let advice = "keep them to other cores: for each, echo 0-1 > /proc/irq/N/smp_affinity_list";
    Finding::new("interrupts", found, grade, advice)
}

fn governor() -> Finding {
    let governor = text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    let (found, grade) = match governor.as_str() {
        "" => ("none: the frequency is not ours to choose".into(), Grade::Good),
        "performance" => (governor, Grade::Good),
        _ => (governor, Grade::Could),
    };
    Finding::new(
        "governor",
        found,
        grade,
        "cores sleep and slow down: cpupower frequency-set -g performance",
    )
}

fn busy_poll() -> Finding {
    let us: u32 = text("/proc/sys/net/core/busy_read").parse().unwrap_or(0);
    let (found, grade) = match us {
        0 => ("off: packets wait for an interrupt".into(), Grade::Could),
        us => (format!("a receive polls the NIC for up to {us} us"), Grade::Good),
    };
    let advice = "for latency over a NIC: sysctl -w net.core.busy_read=50 (no effect on loopback)";
    Finding::new("busy poll", found, grade, advice)
}

/// Packets that a core holds between the device and the sockets.
fn backlog() -> Finding {
    let most: u32 = text("/proc/sys/net/core/netdev_max_backlog").parse().unwrap_or(0);
    let grade = if most >= 1_000 { Grade::Good } else { Grade::Could };
    let advice = "bursts are dropped before any socket: sysctl -w net.core.netdev_max_backlog=1000";
    Finding::new("backlog", format!("{most} packets per core"), grade, advice)
}

/// Cores in a list as the kernel writes it, such as `0-2,5`.
fn cores(list: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_read_as_the_kernel_writes_them() {
        assert_eq!(cores("0-2,5"), [0, 1, 2, 5]);
        assert_eq!(cores("7"), [7]);
        assert!(cores("").is_empty() && cores("(null)").is_empty());
    }
}
