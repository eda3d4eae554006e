//! Satellites and replicas that die, and those of whom only one thinks so.

use crate::harness::Cluster;
use crate::scenarios::{ask, converge, join, running};
use syncom_seam::MS;
use syncom_wire::control::Verb;
use syncom_wire::join::Join;
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

/// The leader alone does not hear one of two satellites.
#[test]
fn a_satellite_that_the_leader_does_not_hear_is_given_up_and_comes_back() {
    let mut cluster = running(37);
    cluster.start_satellite(2);
    cluster.satellite(2).submit(join(202, Join::SATELLITE, 2, "satellite-2"), 1);
    cluster.run_until("it joined", |c| c.satellite(2).is_idle());
    let leader = cluster.settle();
    let to = cluster.addr(leader);
    cluster.unheard = Some((Cluster::satellite_addr(1), to));
    cluster.run(9_000);
    assert_eq!(told(&mut cluster).len(), 2, "both joined, and it may be a moment");
    cluster.run(3_000);
    assert_eq!(cluster.settle(), leader, "else another would have heard it");
    let seen = told(&mut cluster);
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen[2].contains("is dead: silent for 10"), "{seen:?}");
    assert!(seen[2].contains("still hears it"), "{seen:?}");
    cluster.run(5_000);
    assert_eq!(told(&mut cluster).len(), 3, "once");
    cluster.unheard = None;
    cluster.satellite(1).submit(join(201, Join::SATELLITE, 1, "satellite-1"), 1);
    cluster.run(3_000);
    let seen = told(&mut cluster);
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert!(!seen[3].contains("dead"), "{seen:?}");
}

#[test]
fn a_leader_that_is_late_again_and_again_still_misses_the_dead() {
    let mut cluster = running(38);
    let leader = cluster.settle();
    let dead = follower(&mut cluster);
    cluster.run(1_000);
    cluster.crash(dead);
    for _ in 0..10 {
        cluster.pause(leader);
        cluster.run(130);
        cluster.resume(leader);
        cluster.run(300);
    }
    assert_eq!(cluster.settle(), leader);
    let seen = told(&mut cluster);
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen[1].starts_with(&format!("station{dead} is dead")), "{seen:?}");
}

/// The one witness is far away: its answers take longer than three questions nearby.
#[test]
fn a_replica_that_only_a_distant_one_hears_lives_on() {
    for seed in 50..56 {
        let mut cluster = running(seed);
        let leader = cluster.settle();
        let quiet = follower(&mut cluster);
        let witness = 6 - leader - quiet;
        cluster.far = Some((witness, 80 * MS));
        cluster.run(3_000);
        assert_eq!(cluster.settle(), leader, "seed {seed}");
        cluster.unheard = Some((cluster.addr(quiet), cluster.addr(leader)));
        cluster.run(10_000);
        assert_eq!(cluster.settle(), leader, "seed {seed}");
        let seen = told(&mut cluster);
        assert_eq!(seen.len(), 1, "the satellite joined: {seen:?}");
    }
}

#[test]
fn a_lost_replica_is_back_as_soon_as_anybody_hears_it() {
    let mut cluster = running(39);
    let leader = cluster.settle();
    let quiet = follower(&mut cluster);
    cluster.run(1_000);
    cluster.cut(quiet, true);
    cluster.run(3_000);
    assert_eq!(told(&mut cluster).len(), 2, "it is dead");
    cluster.unheard = Some((cluster.addr(quiet), cluster.addr(leader)));
    cluster.cut(quiet, false);
    cluster.run(10_000);
    assert_eq!(cluster.settle(), leader);
    assert_eq!(told(&mut cluster)[2..], [format!("station{quiet} is back")]);
}
