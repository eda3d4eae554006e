//! A snapshot that arrives.

use super::*;
use crate::config::StationConfig;
use crate::raft::conf::Conf;
use syncom_seam::{Action, Loaded, Recorder, SECOND, Time, WallTime};
use syncom_wire::Addr;

/// Of a leader whose program is newer: what this replica has must stay what it is, for its own
/// program could not start from anything else.
#[test]
fn a_snapshot_that_cannot_be_read_replaces_nothing() {
    let addr = |n| (PeerId::station(n), Addr::v4([10, 0, 0, 1], n));
    let config = StationConfig::new(1, (1..=3).map(addr).collect());
    let mut station = Station::new(config, Loaded::default()).unwrap();
    let (mut out, now) = (Recorder::default(), Now { at: Time(SECOND), wall: WallTime(SECOND) });
    let image = Image::new(40, 1, &Conf::new(vec![1, 2, 3], vec![]), vec![7; 9]);
    let mut message = Message { to: 1, from: 2, term: 1, ..Message::default() };
    message.set_msg_type(MessageType::MsgSnapshot);
    message.set_snapshot(codec::snapshot(&image.manifest));
    let encoded = Encoded::new(&message, station.node.generation()).unwrap();
    station.on_raft(now, PeerId::station(2), &encoded.frame(), &mut out);
    let ask = SnapshotAsk { index: 40, term: 1, offset: 0, reserved: 0 };
    station.on_snapshot_chunk(now, PeerId::station(2), &image.chunk(&ask), &mut out);
    station.pump(now, &mut out);
    let told =
        |action: &Action| matches!(action, Action::Notify(text) if text.contains("cannot be read"));
    assert!(station.stopped && out.actions.iter().any(told));
    let persisted = |action: &Action| matches!(action, Action::Persist(_));
    assert!(!out.actions.iter().any(persisted));
}
