//! Real processes, killed for real, and looked at through the command line only: ten agents at
//! once, a satellite, the station's leader, and at last everything.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use cluster::{Cluster, TempDir, eventually, kill_9, members, throughout, wall_now};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const NODES: u64 = 50;
const SHAPE: [&str; 5] = ["--processes", "--satellites", "2", "--replicas", "3"];

#[test]
fn a_cluster_of_processes_survives_every_kind_of_kill() {
    let temp = TempDir::new("kills");
    let cluster = Cluster::start(&temp.0, &SHAPE, NODES);
    ten_dead_agents_are_ten_events(&cluster);
    let mut committed = BTreeMap::new();
    a_dead_satellite_loses_no_report(&cluster, &mut committed);
    a_dead_leader_loses_no_report(&cluster, &mut committed);
    run_names_the_dead(&cluster);
    let before = cluster.json(&["events", "--json"]);
    cluster.kill_everything();
    let cluster = Cluster::start(&temp.0, &SHAPE, NODES);
    history_came_back(&cluster, &before);
    cluster.stop();
}

/// Nodes that joined so long ago are watched by observers that have all heard them.
const SETTLED: Duration = Duration::from_secs(2);

/// Whether all nodes are alive and were so for a while already.
fn is_settled(cluster: &Cluster) -> bool {
    let latest = wall_now().saturating_sub(SETTLED);
    let nodes = cluster.json(&["nodes", "--json"]);
    nodes.len() as u64 == NODES
        && nodes.iter().all(|node| {
            let since = Duration::from_nanos(node["since_ns"].as_u64().unwrap());
            node["state"] == "alive" && since <= latest
        })
}

fn ten_dead_agents_are_ten_events(cluster: &Cluster) {
    eventually("all nodes are alive and settled", || is_settled(cluster).then_some(()));
    let pids = cluster.node_pids();
    let victims: BTreeSet<String> = (1..=10).map(|n| format!("node{n}")).collect();
    kill_9(&victims.iter().map(|name| pids[name]).collect::<Vec<_>>());
    let subjects = |events: &[Value]| -> BTreeSet<String> {
        events.iter().map(|event| event["subject"].as_str().unwrap().to_owned()).collect()
    };
    let dead = eventually("ten deaths", || {
        let events = cluster.events("deadPeer");
        (events.len() >= 10).then_some(events)
    });
    assert_eq!(subjects(&dead), victims);
    let views: BTreeSet<u64> = dead.iter().map(|event| event["view"].as_u64().unwrap()).collect();
    assert!(views.len() <= 2, "ten deaths at once made {} views", views.len());
    throughout("nobody else is declared dead", Duration::from_secs(3), || {
        cluster.events("deadPeer").len() == 10
    });
    let explained = cluster.json(&["explain", "node1", "--json"]).remove(0);
    assert_eq!(explained["event"]["kind"], "deadPeer");
    assert!(explained["evidence"]["score"].as_f64() >= explained["evidence"]["needed"].as_f64());
}

/// Reports from several clients at once while `meanwhile` happens; all must be committed.
fn report_during(
    cluster: &Cluster,
    prefix: &str,
    committed: &mut BTreeMap<String, u64>,
    meanwhile: impl FnOnce(),
) {
    let made: Vec<(String, u64)> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|client| {
                scope.spawn(move || {
                    let report = |n: usize| {
                        let kind = format!("{prefix}-{client}-{n}");
                        let args = ["report", "node20", &kind, "--wait", "--json"];
                        let answer = cluster.json(&args).remove(0);
                        (kind, answer["seq"].as_u64().expect("a committed report has an event"))
                    };
                    (0..15).map(report).collect::<Vec<_>>()
                })
            })
            .collect();
        meanwhile();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    committed.extend(made);
    check_committed(cluster, committed);
}

/// Every acknowledged report is there, under its number, once.
fn check_committed(cluster: &Cluster, committed: &BTreeMap<String, u64>) {
    let events = cluster.json(&["events", "--json"]);
    for (kind, seq) in committed {
        let of_kind: Vec<u64> = events
            .iter()
            .filter(|event| event["kind"] == kind.as_str())
            .map(|event| event["seq"].as_u64().unwrap())
            .collect();
        assert_eq!(of_kind, [*seq], "events of {kind}");
    }
}

fn a_dead_satellite_loses_no_report(cluster: &Cluster, committed: &mut BTreeMap<String, u64>) {
    report_during(cluster, "sat", committed, || {
        let pid = members(&cluster.dir)["sat1"];
        kill_9(&[pid]);
    });
    eventually("the satellite is known to be dead", || {
        let status = cluster.status();
        let satellites = status["satellites"].as_array().unwrap().clone();
        satellites.iter().any(|s| s["name"] == "sat1" && s["state"] == "dead").then_some(())
    });
}

fn a_dead_leader_loses_no_report(cluster: &Cluster, committed: &mut BTreeMap<String, u64>) {
    let leader = cluster.status()["leader"].as_str().unwrap().to_owned();
    report_during(cluster, "lead", committed, || kill_9(&[members(&cluster.dir)[&leader]]));
    // A node may be gray for a moment where many processes share a machine.
    let status = eventually("another leader with a manager, and all others alive", || {
        let status = cluster.status();
        let has_both = status["leader"] != leader.as_str() && !status["manager"].is_null();
        (has_both && status["nodes"]["alive"] == NODES - 10).then_some(status)
    });
    assert_eq!(status["false_deaths"], 0);
}

fn run_names_the_dead(cluster: &Cluster) {
    let output =
        cluster.run(&["run", "--json", "-w", "node[1-50]", "--", "sh", "-c", "echo hello; exit 3"]);
    assert_eq!(output.status.code(), Some(4), "some destinations failed");
    let result = cluster::json_lines(&output).pop().unwrap();
    assert_eq!(result["codes"]["3"], "node[11-50]");
    assert_eq!(result["codes"]["node dead"], "node[1-10]");
    assert_eq!(result["outputs"][0]["text"], "hello\n");
    assert_eq!(result["outputs"][0]["nodes"], "node[11-50]");
}

fn history_came_back(cluster: &Cluster, before: &[Value]) {
    let after = cluster.json(&["events", "--json"]);
    assert!(after.len() >= before.len());
    for (old, new) in before.iter().zip(&after) {
        assert_eq!(
            (&old["seq"], &old["kind"], &old["subject"]),
            (&new["seq"], &new["kind"], &new["subject"])
        );
    }
    let dead: Vec<_> =
        after[before.len()..].iter().filter(|event| event["kind"] == "deadPeer").collect();
    assert!(dead.is_empty(), "a restart of everything declared {dead:?}");
}
