//! `syncom doctor`: what of this machine will be used, what is missing, and what to type.

mod tuning;

use crate::exit::Outcome;
use crate::secret::user;
use serde_json::{Value, json};
use std::fs::read_to_string;
use syncom_engine::link::{self, Kind};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grade {
    /// As it should be.
    Good,
    /// Works, and could be faster or safer.
    Could,
    /// Will not work.
    Bad,
}

impl Grade {
    const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Could => "could be better",
            Self::Bad => "bad",
        }
    }
}

/// One thing about this machine.
#[derive(Clone, Debug)]
struct Finding {
    what: &'static str,
    found: String,
    grade: Grade,
    advice: String,
}

impl Finding {
    fn new(what: &'static str, found: impl Into<String>, grade: Grade, advice: &str) -> Self {
        let advice = if grade == Grade::Good { String::new() } else { advice.to_owned() };
        Self { what, found: found.into(), grade, advice }
    }
}

/// Runs the command.
///
/// # Errors
/// None; findings are the result.
pub fn run(json: bool) -> Outcome {
    let findings = examine();
    if json {
        let findings: Vec<Value> = findings
            .iter()
            .map(|f| {
                json!({"what": f.what, "found": f.found, "grade": f.grade.name(),
                       "advice": f.advice})
            })
            .collect();
        println!("{}", json!({"findings": findings}));
        return Ok(());
    }
    for finding in findings {
        println!("{:<18} {:<16} {}", finding.what, finding.grade.name(), finding.found);
        if !finding.advice.is_empty() {
            println!("{:<18} {:<16} -> {}", "", "", finding.advice);
        }
    }
    Ok(())
}

fn examine() -> Vec<Finding> {
    let host = [kernel(), processor(), encryption(), isolation(), open_files(), receive_buffer()];
    let rest = [huge_pages(), privileges(), clock_source()];
    host.into_iter().chain(tuning::examine()).chain(links()).chain(rest).collect()
}

/// A file's text, trimmed; empty when it cannot be read.
fn text(path: &str) -> String {
    read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn kernel() -> Finding {
    let release = text("/proc/sys/kernel/osrelease");
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let grade = match version {
        (0..=4, _) => Grade::Bad,
        (5, 0..=9) => Grade::Could,
        _ => Grade::Good,
    };
    Finding::new(
        "kernel",
        format!("Linux {release}"),
        grade,
        "segmentation offload needs Linux 5.0, pidfd 5.3; use a newer kernel",
    )
}

fn processor() -> Finding {
    let info = text("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown model", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let count = syncom_engine::pin::cores().map_or(0, |cores| cores.len());
    let grade = if count >= 2 { Grade::Good } else { Grade::Could };
    Finding::new(
        "processor",
        format!("{count} x {model}"),
        grade,
        "a station and its disk writer want a core each",
    )
}

fn encryption() -> Finding {
    let info = text("/proc/cpuinfo");
    let flags = |flag: &str| info.split_whitespace().any(|word| word == flag);
    if flags("aes") || cfg!(target_arch = "aarch64") {
        let wide = if flags("vaes") { " (and wide: vaes)" } else { "" };
        return Finding::new(
            "sealing",
            format!("AEGIS-128L with AES instructions{wide}"),
            Grade::Good,
            "",
        );
    }
    Finding::new(
        "sealing",
        "no AES instructions",
        Grade::Bad,
        "AEGIS would be some 60 times slower; use a processor with AES-NI",
    )
}

fn isolation() -> Finding {
    let isolated = text("/sys/devices/system/cpu/isolated");
    let grade = if isolated.is_empty() { Grade::Could } else { Grade::Good };
    let found = if isolated.is_empty() { "no isolated cores".into() } else { isolated };
    Finding::new(
        "isolation",
        found,
        grade,
        "for steady latency boot with isolcpus=2-3 nohz_full=2-3 rcu_nocbs=2-3 (your cores)",
    )
}

fn open_files() -> Finding {
    let limits = text("/proc/self/limits");
    let hard = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .and_then(|line| line.split_whitespace().nth(4))
        .unwrap_or("0")
        .to_owned();
    let enough = hard == "unlimited" || hard.parse::<u64>().is_ok_and(|n| n >= 4_096);
    let grade = if enough { Grade::Good } else { Grade::Could };
    Finding::new(
        "open files",
        format!("up to {hard}"),
        grade,
        "embedded clusters open a socket per node: ulimit -Hn 65536",
    )
}

fn receive_buffer() -> Finding {
    let most: u64 = text("/proc/sys/net/core/rmem_max").parse().unwrap_or(0);
    let grade = if most >= 8 << 20 || user() == 0 { Grade::Good } else { Grade::Could };
    let found = if user() == 0 {
        format!("{most} bytes allowed; root may exceed it")
    } else {
        format!("{most} bytes allowed")
    };
    Finding::new(
        "receive buffer",
        found,
        grade,
        "a stopped process loses what its buffer cannot hold: sysctl -w net.core.rmem_max=8388608",
    )
}

/// One finding per kind of link that needs nothing but a socket.
fn links() -> impl Iterator<Item = Finding> {
    link::probe().into_iter().map(|choice| {
        let name = match choice.kind {
            Kind::Mmsg => "link mmsg",
            Kind::Uring => "link uring",
            Kind::Xdp(_) => "link xdp",
            Kind::Mem(_) => "link mem",
        };
        match choice.obstacle {
            Some(why) => Finding::new(name, why, Grade::Could, "mmsg does instead"),
            None if choice.shortcomings.is_empty() => {
                Finding::new(name, "with segmentation offload both ways", Grade::Good, "")
            }
            None => Finding::new(
                name,
                choice.shortcomings.join("; "),
                Grade::Could,
                "small datagrams cost a system call each; a newer kernel offloads segmentation",
            ),
        }
    })
}

fn huge_pages() -> Finding {
    let info = text("/proc/meminfo");
    let free = info
        .lines()
        .find_map(|line| line.strip_prefix("HugePages_Free:"))
        .map_or("0", str::trim)
        .to_owned();
    let grade = if free == "0" { Grade::Could } else { Grade::Good };
    Finding::new(
        "huge pages",
        format!("{free} free; not used yet by this version"),
        grade,
        "nothing to do now; links of a later version will want: sysctl -w vm.nr_hugepages=256",
    )
}

fn privileges() -> Finding {
    let uid = user();
    let status = text("/proc/self/status");
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .map_or("unknown", str::trim)
        .to_owned();
    Finding::new(
        "privileges",
        format!("uid {uid}, capabilities {effective}; none are needed"),
        Grade::Good,
        "",
    )
}

fn clock_source() -> Finding {
    let source = text("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let slow = matches!(source.as_str(), "hpet" | "acpi_pm" | "");
    let grade = if slow { Grade::Could } else { Grade::Good };
    Finding::new(
        "clock",
        if source.is_empty() { "unknown".into() } else { source },
        grade,
        "reading this clock is slow; boot with clocksource=tsc where the processor allows it",
    )
}
