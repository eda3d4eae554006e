//! The agent: one state, and whom each event is for.

use crate::config::{AgentConfig, ConfigError};
use crate::control::Control;
use crate::entry::{Entered, Entry, ask};
use crate::gone;
use crate::heartbeats::Heartbeats;
use crate::node::{Identity, Node, is_group};
use crate::observing::Observing;
use crate::orders::Orders;
use crate::probe;
use crate::reports::Reports;
use crate::services::Services;
use crate::state::{Event, State};
use crate::timers::TimerKind;
use crate::watched::Sign;
use syncom_group::{Arrival, Pace};
use syncom_seam::{Counter, Done, Loss, Now, Origin, Outbox, Role, Time, Timer};
use syncom_wire::beat::Beat;
use syncom_wire::control::Verb;
use syncom_wire::heartbeat::{Heartbeat, HomeAnswer};
use syncom_wire::neighbours::Neighbours;
use syncom_wire::probe::Probe;
use syncom_wire::report::ReportAck;
use syncom_wire::{Addr, Frame, PeerId, Slot};

/// A node's agent.
///
/// It seals as [`AgentConfig::peer`] until it is welcomed, and says so through
/// [`Outbox::identify`] when that changes. It persists nothing: after a restart it joins as a new
/// incarnation, and its callers ask again for reports that were not committed.
///
/// **Memory** is constant: sized by the limits of the seam, whatever the size of the cluster. The
/// tables take about 120 KiB, most of them untouched in a quiet life; remembered outputs of orders
/// take up to 256 KiB more, waiting reports up to 200 KiB.
///
/// **Frames** it takes: from satellites and replicas HomeAnswer, Probe, ReportAck, Welcome,
/// JoinRefused, Roster, Neighbours, Order and ReceiptAck; from agents Heartbeat, Beat, Probe and
/// ProbeAnswer; from clients Ask.
/// All others are counted as `drop_wrong_role`.
#[derive(Debug)]
pub struct Agent {
    node: Node,
    entry: Entry,
    heartbeats: Heartbeats,
    observing: Observing,
    reports: Reports,
    orders: Orders,
    services: Services,
    control: Control,
}

const _: () = assert!(size_of::<Agent>() < 2_048, "tables are on the heap, sized at the start");

impl Agent {
    /// Bytes of membership in a cluster of 100,000 nodes, with a satellite for each 1,000.
    pub const MEMBERSHIP_MAX: usize = 4_096;

    /// An agent that has not started. A configuration that breaks a rule should be refused before,
    /// by [`AgentConfig::validate`]; here, services that break one are left out.
    #[must_use]
    pub fn new(config: AgentConfig) -> Self {
        Self {
            services: Services::new(&config.name, &config.services),
            node: Node::new(config),
            entry: Entry::new(),
            heartbeats: Heartbeats::new(),
            observing: Observing::new(),
            reports: Reports::new(),
            orders: Orders::new(),
            control: Control::new(),
        }
    }

    /// The same, refusing a configuration that breaks a rule.
    ///
    /// # Errors
    /// [`ConfigError`] with the first broken rule.
    pub fn checked(config: AgentConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self::new(config))
    }

    /// Where it stands with its cluster.
    #[must_use]
    pub const fn state(&self) -> State {
        self.entry.state
    }

    /// Who it is; `None` before the first welcome.
    #[must_use]
    pub const fn identity(&self) -> Option<Identity> {
        self.node.identity
    }

    /// Bytes of membership that it holds now: its observers, its subjects, satellites and replicas.
    /// Bounded by [`Self::MEMBERSHIP_MAX`] in the largest cluster.
    #[must_use]
    pub fn membership_bytes(&self) -> usize {
        self.heartbeats.bytes() + self.observing.bytes() + self.node.roster.bytes()
    }

    /// What it expects of the node in this slot, when that is a subject of its: a simulation that does
    /// not live through calm has it live through the arrivals of that time alone
    /// ([`Arrival::relive`]).
    pub fn arrival_mut(&mut self, slot: Slot) -> Option<&mut Arrival> {
        self.observing.arrival_mut(slot)
    }

    /// Takes leave: tells observers and homes, stops services, and stops heartbeats. The driver
    /// goes on until [`Self::state`] is [`State::Gone`], some 150 ms later. Repeating it does
    /// nothing.
    pub fn leave<O: Outbox>(&mut self, now: Now, out: &mut O) {
        if self.entry.enter(now, Event::Leave, &mut self.node, out) {
            self.heartbeats.on_leave(now, &self.node, out);
            self.observing.clear();
            self.services.stop_all(now, &mut self.node, out);
        }
    }

    fn is_active(&self) -> bool {
        match self.entry.state {
            State::Seeking | State::Joining | State::Member => true,
            State::Leaving | State::Gone => false,
        }
    }

    fn on_heartbeat<O: Outbox>(&mut self, now: Now, from: &Origin, beat: &Heartbeat, out: &mut O) {
        if from.peer != PeerId::agent(beat.slot) || beat.plane != Heartbeat::PEER {
            out.count(Counter::DropRole, 1);
            return;
        }
        if beat.flags & Heartbeat::ARMED != 0 {
            self.heartbeats.on_armed(beat.slot, beat.incarnation);
            return;
        }
        if beat.flags & Heartbeat::CALL != 0 {
            self.heartbeats.on_call(now, from.addr, self.services.counts(), &self.node, out);
            return;
        }
        let heard = (from.heard, self.is_awake(now.at));
        self.observing.on_sign(now, &Sign::of(beat, from.addr), heard, &mut self.node, out);
        if beat.flags & Heartbeat::ARM != 0 && self.observing.watches(beat.slot) {
            self.heartbeats.arm(now, from.addr, &self.node, out);
        }
    }

    fn on_beat<O: Outbox>(&mut self, now: Now, from: &Origin, beat: &Beat, out: &mut O) {
        let Some(slot) = from.peer.slot() else { return out.count(Counter::DropRole, 1) };
        let heard = (from.heard, self.is_awake(now.at));
        self.observing.on_sign(
            now,
            &Sign::of_brief(slot, beat, from.addr),
            heard,
            &mut self.node,
            out,
        );
    }

    fn on_home_answer<O: Outbox>(
        &mut self,
        now: Now,
        from: &Origin,
        answer: &HomeAnswer,
        out: &mut O,
    ) {
        if !self.node.homes.on_answer(from.peer, answer, from.heard, now.at) {
            return;
        }
        self.node.see_term(answer.term);
        if answer.flags & HomeAnswer::LEAVING != 0 {
            self.choose_homes(now);
        }
        if answer.roster > self.node.roster.epoch() {
            ask(from.addr, &self.node, out);
        }
        if self.node.homes.is_unknown() {
            self.node.homes.forget_unknown();
            self.entry.enter(now, Event::Unknown, &mut self.node, out);
        }
    }

    fn on_neighbours<O: Outbox>(&mut self, now: Now, set: &Neighbours<'_>, out: &mut O) {
        let is_mine = self.node.identity.is_some_and(|identity| {
            (identity.slot, identity.incarnation) == (set.head.slot, set.head.incarnation)
        });
        if is_mine && set.head.epoch > self.heartbeats.epoch {
            self.heartbeats.on_neighbours(now.at, set, &self.node);
            self.observing.on_neighbours(now, set, &mut self.node, out);
            self.heartbeats.call(now, self.observing.strangers(), &self.node, out);
            self.heartbeats.show(now, self.services.counts(), &self.node, out);
        }
    }

    fn on_report_ack<O: Outbox>(
        &mut self,
        now: Now,
        from: &Origin,
        ack: &ReportAck<'_>,
        out: &mut O,
    ) {
        for item in ack.items.iter() {
            self.observing.on_ack(now.at, from.peer, ack.incarnation, item, &self.node);
            let done = self.reports.on_ack(now, ack.incarnation, item, &mut self.node, out);
            if let Some(done) = done {
                self.control.on_committed(done, &self.node, out);
                self.services.report_deaths(now, &mut self.reports, &mut self.node, out);
            }
        }
    }

    fn on_entered<O: Outbox>(&mut self, now: Now, entered: Entered, out: &mut O) {
        match entered {
            Entered::Nothing => {}
            Entered::Roster => self.choose_homes(now),
            Entered::NewLife => {
                self.choose_homes(now);
                self.node.homes.welcome(now.at);
                self.observing.clear();
                self.heartbeats.on_new_life(now, &mut self.node, out);
                self.services.on_new_life(now.at);
                self.services.report_deaths(now, &mut self.reports, &mut self.node, out);
                self.reports.send_due(now, &mut self.node, out);
            }
        }
    }

    /// A frame that only the group may send.
    fn on_group_frame<O: Outbox>(
        &mut self,
        now: Now,
        from: &Origin,
        frame: &Frame<'_>,
        out: &mut O,
    ) {
        let node = &mut self.node;
        match frame {
            Frame::HomeAnswer(answer) => self.on_home_answer(now, from, answer, out),
            Frame::Probe(probe) => {
                if probe::on_probe(now, from, probe, node, out) {
                    // Our other home may be asking in vain, and hears us all the same. And where most
                    // of what we send is lost, any observer who hears us now takes its word back.
                    self.heartbeats.show(now, self.services.counts(), node, out);
                    self.heartbeats.repeat(now, self.services.counts(), node, out);
                } else if probe.nonce == Probe::REFUSED {
                    self.observing.on_refused(now, probe, node, out);
                } else {
                    let subject = (probe.slot, probe.incarnation);
                    self.observing.on_asked(now, from.addr, subject, node, out);
                }
            }
            Frame::ReportAck(ack) => self.on_report_ack(now, from, ack, out),
            Frame::Roster(roster) => {
                let entered = self.entry.on_roster(now, roster, node, out);
                self.on_entered(now, entered, out);
            }
            Frame::Welcome(welcome) => {
                let entered = self.entry.on_welcome(now, welcome, node, out);
                self.on_entered(now, entered, out);
            }
            Frame::JoinRefused(refused) => self.entry.on_refused(now, refused, node, out),
            Frame::Neighbours(set) => self.on_neighbours(now, set, out),
            Frame::Order(order) => {
                self.orders.on_order(now, from, order, &mut self.services, node, out);
            }
            Frame::ReceiptAck(ack) => self.orders.on_receipt_ack(ack, node),
            _ => out.count(Counter::DropRole, 1),
        }
    }

    fn choose_homes(&mut self, now: Now) {
        if let Some(identity) = self.node.identity {
            self.node.homes.choose(identity.slot, &self.node.roster, now.at);
        }
    }

    /// A process that comes to itself after a pause first makes good what it would get wrong.
    fn notice_pause<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let late_ns = self.heartbeats.late_ns(now.at);
        if !self.is_awake(now.at) {
            out.count(Counter::Pauses, 1);
            self.node.health.blame(now.at);
            self.observing.on_pause(now.at, late_ns, &self.node);
            self.heartbeats.forgive(now.at, &self.node);
        }
        let is_missed = late_ns > self.node.config.profile.margin_min_ns;
        if is_missed && self.node.pace.is_in_turn() && self.observing.may_cry_out(now.at) {
            // Whose turn it was may be asking by now, and all others with it.
            self.cry_out(now, out);
        }
    }

    /// Shows itself to all at once, though it speaks to its observers in turn.
    fn cry_out<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.observing.note_outcry(now.at);
        self.heartbeats.show(now, self.services.counts(), &self.node, out);
        self.heartbeats.repeat(now, self.services.counts(), &self.node, out);
    }

    /// Whether it has not stood still for longer than it has noticed.
    fn is_awake(&self, now: Time) -> bool {
        self.heartbeats.late_ns(now) <= self.node.pace.interval_ns()
    }

    fn on_peers<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.node.health.settle(now.at);
        if self.heartbeats.late_ns(now.at) > self.node.pace.interval_ns() / 4 {
            self.node.health.blame(now.at);
        }
        self.heartbeats.on_peers(now, self.services.counts(), &mut self.node, out);
        self.heartbeats.call(now, self.observing.strangers(), &self.node, out);
        if self.heartbeats.is_home_turn(now.at, &self.node) {
            self.on_homes(now, out);
        }
    }

    fn on_watch<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.observing.judge(now, &mut self.node, out);
        if self.observing.asks_group(now.at, &self.node) {
            // Is it us? Any answer says that it is not.
            self.heartbeats.show(now, self.services.counts(), &self.node, out);
            self.entry.ask_seed(&self.node, out);
        }
        if self.observing.outcry(&self.node) <= now.at {
            // Nobody is heard: those who ask us are not, either, and get no answer.
            self.observing.note_alone(now.at);
            self.cry_out(now, out);
            self.observing.arm(now.at, &mut self.node, out);
        }
    }

    fn on_homes<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let node = &mut self.node;
        self.heartbeats.on_homes(now, self.services.counts(), node, out);
        if node.homes.iter().next().is_none()
            || node.homes.is_isolated(node.home_interval_ns(), now.at)
        {
            // Nobody whom we know answers: perhaps the seeds know somebody else.
            self.entry.ask_seed(node, out);
        }
        self.services.report_deaths(now, &mut self.reports, node, out);
    }
}

impl Role for Agent {
    fn on_start<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.node.started = now.at;
        let config = &self.node.config;
        self.node.pace = Pace::new(&config.profile, config.budget, now.at);
        self.services.start(&mut self.node, out);
        self.entry.start(now, &mut self.node, out);
    }

    fn on_frame<O: Outbox>(&mut self, now: Now, from: &Origin, frame: &Frame<'_>, out: &mut O) {
        if !self.is_active() {
            return;
        }
        if from.peer.slot().is_some() {
            self.observing.on_peer(from.heard);
        }
        match frame {
            Frame::Beat(beat) => self.on_beat(now, from, beat, out),
            Frame::Heartbeat(beat) => self.on_heartbeat(now, from, beat, out),
            Frame::Ask(ask) if ask.verb() == Some(Verb::Watched) => {
                Control::on_watched(now, from, ask, &self.observing, &self.node, out);
            }
            Frame::Ask(ask) => {
                self.control.on_ask(now, from, ask, &mut self.reports, &mut self.node, out);
            }
            Frame::Unknown(_) => {}
            Frame::Probe(probe) if from.peer.slot().is_some() => {
                if !probe::on_probe(now, from, probe, &self.node, out) {
                    out.count(Counter::DropRole, 1);
                }
            }
            Frame::ProbeAnswer(answer) if from.peer == PeerId::agent(answer.slot) => {
                self.observing.on_answer(now, from.heard, answer, &mut self.node, out);
            }
            _ if is_group(from.peer) => {
                let was_in_doubt = self.observing.is_in_doubt(&self.node);
                self.node.homes.on_group(from.heard);
                if was_in_doubt && !self.observing.is_in_doubt(&self.node) {
                    // Judged when everything that has arrived was heard.
                    self.node.timers.set(TimerKind::Watch, now.at, out);
                }
                self.on_group_frame(now, from, frame, out);
            }
            _ => out.count(Counter::DropRole, 1),
        }
    }

    fn on_timer<O: Outbox>(&mut self, now: Now, timer: Timer, out: &mut O) {
        let Some(kind) = self.node.timers.take(timer) else { return };
        if !self.is_active() && !matches!(kind, TimerKind::Entry | TimerKind::Services) {
            return;
        }
        self.notice_pause(now, out);
        match kind {
            TimerKind::Entry => self.entry.on_timer(now, &mut self.node, out),
            TimerKind::Peers => self.on_peers(now, out),
            TimerKind::Watch => self.on_watch(now, out),
            TimerKind::Reports => self.reports.send_due(now, &mut self.node, out),
            TimerKind::Orders => self.orders.on_timer(now, &mut self.node, out),
            TimerKind::Services => self.services.on_timer(now, &mut self.node, out),
        }
    }

    fn on_done<O: Outbox>(&mut self, now: Now, done: Done, out: &mut O) {
        let Done::Exited { token, exit } = done else { return };
        let node = &mut self.node;
        match self.services.on_exit(token, &exit, node, out) {
            Some(Some((order, code, text))) => {
                let total = text.len() as u64;
                self.orders.finish(now, order, code, text.as_bytes(), total, node, out);
            }
            Some(None) => self.services.report_deaths(now, &mut self.reports, node, out),
            None => {
                self.orders.on_exit(now, token, &exit, node, out);
            }
        }
    }

    fn on_returned<O: Outbox>(&mut self, now: Now, to: Addr, frame: &Frame<'_>, out: &mut O) {
        let seq = match frame {
            Frame::Beat(beat) => u64::from(beat.seq),
            Frame::Heartbeat(beat) if beat.plane == Heartbeat::PEER => beat.seq,
            _ => return,
        };
        if self.entry.state == State::Member
            && let Some(observer) = self.heartbeats.on_returned(to, seq)
        {
            gone::report(now, observer, &self.node, out);
        }
    }

    fn on_loss<O: Outbox>(&mut self, now: Now, loss: Loss, out: &mut O) {
        self.node.health.blame(now.at);
        match loss {
            Loss::Unheard(_) => self.observing.on_overflow(now.at, &self.node, out),
            Loss::Unsent(_) => {}
        }
    }

    fn on_burst_end<O: Outbox>(&mut self, _now: Now, _out: &mut O) {
        self.heartbeats.on_duty_cycle();
    }

    fn on_leave<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.leave(now, out);
    }
}

#[cfg(test)]
mod tests;
