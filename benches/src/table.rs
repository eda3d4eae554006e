//! The table that roles keep things in, half full.

use crate::measure::{Bench, Scale, measure};
use syncom_seam::bounded::BoundedMap;
use syncom_wire::ids::mix;

const OPERATIONS: u64 = 1_000_000;
const ENTRIES: u64 = 4_096;

pub(crate) fn run(scale: Scale, benches: &mut Vec<Bench>) {
    let mut map = BoundedMap::new(8_192);
    for key in 0..ENTRIES {
        // There is room for twice as many.
        let _ = map.insert(mix(key), key);
    }
    benches.push(measure("map: get", scale, OPERATIONS, |number| {
        map.get(mix(number % ENTRIES)).copied().unwrap_or(0)
    }));
    benches.push(measure("map: insert+remove", scale, OPERATIONS, |number| {
        let key = mix(ENTRIES + number);
        let _ = map.insert(key, number);
        map.remove(key).unwrap_or(0)
    }));
}
