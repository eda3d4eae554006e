//! Who watches whom, and when a heartbeat is late.

use crate::measure::{Bench, Scale, measure};
use syncom_group::{Arrival, Profile, Rings, SlotSet};
use syncom_seam::{MS, SECOND, Time};
use syncom_wire::ids::mix;
use syncom_wire::{Slot, Uuid};

/// Members of the rings.
const NODES: u64 = 10_000;
const ARRIVALS: u64 = 1_000_000;
const INTERVAL_NS: u64 = 200 * MS;

pub(crate) fn run(scale: Scale, benches: &mut Vec<Bench>) {
    let nodes = scale.of(NODES);
    let once = Scale { divisor: 1, ..scale };
    benches.push(measure(&format!("rings: build {nodes}"), once, 1, |_| built(nodes)));
    let mut arrival = Arrival::new(Time(SECOND), INTERVAL_NS);
    benches.push(measure("arrival: update", scale, ARRIVALS, |number| {
        let heard = Time(SECOND + number * INTERVAL_NS + mix(number) % MS);
        arrival.on_heartbeat(number + 1, INTERVAL_NS, heard);
        arrival.deadline(&Profile::DEFAULT, 0).0
    }));
}

/// Builds the rings from nothing and hashes all edges.
fn built(nodes: u64) -> u64 {
    let (mut rings, mut changed) = (Rings::new(), SlotSet::new());
    let slots = || (0..).map(Slot).zip(0..nodes);
    for (slot, number) in slots() {
        let mut uuid = Uuid([0; 16]);
        uuid.0[..8].copy_from_slice(&mix(number + 1).to_le_bytes());
        rings.insert(slot, uuid, u16::try_from(number % 100).unwrap_or(0));
    }
    rings.settle(&mut changed);
    slots().fold(0, |hash, (slot, _)| {
        rings.observers(slot).iter().fold(hash, |hash, one| mix(hash ^ u64::from(one.0)))
    })
}
