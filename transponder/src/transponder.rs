//! The role itself: its state, its timers, and when what is done.

use crate::arrivals::Arrivals;
use crate::atlas::Atlas;
use crate::config::TransponderConfig;
use crate::downlink::shards::Shards;
use crate::entry::Gate;
use crate::feed::{self, Feed};
use crate::fellows::Fellows;
use crate::homes::Homes;
use crate::neighbours::Pushes;
use crate::stats::Stats;
use crate::uplink::batch::{Batches, Tag};
use crate::uplink::combine::Combiner;
use crate::uplink::suspects::Suspects;
use crate::uplink::suspicion::Sight;
use crate::world::World;
use alloc::sync::Arc;
use alloc::vec::Vec;
use syncom_seam::{Done, MS, Now, Origin, Outbox, Rng, Role, SECOND, Time, Timer};
use syncom_stream::{Config, Streams};
use syncom_wire::announced::Announced;
use syncom_wire::join::{Join, JoinHead, Leave};
use syncom_wire::{Addr, Frame, Slot, View};

/// Timer: something is under way; every few ms, only while that is so.
const TICK: u16 = 1;
/// Timer: heartbeats to replicas and sweeps; always.
const SLOW: u16 = 2;
/// Timer: the open batch is old enough.
const BATCH: u16 = 3;
/// Timer: orders have something to repeat or to tell.
const ORDERS: u16 = 4;

/// Pause between two ticks, in ns; with thousands of cases a little more, with a short interval less.
const TICK_NS: u64 = 5 * MS;
/// Ticks of an interval at most: what a tick adds to a verdict is little beside it.
const TICKS_PER_INTERVAL: u64 = 50;
/// Cases that lengthen the pause by another [`TICK_NS`].
const CASES_PER_TICK: usize = 500;
/// Least pause between two looks at orders, in ns.
const ORDERS_NS: u64 = MS / 2;
/// Streams of a satellite: a few lanes to each replica.
const STREAMS_MAX: usize = 32;
/// Pause before this satellite asks to be a member again, in ns.
const JOIN_PAUSE_NS: u64 = SECOND;

/// A satellite.
///
/// Pure, as every [`Role`]. It needs frames of agents (heartbeats, reports, receipts, joins), of
/// replicas (answers and the streams of the fabric lane), and asks for nothing but datagrams and
/// timers. It tells [`syncom_seam::Notice::Ready`] when it holds its first view, and
/// [`syncom_seam::Notice::Fatal`] when the station refuses it.
#[derive(Debug)]
pub struct Transponder {
    pub(crate) config: TransponderConfig,
    pub(crate) rng: Rng,
    pub(crate) streams: Streams,
    pub(crate) feed: Feed,
    pub(crate) world: World,
    pub(crate) homes: Homes,
    pub(crate) fellows: Fellows,
    pub(crate) pushes: Pushes,
    pub(crate) gate: Gate,
    pub(crate) suspects: Suspects,
    /// Reports of this burst that are for the combiner.
    pub(crate) arrivals: Arrivals,
    pub(crate) combiner: Combiner,
    pub(crate) batches: Batches,
    pub(crate) shards: Shards,
    pub(crate) stats: Stats,
    /// What a stream delivered last; its room is used again.
    pub(crate) message: Vec<u8>,
    pub(crate) is_ready: bool,
    pub(crate) is_leaving: bool,
    /// Frames in this second, and in the last one.
    pub(crate) frames: u32,
    load: u32,
    load_since: Time,
    last_slow: Time,
    join_sent: Option<Time>,
    is_tick_armed: bool,
    is_batch_armed: bool,
    /// When orders are looked at, and the generation of the timer that does it.
    orders_at: (Time, u32),
}

impl Transponder {
    /// A satellite that has not started yet. The configuration must be valid
    /// ([`TransponderConfig::validate`]).
    #[must_use]
    pub fn new(config: TransponderConfig) -> Self {
        let me = config.peer();
        let streams = Streams::new(Config { streams_max: STREAMS_MAX, ..Config::default() });
        Self {
            rng: Rng::new(config.rng_seed),
            streams,
            feed: Feed::new(&config),
            world: World::new(me),
            homes: Homes::default(),
            fellows: Fellows::default(),
            pushes: Pushes::default(),
            gate: Gate::new(config.joins_max),
            suspects: Suspects::new(config.evidence_max),
            arrivals: Arrivals::default(),
            combiner: Combiner::new(config.combine_max),
            batches: Batches::new(me, config.boot),
            shards: Shards::new(),
            stats: Stats::new(me),
            message: Vec::new(),
            is_ready: false,
            is_leaving: false,
            frames: 0,
            load: 0,
            load_since: Time(0),
            last_slow: Time(0),
            join_sent: None,
            is_tick_armed: false,
            is_batch_armed: false,
            orders_at: (Time::NEVER, 0),
            config,
        }
    }

    /// Goes in good order: tells the station in a last batch, and every node that asks. The driver
    /// ends the process a moment later.
    pub fn leave<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.is_leaving = true;
        let Some(me) = self.world.members().satellite(self.config.number) else { return };
        let leave = Leave {
            uuid: self.config.uuid,
            boot: self.config.boot,
            slot: Slot::NONE,
            incarnation: me.head.incarnation,
        };
        // Without room the station will find it dead: the same end, a second later.
        let _ = self.batches.push(now.at, &leave, Tag::Leave);
        self.flush(now, out);
    }

    /// The view that this satellite holds.
    #[must_use]
    pub fn view(&self) -> View {
        self.world.view()
    }

    /// What follows from the view alone, to be offered to other satellites in the same memory.
    #[must_use]
    pub const fn atlas(&self) -> &Arc<Atlas> {
        self.world.atlas()
    }

    /// Says that another satellite has made this atlas: when the view leads here, too, it is shared
    /// and not made again. An atlas that does not fit changes nothing.
    pub fn offer(&mut self, atlas: Arc<Atlas>) {
        self.world.offer(atlas);
    }

    /// Whether the view holds this life of this satellite.
    pub(crate) fn is_member(&self) -> bool {
        self.world
            .members()
            .satellite(self.config.number)
            .is_some_and(|entry| entry.is_present() && entry.head.boot == self.config.boot)
    }

    /// Asks to be a member, while it is none.
    pub(crate) fn join(&mut self, now: Time) {
        let waits = self.join_sent.is_some_and(|sent| now.since(sent) < JOIN_PAUSE_NS);
        if self.is_leaving || waits || self.is_member() || self.batches.holds(Tag::Own) {
            return;
        }
        let head = JoinHead {
            uuid: self.config.uuid,
            boot: self.config.boot,
            pid: self.config.pid,
            role: Join::SATELLITE,
            reserved: 0,
            addr: self.config.listen,
            weight: self.config.weight,
            number: self.config.number,
            spare: 0,
        };
        let (name, domain) = (&self.config.name, &self.config.domain);
        let join = Join { head, name, domain, services: Announced::NONE };
        if self.batches.push(now, &join, Tag::Own).is_ok() {
            self.join_sent = Some(now);
        }
    }

    /// Seals and sends batches as far as they may go.
    pub(crate) fn flush<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.batches.flush(now.at, self.feed.leader(), &mut self.streams, out);
    }

    fn on_tick<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.note_cut(now.at, out);
        self.judge(now, out);
        let Self { world, homes, batches, config, .. } = self;
        let population = (world.population(), world.domains());
        self.combiner.on_tick(now.at, &config.policies, population, batches, out);
        self.pushes.on_tick(now.at, world, homes, out);
        self.flush(now, out);
    }

    /// Judges the accused, and tells the station of how many it has not made up its mind.
    fn judge<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let Self { world, homes, rng, suspects, batches, config, .. } = self;
        if suspects.len() > 0 {
            let sight = Sight { now, world, homes, profile: &config.profile };
            let is_asked = suspects.judge_all(&sight, rng, batches, out);
            self.feed.ask_leader(now.at, is_asked, out);
        }
        let Some(leader) = self.feed.leader() else { return self.stats.on_no_leader() };
        let undecided = self.suspects.undecided();
        self.stats.on_undecided(now.at, undecided, leader, &mut self.streams, out);
    }

    /// Whoever was cut off asks all the accused anew, and listens for a while before it counts its own
    /// silence: what they did not answer, nobody could have heard. A moment without answers is no cut.
    fn note_cut<O: Outbox>(&mut self, now: Time, out: &mut O) {
        let is_cut_off = !self.feed.is_heard(now);
        match (self.suspects.cut_since(), is_cut_off) {
            (None, true) => {
                let Self { batches, suspects, .. } = self;
                // Streams keep what they were given: it would arrive after all.
                if batches.withdraw(|slot, life, was| suspects.on_withdrawn(slot, life, was)) {
                    self.feed.let_go(&mut self.streams, out);
                }
            }
            (Some(since), false) => {
                if now.since(since) >= self.config.profile.home_interval_ns {
                    self.rest(now);
                }
            }
            (None, false) | (Some(_), true) => return,
        }
        self.suspects.ask_anew(is_cut_off.then_some(now));
    }

    pub(crate) fn deliver<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let Self { world, homes, rng, streams, shards, feed, .. } = self;
        shards.on_tick((now.at, world, homes), rng, feed.leader(), streams, out);
    }

    fn on_slow_tick<O: Outbox>(&mut self, now: Now, out: &mut O) {
        out.arm(Timer { kind: SLOW, generation: 0, key: 0 }, now.at.after(feed::INTERVAL_NS));
        let gap_ns = now.at.since(self.last_slow);
        if self.last_slow > Time(0) && gap_ns > feed::INTERVAL_NS + self.config.profile.interval_ns
        {
            self.on_pause(now.at, out);
        }
        self.last_slow = now.at;
        self.note_cut(now.at, out);
        if now.at.since(self.load_since) >= SECOND {
            (self.load, self.frames, self.load_since) = (self.frames, 0, now.at);
        }
        let beat = self.feed.on_slow_tick(now, self.load, &self.world, &mut self.streams, out);
        if let Some(beat) = beat {
            self.show_itself(&beat, out);
        }
        if let Some(leader) = self.feed.leader() {
            self.join(now.at);
            let Self { stats, world, homes, streams, suspects, .. } = self;
            let told = (leader, suspects.undecided());
            stats.on_slow_tick(now.at, told, world, homes, streams, out);
        }
        self.gate.sweep(now.at);
        self.combiner.sweep(now.at);
        self.keep_vigil(now, out);
    }

    /// This process stood still: its own silence from nodes proves nothing for a while.
    fn on_pause<O: Outbox>(&mut self, now: Time, out: &mut O) {
        out.count(syncom_seam::Counter::Pauses, 1);
        self.rest(now);
    }

    /// Own silence counts again only after three intervals of listening.
    pub(crate) fn rest(&mut self, now: Time) {
        self.homes.set_mature(now.after(3 * self.config.profile.home_interval_ns));
    }

    fn is_busy(&self) -> bool {
        self.suspects.len() > 0
            || self.stats.is_awaited()
            || self.combiner.is_busy()
            || self.batches.is_busy()
            || self.pushes.is_busy()
    }

    fn arm_timers<O: Outbox>(&mut self, now: Time, out: &mut O) {
        if !self.is_tick_armed && self.is_busy() {
            self.is_tick_armed = true;
            let more = u64::try_from(self.suspects.len() / CASES_PER_TICK).unwrap_or(0);
            let tick_ns = (self.config.profile.interval_ns / TICKS_PER_INTERVAL).clamp(MS, TICK_NS);
            let at = now.after(tick_ns * (1 + more));
            out.arm(Timer { kind: TICK, generation: 0, key: 0 }, at);
        }
        if !self.is_batch_armed
            && let Some(due) = self.batches.due()
        {
            self.is_batch_armed = true;
            out.arm(Timer { kind: BATCH, generation: 0, key: 0 }, due.max(now));
        }
        if let Some(due) = self.shards.next_moment() {
            let due = due.max(now.after(ORDERS_NS));
            let (at, generation) = &mut self.orders_at;
            if due < *at {
                (*at, *generation) = (due, generation.wrapping_add(1));
                out.arm(Timer { kind: ORDERS, generation: *generation, key: 0 }, due);
            }
        }
    }
}

impl Role for Transponder {
    fn on_start<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.load_since = now.at;
        self.on_slow_tick(now, out);
    }

    fn on_frame<O: Outbox>(&mut self, now: Now, from: &Origin, frame: &Frame<'_>, out: &mut O) {
        self.frames = self.frames.saturating_add(1);
        if !matches!(frame, Frame::Report(_)) {
            self.take_in(out);
        }
        self.dispatch(now, from, frame, out);
    }

    fn on_front<O: Outbox>(
        &mut self,
        now: Now,
        from: &Origin,
        frames: &[u8],
        out: &mut O,
    ) -> (usize, u64) {
        self.on_reports(now, from, frames, out)
    }

    fn on_timer<O: Outbox>(&mut self, now: Now, timer: Timer, out: &mut O) {
        self.take_in(out);
        match timer.kind {
            TICK => {
                self.is_tick_armed = false;
                self.on_tick(now, out);
            }
            SLOW => self.on_slow_tick(now, out),
            ORDERS if timer.generation == self.orders_at.1 => {
                self.orders_at.0 = Time::NEVER;
                self.deliver(now, out);
            }
            ORDERS => {}
            BATCH => {
                self.is_batch_armed = false;
                self.flush(now, out);
            }
            _ => {
                if self.streams.on_timer(now.at, timer, out) {
                    self.drain(now, out);
                }
            }
        }
    }

    fn on_done<O: Outbox>(&mut self, _: Now, done: Done, _: &mut O) {
        // A satellite asks for neither disk nor children.
        debug_assert!(false, "nobody asked for {done:?}");
    }

    fn on_returned<O: Outbox>(&mut self, _now: Now, to: Addr, frame: &Frame<'_>, out: &mut O) {
        if let Frame::Probe(probe) = frame {
            self.on_probe_returned(to, probe, out);
        }
    }

    fn on_burst_end<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.take_in(out);
        if self.shards.has_news() {
            self.deliver(now, out);
        }
        self.flush(now, out);
        self.streams.on_burst_end(now.at, out);
        self.arm_timers(now.at, out);
    }
}
