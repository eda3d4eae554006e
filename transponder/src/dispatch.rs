//! Who may say what to a satellite, and where it goes.
//!
//! Origins are authentic, so the rule is short: a node speaks for its own slot only, a replica
//! answers and feeds, anybody may ask for the roster. All else is counted and dropped.

use crate::arrivals::Read;
use crate::entry;
use crate::homes;
use crate::transponder::Transponder;
use crate::uplink::combine::acknowledge;
use crate::uplink::evidence::Word;
use crate::uplink::suspects::Taken;
use crate::uplink::suspicion::{Sight, Stage};
use crate::world::World;
use syncom_seam::{Counter, Now, Origin, Outbox, Time, US};
use syncom_wire::control::Verb;
use syncom_wire::heartbeat::{Heartbeat, HomeAnswer};
use syncom_wire::join::Join;
use syncom_wire::opinion::Opinion;
use syncom_wire::probe::{Probe, ProbeAnswer};
use syncom_wire::report::{EventKind, Report, ReportAck, ReportBytes};
use syncom_wire::{Addr, Frame, Role, Slot};

impl Transponder {
    pub(crate) fn dispatch<O: Outbox>(
        &mut self,
        now: Now,
        from: &Origin,
        frame: &Frame<'_>,
        out: &mut O,
    ) {
        let speaks = |slot: Slot| World::speaks_for(from.peer, slot);
        let is_replica = from.peer.role() == Role::Station;
        let may_join = matches!(from.peer.role(), Role::Agent | Role::Client);
        match frame {
            Frame::Heartbeat(beat) if beat.plane == Heartbeat::HOME && speaks(beat.slot) => {
                self.on_heartbeat(now, from, beat, out);
            }
            Frame::Heartbeat(beat)
                if beat.plane == Heartbeat::GROUP && from.peer.role() == Role::Satellite =>
            {
                self.fellows.on_heartbeat(from, &self.world);
            }
            Frame::Report(report) if speaks(report.head.id.slot) => {
                self.on_report(now, from, report, out);
            }
            Frame::ProbeAnswer(answer) if speaks(answer.slot) => {
                self.on_probe_answer(now, answer, out);
            }
            Frame::ProbeAnswer(answer) if self.feed.is_leader(from.peer) => {
                self.suspects.on_proof(Time(answer.nonce), now.at);
            }
            Frame::Opinion(opinion) if from.peer.role() == Role::Satellite => {
                self.on_opinion(now, from, opinion, out);
            }
            Frame::Opinion(question) if is_replica => self.on_question(now, from, question, out),
            Frame::Receipt(receipt) if speaks(receipt.head.slot) => {
                self.shards.on_receipt(now.at, from, receipt, out);
            }
            Frame::Leave(leave) if speaks(leave.slot) => {
                entry::on_leave(now.at, leave, &self.world, &mut self.batches);
            }
            Frame::Join(join) if may_join && join.head.role == Join::AGENT => {
                let Self { gate, world, batches, .. } = self;
                gate.on_join(now.at, from, join, world, batches, out);
            }
            Frame::Ask(ask)
                if ask.verb() == Some(Verb::Judged) && from.peer.role() == Role::Client =>
            {
                self.on_judged(now, from, ask, out);
            }
            Frame::RosterAsk(_) => self.on_roster_ask(from, out),
            Frame::Roster(roster) if is_replica => self.feed.add_replicas(roster),
            Frame::HomeAnswer(answer) if is_replica => self.on_home_answer(now, from, answer, out),
            _ => {
                if is_replica && self.streams.on_frame(now.at, from, frame, out) {
                    self.drain(now, out);
                } else {
                    out.count(Counter::DropRole, 1);
                }
            }
        }
    }

    /// Until a view is held nobody can be told apart from a stranger, and silence is the answer:
    /// nodes then go to their next home.
    fn on_heartbeat<O: Outbox>(&mut self, now: Now, from: &Origin, beat: &Heartbeat, out: &mut O) {
        if !self.world.is_whole() {
            return;
        }
        out.count(Counter::HeartbeatsHeard, 1);
        let is_known = self.world.living(beat.slot, beat.incarnation).is_some();
        if is_known {
            self.homes.on_heartbeat(from, beat);
            let Self { pushes, world, homes, .. } = self;
            let node = (beat.slot, from.addr);
            pushes.on_heartbeat(now.at, node, beat.neighbours, world, homes, out);
        }
        let mut answer = homes::answer(now, from, beat, &self.world);
        if self.is_leaving {
            answer.flags |= HomeAnswer::LEAVING;
        }
        out.send(from.addr, &answer);
    }

    fn on_probe_answer<O: Outbox>(&mut self, now: Now, answer: &ProbeAnswer, out: &mut O) {
        let (slot, incarnation) = (answer.slot, answer.incarnation);
        if self.suspects.on_answer(now.at, slot, incarnation, answer.nonce) {
            out.count(Counter::Vetoes, 1);
        }
    }

    /// The other home of a node says what it makes of it.
    fn on_opinion<O: Outbox>(&mut self, now: Now, from: &Origin, opinion: &Opinion, out: &mut O) {
        let Some(slot) = opinion.subject.slot() else {
            out.count(Counter::DropRole, 1);
            return;
        };
        let is_living = self.world.living(slot, opinion.incarnation).is_some();
        let is_other = self.world.other_home(slot).is_some_and(|home| home.head.peer == from.peer);
        if !is_living || !is_other {
            out.count(Counter::UplinkNoise, 1);
            return;
        }
        let Self { suspects, world, homes, config, .. } = self;
        let sight = Sight { now, world, homes, profile: &config.profile };
        suspects.on_opinion(&sight, (slot, from.addr), opinion, out);
    }

    fn on_roster_ask<O: Outbox>(&mut self, from: &Origin, out: &mut O) {
        if self.world.is_whole() {
            for part in self.world.roster().parts() {
                out.send(from.addr, &part);
            }
        }
    }

    /// Takes reports that need not be read before it is known that they are new: what a node or a program
    /// says of its own accord. Returns how many bytes and frames these were.
    pub(crate) fn on_reports<O: Outbox>(
        &mut self,
        now: Now,
        from: &Origin,
        frames: &[u8],
        out: &mut O,
    ) -> (usize, u64) {
        let (mut rest, mut count) = (frames, 0);
        while let Some((report, after)) = ReportBytes::split(rest)
            && let Some(head) = report.head()
            && is_combined(head.kind)
            && World::speaks_for(from.peer, head.id.slot)
        {
            if self.arrivals.must_go(now) {
                self.take_in(out);
            }
            self.arrivals.push(now, from.addr, report);
            (rest, count) = (after, count + 1);
        }
        if count > 0 {
            self.frames = self.frames.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
            out.count(Counter::UplinkReports, count);
            self.stats.on_reports(count);
        }
        (frames.len() - rest.len(), count)
    }

    fn on_report<O: Outbox>(&mut self, now: Now, from: &Origin, report: &Report<'_>, out: &mut O) {
        out.count(Counter::UplinkReports, 1);
        self.stats.on_reports(1);
        match report.head.kind {
            EventKind::SILENT => self.on_silent(now, from, report, out),
            // Of a newer version: not taken before it was read.
            kind if is_combined(kind) => {
                self.take_in(out);
                self.combiner.on_report(now, &Read { from: from.addr, report }, out);
            }
            // What only this fabric may conclude, nobody may claim.
            _ => out.count(Counter::DropRole, 1),
        }
    }

    /// Takes in the reports that were gathered in this burst.
    pub(crate) fn take_in<O: Outbox>(&mut self, out: &mut O) {
        if self.arrivals.is_empty() {
            return;
        }
        self.combiner.on_reports(self.arrivals.now(), self.arrivals.iter(), out);
        self.arrivals.clear();
    }

    /// An observer misses a node, or hears it again.
    fn on_silent<O: Outbox>(&mut self, now: Now, from: &Origin, report: &Report<'_>, out: &mut O) {
        let head = &report.head;
        let Some(slot) = head.subject.slot() else {
            out.count(Counter::DropRole, 1);
            return;
        };
        if !self.world.is_whole() {
            return;
        }
        let level = match self.world.members().agent(slot) {
            Some(entry) if !entry.is_present() || entry.head.incarnation > head.incarnation => {
                out.count(Counter::UplinkSuppressed, 1);
                ReportAck::COMMITTED
            }
            Some(entry) if entry.head.incarnation == head.incarnation => {
                if head.flags & Report::REFUSED != 0 {
                    self.on_refused(now, report, slot, out);
                    return;
                }
                self.take_word(now, from, report, slot, out)
            }
            // The reporter's view is ahead of this one.
            Some(_) | None => ReportAck::RECEIVED,
        };
        if head.flags & (Report::ASKED | Report::REFUSED) == 0 {
            acknowledge(from.addr, head.id, level, 0, out);
        }
    }

    /// A heartbeat to a node came back to somebody whom it observes. That is no vote.
    fn on_refused<O: Outbox>(&mut self, now: Now, report: &Report<'_>, slot: Slot, out: &mut O) {
        let id = report.head.id;
        let is_subject = self.world.living(id.slot, id.incarnation).is_some()
            && self.world.subjects(slot).contains(&id.slot);
        if !is_subject {
            out.count(Counter::UplinkNoise, 1);
            return;
        }
        let Self { suspects, world, homes, config, .. } = self;
        let sight = Sight { now, world, homes, profile: &config.profile };
        suspects.on_refused(&sight, slot, report.head.incarnation);
    }

    /// A probe came back: nobody listens where the accused did. Asks its observers.
    pub(crate) fn on_probe_returned<O: Outbox>(&mut self, to: Addr, probe: &Probe, out: &mut O) {
        // What was for one of its observers says nothing of the accused.
        let is_its = self.homes.addr(&self.world, probe.slot) == Some(to);
        if !is_its || !self.suspects.is_returned(probe) {
            return;
        }
        for observer in self.world.observers(probe.slot) {
            if let Some(addr) = self.homes.addr(&self.world, *observer) {
                out.send(addr, &Probe { nonce: Probe::REFUSED, ..*probe });
            }
        }
    }

    fn take_word<O: Outbox>(
        &mut self,
        now: Now,
        from: &Origin,
        report: &Report<'_>,
        slot: Slot,
        out: &mut O,
    ) -> u8 {
        let head = &report.head;
        let id = head.id;
        let is_observer = self.world.living(id.slot, id.incarnation).is_some()
            && self.world.observer_bit(slot, id.slot, now.at).is_some();
        if !is_observer {
            out.count(Counter::UplinkNoise, 1);
            return ReportAck::RECEIVED;
        }
        let silent_since = Time(from.heard.0.saturating_sub(u64::from(head.heard_ago_us) * US));
        let is_heard = head.flags & Report::NEVER_HEARD == 0;
        let is_retracted = head.flags & Report::RETRACT != 0;
        let suspects_itself = head.flags & Report::SELF_SUSPECT != 0;
        let is_patchy = head.flags & Report::PATCHY != 0 && !suspects_itself;
        let word = Word {
            slot: id.slot,
            incarnation: id.incarnation,
            seq: id.seq,
            is_retracted,
            suspects_itself,
            is_in_turn: head.flags & Report::IN_TURN != 0,
            has_missed: head.flags & (Report::IN_TURN | Report::MISSED) != Report::IN_TURN,
            health: head.health,
            domain: head.domain,
            silent_since: if is_heard || !is_retracted { silent_since } else { Time(0) },
            heard: if is_heard { silent_since } else { Time(0) },
            patchy: if is_patchy { from.heard } else { Time(0) },
            first: from.heard,
            last: from.heard,
        };
        let case = self.suspects.get(slot, head.incarnation);
        if case.is_some_and(|case| matches!(case.stage, Stage::Announced | Stage::Settled(_))) {
            out.count(Counter::UplinkSuppressed, 1);
            return ReportAck::RECEIVED;
        }
        let Self { suspects, world, homes, config, .. } = self;
        let sight = Sight { now, world, homes, profile: &config.profile };
        match suspects.on_word(&sight, slot, head.incarnation, &word, out) {
            Taken::Kept => ReportAck::RECEIVED,
            Taken::Repeated => {
                out.count(Counter::UplinkDuplicates, 1);
                ReportAck::RECEIVED
            }
            Taken::NoRoom => {
                out.count(Counter::UplinkShed, 1);
                ReportAck::BUSY
            }
        }
    }
}

/// Whether equal reports of this kind become one record.
const fn is_combined(kind: EventKind) -> bool {
    kind.0 == EventKind::SERVICE.0 || kind.is_user()
}
