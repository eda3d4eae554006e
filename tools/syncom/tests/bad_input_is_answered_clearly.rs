//! A new user's mistakes, and a bad machine's: each gets a clear error that says what to do.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use cluster::{Cluster, TempDir, eventually, free_port, json_lines, run, syncom};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Output, Stdio};

/// The user without rights.
const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn refused(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

#[test]
fn wrong_arguments_are_named() {
    refused(&run(&["up", "--nodez", "3"]), 2, &["--nodez", "--nodes"]);
    refused(&run(&["up", "--replicas", "2"]), 2, &["1, 3 or 5"]);
    refused(&run(&["up", "--for", "soon"]), 2, &["20s"]);
    refused(&run(&["up", "--link", "xdp"]), 2, &["mmsg"]);
    refused(&run(&["up", "--heartbeat-budget", "10"]), 2, &["10", "161"]);
    refused(&run(&["sim", "many"]), 2, &["neither a seed"]);
    let dir = TempDir::new("nowhere");
    let dir = dir.0.to_str().unwrap();
    let replace = |old, new| run(&["--cluster", dir, "station", "replace", old, new]);
    refused(&replace("a", "station4@127.0.0.1:7391"), 2, &["\"a\" is no replica", "station2"]);
    refused(&replace("station1", "b@127.0.0.1:7391"), 2, &["\"b\" is no replica"]);
    refused(&replace("station1", "station4@127.0.0.1:7391"), 3, &["syncom up"]);
}

#[test]
fn a_missing_cluster_says_how_to_start_one() {
    let temp = TempDir::new("none");
    let dir = temp.0.to_str().unwrap();
    refused(&run(&["--cluster", dir, "status"]), 3, &["syncom up", "--cluster"]);
}

#[test]
fn contradictory_configurations_say_what_to_change() {
    let temp = TempDir::new("config");
    let dir = temp.0.join("c");
    let dir = dir.to_str().unwrap();
    let made = run(&[
        "init",
        "--dir",
        dir,
        "--replicas",
        "127.0.0.1:7391",
        "--satellites",
        "127.0.0.1:7392",
        "--nodes",
        "node[1-2]",
    ]);
    assert!(made.status.success());
    let path = format!("{dir}/station1.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    let check = |text: &str| {
        std::fs::write(&path, text).unwrap();
        run(&["station", "--check", "--config", &path])
    };
    assert!(check(&good).status.success());
    refused(&check(&good.replace("number = 1", "number = 0")), 2, &["number", "cluster.replicas"]);
    let newcomer = check(&good.replace("number = 1", "number = 3"));
    let told = String::from_utf8_lossy(&newcomer.stdout);
    assert!(newcomer.status.success() && told.contains("waits until it is told"), "{told}");
    refused(&check(&good.replace("seal", "saal")), 2, &["saal", "line"]);
    refused(&check(&good.replace("[cluster]", "[cluster")), 2, &["line"]);
    refused(&check(&good.replace("\"default\"", "\"slow\"")), 2, &["fast", "quiet"]);
    std::fs::write(&path, &good).unwrap();
    let secret = format!("{dir}/secret.key");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    refused(&run(&["station", "--check", "--config", &path]), 2, &["chmod 600"]);
}

#[test]
fn a_port_in_use_is_named() {
    let temp = TempDir::new("port");
    let dir = temp.0.join("c");
    let dir = dir.to_str().unwrap();
    let endpoint = syncom_engine::Endpoint::builder("x", &[0; 32])
        .bind("127.0.0.1:0".parse().unwrap())
        .open()
        .unwrap();
    let taken = endpoint.local_addr().to_string();
    let made = run(&[
        "init",
        "--dir",
        dir,
        "--replicas",
        &taken,
        "--satellites",
        "127.0.0.1:7392",
        "--nodes",
        "node1",
    ]);
    assert!(made.status.success());
    let config = format!("{dir}/station1.toml");
    refused(&run(&["station", "--config", &config]), 1, &[&taken, "in use"]);
}

#[test]
fn a_second_cluster_in_the_same_directory_and_a_wrong_key_are_refused() {
    let temp = TempDir::new("twice");
    let cluster = Cluster::start(&temp.0, &["--satellites", "1", "--replicas", "1"], 2);
    let dir = temp.0.to_str().unwrap();
    refused(&run(&["up", "--dir", dir]), 1, &["already runs", "--dir"]);
    refused(&cluster.run(&["run", "-w", "node[1-", "--", "true"]), 2, &["node set"]);
    refused(&cluster.run(&["run", "-w", "node[1-9]", "--", "true"]), 2, &["node[3-9]"]);
    refused(&cluster.run(&["explain", "99999"]), 1, &["nothing is known"]);
    // The same place with another cluster's key: nobody answers.
    let other = TempDir::new("foreign");
    std::fs::copy(temp.0.join("cluster.toml"), other.0.join("cluster.toml")).unwrap();
    let key = format!("syncom-secret-v1 up {}\n", "0".repeat(64));
    std::fs::write(other.0.join("secret.key"), key).unwrap();
    let secret = other.0.join("secret.key");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let stranger = other.0.to_str().unwrap();
    refused(&run(&["--cluster", stranger, "status"]), 3, &["secret"]);
    cluster.stop();
}

#[test]
fn an_agent_with_another_key_is_not_heard_and_says_what_to_look_at() {
    let temp = TempDir::new("key");
    let station = format!("127.0.0.1:{}", free_port());
    let init = |name: &str| {
        let dir = temp.0.join(name).to_str().unwrap().to_owned();
        let satellite = format!("127.0.0.1:{}", free_port());
        let port = free_port().to_string();
        let words = ["init", "--dir", &dir, "--name", "lab", "--nodes", "node1", "--port", &port];
        let addrs = ["--replicas", &station, "--satellites", &satellite];
        assert!(syncom(&words).args(addrs).output().unwrap().status.success());
        dir
    };
    let (ours, theirs) = (init("ours"), init("theirs"));
    let config = format!("{ours}/station1.toml");
    let mut station = syncom(&["station", "--config", &config]).spawn().unwrap();
    let config = format!("{theirs}/node1.toml");
    let mut agent = syncom(&["agent", "--config", &config]).stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(agent.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(said.contains("not taken in") && said.contains("theirs/secret.key"), "{said}");
    // The agent may have given up before the station listened: it asks again.
    eventually("what the station refuses is counted", || {
        let counters = run(&["--cluster", &ours, "counters", "--json"]);
        let counters = json_lines(&counters).into_iter().next()?;
        let mut all = counters["counters"].as_object()?.iter();
        all.any(|(name, value)| name.starts_with("drop_") && *value != 0).then_some(())
    });
    for member in [&mut agent, &mut station] {
        member.kill().unwrap();
        member.wait().unwrap();
    }
}

#[test]
fn a_corrupt_log_is_named_and_never_served() {
    let temp = TempDir::new("corrupt");
    let cluster = Cluster::start(&temp.0, &["--satellites", "1", "--replicas", "1"], 2);
    for n in 0..20 {
        cluster.json(&["report", "node1", &format!("note-{n}"), "--wait", "--json"]);
    }
    cluster.stop();
    let log = log_with_record(&temp.0.join("station1"));
    let mut bytes = std::fs::read(&log).unwrap();
    let needle = b"note-3";
    let at = bytes.windows(needle.len()).position(|w| w == needle).expect("the record is there");
    bytes[at] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let dir = temp.0.to_str().unwrap();
    let output = syncom(&[
        "up",
        "--dir",
        dir,
        "--nodes",
        "2",
        "--satellites",
        "1",
        "--replicas",
        "1",
        "--for",
        "20s",
    ])
    .output()
    .unwrap();
    refused(&output, 1, &["corrupt"]);
}

#[test]
fn a_directory_that_cannot_be_used_is_named_with_the_reason() {
    let temp = TempDir::new("place");
    let file = temp.0.join("file");
    std::fs::write(&file, "").unwrap();
    let under_file = file.join("cluster");
    let text = under_file.to_str().unwrap();
    refused(&run(&["up", "--dir", text]), 1, &[text, "a part of the path is a file"]);
    // What belongs to somebody else: root becomes nobody for this; anyone else locks itself out.
    let closed = temp.0.join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o500)).unwrap();
    let inside = closed.join("cluster");
    let text = inside.to_str().unwrap();
    let mut command = syncom(&["up", "--dir", text]);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    match command.output() {
        Ok(output) => refused(&output, 1, &[text, "denied", "permissions"]),
        Err(error) => eprintln!("SKIPPED: nobody may not even start the program: {error}"),
    }
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
}

/// A file of the log that holds the damaged record.
fn log_with_record(dir: &std::path::Path) -> std::path::PathBuf {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    let holds = |path: &std::path::PathBuf| {
        std::fs::read(path).unwrap().windows(6).any(|window| window == b"note-3")
    };
    files.into_iter().find(holds).expect("a file holds the record")
}
