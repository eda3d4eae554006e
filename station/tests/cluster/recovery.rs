//! What the recovery manager does, and what a replica does when its disk fails.

use crate::harness::Cluster;
use crate::scenarios::{agent, ask, converge, report, running};
use syncom_wire::control::Verb;
use syncom_wire::report::EventKind;
use syncom_wire::{Frame, FrameHeader};

/// The rules of all decisions, in order.
fn rules(cluster: &mut Cluster) -> Vec<String> {
    let leader = cluster.settle();
    let answer = cluster.ask(leader, &ask(Verb::Decisions, 0, 0)).remove(0);
    let (header, body) = FrameHeader::split(&answer).unwrap();
    let Ok(Frame::Reply(reply)) = Frame::parse(header, body) else { panic!("no reply") };
    let rule = |frame| match frame {
        Ok(Frame::Decision(decision)) => decision.rule.to_owned(),
        other => panic!("{other:?}"),
    };
    reply.iter().map(rule).collect()
}

#[test]
fn a_service_that_keeps_dying_is_given_up_after_five_restarts() {
    let mut cluster = running(21);
    cluster.satellite(1).submit(agent(1), 1);
    cluster.run_until("the node joined", |c| c.satellite(1).members.counts().alive == 1);
    for death in 1..=6 {
        cluster.satellite(1).submit(report("node1/web", EventKind::SERVICE, ""), 1);
        cluster.run_until("it is decided", |c| rules(c).len() == death);
    }
    let decided = rules(&mut cluster);
    assert_eq!(decided, ["restart-service"; 6]);
    let orders = &cluster.satellite(1).orders;
    assert_eq!(orders.len(), 5);
    let distinct: std::collections::BTreeSet<_> = orders.iter().collect();
    assert_eq!(distinct.len(), 5, "each restart is an order of its own");
}

#[test]
fn services_of_absent_nodes_and_strange_events_are_decided_too() {
    let mut cluster = running(22);
    cluster.satellite(1).submit(report("ghost/web", EventKind::SERVICE, ""), 1);
    cluster.satellite(1).submit(report("array7", EventKind::named("disk"), "disk"), 1);
    cluster.run_until("both are decided", |c| rules(c).len() == 2);
    assert_eq!(rules(&mut cluster), ["restart-service", "note"]);
}

#[test]
fn a_replica_whose_disk_fails_says_so_and_stops_while_the_others_serve() {
    let mut cluster = running(23);
    let leader = cluster.settle();
    cluster.fail_disk(leader);
    let fatal = cluster.notices(leader).iter().find(|text| text.starts_with("Fatal")).cloned();
    let fatal = fatal.unwrap();
    assert!(fatal.contains("disk full") && fatal.contains("start it again"), "{fatal}");
    let applied = cluster.station(leader).unwrap().applied();
    cluster.satellite(1).submit(agent(1), 1);
    cluster.run_until("the others serve", |c| c.satellite(1).is_idle());
    assert_eq!(cluster.station(leader).unwrap().applied(), applied, "it does nothing any more");
    cluster.crash(leader);
    cluster.start(leader);
    converge(&mut cluster);
}

/// Nobody waits for an election timeout when the leader is told to go, and nothing is lost.
#[test]
fn a_leader_that_is_told_to_go_hands_over_within_one_tick() {
    for seed in 0..5 {
        let mut cluster = running(seed);
        let first = cluster.settle();
        let term = cluster.station(first).unwrap().term();
        cluster.leave(first);
        cluster.run(20);
        let heir = cluster.leader().expect("somebody leads");
        assert_ne!(first, heir);
        assert_eq!(cluster.station(heir).unwrap().term().0, term.0 + 1, "one election was enough");
        assert!(cluster.notices(first).iter().any(|notice| notice.contains("Gone")));
    }
}

/// The heir that it would choose is hung: it asks the other one before its second is over.
#[test]
fn a_leader_that_is_told_to_go_asks_another_when_its_heir_does_not_answer() {
    for seed in 0..5 {
        let mut cluster = running(seed);
        let first = cluster.settle();
        let mut others = (1..=3).filter(|n| *n != first);
        let (other, hung) = (others.next().unwrap(), others.next().unwrap());
        cluster.pause(hung);
        cluster.leave(first);
        cluster.run(100);
        assert_eq!(cluster.leader(), Some(first), "it asked the hung one first");
        cluster.run(200);
        assert_eq!(cluster.leader(), Some(other), "seed {seed}");
        assert!(cluster.notices(first).iter().any(|notice| notice.contains("Gone")));
    }
}

/// Two of three found a cluster: they get their seats before they acknowledge anything, and the third
/// gets its own when it comes.
#[test]
fn a_station_is_founded_by_a_majority() {
    for seed in 0..10 {
        let mut cluster = Cluster::new(seed, 3);
        let late = u16::try_from(seed % 3).unwrap() + 1;
        let early = (1..=3).filter(|n| *n != late);
        early.for_each(|n| cluster.start(n));
        cluster.start_satellite(1);
        cluster.satellite(1).submit(agent(1), 1);
        cluster.run_until("two serve", |c| c.satellite(1).is_idle());
        cluster.start(late);
        converge(&mut cluster);
        cluster.crash(late % 3 + 1);
        cluster.satellite(1).submit(agent(2), 1);
        cluster.run_until("the late one counts", |c| c.satellite(1).is_idle());
    }
}

/// Alone it has nobody to hand over to, and goes at once.
#[test]
fn a_lone_replica_that_is_told_to_go_goes() {
    let mut cluster = Cluster::new(1, 1);
    cluster.start_all();
    cluster.settle();
    cluster.leave(1);
    cluster.run(5);
    assert!(cluster.notices(1).iter().any(|notice| notice.contains("Gone")));
}
