//! A snapshot on its way to a slow disk.

use super::*;
use crate::raft::conf::Conf;

/// Announces a snapshot of the first replica to the third, and delivers it whole.
fn install(group: &mut Group, index: u64) {
    install_from(group, (1, 3), index);
}

/// The same between any two.
pub(super) fn install_from(group: &mut Group, (from, to): (u16, usize), index: u64) {
    let term = group.nodes[usize::from(from) - 1].raw.raft.term.max(1);
    let image = Image::new(index, term, &Conf::new(vec![1, 2, 3], vec![]), vec![7; 9]);
    let mut message = Message { to: to as u64, from: from.into(), term, ..Message::default() };
    message.set_msg_type(MessageType::MsgSnapshot);
    message.set_snapshot(codec::snapshot(&image.manifest));
    let encoded = Encoded::new(&message, group.nodes[to - 1].generation).unwrap();
    let node = &mut group.nodes[to - 1];
    let kind = node.on_message(PeerId::station(from), &encoded.frame(), Time(1)).unwrap();
    assert_eq!(kind, Some(MessageType::MsgSnapshot));
    node.on_image(&encoded.frame().head, image);
}

/// A peer may push two before the first is on its way to the disk: the bytes of the one that the
/// library refuses must not take the place of those that it waits for, nor stay in memory.
#[test]
fn an_older_snapshot_right_behind_a_newer_one_changes_nothing() {
    let mut group = Group::new(1);
    group.wire.clear();
    install(&mut group, 40);
    install(&mut group, 30);
    let node = &mut group.nodes[2];
    let work = node.work();
    let [Record::Snapshot { snapshot, .. }] = &work.records[..] else { panic!("{work:?}") };
    assert_eq!(snapshot.index, 40);
    node.on_durable(u64::MAX);
    node.on_applied(40);
    install(&mut group, 30);
    assert!(group.nodes[2].incoming.is_none());
}

/// A disk that is slow may have two to write: the machine waits for the last one, and never takes
/// one that is not durable.
#[test]
fn a_snapshot_is_installed_when_it_is_durable_itself() {
    let mut group = Group::new(1);
    group.wire.clear();
    let ticket = |work: &Work| work.records.last().unwrap().ticket();
    install(&mut group, 40);
    let first = ticket(&group.nodes[2].work());
    install(&mut group, 50);
    let node = &mut group.nodes[2];
    let second = ticket(&node.work());
    assert!(first < second);
    assert!(node.on_durable(first).installed.is_none(), "the log begins after the second already");
    assert_eq!(node.on_durable(second).installed.unwrap().manifest.index, 50);
    node.on_applied(50);
}

/// The library looks for changes of the replicas among the entries that it has not applied, and
/// panics when a snapshot has replaced them: found by the mutants, as elections during an install.
#[test]
fn nobody_stands_for_election_while_his_snapshot_goes_to_the_disk() {
    let mut group = Group::new(1);
    group.wire.clear();
    let index = 40;
    install(&mut group, index);
    let node = &mut group.nodes[2];
    let work = node.work();
    assert!(matches!(work.records[..], [Record::Snapshot { .. }]), "{work:?}");
    for _ in 0..100 {
        node.on_tick();
        assert!(node.work().messages.is_empty(), "it stood for election");
    }
    let installed = node.on_durable(u64::MAX).installed.unwrap();
    assert_eq!(installed.manifest.index, index);
    node.on_applied(index);
    for _ in 0..100 {
        node.on_tick();
    }
    assert_eq!(node.raw.raft.state, StateRole::PreCandidate);
}
