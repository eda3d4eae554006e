//! Asking a subject that speaks to its observers in turn, before anything is said of it.
//!
//! When all observers hear a node at once, each can tell by itself that it fell silent. When they hear
//! it in turn, one is the first to miss it, and the others are on call: a home that is told of it asks
//! them, and each asks the node itself. It says at once when it heard it last, and then, that it hears
//! it, as soon as there is an answer; or it accuses it when there is none. What follows is the same for
//! both kinds.

use crate::node::Node;
use crate::observing::Observing;
use crate::watched::{Claim, Watched};
use syncom_seam::{Counter, MS, Now, Outbox, Time};
use syncom_wire::probe::{Probe, ProbeAnswer};
use syncom_wire::{Addr, Incarnation, Slot};

/// Who hears nobody shows itself this often, in ns.
const OUTCRY_NS: u64 = 250 * MS;

impl Observing {
    /// Asks those who have missed their turn, and goes on asking those who have not answered yet.
    pub(crate) fn ask_due<O: Outbox>(&mut self, now: Now, node: &mut Node, out: &mut O) {
        let may_ask = self.may_accuse(now.at, node);
        for at in 0..self.watched.len() {
            let Some(watched) = self.watched.get_mut(at) else { return };
            if may_ask && watched.is_doubted(node, now.at) {
                watched.question.begin(now.at, node.rng.next_u64(), trip_ns(node));
            }
            if watched.claim == Claim::Settled {
                continue;
            }
            let was_asked = watched.question.is_asked();
            ask(watched, now.at, out);
            if was_asked && watched.question.is_in_vain() {
                self.tell_homes(at, now, node, out);
            }
        }
    }

    /// A home asks about a subject that others accuse. One that speaks in turn is asked first.
    pub(crate) fn on_asked<O: Outbox>(
        &mut self,
        now: Now,
        home: Addr,
        (slot, incarnation): (Slot, Incarnation),
        node: &mut Node,
        out: &mut O,
    ) {
        let mine = |one: &Watched| one.slot == slot && one.incarnation == incarnation;
        let Some(at) = self.watched.iter().position(mine) else { return };
        let Some(watched) = self.watched.get_mut(at) else { return };
        let is_asked = watched.is_in_turn && watched.claim != Claim::Settled;
        if is_asked && !watched.question.is_fresh(now.at) {
            watched.question.call(now.at, home, node.rng.next_u64(), trip_ns(node));
            ask(watched, now.at, out);
            self.arm(now.at, node, out);
        }
        // Whoever says nothing would be taken for one who cannot.
        self.tell_home(now, home, at, node, out);
    }

    /// A subject answers.
    pub(crate) fn on_answer<O: Outbox>(
        &mut self,
        now: Now,
        heard: Time,
        answer: &ProbeAnswer,
        node: &mut Node,
        out: &mut O,
    ) {
        let Some(at) = self.watched.iter().position(|one| one.slot == answer.slot) else { return };
        let Some(watched) = self.watched.get_mut(at) else { return };
        if answer.incarnation < watched.incarnation
            || !watched.question.on_answer(answer.nonce, heard)
        {
            return;
        }
        let (seq, interval_ns) = (watched.arrival.seq(), watched.arrival.interval_ns());
        watched.arrival.on_word(seq, interval_ns, heard);
        if let Claim::Accused { seq, .. } = watched.claim {
            out.count(Counter::Retractions, 1);
            watched.claim = Claim::Retracting { seq, heard_by: None, repeats: 0, next: now.at };
            if let Some(identity) = node.identity {
                self.speak(at, identity, now, node, out);
            }
        }
        self.tell_homes(at, now, node, out);
        self.arm(now.at, node, out);
    }

    /// Somebody among the agents was heard.
    pub(crate) fn on_peer(&mut self, heard: Time) {
        self.peer_heard = self.peer_heard.max(heard);
    }

    /// When a node that speaks in turn is to show itself to all who may ask it something that it cannot
    /// hear; [`Time::NEVER`] as long as it hears anybody.
    pub(crate) fn outcry(&self, node: &Node) -> Time {
        if !node.pace.is_in_turn() {
            return Time::NEVER;
        }
        let heard = self.peer_heard.max(node.homes.heard());
        if heard < self.alone_since {
            return self.outcry_next;
        }
        let at = self.watched.iter().map(|watched| watched.question.is_mine_at(heard)).min();
        at.map_or(Time::NEVER, |at| at.max(self.outcry_next))
    }

    /// It hears nobody, and will have forgotten after a pause whom it asked in vain.
    pub(crate) const fn note_alone(&mut self, now: Time) {
        self.alone_since = now;
    }

    /// Whether it has not shown itself to all a moment ago.
    pub(crate) fn may_cry_out(&self, now: Time) -> bool {
        now >= self.outcry_next
    }

    /// It shows itself now.
    pub(crate) fn note_outcry(&mut self, now: Time) {
        self.outcry_next = now.after(OUTCRY_NS);
    }

    /// Tells the homes that have asked what came of it.
    pub(crate) fn tell_homes<O: Outbox>(&mut self, at: usize, now: Now, node: &Node, out: &mut O) {
        let Some(watched) = self.watched.get_mut(at) else { return };
        for home in watched.question.take_homes() {
            self.tell_home(now, home, at, node, out);
        }
    }
}

/// What a round trip to a subject may take, in ns: four times what the one to the farther home takes.
pub(crate) fn trip_ns(node: &Node) -> u64 {
    4 * node.homes.srtt_max_ns()
}

/// Asks a subject when it is time to.
fn ask<O: Outbox>(watched: &mut Watched, now: Time, out: &mut O) {
    if let Some(nonce) = watched.question.next(now) {
        let (slot, incarnation) = (watched.slot, watched.incarnation);
        out.send(watched.addr, &Probe { nonce, slot, incarnation, accusers: 0, reserved: 0 });
        out.count(Counter::ProbesSent, 1);
    }
}
