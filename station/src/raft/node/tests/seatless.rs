//! What a replica without a seat says: nothing that anybody may count.

use super::*;

/// The third replica's answers to an append and a heartbeat that confirms a read: their kinds,
/// whether they accept, and whether they carry the read's name.
fn answers(group: &mut Group) -> Vec<(MessageType, bool, bool)> {
    group.wire.clear();
    group.nodes[0].propose(vec![7; 20]).unwrap();
    let context = ReadContext { node: 1, boot: Boot(1), number: 7 };
    group.nodes[0].read_index(&context);
    group.work(0);
    for (from, to, body) in std::mem::take(&mut group.wire) {
        if to == 3 {
            assert!(group.deliver(from, to, &body));
        }
    }
    let answers = group.wire.iter().filter(|(from, ..)| *from == 3).map(|(_, _, body)| {
        let message = RaftMessage::parse(&mut Reader::new(body)).unwrap();
        let kind = codec::message_type(message.head.kind).unwrap();
        (kind, message.head.reject == 0, !message.context.is_empty())
    });
    answers.collect()
}

/// It may have forgotten what it acknowledged and whom it voted for, and be refused in a moment.
#[test]
fn a_replica_without_a_seat_acknowledges_no_entry_and_confirms_no_read() {
    let mut group = Group::new(1);
    group.nodes[2].admitted = false;
    assert_eq!(answers(&mut group), [(MessageType::MsgHeartbeatResponse, true, false)]);
    group.nodes[2].admit();
    let seated = answers(&mut group);
    assert!(seated.contains(&(MessageType::MsgAppendResponse, true, false)), "{seated:?}");
    assert!(seated.contains(&(MessageType::MsgHeartbeatResponse, true, true)), "{seated:?}");
}
