//! What passes between this satellite and the station.

use crate::feed::{Fed, LANE};
use crate::policy::Policies;
use crate::transponder::Transponder;
use crate::uplink::batch::{Flight, Tag};
use crate::uplink::combine::acknowledge;
use core::mem;
use syncom_seam::{Counter, Notice, Now, Origin, Outbox};
use syncom_stream::{Delivery, Key};
use syncom_wire::heartbeat::HomeAnswer;
use syncom_wire::member::ViewDelta;
use syncom_wire::report::{ReportAck, ReportId};
use syncom_wire::uplink::{BatchAck, ItemResult};
use syncom_wire::{Frame, Frames, Incarnation};

impl Transponder {
    /// A replica answers: it leads, or thinks so.
    pub(crate) fn on_home_answer<O: Outbox>(
        &mut self,
        now: Now,
        from: &Origin,
        answer: &HomeAnswer,
        out: &mut O,
    ) {
        let Self { feed, world, streams, .. } = self;
        if feed.on_home_answer(now, from, answer, world, streams, out) {
            world.roster_mut().set_leader(from.peer, answer.term);
            self.begin_anew(now, out);
            self.join(now.at);
        }
    }

    /// Whoever leads now has heard nothing of what is under way.
    fn begin_anew<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.batches.send_again();
        self.shards.clear();
        self.flush(now, out);
    }

    /// Takes all that the streams have delivered.
    pub(crate) fn drain<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let mut message = mem::take(&mut self.message);
        while let Some(delivery) = self.streams.take(&mut message) {
            match delivery {
                Delivery::Message(key) => self.on_message(now, key, &message, out),
                Delivery::Reset(key, _) if self.feed.leader() == Some(key) => {
                    let view = self.world.view();
                    self.world.drop_parts();
                    self.feed.attach(now.at, view, &mut self.streams, out);
                    self.begin_anew(now, out);
                }
                Delivery::Reset(..) => {}
                Delivery::Writable(_) => self.flush(now, out),
            }
        }
        self.message = message;
    }

    fn on_message<O: Outbox>(&mut self, now: Now, key: Key, message: &[u8], out: &mut O) {
        if key.lane != LANE || !self.feed.is_leader(key.peer) {
            return;
        }
        for frame in Frames::new(message) {
            match frame {
                Ok(Frame::ViewDelta(delta)) => self.on_view_delta(now, &delta, out),
                Ok(Frame::BatchAck(ack)) => self.on_batch_ack(now, &ack, out),
                Ok(Frame::Shard(shard)) => {
                    let known = (&self.world, &self.homes);
                    self.shards.on_shard(now.at, &shard, known, out);
                }
                Ok(Frame::Roster(roster)) => {
                    self.feed.set_replicas(&roster);
                    let epoch = roster.head.epoch.max(self.world.roster().epoch());
                    self.world.set_roster(epoch, self.feed.replicas());
                }
                Ok(Frame::Policy(policy)) => self.config.policies = Policies::of_frame(&policy),
                Ok(_) => out.count(Counter::DropRole, 1),
                Err(_) => out.count(Counter::DropMalformed, 1),
            }
        }
    }

    fn on_view_delta<O: Outbox>(&mut self, now: Now, delta: &ViewDelta<'_>, out: &mut O) {
        let Self { feed, world, streams, .. } = self;
        match feed.on_delta(now.at, delta, world, streams, out) {
            Fed::Refused | Fed::Partly => return,
            Fed::Moved => {}
        }
        self.pushes.on_view(now.at, &self.world);
        self.gate.on_view(&self.world, out);
        self.shards.on_view(&self.world);
        self.fellows.on_view(&self.world);
        let Self { suspects, world, homes, .. } = self;
        suspects.on_view(world, |case| {
            // Its accusers need not ask any more.
            for word in case.evidence.words().iter().filter(|word| !word.is_retracted) {
                let id = ReportId { slot: word.slot, incarnation: word.incarnation, seq: word.seq };
                if let Some(addr) = homes.addr(world, word.slot) {
                    acknowledge(addr, id, ReportAck::COMMITTED, 0, out);
                }
            }
        });
        let live = u64::try_from(self.suspects.len()).unwrap_or(u64::MAX);
        out.gauge(Counter::EvidenceLive, live);
        let known = u64::try_from(self.world.members().len()).unwrap_or(u64::MAX);
        out.gauge(Counter::MembersKnown, known);
        if !self.is_ready {
            self.is_ready = true;
            self.rest(now.at);
            out.notify(Notice::Ready);
        }
    }

    fn on_batch_ack<O: Outbox>(&mut self, now: Now, ack: &BatchAck<'_>, out: &mut O) {
        let Some(flight) = self.batches.on_ack(now.at, ack) else { return };
        let is_refused = ack.head.status == BatchAck::REFUSED;
        if is_refused {
            out.count(Counter::UplinkShed, 1);
        }
        let code = if is_refused { ItemResult::REFUSED } else { ItemResult::KNOWN };
        let untold = ItemResult { event: 0, incarnation: Incarnation(0), code, reserved: [0; 3] };
        for (at, tag) in flight.tags.iter().enumerate() {
            let result = ack.results.get(at).unwrap_or(untold);
            self.on_result(now, *tag, &result, out);
        }
        self.recycle(flight);
        self.flush(now, out);
    }

    fn recycle(&mut self, flight: Flight) {
        self.batches.recycle(flight);
    }

    fn on_result<O: Outbox>(&mut self, now: Now, tag: Tag, result: &ItemResult, out: &mut O) {
        match tag {
            Tag::Verdict(slot, incarnation, kind) => {
                self.suspects.on_result(now.at, (slot, incarnation, kind), result.code);
            }
            Tag::Combined(at) => self.combiner.on_result(at, result, out),
            Tag::Join(key) => self.gate.on_result(key, result, out),
            Tag::Own if result.code == ItemResult::REFUSED => out.notify(Notice::Fatal(
                "the station refused this satellite: another present member has its name",
            )),
            Tag::Own | Tag::Leave => {}
        }
    }
}
