//! A node on a link that loses four of five datagrams that it sends, and its observers.
//!
//! Observers do as agents do: they miss it after four intervals without a heartbeat, take that back
//! when they hear it, and answer when they are asked. The node, when it is asked, repeats itself to
//! all of them.

use super::fixture::{LIFE, Rig};
use std::collections::BTreeMap;
use std::vec::Vec;
use syncom_seam::{Counter, MS, Rng, Time};
use syncom_wire::report::Report;

/// Node 3.
const NODE: u32 = 3;
const INTERVAL_NS: u64 = 200 * MS;
/// Silence after which an observer accuses, in ns.
const PATIENCE_NS: u64 = 850 * MS;

/// See the module.
#[derive(Debug)]
pub(crate) struct Lossy {
    rng: Rng,
    observers: Vec<u32>,
    /// The number of each observer's accusation, while it stands.
    accused: BTreeMap<u32, u64>,
    seq: u64,
    next_beat: Time,
    /// From now on nothing comes through at all.
    pub(crate) fails: bool,
}

impl Lossy {
    pub(crate) fn new(rig: &Rig, seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            observers: rig.observers(NODE),
            accused: BTreeMap::new(),
            seq: 0,
            next_beat: rig.now.at,
            fails: false,
        }
    }

    fn gets_through(&mut self) -> bool {
        self.rng.chance(1, 5) && !self.fails
    }

    /// Ten milliseconds pass.
    pub(crate) fn step(&mut self, rig: &mut Rig) {
        if rig.now.at >= self.next_beat {
            self.next_beat = self.next_beat.after(INTERVAL_NS);
            self.beat(rig);
        }
        for observer in self.observers.clone() {
            let heard = *rig.heard.entry((observer, NODE)).or_insert(rig.now.at);
            let silent_ns = rig.now.at.since(heard);
            if silent_ns >= PATIENCE_NS && !self.accused.contains_key(&observer) {
                self.seq += 1;
                self.accused.insert(observer, self.seq);
                rig.accuse_as(observer, NODE, silent_ns / MS, self.seq, 0, 0);
            }
        }
        // Each answer to a probe has its own luck.
        if self.gets_through() {
            rig.alive.insert(NODE);
            rig.mute.remove(&NODE);
        } else {
            rig.mute.insert(NODE);
        }
        let asked = rig.count(Counter::ProbesSent);
        rig.run(10 * MS);
        rig.alive.remove(&NODE);
        for _ in asked..rig.count(Counter::ProbesSent) {
            self.speak(rig);
        }
    }

    fn beat(&mut self, rig: &mut Rig) {
        self.speak(rig);
        if (rig.now.at.0 / INTERVAL_NS).is_multiple_of(5) && self.gets_through() {
            rig.beat(NODE, LIFE, 0);
        }
    }

    /// What it sends to its observers.
    fn speak(&mut self, rig: &mut Rig) {
        for observer in self.observers.clone() {
            if !self.gets_through() {
                continue;
            }
            rig.heard.insert((observer, NODE), rig.now.at);
            if let Some(seq) = self.accused.remove(&observer) {
                rig.accuse_as(observer, NODE, 0, seq, Report::RETRACT, 0);
            }
        }
    }
}
