//! Production by the book: `init`, then every member by hand from its file, on one machine.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use cluster::{TempDir, eventually, free_port, json_lines, run, syncom};
use std::process::{Child, Command};

#[test]
fn members_start_from_the_files_of_init_and_leave_when_told_to_stop() {
    let temp = TempDir::new("init");
    let dir = temp.0.join("lab");
    let dir = dir.to_str().unwrap();
    let addrs: Vec<String> = (0..2).map(|_| format!("127.0.0.1:{}", free_port())).collect();
    let port = free_port().to_string();
    let words = ["init", "--dir", dir, "--name", "lab", "--nodes", "node1", "--port", &port];
    let made =
        syncom(&words).args(["--replicas", &addrs[0], "--satellites", &addrs[1]]).output().unwrap();
    let told = String::from_utf8_lossy(&made.stdout);
    assert!(made.status.success() && told.contains("secret.key"), "{told}");
    let again =
        syncom(&words).args(["--replicas", &addrs[0], "--satellites", &addrs[1]]).output().unwrap();
    assert_eq!(again.status.code(), Some(1), "nothing is overwritten");
    let start = |role: &str, name: &str| {
        let log = std::fs::File::create(format!("{dir}/{name}.log")).unwrap();
        syncom(&[role, "--config", &format!("{dir}/{name}.toml")]).stderr(log).spawn().unwrap()
    };
    let members =
        [start("station", "station1"), start("satellite", "sat1"), start("agent", "node1")];
    eventually("the node is alive", || {
        let output = run(&["--cluster", dir, "status", "--json"]);
        let status = output.status.success().then(|| json_lines(&output).remove(0))?;
        (status["nodes"]["alive"] == 1).then_some(())
    });
    let output = run(&["--cluster", dir, "run", "-w", "@all", "--", "echo", "here"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "---- node1 (1)\nhere\n");
    assert!(run(&["--cluster", dir, "report", "node1", "note", "--wait"]).status.success());
    let twice = run(&["agent", "--config", &format!("{dir}/node1.toml")]);
    assert!(String::from_utf8_lossy(&twice.stderr).contains("already runs"));
    let [station, satellite, agent] = members;
    stop(agent);
    eventually("the node has left", || {
        let output = run(&["--cluster", dir, "nodes", "--json", "--state", "left"]);
        (json_lines(&output).len() == 1).then_some(())
    });
    stop(satellite);
    stop(station);
}

fn stop(mut member: Child) {
    let pid = member.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(member.wait().unwrap().success());
}
