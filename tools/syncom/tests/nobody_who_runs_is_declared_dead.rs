//! A few tries of each fault of `syncom bench suspect`: real processes stopped, starved, not heard.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::Value;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Held by the one cluster that is struck: each fault is to be judged by itself.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The result of so many tries; none where this machine does not allow the fault.
fn strike(how: &str, tries: &str) -> Option<Value> {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let out = Command::new(env!("CARGO_BIN_EXE_syncom"))
        .args(["bench", "suspect", "--how", how, "--tries", tries, "--seed", "7"])
        .args(["--nodes", "12", "--longest", "6", "--json"])
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{words}");
    let result: Value = serde_json::from_slice(&out.stdout).unwrap();
    if let Some(why) = result["left_out"].as_str() {
        eprintln!("SKIPPED: {why}");
        return None;
    }
    assert_eq!(result["tries"].to_string(), tries, "{result}");
    assert_eq!(result["false_dead"], 0, "{words}");
    assert_eq!(result["missed"].as_array().unwrap().len(), 0, "{words}");
    for key in ["gray", "dead_by_rule", "reborn", "healed_ms", "healed_max_ms", "seconds", "host"] {
        assert!(result.get(key).is_some(), "{key:?} is not in {result}");
    }
    Some(result)
}

#[test]
fn a_stopped_node_is_dead_by_the_rules_and_nobody_else_is() {
    let result = strike("stop", "4").unwrap();
    assert!(result["dead_by_rule"].as_u64().unwrap() > 0, "{result}");
}

#[test]
fn nobody_is_declared_dead_for_want_of_a_core() {
    let result = strike("starve", "2").unwrap();
    assert_eq!(result["dead_by_rule"], 0);
}

#[test]
fn nobody_is_declared_dead_by_satellites_that_were_stopped() {
    strike("satellites", "3").unwrap();
}

#[test]
fn nobody_is_declared_dead_because_a_fifth_of_its_datagrams_is_lost() {
    strike("loss", "2");
}

#[test]
fn nobody_is_declared_dead_who_is_cut_off_in_one_direction() {
    strike("one-way", "3");
}
