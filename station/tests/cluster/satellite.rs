//! A satellite that only does what these tests need: shows itself, attaches, sends batches until
//! they are answered, and keeps the views that it is fed.

use std::collections::VecDeque;
use syncom_group::{Members, SlotSet};
use syncom_seam::{Done, MS, Now, Origin, Outbox, Role, Time, Timer};
use syncom_stream::{Config, Delivery, Key, Streams};
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::idset::IdSet;
use syncom_wire::member::{Attach, ViewDelta};
use syncom_wire::order::{Outcome, ProgressHead, Shard, ShardHead, ShardProgress};
use syncom_wire::probe::Probe;
use syncom_wire::uplink::{Batch, BatchAck, BatchHead, ItemResult};
use syncom_wire::{Addr, Boot, Emit, Frame, FrameHeader, Frames, OrderId, PeerId, Term, View};

const LANE: u8 = 1;
const BEAT: u16 = 1;
const BEAT_NS: u64 = 200 * MS;
const UNANSWERED_MAX: usize = 4;

#[derive(Debug)]
struct Waiting {
    seq: u64,
    items: Vec<u8>,
    count: u32,
    sent: bool,
}

#[derive(Debug)]
pub(crate) struct Satellite {
    pub(crate) peer: PeerId,
    boot: Boot,
    replicas: Vec<(PeerId, Addr)>,
    streams: Streams,
    leader: Option<(Term, PeerId)>,
    beats: u64,
    seq: u64,
    waiting: VecDeque<Waiting>,
    pub(crate) answers: Vec<(u64, Vec<ItemResult>)>,
    pub(crate) view: View,
    pub(crate) members: Members,
    /// Orders are heard and not answered.
    pub(crate) deaf: bool,
    /// Every shard that came, by its order.
    pub(crate) orders: Vec<OrderId>,
    pub(crate) cancelled: u32,
    /// How many of these shards it is to stop, too.
    pub(crate) stopped: u32,
    /// Answer for each node by itself, with an output of its own of so many bytes.
    pub(crate) chatty: usize,
    /// Who said that it leads: its number, when it was asked, and when that came.
    pub(crate) proofs: Vec<(u16, Time, Time)>,
}

impl Satellite {
    pub(crate) fn new(number: u16, boot: u64, replicas: Vec<(PeerId, Addr)>) -> Self {
        Self {
            peer: PeerId::satellite(number),
            boot: Boot(boot),
            replicas,
            streams: Streams::new(Config::default()),
            leader: None,
            beats: 0,
            seq: 0,
            waiting: VecDeque::new(),
            answers: Vec::new(),
            view: View(0),
            members: Members::new(),
            deaf: false,
            orders: Vec::new(),
            cancelled: 0,
            stopped: 0,
            chatty: 0,
            proofs: Vec::new(),
        }
    }

    /// Wants a batch committed; it goes out with the next chance.
    pub(crate) fn submit(&mut self, items: Vec<u8>, count: u32) {
        self.seq += 1;
        self.waiting.push_back(Waiting { seq: self.seq, items, count, sent: false });
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    fn key(&self) -> Option<Key> {
        self.leader.map(|(_, peer)| Key { peer, lane: LANE })
    }

    fn attach<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let Some(key) = self.key() else { return };
        let attach = Attach { peer: self.peer, reserved: 0, boot: self.boot, have: self.view };
        let _ = self.streams.send(now.at, key, &attach, out);
        self.waiting.iter_mut().for_each(|batch| batch.sent = false);
        self.send_batches(now, out);
    }

    fn send_batches<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let Some(key) = self.key() else { return };
        for batch in self.waiting.iter_mut().take(UNANSWERED_MAX).filter(|batch| !batch.sent) {
            let (peer, boot, seq) = (self.peer, self.boot, batch.seq);
            let head = BatchHead { peer, items: batch.count, boot, seq };
            let frame = Batch { head, items: &batch.items };
            batch.sent = self.streams.send(now.at, key, &frame, out).is_ok();
        }
    }

    fn drain<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let mut buffer = Vec::new();
        while let Some(delivery) = self.streams.take(&mut buffer) {
            match delivery {
                Delivery::Message(_) => {
                    for frame in Frames::new(&buffer) {
                        match frame.unwrap() {
                            Frame::ViewDelta(delta) => self.on_delta(now, &delta, out),
                            Frame::BatchAck(ack) => self.on_ack(now, &ack, out),
                            Frame::Shard(shard) => self.on_shard(now, &shard, out),
                            // It knows every replica that there may be.
                            Frame::Roster(_) => {}
                            other => panic!("a station never sends {other:?}"),
                        }
                    }
                }
                Delivery::Reset(..) => self.attach(now, out),
                Delivery::Writable(_) => self.send_batches(now, out),
            }
        }
    }

    fn on_delta<O: Outbox>(&mut self, now: Now, delta: &ViewDelta<'_>, out: &mut O) {
        if delta.head.from != self.view {
            if delta.head.from == View(0) {
                self.members.clear();
                self.view = View(0);
            } else {
                return self.attach(now, out);
            }
        }
        for member in delta.iter() {
            self.members.apply(&member);
        }
        if delta.head.more == 0 {
            self.view = delta.head.to;
            self.members.set_view(self.view);
        }
    }

    /// Answers for all destinations at once, as if they had done it.
    fn on_shard<O: Outbox>(&mut self, now: Now, shard: &Shard<'_>, out: &mut O) {
        if shard.head.cancel != 0 {
            self.cancelled += 1;
            self.stopped += u32::from(shard.head.cancel == ShardHead::STOP);
            return;
        }
        self.orders.push(shard.order.id);
        let Some(key) = self.key().filter(|_| !self.deaf) else { return };
        let mut outcomes = Vec::new();
        let mut add = |nodes: IdSet<'_>, output: &[u8]| {
            let outcome = Outcome { code: 0, cut: 0, nodes, output };
            let at = outcomes.len();
            outcomes.resize(at + outcome.size() + FrameHeader::SIZE, 0);
            syncom_wire::frame::emit(&outcome, &mut outcomes[at..]).unwrap();
        };
        if self.chatty == 0 {
            add(shard.to, b"done");
        } else {
            for slot in shard.to.iter() {
                let mut only = SlotSet::new();
                only.insert(slot);
                let output = vec![slot.0.to_le_bytes()[0]; self.chatty];
                add(IdSet::parse(&only.to_image()).unwrap(), &output);
            }
        }
        let head = ProgressHead {
            id: shard.order.id,
            shard: shard.head.shard,
            answered: u32::try_from(shard.to.len()).unwrap(),
            // The station cancels what it has not seen end.
            last: 0,
            reserved: [0; 7],
        };
        let progress = ShardProgress { head, outcomes: &outcomes };
        self.streams.send(now.at, key, &progress, out).unwrap();
    }

    fn on_ack<O: Outbox>(&mut self, now: Now, ack: &BatchAck<'_>, out: &mut O) {
        if ack.head.boot != self.boot {
            return;
        }
        if ack.head.status != BatchAck::COMMITTED {
            // Asked again with the next heartbeat.
            return self.waiting.iter_mut().for_each(|batch| batch.sent = false);
        }
        if let Some(at) = self.waiting.iter().position(|batch| batch.seq == ack.head.seq) {
            self.waiting.remove(at);
            self.answers.push((ack.head.seq, ack.results.iter().collect()));
        }
        self.send_batches(now, out);
    }
}

impl Role for Satellite {
    fn on_start<O: Outbox>(&mut self, now: Now, out: &mut O) {
        for (peer, addr) in &self.replicas {
            self.streams.connect(*peer, *addr, LANE).unwrap();
        }
        self.on_timer(now, Timer { kind: BEAT, generation: 0, key: 0 }, out);
    }

    fn on_frame<O: Outbox>(&mut self, now: Now, from: &Origin, frame: &Frame<'_>, out: &mut O) {
        if self.streams.on_frame(now.at, from, frame, out) {
            return self.drain(now, out);
        }
        if let Frame::ProbeAnswer(answer) = frame {
            let number = u16::try_from(from.peer.number()).unwrap();
            self.proofs.push((number, Time(answer.nonce), now.at));
        }
        let Frame::HomeAnswer(answer) = frame else { return };
        let heard = (answer.term, from.peer);
        if self.leader.is_none_or(|known| heard > known) {
            self.leader = Some(heard);
            self.attach(now, out);
        }
    }

    fn on_timer<O: Outbox>(&mut self, now: Now, timer: Timer, out: &mut O) {
        if self.streams.on_timer(now.at, timer, out) {
            return self.drain(now, out);
        }
        self.beats += 1;
        let beat = Heartbeat::of_satellite(self.beats, 200_000, now.at.0);
        for (_, addr) in &self.replicas {
            out.send(*addr, &beat);
            out.send(*addr, &Probe::of_leader(now.at.0));
        }
        self.send_batches(now, out);
        out.arm(timer, now.at.after(BEAT_NS));
    }

    fn on_done<O: Outbox>(&mut self, _: Now, _: Done, _: &mut O) {}

    fn on_burst_end<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.send_batches(now, out);
        self.streams.on_burst_end(now.at, out);
    }
}
