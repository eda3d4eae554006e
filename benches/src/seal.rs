//! Sealing and opening a datagram, as a member does it.

use crate::measure::{Bench, Scale, measure};
use syncom_engine::seal::{ClusterKeys, Sealer};
use syncom_seam::{Now, SECOND, Time, WallTime};
use syncom_wire::{Boot, Fixed as _, Header, PeerId, ids};

const OPERATIONS: u64 = 200_000;
/// Wall clock of the bench, in ns since 1970: fixed, so that the same bytes come out.
const CLOCK: u64 = 1_800_000_000 * SECOND;

pub(crate) fn run(scale: Scale, benches: &mut Vec<Bench>) {
    for body_len in [64, 256, 1400] {
        let (Ok(mut from), Ok(mut to)) = (sealer(1), sealer(2)) else {
            eprintln!("no AES instructions on this machine: sealing is left out");
            return;
        };
        let now = Now { at: Time(SECOND), wall: WallTime(CLOCK) };
        let receiver = to.peer();
        let mut slot = vec![0; Header::OVERHEAD + body_len];
        let name = format!("seal+open {body_len} B");
        benches.push(measure(&name, scale, OPERATIONS, |number| {
            slot[Header::SIZE..Header::SIZE + 8].copy_from_slice(&number.to_le_bytes());
            let sealed = from.seal(&mut slot, body_len, Some(receiver)).unwrap_or(0);
            let tag =
                slot[sealed.saturating_sub(8)..sealed].try_into().map_or(0, u64::from_le_bytes);
            let opened = to.open(&mut slot[..sealed], now);
            opened.map_or(0, |opened| tag ^ ids::hash(&opened.body[..8]))
        }));
    }
    fragments(scale, benches);
}

/// The same for fragments of streams, whose bodies lie in two parts elsewhere.
fn fragments(scale: Scale, benches: &mut Vec<Bench>) {
    for body_len in [1360, 8144, 65_424] {
        let (Ok(mut from), Ok(mut to)) = (sealer(1), sealer(2)) else { return };
        let now = Now { at: Time(SECOND), wall: WallTime(CLOCK) };
        let mut slot = vec![0; Header::OVERHEAD + body_len];
        let mut body = vec![7; body_len];
        let name = format!("seal+open fragment {body_len} B");
        benches.push(measure(&name, scale, OPERATIONS / 10, |number| {
            body[..8].copy_from_slice(&number.to_le_bytes());
            let (front, payload) = body.split_at(44);
            let sealed = from.seal_parts(&mut slot, [front, payload], None).unwrap_or(0);
            let tag =
                slot[sealed.saturating_sub(8)..sealed].try_into().map_or(0, u64::from_le_bytes);
            let opened = to.open(&mut slot[..sealed], now);
            opened.map_or(0, |opened| tag ^ ids::hash(&opened.body[..8]))
        }));
    }
}

fn sealer(number: u16) -> Result<Sealer, syncom_engine::seal::SealError> {
    let keys = ClusterKeys::new("bench", &[7; 32], ClusterKeys::FIRST_EPOCH);
    Sealer::new(keys, PeerId::satellite(number), Boot(CLOCK), 0, 4)
}
