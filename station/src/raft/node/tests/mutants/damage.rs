//! Spoils messages: what a replica with the right keys might say when it is broken or hostile.

use crate::raft::ReadContext;
use crate::raft::snapshot::Manifest;
use syncom_seam::Rng;
use syncom_wire::raft::{EntryHead, RaftHead, RaftMessage};
use syncom_wire::{Boot, Emit as _, Fixed as _, FrameHeader, Parse as _, Reader};

/// A message taken apart.
#[derive(Clone, Debug)]
struct Parts {
    head: RaftHead,
    context: Vec<u8>,
    entries: Vec<(EntryHead, Vec<u8>)>,
}

impl Parts {
    fn of(body: &[u8]) -> Self {
        let message = RaftMessage::parse(&mut Reader::new(body)).unwrap();
        let entries = message.iter().map(|(head, data)| (head, data.to_vec())).collect();
        Self { head: message.head, context: message.context.to_vec(), entries }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut entries = Vec::new();
        for (head, data) in &self.entries {
            let at = entries.len();
            entries.resize(at + EntryHead::SIZE, 0);
            head.write(&mut entries[at..]).unwrap();
            entries.extend_from_slice(data);
        }
        let message = RaftMessage { head: self.head, context: &self.context, entries: &entries };
        let mut bytes = vec![0; message.size() + FrameHeader::SIZE];
        syncom_wire::frame::emit(&message, &mut bytes).unwrap();
        bytes.split_off(FrameHeader::SIZE)
    }

    /// The fields of eight bytes that may lie; sender and receiver are bound to the seal.
    fn field(&mut self, number: u64) -> &mut u64 {
        let head = &mut self.head;
        match number {
            0 | 1 => &mut head.term,
            2 => &mut head.log_term,
            3 | 4 => &mut head.index,
            5 => &mut head.commit,
            6 => &mut head.commit_term,
            7 => &mut head.request_snapshot,
            8 => &mut head.reject_hint,
            9 => &mut head.priority,
            10 => &mut head.generation,
            11 => &mut head.from,
            _ => &mut head.to,
        }
    }
}

/// How many fields [`Parts::field`] knows.
const FIELDS: u64 = 13;

/// A number that hurts: an edge, or near what was there.
fn number(rng: &mut Rng, old: u64) -> u64 {
    match rng.below(10) {
        0 => 0,
        1 => 1,
        2 => u64::MAX,
        3 => (1 << 48) - 1,
        4 | 5 => old.wrapping_add(1),
        6 => old.wrapping_sub(1),
        7 => rng.below(64),
        8 => old.wrapping_add(rng.below(1_000)),
        _ => rng.next_u64() >> rng.below(64),
    }
}

fn pick(rng: &mut Rng, len: usize) -> usize {
    usize::try_from(rng.below(len as u64)).unwrap()
}

/// A message made of `sound`: with up to three changes, some of them taken from `other`; one in ten
/// is a mere repetition.
pub(super) fn damage(rng: &mut Rng, sound: &[u8], other: &[u8]) -> Vec<u8> {
    let mut parts = Parts::of(sound);
    let changes = if rng.chance(1, 10) { 0 } else { 1 + rng.below(3) };
    for _ in 0..changes {
        change(rng, &mut parts, other);
    }
    let mut bytes = parts.bytes();
    if rng.chance(1, 8) {
        let at = pick(rng, bytes.len());
        bytes[at] ^= 1 << rng.below(8);
    }
    if rng.chance(1, 200) {
        bytes.truncate(pick(rng, bytes.len()));
    }
    bytes
}

fn change(rng: &mut Rng, parts: &mut Parts, other: &[u8]) {
    match rng.below(18) {
        // Any type, those that never leave a replica among them.
        0 | 1 => parts.head.kind = u8::try_from(rng.below(20)).unwrap(),
        2 => parts.head.reject ^= 1,
        3 => {
            let (one, two) = (rng.below(FIELDS - 2), rng.below(FIELDS - 2));
            let (a, b) = (*parts.field(one), *parts.field(two));
            (*parts.field(one), *parts.field(two)) = (b, a);
        }
        4 => {
            let field = rng.below(FIELDS);
            *parts.field(field) = *Parts::of(other).field(field);
        }
        5 => parts.entries = Parts::of(other).entries,
        6 => parts.context = context(rng, parts),
        7..10 => manifest(rng, parts),
        10..14 => entry(rng, parts, other),
        _ => {
            let field = rng.below(FIELDS);
            let old = *parts.field(field);
            *parts.field(field) = number(rng, old);
        }
    }
    // Else nearly nothing gets past the first look.
    if !rng.chance(1, 50) {
        parts.head.entries = u16::try_from(parts.entries.len()).unwrap();
    }
}

/// Changes the run of entries: gaps, repetitions, other orders, other numbers, other kinds.
fn entry(rng: &mut Rng, parts: &mut Parts, other: &[u8]) {
    let len = parts.entries.len();
    if len == 0 {
        let head = EntryHead {
            index: parts.head.index.wrapping_add(1),
            term: parts.head.term,
            kind: 0,
            reserved: [0; 3],
            len: 4,
        };
        return parts.entries.push((head, vec![7; 4]));
    }
    let at = pick(rng, len);
    match rng.below(8) {
        0 => drop(parts.entries.remove(at)),
        1 => parts.entries.insert(at, parts.entries[pick(rng, len)].clone()),
        2 => parts.entries.swap(at, len - 1),
        3 => parts.entries.extend(Parts::of(other).entries),
        4 => parts.entries[at].0.kind = u8::try_from(rng.below(4)).unwrap(),
        5 => parts.entries[at].0.term = number(rng, parts.entries[at].0.term),
        6 => {
            let data = vec![9; pick(rng, 40)];
            parts.entries[at].0.len = u32::try_from(data.len()).unwrap();
            parts.entries[at].1 = data;
        }
        _ => parts.entries[at].0.index = number(rng, parts.entries[at].0.index),
    }
}

fn context(rng: &mut Rng, parts: &Parts) -> Vec<u8> {
    if rng.chance(1, 4) {
        return vec![1; pick(rng, RaftMessage::CONTEXT_MAX)];
    }
    let asked = ReadContext { node: rng.below(6), boot: Boot(1), number: parts.head.index };
    asked.encode()
}

/// Makes the message a snapshot's, or changes the one that it is: other replicas, some of them
/// twice, nobody, strangers; an index or a term from elsewhere.
fn manifest(rng: &mut Rng, parts: &mut Parts) {
    let named = parts.entries.first().and_then(|(_, data)| Manifest::decode(data).ok());
    let ahead = rng.below(20);
    let fresh = || Manifest {
        learners: Vec::new(),
        index: parts.head.index.max(parts.head.commit).saturating_add(ahead),
        term: parts.head.log_term.max(1),
        total: 0,
        hash: 0,
        voters: vec![1, 2, 3],
    };
    let mut manifest = named.unwrap_or_else(fresh);
    match rng.below(12) {
        0 => manifest.voters.clear(),
        1 => manifest.voters.push(rng.below(5)),
        2 => drop(manifest.voters.pop()),
        3 => manifest.voters = vec![rng.next_u64(), 1],
        4 => manifest.index = number(rng, manifest.index),
        5 => manifest.term = number(rng, manifest.term),
        6 => manifest.total = number(rng, manifest.total),
        _ => {}
    }
    let data = manifest.encode();
    let head = EntryHead {
        index: manifest.index,
        term: manifest.term,
        kind: 0,
        reserved: [0; 3],
        len: u32::try_from(data.len()).unwrap(),
    };
    parts.head.kind = 7;
    parts.context.clear();
    parts.entries = vec![(head, data)];
}
