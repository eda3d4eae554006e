//! What all turns of one system at one size gave, for people and for programs.

use super::options::Case;
use super::systems::{SYSTEMS, System};
use super::turn::Turn;
use crate::host;

/// The system that does nothing but cross the kernel.
const FLOOR: &str = "bare udp";

/// A system, a size of messages, a size of datagrams.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) system: &'static System,
    pub(super) size_b: usize,
    pub(super) mtu_b: usize,
    pub(super) turns: Vec<Turn>,
    /// Why there is nothing to show.
    pub(super) unavailable: Option<String>,
}

impl Row {
    pub(super) fn new(
        system: &'static System,
        size_b: usize,
        mtu_b: usize,
        unavailable: Option<String>,
    ) -> Self {
        Self { system, size_b, mtu_b, turns: Vec::new(), unavailable }
    }

    pub(super) fn title(&self) -> String {
        let Self { system, size_b, mtu_b, .. } = self;
        format!("{}, messages of {size_b} B, datagrams of {mtu_b} B", system.name)
    }

    /// Least, median and most.
    pub(super) fn spread(&self, value: impl Fn(&Turn) -> f64) -> [f64; 3] {
        let mut values: Vec<f64> = self.turns.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        let at = |rank: usize| values.get(rank).copied().unwrap_or(0.0);
        [at(0), at(values.len() / 2), at(values.len().saturating_sub(1))]
    }

    fn median(&self, value: impl Fn(&Turn) -> f64) -> f64 {
        self.spread(value)[1]
    }

    /// Time of both ends' processors per byte of message.
    fn cpu_ns_per_byte(&self) -> f64 {
        self.median(|turn| turn.cpu_ns_per_op) / self.size_b.max(1) as f64
    }

    fn lost(&self) -> u64 {
        self.turns.iter().map(|turn| turn.lost).sum()
    }

    /// What systems are compared by: rates, or times of round trips.
    fn figure(&self, case: Case) -> f64 {
        match case {
            Case::Stream | Case::Fanout => self.median(|turn| turn.msgs_per_s),
            Case::Rtt => self.median(|turn| turn.trips_ns[0] as f64),
        }
    }

    /// By how much it is better than the system of that name at the same sizes: above 1 is better.
    fn ratio(&self, case: Case, rows: &[Self], name: &str) -> Option<f64> {
        let same = |row: &&Self| {
            row.size_b == self.size_b && (row.mtu_b == self.mtu_b || !self.system.has_mtu)
        };
        let base = rows.iter().filter(same).find(|row| row.system.name == name)?;
        let (own, base) = (self.figure(case), base.figure(case));
        let ratio = match case {
            Case::Stream | Case::Fanout => own / base,
            Case::Rtt => base / own,
        };
        ratio.is_finite().then_some(ratio)
    }
}

/// A table for people.
pub(super) fn print(case: Case, rows: &[Row]) {
    let turns = rows.iter().map(|row| row.turns.len()).max().unwrap_or(0);
    println!(
        "{}: median of {turns} turns; ratios to {} and to {FLOOR}",
        case.name(),
        SYSTEMS[0].name
    );
    let figures = match case {
        Case::Stream | Case::Fanout => ["M msgs/s", "least-most", "lost"],
        Case::Rtt => ["p50 us", "p99 / p99.9 us", "lost"],
    };
    let [figure, spread, lost] = figures;
    println!(
        "{:<12} {:>6} {:>6} {figure:>9} {spread:>17} {lost:>6} {:>10} {:>9} {:>6} {:>6}  config",
        "system", "bytes", "mtu", "cpu ns/op", "cpu ns/B", "ratio", "floor"
    );
    for row in rows {
        let mtu = if row.system.has_mtu { row.mtu_b.to_string() } else { "-".into() };
        if let Some(reason) = &row.unavailable {
            println!("{:<12} {:>6} {mtu:>6} {reason}", row.system.name, row.size_b);
            continue;
        }
        let (figure, spread) = match case {
            Case::Stream | Case::Fanout => {
                let [least, median, most] = row.spread(|turn| turn.msgs_per_s / 1e6);
                (median, format!("{least:.2}-{most:.2}"))
            }
            Case::Rtt => {
                let [p50, p99, p999] =
                    [0, 1, 2].map(|at| row.median(|turn| turn.trips_ns[at] as f64 / 1e3));
                (p50, format!("{p99:.1} / {p999:.1}"))
            }
        };
        let ratio = |name| {
            let ratio = row.ratio(case, rows, name);
            ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"))
        };
        println!(
            "{:<12} {:>6} {mtu:>6} {figure:>9.2} {spread:>17} {:>6} {:>10.0} {:>9.2} {:>6} {:>6}  {}",
            row.system.name,
            row.size_b,
            row.lost(),
            row.median(|turn| turn.cpu_ns_per_op),
            row.cpu_ns_per_byte(),
            ratio(SYSTEMS[0].name),
            ratio(FLOOR),
            row.system.config,
        );
    }
}

/// The same for programs: one object per row.
pub(super) fn json(case: Case, rows: &[Row]) -> Vec<String> {
    let host = host::json();
    rows.iter().map(|row| object(case, row, rows, &host)).collect()
}

fn object(case: Case, row: &Row, rows: &[Row], host: &str) -> String {
    let mtu = if row.system.has_mtu { row.mtu_b.to_string() } else { "null".into() };
    let head = format!(
        "{{\"system\":\"{}\",\"version\":\"{}\",\"config\":\"{}\",\"case\":\"{}\",\
         \"link\":\"{}\",\"size_b\":{},\"mtu_b\":{mtu},\"seal\":\"{}\"",
        row.system.name,
        row.system.version(),
        row.system.config,
        case.name(),
        row.system.link,
        row.size_b,
        row.system.seal(),
    );
    if let Some(reason) = &row.unavailable {
        return format!("{head},\"unavailable\":\"{}\",\"host\":{host}}}", host::quotable(reason));
    }
    let figures = match case {
        Case::Stream | Case::Fanout => {
            let [least, median, most] = row.spread(|turn| turn.msgs_per_s);
            let bytes_per_s = median * row.size_b as f64;
            format!(
                "\"msgs_per_s\":{median:.0},\"msgs_per_s_least\":{least:.0},\
                 \"msgs_per_s_most\":{most:.0},\"bytes_per_s\":{bytes_per_s:.0},\"repaired\":null"
            )
        }
        Case::Rtt => {
            let [p50, p99, p999, max] =
                [0, 1, 2, 3].map(|at| row.median(|turn| turn.trips_ns[at] as f64));
            let [least, _, most] = row.spread(|turn| turn.trips_ns[0] as f64);
            format!(
                "\"p50_ns\":{p50:.0},\"p50_ns_least\":{least:.0},\"p50_ns_most\":{most:.0},\
                 \"p99_ns\":{p99:.0},\"p999_ns\":{p999:.0},\"max_ns\":{max:.0}"
            )
        }
    };
    let last = row.turns.last().cloned().unwrap_or_default();
    let ratio = |name| {
        let ratio = row.ratio(case, rows, name);
        ratio.map_or_else(|| "null".into(), |ratio| format!("{ratio:.3}"))
    };
    format!(
        "{head},\"seconds\":{:.3},\"rounds\":{},\"hash\":\"{}\",\"lost\":{},{figures},\
         \"cpu_ns_per_op\":{:.1},\"cpu_ns_per_byte\":{:.3},\"ratio_to_{}\":{},\"ratio_to_floor\":{},\
         \"host\":{host}}}",
        row.median(|turn| turn.seconds),
        row.turns.len(),
        last.hash,
        row.lost(),
        row.median(|turn| turn.cpu_ns_per_op),
        row.cpu_ns_per_byte(),
        SYSTEMS[0].name,
        ratio(SYSTEMS[0].name),
        ratio(FLOOR),
    )
}
