//! Recovery rules on real processes: an operator applies a policy, something dies, and what is done
//! about it can be seen and read.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use cluster::{Cluster, TempDir, eventually, kill_9};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const SHAPE: [&str; 7] =
    ["--processes", "--satellites", "1", "--replicas", "1", "--profile", "fast"];

fn apply(cluster: &Cluster, policy: &str) {
    let path = cluster.dir.join("policy.toml");
    std::fs::write(&path, policy).unwrap();
    let path = path.to_str().unwrap();
    let checked = cluster.json(&["policy", "check", path, "--json"]).remove(0);
    assert_eq!(checked["version"], 0);
    let applied = cluster.json(&["policy", "apply", path, "--json"]).remove(0);
    assert!(applied["version"].as_u64().unwrap() > 0, "{applied}");
    let shown = cluster.json(&["policy", "show", "--json"]).remove(0);
    assert_eq!(shown, applied);
}

fn script(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// What was decided about a node's newest event, as `rule: action`.
fn decided(cluster: &Cluster, what: &str) -> Vec<String> {
    let output = cluster.run(&["explain", what, "--json"]);
    let Ok(value) = serde_json::from_slice::<Value>(&output.stdout) else { return Vec::new() };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let decisions = value["decisions"].as_array().unwrap().iter();
    decisions.map(|one| format!("{}: {}", text(&one["rule"]), text(&one["action"]))).collect()
}

fn kill(cluster: &Cluster, nodes: &[&str]) {
    let pids = cluster.node_pids();
    let pids: Vec<u64> = nodes.iter().map(|node| pids[*node]).collect();
    kill_9(&pids);
}

#[test]
fn a_hook_that_fails_twice_fences_at_the_third_try_and_the_service_moves() {
    let temp = TempDir::new("fence");
    let cluster = Cluster::start(&temp.0, &SHAPE, 4);
    let (fenced, moved) = (temp.0.join("fenced"), temp.0.join("moved"));
    let hook = script(
        &temp.0,
        "hook",
        &format!(
            "echo \"$SYNCOM_NODE $SYNCOM_ACTION $SYNCOM_ATTEMPT\" >> {}\n\
             [ \"$SYNCOM_ATTEMPT\" = 3 ]",
            fenced.display()
        ),
    );
    let service =
        script(&temp.0, "service", &format!("echo $$ >> {}\nexec sleep 1000", moved.display()));
    apply(
        &cluster,
        &format!(
            "[[rule]]\nname = \"start\"\non = \"begin\"\n\
             do = [{{ action = \"move\", on = \"node[1-4]\", service = \"db\", command = [{:?}] }}]\n\
             [[rule]]\nname = \"power\"\non = \"deadPeer\"\nsubject = \"node*\"\n\
             do = [{{ action = \"fence\", command = [{:?}], retries = 2, backoff = \"200ms\" }},\n\
             {{ action = \"move\", service = \"db\" }}]\n",
            service.display(),
            hook.display(),
        ),
    );
    // The service is said to have ended on node4, so the first rule starts it elsewhere.
    let said = cluster.run(&["report", "node4/db", "begin", "--wait"]);
    assert!(said.status.success());
    let lines = |path: &Path| -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(String::from).collect()
    };
    eventually("the service runs", || (lines(&moved).len() == 1).then_some(()));
    let began = eventually("its start is decided", || {
        decided(&cluster, "node4/db").into_iter().find(|said| said.contains("db to"))
    });
    let home = began.rsplit(' ').next().unwrap().to_owned();
    eventually("the graph knows", || {
        let graph = cluster.run(&["graph", &format!("{home}/db")]);
        String::from_utf8_lossy(&graph.stdout).contains("state=up").then_some(())
    });
    kill(&cluster, &[&home]);
    eventually("it was fenced", || (lines(&fenced).len() == 3).then_some(()));
    assert_eq!(lines(&fenced)[2], format!("{home} fence 3"));
    eventually("it runs elsewhere", || (lines(&moved).len() == 2).then_some(()));
    let all = eventually("all is decided", || {
        let all = decided(&cluster, &home);
        all.last().is_some_and(|said| said == "power: done: move").then_some(all)
    });
    assert!(all[0].starts_with(&format!("power: fence {home} by")), "{all:?}");
    assert!(all.iter().any(|said| said.contains("failed: exit 1 on")), "{all:?}");
    let told = cluster.run(&["explain", &home]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("reported by") && told.contains("rule power: fence"), "{told}");
    cluster.stop();
}

#[test]
fn no_more_is_fenced_than_the_guard_lets_and_nothing_while_a_storm_lasts() {
    let temp = TempDir::new("guard");
    let cluster = Cluster::start(&temp.0, &SHAPE, 8);
    let fenced = temp.0.join("fenced");
    let hook = script(&temp.0, "hook", &format!("echo $SYNCOM_NODE >> {}", fenced.display()));
    let policy = |guard: u32, brake: &str| {
        format!(
            "[guard]\nnodes = {guard}\npercent = 100\n\
             [brake]\n{brake}\n\
             [[rule]]\nname = \"power\"\non = \"deadPeer\"\n\
             do = [{{ action = \"fence\", command = [{:?}] }}]\n",
            hook.display()
        )
    };
    apply(&cluster, &policy(1, "deaths = 100"));
    kill(&cluster, &["node1", "node2"]);
    let both = eventually("both are decided", || {
        let both = [decided(&cluster, "node1"), decided(&cluster, "node2")].concat();
        (both.iter().any(|said| said == "power: done: fence") && both.len() >= 3).then_some(both)
    });
    let refused = both.iter().filter(|said| said.contains("refused, do no harm: 1 of 8")).count();
    assert_eq!(refused, 1, "{both:?}");
    let lines = || std::fs::read_to_string(&fenced).unwrap_or_default().lines().count();
    assert_eq!(lines(), 1);
    let brake = "deaths = 1\npercent = 0\ndomains = 0\nwindow = \"1m\"\ncalm = \"4s\"";
    apply(&cluster, &policy(100, brake));
    kill(&cluster, &["node3", "node4"]);
    eventually("a storm is an event", || cluster.events("storm").pop());
    let held = eventually("fencing is held", || {
        let both = [decided(&cluster, "node3"), decided(&cluster, "node4")].concat();
        both.into_iter().find(|said| said.contains("held: fence waits"))
    });
    assert!(held.starts_with("power: "), "{held}");
    eventually("it is made up for when the storm is over", || (lines() == 3).then_some(()));
    cluster.stop();
}

#[test]
fn services_nodes_and_people_are_served_by_rules() {
    let temp = TempDir::new("rules");
    let mut shape = SHAPE.to_vec();
    shape.extend(["--service", "web=sleep 1000"]);
    let cluster = Cluster::start(&temp.0, &shape, 3);
    let told = temp.0.join("told");
    let tell = script(
        &temp.0,
        "tell",
        &format!("echo \"$SYNCOM_ACTION $SYNCOM_JSON\" >> {}", told.display()),
    );
    apply(
        &cluster,
        &format!(
            "[[rule]]\nname = \"web\"\non = \"service\"\nsubject = \"*/web\"\n\
             do = [{{ action = \"restart\", retries = 1 }},\n\
             {{ action = \"notify\", command = [{0:?}] }}]\n\
             [[rule]]\nname = \"disk\"\non = \"disk\"\nsubject = \"node[1-3]\"\n\
             do = [{{ action = \"drain\", note = \"bad disk\" }},\n\
             {{ action = \"order\", on = \"@all!@drained\", command = [{0:?}] }}]\n\
             [[rule]]\nname = \"known\"\non = \"disk\"\n\
             do = [{{ action = \"nothing\", note = \"known\" }}]\n",
            tell.display()
        ),
    );
    let agent = cluster.node_pids()["node2"];
    let first = eventually("the service runs", || cluster::children(agent).first().copied());
    kill_9(&[first]);
    let lines = |word: &str| {
        let text = std::fs::read_to_string(&told).unwrap_or_default();
        text.lines().filter(|line| line.starts_with(word)).count()
    };
    eventually("somebody is told", || (lines("notify") == 1).then_some(()));
    let all = decided(&cluster, "node2/web");
    assert_eq!(all[..2], ["web: restart web on node2", "web: done: restart"], "{all:?}");
    assert!(cluster::children(agent).iter().any(|child| *child != first), "it runs again");
    assert!(cluster.run(&["report", "node1", "disk", "--wait"]).status.success());
    assert!(cluster.run(&["report", "array7", "disk", "--wait"]).status.success());
    eventually("the others were ordered", || (lines("order") == 2).then_some(()));
    eventually("the other is known", || {
        (decided(&cluster, "array7") == ["known: known"]).then_some(())
    });
    let drained = cluster.json(&["nodes", "@drained", "--json"]);
    assert_eq!(drained.len(), 1);
    assert_eq!(drained[0]["name"], "node1");
    let undrained = cluster.json(&["undrain", "node1", "--reason", "new disk", "--json"]).remove(0);
    assert_eq!(undrained["changed"], 1);
    let decisions = cluster.json(&["decisions", "--json"]);
    assert!(decisions.iter().any(|one| one["action"] == "node1 works again: new disk"));
    cluster.stop();
}
