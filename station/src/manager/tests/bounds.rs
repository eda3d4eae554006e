//! Limits, pauses, guard and brake.

use super::fixture::{Bench, draft, step};
use syncom_wire::policy::Action;

#[test]
fn restarts_pause_longer_each_time_and_end_after_five() {
    let mut bench = Bench::new(1);
    for pause_ms in [0, 500, 1_000, 2_000, 4_000] {
        bench.report("node0/web", "service");
        if pause_ms > 0 {
            assert!(bench.pass(pause_ms - 1).think().is_empty(), "{pause_ms}");
            bench.pass(1);
        }
        assert_eq!(bench.think(), ["restart-service: restart web on node0"]);
        let order = bench.only_order();
        bench.finish(&order, 0);
    }
    bench.report("node0/web", "service");
    let gave_up = "restart-service: gave up: 5 times within 60 s did not help";
    assert_eq!(bench.pass(8_000).think(), [gave_up]);
    bench.pass(60_000).report("node0/web", "service");
    assert_eq!(bench.think(), ["restart-service: restart web on node0"], "a new window");
}

#[test]
fn a_rule_fires_no_more_often_than_it_may_for_one_or_for_all() {
    let mut bench = Bench::new(1);
    let mut rule = draft("disk", &[step(Action::Nothing)]);
    (rule.head.subject_limit, rule.head.subject_window_ms) = (1, 10_000);
    (rule.head.rule_limit, rule.head.rule_window_ms) = (2, 60_000);
    bench.install(&[rule], |_| ());
    for subject in ["a", "b", "c"] {
        bench.report(subject, "disk");
    }
    let limit = "rule0: refused: it fired 2 times within 60 s, its limit";
    let done = "rule0: nothing to do";
    assert_eq!(bench.think(), [done, done, limit], "in one step already");
    bench.pass(11_000).report("c", "disk");
    assert_eq!(bench.think(), [limit], "and in the next ones");
    bench.pass(60_000).report("c", "disk");
    assert_eq!(bench.think(), [done]);
}

#[test]
fn no_more_nodes_are_fenced_than_the_guard_lets() {
    let mut bench = Bench::new(10);
    bench.install(&[draft("deadPeer", &[step(Action::Fence)])], |head| {
        (head.guard_nodes, head.guard_permille, head.brake_deaths) = (2, 1_000, 100);
    });
    for node in 0..3 {
        bench.kill(node);
    }
    let decided = bench.think();
    assert_eq!(decided.len(), 3);
    assert!(decided[2].contains("do no harm: 2 of 10 nodes"), "{decided:?}");
    assert_eq!(bench.open().len(), 2);
    bench.pass(601_000).kill(4);
    assert_eq!(bench.think().last().unwrap(), "rule0: fence node4 by act on node3");
}

#[test]
fn a_part_of_the_nodes_is_a_bound_too_and_one_may_always_go() {
    let mut bench = Bench::new(4);
    bench.install(&[draft("disk", &[step(Action::Drain)])], |head| {
        (head.guard_nodes, head.guard_permille) = (100, 100);
    });
    bench.report("node0", "disk");
    bench.report("node1", "disk");
    let decided = bench.think();
    assert!(decided[0].contains("drain node0"), "{decided:?}");
    assert!(decided[1].contains("do no harm") && decided[1].contains("1 is the limit"));
}

#[test]
fn the_last_instance_of_a_service_is_not_taken_away() {
    let mut bench = Bench::new(3);
    bench.start_service(0, "db");
    bench.start_service(1, "web");
    bench.pass(1).start_service(2, "web");
    bench.install(&[draft("disk", &[step(Action::Drain)])], |head| head.guard_permille = 1_000);
    for node in ["node0", "node1", "node2"] {
        bench.report(node, "disk");
    }
    let decided = bench.think();
    assert_eq!(decided[0], "rule0: refused, do no harm: node0 runs the last db");
    assert!(decided[1].starts_with("rule0: drain node1"), "{decided:?}");
    assert_eq!(decided[2], "rule0: refused, do no harm: node2 runs the last web");
}

#[test]
fn a_storm_holds_fencing_until_it_is_over() {
    let mut bench = Bench::new(12);
    bench.install(&[draft("deadPeer", &[step(Action::Fence)])], |head| {
        (head.guard_nodes, head.guard_permille) = (100, 1_000);
    });
    for node in 0..4 {
        bench.kill(node);
    }
    let storms = bench.machine.events.since(1).filter(|event| event.kind == "storm").count();
    assert_eq!(storms, 1, "one event for all of them");
    let decided = bench.think();
    let held = decided.iter().filter(|said| said.contains("held: fence waits")).count();
    assert_eq!((held, bench.open().len()), (4, 0), "{decided:?}");
    assert!(bench.pass(20_000).think().is_empty(), "said once");
    bench.kill(4);
    bench.think();
    assert!(bench.pass(29_000).think().is_empty(), "another death makes it last");
    bench.join(0, 2);
    let decided = bench.pass(1_000).think();
    assert_eq!(decided[0], "rule0: node0 is alive again: left alone");
    assert_eq!((decided.len(), bench.open().len()), (5, 4));
}

/// Kills nodes 0 to 9 of 30 in that order, each as those satellites say, of so many that serve; how many
/// are fenced, and how many wait.
fn fenced_and_held(satellites: u8, says: impl Fn(u32) -> Vec<u16>) -> (usize, usize) {
    let mut bench = Bench::new(30);
    bench.serve(satellites);
    bench.install(&[draft("deadPeer", &[step(Action::Fence)])], |head| {
        (head.guard_nodes, head.guard_permille) = (100, 1_000);
    });
    for node in 0..10 {
        says(node).into_iter().for_each(|satellite| bench.kill_as(satellite, node));
    }
    let storms = bench.machine.events.since(1).filter(|event| event.kind == "storm").count();
    assert_eq!(storms, 1, "agreed or not, it is told");
    let decided = bench.think();
    let held = decided.iter().filter(|said| said.contains("held: fence waits")).count();
    (bench.open().len(), held)
}

#[test]
fn a_power_loss_that_two_thirds_of_the_satellites_see_is_fenced() {
    let homes = |node: u32| u16::try_from(node).unwrap() % 5 + 1;
    assert_eq!(fenced_and_held(5, |node| vec![homes(node)]), (10, 0));
    assert_eq!(fenced_and_held(5, |node| vec![1, homes(node)]), (10, 0), "one is always faster");
    assert_eq!(fenced_and_held(3, |node| vec![homes(node).min(2)]), (10, 0), "two of three");
}

#[test]
fn a_satellite_that_sees_mass_death_alone_does_not_lift_the_brake() {
    assert_eq!(fenced_and_held(5, |_| vec![1]), (0, 10));
    let three = |node: u32| vec![u16::try_from(node).unwrap() % 3 + 1];
    assert_eq!(fenced_and_held(5, three), (0, 10), "three of five");
    assert_eq!(fenced_and_held(2, |_| vec![1, 2]), (0, 10), "two are no jury");
    assert_eq!(fenced_and_held(1, |_| vec![1]), (0, 10));
}

#[test]
fn what_waited_goes_on_when_the_satellites_agree_before_the_storm_is_over() {
    let mut bench = Bench::new(30);
    bench.serve(3);
    bench.install(&[draft("deadPeer", &[step(Action::Fence)])], |head| {
        (head.guard_nodes, head.guard_permille) = (100, 1_000);
    });
    (0..6).for_each(|node| bench.kill_as(1, node));
    assert_eq!((bench.think().len(), bench.open().len()), (7, 0), "and the storm itself");
    (0..6).for_each(|node| bench.kill_as(2, node));
    bench.pass(1_000).think();
    assert_eq!(bench.open().len(), 6);
    let mut late = Bench::new(30);
    late.serve(3);
    (0..6).for_each(|node| late.kill_as(1, node));
    late.pass(11_000);
    (0..6).for_each(|node| late.kill_as(2, node));
    let now_ns = late.machine.clock.at(late.now_ns);
    assert!(late.machine.is_braked(now_ns), "that was too late to be the same");
}

#[test]
fn a_step_that_was_overtaken_changes_nothing() {
    let mut bench = Bench::new(3);
    bench.install(&[draft("deadPeer", &[step(Action::Fence)])], |_| ());
    bench.kill(0);
    let step = crate::manager::thought::think(&bench.machine, syncom_wire::Term(3), bench.now_ns);
    bench.apply(&crate::machine::command::Command::Step(step.clone()));
    let (decisions, orders) = (bench.machine.decisions.last(), bench.open().len());
    bench.apply(&crate::machine::command::Command::Step(step));
    assert_eq!((bench.machine.decisions.last(), bench.open().len()), (decisions, orders));
}

#[test]
fn a_rule_under_way_ends_when_its_policy_goes() {
    let mut bench = Bench::new(3);
    bench.install(&[draft("deadPeer", &[step(Action::Fence)])], |_| ());
    bench.kill(0);
    bench.think();
    bench.pass(1).install(&[], |_| ());
    let order = bench.only_order();
    bench.finish(&order, 0);
    let decided = bench.think();
    assert!(decided[0].contains("no rule rule0"), "{decided:?}");
    assert!(bench.machine.recovery.cases.is_empty());
}

#[test]
fn what_a_report_says_never_becomes_a_word_of_a_command() {
    let mut bench = Bench::new(2);
    bench.install(&[draft("disk", &[step(Action::Notify)])], |_| ());
    bench.report("$(reboot) `id` ; rm", "disk");
    bench.think();
    let order = bench.only_order();
    let told = super::fixture::words(&order);
    let at = told.iter().position(|word| word == "act").unwrap();
    assert_eq!(at + 1, told.len());
    assert!(told[1..at].iter().all(|word| word.starts_with("SYNCOM_")), "{told:?}");
}

#[test]
fn the_most_retries_that_can_be_asked_for_are_no_more_than_that() {
    let mut bench = Bench::new(2);
    let mut tell = step(Action::Notify);
    (tell.head.retries, tell.head.backoff_ms) = (u8::MAX, 0);
    bench.install(&[draft("disk", &[tell])], |_| ());
    bench.report("array7", "disk");
    let mut tries = 0;
    loop {
        let decided = bench.think();
        if decided[0].contains("gave up after 256 tries") {
            break;
        }
        if let Some(order) = bench.open().first() {
            tries += 1;
            bench.finish(order, 1);
        }
        assert!(tries <= 256, "{decided:?}");
    }
    assert_eq!(tries, 256);
}

#[test]
fn a_service_with_an_impossible_name_is_not_remembered() {
    let mut bench = Bench::new(2);
    bench.start_service(0, &"x".repeat(65));
    bench.pass(1).start_service(0, "a/b");
    assert_eq!(bench.machine.graph.services_of("node0").count(), 0);
}
