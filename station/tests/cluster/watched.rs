//! Satellites and replicas that die, and those of whom only one thinks so.

use crate::harness::Cluster;
use crate::scenarios::{ask, converge, running};
use syncom_wire::control::Verb;
use syncom_wire::{Frame, FrameHeader};

/// What was committed about satellites and replicas since the beginning.
fn told(cluster: &mut Cluster) -> Vec<String> {
    let leader = cluster.settle();
    let answer = cluster.ask(leader, &ask(Verb::Events, 0, 0)).remove(0);
    let (header, body) = FrameHeader::split(&answer).unwrap();
    let Ok(Frame::Reply(reply)) = Frame::parse(header, body) else { panic!("no reply") };
    let event = |frame| match frame {
        Ok(Frame::Event(event)) => event,
        other => panic!("{other:?}"),
    };
    let events = reply.iter().map(event);
    let events = events.filter(|event| event.kind == "satellite" || event.kind == "replica");
    events.map(|event| event.detail.to_owned()).collect()
}

/// The replicas' states as a leader tells them, by number: 3 is that of the dead.
fn states(cluster: &mut Cluster) -> Vec<u8> {
    let leader = cluster.settle();
    let answer = cluster.ask(leader, &ask(Verb::Status, 0, 0)).remove(0);
    let (header, body) = FrameHeader::split(&answer).unwrap();
    let Ok(Frame::Reply(reply)) = Frame::parse(header, body) else { panic!("no reply") };
    let Some(Ok(Frame::Status(status))) = reply.iter().next() else { panic!("no status") };
    let mut replicas: Vec<_> = status.replicas.iter().collect();
    replicas.sort_by_key(|one| one.peer);
    replicas.iter().map(|one| one.state).collect()
}

fn follower(cluster: &mut Cluster) -> u16 {
    let leader = cluster.settle();
    (1..=3).find(|n| *n != leader).unwrap()
}

#[test]
fn a_dead_satellite_is_told_of_once_with_who_misses_it() {
    let mut cluster = running(31);
    let leader = cluster.settle();
    cluster.run(1_000);
    cluster.crash_satellite(1);
    cluster.run(1_000);
    assert_eq!(told(&mut cluster).len(), 1, "it joined, and its time is not up");
    cluster.run(4_000);
    let told = told(&mut cluster);
    let death = told.last().unwrap();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(death.contains("is dead: silent for 1"), "{death}");
    assert!(death.contains(&format!("ms at station{leader}; not heard by station")), "{death}");
    assert!(death.contains("no answer from satellite-1"), "{death}");
}

#[test]
fn a_satellite_that_the_leader_alone_does_not_hear_lives_on() {
    let mut cluster = running(32);
    let leader = cluster.settle();
    let to = cluster.addr(leader);
    cluster.unheard = Some((Cluster::satellite_addr(1), to));
    cluster.run(10_000);
    assert_eq!(cluster.settle(), leader, "else another would have heard it");
    assert_eq!(told(&mut cluster).len(), 1, "it joined");
    cluster.crash_satellite(1);
    cluster.run(3_000);
    assert!(told(&mut cluster)[1].contains("is dead"), "and dies all the same");
}

#[test]
fn a_replica_that_dies_and_comes_back_is_told_of_once_each() {
    let mut cluster = running(33);
    let dead = follower(&mut cluster);
    let name = format!("station{dead}");
    cluster.run(1_000);
    cluster.crash(dead);
    cluster.run(5_000);
    let seen = told(&mut cluster);
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen[1].starts_with(&format!("{name} is dead: silent for ")), "{seen:?}");
    assert!(seen[1].contains(&format!("no answer from {name}")), "{seen:?}");
    assert_eq!(states(&mut cluster)[usize::from(dead - 1)], 3);
    cluster.start(dead);
    cluster.run(5_000);
    assert_eq!(told(&mut cluster)[2..], [format!("{name} is back")]);
    assert_ne!(states(&mut cluster)[usize::from(dead - 1)], 3);
    converge(&mut cluster);
}

#[test]
fn a_leader_that_dies_is_told_of_by_its_successor() {
    let mut cluster = running(34);
    let dead = cluster.settle();
    cluster.run(1_000);
    cluster.crash(dead);
    cluster.run(4_000);
    let seen = told(&mut cluster);
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen[1].starts_with(&format!("station{dead} is dead: ")), "{seen:?}");
    cluster.start(dead);
    cluster.run(4_000);
    assert_eq!(told(&mut cluster)[2..], [format!("station{dead} is back")]);
}

#[test]
fn a_replica_that_the_leader_alone_does_not_hear_lives_on() {
    let mut cluster = running(35);
    let leader = cluster.settle();
    let quiet = follower(&mut cluster);
    let (from, to) = (cluster.addr(quiet), cluster.addr(leader));
    cluster.unheard = Some((from, to));
    cluster.run(10_000);
    assert_eq!(cluster.settle(), leader);
    assert_eq!(told(&mut cluster).len(), 1, "the satellite joined");
}

#[test]
fn a_replica_that_stops_for_a_moment_is_not_dead() {
    for seed in 40..43 {
        let mut cluster = running(seed);
        for turn in 0..6 {
            let struck = 1 + turn % 3;
            cluster.pause(struck);
            cluster.run(600);
            cluster.resume(struck);
            cluster.run(2_000);
        }
        let seen = told(&mut cluster);
        assert_eq!(seen.len(), 1, "{seen:?}");
    }
}

#[test]
fn a_founder_that_has_not_started_yet_is_not_called_dead() {
    let mut cluster = Cluster::new(36, 3);
    cluster.start(1);
    cluster.start(2);
    cluster.settle();
    cluster.run(15_000);
    assert_eq!(told(&mut cluster), ["station3 has not been heard yet"]);
    cluster.start(3);
    cluster.run(3_000);
    assert_eq!(told(&mut cluster)[1..], ["station3 is back"]);
}
