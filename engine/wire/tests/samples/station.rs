//! What satellites and replicas tell each other.

use super::{Source, encoded, show};
use syncom_wire::ids::PeerId;
use syncom_wire::limits::{DETAIL_MAX, DOMAIN_MAX, KIND_MAX, NAME_MAX};
use syncom_wire::member::{Attach, Member, MemberHead, ViewDelta, ViewDeltaHead};
use syncom_wire::raft::{EntryHead, RaftHead, RaftMessage};
use syncom_wire::replica::{Replace, ReplicaHello, ReplicaWord};
use syncom_wire::snapshot::{ChunkHead, SnapshotAsk, SnapshotChunk};
use syncom_wire::uplink::{
    Batch, BatchAck, BatchAckHead, BatchHead, HomeStats, ItemResult, Record, RecordHead,
};
use syncom_wire::{Fixed, Frame, Kind, List};

pub(crate) fn visit(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    raft(s, visit);
    snapshots(s, visit);
    records(s, visit);
    batch_acks(s, visit);
    views(s, visit);
    replicas(s, visit);
}

fn raft(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    let mut head: RaftHead = s.fixed();
    head.reject %= 2;
    head.reserved = 0;
    head.entries = u16::from(s.byte() % 4);
    let (mut entries, mut context) = (Vec::new(), s.payload());
    context.truncate(RaftMessage::CONTEXT_MAX);
    for _ in 0..head.entries {
        let (mut entry, data): (EntryHead, _) = (s.fixed(), s.payload());
        entry.kind %= 3;
        entry.reserved = [0; 3];
        entry.len = u32::try_from(data.len()).unwrap();
        let mut image = [0; EntryHead::SIZE];
        entry.write(&mut image).unwrap();
        entries.extend(image);
        entries.extend(data);
    }
    show!(s, visit, Raft, RaftMessage { head, context: &context, entries: &entries });
}

fn snapshots(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    let mut ask: SnapshotAsk = s.fixed();
    ask.reserved = 0;
    show!(s, visit, SnapshotAsk, ask);

    let mut head: ChunkHead = s.fixed();
    let data = s.payload();
    head.offset >>= 1;
    head.total = head.offset + data.len() as u64 + u64::from(s.byte());
    show!(s, visit, SnapshotChunk, SnapshotChunk { head, data: &data });
}

fn records(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    let mut head: RecordHead = s.fixed();
    head.health_max %= 8;
    head.severity %= 4;
    head.reserved = [0; 3];
    let contributors = s.list();
    let (subject, kind, detail) = (s.text(NAME_MAX), s.text(KIND_MAX), s.text(DETAIL_MAX));
    let record = Record {
        head,
        contributors: List::new(&contributors),
        subject: &subject,
        kind: &kind,
        detail: &detail,
    };
    show!(s, visit, Record, record);

    let mut head: BatchHead = s.fixed();
    head.items = 2;
    let items = s.nested(&[record, record]);
    show!(s, visit, Batch, Batch { head, items: &items });
}

fn batch_acks(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    let mut head: BatchAckHead = s.fixed();
    head.status %= 4;
    head.reserved = [0; 7];
    let mut results: Vec<ItemResult> = s.list();
    for result in &mut results {
        result.code %= 4;
        result.reserved = [0; 3];
    }
    show!(s, visit, BatchAck, BatchAck { head, results: List::new(&results) });

    let peer = PeerId::satellite(u16::from(s.byte()));
    let reports_per_s = u32::from(s.byte());
    let undecided = u32::from(s.byte());
    let items = s.list();
    let items = List::new(&items);
    show!(s, visit, HomeStats, HomeStats { peer, reports_per_s, undecided, items });
}

fn views(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    let mut head: MemberHead = s.fixed();
    head.state = 1 + head.state % 4;
    head.reserved = 0;
    let (name, domain) = (s.text(NAME_MAX), s.text(DOMAIN_MAX));
    let member = Member { head, name: &name, domain: &domain };
    show!(s, visit, Member, member);

    let mut head: ViewDeltaHead = s.fixed();
    head.more %= 2;
    head.reserved = [0; 3];
    let members = encoded(&member);
    show!(s, visit, ViewDelta, ViewDelta { head, members: &members });

    let mut attach: Attach = s.fixed();
    attach.reserved = 0;
    show!(s, visit, Attach, attach);
}

fn replicas(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    let mut hello: ReplicaHello = s.fixed();
    (hello.disk, hello.stored) = (hello.disk.max(1), hello.stored % 2);
    hello.reserved = [0; 7];
    show!(s, visit, ReplicaHello, hello);

    let mut word: ReplicaWord = s.fixed();
    (word.pending, word.reserved) = (word.pending % 2, [0; 3]);
    show!(s, visit, ReplicaWord, word);

    let mut replace: Replace = s.fixed();
    (replace.old, replace.new) = (replace.old.max(1), replace.new.max(1));
    (replace.flags, replace.state) = (replace.flags % 4, replace.state % 7);
    replace.reserved = [0; 16];
    show!(s, visit, Replace, replace);
}
