//! A service that is killed comes back, by the station's decision and with a reason that can be
//! read.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use cluster::{Cluster, TempDir, children, eventually, kill_9};

#[test]
fn a_killed_service_is_reported_restarted_and_explained() {
    let temp = TempDir::new("service");
    let shape =
        ["--processes", "--satellites", "1", "--replicas", "1", "--service", "web=sleep 1000"];
    let cluster = Cluster::start(&temp.0, &shape, 3);
    let agent = cluster.node_pids()["node2"];
    let first = eventually("the service runs", || children(agent).first().copied());
    eventually("it is known before anything happens to it", || {
        let graph = cluster.run(&["graph", "node2/web"]);
        String::from_utf8_lossy(&graph.stdout).contains("state=up").then_some(())
    });
    kill_9(&[first]);
    let event = eventually("its death is an event", || cluster.events("service").pop());
    assert_eq!(event["subject"], "node2/web");
    let second = eventually("it was restarted", || {
        children(agent).into_iter().find(|child| *child != first)
    });
    let seq = event["seq"].to_string();
    let explained = eventually("the decision is known", || {
        let explained = cluster.json(&["explain", &seq, "--json"]).remove(0);
        explained["decisions"][0].is_object().then_some(explained)
    });
    let decision = &explained["decisions"][0];
    assert_eq!(decision["rule"], "restart-service");
    assert_eq!(decision["action"], "restart web on node2");
    assert!(decision["order"].is_string(), "{decision}");
    assert_eq!(explained["evidence"]["reported_by"], "node2");
    let told = cluster.run(&["explain", &seq]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("rule restart-service: restart web on node2"), "{told}");
    assert_eq!(cluster.events("service").len(), 1, "one death, one event");
    assert_eq!(children(agent), [second], "one service, one process");
    cluster.stop();
}
