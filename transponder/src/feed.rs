//! Who leads the station, and what it feeds.
//!
//! Heartbeats go to all replicas and only the leader answers, so whoever answered with the highest
//! term leads. It is asked to feed ([`Attach`]) and sends the view, part by part, and every change
//! of it.

use crate::config::TransponderConfig;
use crate::world::World;
use alloc::vec::Vec;
use syncom_group::RoundTrip;
use syncom_seam::{MS, Now, Origin, Outbox, SECOND, Time, US};
use syncom_stream::{Key, Streams};
use syncom_wire::heartbeat::{Heartbeat, HomeAnswer};
use syncom_wire::limits::REPLICAS_MAX;
use syncom_wire::member::{Attach, ViewDelta};
use syncom_wire::probe::Probe;
use syncom_wire::roster::{Roster, RosterAsk};
use syncom_wire::{Addr, Boot, PeerId, Role, Term, View};

/// The lane of satellites and station.
pub(crate) const LANE: u8 = 1;
/// Shortest interval of heartbeats to replicas and other satellites, in ns.
pub(crate) const INTERVAL_NS: u64 = 200 * MS;
/// Longest, in ns: where nodes speak rarely, a satellite does, too.
const INTERVAL_MAX_NS: u64 = 3 * INTERVAL_NS;
/// Answers of the leader that may be missed by somebody who is not cut off.
const MISSES: u64 = 3;
/// The leader is asked whether it leads still not more often than this, in ns.
pub(crate) const ASK_NS: u64 = 20 * MS;
/// How long a leader may hold a newer view back before it is asked again, in ns.
const FEED_PATIENCE_NS: u64 = SECOND;

/// What part of a view did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    /// It does not fit; the leader was asked again.
    Refused,
    /// More parts follow.
    Partly,
    /// The view has moved.
    Moved,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Feed {
    me: PeerId,
    boot: Boot,
    replicas: Vec<(PeerId, Addr)>,
    leader: Option<Key>,
    term: Term,
    rtt: RoundTrip,
    seq: u64,
    /// Interval of heartbeats, in ns, and when the next is due.
    interval_ns: u64,
    due: Time,
    /// When the leader was last asked to feed.
    asked: Time,
    /// The newest view that the leader named.
    named: View,
    /// When a leader answered last.
    answered: Time,
    /// When the leader was last asked whether it leads still, and whether it is to be asked again.
    probed: Time,
    is_probe_due: bool,
}

impl Feed {
    pub(crate) fn new(config: &TransponderConfig) -> Self {
        Self {
            me: config.peer(),
            boot: config.boot,
            replicas: config.replicas.clone(),
            leader: None,
            term: Term(0),
            rtt: RoundTrip::new(),
            seq: 0,
            interval_ns: config.profile.interval_ns.clamp(INTERVAL_NS, INTERVAL_MAX_NS),
            due: Time(0),
            asked: Time(0),
            named: View(0),
            answered: Time(0),
            probed: Time(0),
            is_probe_due: false,
        }
    }

    /// The stream to the leader, when there is one.
    pub(crate) const fn leader(&self) -> Option<Key> {
        self.leader
    }

    /// Whether a leader answers, which it does only while a majority follows it. Who hears none may be
    /// cut off with a minority, and concludes nothing.
    pub(crate) fn is_heard(&self, now: Time) -> bool {
        self.leader.is_some() && now.since(self.answered) <= MISSES * self.interval_ns
    }

    /// Whether a frame from `peer` comes from who leads.
    pub(crate) fn is_leader(&self, peer: PeerId) -> bool {
        self.leader.is_some_and(|key| key.peer == peer)
    }

    /// Asks the leader whether it leads still, as of now: it answers when a majority has confirmed it.
    /// That proves every round that began before, so one question serves all that are due in
    /// [`ASK_NS`]; `is_wanted` when another is.
    pub(crate) fn ask_leader<O: Outbox>(&mut self, now: Time, is_wanted: bool, out: &mut O) {
        self.is_probe_due |= is_wanted;
        if !self.is_probe_due || now.since(self.probed) < ASK_NS {
            return;
        }
        (self.probed, self.is_probe_due) = (now, false);
        let leader = self.replicas.iter().find(|(peer, _)| self.is_leader(*peer));
        if let Some((_, addr)) = leader {
            out.send(*addr, &Probe::of_leader(now.0));
        }
    }

    fn next_beat(&mut self, now: Time, load: u32) -> Heartbeat {
        (self.seq, self.due) = (self.seq + 1, now.after(self.interval_ns));
        let interval_us = u32::try_from(self.interval_ns / US).unwrap_or(u32::MAX);
        Heartbeat {
            progress: u32::try_from(self.seq & u64::from(u32::MAX)).unwrap_or(0),
            rtt_us: self.rtt.srtt_us(),
            load,
            ..Heartbeat::of_satellite(self.seq, interval_us, now.0)
        }
    }

    /// Tells all replicas that this satellite lives, and how, when it is time to, and returns what others are
    /// to be told, too; asks again for a view that is overdue.
    pub(crate) fn on_slow_tick<O: Outbox>(
        &mut self,
        now: Now,
        load: u32,
        world: &World,
        streams: &mut Streams,
        out: &mut O,
    ) -> Option<Heartbeat> {
        // To the nearest tick.
        let is_due = self.due <= now.at.after(INTERVAL_NS / 2);
        let beat = is_due.then(|| self.next_beat(now.at, load));
        if let Some(beat) = &beat {
            self.replicas.iter().for_each(|(_, addr)| out.send(*addr, beat));
        }
        if now.at.since(self.answered) >= FEED_PATIENCE_NS {
            // Perhaps one leads whom nobody has told this satellite of.
            for (_, addr) in &self.replicas {
                out.send(*addr, &RosterAsk { have: 0, reserved: 0 });
            }
        }
        let behind = !world.is_whole() || self.named > world.view();
        if behind && now.at.since(self.asked) >= FEED_PATIENCE_NS {
            self.attach(now.at, world.view(), streams, out);
        }
        beat
    }

    /// Takes a replica's answer; whether another replica, or the same in a new term, leads now.
    pub(crate) fn on_home_answer<O: Outbox>(
        &mut self,
        now: Now,
        from: &Origin,
        answer: &HomeAnswer,
        world: &World,
        streams: &mut Streams,
        out: &mut O,
    ) -> bool {
        if !self.replicas.iter().any(|(peer, _)| *peer == from.peer) || answer.term < self.term {
            return false;
        }
        if answer.echo_ns != 0 {
            let round_trip_ns = from.heard.since(Time(answer.echo_ns));
            self.rtt.sample(round_trip_ns.saturating_sub(u64::from(answer.hold_us) * US).max(1));
        }
        self.answered = now.at;
        let is_new = answer.term > self.term || !self.is_leader(from.peer);
        self.term = answer.term;
        if is_new {
            self.named = answer.view;
            return self.follow(now.at, from.peer, world.view(), streams, out);
        }
        self.named = self.named.max(answer.view);
        false
    }

    /// The leader says who the replicas are: the list as a whole.
    pub(crate) fn set_replicas(&mut self, roster: &Roster<'_>) {
        let replicas = stations(roster);
        if !replicas.is_empty() {
            self.replicas = replicas;
        }
    }

    /// A replica says, perhaps in parts, who the replicas are: those that are new here are heard of.
    pub(crate) fn add_replicas(&mut self, roster: &Roster<'_>) {
        for (peer, addr) in stations(roster) {
            let known = self.replicas.iter().any(|(one, _)| *one == peer);
            if !known && self.replicas.len() < 2 * REPLICAS_MAX {
                self.replicas.push((peer, addr));
            }
        }
    }

    /// The replicas, and where they listen.
    pub(crate) fn replicas(&self) -> impl Iterator<Item = (PeerId, Addr)> {
        self.replicas.iter().copied()
    }

    /// Forgets what is on its way to any replica; the next answer of a leader finds a new stream.
    pub(crate) fn let_go<O: Outbox>(&mut self, streams: &mut Streams, out: &mut O) {
        self.leader = None;
        self.replicas.iter().for_each(|(peer, _)| streams.close(*peer, out));
    }

    fn follow<O: Outbox>(
        &mut self,
        now: Time,
        peer: PeerId,
        have: View,
        streams: &mut Streams,
        out: &mut O,
    ) -> bool {
        let addr = self.replicas.iter().find(|(one, _)| *one == peer).map(|(_, addr)| *addr);
        self.leader = addr.and_then(|addr| streams.connect(peer, addr, LANE).ok());
        self.attach(now, have, streams, out);
        self.leader.is_some()
    }

    /// Asks the leader to feed from the view that is held.
    pub(crate) fn attach<O: Outbox>(
        &mut self,
        now: Time,
        have: View,
        streams: &mut Streams,
        out: &mut O,
    ) {
        let Some(leader) = self.leader else { return };
        self.asked = now;
        let attach = Attach { peer: self.me, reserved: 0, boot: self.boot, have };
        // A refusal is made good by the slow tick, which asks again while a view is missing.
        let _ = streams.send(now, leader, &attach, out);
    }

    /// Takes a part of a view into the world.
    pub(crate) fn on_delta<O: Outbox>(
        &mut self,
        now: Time,
        delta: &ViewDelta<'_>,
        world: &mut World,
        streams: &mut Streams,
        out: &mut O,
    ) -> Fed {
        let head = &delta.head;
        if head.from == View(0) && world.view() != View(0) {
            world.begin();
        }
        if head.from != world.view() || head.to < head.from {
            world.drop_parts();
            self.attach(now, world.view(), streams, out);
            return Fed::Refused;
        }
        world.take(delta);
        if head.more != 0 {
            // It is being fed: asking again would begin anew.
            self.asked = now;
            return Fed::Partly;
        }
        world.complete(now, head, self.replicas.iter().copied());
        Fed::Moved
    }
}

fn stations(roster: &Roster<'_>) -> Vec<(PeerId, Addr)> {
    let all = roster.entries.iter().filter(|entry| entry.peer.role() == Role::Station);
    all.map(|entry| (entry.peer, entry.addr)).take(REPLICAS_MAX).collect()
}
