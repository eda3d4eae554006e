//! Orders, receipts, shards and streams.

use super::{Source, show};
use syncom_wire::ids::Slot;
use syncom_wire::idset::IdSet;
use syncom_wire::order::{
    Order, OrderHead, Outcome, ProgressHead, Receipt, ReceiptAck, ReceiptHead, Shard, ShardHead,
    ShardProgress, Submit,
};
use syncom_wire::stream::{
    Gap, POSITION_MAX, StreamData, StreamDataHead, StreamNak, StreamNakHead, StreamReset,
    StreamStatus,
};
use syncom_wire::{Frame, Kind, List};

pub(crate) fn visit(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    orders(s, visit);
    shards(s, visit);
    streams(s, visit);
}

fn order_head(s: &mut Source) -> OrderHead {
    let mut head: OrderHead = s.fixed();
    head.verb = 1 + head.verb % 5;
    head.policy %= 3;
    head.flags &= OrderHead::CANCEL;
    head.reserved = 0;
    head
}

fn orders(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    let (head, payload) = (order_head(s), s.payload());
    show!(s, visit, Order, Order { head, payload: &payload });

    let mut head: ReceiptHead = s.fixed();
    head.state = 1 + head.state % 3;
    head.cut %= 2;
    head.flags &= Receipt::ASKS_ACK;
    let output = s.payload();
    show!(s, visit, Receipt, Receipt { head, output: &output });

    let ack: ReceiptAck = s.fixed();
    show!(s, visit, ReceiptAck, ack);

    let (head, to, payload) = (order_head(s), s.idset(), s.payload());
    let to = IdSet::parse(&to).unwrap();
    show!(s, visit, Submit, Submit { head, to, payload: &payload });
}

fn shards(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    let (order, mut head): (_, ShardHead) = (order_head(s), s.fixed());
    head.cancel %= 2;
    head.reserved = [0; 7];
    let (to, payload) = (s.idset(), s.payload());
    let to = IdSet::parse(&to).unwrap();
    assert!(to.iter().all(|slot| slot < Slot::NONE));
    show!(s, visit, Shard, Shard { order, head, to, payload: &payload });

    let (code, cut) = (i32::from(s.byte()) - 6, s.byte() % 2);
    let (nodes, output) = (s.idset(), s.payload());
    let outcome = Outcome { code, cut, nodes: IdSet::parse(&nodes).unwrap(), output: &output };
    show!(s, visit, Outcome, outcome);

    let mut head: ProgressHead = s.fixed();
    head.last %= 2;
    head.reserved = [0; 7];
    let outcomes = s.nested(&[outcome, outcome]);
    show!(s, visit, ShardProgress, ShardProgress { head, outcomes: &outcomes });
}

fn streams(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    let mut head: StreamDataHead = s.fixed();
    head.position %= POSITION_MAX;
    head.oldest = head.oldest.min(head.position);
    let payload = s.payload();
    show!(s, visit, StreamData, StreamData { head, payload: &payload });

    let mut head: StreamNakHead = s.fixed();
    head.reserved = 0;
    let mut gaps: Vec<Gap> = s.list();
    gaps.iter_mut().for_each(|gap| gap.position %= POSITION_MAX);
    show!(s, visit, StreamNak, StreamNak { head, gaps: List::new(&gaps) });

    let mut status: StreamStatus = s.fixed();
    status.next %= POSITION_MAX;
    show!(s, visit, StreamStatus, status);

    let mut reset: StreamReset = s.fixed();
    reset.from_sender %= 2;
    reset.reserved = 0;
    reset.position %= POSITION_MAX;
    show!(s, visit, StreamReset, reset);
}
