//! A replica whose disk is full stops, says so and what to do, and loses nothing that it
//! acknowledged: with room made, it goes on where it stopped.
//!
//! The disk is a small tmpfs in a mount namespace of its own, reached through `/proc`. That takes
//! root and `unshare`; without them the test says that it was skipped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use cluster::{Cluster, TempDir, eventually, json_lines, syncom};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Bytes left when the reports begin: a few dozen of them.
const ROOM: u64 = 96 << 10;
const SHAPE: [&str; 4] = ["--satellites", "1", "--replicas", "1"];

/// A small file system that lives as long as the process that holds it.
struct Disk {
    holder: Child,
    path: PathBuf,
}

impl Disk {
    /// Mounts it over `dir`, out of everybody else's sight.
    fn mount(dir: &Path) -> Result<Self, String> {
        let script = "mount -t tmpfs -o size=8m syncom-test \"$1\" && echo mounted && exec cat";
        let mut holder = Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh"])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare cannot be run: {error}"))?;
        let mut said = String::new();
        let heard = BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said);
        let path = PathBuf::from(format!("/proc/{}/root{}", holder.id(), dir.display()));
        let disk = Self { holder, path };
        if heard.is_ok() && said.trim() == "mounted" {
            Ok(disk)
        } else {
            Err("no right to mount a tmpfs (are you root?)".into())
        }
    }

    /// Writes a file until only `room` bytes are left.
    fn fill(&self, room: u64) -> PathBuf {
        let path = self.path.join("filler");
        let chunk = vec![1; 4 << 10];
        let mut file = std::fs::File::create(&path).unwrap();
        while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
        let len = file.metadata().unwrap().len();
        file.set_len(len.saturating_sub(room)).unwrap();
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // With the end of its input the holder ends, and the file system with it.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

#[test]
fn a_full_disk_stops_the_station_and_loses_no_acknowledged_report() {
    let temp = TempDir::new("full");
    let mount = temp.0.join("disk");
    std::fs::create_dir(&mount).unwrap();
    let disk = match Disk::mount(&mount) {
        Ok(disk) => disk,
        Err(why) => return eprintln!("SKIPPED: {why}"),
    };
    let dir = disk.path.join("cluster");
    std::fs::create_dir(&dir).unwrap();
    let log = temp.0.join("up.log");
    let mut cluster = Cluster::start_with_log(&dir, &log, &SHAPE, 2);
    let filler = disk.fill(ROOM);
    let acknowledged = report_until_it_ends(&mut cluster);
    assert!(!acknowledged.is_empty());
    let status = cluster.up.wait().unwrap();
    let said = std::fs::read_to_string(log).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("disk full") && said.contains("make room"), "{said}");
    drop(cluster);
    std::fs::remove_file(filler).unwrap();
    let cluster = Cluster::start(&dir, &SHAPE, 2);
    let events = cluster.json(&["events", "--json"]);
    for (kind, seq) in &acknowledged {
        let found = events.iter().any(|event| event["kind"] == **kind && event["seq"] == *seq);
        assert!(found, "{kind} was acknowledged as event {seq}");
    }
    cluster.stop();
}

/// Reports until the cluster ends; what was acknowledged, with its event.
fn report_until_it_ends(cluster: &mut Cluster) -> Vec<(String, u64)> {
    let mut acknowledged = Vec::new();
    let detail = "x".repeat(500);
    loop {
        let kind = format!("note-{}", acknowledged.len());
        let dir = cluster.dir.to_str().unwrap();
        let words = ["--cluster", dir, "report", "node1", &kind, "--detail", &detail];
        let mut report = syncom(&words)
            .args(["--wait", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (ended, done) = eventually("a report is acknowledged or the cluster ends", || {
            let ended = cluster.up.try_wait().unwrap().is_some();
            let done = report.try_wait().unwrap();
            (ended || done.is_some()).then_some((ended, done))
        });
        if ended {
            let _ = report.kill();
        }
        let output = report.wait_with_output().unwrap();
        if done.is_some_and(|status| status.success()) {
            let seq = json_lines(&output).remove(0)["seq"].as_u64().unwrap();
            acknowledged.push((kind, seq));
        }
        if ended {
            return acknowledged;
        }
    }
}
