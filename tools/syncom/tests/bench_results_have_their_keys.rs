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
        &["--loss", "10"],
    ] {
        let result = bench(&[&["stream", "--seconds", "1"], arguments].concat());
        has(&result, &["msgs_per_s", "bytes_per_s", "lost", "repaired", "cpu_ns_per_byte"]);
        assert_eq!(result["lost"], 0, "{result}");
        assert!(result["msgs_per_s"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn round_trips_are_measured_over_streams_and_datagrams() {
    for arguments in [&[][..], &["--datagram"]] {
        let result = bench(&[&["rtt", "--seconds", "1"], arguments].concat());
        has(&result, &["p50_ns", "p99_ns", "p999_ns", "max_ns", "cpu_ns_per_byte"]);
        assert!(result["p50_ns"].as_u64() <= result["p999_ns"].as_u64());
    }
}

#[test]
fn nothing_is_allocated_per_message_on_the_links_that_need_no_privilege() {
    for (link, size) in [("mem", "64"), ("mmsg", "700")] {
        let result = bench(&["alloc", "--link", link, "--size", size]);
        has(&result, &["allocs_per_msg", "paths"]);
        assert_eq!(result["allocs_per_msg"], 0.0, "{result}");
        let paths = result["paths"].as_array().unwrap();
        assert_eq!(paths.len(), 3, "{result}");
        let copies = |path: usize, key: &str| paths[path][key].as_f64().unwrap();
        // Offered messages are copied once more than claimed ones.
        assert!(copies(1, "copies_out") - copies(2, "copies_out") > 0.9, "{result}");
        assert!(copies(2, "copies_out") > 0.99 && copies(2, "copies_in") < 1.5, "{result}");
    }
}
