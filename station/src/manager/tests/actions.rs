//! What each action does.

use super::fixture::{Bench, Draft, draft, image, slots, step, words};
use crate::machine::encoder::Encoder;
use syncom_wire::idset::IdSet;
use syncom_wire::order::Outcome;
use syncom_wire::policy::Action;

fn calm(bench: &mut Bench, rules: &[Draft]) {
    bench.install(rules, |head| (head.guard_permille, head.brake_deaths) = (1_000, 100));
}

#[test]
fn nothing_is_said_and_done() {
    let mut bench = Bench::new(2);
    let mut quiet = step(Action::Nothing);
    quiet.text = "known and harmless";
    calm(&mut bench, &[Draft { subject: "array*", ..draft("disk", &[quiet]) }]);
    bench.report("array7", "disk");
    bench.report("pump", "disk");
    assert_eq!(bench.think(), ["rule0: known and harmless", "note: noted"]);
    assert!(bench.think().is_empty() && bench.open().is_empty());
}

#[test]
fn the_first_rule_that_matches_decides() {
    let mut bench = Bench::new(2);
    let rules = ["node1", "node*", "*"]
        .map(|subject| Draft { subject, ..draft("deadPeer", &[step(Action::Nothing)]) });
    let mut severe = draft("disk", &[step(Action::Nothing)]);
    severe.head.severity = 3;
    calm(&mut bench, &[&[severe][..], &rules].concat());
    bench.kill(0);
    bench.report("array7", "disk");
    assert_eq!(bench.think(), ["rule2: nothing to do", "note: noted"]);
}

#[test]
fn a_dead_service_is_restarted_without_any_policy() {
    let mut bench = Bench::new(2);
    bench.report("node1/web", "service");
    assert_eq!(bench.think(), ["restart-service: restart web on node1"]);
    let order = bench.only_order();
    assert_eq!((order.verb, slots(&order), order.payload.as_slice()), (4, vec![1], &b"web"[..]));
    bench.finish(&order, 0);
    assert!(bench.think().is_empty(), "nothing waits for it");
    assert_eq!(bench.machine.graph.services_of("node1").collect::<Vec<_>>(), [("web", "up")]);
}

#[test]
fn an_order_runs_on_the_living_and_again_only_where_it_failed() {
    let mut bench = Bench::new(4);
    bench.kill(3);
    bench.think();
    let mut run = step(Action::Order);
    (run.on, run.head.retries) = ("node*", 1);
    calm(&mut bench, &[draft("disk", &[run, step(Action::Nothing)])]);
    bench.report("array7", "disk");
    assert_eq!(bench.think(), ["rule0: run act on 3 nodes"]);
    let order = bench.only_order();
    assert_eq!(slots(&order), [0, 1, 2]);
    let told = words(&order);
    assert_eq!((told[0].as_str(), told.last().unwrap().as_str()), ("env", "act"));
    assert!(told.contains(&"SYNCOM_SUBJECT=array7".into()), "{told:?}");
    assert!(told.contains(&"SYNCOM_TERM=3".into()) && told.contains(&"SYNCOM_ATTEMPT=1".into()));
    assert!(told.iter().any(|word| word.contains(r#""detail":"\"why\"""#)), "{told:?}");
    let mut outcomes = Encoder::default();
    for (code, nodes) in [(0, image(&[0, 2])), (7, image(&[1]))] {
        let nodes = IdSet::parse(&nodes).unwrap();
        outcomes.frame(&Outcome { code, cut: 0, nodes, output: &[] });
    }
    bench.finish_with(&order, outcomes.finish());
    assert_eq!(bench.think(), ["rule0: failed: exit 7 on node1; try 2 of 2 in 1000 ms"]);
    assert!(bench.pass(999).think().is_empty());
    assert_eq!(bench.pass(1).think(), ["rule0: run act on 1 nodes"]);
    let again = bench.only_order();
    assert_eq!((slots(&again), again.id == order.id), (vec![1], false));
    bench.finish(&again, 0);
    assert_eq!(bench.think(), ["rule0: done: order", "rule0: nothing to do"]);
    assert!(bench.machine.recovery.cases.is_empty());
}

#[test]
fn a_notification_goes_to_one_and_then_to_the_next() {
    let mut bench = Bench::new(3);
    let mut tell = step(Action::Notify);
    (tell.on, tell.head.retries) = ("node[1-2]", 1);
    calm(&mut bench, &[draft("disk", &[tell])]);
    bench.report("array7", "disk");
    assert_eq!(bench.think(), ["rule0: notify by act on node1"]);
    let order = bench.only_order();
    bench.finish(&order, 1);
    bench.think();
    assert_eq!(bench.pass(1_000).think(), ["rule0: notify by act on node2"]);
    let order = bench.only_order();
    bench.finish(&order, 1);
    assert_eq!(bench.think(), ["rule0: gave up after 2 tries: exit 1 on node2"]);
}

#[test]
fn a_drained_node_gets_no_work_until_it_is_let_go() {
    let mut bench = Bench::new(3);
    let mut drain = step(Action::Drain);
    drain.text = "a bad disk";
    calm(&mut bench, &[draft("disk", &[drain])]);
    bench.report("node1", "disk");
    assert_eq!(bench.think(), ["rule0: drain node1: a bad disk"]);
    assert!(bench.machine.recovery.is_drained(syncom_wire::Slot(1)));
    bench.report("node1/web", "disk");
    assert_eq!(bench.think(), ["rule0: node1 is drained already"]);
    bench.report("array7", "disk");
    assert_eq!(bench.think(), ["rule0: refused: the event is about no node"]);
    bench.drain(&image(&[1]), false);
    assert!(!bench.machine.recovery.is_drained(syncom_wire::Slot(1)));
    let last = bench.machine.decisions.since(1).last().unwrap();
    assert_eq!(last.as_frame().action, "node1 works again: by hand");
}

#[test]
fn fencing_goes_on_elsewhere_until_it_succeeds() {
    let mut bench = Bench::new(4);
    let mut fence = step(Action::Fence);
    fence.head.retries = 2;
    calm(&mut bench, &[draft("deadPeer", &[fence])]);
    bench.kill(0);
    assert_eq!(bench.think(), ["rule0: fence node0 by act on node1"]);
    let mut ids = Vec::new();
    for (code, said) in [
        (1, "rule0: failed: exit 1 on node1; try 2 of 3 in 1000 ms"),
        (1, "rule0: failed: exit 1 on node2; try 3 of 3 in 2000 ms"),
        (0, "rule0: done: fence"),
    ] {
        let order = bench.only_order();
        let told = words(&order);
        assert!(told.contains(&"SYNCOM_NODE=node0".into()), "{told:?}");
        ids.push(told.iter().find(|word| word.starts_with("SYNCOM_ID=")).unwrap().clone());
        bench.finish(&order, code);
        assert_eq!(bench.think(), [said]);
        bench.pass(2_000).think();
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "one deed, one number: {ids:?}");
    assert!(bench.open().is_empty() && bench.machine.recovery.cases.is_empty());
}

#[test]
fn a_node_that_is_back_is_left_alone_and_a_gray_one_is_not_fenced() {
    let mut bench = Bench::new(3);
    let fence = [step(Action::Fence)];
    calm(&mut bench, &[draft("deadPeer", &fence), draft("gray", &fence)]);
    bench.kill(0);
    bench.join(0, 2);
    bench.verdict(1, "gray");
    assert_eq!(
        bench.think(),
        [
            "rule0: node0 is alive again: left alone",
            "rule1: node1 is gray: gray nodes are not fenced"
        ]
    );
    assert!(bench.open().is_empty());
}

#[test]
fn a_node_that_keeps_dying_and_coming_back_gets_no_work_until_it_is_steady() {
    let mut bench = Bench::new(3);
    let mut home = step(Action::Move);
    home.on = "node[1-2]";
    calm(&mut bench, &[draft("deadPeer", &[home])]);
    for life in 1..=3 {
        bench.verdict_of_life(1, "deadPeer", life);
        bench.think();
        bench.join(1, u64::from(life) + 1);
    }
    let newest = bench.machine.events.newest_about("node1").unwrap();
    assert!(newest.detail.contains("no work for now"), "{}", newest.detail);
    bench.start_service(2, "web");
    bench.start_service(2, "log");
    bench.start_service(0, "db");
    bench.kill(0);
    let decided = bench.think();
    assert_eq!(decided, ["rule0: move from node0: db to node2"], "node1 runs nothing, and yet");
    let order = bench.only_order();
    bench.finish(&order, 0);
    bench.think();
    // Nine minutes leave less than one of three.
    bench.pass(540_000).join(0, 2);
    bench.verdict_of_life(2, "deadPeer", 1);
    let decided = bench.think().concat();
    assert!(decided.contains("web to node1"), "{decided}");
}

#[test]
fn services_of_a_dead_node_move_once_it_is_fenced() {
    let mut bench = Bench::new(4);
    bench.start_service(0, "db");
    bench.start_service(1, "web");
    let mut home = step(Action::Move);
    home.on = "node[1-2]";
    calm(&mut bench, &[draft("deadPeer", &[step(Action::Fence), home])]);
    bench.drain(&image(&[3]), true);
    bench.kill(0);
    assert_eq!(bench.think(), ["rule0: fence node0 by act on node1"]);
    assert!(bench.think().is_empty(), "not before it is cut off");
    let fence = bench.only_order();
    bench.finish(&fence, 0);
    assert_eq!(bench.think(), ["rule0: done: fence", "rule0: move from node0: db to node2"]);
    let order = bench.only_order();
    assert_eq!((order.verb, slots(&order)), (2, vec![2]));
    assert_eq!(words(&order), ["db", "run-db"], "as it was started");
    bench.finish(&order, 0);
    assert_eq!(bench.think(), ["rule0: done: move"]);
    let runners: Vec<_> = bench.machine.graph.runners_of("db").collect();
    assert_eq!(runners, [("node2", "up")], "and no longer on node0");
}

#[test]
fn a_move_tries_the_next_home_and_names_what_it_does_not_find() {
    let mut bench = Bench::new(3);
    bench.start_service(0, "db");
    let mut home = step(Action::Move);
    home.head.retries = 1;
    calm(&mut bench, &[draft("deadPeer", &[home])]);
    bench.kill(0);
    bench.think();
    let order = bench.only_order();
    bench.finish(&order, -2);
    assert_eq!(bench.think(), ["rule0: failed: db: busy on node1; try 2 of 2 in 1000 ms"]);
    assert_eq!(bench.pass(1_000).think(), ["rule0: move from node0: db to node2"]);
    bench.kill(1);
    assert_eq!(bench.think(), ["rule0: nothing to move is known to run on node1"]);
}
