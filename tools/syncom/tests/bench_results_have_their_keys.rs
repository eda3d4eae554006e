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
fn queues_are_measured_with_one_producer_or_several() {
    for kind in ["spsc", "mpsc"] {
        let result = bench(&["queue", "--seconds", "1", "--size", "8", "--kind", kind]);
        has(&result, &["ops_per_s", "p99_ns"]);
        assert!(result["ops_per_s_least"].as_f64() <= result["ops_per_s_most"].as_f64());
    }
}

#[test]
fn a_result_compared_with_itself_is_the_same() {
    let path = std::env::temp_dir().join(format!("syncom-results-{}", std::process::id()));
    let result = bench(&["queue", "--seconds", "1"]);
    std::fs::write(&path, format!("{result}\n{result}\n{result}\n")).unwrap();
    let path_text = path.to_str().unwrap();
    let verdicts = bench(&["compare", path_text, path_text]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!((&verdicts["better"], &verdicts["worse"]), (&0.into(), &0.into()), "{verdicts}");
    assert!(verdicts["same"].as_u64().unwrap() > 0);
}
