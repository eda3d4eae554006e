//! A replica is killed for good and replaced by another process while reports are acknowledged;
//! then a second one is killed: without the new one's vote, nobody would decide any more. And
//! whoever may not be a replica is refused by name.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use cluster::{Cluster, TempDir, eventually, free_port, json_lines, kill_9, members, syncom};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command};

const NODES: u64 = 6;
const SHAPE: [&str; 5] = ["--processes", "--satellites", "2", "--replicas", "3"];

#[test]
fn a_dead_replica_is_replaced_while_the_station_serves() {
    let temp = TempDir::new("replace");
    let cluster = Cluster::start(&temp.0, &SHAPE, NODES);
    let dir = cluster.dir.clone();
    let mut committed = BTreeMap::new();
    report_during(&cluster, "before", &mut committed, || {});
    let leader = cluster.status()["leader"].as_str().unwrap().to_owned();
    let old =
        ["station1", "station2", "station3"].into_iter().find(|name| *name != leader).unwrap();
    refuses_what_cannot_be(&cluster, old);
    let pid = members(&dir)[old];
    kill_9(&[pid]);
    let addr = add(&cluster, "station4");
    let mut new = start(&dir, "station4");
    report_during(&cluster, "meanwhile", &mut committed, || {
        let done = replace(&cluster, old, &format!("station4@{addr}"));
        assert_eq!((&done["state"], &done["new"]), (&"done".into(), &"station4".into()));
    });
    let status = cluster.status();
    assert_eq!(roles(&status), expected(old));
    // Asking again tells that it is done; the new one has its own directory from now on.
    assert_eq!(replace(&cluster, old, "station4")["state"], "done");
    let decisions = cluster.json(&["decisions", "--json"]);
    let told = |line: &Value| line["action"].as_str().unwrap().contains("was replaced by station4");
    assert!(decisions.iter().any(told), "{decisions:?}");

    kill_9(&[members(&dir)[leader.as_str()]]);
    report_during(&cluster, "after", &mut committed, || {});
    eventually("another leads and manages", || {
        let status = cluster.try_status()?;
        (status["leader"] != leader.as_str() && !status["manager"].is_null()).then_some(())
    });
    is_refused(&dir, old, "was replaced by station4 at index");
    // Without its directory, too: the number is spent.
    std::fs::remove_dir_all(dir.join(old)).unwrap();
    is_refused(&dir, old, "was replaced by station4 at index");
    // The leader that was killed has lost its disk.
    std::fs::remove_dir_all(dir.join(&leader).join("log")).unwrap();
    is_refused(&dir, &leader, "has voted and acknowledged with another log");
    // And somebody gave the new one's directory to another number.
    assert!(
        Command::new("kill").args(["-TERM", &new.id().to_string()]).status().unwrap().success()
    );
    assert!(new.wait().unwrap().success());
    add(&cluster, "station5");
    std::fs::rename(dir.join("state/station4"), dir.join("state/station5")).unwrap();
    is_refused(&dir, "station5", "replica 4");
}

/// Every voter, in the order of status.
fn expected(old: &str) -> Vec<(String, String)> {
    let all = ["station1", "station2", "station3", "station4"].into_iter();
    all.filter(|name| *name != old).map(|name| (name.to_owned(), "voter".to_owned())).collect()
}

fn roles(status: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let replicas = status["replicas"].as_array().unwrap().iter();
    replicas.map(|one| (text(&one["name"]), text(&one["role"]))).collect()
}

/// Writes the file of a new replica; where it will listen.
fn add(cluster: &Cluster, name: &str) -> String {
    let addr = format!("127.0.0.1:{}", free_port());
    let dir = cluster.dir.to_str().unwrap();
    let made = syncom(&["init", "--dir", dir, "--replica", &format!("{name}@{addr}")]).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(String::from_utf8_lossy(&made.stdout).contains("station replace"));
    addr
}

fn start(dir: &Path, name: &str) -> Child {
    let log = std::fs::File::create(dir.join(format!("{name}.log"))).unwrap();
    let file = dir.join(format!("{name}.toml"));
    syncom(&["station", "--config", file.to_str().unwrap()]).stderr(log).spawn().unwrap()
}

/// Starts a replica that ends by itself, saying why.
fn is_refused(dir: &Path, name: &str, why: &str) {
    let mut child = start(dir, name);
    let status = eventually("it ends by itself", || child.try_wait().unwrap());
    let words = std::fs::read_to_string(dir.join(format!("{name}.log"))).unwrap();
    assert_eq!(status.code(), Some(1), "{words}");
    assert!(words.contains(why), "{name}: {words}");
}

/// Replaces one that was killed a moment ago: until the leader misses it, it is told that it lives.
fn replace(cluster: &Cluster, old: &str, new: &str) -> Value {
    eventually("the replacement is done", || {
        let output = cluster.run(&["station", "replace", old, new, "--json"]);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || words.contains("still answers"), "{words}");
        json_lines(&output).pop()
    })
}

fn refuses_what_cannot_be(cluster: &Cluster, old: &str) {
    let refusal = |args: &[&str]| {
        let output = cluster.run(&[&["station", "replace"], args].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, words) = refusal(&[old, "station4@127.0.0.1:9"]);
    assert!(code == Some(1) && words.contains("still answers"), "{words}");
    let (code, words) = refusal(&["station9", "station4@127.0.0.1:9"]);
    assert!(code == Some(1) && words.contains("no replica station9"), "{words}");
    let (code, words) = refusal(&[old, "station4"]);
    assert!(code == Some(2) && words.contains("station4@IP:PORT"), "{words}");
    let (code, words) = refusal(&["somebody", "station4@127.0.0.1:9"]);
    assert!(code == Some(2) && words.contains("no replica"), "{words}");
}

/// Reports from several clients at once while `meanwhile` happens; all must be committed, and all
/// that ever were must still be there, once each.
fn report_during(
    cluster: &Cluster,
    prefix: &str,
    committed: &mut BTreeMap<String, u64>,
    meanwhile: impl FnOnce(),
) {
    let made: Vec<(String, u64)> = std::thread::scope(|scope| {
        let client = |client: usize| {
            let report = move |n: usize| {
                let kind = format!("{prefix}-{client}-{n}");
                let args = ["report", "node3", &kind, "--wait", "--json"];
                let answer = cluster.json(&args).remove(0);
                (kind, answer["seq"].as_u64().unwrap())
            };
            scope.spawn(move || (0..12).map(report).collect::<Vec<_>>())
        };
        let clients: Vec<_> = (0..3).map(client).collect();
        meanwhile();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    committed.extend(made);
    let output = cluster.run(&["events", "--json"]);
    let events = json_lines(&output);
    for (kind, seq) in committed {
        let of_kind = events.iter().filter(|event| event["kind"] == kind.as_str());
        let seqs: Vec<u64> = of_kind.map(|event| event["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, [*seq], "events of {kind}");
    }
}
