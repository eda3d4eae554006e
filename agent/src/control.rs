//! Questions of local programs.
//!
//! An agent takes reports, and says what it makes of those whom it watches. Everything else a program
//! may want to know is the station's business, and the answer says where that is.

use crate::node::Node;
use crate::observing::Observing;
use crate::reports::{Asker, Committed, Draft, Reports};
use syncom_seam::bounded::BoundedQueue;
use syncom_seam::limits::SUBJECTS_MAX;
use syncom_seam::{Counter, Now, Origin, Outbox};
use syncom_wire::control::{Ask, Line, Reply, ReplyHead, Verb};
use syncom_wire::frame::emit;
use syncom_wire::report::{AckItem, EventKind, Report, ReportAck};
use syncom_wire::watch::Watch;
use syncom_wire::{
    Addr, Emit, Fixed as _, Frame, FrameHeader, Frames, Incarnation, List, PeerId, Role, Subject,
};

/// Answers that are remembered for programs that missed them.
const ANSWERS_MAX: usize = 64;
/// When to ask again for a report that is under way, in ms.
const PENDING_MS: u32 = 50;
/// When to ask again after a refusal that will pass, in ms.
const BUSY_MS: u32 = 1_000;

/// Answers programs.
#[derive(Debug)]
pub(crate) struct Control {
    answered: BoundedQueue<(Asker, Committed)>,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self { answered: BoundedQueue::new(ANSWERS_MAX) }
    }

    pub(crate) fn on_ask<O: Outbox>(
        &mut self,
        now: Now,
        from: &Origin,
        ask: &Ask<'_>,
        reports: &mut Reports,
        node: &mut Node,
        out: &mut O,
    ) {
        if from.peer.role() != Role::Client {
            out.count(Counter::DropRole, 1);
            return;
        }
        out.count(Counter::ControlAsked, 1);
        let request = ask.head.request;
        let asker = Asker { peer: from.peer, boot: from.boot, request, addr: from.addr };
        match ask.verb() {
            Some(Verb::Report) => self.on_report(now, asker, ask.argument, reports, node, out),
            Some(
                Verb::Status
                | Verb::Nodes
                | Verb::Events
                | Verb::Explain
                | Verb::Submit
                | Verb::OrderState
                | Verb::Decisions
                | Verb::Graph
                | Verb::Policy
                | Verb::SetPolicy
                | Verb::Drain
                | Verb::Replace
                | Verb::Watched
                | Verb::Judged
                | Verb::Cancel,
            ) => refer(&asker, node, out),
            None => {
                reply(&asker, Reply::REFUSED, 0, node, out, &Line { text: "unknown question" });
            }
        }
    }

    /// Says what is made of each subject.
    pub(crate) fn on_watched<O: Outbox>(
        now: Now,
        from: &Origin,
        ask: &Ask<'_>,
        observing: &Observing,
        node: &Node,
        out: &mut O,
    ) {
        if from.peer.role() != Role::Client {
            out.count(Counter::DropRole, 1);
            return;
        }
        out.count(Counter::ControlAsked, 1);
        let (peer, boot, addr) = (from.peer, from.boot, from.addr);
        let asker = Asker { peer, boot, request: ask.head.request, addr };
        let mut body = [0; SUBJECTS_MAX * (FrameHeader::SIZE + Watch::SIZE)];
        let mut len = 0;
        for watch in observing.show(now.at, node) {
            len += body.get_mut(len..).and_then(|rest| emit(&watch, rest).ok()).unwrap_or(0);
        }
        answer(&asker, (Reply::DONE, 0), node, out, body.get(..len).unwrap_or(&[]));
    }

    /// A report is committed: whoever asked for it is told.
    pub(crate) fn on_committed<O: Outbox>(&mut self, done: Committed, node: &Node, out: &mut O) {
        let Some(asker) = done.asker else { return };
        if self.answered.is_full() {
            self.answered.pop();
        }
        // There is room now.
        let _ = self.answered.push((asker, done));
        tell(&asker, done, node, out);
    }

    fn on_report<O: Outbox>(
        &self,
        now: Now,
        asker: Asker,
        argument: &[u8],
        reports: &mut Reports,
        node: &mut Node,
        out: &mut O,
    ) {
        if let Some((_, done)) = self.answered.iter().find(|(one, _)| one.is(&asker)) {
            tell(&asker, *done, node, out);
            return;
        }
        let line = |text| Line { text };
        if !reports.is_asked(&asker) {
            if node.identity.is_none() {
                let text = line("this node is not a member yet");
                reply(&asker, Reply::BUSY, BUSY_MS, node, out, &text);
                return;
            }
            let draft = match draft(argument, node) {
                Ok(draft) => draft,
                Err(why) => {
                    reply(&asker, Reply::REFUSED, 0, node, out, &line(why));
                    return;
                }
            };
            if !reports.submit(now, &draft, Some(asker), node, out) {
                let text = line("too many reports wait to be committed");
                reply(&asker, Reply::BUSY, BUSY_MS, node, out, &text);
                return;
            }
        }
        reply(&asker, Reply::PENDING, PENDING_MS, node, out, &line("sent, not committed yet"));
    }
}

/// What a program wants reported, checked.
fn draft<'a>(argument: &'a [u8], node: &Node) -> Result<Draft<'a>, &'static str> {
    let mut frames = Frames::new(argument);
    let (Some(Ok(Frame::Report(report))), None) = (frames.next(), frames.next()) else {
        return Err("the argument is not one report");
    };
    let Report { head, subject, kind, detail } = report;
    // What nodes and services do is said by those who watch them.
    if !head.kind.is_user() {
        return Err("this kind of event is reported by the cluster itself");
    }
    if EventKind::named(kind) != head.kind {
        return Err("the kind's name does not match its number");
    }
    let (about, incarnation, subject_name) = match (head.subject.slot(), node.identity) {
        _ if subject == node.config.name && node.identity.is_some() => {
            let own = node.identity.map(|identity| (identity.slot, identity.incarnation));
            let (slot, incarnation) = own.unwrap_or_default();
            (Subject::node(slot), incarnation, "")
        }
        (Some(_), _) => (head.subject, head.incarnation, ""),
        (None, _) if !subject.is_empty() && Subject::named(subject) == head.subject => {
            (head.subject, Incarnation(0), subject)
        }
        (None, _) => return Err("the subject's name does not match its number"),
    };
    Ok(Draft {
        subject: about,
        incarnation,
        kind: head.kind,
        severity: head.severity,
        count: head.count.max(1),
        subject_name,
        kind_name: kind,
        detail,
    })
}

/// Says which event a report became.
fn tell<O: Outbox>(asker: &Asker, done: Committed, node: &Node, out: &mut O) {
    let level = ReportAck::COMMITTED;
    let item = [AckItem { seq: done.id.seq, event: done.event, level, reserved: [0; 7] }];
    let ack = ReportAck { incarnation: done.id.incarnation, items: List::new(&item) };
    reply(asker, Reply::DONE, 0, node, out, &ack);
}

/// Sends a program on to the leader, if that is known.
fn refer<O: Outbox>(asker: &Asker, node: &Node, out: &mut O) {
    let text = Line { text: "agents only take reports: ask a replica of the station" };
    let known = node.roster.addr(node.roster.leader()).is_some();
    let status = if known { Reply::NOT_LEADER } else { Reply::NOT_FOUND };
    reply(asker, status, 0, node, out, &text);
}

fn reply<O: Outbox, E: Emit>(
    asker: &Asker,
    status: u8,
    retry_ms: u32,
    node: &Node,
    out: &mut O,
    frame: &E,
) {
    let mut body = [0; 256];
    let len = emit(frame, &mut body).unwrap_or(0);
    answer(asker, (status, retry_ms), node, out, body.get(..len).unwrap_or(&[]));
}

fn answer<O: Outbox>(
    asker: &Asker,
    (status, retry_ms): (u8, u32),
    node: &Node,
    out: &mut O,
    body: &[u8],
) {
    let leader = node.roster.leader();
    let leader_addr = node.roster.addr(leader);
    let head = ReplyHead {
        request: asker.request,
        status,
        more: 0,
        leader_addr: leader_addr.unwrap_or(Addr::NONE),
        leader: leader_addr.map_or(PeerId::ANY, |_| leader),
        index: 0,
        term: node.term,
        next: 0,
        retry_ms,
        age_ms: 0,
    };
    out.send(asker.addr, &Reply { head, body });
}
