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
    let log = std::env::temp_dir().join(format!("syncom-rtt-{}.hlog", std::process::id()));
    let hdr = ["--hdr", log.to_str().unwrap()];
    for arguments in [&[][..], &["--datagram"], &["--rate", "2000"], &hdr] {
        let result = bench(&[&["rtt", "--seconds", "1"], arguments].concat());
        has(&result, &["p50_ns", "p99_ns", "p999_ns", "max_ns", "cpu_ns_per_byte"]);
        assert!(result["p50_ns"].as_u64() <= result["p999_ns"].as_u64());
    }
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    assert!(text.lines().any(|line| line.starts_with("Tag=rtt,0.000,")), "{text}");
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

/// A small part of what `bench events` does with a million: the bounds hold, nobody answers otherwise.
#[test]
fn replicas_come_back_to_many_events_and_answer_alike() {
    let result = bench(&["events", "--events", "20000", "--clients", "64"]);
    has(
        &result,
        &["events_per_s", "rss_max_mb", "log_max_mb", "late_served_ms", "prompt_served_ms"],
    );
    assert_eq!(result["answers_equal"], true, "{result}");
    assert!(result["rss_max_mb"].as_u64() <= result["rss_bound_mb"].as_u64(), "{result}");
    assert!(result["looks"].as_array().unwrap().len() > 4, "{result}");
}

#[test]
fn what_loss_costs_is_compared_by_turns() {
    let args = ["commit", "--seconds", "1", "--clients", "16", "--loss", "1", "--rounds", "1"];
    let result = bench(&args);
    has(&result, &["clean_per_s", "lossy_per_s", "ratio"]);
    assert_eq!(result["damage"], 0, "{result}");
}

#[test]
fn a_struck_leader_loses_nothing_that_was_acknowledged() {
    let result = bench(&["failover", "--rounds", "2", "--clients", "4"]);
    has(&result, &["p50_ms", "max_ms", "manager_max_ms"]);
    assert_eq!((&result["kills"], &result["stops"]), (&1.into(), &1.into()), "{result}");
    let woken = [&result["woken_stale"], &result["woken_empty"]];
    assert_eq!(woken, [0, 0], "{result}");
    assert!(result["woken_answers"].as_u64().unwrap() > 0, "{result}");
    assert_eq!((&result["lost"], &result["twice"]), (&0.into(), &0.into()), "{result}");
}

/// Invariant 13, on real processes: a few campaigns, with all the blows that this process may strike.
#[test]
fn reads_of_struck_processes_are_linearizable_and_stale_ones_are_found_out() {
    let result = bench(&["reads", "--campaigns", "2", "--seconds", "4"]);
    has(&result, &["operations", "kills", "stops", "cuts", "resets", "clock_steps", "left_out"]);
    for left_out in result["left_out"].as_array().unwrap() {
        eprintln!("SKIPPED: {left_out}");
    }
    assert_eq!(result["violations"], serde_json::json!([]), "{result}");
    assert!(result["operations"].as_u64().unwrap() > 40);
    let blows = ["kills", "stops", "cuts", "resets", "clock_steps"];
    assert!(blows.iter().map(|kind| result[kind].as_u64().unwrap()).sum::<u64>() > 4);
    // Succeeds only when the judge finds something.
    let stale = bench(&["reads", "--campaigns", "2", "--seconds", "4", "--stale"]);
    assert!(!stale["violated"].as_array().unwrap().is_empty(), "{stale}");
}

/// A small part of what `bench detect` does: nobody dies but those who are killed.
#[test]
fn killed_agents_and_services_are_known_dead_and_nobody_else() {
    for how in ["crash", "gone", "service"] {
        let few = ["--nodes", "5", "--kills", "2", "--profile", "fast"];
        let result = bench(&[&["detect", "--how", how], &few[..]].concat());
        has(&result, &["p50_ms", "p99_ms", "max_ms", "false_dead", "node_bytes_per_s"]);
        assert_eq!((&result["false_dead"], &result["kills"]), (&0.into(), &2.into()), "{result}");
        let ms = |key: &str| result[key].as_f64().unwrap();
        assert!(0.0 < ms("min_ms") && ms("min_ms") <= ms("p50_ms"), "{result}");
        assert!(ms("p50_ms") <= ms("p99_ms") && ms("p99_ms") <= ms("max_ms"), "{result}");
    }
}
