//! Results as pictures: a chart for each size of datagrams or messages, as SVG and as PNG.
//!
//! Bars are medians of turns, the thin lines on them go from the least turn to the most. Scales are
//! logarithmic, since systems differ by orders of magnitude.

mod draw;

use super::options::Case;
use super::row::Row;
use super::systems::SYSTEMS;
use super::turn::Turn;
use crate::host;
use std::fs;
use std::path::Path;

/// One picture.
#[derive(Debug)]
struct Chart {
    /// Name of its files, without what comes after the dot.
    name: String,
    title: String,
    subtitle: String,
    unit: &'static str,
    groups: Vec<Group>,
}

/// Bars that are to be compared.
#[derive(Debug)]
struct Group {
    label: String,
    bars: Vec<Bar>,
}

/// What one system did.
#[derive(Debug)]
struct Bar {
    /// Its place in [`SYSTEMS`].
    system: usize,
    /// Least, median and most, in the unit of the chart.
    values: [f64; 3],
}

/// Writes all charts of a case into `folder`.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn keep(case: Case, rows: &[Row], folder: &Path) -> Result<(), String> {
    for chart in charts(case, rows) {
        let path = folder.join(&chart.name);
        let wrong = |error: String| format!("cannot write {}: {error}", path.display());
        draw::svg(&chart, &path.with_extension("svg")).map_err(wrong)?;
        let png = draw::png(&chart).map_err(wrong)?;
        fs::write(path.with_extension("png"), png).map_err(|error| wrong(error.to_string()))?;
    }
    Ok(())
}

fn charts(case: Case, rows: &[Row]) -> Vec<Chart> {
    let measured: Vec<&Row> = rows.iter().filter(|row| !row.turns.is_empty()).collect();
    let all = |value: fn(&Row) -> usize| {
        let mut values: Vec<usize> = measured.iter().map(|row| value(row)).collect();
        values.sort_unstable();
        values.dedup();
        values
    };
    let one_way = |title| {
        let mtus = all(|row| row.mtu_b).into_iter();
        mtus.map(|mtu| stream(&measured, case, title, mtu)).collect()
    };
    match case {
        Case::Stream => one_way("One way"),
        Case::Fanout => one_way("One to many, each"),
        Case::Rtt => all(|row| row.size_b).into_iter().map(|b| trips(&measured, b)).collect(),
    }
}

/// Messages per second, by size, of all that used datagrams of `mtu_b` bytes or know none.
fn stream(rows: &[&Row], case: Case, title: &str, mtu_b: usize) -> Chart {
    let fits = |row: &&&Row| row.mtu_b == mtu_b || !row.system.has_mtu;
    let rows: Vec<&Row> = rows.iter().filter(fits).copied().collect();
    let mut sizes: Vec<usize> = rows.iter().map(|row| row.size_b).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let group = |size_b: usize| {
        let same = rows.iter().filter(|row| row.size_b == size_b);
        let bars = same.map(|row| bar(row, |turn| turn.msgs_per_s / 1e6)).collect();
        Group { label: format!("{size_b} B"), bars }
    };
    Chart {
        name: format!("peers-{}-{mtu_b}", case.name()),
        title: format!("{title}, datagrams of {mtu_b} B"),
        subtitle: subtitle(&rows),
        unit: "million messages per second",
        groups: sizes.into_iter().map(group).collect(),
    }
}

/// Percentiles of round trips of `size_b` bytes.
fn trips(rows: &[&Row], size_b: usize) -> Chart {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.size_b == size_b).copied().collect();
    let group = |(at, label): (usize, &str)| {
        let bars = rows.iter().map(|row| bar(row, |turn| turn.trips_ns[at] as f64 / 1e3)).collect();
        Group { label: label.into(), bars }
    };
    Chart {
        name: format!("peers-rtt-{size_b}"),
        title: format!("There and back, {size_b} B"),
        subtitle: subtitle(&rows),
        unit: "microseconds",
        groups: ["p50", "p99", "p99.9"].into_iter().enumerate().map(group).collect(),
    }
}

fn bar(row: &Row, value: impl Fn(&Turn) -> f64) -> Bar {
    let system = SYSTEMS.iter().position(|system| system.name == row.system.name).unwrap_or(0);
    Bar { system, values: row.spread(value) }
}

fn subtitle(rows: &[&Row]) -> String {
    let turns = rows.iter().map(|row| row.turns.len()).max().unwrap_or(0);
    format!("median of {turns} turns, least to most; {}", host::line())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let mut rows = Vec::new();
        for (at, system) in SYSTEMS.iter().enumerate() {
            for (mtu_b, size_b) in [(1408, 64), (1408, 256), (8192, 64)] {
                let mut row = Row::new(system, size_b, mtu_b, None);
                for turn in 1..=5_u32 {
                    let msgs_per_s = f64::from(turn) * 1e6 * (at + 1) as f64;
                    let trips_ns = [5_000, 9_000, 40_000, 90_000].map(|ns| ns * u64::from(turn));
                    row.turns.push(Turn { msgs_per_s, trips_ns, ..Turn::default() });
                }
                rows.push(row);
            }
        }
        rows.push(Row::new(&SYSTEMS[0], 1024, 1408, Some("not here".into())));
        rows
    }

    #[test]
    fn each_size_of_datagrams_has_a_chart_with_every_system_in_it() {
        let charts = charts(Case::Stream, &rows());
        let names: Vec<_> = charts.iter().map(|chart| chart.name.as_str()).collect();
        assert_eq!(names, ["peers-stream-1408", "peers-stream-8192"]);
        let labels: Vec<_> = charts[0].groups.iter().map(|group| group.label.as_str()).collect();
        assert_eq!(labels, ["64 B", "256 B"], "a system without a turn has no bar");
        assert_eq!(charts[0].groups[1].bars.len(), SYSTEMS.len());
        assert_eq!(charts[0].groups[0].bars[0].values, [1.0, 3.0, 5.0]);
    }

    #[test]
    fn pictures_say_what_they_show_and_need_no_font_of_the_machine() {
        let folder = std::env::temp_dir().join(format!("syncom-charts-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        keep(Case::Rtt, &rows(), &folder).unwrap();
        let svg = fs::read_to_string(folder.join("peers-rtt-64.svg")).unwrap();
        for text in ["There and back, 64 B", "microseconds", "p99.9", SYSTEMS[1].name] {
            assert!(svg.contains(text), "{text}");
        }
        let png = fs::read(folder.join("peers-rtt-64.png")).unwrap();
        assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000, "{} bytes", png.len());
        fs::remove_dir_all(folder).unwrap();
    }
}
