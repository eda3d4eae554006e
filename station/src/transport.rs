//! What comes and goes between replicas and on streams.

use crate::machine::Machine;
use crate::raft::codec::{self, Encoded};
use crate::raft::pull::{Pull, Pulled};
use crate::raft::snapshot::Image;
use crate::station::Station;
use raft::eraftpb::{Message, MessageType};
use syncom_seam::{Counter, Now, Outbox};
use syncom_stream::{Delivery, Direction, Key};
use syncom_wire::raft::{RaftHead, RaftMessage};
use syncom_wire::snapshot::{ChunkHead, SnapshotAsk, SnapshotChunk};
use syncom_wire::{Frame, Frames, PeerId, Role};

/// Lane of appends.
pub(crate) const LANE_RAFT: u8 = 0;
/// Lane between satellite and station.
pub(crate) const LANE_FABRIC: u8 = 1;
/// Lane of snapshots.
pub(crate) const LANE_SNAPSHOT: u8 = 2;

impl Station {
    /// Sends Raft messages: what carries entries on the stream, the rest as datagrams.
    pub(crate) fn send_raft<O: Outbox>(&mut self, now: Now, messages: Vec<Message>, out: &mut O) {
        for message in messages {
            let Some(encoded) = Encoded::new(&message, self.node.generation()) else { continue };
            let Ok(number) = u16::try_from(message.to) else { continue };
            let peer = PeerId::station(number);
            if !codec::rides_stream(message.msg_type) {
                if let Some(addr) = self.addr_of(peer) {
                    out.send(addr, &encoded.frame());
                }
                continue;
            }
            if message.msg_type == MessageType::MsgSnapshot {
                let index = message.get_snapshot().get_metadata().index;
                self.node.begin_sending(message.to, index, now.at);
            }
            let key = Key { peer, lane: LANE_RAFT };
            if self.streams.send(now.at, key, &encoded.frame(), out).is_err() {
                self.node.report_unreachable(message.to);
            }
        }
    }

    /// Takes everything that the streams have to deliver.
    pub(crate) fn drain_streams<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let mut buffer = Vec::new();
        while let Some(delivery) = self.streams.take(&mut buffer) {
            match delivery {
                Delivery::Message(key) => {
                    for frame in Frames::new(&buffer) {
                        match frame {
                            Ok(frame) => self.on_message(now, key, &frame, out),
                            Err(_) => out.count(Counter::DropMalformed, 1),
                        }
                    }
                }
                Delivery::Reset(key, direction) => self.on_reset(now, key, direction, out),
                Delivery::Writable(key) => self.on_writable(now, key, out),
            }
        }
    }

    fn on_message<O: Outbox>(&mut self, now: Now, key: Key, frame: &Frame<'_>, out: &mut O) {
        match (key.peer.role(), frame) {
            (Role::Station, Frame::Raft(message)) => self.on_raft(now, key.peer, message, out),
            (Role::Station, Frame::SnapshotAsk(ask)) => {
                self.on_snapshot_ask(now, key.peer, ask, out);
            }
            (Role::Station, Frame::SnapshotChunk(chunk)) => {
                self.on_snapshot_chunk(now, key.peer, chunk, out);
            }
            (Role::Satellite, Frame::Attach(attach)) => self.on_attach(now, key, attach, out),
            (Role::Satellite, Frame::Batch(batch)) => self.on_batch(now, key, batch, out),
            (Role::Satellite, Frame::ShardProgress(progress)) => {
                self.on_shard_progress(now, key.peer, progress, out);
            }
            (Role::Satellite, Frame::HomeStats(stats)) => {
                self.on_stats(now.at, key.peer, stats, out);
            }
            _ => out.count(Counter::DropRole, 1),
        }
    }

    fn on_reset<O: Outbox>(&mut self, now: Now, key: Key, direction: Direction, out: &mut O) {
        if key.lane == LANE_SNAPSHOT {
            return self.resume_pull(now, key.peer, out);
        }
        match (key.peer.role(), direction) {
            (Role::Station, Direction::Outgoing) => {
                self.node.report_unreachable(u64::from(key.peer.number()));
            }
            (Role::Satellite, Direction::Outgoing) => self.on_satellite_reset(now, key.peer, out),
            _ => {}
        }
    }

    /// A Raft message of another replica, from a datagram or a stream.
    pub(crate) fn on_raft<O: Outbox>(
        &mut self,
        now: Now,
        from: PeerId,
        message: &RaftMessage<'_>,
        out: &mut O,
    ) {
        match self.node.on_message(from, message, now.at) {
            Err(why) => {
                out.count(Counter::RaftRefused, 1);
                if self.node.note_beyond(&message.head, why)
                    && self.is_led_by(&message.head, now.at)
                {
                    self.stop_tail_lost(&message.head, out);
                }
            }
            Ok(Some(MessageType::MsgSnapshot)) => self.begin_pull(now, message, out),
            Ok(_) => {}
        }
    }

    /// The leader has announced a snapshot: pull it, unless that is under way.
    fn begin_pull<O: Outbox>(&mut self, now: Now, message: &RaftMessage<'_>, out: &mut O) {
        let Ok(manifest) = codec::manifest(message) else { return };
        match self.pull.as_mut().filter(|pull| pull.manifest == manifest) {
            Some(pull) => pull.adopt(message.head, now.at),
            None => self.pull = Some(Pull::new(message.head, manifest, now.at)),
        }
        self.ask_for_chunks(now, out);
    }

    /// Asks for as much as the window takes.
    fn ask_for_chunks<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let Some(pull) = &mut self.pull else { return };
        let Ok(number) = u16::try_from(pull.head.from) else { return };
        let key = Key { peer: PeerId::station(number), lane: LANE_SNAPSHOT };
        while let Some(ask) = pull.ask(now.at) {
            // A refusal is a loss: the tick asks again.
            let _ = self.streams.send(now.at, key, &ask, out);
        }
    }

    /// A stream of snapshots has begun anew: what was under way is lost, what came before is not.
    fn resume_pull<O: Outbox>(&mut self, now: Now, from: PeerId, out: &mut O) {
        let theirs = |pull: &&mut Pull| pull.head.from == u64::from(from.number());
        if let Some(pull) = self.pull.as_mut().filter(theirs) {
            pull.restart(now.at);
            self.ask_for_chunks(now, out);
        }
    }

    pub(crate) fn tick_pull<O: Outbox>(&mut self, now: Now, out: &mut O) {
        match self.pull.as_mut().map(|pull| pull.on_tick(now.at)) {
            None | Some(Some(false)) => {}
            Some(Some(true)) => self.ask_for_chunks(now, out),
            Some(None) => self.pull = None,
        }
    }

    fn on_snapshot_ask<O: Outbox>(
        &mut self,
        now: Now,
        from: PeerId,
        ask: &SnapshotAsk,
        out: &mut O,
    ) {
        let id = u64::from(from.number());
        self.node.sending.on_ask(id, now.at);
        let gone = ChunkHead { index: ask.index, term: ask.term, offset: 0, total: 0, hash: 0 };
        let gone = SnapshotChunk { head: gone, data: &[] };
        let key = Key { peer: from, lane: LANE_SNAPSHOT };
        // A refusal is a loss: the follower asks again.
        if let Some(image) = self.node.image(ask.index, ask.term) {
            let _ = self.streams.send(now.at, key, &image.chunk(ask), out);
        } else {
            let _ = self.streams.send(now.at, key, &gone, out);
            self.node.fail_sending(id);
        }
    }

    fn on_snapshot_chunk<O: Outbox>(
        &mut self,
        now: Now,
        from: PeerId,
        chunk: &SnapshotChunk<'_>,
        out: &mut O,
    ) {
        let wanted = |pull: &&mut Pull| pull.head.from == u64::from(from.number());
        let Some(pull) = self.pull.as_mut().filter(wanted) else { return };
        match pull.on_chunk(chunk, now.at) {
            Pulled::Foreign => {}
            Pulled::More => self.ask_for_chunks(now, out),
            Pulled::Broken => self.pull = None,
            Pulled::Whole => {
                if let Some(pull) = self.pull.take() {
                    self.take_image(&pull.head.clone(), pull.into_image(), out);
                }
            }
        }
    }

    /// A snapshot is here: nothing that is stored gives way to one that cannot be read.
    fn take_image<O: Outbox>(&mut self, head: &RaftHead, image: Image, out: &mut O) {
        match Machine::decode(&image.data) {
            Ok(_) => self.node.on_image(head, image),
            Err(why) => self.stop(
                &format!(
                    "a snapshot of the leader cannot be read ({why}): start a version that can; \
                     nothing that was stored here has changed"
                ),
                out,
            ),
        }
    }
}

#[cfg(test)]
mod tests;
