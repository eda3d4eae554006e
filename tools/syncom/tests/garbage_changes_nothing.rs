//! Invariant 9: a datagram that does not open changes nothing but a counter. A live cluster is
//! shot at with random bytes, cut and mutated copies of sealed datagrams, another cluster's
//! datagrams, replays, and authentic datagrams full of nonsense.
//!
//! `SYNCOM_GARBAGE` sets how many; the default keeps the test short.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use cluster::{Cluster, TempDir, eventually};
use serde_json::Value;
use std::net::SocketAddr;
use syncom_engine::clock;
use syncom_engine::counters::CountersReader;
use syncom_engine::link::{self, Kind, Link, Options};
use syncom_engine::seal::{ClusterKeys, Sealer};
use syncom_seam::{Counter, Rng};
use syncom_wire::{Addr, Boot, Header, PeerId};

/// Datagrams under way at a time, over all targets: less than any socket's buffer holds, so that
/// the members' own traffic finds room.
const WINDOW: u64 = 2_000;

#[test]
fn ten_million_bad_datagrams_change_counters_only() {
    let total =
        std::env::var("SYNCOM_GARBAGE").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let temp = TempDir::new("garbage");
    let cluster = Cluster::start(&temp.0, &["--satellites", "2", "--replicas", "3"], 20);
    eventually("the first events are settled", || {
        (cluster.status()["queue_len"] == 0).then_some(())
    });
    let before = cluster.status();
    let refused_before = refused(&cluster);
    let sent = shoot(&cluster, total);
    assert_eq!(sent, total);
    let after = cluster.status();
    for key in ["view", "events", "nodes", "false_deaths", "orders_open"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    let refused = refused(&cluster) - refused_before;
    println!("{sent} bad datagrams; replicas and satellites refused {refused} of theirs");
    assert!(refused > 0);
    let output = cluster.run(&["run", "-w", "@all", "--", "true"]);
    assert!(output.status.success(), "the cluster still serves");
    cluster.stop();
}

/// Where members listen.
fn targets(cluster: &Cluster) -> Vec<Addr> {
    let entries = std::fs::read_dir(cluster.dir.join("run")).unwrap();
    entries
        .map(|entry| {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let value: Value = serde_json::from_str(&text).unwrap();
            Addr::from(value["addr"].as_str().unwrap().parse::<SocketAddr>().unwrap())
        })
        .collect()
}

/// Datagrams that replicas and satellites have received in all, refused ones included.
fn seen(cluster: &Cluster) -> u64 {
    sum(cluster, |counter| matches!(counter, Counter::RxDatagrams | Counter::RxOverflow))
        + refused(cluster)
}

fn refused(cluster: &Cluster) -> u64 {
    sum(cluster, |counter| counter.name().starts_with("drop_"))
}

fn sum(cluster: &Cluster, of: impl Fn(Counter) -> bool) -> u64 {
    let files = std::fs::read_dir(cluster.dir.join("counters")).unwrap();
    files
        .map(|file| {
            let reader = CountersReader::open(&file.unwrap().path()).unwrap();
            reader.iter().filter(|(counter, _)| of(*counter)).map(|(_, value)| value).sum::<u64>()
        })
        .sum()
}

fn shoot(cluster: &Cluster, total: u64) -> u64 {
    let targets = targets(cluster);
    let counted = targets.len() as u64;
    let mut link = link::open(&Kind::Mmsg, Addr::v4([127, 0, 0, 1], 0), &Options::LARGE).unwrap();
    let mut forge = Forge::new(cluster);
    let base = seen(cluster);
    let mut sent = 0;
    // Of every round of shots, the share that goes to members with a counters file is counted.
    let mut aimed = 0;
    let files = std::fs::read_dir(cluster.dir.join("counters")).unwrap().count() as u64;
    while sent < total {
        let target = targets[usize::try_from(sent % counted).unwrap()];
        let bytes = forge.next();
        if let Some(slot) = link.tx_claim(target, bytes.len()) {
            slot.copy_from_slice(bytes);
            link.tx_commit(bytes.len());
            sent += 1;
        } else {
            link.tx_flush().unwrap();
        }
        if sent % 64 == 0 {
            link.tx_flush().unwrap();
            aimed = sent * files / counted;
        }
        if sent % WINDOW == 0 {
            eventually("members keep up", || {
                (seen(cluster) - base + WINDOW >= aimed).then_some(())
            });
        }
    }
    link.tx_flush().unwrap();
    sent
}

/// Makes bad datagrams.
struct Forge {
    rng: Rng,
    own: Sealer,
    stranger: Sealer,
    last: Vec<u8>,
    bytes: Vec<u8>,
}

impl Forge {
    fn new(cluster: &Cluster) -> Self {
        let text = std::fs::read_to_string(cluster.dir.join("secret.key")).unwrap();
        let hex = text.split_whitespace().nth(2).unwrap();
        let secret: [u8; 32] =
            std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap());
        let boot = Boot(clock::read().wall.0);
        let sealer = |secret: &[u8; 32]| {
            let keys = ClusterKeys::new("up", secret, ClusterKeys::FIRST_EPOCH);
            Sealer::new(keys, PeerId::client(4_711), boot, 0, 16).unwrap()
        };
        Self {
            rng: Rng::new(7),
            own: sealer(&secret),
            stranger: sealer(&[9; 32]),
            last: vec![0; Header::OVERHEAD],
            bytes: Vec::new(),
        }
    }

    fn next(&mut self) -> &[u8] {
        match self.rng.below(6) {
            0 => self.noise(),
            1 => self.sealed(true),
            2 => {
                self.sealed(false);
                self.last.clone_from(&self.bytes);
                let bit = self.rng.below(self.bytes.len() as u64 * 8);
                self.bytes[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
            }
            3 => {
                self.sealed(false);
                let len = self.rng.below(self.bytes.len() as u64);
                self.bytes.truncate(usize::try_from(len.max(1)).unwrap());
            }
            4 => self.bytes.clone_from(&self.last),
            _ => self.sealed(false),
        }
        &self.bytes
    }

    fn noise(&mut self) {
        let len = usize::try_from(1 + self.rng.below(200)).unwrap();
        self.bytes.clear();
        for _ in 0..len {
            let byte = self.rng.next_u64().to_le_bytes()[0];
            self.bytes.push(byte);
        }
    }

    /// A sealed datagram with one frame of random bytes, of this cluster or another.
    fn sealed(&mut self, foreign: bool) {
        let len = usize::try_from(self.rng.below(120)).unwrap();
        let mut body = vec![0; len + 8];
        for byte in &mut body[8..] {
            *byte = self.rng.next_u64().to_le_bytes()[0];
        }
        body[0] = self.rng.next_u64().to_le_bytes()[0];
        body[1] = 1;
        // Sometimes a length that is a lie.
        let lie = if self.rng.chance(1, 4) { self.rng.below(500) } else { 0 };
        let announced = u32::try_from(len as u64 + lie).unwrap();
        body[4..8].copy_from_slice(&announced.to_le_bytes());
        self.bytes.clear();
        self.bytes.resize(body.len() + Header::OVERHEAD, 0);
        self.bytes[32..32 + body.len()].copy_from_slice(&body);
        let sealer = if foreign { &mut self.stranger } else { &mut self.own };
        sealer.seal(&mut self.bytes, body.len(), None).unwrap();
    }
}
