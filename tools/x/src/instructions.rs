//! Instructions of the hot paths, counted by callgrind and compared with a committed table.
//!
//! Time on a shared machine cannot tell a regression of a few per cent from the weather; the count of
//! instructions can, and it is the same wherever the sources lie. What is walked, and what an
//! operation is, says `benches/src/instructions.rs`.

use crate::steps::Steps;
use crate::tree::root;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The committed table.
const TABLE: &str = "benches/instructions.txt";
/// The function inside of which callgrind counts.
const COLLECTED: &str = "*instructions::collected*";
/// A path that takes more or fewer instructions by so much is found, in per cent.
const TOLERANCE_PERCENT: f64 = 3.0;

/// A path and the instructions that one operation of it takes.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    name: String,
    count: f64,
}

/// Counts and compares.
pub(crate) fn check(steps: &mut Steps) {
    steps.step("instructions of the hot paths", || {
        let rows = match counted() {
            Ok(rows) => rows,
            Err(why) => return complain(&why),
        };
        let table = fs::read_to_string(root().join(TABLE)).unwrap_or_default();
        let findings = findings(&parse(&table), &rows);
        for row in &rows {
            println!("    {:>12.1}  {}", row.count, row.name);
        }
        for finding in &findings {
            println!("    {TABLE}: {finding}");
        }
        if !findings.is_empty() {
            println!("    counted with {}, the table is of", tools());
            table
                .lines()
                .take_while(|line| line.starts_with('#'))
                .for_each(|l| println!("    {l}"));
            println!(
                "    if that is meant: cargo x instructions --write, and say why in the commit"
            );
        }
        findings.is_empty()
    });
}

/// Counts and writes the table.
pub(crate) fn write(steps: &mut Steps) {
    steps.step("table of instructions", || match counted() {
        Ok(rows) => match fs::write(root().join(TABLE), render(&rows)) {
            Ok(()) => true,
            Err(error) => complain(&format!("{TABLE}: {error}")),
        },
        Err(why) => complain(&why),
    });
}

fn complain(why: &str) -> bool {
    println!("    {why}");
    false
}

/// What has made the counts.
fn tools() -> String {
    let version = |program: &str| {
        let output = Command::new(program).arg("--version").output();
        output.map_or_else(
            |_| format!("no {program}"),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    };
    format!("{}, {}", version("rustc"), version("valgrind"))
}

/// Builds the benches, walks all paths to learn their names, then each alone under callgrind.
fn counted() -> Result<Vec<Row>, String> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Err("valgrind is missing: apt-get install valgrind".into());
    }
    let folder = root().join("target/instructions");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let file = folder.join("callgrind.out");
    let runner = format!(
        "target.'cfg(all())'.runner = ['valgrind', '-q', '--tool=callgrind', \
         '--callgrind-out-file={}', '--toggle-collect={COLLECTED}']",
        file.display()
    );
    let list = benches(&[], &[])?;
    rows(&list, |at| {
        // What an earlier path has left would be taken for this one's.
        let _ = fs::remove_file(&file);
        benches(&["--config", &runner], &[&at.to_string()]).ok().and_then(|_| total(&file))
    })
}

/// Runs the walker by way of cargo, and returns what it prints.
fn benches(options: &[&str], arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("cargo")
        .args(["run", "--release", "--quiet", "--package", "syncom-benches"])
        .args(options)
        .args(["--", "instructions"])
        .args(arguments)
        .current_dir(root())
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The count that callgrind has written down.
fn total(file: &Path) -> Option<f64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().rev().find_map(|line| line.strip_prefix("totals:"))?;
    line.trim().parse().ok().filter(|total| *total > 0.0)
}

/// One row per line of the program: a name and how many operations it was, apart by tabs.
fn rows(output: &str, total: impl Fn(usize) -> Option<f64>) -> Result<Vec<Row>, String> {
    let row = |(at, line): (usize, &str)| {
        let mut words = line.split('\t');
        let name = words.next()?.to_owned();
        let operations: f64 = words.next()?.parse().ok()?;
        Some(Row { name, count: total(at)? / operations })
    };
    let rows: Option<Vec<Row>> = output.lines().enumerate().map(row).collect();
    match rows {
        Some(rows) if !rows.is_empty() => Ok(rows),
        Some(_) | None => Err(format!("callgrind has not counted every path:\n{output}")),
    }
}

fn render(rows: &[Row]) -> String {
    let mut text = format!(
        "# Instructions per operation: cargo x instructions (--write renews).\n# {}\n",
        tools()
    );
    for row in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:>12.1}  {}", row.count, row.name);
    }
    text
}

fn parse(table: &str) -> Vec<Row> {
    let row = |line: &str| {
        let (count, name) = line.trim().split_once("  ")?;
        Some(Row { name: name.trim().into(), count: count.parse().ok()? })
    };
    table.lines().filter(|line| !line.starts_with('#')).filter_map(row).collect()
}

/// What differs by more than is tolerated, is new, or is gone.
fn findings(expected: &[Row], rows: &[Row]) -> Vec<String> {
    let of = |rows: &[Row], name: &str| rows.iter().find(|row| row.name == name).map(|r| r.count);
    let mut findings = Vec::new();
    for Row { name, count } in rows {
        match of(expected, name) {
            None => findings.push(format!("{name}: not in the table")),
            Some(old) => {
                let percent = (count - old) / old.max(1.0) * 100.0;
                if percent.abs() > TOLERANCE_PERCENT {
                    findings.push(format!("{name}: {old:.1}, now {count:.1} ({percent:+.1} %)"));
                }
            }
        }
    }
    let gone = expected.iter().filter(|row| of(rows, &row.name).is_none());
    findings.extend(gone.map(|row| format!("{}: not walked any more", row.name)));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, count: f64) -> Row {
        Row { name: name.into(), count }
    }

    #[test]
    fn three_per_cent_either_way_are_tolerated_and_more_are_not() {
        let table = [row("a: b", 1000.0)];
        assert!(findings(&table, &[row("a: b", 1029.9)]).is_empty());
        assert!(findings(&table, &[row("a: b", 970.1)]).is_empty());
        assert_eq!(findings(&table, &[row("a: b", 1031.0)]).len(), 1);
        assert_eq!(findings(&table, &[row("a: b", 969.0)]).len(), 1);
    }

    #[test]
    fn paths_that_are_new_or_gone_are_found() {
        assert_eq!(findings(&[row("a", 1.0)], &[row("b", 1.0)]).len(), 2);
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let rows = [row("seal 64 B", 12.5), row("queue: push", 3.0)];
        assert_eq!(parse(&render(&rows)), rows);
    }

    #[test]
    fn a_path_that_was_not_counted_is_no_row() {
        let output = "a\t10\tff\nb\t4\tff\n";
        assert_eq!(rows(output, |_| Some(20.0)), Ok(vec![row("a", 2.0), row("b", 5.0)]));
        assert!(rows(output, |at| (at == 0).then_some(1.0)).is_err());
        assert!(rows("", |_| Some(1.0)).is_err());
    }
}
