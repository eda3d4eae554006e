//! What scripts read of `syncom bench`: every promised key, and that nothing was lost.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::Value;
use std::process::Command;

fn bench(arguments: &[&str]) -> Value {
    let program = env!("CARGO_BIN_EXE_syncom");
    let out = Command::new(program).arg("bench").args(arguments).arg("--json").output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn has(value: &Value, keys: &[&str]) {
    let common = ["case", "link", "size_b", "seal", "seconds", "hash", "cpu_ns_per_op", "host"];
    for key in common.iter().chain(keys) {
        assert!(value.get(key).is_some(), "{key:?} is not in {value}");
    }
}

#[test]
fn streams_lose_nothing_sealed_or_not_to_one_or_to_many_and_over_a_lossy_network() {
    for arguments in [
        &["--size", "64"][..],
        &["--size", "0", "--seal", "off", "--claim"],
        &["--size", "100000", "--mtu", "8192", "--cc", "static"],
        &["--multicast", "2"],
        &["--loss", "5"],
    ] {
        let result = bench(&[&["stream", "--seconds", "1"], arguments].concat());
        has(&result, &["msgs_per_s", "bytes_per_s", "lost", "repaired"]);
        assert_eq!(result["lost"], 0, "{result}");
        assert!(result["msgs_per_s"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn round_trips_are_measured_over_streams_and_datagrams() {
    for arguments in [&[][..], &["--datagram"]] {
        let result = bench(&[&["rtt", "--seconds", "1"], arguments].concat());
        has(&result, &["p50_ns", "p99_ns", "p999_ns", "max_ns"]);
        assert!(result["p50_ns"].as_u64() <= result["p999_ns"].as_u64());
    }
}

#[test]
fn commits_are_durable_counted_and_applied_once() {
    for clients in ["1", "64"] {
        let result = bench(&["commit", "--seconds", "1", "--clients", clients]);
        has(&result, &["commits_per_s", "p50_us", "p99_us", "fsyncs_per_s", "floor_us"]);
        assert_eq!((&result["lost"], &result["twice"]), (&0.into(), &0.into()), "{result}");
        assert!(result["commits_per_s"].as_f64().unwrap() > 0.0);
    }
    let lossy = bench(&["commit", "--seconds", "1", "--clients", "16", "--loss", "1"]);
    assert_eq!((&lossy["lost"], &lossy["twice"]), (&0.into(), &0.into()), "{lossy}");
}

#[test]
fn a_struck_leader_loses_nothing_that_was_acknowledged() {
    let result = bench(&["failover", "--rounds", "2", "--clients", "4"]);
    has(&result, &["p50_ms", "max_ms"]);
    assert_eq!((&result["lost"], &result["twice"]), (&0.into(), &0.into()), "{result}");
}

/// Invariant 13, on real processes: a few campaigns, with cuts where this may make a namespace.
#[test]
fn reads_of_struck_processes_are_linearizable() {
    let result = bench(&["reads", "--campaigns", "1", "--seconds", "4"]);
    has(&result, &["operations", "kills", "stops", "cuts"]);
    assert_eq!(result["violations"], serde_json::json!([]), "{result}");
    assert!(result["operations"].as_u64().unwrap() > 20);
}
