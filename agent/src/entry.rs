//! The port of entry: from a few addresses to a place in the member list.
//!
//! An agent asks its seeds, one after the other, who serves here; asks the satellites, one after
//! the other, to be taken in; and begins anew when nobody answers. Everything is a question that can
//! be repeated, so a lost datagram costs a moment and nothing else.

use crate::node::{Identity, Node};
use crate::state::{Event, State};
use crate::timers::TimerKind;
use syncom_group::Applied;
use syncom_seam::{MS, Notice, Now, Outbox, SECOND, Time};
use syncom_wire::ids::hash;
use syncom_wire::join::{Join, JoinHead, JoinRefused, Leave, Welcome};
use syncom_wire::roster::{Roster, RosterAsk};
use syncom_wire::{Addr, PeerId, Subject};

/// First wait for a roster, in ns; it doubles.
const ASK_FIRST_NS: u64 = 200 * MS;
/// Longest wait for a roster, in ns.
const ASK_MAX_NS: u64 = SECOND;
/// Wait for a welcome before the next satellite is asked, in ns.
const JOIN_NS: u64 = 300 * MS;
/// How often a leave is said; nobody answers it.
const LEAVES: u32 = 3;
/// Time between two leaves, in ns.
const LEAVE_NS: u64 = 50 * MS;

/// Asking, joining, leaving.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) state: State,
    /// Questions asked of seeds so far: says whose turn it is.
    asked: usize,
    ask_ns: u64,
    /// Satellites tried, or leaves said, in this state.
    tries: u32,
}

/// What an answer at the port of entry led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// Nothing that others need to know.
    Nothing,
    /// The satellites may be others now.
    Roster,
    /// The node is a member, in a life that it did not have before.
    NewLife,
}

impl Entry {
    pub(crate) const fn new() -> Self {
        Self { state: State::Seeking, asked: 0, ask_ns: ASK_FIRST_NS, tries: 0 }
    }

    pub(crate) fn start<O: Outbox>(&mut self, now: Now, node: &mut Node, out: &mut O) {
        self.on_timer(now, node, out);
    }

    /// Whatever is under way has not been answered in time.
    pub(crate) fn on_timer<O: Outbox>(&mut self, now: Now, node: &mut Node, out: &mut O) {
        match self.state {
            State::Seeking => {
                self.ask_seed(node, out);
                // Whoever did not answer may still be there, and the datagram was lost.
                self.knock(self.asked, now, node, out);
                let wait_ns = node.rng.jitter(self.ask_ns);
                self.ask_ns = (self.ask_ns * 2).min(ASK_MAX_NS);
                node.timers.set(TimerKind::Entry, now.at.after(wait_ns), out);
            }
            State::Joining => self.join(now, node, out),
            State::Leaving => self.leave(now, node, out),
            State::Member | State::Gone => {}
        }
    }

    /// Asks the next seed for the roster; seeds are one's first and last resort.
    pub(crate) fn ask_seed<O: Outbox>(&mut self, node: &Node, out: &mut O) {
        let seeds = &node.config.seeds;
        let Some(turn) = self.asked.checked_rem(seeds.len()) else { return };
        self.asked = self.asked.wrapping_add(1);
        if let Some(seed) = seeds.get(turn) {
            out.send(*seed, &RosterAsk { have: 0, reserved: 0 });
        }
    }

    pub(crate) fn on_roster<O: Outbox>(
        &mut self,
        now: Now,
        roster: &Roster<'_>,
        node: &mut Node,
        out: &mut O,
    ) -> Entered {
        let applied = node.roster.apply(roster);
        node.see_term(roster.head.term);
        if self.state == State::Seeking && !node.roster.rendezvous().is_empty() {
            self.ask_ns = ASK_FIRST_NS;
            self.enter(now, Event::Roster, node, out);
        }
        match applied {
            Applied::Replaced => Entered::Roster,
            Applied::Nothing | Applied::Leader | Applied::Partial => Entered::Nothing,
        }
    }

    pub(crate) fn on_welcome<O: Outbox>(
        &mut self,
        now: Now,
        welcome: &Welcome,
        node: &mut Node,
        out: &mut O,
    ) -> Entered {
        let is_mine = (welcome.uuid, welcome.boot) == (node.config.uuid, node.config.boot)
            && welcome.slot.is_some()
            && welcome.peer == PeerId::agent(welcome.slot);
        let is_late = node.identity.is_some_and(|old| welcome.incarnation < old.incarnation);
        if !is_mine || is_late || self.state.next(Event::Welcomed).is_none() {
            return Entered::Nothing;
        }
        self.enter(now, Event::Welcomed, node, out);
        let identity = Identity {
            slot: welcome.slot,
            incarnation: welcome.incarnation,
            domain: welcome.domain,
            view: welcome.view,
        };
        let life = |identity: Identity| (identity.slot, identity.incarnation);
        let is_new = node.identity.is_none_or(|old| life(old) != life(identity));
        node.identity = Some(identity);
        if !is_new {
            return Entered::Nothing;
        }
        out.identify(welcome.peer);
        out.notify(Notice::Ready);
        Entered::NewLife
    }

    pub(crate) fn on_refused<O: Outbox>(
        &mut self,
        now: Now,
        refused: &JoinRefused<'_>,
        node: &mut Node,
        out: &mut O,
    ) {
        let is_mine = (refused.uuid, refused.boot) == (node.config.uuid, node.config.boot);
        if is_mine && self.enter(now, Event::Refused, node, out) {
            out.notify(Notice::Fatal(refused.reason));
        }
    }

    /// Moves along `event`, if it means something here, and does what the new state begins with.
    pub(crate) fn enter<O: Outbox>(
        &mut self,
        now: Now,
        event: Event,
        node: &mut Node,
        out: &mut O,
    ) -> bool {
        let Some(next) = self.state.next(event) else { return false };
        (self.state, self.tries) = (next, 0);
        match next {
            State::Seeking | State::Joining | State::Leaving => self.on_timer(now, node, out),
            State::Member => self.ask_ns = ASK_FIRST_NS,
            State::Gone => out.notify(Notice::Gone),
        }
        true
    }

    /// Asks the next satellite to be taken in; after the last one, asks the seeds again.
    fn join<O: Outbox>(&mut self, now: Now, node: &mut Node, out: &mut O) {
        let turn = self.tries as usize;
        if turn >= node.roster.rendezvous().len() {
            self.enter(now, Event::NobodyAnswers, node, out);
            return;
        }
        self.tries += 1;
        self.knock(turn, now, node, out);
        let wait_ns = node.rng.jitter(JOIN_NS);
        node.timers.set(TimerKind::Entry, now.at.after(wait_ns), out);
    }

    /// Asks one satellite to be taken in, if any is known.
    fn knock<O: Outbox>(&self, turn: usize, now: Now, node: &Node, out: &mut O) {
        if node.roster.rendezvous().is_empty() {
            return;
        }
        let config = &node.config;
        let order = Subject(hash(&config.uuid.0));
        if let Some(addr) = node.homes.choice(order, turn, &node.roster, now.at) {
            let head = JoinHead {
                uuid: config.uuid,
                boot: config.boot,
                pid: config.pid,
                role: Join::AGENT,
                reserved: 0,
                addr: config.listen,
                weight: 0,
                number: 0,
                spare: 0,
            };
            let services = node.announcement.as_announced();
            out.send(addr, &Join { head, name: &config.name, domain: &config.domain, services });
        }
    }

    fn leave<O: Outbox>(&mut self, now: Now, node: &mut Node, out: &mut O) {
        let Some(identity) = node.identity.filter(|_| self.tries < LEAVES) else {
            self.enter(now, Event::Left, node, out);
            return;
        };
        self.tries += 1;
        let leave = Leave {
            uuid: node.config.uuid,
            boot: node.config.boot,
            slot: identity.slot,
            incarnation: identity.incarnation,
        };
        for home in node.homes.iter() {
            out.send(home.addr, &leave);
        }
        let at: Time = now.at.after(LEAVE_NS);
        node.timers.set(TimerKind::Entry, at, out);
    }
}

/// Asks one member for a roster newer than ours.
pub(crate) fn ask<O: Outbox>(to: Addr, node: &Node, out: &mut O) {
    out.send(to, &RosterAsk { have: node.roster.epoch(), reserved: 0 });
}
