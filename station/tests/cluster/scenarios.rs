//! What must hold whatever happens to the replicas.

use crate::harness::Cluster;
use syncom_group::SlotSet;
use syncom_station::Station;
use syncom_wire::announced::Announced;
use syncom_wire::bytes::List;
use syncom_wire::control::{Ask, AskHead, OrderState, Reply, Verb};
use syncom_wire::idset::IdSet;
use syncom_wire::join::{Join, JoinHead};
use syncom_wire::order::{OrderHead, Receipt, Submit, Verb as OrderVerb};
use syncom_wire::report::EventKind;
use syncom_wire::uplink::{Record, RecordHead};
use syncom_wire::{
    Addr, Boot, Emit, Frame, FrameHeader, Incarnation, OrderId, Slot, Subject, Term, Uuid,
};

pub(crate) fn bytes(frame: &impl Emit) -> Vec<u8> {
    let mut out = vec![0; frame.size() + FrameHeader::SIZE];
    syncom_wire::frame::emit(frame, &mut out).unwrap();
    out
}

pub(crate) fn agent(n: u8) -> Vec<u8> {
    join(n, Join::AGENT, 0, &format!("node{n}"))
}

pub(crate) fn join(n: u8, role: u8, number: u16, name: &str) -> Vec<u8> {
    let head = JoinHead {
        uuid: Uuid([n; 16]),
        boot: Boot(1),
        pid: 0,
        role,
        reserved: 0,
        addr: Addr::v4([10, 1, 0, n], 4000),
        weight: 1,
        number,
        spare: 0,
    };
    bytes(&Join { head, name, domain: "rack1", services: Announced::NONE })
}

/// A record that no report stands behind: each application of it counts.
pub(crate) fn report(subject: &str, kind: EventKind, kind_name: &str) -> Vec<u8> {
    let head = RecordHead {
        domains: 1,
        first_ns: 1,
        last_ns: 1,
        severity: 1,
        ..RecordHead::new(Subject::named(subject), Incarnation(0), kind)
    };
    let contributors = List::new(&[]);
    bytes(&Record { head, contributors, subject, kind: kind_name, detail: "" })
}

pub(crate) const fn ask(verb: Verb, freshness: u8, cursor: u64) -> Ask<'static> {
    let head = AskHead { request: 1, verb: verb as u16, freshness, reserved: [0; 5], cursor };
    Ask { head, argument: &[] }
}

/// Three replicas, a leader, and satellite 1 with its own join committed.
pub(crate) fn running(seed: u64) -> Cluster {
    running_on(seed, 3, 50_000)
}

/// The same, with so many replicas that take a snapshot so often.
pub(crate) fn running_on(seed: u64, replicas: u16, snapshot_every: u64) -> Cluster {
    let mut cluster = Cluster::new(seed, replicas);
    cluster.snapshot_every = snapshot_every;
    cluster.start_all();
    cluster.start_satellite(1);
    cluster.satellite(1).submit(join(201, Join::SATELLITE, 1, "satellite-1"), 1);
    cluster.settle();
    cluster.run_until("the satellite joined", |c| c.satellite(1).is_idle());
    cluster
}

/// Invariant 11: replicas that have applied the same index have the same state hash.
pub(crate) fn converge(cluster: &mut Cluster) {
    cluster.run_until("all replicas apply the same", |cluster| {
        let applied: Vec<u64> = cluster.stations().map(Station::applied).collect();
        applied.windows(2).all(|pair| pair[0] == pair[1]) && cluster.leader().is_some()
    });
    let hashes: Vec<u64> = cluster.stations().map(Station::state_hash).collect();
    assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "states differ: {hashes:?}");
}

fn alive(cluster: &Cluster, n: u16) -> usize {
    cluster.station(n).unwrap().members().counts().alive
}

#[test]
fn three_replicas_elect_a_leader_and_a_new_one_when_it_dies() {
    for seed in 0..5 {
        let mut cluster = Cluster::new(seed, 3);
        cluster.start_all();
        let first = cluster.settle();
        let term = cluster.station(first).unwrap().term();
        cluster.crash(first);
        let second = cluster.settle();
        assert_ne!(first, second);
        assert!(cluster.station(second).unwrap().term() > term);
        cluster.start(first);
        cluster.run(3_000);
        assert_eq!(cluster.leader(), Some(second), "who comes back disturbs nobody");
        converge(&mut cluster);
    }
}

#[test]
fn one_replica_alone_serves() {
    let mut cluster = Cluster::new(1, 1);
    cluster.start_all();
    cluster.start_satellite(1);
    cluster.satellite(1).submit(agent(1), 1);
    cluster.run_until("the join is answered", |c| c.satellite(1).is_idle());
    assert_eq!(alive(&cluster, 1), 1);
}

/// Every event, page by page, as (kind, subject, count).
fn all_events(cluster: &mut Cluster, n: u16) -> Vec<(String, String, u32)> {
    let (mut cursor, mut events) = (0, Vec::new());
    loop {
        let answer = cluster.ask(n, &ask(Verb::Events, 0, cursor)).remove(0);
        let (header, body) = FrameHeader::split(&answer).unwrap();
        let Ok(Frame::Reply(reply)) = Frame::parse(header, body) else { panic!("no reply") };
        for frame in reply.iter() {
            let Ok(Frame::Event(event)) = frame else { panic!("no event") };
            events.push((event.kind.to_owned(), event.subject.to_owned(), event.head.count));
        }
        if reply.head.more == 0 {
            return events;
        }
        cursor = reply.head.next;
    }
}

/// Invariant 8: events have one order, the same at every replica, whoever led when they came.
/// Joins would hide a batch that is applied twice; a count that grows does not.
#[test]
fn every_batch_takes_effect_once_while_leaders_die() {
    for seed in 0..4 {
        let mut cluster = running(seed);
        cluster.loss = 50;
        for round in 0..4_u8 {
            for n in 1..=10 {
                let items =
                    [agent(round * 10 + n), report("load", EventKind::named("beat"), "beat")];
                cluster.satellite(1).submit(items.concat(), 2);
            }
            cluster.run(60);
            let leader = cluster.settle();
            cluster.crash(leader);
            cluster.run(2_500);
            cluster.start(leader);
        }
        cluster.loss = 0;
        cluster.run_until("all batches are answered", |c| c.satellite(1).is_idle());
        // That the last one is back is an event as well.
        cluster.run(2_000);
        converge(&mut cluster);
        let leader = cluster.settle();
        assert_eq!(alive(&cluster, leader), 40);
        let answered: Vec<u64> = cluster.satellite(1).answers.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(answered, (1..=41).collect::<Vec<_>>(), "in order, each once");
        let [events, second, third] = [1, 2, 3].map(|n| all_events(&mut cluster, n));
        assert!(events == second && events == third, "seed {seed}: orders differ");
        let beats = events.into_iter().filter(|event| event.0 == "beat");
        assert_eq!(beats.map(|event| event.2).sum::<u32>(), 40, "seed {seed}: each counted once");
    }
}

/// A dead service is restarted by an order, which the satellite of these tests answers.
#[test]
fn a_dead_service_is_restarted_once_even_if_the_leader_dies_meanwhile() {
    let mut cluster = running(11);
    cluster.satellite(1).submit(agent(1), 1);
    cluster.run_until("the node joined", |c| c.satellite(1).members.counts().alive == 1);
    cluster.satellite(1).deaf = true;
    cluster.satellite(1).submit(report("node1/web", EventKind::SERVICE, ""), 1);
    cluster.run_until("the order arrives", |c| !c.satellite(1).orders.is_empty());
    let leader = cluster.settle();
    cluster.crash(leader);
    cluster.run(2_000);
    cluster.satellite(1).deaf = false;
    cluster.run_until("the order is done", |c| c.satellite(1).cancelled > 0);
    let orders = cluster.satellite(1).orders.clone();
    assert!(orders.len() >= 2, "the next leader issues it again");
    assert!(orders.iter().all(|order| *order == orders[0]), "under the same number: {orders:?}");
    cluster.start(leader);
    converge(&mut cluster);
    let leader = cluster.settle();
    let answer = cluster.ask(leader, &ask(Verb::Decisions, 0, 0)).remove(0);
    let (header, body) = FrameHeader::split(&answer).unwrap();
    let Ok(Frame::Reply(reply)) = Frame::parse(header, body) else { panic!("no reply") };
    let decisions: Vec<_> = reply.iter().flatten().collect();
    let [Frame::Decision(decision)] = decisions[..] else { panic!("one: {decisions:?}") };
    assert_eq!((decision.rule, decision.action), ("restart-service", "restart web on node1"));
}

/// What a client reads page by page, following `next`, is every node's own output.
#[test]
fn an_operators_order_gathers_every_output_however_many_pages() {
    let mut cluster = running(12);
    for n in 1..=20 {
        cluster.satellite(1).submit(agent(n), 1);
    }
    cluster.run_until("all joined", |c| c.satellite(1).members.counts().alive == 20);
    cluster.satellite(1).chatty = 6_000;
    let mut to = SlotSet::new();
    (0..21).for_each(|slot| assert!(to.insert(Slot(slot)), "and one that nobody has"));
    let image = to.to_image();
    let head = OrderHead {
        id: OrderId(0),
        term: Term(0),
        deadline_ms: 5_000,
        verb: OrderVerb::Run as u8,
        policy: OrderHead::ALL,
        flags: 0,
        need: 0,
        reserved: 0,
    };
    let submit = Submit { head, to: IdSet::parse(&image).unwrap(), payload: b"hostname\0" };
    let argument = bytes(&submit);
    let leader = cluster.settle();
    let question = Ask { argument: &argument, ..ask(Verb::Submit, 1, 0) };
    let first = order_states(&cluster.ask(leader, &question)[0]);
    let again = order_states(&cluster.ask(leader, &question)[0]);
    assert_eq!(first[0].id, again[0].id, "the same question makes the same order");
    cluster.run(1_000);
    let (mut cursor, mut outputs, mut dead, mut pages) = (first[0].id.0, 0, 0, 0);
    loop {
        let answer = cluster.ask(leader, &ask(Verb::OrderState, 0, cursor)).remove(0);
        let (header, body) = FrameHeader::split(&answer).unwrap();
        let Ok(Frame::Reply(reply)) = Frame::parse(header, body) else { panic!("no reply") };
        pages += 1;
        for frame in reply.iter() {
            match frame.unwrap() {
                Frame::OrderState(state) => {
                    assert_eq!((state.done, state.failed, state.missing), (20, 1, 0));
                    assert_eq!(state.state, OrderState::COMPLETE);
                }
                Frame::Outcome(outcome) if outcome.code == Receipt::NODE_DEAD => dead += 1,
                Frame::Outcome(outcome) => {
                    let slot = outcome.nodes.iter().next().unwrap();
                    assert!(outcome.output.iter().all(|b| u32::from(*b) == slot.0));
                    outputs += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        if reply.head.more == 0 {
            break;
        }
        cursor = reply.head.next;
    }
    assert_eq!((outputs, dead), (20, 1));
    assert!(pages > 1, "120 KB do not fit one answer");
}

/// An order of some policy to three nodes, whose satellite answers nothing; its number.
fn unanswered_order(cluster: &mut Cluster, policy: u8, need: u32) -> u64 {
    for n in 1..=3 {
        cluster.satellite(1).submit(agent(n), 1);
    }
    cluster.run_until("all joined", |c| c.satellite(1).members.counts().alive == 3);
    cluster.satellite(1).deaf = true;
    let mut to = SlotSet::new();
    (0..3).for_each(|slot| assert!(to.insert(Slot(slot))));
    let image = to.to_image();
    let head = OrderHead {
        id: OrderId(0),
        term: Term(0),
        deadline_ms: 60_000,
        verb: OrderVerb::Run as u8,
        policy,
        flags: 0,
        need,
        reserved: 0,
    };
    let submit = Submit { head, to: IdSet::parse(&image).unwrap(), payload: b"sleep\09\0" };
    let argument = bytes(&submit);
    let leader = cluster.settle();
    let answer = cluster.ask(leader, &Ask { argument: &argument, ..ask(Verb::Submit, 1, 0) });
    cluster.run(300);
    order_states(&answer[0])[0].id.0
}

#[test]
fn a_cancelled_order_ends_and_its_satellites_stop_what_runs() {
    let mut cluster = running(14);
    let id = unanswered_order(&mut cluster, OrderHead::ALL, 0);
    let leader = cluster.settle();
    for _ in 0..2 {
        let answer = cluster.ask(leader, &ask(Verb::Cancel, Ask::LEADER, id));
        let state = order_states(&answer[0])[0];
        assert_eq!((state.state, state.missing), (OrderState::CANCELLED, 3), "and again");
    }
    cluster.run(300);
    let satellite = cluster.satellite(1);
    assert_eq!((satellite.cancelled, satellite.stopped), (1, 1));
    let unknown = cluster.ask(leader, &ask(Verb::Cancel, Ask::LEADER, id + 0x1_0000)).remove(0);
    assert!(order_states(&unknown).is_empty());
}

fn order_states(answer: &[u8]) -> Vec<OrderState> {
    let (header, body) = FrameHeader::split(answer).unwrap();
    let Ok(Frame::Reply(reply)) = Frame::parse(header, body) else { panic!("no reply") };
    let state = |frame| match frame {
        Ok(Frame::OrderState(state)) => Some(state),
        _ => None,
    };
    reply.iter().filter_map(state).collect()
}

#[test]
fn satellites_converge_on_the_station_s_view() {
    let mut cluster = running(3);
    cluster.start_satellite(2);
    cluster.satellite(2).submit(join(202, Join::SATELLITE, 2, "satellite-2"), 1);
    for n in 1..=30 {
        cluster.satellite(1 + u16::from(n % 2)).submit(agent(n), 1);
    }
    cluster.run_until("both satellites hold everybody", |c| {
        (1..=2).all(|n| c.satellite(n).members.counts().alive == 30)
    });
    cluster.run(500);
    let leader = cluster.settle();
    let view = cluster.station(leader).unwrap().members().view();
    for n in 1..=2 {
        assert_eq!(cluster.satellite(n).view, view);
        assert_eq!(cluster.satellite(n).members.satellite_counts().alive, 2);
    }
}

#[test]
fn joins_of_one_burst_make_few_views() {
    let mut cluster = running(4);
    // Until every replica has its seat.
    cluster.run(1_000);
    let before = cluster.settle();
    let applied = cluster.station(before).unwrap().applied();
    for chunk in 0..4_u8 {
        let items: Vec<u8> = (0..25).flat_map(|n| agent(1 + chunk * 25 + n)).collect();
        cluster.satellite(1).submit(items, 25);
    }
    cluster.run_until("all joined", |c| c.satellite(1).members.counts().alive == 100);
    let entries = cluster.station(before).unwrap().applied() - applied;
    assert!(entries <= 3, "{entries} entries for one burst");
}

#[test]
fn a_silent_satellite_is_dead_and_a_slow_start_kills_none() {
    let mut cluster = running(5);
    cluster.run(5_000);
    let leader = cluster.settle();
    assert_eq!(cluster.station(leader).unwrap().members().satellite_counts().alive, 1);
    cluster.crash_satellite(1);
    cluster.run_until("it is missed", |cluster| {
        let leader = cluster.settle();
        cluster.station(leader).unwrap().members().satellite_counts().dead == 1
    });
}

#[test]
fn a_laggard_gets_a_snapshot_and_ends_in_the_same_state() {
    let mut cluster = Cluster::new(6, 3);
    cluster.snapshot_every = 20;
    cluster.start_all();
    cluster.start_satellite(1);
    let leader = cluster.settle();
    let laggard = if leader == 1 { 2 } else { 1 };
    cluster.crash(laggard);
    for n in 1..=100 {
        cluster.satellite(1).submit(agent(n), 1);
        cluster.run(60);
    }
    cluster.run_until("all joined", |c| c.satellite(1).is_idle());
    cluster.start(laggard);
    converge(&mut cluster);
    assert_eq!(alive(&cluster, laggard), 100);
    cluster.crash(laggard);
    cluster.start(laggard);
    converge(&mut cluster);
}

#[test]
fn everything_restarts_with_its_history() {
    let mut cluster = running(7);
    for n in 1..=20 {
        cluster.satellite(1).submit(agent(n), 1);
    }
    cluster.run_until("all joined", |c| c.satellite(1).is_idle());
    (1..=3).for_each(|n| cluster.crash(n));
    cluster.run(1_000);
    cluster.start_all();
    let leader = cluster.settle();
    cluster.run_until("the log is applied", |c| {
        let events = |n| c.station(n).unwrap().events();
        events(leader) >= 21
    });
    assert_eq!(alive(&cluster, leader), 20);
}

#[test]
fn a_leader_that_is_cut_off_steps_down_and_acknowledges_nothing() {
    let mut cluster = running(8);
    let old = cluster.settle();
    cluster.cut(old, true);
    cluster.run_until("another leads", |cluster| {
        (1..=3).any(|n| n != old && cluster.station(n).unwrap().is_leader())
    });
    cluster.satellite(1).submit(agent(1), 1);
    cluster.run_until("the others serve", |c| c.satellite(1).is_idle());
    cluster.run(2_000);
    assert!(!cluster.station(old).unwrap().is_leader());
    cluster.cut(old, false);
    converge(&mut cluster);
    assert_eq!(alive(&cluster, old), 1);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut cluster = running(9);
        cluster.loss = 100;
        for n in 1..=20 {
            cluster.satellite(1).submit(agent(n), 1);
        }
        let leader = cluster.settle();
        cluster.crash(leader);
        cluster.run(5_000);
        let states = cluster.stations().map(|s| (s.term(), s.applied(), s.state_hash()));
        states.collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn questions_are_answered_by_whoever_may() {
    let mut cluster = running(10);
    for n in 1..=20 {
        cluster.satellite(1).submit(agent(n), 1);
    }
    cluster.run_until("all joined", |c| c.satellite(1).is_idle());
    let leader = cluster.settle();
    let (mut cursor, mut nodes) = (0, 0);
    loop {
        let answer = cluster.ask(leader, &ask(Verb::Nodes, 1, cursor)).remove(0);
        assert!(answer.len() < 1_400, "fits a datagram: {}", answer.len());
        let (header, body) = FrameHeader::split(&answer).unwrap();
        let Ok(Frame::Reply(reply)) = Frame::parse(header, body) else { panic!("no reply") };
        assert_eq!(reply.head.status, Reply::DONE);
        nodes += reply.iter().filter(|frame| matches!(frame, Ok(Frame::Member(_)))).count();
        if reply.head.more == 0 {
            break;
        }
        cursor = reply.head.next;
    }
    assert_eq!(nodes, 20);
    let follower = leader % 3 + 1;
    let answer = cluster.ask(follower, &ask(Verb::Status, 1, 0)).remove(0);
    let (header, body) = FrameHeader::split(&answer).unwrap();
    let Ok(Frame::Reply(reply)) = Frame::parse(header, body) else { panic!("no reply") };
    assert_eq!(reply.head.status, Reply::NOT_LEADER);
    assert_eq!(reply.head.leader_addr, cluster.addr(leader));
    for notices in (1..=3).map(|n| cluster.notices(n)) {
        let events = notices.iter().filter(|text| text.starts_with("Event")).count();
        assert_eq!(events, 21, "every replica tells every event once");
    }
}
