//! The recovery manager: looks at every event once and decides.
//!
//! It runs on the leader, and only after the entry that claims its term is applied. It keeps nothing
//! of its own: what it must remember stands in the log of decisions. A step (events settled,
//! decisions, orders) is one command, so it happens whole or not at all; and its orders are numbered
//! by what caused them, so a successor that decides the same gives the same order.

use crate::machine::command::{Command, NewDecision, NewOrder, Step};
use crate::machine::events::Event;
use crate::machine::machine::Machine;
use crate::machine::orders::order_number;
use crate::station::Station;
use syncom_group::SlotSet;
use syncom_seam::{MS, Now, Outbox, SECOND, Time};
use syncom_wire::ids::{hash, mix};
use syncom_wire::order::{OrderHead, Verb};
use syncom_wire::report::EventKind;
use syncom_wire::{OrderId, Term};

/// Events of one step.
const STEP_MAX: usize = 256;
/// A step that was proposed and not applied is thought through again after this long.
const PATIENCE_NS: u64 = SECOND;
/// Restarts of one service within [`RESTART_WINDOW_NS`]; then it is left alone.
const RESTARTS_MAX: u32 = 5;
const RESTART_WINDOW_NS: u64 = 60 * SECOND;
/// Pause before the second restart; it doubles with every further one.
const RESTART_PAUSE_NS: u64 = 500 * MS;
/// How long a restart may take.
const RESTART_DEADLINE_MS: u32 = 10_000;
/// Rule that restarts services; its decisions are also what restarts are counted by.
const RESTART_RULE: &str = "restart-service";

/// Where the recovery manager of this replica stands.
#[derive(Debug, Default)]
pub(crate) struct Manager {
    /// The term for which it may act.
    term: Option<Term>,
    /// The claim of that term is applied.
    claimed: bool,
    /// Until then it waits for what it has proposed.
    waits_until: Option<Time>,
}

impl Manager {
    pub(crate) fn begin(&mut self, term: Term) {
        *self = Self { term: Some(term), ..Self::default() };
    }

    pub(crate) fn end(&mut self) {
        *self = Self::default();
    }

    /// A step was applied.
    pub(crate) fn on_stepped(&mut self, term: Term) {
        if self.term == Some(term) {
            self.waits_until = None;
        }
    }

    fn is_free(&self, now: Time) -> bool {
        self.waits_until.is_none_or(|until| now >= until)
    }
}

impl Station {
    /// Proposes this replica's manager for its term.
    pub(crate) fn claim<O: Outbox>(&mut self, now: Now, term: Term, out: &mut O) {
        self.manager.waits_until = Some(now.at.after(PATIENCE_NS));
        self.propose(now, &Command::Claim { term, node: self.config.peer() }, out);
    }

    /// A manager has begun: if it is ours, open orders are carried out from now on.
    pub(crate) fn on_claimed<O: Outbox>(&mut self, now: Now, term: Term, out: &mut O) {
        if self.manager.term != Some(term) || self.leading != Some(term) {
            return;
        }
        self.manager.claimed = true;
        self.manager.waits_until = None;
        self.resume_orders(now, out);
    }

    /// Decides about whatever waits; or claims again when the claim was lost.
    pub(crate) fn manage<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let Some(term) = self.manager.term else { return };
        if !self.manager.is_free(now.at) {
            return;
        }
        if !self.manager.claimed {
            return self.claim(now, term, out);
        }
        let step = decide(&self.machine, term, now.wall.0);
        if step.settle.is_empty() {
            return;
        }
        self.manager.waits_until = Some(now.at.after(PATIENCE_NS));
        self.propose(now, &Command::Step(step), out);
    }
}

/// One step about all events that are due.
fn decide(machine: &Machine, term: Term, now_ns: u64) -> Step {
    let mut step = Step { term, ..Step::default() };
    for event in machine.events.unsettled() {
        if step.settle.len() == STEP_MAX {
            break;
        }
        let verdict = match event.head.kind {
            EventKind::SERVICE => match restart(machine, event, now_ns) {
                Some(verdict) => verdict,
                None => continue,
            },
            EventKind::DEAD => plain("announce-death", "announced; removed from rings"),
            _ => plain("note", "noted"),
        };
        let (rule, action, order) = verdict;
        let id = order.as_ref().map_or(OrderId(0), |order| order.id);
        step.settle.push((event.head.seq, event.head.count));
        let rule = rule.to_owned();
        step.decisions.push(NewDecision { event: event.head.seq, order: id, rule, action });
        step.orders.extend(order);
    }
    step
}

type Verdict = (&'static str, String, Option<NewOrder>);

fn plain(rule: &'static str, action: &str) -> Verdict {
    (rule, action.to_owned(), None)
}

/// Restarts a service, unless it dies too often; `None` when it is not time yet.
fn restart(machine: &Machine, event: &Event, now_ns: u64) -> Option<Verdict> {
    let Some((node, service)) = event.subject.split_once('/') else {
        return Some(plain("note", "noted: a service is named node/service"));
    };
    let entry = machine.membership.members().named(node).filter(|entry| entry.is_present());
    let Some(slot) = entry.and_then(|entry| entry.head.peer.slot()) else {
        return Some(plain("service-of-absent-node", "its node is not there: nothing to restart"));
    };
    let (restarts, last_ns) = restarts(machine, &event.subject, now_ns);
    if restarts >= RESTARTS_MAX {
        let action = format!("gave up: {restarts} restarts within a minute did not help");
        return Some(("restart-limit", action, None));
    }
    let pause_ns = RESTART_PAUSE_NS << restarts.saturating_sub(1);
    // A wall clock that went back must not hold a service down.
    let waiting = now_ns >= last_ns && now_ns - last_ns < pause_ns;
    if restarts > 0 && waiting {
        return None;
    }
    let mut to = SlotSet::new();
    to.insert(slot);
    let cause = [event.head.seq.to_le_bytes(), u64::from(event.head.count).to_le_bytes()];
    let order = NewOrder {
        id: order_number(mix(hash(cause.as_flattened()) ^ hash(RESTART_RULE.as_bytes()))),
        verb: Verb::ServiceRestart as u8,
        policy: OrderHead::ALL,
        need: 0,
        deadline_ms: RESTART_DEADLINE_MS,
        event: event.head.seq,
        to: to.to_image(),
        payload: service.as_bytes().to_vec(),
    };
    Some((RESTART_RULE, format!("restart {service} on {node}"), Some(order)))
}

/// How often a service was restarted lately, and when last.
fn restarts(machine: &Machine, subject: &str, now_ns: u64) -> (u32, u64) {
    let since = now_ns.saturating_sub(RESTART_WINDOW_NS);
    let of_subject = |seq| machine.events.get(seq).is_some_and(|event| event.subject == subject);
    machine
        .decisions
        .newest_first()
        .take_while(|decision| decision.head.time_ns >= since)
        .filter(|decision| decision.rule() == RESTART_RULE && of_subject(decision.head.event))
        .fold((0, 0), |(count, last), decision| (count + 1, last.max(decision.head.time_ns)))
}
