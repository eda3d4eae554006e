//! Replicas are replaced while the station serves, and who may not be one any more hears why.

use crate::harness::Cluster;
use crate::scenarios::{agent, bytes, converge, running};
use syncom_wire::control::{Ask, AskHead, Line, Reply, Verb};
use syncom_wire::replica::Replace;
use syncom_wire::{Frame, FrameHeader};

/// An order, and a number that tells its question from others.
fn order(cluster: &Cluster, old: u16, new: u16, flags: u8) -> Replace {
    Replace::order(old, new, cluster.addr(new), flags)
}

/// Gives an order to whoever leads until it is answered: how it stands, or why it is refused.
fn ask(cluster: &mut Cluster, order: &Replace) -> Result<Replace, String> {
    let argument = bytes(order);
    for request in 1..200 {
        let leader = cluster.settle();
        let (verb, freshness, cursor) = (Verb::Replace as u16, Ask::LEADER, 0);
        let head = AskHead { request, verb, freshness, reserved: [0; 5], cursor };
        cluster.inbox.clear();
        cluster.send(leader, bytes(&Ask { head, argument: &argument }));
        cluster.run(50);
        let Some(answer) = cluster.inbox.pop() else { continue };
        let (header, body) = FrameHeader::split(&answer).unwrap();
        let Ok(Frame::Reply(reply)) = Frame::parse(header, body) else { panic!("no reply") };
        match (reply.head.status, reply.iter().next()) {
            (Reply::DONE, Some(Ok(Frame::Replace(standing)))) => return Ok(standing),
            (Reply::REFUSED, Some(Ok(Frame::Line(Line { text })))) => return Err(text.to_owned()),
            _ => cluster.run(100),
        }
    }
    panic!("never answered");
}

fn is_done(cluster: &mut Cluster, order: &Replace) -> bool {
    ask(cluster, order).unwrap().state == Replace::DONE
}

fn replace(cluster: &mut Cluster, old: u16, new: u16, flags: u8) {
    let order = order(cluster, old, new, flags);
    ask(cluster, &order).unwrap();
    cluster.run_until("the replacement is done", |cluster| is_done(cluster, &order));
}

fn stopped(cluster: &Cluster, n: u16) -> &str {
    let words = cluster.notices(n).iter().rev().map(String::as_str);
    words.into_iter().find(|text| text.starts_with("Fatal")).unwrap_or("")
}

/// A join is acknowledged.
fn serves(cluster: &mut Cluster, node: u8) {
    cluster.satellite(1).submit(agent(node), 1);
    cluster.run_until("the station serves", |cluster| cluster.satellite(1).is_idle());
}

#[test]
fn a_dead_replica_is_replaced_and_the_new_one_votes() {
    for seed in 0..20 {
        let mut cluster = running(seed);
        cluster.loss = 20 * (seed % 3);
        serves(&mut cluster, 1);
        let old = u16::try_from(seed % 3).unwrap() + 1;
        cluster.crash(old);
        cluster.run(2_000);
        cluster.start_newcomer(4);
        replace(&mut cluster, old, 4, 0);
        serves(&mut cluster, 2);
        // Without the new one's vote, one of the old ones alone decides nothing.
        let another = old % 3 + 1;
        cluster.crash(another);
        serves(&mut cluster, 3);
        cluster.start(another);
        converge(&mut cluster);
    }
}

#[test]
fn a_second_replacement_follows_the_first_and_founders_are_not_needed() {
    let mut cluster = running(5);
    for (old, new) in [(1, 4), (2, 5), (3, 6)] {
        cluster.crash(old);
        cluster.run(2_000);
        cluster.start_newcomer(new);
        replace(&mut cluster, old, new, 0);
        serves(&mut cluster, u8::try_from(old).unwrap());
    }
    converge(&mut cluster);
}

#[test]
fn leaders_and_the_new_replica_may_die_at_any_step() {
    for seed in 0..60 {
        let mut cluster = running(seed);
        cluster.snapshot_every = 10;
        let old = u16::try_from(seed % 3).unwrap() + 1;
        cluster.crash(old);
        cluster.run(2_000);
        cluster.start_newcomer(4);
        let order = order(&cluster, old, 4, 0);
        ask(&mut cluster, &order).unwrap();
        for round in 0..6 {
            cluster.run((seed * 7 + round * 13) % 60);
            let leader = cluster.leader().unwrap_or(4);
            let victim = if (seed + round) % 3 == 0 { 4 } else { leader };
            cluster.crash(victim);
            cluster.run((seed * 11 + round * 5) % 900);
            cluster.start(victim);
        }
        cluster.run_until("the replacement is done", |cluster| is_done(cluster, &order));
        serves(&mut cluster, 2);
        converge(&mut cluster);
    }
}

#[test]
fn a_living_replica_is_replaced_only_by_force_and_stops_by_name() {
    for seed in 0..12 {
        let mut cluster = running(seed);
        cluster.run(2_000);
        let old = if seed % 2 == 0 { cluster.settle() } else { cluster.settle() % 3 + 1 };
        cluster.start_newcomer(4);
        let gentle = order(&cluster, old, 4, 0);
        let why = ask(&mut cluster, &gentle).unwrap_err();
        assert!(why.contains("still answers"), "{why}");
        replace(&mut cluster, old, 4, Replace::FORCE);
        cluster.run(3_000);
        let words = stopped(&cluster, old);
        assert!(words.contains("was replaced by station4 at index"), "seed {seed}: {words:?}");
        cluster.crash(old);
        serves(&mut cluster, 2);
        // Nor does it come back with what it had, or with nothing.
        cluster.start(old);
        cluster.run(1_000);
        assert!(stopped(&cluster, old).contains("was replaced by station4"));
        cluster.crash(old);
        cluster.start_without_its_disk(old);
        cluster.run(1_000);
        assert!(stopped(&cluster, old).contains("was replaced by station4"));
        cluster.crash(old);
        converge(&mut cluster);
    }
}

/// It would stand for election, lead, and step down at once.
#[test]
fn a_leader_that_goes_names_no_heir_that_is_being_replaced() {
    for seed in 0..12 {
        let mut cluster = running(seed);
        cluster.run(2_000);
        let leader = cluster.settle();
        let old = if leader == 3 { 2 } else { 3 };
        let forced = order(&cluster, old, 4, Replace::FORCE);
        ask(&mut cluster, &forced).unwrap();
        assert_eq!(cluster.settle(), leader);
        cluster.leave(leader);
        cluster.run(20);
        assert_eq!(cluster.leader(), Some(6 - leader - old), "seed {seed}");
    }
}

/// Invariant 14: it decides nothing under its old number.
#[test]
fn a_replica_that_lost_its_disk_or_has_an_old_copy_is_refused_by_name() {
    let mut cluster = running(3);
    serves(&mut cluster, 1);
    cluster.run(100);
    let leader = cluster.settle();
    let follower = leader % 3 + 1;
    let old_copy = cluster.copy_disk(follower);
    cluster.crash(follower);
    cluster.start_without_its_disk(follower);
    cluster.run(1_000);
    let words = stopped(&cluster, follower);
    assert!(words.contains("another log") && words.contains("station replace"), "{words}");
    // Its disk is found, but as it was a while ago.
    let mut cluster = running(3);
    assert_eq!(cluster.settle(), leader);
    serves(&mut cluster, 1);
    serves(&mut cluster, 2);
    serves(&mut cluster, 3);
    cluster.run(1_000);
    cluster.crash(follower);
    cluster.restore(follower, old_copy);
    cluster.start(follower);
    cluster.run(5_000);
    let words = stopped(&cluster, follower);
    assert!(words.contains("old copy") && words.contains("station replace"), "{words}");
}

#[test]
fn what_cannot_be_done_is_refused_with_a_reason_and_asking_again_tells_how_it_stands() {
    let mut cluster = running(7);
    cluster.run(2_000);
    let leader = cluster.settle();
    let (dead, living) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    cluster.crash(dead);
    cluster.run(2_000);
    let refusal = |cluster: &mut Cluster, old, new, flags| {
        let order = order(cluster, old, new, flags);
        ask(cluster, &order).unwrap_err()
    };
    assert!(refusal(&mut cluster, 9, 4, 0).contains("no replica station9"));
    assert!(refusal(&mut cluster, dead, living, 0).contains("a replica already"));
    assert!(refusal(&mut cluster, dead, 4, Replace::CANCEL).contains("nobody ordered"));
    let first = order(&cluster, dead, 4, 0);
    for _ in 0..3 {
        let state = ask(&mut cluster, &first).unwrap().state;
        assert!(matches!(state, Replace::ORDERED | Replace::ADDED), "{state}");
        cluster.run(500);
    }
    assert!(refusal(&mut cluster, dead, 5, 0).contains("is being replaced by station4"));
    // It never comes: the operator gives up, and takes another machine under another number.
    let cancel = order(&cluster, dead, 4, Replace::CANCEL);
    ask(&mut cluster, &cancel).unwrap();
    cluster.run_until("it is called off", |cluster| {
        ask(cluster, &cancel).unwrap().state == Replace::CANCELLED
    });
    assert!(refusal(&mut cluster, 9, 4, 0).contains("no replica"));
    cluster.start_newcomer(4);
    cluster.run(1_000);
    assert!(stopped(&cluster, 4).contains("never became a replica"));
    cluster.crash(4);
    cluster.start_newcomer(5);
    replace(&mut cluster, dead, 5, 0);
    serves(&mut cluster, 1);
    converge(&mut cluster);
}

#[test]
fn a_lone_replica_is_replaced_alive() {
    let mut cluster = Cluster::new(1, 1);
    cluster.start_all();
    cluster.run(2_000);
    cluster.settle();
    cluster.start_newcomer(4);
    replace(&mut cluster, 1, 4, Replace::FORCE);
    cluster.run(3_000);
    assert!(stopped(&cluster, 1).contains("was replaced by station4"));
    assert_eq!(cluster.settle(), 4);
}
