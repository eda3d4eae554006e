//! The machine from outside: entries in, effects and state out.

use super::command::{Command, NewDecision, NewOrder, Step, begin};
use super::{Effect, Machine};
use syncom_seam::SECOND;
use syncom_seam::limits::{QUEUE_MAX, QUEUE_RESERVED};
use syncom_wire::announced::Announced;
use syncom_wire::bytes::List;
use syncom_wire::join::{Join, JoinHead, Leave};
use syncom_wire::member::MemberState;
use syncom_wire::report::{EventKind, ReportId};
use syncom_wire::uplink::{Batch, BatchAck, BatchHead, ItemResult, Record, RecordHead};
use syncom_wire::{Addr, Boot, Emit, Incarnation, OrderId, PeerId, Slot, Subject, Term, Uuid};

/// Feeds batches of one satellite into a machine.
struct Feeder {
    machine: Machine,
    seq: u64,
    now_ns: u64,
    effects: Vec<Effect>,
}

impl Feeder {
    fn new() -> Self {
        let machine = Machine::new(&[PeerId::station(1)]);
        Self { machine, seq: 0, now_ns: 100 * SECOND, effects: Vec::new() }
    }

    fn apply(&mut self, commands: &[Command<'_>]) {
        let mut out = begin(self.now_ns);
        commands.iter().for_each(|command| command.encode(&mut out));
        self.effects.clear();
        self.machine.apply(self.machine.applied + 1, 1, &out.finish(), &mut self.effects);
    }

    fn batch(&mut self, items: &[u8], count: u32) -> Vec<ItemResult> {
        self.seq += 1;
        let (peer, boot) = (PeerId::satellite(1), Boot(1));
        let head = BatchHead { peer, items: count, boot, seq: self.seq };
        self.apply(&[Command::Batch(Batch { head, items })]);
        self.machine.sessions.answer(peer, boot, self.seq).unwrap().results.clone()
    }

    fn item<E: Emit>(&mut self, item: &E) -> ItemResult {
        self.batch(&bytes(item), 1)[0]
    }

    fn state(&self, slot: u32) -> MemberState {
        self.machine.membership.members().agent(Slot(slot)).unwrap().state()
    }

    fn events(&self) -> Vec<(String, u32)> {
        self.machine.events.since(0).map(|e| (e.kind.clone(), e.head.count)).collect()
    }
}

pub(crate) fn bytes<E: Emit>(frame: &E) -> Vec<u8> {
    let mut out = super::encoder::Encoder::default();
    out.frame(frame);
    out.finish()
}

pub(crate) fn join_head(node: u8, boot: u64) -> JoinHead {
    JoinHead {
        uuid: Uuid([node; 16]),
        boot: Boot(boot),
        pid: 0,
        role: Join::AGENT,
        reserved: 0,
        addr: Addr::v4([10, 0, 0, node], 4000),
        weight: 0,
        number: 0,
        spare: 0,
    }
}

fn join(node: u8, boot: u64) -> Join<'static> {
    const NAMES: [&str; 4] = ["node0", "node1", "node2", "node3"];
    let head = join_head(node, boot);
    Join { head, name: NAMES[usize::from(node)], domain: "rack1", services: Announced::NONE }
}

const fn record(
    subject: Subject,
    life: u32,
    kind: EventKind,
    contributors: &[ReportId],
) -> Record<'_> {
    let head = RecordHead {
        subject,
        incarnation: Incarnation(life),
        kind,
        observers: 0b11,
        domains: 1,
        first_ns: 1,
        last_ns: 2,
        heard_ago_us: 3,
        reporters: 1,
        count: 1,
        score_x16: 96,
        needed_x16: 96,
        observers_of: 8,
        probes: 3,
        homes_silent: 0,
        health_max: 0,
        severity: 2,
        reserved: [0; 3],
    };
    Record { head, contributors: List::new(contributors), subject: "", kind: "", detail: "why" }
}

const fn report(slot: u32, seq: u64) -> ReportId {
    ReportId { slot: Slot(slot), incarnation: Incarnation(1), seq }
}

#[test]
fn a_uuid_keeps_its_slot_and_gets_a_new_life() {
    let mut feeder = Feeder::new();
    let first = feeder.item(&join(1, 10));
    assert_eq!((first.code, first.event, first.incarnation.0), (ItemResult::DONE, 0, 1));
    assert!(feeder.effects.contains(&Effect::View));
    let again = feeder.item(&join(1, 10));
    assert_eq!((again.code, again.incarnation.0), (ItemResult::KNOWN, 1));
    assert!(!feeder.effects.contains(&Effect::View));
    let life = feeder.item(&join(1, 11));
    assert_eq!((life.code, life.event, life.incarnation.0), (ItemResult::DONE, 0, 2));
    assert_eq!(feeder.item(&join(1, 9)).code, ItemResult::KNOWN, "an older life is ignored");
    assert_eq!(feeder.item(&join(2, 5)).event, 1, "the next uuid gets the next slot");
    let thief = Join { name: "node1", ..join(3, 1) };
    assert_eq!(feeder.item(&thief).code, ItemResult::REFUSED);
}

fn runs(feeder: &Feeder, node: &str) -> Vec<(String, String)> {
    let services = feeder.machine.graph.services_of(node);
    services.map(|(service, state)| (service.to_owned(), state.to_owned())).collect()
}

#[test]
fn what_a_node_announces_is_known_before_anything_happens_to_it() {
    let mut feeder = Feeder::new();
    let up = |service: &str| (service.to_owned(), "up".to_owned());
    let said = [8, 0, b'w', b'e', b'b', 0, b'r', b'u', b'n', 0, 2, 0, b'd', b'b'];
    let services = Announced::parse(&said).unwrap();
    feeder.item(&Join { services, ..join(1, 10) });
    assert_eq!(runs(&feeder, "node1"), [up("db"), up("web")]);
    assert_eq!(feeder.machine.recovery.command("web"), Some(&b"run\0"[..]));
    assert_eq!(feeder.machine.recovery.command("db"), None, "only its name was announced");
    feeder.item(&Join { services: Announced::parse(&said[10..]).unwrap(), ..join(1, 11) });
    assert_eq!(runs(&feeder, "node1"), [up("db")], "a new life begins with what it says");
    let leave =
        Leave { uuid: Uuid([1; 16]), boot: Boot(11), slot: Slot(0), incarnation: Incarnation(2) };
    feeder.item(&leave);
    assert_eq!(runs(&feeder, "node1"), [("db".to_owned(), "stopped".to_owned())]);
}

/// Invariant 7: a slot stays with its uuid while that is dead or gone, and across snapshots.
#[test]
fn a_slot_is_never_given_to_another_uuid() {
    let mut feeder = Feeder::new();
    assert_eq!([0, 1].map(|node| feeder.item(&join(node, 1)).event), [0, 1]);
    feeder.item(&record(Subject::node(Slot(0)), 1, EventKind::DEAD, &[]));
    let (slot, incarnation) = (Slot(1), Incarnation(1));
    feeder.item(&Leave { uuid: Uuid([1; 16]), boot: Boot(1), slot, incarnation });
    assert_eq!([0, 1].map(|slot| feeder.state(slot)), [MemberState::Dead, MemberState::Left]);
    assert_eq!(feeder.item(&join(2, 1)).event, 2, "the slots of the dead and gone are not free");
    feeder.machine = Machine::decode(&feeder.machine.encode()).unwrap();
    assert_eq!([3, 1, 0].map(|node| feeder.item(&join(node, 2)).event), [3, 1, 0]);
}

#[test]
fn a_death_counts_once_per_life_and_can_be_taken_back() {
    let mut feeder = Feeder::new();
    feeder.item(&join(1, 10));
    let dead = record(Subject::node(Slot(0)), 1, EventKind::DEAD, &[]);
    let first = feeder.item(&dead);
    assert_eq!((first.code, feeder.state(0)), (ItemResult::DONE, MemberState::Dead));
    let copy = feeder.item(&dead);
    assert_eq!((copy.code, copy.event), (ItemResult::KNOWN, first.event));
    assert_eq!(feeder.item(&join(1, 10)).incarnation.0, 2);
    assert_eq!(feeder.machine.membership.false_deaths(), 1);
    assert_eq!(feeder.item(&dead).code, ItemResult::KNOWN, "evidence about the old life is void");
    assert_eq!(feeder.state(0), MemberState::Alive);
}

#[test]
fn leaving_takes_the_right_life_only() {
    let mut feeder = Feeder::new();
    feeder.item(&join(1, 10));
    let leave = |boot| Leave {
        uuid: Uuid([1; 16]),
        boot: Boot(boot),
        slot: Slot(0),
        incarnation: Incarnation(1),
    };
    assert_eq!(feeder.item(&leave(9)).code, ItemResult::KNOWN);
    assert_eq!(feeder.item(&leave(10)).code, ItemResult::DONE);
    assert_eq!(feeder.state(0), MemberState::Left);
}

#[test]
fn repetitions_join_one_event_and_known_reports_change_nothing() {
    let mut feeder = Feeder::new();
    feeder.item(&join(1, 10));
    let disk = EventKind::named("disk");
    let about = Subject::named("array7");
    let first = [report(0, 1)];
    let one = Record { subject: "array7", kind: "disk", ..record(about, 0, disk, &first) };
    let made = feeder.item(&one);
    assert_eq!(made.code, ItemResult::DONE);
    let known = feeder.item(&one);
    assert_eq!((known.code, known.event), (ItemResult::KNOWN, made.event));
    assert!(feeder.effects.contains(&Effect::Repeated));
    let second = [report(0, 2)];
    let two = Record { contributors: List::new(&second), ..one };
    let joined = feeder.item(&two);
    assert_eq!((joined.code, joined.event), (ItemResult::DONE, made.event));
    assert!(feeder.effects.contains(&Effect::Repeated));
    assert_eq!(feeder.events().last(), Some(&("disk".to_owned(), 2)));
    feeder.apply(&[Command::Claim { term: Term(1), node: PeerId::station(1) }]);
    let step = Step { term: Term(1), settle: vec![(made.event, 2)], ..Step::default() };
    feeder.apply(&[Command::Step(step)]);
    feeder.now_ns += 11 * SECOND;
    let third = [report(0, 3)];
    let late = feeder.item(&Record { contributors: List::new(&third), ..one });
    assert_eq!(late.event, made.event + 1, "settled and old: the next one is news");
}

#[test]
fn a_full_queue_still_takes_deaths() {
    let mut feeder = Feeder::new();
    feeder.item(&join(1, 10));
    fn about(name: &str) -> Record<'_> {
        let plain = record(Subject::named(name), 0, EventKind::named("disk"), &[]);
        Record { subject: name, kind: "disk", ..plain }
    }
    for number in 0..QUEUE_MAX - QUEUE_RESERVED {
        let name = format!("array{number}");
        assert_eq!(feeder.item(&about(&name)).code, ItemResult::DONE);
    }
    assert_eq!(feeder.item(&about("one more")).code, ItemResult::BUSY);
    assert!(feeder.effects.contains(&Effect::NoRoom));
    let dead = record(Subject::node(Slot(0)), 1, EventKind::DEAD, &[]);
    assert_eq!(feeder.item(&dead).code, ItemResult::DONE);
}

#[test]
fn a_batch_is_applied_once_and_a_gap_is_refused() {
    let mut feeder = Feeder::new();
    feeder.item(&join(1, 10));
    let items = bytes(&join(2, 10));
    let (peer, boot) = (PeerId::satellite(1), Boot(1));
    for (seq, status) in [(3, BatchAck::BUSY), (2, BatchAck::COMMITTED), (2, BatchAck::COMMITTED)] {
        let head = BatchHead { peer, items: 1, boot, seq };
        feeder.apply(&[Command::Batch(Batch { head, items: &items })]);
        assert!(feeder.effects.contains(&Effect::Batch { peer, boot, seq, status }));
    }
    assert_eq!(feeder.events().len(), 2, "two joins, each once");
}

#[test]
fn a_step_of_a_deposed_manager_has_no_effect() {
    let mut feeder = Feeder::new();
    feeder.apply(&[Command::Claim { term: Term(5), node: PeerId::station(1) }]);
    let order = NewOrder {
        id: OrderId(1),
        verb: 4,
        policy: 0,
        need: 0,
        deadline_ms: 1,
        event: 0,
        to: Vec::new(),
        payload: Vec::new(),
    };
    let step = |term| {
        Command::Step(Step {
            term,
            settle: Vec::new(),
            decisions: vec![NewDecision {
                event: 1,
                order: OrderId(1),
                rule: "r".into(),
                action: "a".into(),
            }],
            orders: vec![order.clone()],
            ..Step::default()
        })
    };
    feeder.apply(&[step(Term(4))]);
    assert_eq!(feeder.effects, [Effect::Stale(Term(4))]);
    assert_eq!(feeder.machine.orders.open().count(), 0);
    feeder.apply(&[step(Term(5))]);
    assert_eq!(feeder.effects, [Effect::OrderOpened(OrderId(1)), Effect::Stepped(Term(5))]);
    assert_eq!(feeder.machine.decisions.since(0).count(), 1);
}

/// Rules, seed 20088: the storm rose between the thought and its entry.
#[test]
fn a_step_that_a_storm_has_overtaken_is_thought_of_anew() {
    let mut feeder = Feeder::new();
    feeder.apply(&[Command::Claim { term: Term(5), node: PeerId::station(1) }]);
    let decision =
        NewDecision { event: 1, order: OrderId(0), rule: "r".into(), action: "a".into() };
    let step = |is_braked| {
        let decisions = vec![decision.clone()];
        Command::Step(Step { term: Term(5), is_braked, decisions, ..Step::default() })
    };
    let policy = feeder.machine.rules.head();
    feeder.machine.recovery.storm.rise(feeder.now_ns, &policy);
    feeder.apply(&[step(false)]);
    assert_eq!(feeder.effects, [Effect::Overtaken(Term(5))]);
    assert_eq!(feeder.machine.decisions.since(0).count(), 0);
    feeder.apply(&[step(true)]);
    assert_eq!(feeder.effects, [Effect::Stepped(Term(5))]);
}

#[test]
fn a_snapshot_is_the_machine_and_a_damaged_one_is_refused() {
    let mut feeder = Feeder::new();
    for node in 0..4 {
        feeder.item(&join(node, 10));
    }
    feeder.item(&record(Subject::node(Slot(2)), 1, EventKind::DEAD, &[report(0, 1)]));
    let image = feeder.machine.encode();
    let mut copy = Machine::decode(&image).unwrap();
    assert_eq!(copy.encode(), image);
    let of_version = |magic: &[u8; 8]| Machine::decode(&[&magic[..], &image[8..]].concat()).is_ok();
    assert!(of_version(b"syncomM3"), "the version before is read, too");
    assert!(!of_version(b"syncomM2") && !of_version(b"syncomM5"));
    let rings = |machine: &Machine| machine.membership.rings().observers(Slot(0)).to_vec();
    assert_eq!(rings(&copy), rings(&feeder.machine));
    copy.apply(copy.applied + 1, 2, &[], &mut Vec::new());
    assert_ne!(copy.state_hash(), feeder.machine.state_hash());
    for cut in 0..image.len() {
        assert!(Machine::decode(&image[..cut]).is_err());
    }
    for at in 0..image.len() {
        let mut damaged = image.clone();
        damaged[at] ^= 0x55;
        let _ = Machine::decode(&damaged);
    }
}
