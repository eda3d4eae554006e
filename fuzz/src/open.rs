//! The front door: whatever opens was sealed by a member, is unchanged, and opens once, for as long
//! as its sender is remembered.

use crate::goldens::goldens;
use crate::script::Script;
use std::collections::BTreeSet;
use syncom_engine::seal::{ClusterKeys, Sealer};
use syncom_seam::{Now, SECOND, Time, WallTime};
use syncom_wire::{Boot, Brief, Fixed as _, Header, PeerId};

/// Steps of one script.
const STEPS_MAX: usize = 64;
/// Wall clock at the start, in ns since 1970.
const CLOCK: u64 = 1_800_000_000 * SECOND;
/// Senders that the receiver has room for: fewer than there are.
const SENDERS_MAX: usize = 3;

/// A sender and one of its shards: what the receiver remembers as one.
type Flow = (PeerId, Option<u16>);

/// Sealed datagrams, some of them bent, cut or repeated, on their way to a member.
///
/// # Panics
/// When a datagram opens that should not have.
pub fn open(data: &[u8]) {
    let mut script = Script::new(data);
    let me = PeerId::satellite(1);
    let mut door = sealer(me, 0, 0);
    let mut senders: Vec<Sealer> = (0..8).map(sender).collect();
    let (mut genuine, mut opened) =
        (Vec::<(Vec<u8>, bool)>::new(), BTreeSet::<(Flow, Vec<u8>)>::new());
    let mut now = Now { at: Time(SECOND), wall: WallTime(CLOCK) };
    for _ in 0..STEPS_MAX {
        if script.is_done() {
            break;
        }
        match script.byte() % 8 {
            0 => now.at = now.at.after(script.pause()),
            1 => now.wall = WallTime(CLOCK.wrapping_sub(script.number())),
            2..5 => {
                let sender = script.below(senders.len());
                genuine.push(sealed(&mut senders[sender], &mut script, me));
            }
            _ => {}
        }
        let Some(at) = genuine.len().checked_sub(1 + script.below(4).min(genuine.len())) else {
            let mut datagram = script.frame();
            assert!(door.open(&mut datagram, now).is_err(), "a stranger's datagram opens");
            continue;
        };
        let mut datagram = genuine[at].0.clone();
        bend(&mut datagram, &mut script);
        let before = datagram.clone();
        if let Ok(result) = door.open(&mut datagram, now) {
            let original = genuine.iter().find(|(other, _)| *other == before);
            let is_mine = original.is_some_and(|(_, is_mine)| *is_mine);
            assert!(is_mine, "a datagram opens that was bent or for another");
            let shard = if result.is_brief {
                assert!(!result.first, "nobody is met by the short header");
                Brief::read(&before).map(|brief| u16::from(brief.shard))
            } else {
                Header::read(&before).map(|header| header.shard)
            };
            let flow = (result.peer, shard);
            if result.first {
                // Whoever was forgotten for want of room is a stranger, and so is what it said.
                opened.retain(|(other, _)| *other != flow);
            }
            assert!(opened.insert((flow, before)), "a datagram opens twice");
        }
    }
}

fn sealer(peer: PeerId, boot: u64, shard: u16) -> Sealer {
    let keys = ClusterKeys::new("fuzz", &[7; 32], ClusterKeys::FIRST_EPOCH);
    Sealer::new(keys, peer, Boot(CLOCK + boot), shard, SENDERS_MAX)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Two lives and two shards of four peers, among them the receiver itself.
fn sender(number: u16) -> Sealer {
    let peer = match number % 4 {
        0 => PeerId::satellite(1),
        1 => PeerId::satellite(2),
        2 => PeerId::client(3),
        _ => PeerId::agent(syncom_wire::Slot(4)),
    };
    sealer(peer, u64::from(number / 4), number / 4)
}

/// A sealed datagram, and whether the receiver may open it.
fn sealed(sender: &mut Sealer, script: &mut Script<'_>, me: PeerId) -> (Vec<u8>, bool) {
    let body = &goldens()[script.below(goldens().len())];
    if script.byte().is_multiple_of(4) {
        let mut slot = vec![0; Brief::OVERHEAD + body.len()];
        slot[Brief::SIZE..Brief::SIZE + body.len()].copy_from_slice(body);
        let len = sender.seal_brief(&mut slot, body.len());
        slot.truncate(len.unwrap_or_else(|error| panic!("{error}")));
        return (slot, true);
    }
    let mut slot = vec![0; Header::OVERHEAD + body.len()];
    slot[Header::SIZE..Header::SIZE + body.len()].copy_from_slice(body);
    let to = [None, Some(me), Some(PeerId::satellite(9))][script.below(3)];
    let len = sender.seal(&mut slot, body.len(), to).unwrap_or_else(|error| panic!("{error}"));
    slot.truncate(len);
    (slot, to.is_none_or(|to| to == me))
}

/// Flips, cuts or lengthens, or leaves as it is.
fn bend(datagram: &mut Vec<u8>, script: &mut Script<'_>) {
    match script.byte() % 4 {
        0 => {
            let at = script.below(0x1_0000) % datagram.len();
            datagram[at] ^= script.byte();
        }
        1 => datagram.truncate(script.below(0x1_0000) % (datagram.len() + 1)),
        2 => datagram.extend_from_slice(script.bytes(3)),
        _ => {}
    }
}
