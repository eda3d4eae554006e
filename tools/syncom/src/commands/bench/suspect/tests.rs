use super::plan::Blow;
use super::*;
use clap::Parser as _;

#[derive(clap::Parser)]
struct Typed {
    #[command(flatten)]
    args: Suspect,
}

fn args() -> Suspect {
    Typed::parse_from(["suspect"]).args
}

fn stop(lasts_ns: u64) -> Stroke {
    Stroke { blow: Blow::Stop(vec!["node1".into()]), lasts_ns }
}

fn news(kind: &str, node: &str) -> News {
    News { kind: kind.into(), node: node.into(), seq: 1 }
}

#[test]
fn only_a_node_that_was_stopped_and_late_is_dead_by_the_rules() {
    let dead = [news("deadPeer", "node1")];
    assert_eq!(judge(&args(), &stop(SECOND), SECOND, &dead).dead_by_rule, 1);
    assert_eq!(judge(&args(), &stop(500 * MS), 599 * MS, &dead).false_dead, dead);
    // Whoever strikes was starved, and woke it late.
    assert_eq!(judge(&args(), &stop(500 * MS), SECOND, &dead).dead_by_rule, 1);
    let other = [news("deadPeer", "node2")];
    assert_eq!(judge(&args(), &stop(SECOND), SECOND, &other).false_dead, other);
}

#[test]
fn a_satellite_that_was_stopped_is_no_false_death() {
    let found = judge(&args(), &stop(SECOND), SECOND, &[news("deadPeer", "sat1")]);
    assert_eq!(found, Found::default());
}

#[test]
fn who_was_stopped_for_long_must_have_been_missed() {
    let long = stop(5 * SECOND);
    assert_eq!(judge(&args(), &long, 5 * SECOND, &[]).missed, ["node1"]);
    for kind in ["deadPeer", "gray"] {
        assert!(judge(&args(), &long, 5 * SECOND, &[news(kind, "node1")]).missed.is_empty());
    }
    assert!(judge(&args(), &stop(2 * SECOND), 2 * SECOND, &[]).missed.is_empty());
}
