//! Clients that write to the station as fast as it answers: each waits for its answer, then writes
//! again (a closed loop).
//!
//! Up to [`Writer::CLIENTS_MAX`] share one session with the leader, as the reporters of a satellite
//! do, and keep to its bounds: whatever waits when a burst of answers has been heard goes out in
//! batches of 8 KiB, at most four of which are under way; a single client's write goes at once. A
//! write is a record that adds one to its client's own event, so that what was applied can be counted
//! afterwards, and a write applied twice shows.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use syncom_engine::clock;
use syncom_seam::{Done, MS, Now, Origin, Outbox, Role, Time, Timer};
use syncom_stream::{Config, Delivery, Key, Streams};
use syncom_wire::bytes::List;
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::limits::BATCH_MAX;
use syncom_wire::member::Attach;
use syncom_wire::report::EventKind;
use syncom_wire::uplink::{Batch, BatchAck, BatchHead, ItemResult, Record, RecordHead};
use syncom_wire::{Addr, Boot, Emit as _, Frame, FrameHeader, Frames, Incarnation, PeerId};
use syncom_wire::{Subject, Term, View};

/// Lane between satellite and station.
const LANE: u8 = 1;
const BEAT: u16 = 1;
/// How often the writer shows itself, as a satellite of the default profile does.
const BEAT_NS: u64 = 200 * MS;
/// Batches without an answer at a time, as of a satellite.
const FLYING_MAX: usize = 4;
/// What happened, in its records.
const KIND: &str = "bench";

/// What the driver of a bench tells the writer, and what it learns from it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// No write begins any more.
    pub(super) is_over: bool,
    /// Whether latencies are kept.
    pub(super) is_measured: bool,
    /// Latencies of acknowledged writes, in ns.
    pub(super) latencies_ns: Vec<u64>,
    /// Acknowledged writes of each client, since the beginning.
    pub(super) acknowledged: Vec<u64>,
    /// Writes of each client that were refused for good, or met a full queue.
    pub(super) refused: u64,
    /// The last acknowledgement.
    pub(super) last: Time,
    /// The newest term in which something was acknowledged, and since when.
    pub(super) committed: (Term, Time),
    /// Who leads, and in which term.
    pub(super) leader: Option<(Term, PeerId)>,
    /// Clients that wait for an answer.
    pub(super) under_way: usize,
    /// Writes that met a full queue and were kept for later.
    pub(super) put_off: u64,
}

/// A ledger that two look into in turn.
pub(super) type Shared = Arc<Mutex<Ledger>>;

/// What was written stays true even if the other one panicked.
pub(super) fn look(ledger: &Shared) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Flight {
    seq: u64,
    items: Vec<u8>,
    clients: Vec<usize>,
    is_sent: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Writer {
    peer: PeerId,
    boot: Boot,
    replicas: Vec<(PeerId, Addr)>,
    streams: Streams,
    ledger: Shared,
    /// When each client's present write began.
    began: Vec<Time>,
    waiting: VecDeque<usize>,
    /// Clients whose write met a full queue: they try again with the next heartbeat.
    resting: Vec<usize>,
    /// Number of each client's present write where every write is an event of its own.
    written: Option<Vec<u64>>,
    flying: VecDeque<Flight>,
    detail: String,
    seq: u64,
    beats: u64,
    generation: u32,
    /// Who leads, and in which term.
    leader: Option<(Term, PeerId)>,
}

impl Writer {
    /// Clients of one session: fewer than fit the batches that are under way.
    pub(super) const CLIENTS_MAX: usize = 64;

    /// Some clients, as satellite `number`.
    pub(super) fn new(
        number: u16,
        boot: Boot,
        replicas: &[Addr],
        clients: Range<usize>,
        size: usize,
        ledger: Shared,
    ) -> Self {
        let mut shared = look(&ledger);
        shared.acknowledged.resize(clients.end, 0);
        shared.under_way += clients.len();
        drop(shared);
        Self {
            peer: PeerId::satellite(number),
            boot,
            replicas: (1..).map(PeerId::station).zip(replicas.iter().copied()).collect(),
            streams: Streams::new(Config::default()),
            ledger,
            began: vec![Time(0); clients.end],
            waiting: clients.collect(),
            resting: Vec::new(),
            written: None,
            flying: VecDeque::new(),
            detail: "x".repeat(size),
            seq: 0,
            beats: 0,
            generation: 0,
            leader: None,
        }
    }

    /// The same, but each write is an event that nobody has seen before.
    pub(super) fn distinct(mut self) -> Self {
        self.written = Some(vec![0; self.began.len()]);
        self
    }

    /// The name under which a client writes.
    pub(super) fn subject(client: usize) -> String {
        format!("client-{client}")
    }

    fn key(&self) -> Option<Key> {
        let (_, peer) = self.leader?;
        Some(Key { peer, lane: LANE })
    }

    fn record(&self, client: usize, items: &mut Vec<u8>) {
        let subject = match &self.written {
            None => Self::subject(client),
            Some(written) => format!("event-{client}-{}", written[client]),
        };
        let head = RecordHead {
            first_ns: self.seq,
            last_ns: self.seq,
            ..RecordHead::new(Subject::named(&subject), Incarnation(0), EventKind::named(KIND))
        };
        let contributors = List::new(&[]);
        let record =
            Record { head, contributors, subject: &subject, kind: KIND, detail: &self.detail };
        let at = items.len();
        items.resize(at + FrameHeader::SIZE + record.size(), 0);
        let len = syncom_wire::frame::emit(&record, &mut items[at..]).unwrap_or(0);
        items.truncate(at + len);
    }

    /// Puts what waits into batches, and sends what was not sent.
    fn pump<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let Some(key) = self.key() else { return };
        while self.flying.len() < FLYING_MAX && !self.waiting.is_empty() {
            let (mut items, mut clients) = (Vec::with_capacity(BATCH_MAX), Vec::new());
            while let Some(client) = self.waiting.pop_front() {
                let before = items.len();
                self.record(client, &mut items);
                if items.len() > BATCH_MAX {
                    items.truncate(before);
                    self.waiting.push_front(client);
                    break;
                }
                clients.push(client);
            }
            self.seq += 1;
            self.flying.push_back(Flight { seq: self.seq, items, clients, is_sent: false });
        }
        for flight in self.flying.iter_mut().filter(|flight| !flight.is_sent) {
            let items = u32::try_from(flight.clients.len()).unwrap_or(u32::MAX);
            let head = BatchHead { peer: self.peer, items, boot: self.boot, seq: flight.seq };
            let batch = Batch { head, items: &flight.items };
            if self.streams.send(now.at, key, &batch, out).is_err() {
                return;
            }
            flight.is_sent = true;
        }
    }

    fn send_again(&mut self) {
        self.flying.iter_mut().for_each(|flight| flight.is_sent = false);
    }

    fn on_ack(&mut self, ack: &BatchAck<'_>) {
        if ack.head.boot != self.boot || ack.head.status != BatchAck::COMMITTED {
            // Sent again with the next heartbeat.
            return;
        }
        let Some(at) = self.flying.iter().position(|flight| flight.seq == ack.head.seq) else {
            return;
        };
        let Some(flight) = self.flying.remove(at) else { return };
        let mut ledger = look(&self.ledger);
        let now = clock::now();
        ledger.last = now;
        if ack.head.term > ledger.committed.0 {
            ledger.committed = (ack.head.term, now);
        }
        let results = flight.clients.iter().zip(ack.results.iter());
        for (client, result) in results {
            match (result.code, &mut self.written) {
                (ItemResult::DONE, None) => ledger.acknowledged[*client] += 1,
                (ItemResult::DONE, Some(written)) => {
                    ledger.acknowledged[*client] += 1;
                    written[*client] += 1;
                }
                (ItemResult::BUSY, Some(_)) => {
                    ledger.put_off += 1;
                    self.resting.push(*client);
                    continue;
                }
                _ => ledger.refused += 1,
            }
            if ledger.is_measured {
                ledger.latencies_ns.push(now.since(self.began[*client]));
            }
            if ledger.is_over {
                ledger.under_way -= 1;
            } else {
                self.began[*client] = now;
                self.waiting.push_back(*client);
            }
        }
    }

    fn drain<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let mut buffer = Vec::new();
        while let Some(delivery) = self.streams.take(&mut buffer) {
            match delivery {
                Delivery::Message(_) => {
                    for frame in Frames::new(&buffer).flatten() {
                        if let Frame::BatchAck(ack) = frame {
                            self.on_ack(&ack);
                        }
                    }
                }
                Delivery::Reset(..) => self.attach(now, out),
                Delivery::Writable(_) => {}
            }
        }
    }

    fn attach<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let Some(key) = self.key() else { return };
        let (peer, boot) = (self.peer, self.boot);
        let attach = Attach { peer, reserved: 0, boot, have: View(u64::MAX >> 16) };
        let _ = self.streams.send(now.at, key, &attach, out);
        self.send_again();
    }

    fn beat<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.beats += 1;
        let heartbeat = Heartbeat::of_satellite(self.beats, 200_000, now.at.0);
        for (_, addr) in &self.replicas {
            out.send(*addr, &heartbeat);
        }
        self.generation += 1;
        let timer = Timer { kind: BEAT, generation: self.generation, key: 0 };
        out.arm(timer, now.at.after(BEAT_NS));
    }
}

impl Role for Writer {
    fn on_start<O: Outbox>(&mut self, now: Now, out: &mut O) {
        for (peer, addr) in &self.replicas {
            // Nine replicas fit any table.
            let _ = self.streams.connect(*peer, *addr, LANE);
        }
        self.began.fill(now.at);
        look(&self.ledger).last = now.at;
        self.beat(now, out);
    }

    fn on_frame<O: Outbox>(&mut self, now: Now, from: &Origin, frame: &Frame<'_>, out: &mut O) {
        if self.streams.on_frame(now.at, from, frame, out) {
            return self.drain(now, out);
        }
        let Frame::HomeAnswer(answer) = frame else { return };
        let heard = (answer.term, from.peer);
        if self.leader.is_none_or(|known| heard > known) {
            self.leader = Some(heard);
            let mut ledger = look(&self.ledger);
            ledger.leader = ledger.leader.max(Some(heard));
            drop(ledger);
            self.attach(now, out);
        }
    }

    fn on_timer<O: Outbox>(&mut self, now: Now, timer: Timer, out: &mut O) {
        if self.streams.on_timer(now.at, timer, out) {
            return self.drain(now, out);
        }
        if timer.kind == BEAT && timer.generation == self.generation {
            self.beat(now, out);
            self.waiting.extend(self.resting.drain(..));
            let silent_ns = now.at.since(look(&self.ledger).last);
            if silent_ns > BEAT_NS {
                self.send_again();
            }
        }
    }

    fn on_done<O: Outbox>(&mut self, _: Now, _: Done, _: &mut O) {}

    fn on_burst_end<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.pump(now, out);
        self.streams.on_burst_end(now.at, out);
    }
}
