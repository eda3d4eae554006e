//! Reports of programs and services, kept until they are committed.

use crate::fixture::{CLIENT, SLOT, World, addr, config, payload};
use crate::{AgentConfig, ServiceConfig};
use std::string::ToString;
use std::vec;
use std::vec::Vec;
use syncom_seam::limits::{REPORTS_PENDING_MAX, SERVICES_MAX};
use syncom_seam::{Action, Counter, Done, Exit, MS, Role as _, SECOND};
use syncom_wire::control::{Ask, AskHead, Reply, Verb};
use syncom_wire::order::{Order, OrderHead, Verb as OrderVerb};
use syncom_wire::report::{EventKind, Report, ReportAck, ReportHead, ReportId};
use syncom_wire::roster::RosterEntry;
use syncom_wire::{Addr, Frame, Incarnation, Kind, OrderId, PeerId, Slot, Subject, Term};

fn report<'a>(subject: &'a str, kind: &'a str) -> Report<'a> {
    let head = ReportHead {
        id: ReportId { slot: Slot(0), incarnation: Incarnation(0), seq: 0 },
        subject: Subject::named(subject),
        incarnation: Incarnation(0),
        kind: EventKind::named(kind),
        heard_ago_us: 0,
        domain: 0,
        flags: 0,
        neighbours: 0,
        health: 0,
        severity: 1,
        reserved: 0,
        count: 1,
    };
    Report { head, subject, kind, detail: "hot" }
}

fn ask(world: &mut World, request: u64, verb: Verb, argument: &[u8]) {
    let head =
        AskHead { request, verb: verb as u16, freshness: Ask::STALE, reserved: [0; 5], cursor: 0 };
    world.hear(PeerId::client(3), CLIENT, &Frame::Ask(Ask { head, argument }));
}

fn ask_report(world: &mut World, request: u64, report: &Report<'_>) {
    let mut bytes = [0; 1_024];
    let len = syncom_wire::frame::emit(report, &mut bytes).unwrap();
    ask(world, request, Verb::Report, &bytes[..len]);
}

/// Status of the last answer to the client.
fn status(world: &World) -> u8 {
    let Frame::Reply(reply) = world.of(Kind::Reply).last().unwrap().frame() else { unreachable!() };
    reply.head.status
}

fn sent(world: &World) -> Vec<(Addr, ReportHead)> {
    let of = |sent: &crate::fixture::Sent| match sent.frame() {
        Frame::Report(report) => (sent.to, report.head),
        _ => unreachable!(),
    };
    world.of(Kind::Report).into_iter().map(of).collect()
}

#[test]
fn a_report_goes_to_the_first_home_and_its_event_back_to_the_program() {
    let mut world = World::member(3);
    ask_report(&mut world, 5, &report("rack3-pdu", "overheat"));
    assert_eq!(status(&world), Reply::PENDING);
    let reports = sent(&world);
    assert_eq!((reports.len(), reports[0].0), (1, world.homes(SLOT)[0]));
    let head = reports[0].1;
    let id = ReportId { slot: SLOT, incarnation: Incarnation(1), seq: 1 };
    assert_eq!((head.id, head.domain, head.severity), (id, 4, 1));
    world.ack(1, 1, ReportAck::COMMITTED, 4_711);
    let replies = world.of(Kind::Reply);
    let Frame::Reply(reply) = replies.last().unwrap().frame() else { unreachable!() };
    assert_eq!((reply.head.request, reply.head.status), (5, Reply::DONE));
    let Some(Ok(Frame::ReportAck(ack))) = reply.iter().next() else { unreachable!() };
    assert_eq!(ack.items.get(0).unwrap().event, 4_711);
    assert_eq!(world.out.counter(Counter::ReportsCommitted), 1);
    world.clear();
    world.run_ms(5_000);
    assert!(sent(&world).is_empty());
}

#[test]
fn the_same_question_makes_one_report_however_often_it_is_asked() {
    let mut world = World::member(3);
    for _ in 0..3 {
        ask_report(&mut world, 5, &report("rack3-pdu", "overheat"));
    }
    assert_eq!(sent(&world).len(), 1);
    world.ack(1, 1, ReportAck::COMMITTED, 9);
    world.clear();
    ask_report(&mut world, 5, &report("rack3-pdu", "overheat"));
    assert_eq!(status(&world), Reply::DONE, "answered from memory");
    assert!(sent(&world).is_empty());
    ask_report(&mut world, 6, &report("rack3-pdu", "overheat"));
    assert_eq!(sent(&world)[0].1.id.seq, 2, "another question is another report");
}

#[test]
fn a_report_survives_satellites_that_die_with_it() {
    let mut world = World::member(3);
    ask_report(&mut world, 5, &report("rack3-pdu", "overheat"));
    let homes = world.homes(SLOT);
    world.ack(world.number(homes[0]), 1, ReportAck::RECEIVED, 0);
    world.clear();
    world.run_ms(900);
    assert!(sent(&world).is_empty(), "a receipt quiets the fast timer");
    // The first home died before the commit, and the second says nothing.
    world.run_ms(2_100);
    let to: Vec<_> = sent(&world).iter().map(|(to, _)| *to).collect();
    assert_eq!(to[0], homes[1]);
    assert!(!homes.contains(&to[1]) && to[2] == homes[0], "{to:?}");
    assert!(sent(&world).iter().all(|(_, head)| head.id.seq == 1));
    world.ack(3, 1, ReportAck::COMMITTED, 9);
    assert_eq!(status(&world), Reply::DONE);
}

#[test]
fn retries_slow_down_to_one_a_second_and_never_end() {
    let mut world = World::member(2);
    ask_report(&mut world, 5, &report("rack3-pdu", "overheat"));
    world.run_ms(1_000);
    assert!((4..=8).contains(&sent(&world).len()), "{}", sent(&world).len());
    world.clear();
    world.run_ms(60_000);
    assert!((45..=85).contains(&sent(&world).len()), "{}", sent(&world).len());
}

#[test]
fn a_full_queue_at_the_station_is_tried_again_after_a_second() {
    let mut world = World::member(2);
    ask_report(&mut world, 5, &report("rack3-pdu", "overheat"));
    world.ack(1, 1, ReportAck::BUSY, 0);
    world.clear();
    world.run_ms(990);
    assert!(sent(&world).is_empty());
    world.run_ms(30);
    assert_eq!(sent(&world).len(), 1);
}

#[test]
fn beyond_256_pending_reports_the_program_is_refused_and_a_dead_service_is_not() {
    let mut world = World::new(with_service(), 2);
    world.start();
    world.roster(1);
    world.welcome(1);
    for request in 0..REPORTS_PENDING_MAX as u64 {
        ask_report(&mut world, request, &report("rack3-pdu", "overheat"));
        assert_eq!(status(&world), Reply::PENDING);
    }
    ask_report(&mut world, 1_000, &report("rack3-pdu", "overheat"));
    assert_eq!(status(&world), Reply::BUSY);
    assert_eq!(world.out.counter(Counter::ReportsRefused), 1);
    exit(&mut world, 1, 1);
    // All are committed in the end, in order of their numbers, the service's too.
    let mut committed = 0;
    let mut kinds = Vec::new();
    while let Some((_, head)) = sent(&world).into_iter().find(|(_, head)| head.id.seq > committed) {
        committed = head.id.seq;
        kinds.push(head.kind);
        world.ack(1, committed, ReportAck::COMMITTED, committed);
        world.run_ms(1);
    }
    assert_eq!(kinds.len(), REPORTS_PENDING_MAX + 1);
    assert_eq!(kinds.last(), Some(&EventKind::SERVICE));
}

#[test]
fn numbers_on_their_way_stay_within_the_stations_window() {
    let mut world = World::member(2);
    for request in 0..100 {
        ask_report(&mut world, request, &report("rack3-pdu", "overheat"));
    }
    assert_eq!(sent(&world).iter().map(|(_, head)| head.id.seq).max(), Some(32));
    world.clear();
    for seq in 2..=32 {
        world.ack(1, seq, ReportAck::COMMITTED, 1);
    }
    assert!(sent(&world).iter().all(|(_, head)| head.id.seq < 1 + 64), "1 is still missing");
    world.ack(1, 1, ReportAck::COMMITTED, 1);
    assert_eq!(sent(&world).iter().map(|(_, head)| head.id.seq).max(), Some(64));
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    let mut world = World::member(2);
    let good = report("rack3-pdu", "overheat");
    let kind = ReportHead { kind: EventKind(1 << 31), ..good.head };
    let subject = ReportHead { subject: Subject(1 << 63), ..good.head };
    for (request, bad) in [
        report("rack3-pdu", "deadPeer"),
        report("rack3-pdu", "silent"),
        Report { head: kind, ..good },
        Report { head: subject, ..good },
    ]
    .iter()
    .enumerate()
    {
        ask_report(&mut world, request as u64, bad);
        assert_eq!(status(&world), Reply::REFUSED);
    }
    ask(&mut world, 9, Verb::Report, b"nonsense");
    assert_eq!(status(&world), Reply::REFUSED);
    assert!(sent(&world).is_empty());
}

#[test]
fn a_report_about_this_node_by_name_is_about_its_slot() {
    let mut world = World::member(2);
    ask_report(&mut world, 1, &report("node7", "overheat"));
    let head = sent(&world)[0].1;
    assert_eq!((head.subject, head.incarnation), (Subject::node(SLOT), Incarnation(1)));
}

#[test]
fn before_the_welcome_a_program_is_told_to_wait() {
    let mut world = World::new(config(1), 2);
    world.start();
    ask_report(&mut world, 1, &report("rack3-pdu", "overheat"));
    assert_eq!(status(&world), Reply::BUSY);
}

#[test]
fn other_questions_are_sent_on_to_the_leader() {
    let mut world = World::member(1);
    ask(&mut world, 1, Verb::Status, &[]);
    assert_eq!(status(&world), Reply::NOT_FOUND, "nobody knows who leads");
    let leader = PeerId::station(2);
    let state = RosterEntry::SERVING;
    let entry = RosterEntry { peer: leader, addr: addr(802), weight: 0, state, reserved: 0 };
    let entries = [crate::fixture::entry(1), entry];
    let head =
        syncom_wire::roster::RosterHead { epoch: 2, term: Term(3), total: 2, first: 0, leader };
    let entries = syncom_wire::List::new(&entries);
    world.hear_satellite(1, &Frame::Roster(syncom_wire::roster::Roster { head, entries }));
    ask(&mut world, 2, Verb::Status, &[]);
    let replies = world.of(Kind::Reply);
    let Frame::Reply(reply) = replies.last().unwrap().frame() else { unreachable!() };
    assert_eq!((reply.head.status, reply.head.leader_addr), (Reply::NOT_LEADER, addr(802)));
}

fn with_service() -> AgentConfig {
    let argv = vec!["sleep".to_string(), "9".to_string()];
    AgentConfig { services: vec![ServiceConfig { name: "web".into(), argv }], ..config(1) }
}

fn exit(world: &mut World, token: u64, code: i32) {
    let exit = Exit { code, output: b"starting\nno port\n".to_vec(), output_total: 17 };
    let now = world.at();
    world.agent.on_done(now, Done::Exited { token, exit }, &mut world.out);
    world.gather();
}

/// Tokens and programs of the children that were started.
fn spawned(world: &World) -> Vec<(u64, Vec<std::string::String>)> {
    let spawns = world.asked.iter().filter_map(|action| match action {
        Action::Spawn(spawn) => Some((spawn.token, spawn.argv.clone())),
        _ => None,
    });
    spawns.collect()
}

fn order(world: &mut World, id: u64, verb: OrderVerb, words: &[&str]) {
    let head = OrderHead {
        id: OrderId(id),
        term: Term(1),
        deadline_ms: 10_000,
        verb: verb as u8,
        policy: 0,
        flags: 0,
        need: 0,
        reserved: 0,
    };
    let payload = payload(words);
    world.hear_satellite(1, &Frame::Order(Order { head, payload: &payload }));
}

/// State, code and output of the last receipt.
fn receipt(world: &World) -> (u8, i32, std::string::String) {
    let Frame::Receipt(receipt) = world.of(Kind::Receipt).last().unwrap().frame() else {
        unreachable!()
    };
    let output = std::string::String::from_utf8_lossy(receipt.output).to_string();
    (receipt.head.state, receipt.head.code, output)
}

fn serving() -> World {
    let mut world = World::new(with_service(), 2);
    world.start();
    assert_eq!(spawned(&world).len(), 1, "services start with the agent");
    world.roster(1);
    world.welcome(1);
    world.clear();
    world
}

#[test]
fn a_service_that_dies_is_reported_in_the_same_call_and_restarted_by_order() {
    let mut world = serving();
    exit(&mut world, 1, 3);
    let reports = world.of(Kind::Report);
    let Frame::Report(report) = reports[0].frame() else { unreachable!() };
    assert_eq!(report.head.kind, EventKind::SERVICE);
    assert_eq!((report.subject, report.detail), ("node7/web", "exited with code 3: no port"));
    assert_eq!(report.head.subject, Subject::named("node7/web"));
    assert_eq!(world.out.counter(Counter::ServicesDied), 1);
    assert!(spawned(&world).is_empty(), "the recovery manager decides");
    order(&mut world, 1, OrderVerb::ServiceStatus, &["web"]);
    assert_eq!(receipt(&world).1, 3);
    order(&mut world, 2, OrderVerb::ServiceRestart, &["web"]);
    assert_eq!(spawned(&world)[0].1, ["sleep", "9"]);
    assert_eq!(receipt(&world), (2, 0, "running, restarts 1".to_string()));
}

#[test]
fn deaths_before_the_welcome_and_before_the_last_commit_are_counted_and_told_later() {
    let mut world = World::new(with_service(), 2);
    world.start();
    exit(&mut world, 1, 137);
    assert!(world.of(Kind::Report).is_empty());
    world.roster(1);
    world.welcome(1);
    assert_eq!(sent(&world).len(), 1);
    for id in 1..=2 {
        order(&mut world, id, OrderVerb::ServiceRestart, &["web"]);
        let token = spawned(&world).last().unwrap().0;
        exit(&mut world, token, 1);
    }
    assert_eq!(sent(&world).len(), 1);
    world.ack(1, 1, ReportAck::COMMITTED, 5);
    let last = *sent(&world).last().unwrap();
    assert_eq!((last.1.id.seq, last.1.count), (2, 2));
}

#[test]
fn a_restart_stops_first_and_kills_what_does_not_end() {
    let mut world = serving();
    order(&mut world, 1, OrderVerb::ServiceRestart, &["web"]);
    assert_eq!(receipt(&world).0, 1, "accepted");
    assert!(world.asked.contains(&Action::Kill(1, 15)));
    order(&mut world, 2, OrderVerb::ServiceStop, &["web"]);
    assert_eq!(receipt(&world).1, -2, "busy with the restart");
    world.run_ms(5_100);
    assert!(world.asked.contains(&Action::Kill(1, 9)));
    world.clear();
    exit(&mut world, 1, 137);
    assert_eq!(receipt(&world), (2, 0, "restarted".to_string()));
    assert_eq!(spawned(&world).len(), 1);
    assert!(world.of(Kind::Report).is_empty(), "it was told to");
}

#[test]
fn services_can_be_added_stopped_and_started_by_order() {
    let mut world = serving();
    order(&mut world, 1, OrderVerb::ServiceStop, &["web"]);
    exit(&mut world, 1, 143);
    assert_eq!(receipt(&world), (2, 0, "stopped".to_string()));
    order(&mut world, 2, OrderVerb::ServiceStop, &["web"]);
    assert_eq!(receipt(&world), (2, 0, "stopped".to_string()));
    order(&mut world, 3, OrderVerb::ServiceStart, &["web"]);
    assert_eq!(receipt(&world).1, 0);
    order(&mut world, 4, OrderVerb::ServiceStart, &["db", "postgres", "-D"]);
    assert_eq!(spawned(&world).last().unwrap().1, ["postgres", "-D"]);
    order(&mut world, 5, OrderVerb::ServiceRestart, &["nothing"]);
    assert_eq!((receipt(&world).0, receipt(&world).1), (3, -4));
    order(&mut world, 6, OrderVerb::ServiceStart, &[""]);
    assert_eq!(receipt(&world).0, 3);
    for n in 0..SERVICES_MAX as u64 {
        order(&mut world, 100 + n, OrderVerb::ServiceStart, &[&n.to_string(), "true"]);
    }
    assert_eq!(receipt(&world).1, -2, "no room for more");
    assert!(world.now.since(syncom_seam::Time(0)) < SECOND + MS);
}
