//! What scripts read: every key that is promised is there, and nothing else is on stdout. And what
//! people read: it can be cut off by `head` at any line.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use cluster::{Cluster, TempDir, eventually, json_lines, syncom};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

const SIGPIPE: i32 = 13;

fn has(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value.get(key).is_some(), "{key:?} is not in {value}");
    }
}

#[test]
fn every_promised_key_is_there() {
    let temp = TempDir::new("keys");
    let cluster = Cluster::start(&temp.0, &["--satellites", "1", "--replicas", "1"], 4);
    let status = cluster.status();
    has(&status, &["view", "term", "leader", "manager", "replicas", "satellites", "nodes"]);
    has(&status, &["reports_per_s", "events", "queue_len", "sealed", "warnings"]);
    has(&status["replicas"][0], &["name", "pid", "state", "applied"]);
    has(&status["satellites"][0], &["name", "pid", "state", "nodes"]);
    has(&status["nodes"], &["alive", "gray", "dead", "left"]);
    let node = cluster.json(&["nodes", "--json", "node3"]).remove(0);
    has(&node, &["name", "uuid", "slot", "incarnation", "domain", "state", "since_ns"]);
    has(&node, &["observers", "rtt_us", "interval_ms", "pid"]);
    assert_eq!(node["name"], "node3");
    assert_eq!(node["pid"], cluster.up.id());
    let report = ["report", "node1", "noise", "--wait", "--json", "--detail", "loud"];
    let report = cluster.json(&report).remove(0);
    assert!(report["id"].is_u64() && report["seq"].is_u64() && report["committed_us"].is_u64());
    // Until it is settled, it changes.
    let event = eventually("the event is settled", || {
        let event = cluster.json(&["events", "--json", "--kind", "noise"]).remove(0);
        (event["settled"] == true).then_some(event)
    });
    has(&event, &["seq", "time_ns", "kind", "subject", "view", "reporters", "domains", "detail"]);
    assert_eq!((&event["seq"], &event["detail"]), (&report["seq"], &"loud".into()));
    assert_eq!(
        cluster.json(&["events", "--json", "--since", &report["seq"].to_string()])[0],
        event
    );
    let ran = cluster.json(&["run", "--json", "-w", "@all!node4", "--", "echo", "hi"]);
    let ran = ran.last().unwrap();
    has(
        ran,
        &["order", "destinations", "done", "failed", "missing", "codes", "outputs", "last_ms"],
    );
    assert_eq!(ran["codes"]["0"], "node[1-3]");
    assert_eq!(
        (&ran["outputs"][0]["nodes"], &ran["outputs"][0]["text"]),
        (&"node[1-3]".into(), &"hi\n".into())
    );
    for command in
        [&["decisions", "--json"][..], &["graph", "--format", "json"], &["counters", "--json"]]
    {
        assert!(!cluster.json(command).is_empty(), "{command:?}");
    }
    observers_tell_what_they_expect(&cluster);
    a_follower_hears_what_happens(&cluster);
    closed_pipes_end_commands_quietly(&cluster);
    cluster.stop();
}

fn observers_tell_what_they_expect(cluster: &Cluster) {
    let live = eventually("all observers have heard it, and answer", || {
        let live = cluster.json(&["explain", "node3", "--json"]).remove(0)["live"].take();
        let is_well = |watch: &Value| watch["heard_ago_us"].is_u64() && watch["claim"] == "well";
        let watches = live["watches"].as_array()?;
        let is_whole = live["no_answer"] == "" && live["not_watching"] == "";
        (is_whole && watches.len() == 3 && watches.iter().all(is_well)).then_some(live)
    });
    eventually("its homes answer, too: nobody accuses it", || {
        let judged = cluster.json(&["explain", "node3", "--json"]).remove(0)["judged"].take();
        let is_well = judged["cases"] == Value::Array(vec![]) && judged["no_answer"] == "";
        (is_well && judged["gray_since_ns"].is_null() && judged["damped"] == false).then_some(())
    });
    let watch = &live["watches"][0];
    has(watch, &["observer", "seq", "heard_ago_us", "interval_us", "timeout_us", "margin_us"]);
    has(watch, &["error_us", "srtt_us", "still_us", "services_up", "services_down"]);
    // More where round trips were long for a moment.
    assert!(watch["interval_us"].as_u64() >= Some(200_000), "{watch}");
    eventually("people are told so, too", || {
        let told = cluster.run(&["explain", "node3"]);
        String::from_utf8_lossy(&told.stdout).contains("speaks every ").then_some(())
    });
}

fn a_follower_hears_what_happens(cluster: &Cluster) {
    let dir = cluster.dir.to_str().unwrap();
    let words = ["--cluster", dir, "events", "--follow", "--json", "--kind", "news"];
    let mut follower = syncom(&words).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    for number in 0..2 {
        let subject = format!("thing{number}");
        cluster.json(&["report", &subject, "news", "--wait", "--json"]);
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(event["subject"], subject.as_str());
    }
    follower.kill().unwrap();
    follower.wait().unwrap();
}

fn closed_pipes_end_commands_quietly(cluster: &Cluster) {
    let dir = cluster.dir.to_str().unwrap();
    for words in [
        &["status"][..],
        &["nodes"],
        &["events"],
        &["graph", "--format", "dot"],
        &["counters"],
        &["doctor"],
        &["run", "-w", "@all", "--", "hostname"],
        &["completions", "bash"],
    ] {
        // Closed before the command begins: a quick one would have said all before we could.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = syncom(&["--cluster", dir]).args(words).stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(SIGPIPE), "{words:?}: {said}");
        assert!(!said.contains("panicked"), "{words:?}: {said}");
    }
}

#[test]
fn up_ends_when_nobody_reads_what_it_says() {
    let temp = TempDir::new("unread");
    let dir = temp.0.to_str().unwrap();
    let mut up =
        syncom(&["up", "--dir", dir, "--nodes", "2", "--satellites", "1", "--replicas", "1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("starting"));
    drop(lines);
    let output = up.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn the_last_line_of_up_tells_the_totals() {
    let temp = TempDir::new("totals");
    let words = ["up", "--nodes", "5", "--satellites", "1", "--replicas", "3", "--json"];
    // The span includes the start, which takes longer on a busy machine.
    let last = ["4s", "16s", "64s"].iter().find_map(|span| {
        let dir = temp.0.join(span);
        let output = syncom(&words).args(["--for", span, "--dir"]).arg(dir).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || said.contains("came alive in time"), "{said}");
        output.status.success().then(|| json_lines(&output).pop().unwrap())
    });
    let last = last.unwrap();
    has(&last, &["nodes_alive", "nodes_gray", "nodes_dead", "false_deaths", "satellites"]);
    has(&last, &["replicas", "view", "term", "events", "start_ms", "cpu_s", "rss_bytes"]);
    assert_eq!((&last["nodes_alive"], &last["false_deaths"]), (&5.into(), &0.into()));
}
