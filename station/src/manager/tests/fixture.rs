//! A machine with nodes, a policy, and a manager that thinks when it is told to.

use crate::machine::Machine;
use crate::machine::command::{Command, Finish, NewOrder, begin};
use crate::machine::policy;
use crate::machine::tests::{bytes, join_head};
use crate::manager::thought::think;
use std::collections::BTreeMap;
use syncom_seam::{MS, SECOND};
use syncom_wire::announced::Announced;
use syncom_wire::bytes::{List, Writer};
use syncom_wire::control::OrderState;
use syncom_wire::idset::IdSet;
use syncom_wire::join::{Join, JoinHead};
use syncom_wire::order::Outcome;
use syncom_wire::policy::{Action, Policy, PolicyHead, Rule, RuleHead, Step, StepHead};
use syncom_wire::report::EventKind;
use syncom_wire::selector::{Holds, Operator, Selector, Term as Part};
use syncom_wire::uplink::{Batch, BatchHead, Record, RecordHead};
use syncom_wire::{Boot, Incarnation, OrderId, PeerId, Slot, Subject, Term};

const TERM: Term = Term(3);

/// One machine, and what time it is there.
pub(super) struct Bench {
    pub(super) machine: Machine,
    pub(super) now_ns: u64,
    /// Number of the last batch of each satellite.
    seqs: BTreeMap<u16, u64>,
}

/// A rule in the making.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) head: RuleHead,
    pub(super) kind: &'static str,
    pub(super) subject: &'static str,
    pub(super) steps: Vec<StepDraft>,
}

/// A step in the making.
#[derive(Clone, Debug)]
pub(super) struct StepDraft {
    pub(super) head: StepHead,
    pub(super) on: &'static str,
    pub(super) text: &'static str,
    pub(super) command: &'static [u8],
}

pub(super) fn step(action: Action) -> StepDraft {
    let head = StepHead {
        action: action as u8,
        retries: 0,
        reserved: 0,
        backoff_ms: 1_000,
        timeout_ms: 5_000,
        spare: 0,
    };
    let command: &[u8] = if action.takes_command() { b"act\0" } else { b"" };
    StepDraft { head, on: "*", text: "", command }
}

pub(super) fn draft(kind: &'static str, steps: &[StepDraft]) -> Draft {
    let head = RuleHead {
        subject_limit: 0,
        subject_window_ms: 0,
        rule_limit: 0,
        rule_window_ms: 0,
        pause_ms: 0,
        severity: 0,
        steps: u8::try_from(steps.len()).unwrap(),
        reserved: [0; 10],
    };
    Draft { head, kind, subject: "*", steps: steps.to_vec() }
}

fn selector(pattern: &str) -> Vec<u8> {
    let mut out = [0; 128];
    let mut writer = Writer::new(&mut out);
    Part { operator: Operator::Union, holds: Holds::Names, text: pattern }
        .emit(&mut writer)
        .unwrap();
    let len = writer.written();
    out[..len].to_vec()
}

impl Bench {
    /// Nodes `node0` and so on, each in a rack of its own, and the manager has begun.
    pub(super) fn new(nodes: u8) -> Self {
        let machine = Machine::new(&[PeerId::station(1)]);
        let mut bench = Self { machine, now_ns: 100 * SECOND, seqs: BTreeMap::new() };
        for node in 0..nodes {
            bench.join(node, 1);
        }
        bench.apply(&Command::Claim { term: TERM, node: PeerId::station(1) });
        bench
    }

    pub(super) fn apply(&mut self, command: &Command<'_>) {
        let mut out = begin(self.now_ns);
        command.encode(&mut out);
        let index = self.machine.applied + 1;
        self.machine.apply(index, TERM.0, &out.finish(), &mut Vec::new());
        // Whatever it is, it survives a snapshot.
        let image = self.machine.encode();
        self.machine = Machine::decode(&image).unwrap();
        assert_eq!(self.machine.encode(), image);
    }

    fn item(&mut self, items: &[u8]) {
        self.item_of(1, items);
    }

    fn item_of(&mut self, satellite: u16, items: &[u8]) {
        let seq = self.seqs.entry(satellite).or_default();
        *seq += 1;
        let (peer, boot) = (PeerId::satellite(satellite), Boot(1));
        let head = BatchHead { peer, items: 1, boot, seq: *seq };
        self.apply(&Command::Batch(Batch { head, items }));
    }

    pub(super) fn join(&mut self, node: u8, boot: u64) {
        let head = join_head(node, boot);
        let (name, domain) = (format!("node{node}"), format!("rack{node}"));
        self.item(&bytes(&Join { head, name: &name, domain: &domain, services: Announced::NONE }));
    }

    /// Satellites 1 to `count` serve.
    pub(super) fn serve(&mut self, count: u8) {
        for number in 1..=count {
            let plain = join_head(200 + number, 1);
            let head =
                JoinHead { role: Join::SATELLITE, number: number.into(), weight: 1, ..plain };
            let name = format!("sat{number}");
            let join = Join { head, name: &name, domain: "", services: Announced::NONE };
            self.item_of(number.into(), &bytes(&join));
        }
        assert_eq!(self.machine.membership.members().satellites_serving().count(), count.into());
    }

    /// That satellite says that a node is dead in its first life.
    pub(super) fn kill_as(&mut self, satellite: u16, node: u32) {
        let subject = Subject::node(Slot(node));
        let head = RecordHead::new(subject, Incarnation(1), EventKind::DEAD);
        let contributors = List::new(&[]);
        let record = Record { head, contributors, subject: "", kind: "", detail: "" };
        self.item_of(satellite, &bytes(&record));
    }

    fn record(&mut self, subject: Subject, name: &str, kind: &str, life: u32) {
        let head = RecordHead {
            domains: 1,
            first_ns: 1,
            last_ns: 1,
            severity: 2,
            ..RecordHead::new(subject, Incarnation(life), EventKind::named(kind))
        };
        let kind = if EventKind::named(kind).is_user() { kind } else { "" };
        let contributors = List::new(&[]);
        self.item(&bytes(&Record { head, contributors, subject: name, kind, detail: "\"why\"" }));
    }

    /// Something happened to a named subject.
    pub(super) fn report(&mut self, subject: &str, kind: &str) {
        self.record(Subject::named(subject), subject, kind, 0);
    }

    /// A node is in that state in its first life.
    pub(super) fn verdict(&mut self, node: u32, kind: &str) {
        self.verdict_of_life(node, kind, 1);
    }

    pub(super) fn verdict_of_life(&mut self, node: u32, kind: &str, life: u32) {
        self.record(Subject::node(Slot(node)), "", kind, life);
    }

    pub(super) fn kill(&mut self, node: u32) {
        self.verdict(node, "deadPeer");
    }

    pub(super) fn drain(&mut self, nodes: &[u8], drained: bool) {
        let (asked_by, reason) = (OrderId(0), "by hand".to_owned());
        self.apply(&Command::Drain { asked_by, drained, nodes: nodes.to_vec(), reason });
    }

    /// Installs rules; `bounds` changes what guards them.
    pub(super) fn install(&mut self, rules: &[Draft], bounds: impl FnOnce(&mut PolicyHead)) {
        let mut parts = Vec::new();
        for (at, draft) in rules.iter().enumerate() {
            let mut steps = Vec::new();
            for step in &draft.steps {
                let on = selector(step.on);
                let on = Selector::parse(&on).unwrap();
                let StepDraft { head, text, command, .. } = *step;
                steps.extend(bytes(&Step { head, on, text, command }));
            }
            let (subject, name) = (selector(draft.subject), format!("rule{at}"));
            let subject = Selector::parse(&subject).unwrap();
            let Draft { head, kind, .. } = *draft;
            parts.extend(bytes(&Rule { head, name: &name, kind, subject, steps: &steps }));
        }
        let mut head = self.machine.rules.head();
        head.rules = u16::try_from(rules.len()).unwrap();
        bounds(&mut head);
        let image = policy::check(&Policy { head, parts: &parts }).unwrap();
        self.apply(&Command::Policy { asked_by: OrderId(self.now_ns), image });
    }

    /// Lets the manager think once; what it decided, as `rule: action`.
    pub(super) fn think(&mut self) -> Vec<String> {
        let before = self.machine.decisions.last();
        let step = think(&self.machine, TERM, self.now_ns);
        if !step.is_empty() {
            self.apply(&Command::Step(step));
        }
        self.machine
            .decisions
            .since(before + 1)
            .map(|decision| {
                let decision = decision.as_frame();
                format!("{}: {}", decision.rule, decision.action)
            })
            .collect()
    }

    pub(super) fn pass(&mut self, ms: u64) -> &mut Self {
        self.now_ns += ms * MS;
        self
    }

    /// Orders that have not ended.
    pub(super) fn open(&self) -> Vec<NewOrder> {
        self.machine.orders.open().map(|entry| entry.order.clone()).collect()
    }

    /// The one order that has not ended.
    pub(super) fn only_order(&self) -> NewOrder {
        let mut open = self.open();
        assert_eq!(open.len(), 1, "{open:?}");
        open.remove(0)
    }

    /// All destinations of an order end with that code.
    pub(super) fn finish(&mut self, order: &NewOrder, code: i32) {
        let nodes = IdSet::parse(&order.to).unwrap();
        let outcomes = bytes(&Outcome { code, cut: 0, nodes, output: &[] });
        self.finish_with(order, outcomes);
    }

    pub(super) fn finish_with(&mut self, order: &NewOrder, outcomes: Vec<u8>) {
        let state = OrderState::COMPLETE;
        let finish = Finish { id: order.id, state, first_us: 1, last_us: 1, outcomes };
        self.apply(&Command::Finish(finish));
    }

    /// Starts a service by an operator's order.
    pub(super) fn start_service(&mut self, node: u32, name: &str) {
        let order = NewOrder {
            id: OrderId(0x10_0000 * u64::from(node + 1) + self.now_ns),
            verb: 2,
            policy: 0,
            need: 0,
            deadline_ms: 1_000,
            event: 0,
            to: image(&[node]),
            payload: format!("{name}\0run-{name}\0").into_bytes(),
        };
        self.apply(&Command::Submit(order.clone()));
        self.finish(&order, 0);
    }
}

/// Image of a set of slots.
pub(super) fn image(slots: &[u32]) -> Vec<u8> {
    let mut set = syncom_group::SlotSet::new();
    for slot in slots {
        set.insert(Slot(*slot));
    }
    set.to_image()
}

/// Slots of an order's destinations.
pub(super) fn slots(order: &NewOrder) -> Vec<u32> {
    IdSet::parse(&order.to).unwrap().iter().map(|slot| slot.0).collect()
}

/// What a command is told, line by line.
pub(super) fn words(order: &NewOrder) -> Vec<String> {
    let text = String::from_utf8(order.payload.clone()).unwrap();
    text.trim_end_matches('\0').split('\0').map(String::from).collect()
}
