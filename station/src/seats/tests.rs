//! What other replicas may say of this one, and what it believes.

use super::*;
use crate::config::StationConfig;
use crate::machine::command::begin;
use crate::raft::codec::Encoded;
use raft::eraftpb::{Message, MessageType};
use syncom_seam::{Action, HardState, LogEntry, Recorder, Role as _, WallTime};
use syncom_wire::Boot;

const DISK: u64 = 77;

/// The first of three replicas; with its seat in the log, or with nothing.
struct Replica {
    station: Station,
    out: Recorder,
    now: Now,
}

impl Replica {
    fn new(is_seated: bool) -> Self {
        let addr = |n| (PeerId::station(n), Addr::v4([10, 0, 0, 1], n));
        let mut config = StationConfig::new(1, (1..=3).map(addr).collect());
        config.disk = DISK;
        let mut loaded = Loaded::default();
        if is_seated {
            let mut entry = begin(1);
            Command::Seat { number: 1, disk: DISK }.encode(&mut entry);
            let data = entry.finish();
            loaded.entries.push(LogEntry { index: 1, term: 1, kind: 0, data });
            loaded.hard = HardState { term: 1, vote: 2, commit: 1 };
        }
        let station = Station::new(config, loaded).unwrap();
        let now = Now { at: Time(SECOND), wall: WallTime(SECOND) };
        let mut replica = Self { station, out: Recorder::default(), now };
        replica.station.on_start(now, &mut replica.out);
        replica
    }

    fn hear(&mut self, from: u16, frame: &Frame<'_>) {
        let addr = Addr::v4([10, 0, 0, 1], from);
        let peer = PeerId::station(from);
        let origin = Origin { peer, boot: Boot(1), addr, heard: self.now.at };
        self.station.on_frame(self.now, &origin, frame, &mut self.out);
        self.station.on_burst_end(self.now, &mut self.out);
    }

    fn word(&self) -> ReplicaWord {
        let generation = self.station.node.generation();
        let (disk, removed_at, term, leader, by) = (0, 0, 1, 0, 0);
        let (pending, reserved) = (0, [0; 3]);
        ReplicaWord { disk, generation, removed_at, term, leader, by, pending, reserved }
    }

    fn why_stopped(&self) -> Option<&str> {
        self.station.stopped.then(|| {
            let mut texts = self.out.actions.iter().filter_map(|action| match action {
                Action::Notify(text) => Some(text.as_str()),
                _ => None,
            });
            texts.next_back().unwrap_or("")
        })
    }
}

#[test]
fn a_replica_with_a_seat_is_stopped_by_a_majority_of_the_others_and_nobody_else() {
    for stopped_by in ["was replaced by station4", "another log"] {
        let mut replica = Replica::new(true);
        let word = if stopped_by.starts_with("was") {
            ReplicaWord { removed_at: 9, by: 4, ..replica.word() }
        } else {
            ReplicaWord { disk: DISK + 1, ..replica.word() }
        };
        // One replica, as often as it likes; strangers; one of another cluster.
        for from in [2, 2, 2, 8, 9] {
            replica.hear(from, &Frame::ReplicaWord(word));
        }
        let foreign = ReplicaWord { generation: word.generation ^ 1, ..word };
        replica.hear(3, &Frame::ReplicaWord(foreign));
        assert_eq!(replica.why_stopped(), None, "{stopped_by}");
        replica.hear(3, &Frame::ReplicaWord(word));
        assert!(replica.why_stopped().is_some_and(|why| why.contains(stopped_by)));
    }
}

/// Of those whom it knows, one may be dead: what the other says counts when nobody leads this one, and
/// nobody says otherwise.
#[test]
fn a_replica_that_was_left_out_believes_the_half_that_still_speaks() {
    let mut replica = Replica::new(true);
    let removed = ReplicaWord { removed_at: 9, by: 4, ..replica.word() };
    let other = ReplicaWord { disk: DISK, ..replica.word() };
    replica.now.at = replica.now.at.after(LEFT_NS);
    replica.hear(3, &Frame::ReplicaWord(other));
    replica.hear(2, &Frame::ReplicaWord(removed));
    assert_eq!(replica.why_stopped(), None, "they are not of one mind");
    replica.hear(3, &Frame::ReplicaWord(removed));
    assert!(replica.why_stopped().is_some());
    let mut replica = Replica::new(true);
    replica.hear(2, &Frame::ReplicaWord(removed));
    assert_eq!(replica.why_stopped(), None, "somebody may lead it yet");
    replica.now.at = replica.now.at.after(LEFT_NS);
    replica.hear(2, &Frame::ReplicaWord(removed));
    assert!(replica.why_stopped().is_some_and(|why| why.contains("was replaced by station4")));
}

/// The entry that seats another disk may come to nothing: it is no reason to stop, nor to go on.
#[test]
fn a_seat_that_is_not_committed_neither_stops_a_replica_nor_lets_it_in() {
    let mut replica = Replica::new(false);
    let new = replica.word();
    let pending = ReplicaWord { disk: DISK + 1, pending: 1, ..new };
    replica.hear(2, &Frame::ReplicaWord(new));
    replica.hear(3, &Frame::ReplicaWord(pending));
    assert!(!replica.station.node.is_admitted() && replica.why_stopped().is_none());
    // It came to nothing.
    replica.hear(3, &Frame::ReplicaWord(new));
    assert!(replica.station.node.is_admitted());
    let mut replica = Replica::new(false);
    replica.hear(3, &Frame::ReplicaWord(pending));
    // It did not. Who has no part yet believes the first one who says so.
    replica.hear(3, &Frame::ReplicaWord(ReplicaWord { pending: 0, ..pending }));
    assert!(replica.why_stopped().is_some_and(|why| why.contains("another log")));
}

/// Whoever only claims to lead, and to know of more than this replica has, stops nobody.
#[test]
fn a_lost_tail_is_believed_when_the_others_say_who_leads() {
    let mut replica = Replica::new(true);
    let mut message = Message { to: 1, from: 2, term: 4, commit: 1_000, ..Message::default() };
    message.set_msg_type(MessageType::MsgHeartbeat);
    let encoded = Encoded::new(&message, replica.station.node.generation()).unwrap();
    let claims = |replica: &mut Replica| {
        (0..100).for_each(|_| replica.hear(2, &Frame::Raft(encoded.frame())));
    };
    claims(&mut replica);
    let word = ReplicaWord { leader: 2, term: 4, disk: DISK, ..replica.word() };
    replica.hear(2, &Frame::ReplicaWord(word));
    replica.hear(3, &Frame::ReplicaWord(ReplicaWord { leader: 3, ..word }));
    claims(&mut replica);
    assert_eq!(replica.why_stopped(), None);
    replica.hear(3, &Frame::ReplicaWord(word));
    claims(&mut replica);
    assert!(replica.why_stopped().is_some_and(|why| why.contains("tail is lost")));
}

/// What another cluster's replica says of its disk seats nobody here.
#[test]
fn a_hello_of_another_cluster_is_not_answered() {
    let mut replica = Replica::new(true);
    let generation = replica.station.node.generation();
    let hello = ReplicaHello { disk: 5, generation, stored: 1, reserved: [0; 7] };
    replica.out.take();
    replica.hear(2, &Frame::ReplicaHello(ReplicaHello { generation: generation ^ 1, ..hello }));
    assert_eq!(replica.out.frames(syncom_wire::Kind::ReplicaWord), 0);
    replica.hear(2, &Frame::ReplicaHello(hello));
    assert_eq!(replica.out.frames(syncom_wire::Kind::ReplicaWord), 1);
}
