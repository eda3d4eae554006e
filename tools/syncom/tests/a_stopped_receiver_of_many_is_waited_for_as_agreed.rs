//! Real processes: one of three receivers of a multicast stream is stopped (SIGSTOP) and returns.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::Value;
use std::process::Command;

/// Three receivers, the first of which is stopped a third into the run. That every message came in
/// order, or was told as missed, is judged by the command itself: else it fails.
fn stream(arguments: &[&str]) -> Value {
    let program = env!("CARGO_BIN_EXE_syncom");
    let mut command = Command::new(program);
    command.args(["bench", "stream", "--json", "--multicast", "3"]).args(arguments);
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let result: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(result["lost"], 0, "{result}");
    result
}

#[test]
fn within_the_bound_it_is_waited_for_and_everybody_gets_everything() {
    let result = stream(&["--seconds", "3", "--stop", "1s", "--linger", "20s"]);
    assert_eq!((&result["missed"], &result["laggards"]), (&0.into(), &0.into()), "{result}");
}

#[test]
fn beyond_the_bound_the_others_go_on_and_it_is_told_what_it_missed() {
    let result =
        stream(&["--seconds", "3", "--stop", "1s", "--linger", "200ms", "--window", "128k"]);
    assert!(result["laggards"].as_u64().unwrap() >= 1, "{result}");
}

#[test]
fn beyond_the_bound_it_is_repaired_from_what_is_kept() {
    let rate = ["--rate", "50000", "--size", "64", "--history", "64m"];
    let stop = ["--seconds", "3", "--stop", "1s", "--linger", "200ms"];
    let result = stream(&[&rate[..], &stop[..]].concat());
    assert!(result["laggards"].as_u64().unwrap() >= 1, "{result}");
    assert_eq!(result["missed"], 0, "{result}");
}
