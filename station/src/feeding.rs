//! Feeding satellites: views and thresholds down, answers to their batches.

use crate::machine::encoder::Encoder;
use crate::station::Station;
use crate::transport::LANE_FABRIC;
use std::collections::{BTreeMap, VecDeque};
use syncom_seam::limits::QUEUE_MAX;
use syncom_seam::{Counter, Now, Outbox};
use syncom_stream::Key;
use syncom_wire::bytes::List;
use syncom_wire::member::{Attach, ViewDelta, ViewDeltaHead};
use syncom_wire::roster::{Roster, RosterEntry, RosterHead};
use syncom_wire::uplink::{BatchAck, BatchAckHead};
use syncom_wire::{Boot, PeerId, View};

/// Bytes of members in one message.
const PART_MAX: usize = 60 * 1024;

/// One attached satellite.
#[derive(Debug)]
struct Feed {
    /// The view that it holds once everything queued has arrived; `None` right after it attached,
    /// so that it gets an answer even when nothing has changed.
    sent: Option<View>,
    have: View,
    /// Version of the policy that it was sent; 0 for none.
    policy: u64,
    /// Version of the table of replicas that it was sent; 0 for the founders, whom it knows.
    seats: u64,
    /// Encoded parts that the stream had no room for yet.
    queued: VecDeque<Vec<u8>>,
}

/// All attached satellites.
#[derive(Debug, Default)]
pub(crate) struct Feeds {
    by_peer: BTreeMap<PeerId, Feed>,
}

impl Feeds {
    pub(crate) fn clear(&mut self) {
        self.by_peer.clear();
    }

    /// Whether orders may be handed to this satellite.
    pub(crate) fn is_attached(&self, peer: PeerId) -> bool {
        self.by_peer.contains_key(&peer)
    }
}

impl Station {
    /// A satellite wants to be fed from the view that it holds.
    pub(crate) fn on_attach<O: Outbox>(
        &mut self,
        now: Now,
        key: Key,
        attach: &Attach,
        out: &mut O,
    ) {
        if attach.peer != key.peer {
            return out.count(Counter::DropRole, 1);
        }
        if !self.node.is_leader() {
            return;
        }
        let feed =
            Feed { sent: None, have: attach.have, policy: 0, seats: 0, queued: VecDeque::new() };
        self.feeds.by_peer.insert(key.peer, feed);
        self.pump_feeds(now, out);
    }

    /// The stream to a satellite began anew: it is fed again from where it said it stood; if it
    /// stands elsewhere by now, it attaches again.
    pub(crate) fn on_satellite_reset<O: Outbox>(&mut self, now: Now, peer: PeerId, out: &mut O) {
        if let Some(feed) = self.feeds.by_peer.get_mut(&peer) {
            feed.queued.clear();
            (feed.sent, feed.policy, feed.seats) = (None, 0, 0);
        }
        self.give_up_shards(now, peer, out);
    }

    /// There is room on a stream again.
    pub(crate) fn on_writable<O: Outbox>(&mut self, now: Now, key: Key, out: &mut O) {
        if key.lane == LANE_FABRIC {
            self.pump_feeds(now, out);
        }
    }

    /// The member list has changed: satellites hear it, and orders lose the dead.
    pub(crate) fn on_view<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let counts = self.machine.membership.members().len();
        out.gauge(Counter::MembersKnown, counts as u64);
        if self.is_settled() {
            self.pump_feeds(now, out);
            self.bury_in_orders(now, out);
        }
    }

    /// Brings every attached satellite as far as its stream takes it.
    pub(crate) fn pump_feeds<O: Outbox>(&mut self, now: Now, out: &mut O) {
        if !self.node.is_settled() {
            return;
        }
        let mut feeds = std::mem::take(&mut self.feeds.by_peer);
        // Most satellites stand at the same view.
        let mut made: Option<(View, VecDeque<Vec<u8>>)> = None;
        for (peer, feed) in &mut feeds {
            let view = self.machine.membership.members().view();
            if feed.queued.is_empty() && feed.sent != Some(view) {
                let from = feed.sent.unwrap_or(feed.have);
                // A view that this replica never had cannot be continued.
                let from = if from > view { View(0) } else { from };
                feed.queued = match &made {
                    Some((start, parts)) if *start == from => parts.clone(),
                    _ => self.delta(from, view),
                };
                made = Some((from, feed.queued.clone()));
                feed.sent = Some(view);
            }
            let version = self.machine.rules.head().version;
            if feed.policy != version {
                let mut out = Encoder::default();
                out.frame(&self.machine.rules.policy());
                feed.queued.push_back(out.finish());
                feed.policy = version;
            }
            if feed.seats != self.machine.replicas.version() {
                feed.queued.push_back(self.replicas_part());
                feed.seats = self.machine.replicas.version();
            }
            let key = Key { peer: *peer, lane: LANE_FABRIC };
            while let Some(part) = feed.queued.front() {
                if self.streams.send_bytes(now.at, key, part, out).is_err() {
                    break;
                }
                feed.queued.pop_front();
            }
        }
        self.feeds.by_peer = feeds;
    }

    /// The messages that lead from one view to another.
    fn delta(&self, from: View, to: View) -> VecDeque<Vec<u8>> {
        let mut chunks = vec![Vec::new()];
        for entry in self.machine.membership.members().changed_since(from) {
            let mut one = Encoder::default();
            one.frame(&entry.as_member());
            let bytes = one.finish();
            match chunks.last_mut() {
                Some(chunk) if chunk.len() + bytes.len() <= PART_MAX => chunk.extend(bytes),
                _ => chunks.push(bytes),
            }
        }
        let last = chunks.len() - 1;
        let part = |(at, members): (usize, Vec<u8>)| {
            let head = ViewDeltaHead {
                from,
                to,
                term: self.node.term(),
                roster: self.machine.membership.roster(),
                leader: self.config.peer(),
                more: u8::from(at < last),
                reserved: [0; 3],
            };
            let mut out = Encoder::default();
            out.frame(&ViewDelta { head, members: &members });
            out.finish()
        };
        chunks.into_iter().enumerate().map(part).collect()
    }

    /// Answers a batch: from memory when it was applied, else with why not.
    pub(crate) fn answer_batch<O: Outbox>(
        &mut self,
        now: Now,
        peer: PeerId,
        boot: Boot,
        seq: u64,
        status: u8,
        out: &mut O,
    ) {
        let applied = status == BatchAck::COMMITTED;
        if applied && !self.node.is_leader() {
            return;
        }
        let answer = self.machine.sessions.answer(peer, boot, seq).filter(|_| applied);
        let free = QUEUE_MAX.saturating_sub(self.machine.events.queue_len());
        let head = BatchAckHead {
            seq,
            boot,
            term: self.node.term(),
            index: answer.map_or(0, |answer| answer.index),
            leader: self.leader_hint(),
            credit: u32::try_from(free).unwrap_or(u32::MAX),
            status,
            reserved: [0; 7],
        };
        let results = answer.map_or(&[][..], |answer| &answer.results);
        let ack = BatchAck { head, results: List::new(results) };
        let key = Key { peer, lane: LANE_FABRIC };
        // No room, or no stream: the satellite sends the batch again and is answered then.
        let _ = self.streams.send(now.at, key, &ack, out);
    }

    /// Anybody asks who serves here.
    pub(crate) fn on_roster_ask<O: Outbox>(&self, from: &syncom_seam::Origin, out: &mut O) {
        let entries = self.roster_entries();
        let total = u16::try_from(entries.len()).unwrap_or(u16::MAX);
        for (at, part) in entries.chunks(Roster::PER_FRAME).enumerate() {
            let head = RosterHead {
                epoch: self.machine.membership.roster(),
                term: self.node.term(),
                total,
                first: u16::try_from(at * Roster::PER_FRAME).unwrap_or(u16::MAX),
                leader: self.node.leader(),
            };
            out.send(from.addr, &Roster { head, entries: List::new(part) });
        }
    }

    /// A roster of the replicas alone, for satellites, which know each other from the view.
    fn replicas_part(&self) -> Vec<u8> {
        let replicas = self.replica_addrs().into_iter();
        let entries: Vec<RosterEntry> =
            replicas.map(|(peer, addr)| RosterEntry::serving(peer, addr, 0)).collect();
        let head = RosterHead {
            epoch: self.machine.membership.roster(),
            term: self.node.term(),
            total: u16::try_from(entries.len()).unwrap_or(u16::MAX),
            first: 0,
            leader: self.node.leader(),
        };
        let mut out = Encoder::default();
        out.frame(&Roster { head, entries: List::new(&entries) });
        out.finish()
    }

    fn roster_entries(&self) -> Vec<RosterEntry> {
        let serving = RosterEntry::serving;
        let members = self.machine.membership.members();
        let satellites = members
            .satellites_serving()
            .map(|entry| serving(entry.head.peer, entry.head.addr, entry.head.weight));
        let replicas = self.replica_addrs();
        satellites.chain(replicas.into_iter().map(|(peer, addr)| serving(peer, addr, 0))).collect()
    }
}
