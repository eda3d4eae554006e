//! All orders in flight at this satellite.

use crate::downlink::outcomes::MESSAGE_MAX;
use crate::downlink::shard::{Means, ShardJob};
use crate::homes::Homes;
use crate::world::World;
use alloc::vec;
use alloc::vec::Vec;
use syncom_group::RoundTrip;
use syncom_seam::limits::{DELIVERIES_MAX, SHARDS_MAX};
use syncom_seam::{Counter, Origin, Outbox, Rng, Time};
use syncom_stream::{Key, Streams};
use syncom_wire::Addr;
use syncom_wire::order::{Receipt, ReceiptAck, Shard, ShardHead};

/// Bytes of output that may wait to be told. Beyond them receipts are not acknowledged, and the
/// nodes send them again: back-pressure, without loss.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Shards {
    jobs: Vec<ShardJob>,
    buffer: Vec<u8>,
    /// A shard came, one was completed, or one may go on, since the last tick.
    has_news: bool,
    /// How long answers take, whoever gives them.
    trip: RoundTrip,
    /// Room for where a burst goes.
    burst: Vec<Addr>,
}

impl Shards {
    pub(crate) fn new() -> Self {
        Self {
            jobs: Vec::with_capacity(SHARDS_MAX),
            buffer: vec![0; MESSAGE_MAX],
            has_news: false,
            trip: RoundTrip::new(),
            burst: Vec::with_capacity(DELIVERIES_MAX),
        }
    }

    /// When there is something to do, unless something is heard before.
    pub(crate) fn next_moment(&self) -> Option<Time> {
        self.jobs.iter().map(ShardJob::next_moment).min()
    }

    /// Whether a tick would do something right now.
    pub(crate) const fn has_news(&self) -> bool {
        self.has_news
    }

    /// Takes a shard from the leader, or drops one that it cancels. The same shard again begins
    /// anew: its sender has forgotten what it was told, and nodes answer from memory. Beyond
    /// [`SHARDS_MAX`] a shard is not taken; it shows no progress and goes to another satellite.
    pub(crate) fn on_shard<O: Outbox>(
        &mut self,
        now: Time,
        shard: &Shard<'_>,
        (world, homes): (&World, &Homes),
        out: &mut O,
    ) {
        let id = (shard.order.id, shard.head.shard);
        if shard.head.cancel == ShardHead::STOP
            && let Some(job) = self.jobs.iter().find(|job| job.id() == id)
        {
            job.stop(world, homes, out);
        }
        self.jobs.retain(|job| job.id() != id);
        if shard.head.cancel != 0 {
            return;
        }
        if self.jobs.len() == SHARDS_MAX {
            out.count(Counter::UplinkShed, 1);
            return;
        }
        self.jobs.push(ShardJob::new(now, shard, world));
        self.has_news = true;
    }

    /// Takes a receipt. Says so where the node asks for that, also when nobody waits for it any more;
    /// what answers an order directly needs no word, because the order comes again until it is heard.
    pub(crate) fn on_receipt<O: Outbox>(
        &mut self,
        now: Time,
        from: &Origin,
        receipt: &Receipt<'_>,
        out: &mut O,
    ) {
        out.count(Counter::ReceiptsHeard, 1);
        let is_final = receipt.head.state != Receipt::ACCEPTED;
        let held: usize = self.jobs.iter().map(ShardJob::bytes).sum();
        if is_final && held + receipt.output.len() > BYTES_MAX {
            return;
        }
        for job in &mut self.jobs {
            let is_its = job.on_receipt(now, receipt, &mut self.trip);
            self.has_news |= is_its && (job.is_complete() || job.has_turn());
        }
        if is_final && receipt.head.flags & Receipt::ASKS_ACK != 0 {
            let head = &receipt.head;
            let (id, slot, incarnation) = (head.id, head.slot, head.incarnation);
            out.send(from.addr, &ReceiptAck { id, slot, incarnation });
        }
    }

    /// The view moved: nobody waits for the dead.
    pub(crate) fn on_view(&mut self, world: &World) {
        for job in &mut self.jobs {
            job.on_view(world);
        }
    }

    /// The leader has changed or has forgotten us: it gives open orders out anew.
    pub(crate) fn clear(&mut self) {
        self.jobs.clear();
    }

    /// Sends, gives up, reports; drops what is over.
    pub(crate) fn on_tick<O: Outbox>(
        &mut self,
        (now, world, homes): (Time, &World, &Homes),
        rng: &mut Rng,
        leader: Option<Key>,
        streams: &mut Streams,
        out: &mut O,
    ) {
        self.has_news = false;
        let Self { buffer, trip, jobs, burst, .. } = self;
        let mut means = Means { now, world, homes, rng, trip, burst };
        jobs.retain_mut(|job| !job.on_tick(&mut means, leader, streams, buffer, out));
    }
}
