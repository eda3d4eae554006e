//! Reports of this node, its services and its local programs, kept until they are committed.
//!
//! A satellite that has a report has promised nothing: it may die with it. So a report stays here,
//! is sent to the first home and, when nobody answers, to one satellite after the other, until some
//! satellite says that the station has committed it. The number of a report never changes, so
//! however often it goes out, it takes effect once.

use crate::node::Node;
use crate::timers::TimerKind;
use alloc::boxed::Box;
use syncom_seam::bounded::BoundedQueue;
use syncom_seam::limits::{REPORTS_PENDING_MAX, SERVICES_MAX};
use syncom_seam::{Counter, Now, Outbox, SECOND, Time};
use syncom_wire::report::{AckItem, EventKind, Report, ReportAck, ReportHead, ReportId};
use syncom_wire::{Addr, Boot, Incarnation, PeerId, Subject};

/// Time from a satellite's receipt to the next sending, in ns: by then it should be committed.
const COMMIT_NS: u64 = SECOND;
/// Wait after a full queue, in ns.
const BUSY_NS: u64 = SECOND;

/// A program that waits for its report to be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) peer: PeerId,
    pub(crate) boot: Boot,
    /// The question's number: with peer and boot it names the report, so a question that is
    /// repeated makes no second one.
    pub(crate) request: u64,
    /// Where the answer goes.
    pub(crate) addr: Addr,
}

impl Asker {
    /// Whether two questions are the same one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.peer, self.boot, self.request) == (other.peer, other.boot, other.request)
    }
}

/// What to report.
#[derive(Clone, Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) subject: Subject,
    pub(crate) incarnation: Incarnation,
    pub(crate) kind: EventKind,
    pub(crate) severity: u8,
    pub(crate) count: u32,
    pub(crate) subject_name: &'a str,
    pub(crate) kind_name: &'a str,
    pub(crate) detail: &'a str,
}

#[derive(Clone, Debug)]
struct Pending {
    /// None until it goes out for the first time.
    id: Option<ReportId>,
    subject: Subject,
    incarnation: Incarnation,
    kind: EventKind,
    severity: u8,
    count: u32,
    subject_name: Box<str>,
    kind_name: Box<str>,
    detail: Box<str>,
    asker: Option<Asker>,
    /// Which satellite of the preference it goes to.
    choice: usize,
    /// Sendings in a row that nobody answered.
    repeats: u32,
    next: Time,
}

const _: () = assert!(size_of::<Pending>() <= 208, "the queue is most of an agent's memory");

/// A report that was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) id: ReportId,
    pub(crate) subject: Subject,
    /// The event that it belongs to; 0 when none was needed.
    pub(crate) event: u64,
    pub(crate) asker: Option<Asker>,
}

/// All reports that are not committed yet, oldest first.
#[derive(Debug)]
pub(crate) struct Reports {
    pending: BoundedQueue<Pending>,
}

impl Reports {
    pub(crate) fn new() -> Self {
        // One place per service is on top: a full queue of programs hides no dead service.
        Self { pending: BoundedQueue::new(REPORTS_PENDING_MAX + SERVICES_MAX) }
    }

    /// Whether a report about this subject waits.
    pub(crate) fn is_pending(&self, subject: Subject, kind: EventKind) -> bool {
        self.pending.iter().any(|one| (one.subject, one.kind) == (subject, kind))
    }

    /// Whether this question's report waits; its answer then goes to where it was asked last.
    pub(crate) fn is_asked(&mut self, asker: &Asker) -> bool {
        let mut askers = self.pending.iter_mut().filter_map(|one| one.asker.as_mut());
        let Some(same) = askers.find(|one| one.is(asker)) else { return false };
        *same = *asker;
        true
    }

    /// Takes a report and sends it as soon as its turn comes; false when there is no room.
    pub(crate) fn submit<O: Outbox>(
        &mut self,
        now: Now,
        draft: &Draft<'_>,
        asker: Option<Asker>,
        node: &mut Node,
        out: &mut O,
    ) -> bool {
        let asked = self.pending.iter().filter(|one| one.asker.is_some()).count();
        if asker.is_some() && asked >= REPORTS_PENDING_MAX {
            out.count(Counter::ReportsRefused, 1);
            return false;
        }
        let taken = self.pending.push(Pending {
            id: None,
            subject: draft.subject,
            incarnation: draft.incarnation,
            kind: draft.kind,
            severity: draft.severity,
            count: draft.count,
            subject_name: draft.subject_name.into(),
            kind_name: draft.kind_name.into(),
            detail: draft.detail.into(),
            asker,
            choice: 0,
            repeats: 0,
            next: Time(0),
        });
        if taken.is_err() {
            out.count(Counter::ReportsRefused, 1);
            return false;
        }
        self.send_due(now, node, out);
        true
    }

    /// Takes one item of an acknowledgement; what it committed, if anything.
    pub(crate) fn on_ack<O: Outbox>(
        &mut self,
        now: Now,
        incarnation: Incarnation,
        item: AckItem,
        node: &mut Node,
        out: &mut O,
    ) -> Option<Committed> {
        let is_it = |one: &Pending| {
            one.id.is_some_and(|id| (id.incarnation, id.seq) == (incarnation, item.seq))
        };
        let one = self.pending.iter_mut().find(|one| is_it(one))?;
        match item.level {
            ReportAck::RECEIVED => {
                one.repeats = 0;
                one.next = one.next.max(now.at.after(COMMIT_NS));
                None
            }
            ReportAck::BUSY => {
                one.next = one.next.max(now.at.after(BUSY_NS));
                None
            }
            ReportAck::COMMITTED => {
                let id = one.id?;
                let (subject, asker) = (one.subject, one.asker);
                self.pending.retain(|one| !is_it(one));
                let oldest = self.pending.iter().filter_map(|one| one.id).map(|id| id.seq).min();
                node.numbers.set_oldest(oldest);
                out.count(Counter::ReportsCommitted, 1);
                self.send_due(now, node, out);
                Some(Committed { id, subject, event: item.event, asker })
            }
            _ => None,
        }
    }

    /// Sends whatever is due, and waits for what is due next.
    pub(crate) fn send_due<O: Outbox>(&mut self, now: Now, node: &mut Node, out: &mut O) {
        let Some(identity) = node.identity else { return };
        let mut next = Time::NEVER;
        for one in self.pending.iter_mut() {
            if one.id.is_none() {
                let Some(seq) = node.numbers.for_report() else { break };
                let (slot, incarnation) = (identity.slot, identity.incarnation);
                one.id = Some(ReportId { slot, incarnation, seq });
                one.send(now, node, out);
            } else if one.next <= now.at {
                // Whoever had it did not get it through: it is somebody else's turn.
                one.choice = one.choice.wrapping_add(1);
                one.send(now, node, out);
            }
            next = next.min(one.next);
        }
        node.timers.by(TimerKind::Reports, next, out);
    }
}

impl Pending {
    fn send<O: Outbox>(&mut self, now: Now, node: &mut Node, out: &mut O) {
        let (Some(id), Some(identity)) = (self.id, node.identity) else { return };
        let own = Subject::node(identity.slot);
        let home = node.homes.choice(own, self.choice, &node.roster, now.at);
        let wait_ns = node.homes.time_out_ns(home.unwrap_or_default(), self.repeats);
        self.repeats = self.repeats.saturating_add(1);
        self.next = now.at.after(node.rng.jitter(wait_ns));
        let Some(home) = home else { return };
        let head = ReportHead {
            id,
            subject: self.subject,
            incarnation: self.incarnation,
            kind: self.kind,
            heard_ago_us: 0,
            domain: identity.domain,
            flags: 0,
            neighbours: 0,
            health: node.health.level(),
            severity: self.severity,
            reserved: 0,
            count: self.count,
        };
        let report = Report {
            head,
            subject: &self.subject_name,
            kind: &self.kind_name,
            detail: &self.detail,
        };
        out.send(home, &report);
        out.count(Counter::ReportsSent, 1);
    }
}
