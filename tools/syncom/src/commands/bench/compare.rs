//! `syncom bench compare`: what changed between two files of results, and what is only noise.
//!
//! A file holds results as `--json` prints them, one object after another: of `syncom bench`, or of
//! `syncom-benches -- peers`. Results of the same case are repeats of one measurement, whose figure
//! is their median and whose noise is from their least to their most; a result that says so itself
//! (`KEY_least`, `KEY_most`) is believed. Two figures differ when their noise does not overlap. How
//! far a single run may be off nobody knows: it counts as a tenth.

mod measurement;
mod verdict;

use crate::exit::{Failure, Outcome, file_failure};
use clap::Args;
use measurement::{Measurement, gather};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use verdict::{Change, Verdict};

/// `syncom bench compare`.
#[derive(Clone, Debug, Args)]
pub struct BenchCompare {
    /// The results before
    #[arg(value_name = "A.json")]
    before: PathBuf,
    /// The results after
    #[arg(value_name = "B.json")]
    after: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command. That something became worse is a result, not a failure.
///
/// # Errors
/// When a file cannot be read or holds no results.
pub(super) fn run(args: &BenchCompare) -> Outcome {
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let changes = changes(&before, &after);
    let hosts = differing_hosts(&before, &after);
    let (gone, new) = (missing(&before, &after), missing(&after, &before));
    if args.json {
        println!("{}", to_json(&changes, &hosts, &gone, &new));
        return Ok(());
    }
    for host in &hosts {
        println!("not the same machine: {host}");
    }
    let mut title = "";
    for change in &changes {
        if change.title != title {
            title = &change.title;
            println!("{title}");
        }
        println!("{change}");
    }
    gone.iter().for_each(|title| println!("{title}\n  only in {}", args.before.display()));
    new.iter().for_each(|title| println!("{title}\n  only in {}", args.after.display()));
    let [better, worse, same] = counts(&changes);
    println!("{better} better, {worse} worse, {same} within the noise");
    Ok(())
}

type Results = BTreeMap<String, Measurement>;

fn read(path: &Path) -> Result<Results, Failure> {
    let text = fs::read_to_string(path).map_err(|error| file_failure("read", path, &error))?;
    let results = gather(&text).map_err(|why| {
        Failure::failed(format!(
            "{} holds no results: {why}; write them with `syncom bench CASE --json`",
            path.display()
        ))
    })?;
    Ok(results)
}

/// Every figure that both have, by measurement and key.
fn changes(before: &Results, after: &Results) -> Vec<Change> {
    let both = before.iter().filter_map(|(title, old)| Some((title, old, after.get(title)?)));
    both.flat_map(|(title, old, new)| {
        old.figures().filter_map(move |(key, was)| {
            let is = new.figure(key)?;
            Change::of(title, key, was, is)
        })
    })
    .collect()
}

fn missing(from: &Results, other: &Results) -> Vec<String> {
    from.keys().filter(|title| !other.contains_key(*title)).cloned().collect()
}

/// What is said about the machine, where the two differ.
fn differing_hosts(before: &Results, after: &Results) -> Vec<String> {
    let mut differences = Vec::new();
    for (title, old) in before {
        let Some(new) = after.get(title) else { continue };
        for (key, was) in old.host() {
            let is = new.host().get(key).unwrap_or(&Value::Null);
            let text = format!("{key} was {was}, is {is}");
            // A new version is what one compares.
            if was != is && key != "version" && key != "syncom" && !differences.contains(&text) {
                differences.push(text);
            }
        }
    }
    differences
}

fn counts(changes: &[Change]) -> [usize; 3] {
    [Verdict::Better, Verdict::Worse, Verdict::Same]
        .map(|verdict| changes.iter().filter(|change| change.verdict == verdict).count())
}

fn to_json(changes: &[Change], hosts: &[String], gone: &[String], new: &[String]) -> Value {
    let [better, worse, same] = counts(changes);
    let rows: Vec<Map<String, Value>> = changes.iter().map(Change::to_json).collect();
    json!({"better": better, "worse": worse, "same": same, "rows": rows,
           "hosts": hosts, "only_before": gone, "only_after": new})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(before: &str, after: &str) -> Value {
        let (before, after) = (gather(before).unwrap(), gather(after).unwrap());
        let hosts = differing_hosts(&before, &after);
        let (gone, new) = (missing(&before, &after), missing(&after, &before));
        to_json(&changes(&before, &after), &hosts, &gone, &new)
    }

    fn rates(rates: &[u32]) -> String {
        let line = |rate| format!("{{\"case\":\"stream\",\"size_b\":64,\"msgs_per_s\":{rate}}}\n");
        rates.iter().map(line).collect()
    }

    #[test]
    fn repeats_whose_ranges_overlap_are_the_same_and_others_are_not() {
        let before = rates(&[100, 104, 96, 101, 99]);
        for (after, verdict) in [
            (rates(&[103, 108, 110, 112, 105]), "same"),
            (rates(&[110, 112, 111, 115, 109]), "better"),
            (rates(&[80, 81, 82, 79, 90]), "worse"),
        ] {
            let result = compared(&before, &after);
            assert_eq!(result["rows"][0]["verdict"], verdict, "{result}");
            assert_eq!(result["rows"][0]["before"], 100.0);
        }
    }

    #[test]
    fn a_single_run_may_be_a_tenth_off() {
        assert_eq!(compared(&rates(&[100]), &rates(&[115]))["same"], 1);
        assert_eq!(compared(&rates(&[100]), &rates(&[130]))["better"], 1);
    }

    #[test]
    fn other_sizes_are_other_measurements_and_are_named() {
        let other = "{\"case\":\"stream\",\"size_b\":256,\"msgs_per_s\":1}";
        let result = compared(&rates(&[100]), other);
        assert_eq!(result["rows"].as_array().unwrap().len(), 0);
        assert_eq!(result["only_before"][0], "stream size_b=64");
        assert_eq!(result["only_after"][0], "stream size_b=256");
    }

    #[test]
    fn another_machine_is_said_and_another_version_is_not() {
        let of = |kernel, version| {
            format!(
                "{{\"case\":\"rtt\",\"p50_ns\":5,\
                 \"host\":{{\"kernel\":\"{kernel}\",\"version\":\"{version}\"}}}}"
            )
        };
        let result = compared(&of("6.1", "1"), &of("6.18", "2"));
        assert_eq!(result["hosts"].as_array().unwrap().len(), 1);
        assert!(result["hosts"][0].as_str().unwrap().contains("6.18"));
    }
}
