//! Between our layout of a Raft message and the library's structs. No protobuf byte leaves or enters.

use crate::raft::snapshot::Manifest;
use raft::eraftpb::{ConfState, Entry, EntryType, Message, MessageType, Snapshot};
use syncom_seam::LogEntry;
use syncom_wire::raft::{EntryHead, RaftHead, RaftMessage};
use syncom_wire::{Fixed, Malformed};

/// The types that may come from a peer, and their numbers.
pub(crate) const fn message_type(kind: u8) -> Option<MessageType> {
    match kind {
        3 => Some(MessageType::MsgAppend),
        4 => Some(MessageType::MsgAppendResponse),
        5 => Some(MessageType::MsgRequestVote),
        6 => Some(MessageType::MsgRequestVoteResponse),
        7 => Some(MessageType::MsgSnapshot),
        8 => Some(MessageType::MsgHeartbeat),
        9 => Some(MessageType::MsgHeartbeatResponse),
        14 => Some(MessageType::MsgTimeoutNow),
        15 => Some(MessageType::MsgReadIndex),
        16 => Some(MessageType::MsgReadIndexResp),
        17 => Some(MessageType::MsgRequestPreVote),
        18 => Some(MessageType::MsgRequestPreVoteResponse),
        _ => None,
    }
}

/// The number of a type on the wire; `None` for those that never leave a replica.
const fn number(kind: MessageType) -> Option<u8> {
    match kind {
        MessageType::MsgAppend => Some(3),
        MessageType::MsgAppendResponse => Some(4),
        MessageType::MsgRequestVote => Some(5),
        MessageType::MsgRequestVoteResponse => Some(6),
        MessageType::MsgSnapshot => Some(7),
        MessageType::MsgHeartbeat => Some(8),
        MessageType::MsgHeartbeatResponse => Some(9),
        MessageType::MsgTimeoutNow => Some(14),
        MessageType::MsgReadIndex => Some(15),
        MessageType::MsgReadIndexResp => Some(16),
        MessageType::MsgRequestPreVote => Some(17),
        MessageType::MsgRequestPreVoteResponse => Some(18),
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgTransferLeader => None,
    }
}

/// Whether a message travels on the stream: everything that must not be lost or overtaken.
pub(crate) const fn rides_stream(kind: MessageType) -> bool {
    matches!(
        kind,
        MessageType::MsgAppend
            | MessageType::MsgAppendResponse
            | MessageType::MsgSnapshot
            | MessageType::MsgTimeoutNow
    )
}

/// A message of the library, ready to be emitted.
#[derive(Debug)]
pub(crate) struct Encoded {
    head: RaftHead,
    context: Vec<u8>,
    entries: Vec<u8>,
}

impl Encoded {
    /// Lays a message out; `None` when it is of a type that never leaves a replica.
    pub(crate) fn new(message: &Message, generation: u64) -> Option<Self> {
        let mut entries = Vec::new();
        let mut count = message.get_entries().len();
        for entry in message.get_entries() {
            put_entry(&mut entries, entry.index, entry.term, entry.entry_type, &entry.data);
        }
        if message.msg_type == MessageType::MsgSnapshot {
            let meta = message.get_snapshot().get_metadata();
            let data = message.get_snapshot().get_data();
            put_entry(&mut entries, meta.index, meta.term, EntryType::EntryNormal, data);
            count = 1;
        }
        let head = RaftHead {
            kind: number(message.msg_type)?,
            reject: u8::from(message.reject),
            entries: u16::try_from(count).ok()?,
            reserved: 0,
            to: message.to,
            from: message.from,
            term: message.term,
            log_term: message.log_term,
            index: message.index,
            commit: message.commit,
            commit_term: message.commit_term,
            request_snapshot: message.request_snapshot,
            reject_hint: message.reject_hint,
            priority: u64::try_from(message.priority).unwrap_or(0),
            generation,
        };
        Some(Self { head, context: message.get_context().to_vec(), entries })
    }

    pub(crate) fn frame(&self) -> RaftMessage<'_> {
        RaftMessage { head: self.head, context: &self.context, entries: &self.entries }
    }
}

fn put_entry(out: &mut Vec<u8>, index: u64, term: u64, kind: EntryType, data: &[u8]) {
    let head = EntryHead {
        index,
        term,
        kind: kind_number(kind),
        reserved: [0; 3],
        len: u32::try_from(data.len()).unwrap_or(u32::MAX),
    };
    let at = out.len();
    out.resize(at + EntryHead::SIZE, 0);
    let _ = head.write(&mut out[at..]);
    out.extend_from_slice(data);
}

/// Kind of an entry that changes the configuration; 0 is a normal one.
pub(crate) const CHANGE: u8 = 2;

const fn kind_number(kind: EntryType) -> u8 {
    match kind {
        EntryType::EntryNormal => 0,
        EntryType::EntryConfChange => 1,
        EntryType::EntryConfChangeV2 => CHANGE,
    }
}

/// The library's form of a checked message that is not a snapshot's.
pub(crate) fn decode(message: &RaftMessage<'_>, kind: MessageType) -> Message {
    let head = &message.head;
    let mut out = Message::default();
    out.set_msg_type(kind);
    out.to = head.to;
    out.from = head.from;
    out.term = head.term;
    out.log_term = head.log_term;
    out.index = head.index;
    out.commit = head.commit;
    out.commit_term = head.commit_term;
    out.reject = head.reject != 0;
    out.reject_hint = head.reject_hint;
    out.context = message.context.to_vec().into();
    let entries =
        message.iter().map(|(entry, data)| new_entry(entry.index, entry.term, entry.kind, data));
    out.entries = entries.collect();
    out
}

/// The library's form of a snapshot's message, once its data has arrived.
pub(crate) fn decode_snapshot(head: &RaftHead, manifest: &Manifest) -> Message {
    let mut out = Message::default();
    out.set_msg_type(MessageType::MsgSnapshot);
    out.to = head.to;
    out.from = head.from;
    out.term = head.term;
    out.set_snapshot(snapshot(manifest));
    out
}

/// The library's form of a snapshot: its data is only the manifest.
pub(crate) fn snapshot(manifest: &Manifest) -> Snapshot {
    let mut out = Snapshot { data: manifest.encode().into(), ..Snapshot::default() };
    let meta = out.mut_metadata();
    meta.index = manifest.index;
    meta.term = manifest.term;
    meta.set_conf_state(ConfState::from((manifest.voters.clone(), manifest.learners.clone())));
    out
}

/// The manifest that a snapshot's message carries.
pub(crate) fn manifest(message: &RaftMessage<'_>) -> Result<Manifest, Malformed> {
    let mut entries = message.iter();
    let (entry, data) = entries.next().ok_or(Malformed("snapshot without manifest"))?;
    if entries.next().is_some() {
        return Err(Malformed("snapshot with entries"));
    }
    let manifest = Manifest::decode(data)?;
    if (manifest.index, manifest.term) != (entry.index, entry.term) {
        return Err(Malformed("manifest of another snapshot"));
    }
    Ok(manifest)
}

/// An entry of a checked kind.
pub(crate) fn new_entry(index: u64, term: u64, kind: u8, data: &[u8]) -> Entry {
    let mut entry = Entry { index, term, data: data.to_vec().into(), ..Entry::default() };
    if kind == CHANGE {
        entry.set_entry_type(EntryType::EntryConfChangeV2);
    }
    entry
}

/// An entry as the disk gets it.
pub(crate) fn to_disk(entry: &Entry) -> LogEntry {
    LogEntry {
        index: entry.index,
        term: entry.term,
        kind: kind_number(entry.entry_type),
        data: entry.data.to_vec(),
    }
}
