//! What a replica reads from its peers and from its disk.

use crate::roles::{bytes_of, replica, replica_config};
use crate::script::Script;
use crate::stage::Stage;
use syncom_seam::{HardState, Loaded, LogEntry, MS, SavedSnapshot};
use syncom_station::Station;
use syncom_wire::raft::{EntryHead, RaftHead, RaftMessage};
use syncom_wire::{Fixed as _, Frame, Frames};

/// Messages of one script.
const STEPS_MAX: usize = 48;
/// Entries of one message or log.
const ENTRIES_MAX: usize = 6;
/// Lane of Raft messages.
const LANE_RAFT: u8 = 0;

/// One of three replicas, whose two peers send any Raft messages: through the wire, the validator
/// and the codec into the library, which panics on what it does not expect.
pub fn raft_message(data: &[u8]) {
    let mut script = Script::new(data);
    let config = replica_config(3);
    let (me, peers) = (config.replicas[0], &config.replicas[1..]);
    let mut stage = Stage::new(replica(3, Loaded::default()), me, peers);
    // Until it stands for election; its questions tell the mark that all messages must bear.
    for _ in 0..40 {
        stage.run(50 * MS);
    }
    let generation = stage.heard.iter().find_map(|frame| generation(frame));
    let Some(generation) = generation else { panic!("it never stood for election") };
    for _ in 0..STEPS_MAX {
        if script.is_done() {
            break;
        }
        match script.byte() % 8 {
            0 => stage.run(script.pause()),
            1 => stage.end_burst(),
            tag => {
                let who = usize::from(tag % 2);
                let message = message(&mut script, who as u64 + 2, generation);
                if script.byte() & 1 == 0 {
                    stage.hear(who, &message);
                } else {
                    stage.tell(who, LANE_RAFT, &message);
                }
            }
        }
        stage.heard.clear();
    }
    stage.end_burst();
}

fn generation(bytes: &[u8]) -> Option<u64> {
    Frames::new(bytes).flatten().find_map(|frame| match frame {
        Frame::Raft(message) => Some(message.head.generation),
        _ => None,
    })
}

fn message(script: &mut Script<'_>, from: u64, generation: u64) -> Vec<u8> {
    let count = script.below(ENTRIES_MAX);
    let mut entries = Vec::new();
    let (mut index, term) = (script.number(), script.number());
    let first = index;
    for _ in 0..count {
        // Mostly in order, as they must be.
        index = if script.byte() < 230 { index.saturating_add(1) } else { script.number() };
        entries.extend(entry(script, index, term));
    }
    let head = RaftHead {
        kind: script.byte() % 24,
        reject: script.byte() % 2,
        entries: u16::try_from(count).unwrap_or_default(),
        reserved: 0,
        to: if script.byte() < 250 { 1 } else { script.number() },
        from: if script.byte() < 250 { from } else { script.number() },
        term: if script.byte() < 128 { term } else { script.number() },
        log_term: if script.byte() < 128 { term } else { script.number() },
        index: first,
        commit: script.number(),
        commit_term: script.number(),
        request_snapshot: if script.byte() < 240 { 0 } else { script.number() },
        reject_hint: script.number(),
        priority: script.number(),
        generation,
    };
    let entries = if script.byte() < 220 { &entries[..] } else { script.bytes(64) };
    bytes_of(&RaftMessage { head, context: script.bytes(0), entries })
}

fn entry(script: &mut Script<'_>, index: u64, term: u64) -> Vec<u8> {
    let data = script.bytes(usize::from(script.clone().byte() % 32));
    let head = EntryHead {
        index,
        term: if script.byte() < 200 { term } else { script.number() },
        kind: script.byte() / 100,
        reserved: [0; 3],
        len: u32::try_from(data.len()).unwrap_or_default(),
    };
    let mut bytes = vec![0; EntryHead::SIZE];
    head.write(&mut bytes).unwrap_or_else(|_| panic!("the room is as large as the head"));
    bytes.extend_from_slice(data);
    bytes
}

/// Entries of a log that a replica finds on its disk, committed: all of them are applied.
pub fn command(data: &[u8]) {
    let mut script = Script::new(data);
    let mut entries = Vec::new();
    for index in 1..=ENTRIES_MAX as u64 {
        let len = script.below(0x1_0000);
        let data = script.bytes(len).to_vec();
        entries.push(LogEntry { index, term: 1, kind: 0, data });
    }
    let hard = HardState { term: 1, vote: 1, commit: ENTRIES_MAX as u64 };
    restart(Loaded { hard, snapshot: None, entries });
}

/// The image of a state machine that a replica finds on its disk.
pub fn snapshot(data: &[u8]) {
    let saved =
        SavedSnapshot { index: 9, term: 1, voters: vec![1], learners: vec![], data: data.to_vec() };
    let hard = HardState { term: 1, vote: 1, commit: 9 };
    restart(Loaded { hard, snapshot: Some(saved), entries: Vec::new() });
}

/// Starts a replica on what it found, or not; when it starts, it leads and can tell its state.
fn restart(loaded: Loaded) {
    let config = replica_config(1);
    let me = config.replicas[0];
    let Ok(station) = Station::new(config, loaded) else { return };
    let mut stage = Stage::new(station, me, &[]);
    stage.run(2_000 * MS);
    let _ = stage.role.state_hash();
}
