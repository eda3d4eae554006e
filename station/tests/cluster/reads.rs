//! Invariant 13: an answer shows everything that was acknowledged before its question was asked,
//! whoever is asked.

use crate::harness::Cluster;
use crate::scenarios::{agent, ask, bytes, running};
use syncom_seam::{MS, Time};
use syncom_wire::control::{Ask, Reply, Verb};
use syncom_wire::{Frame, FrameHeader};

/// Status and number of nodes of every answer in the inbox.
fn answers(cluster: &mut Cluster) -> Vec<(u8, usize)> {
    let read = |bytes: Vec<u8>| {
        let (header, body) = FrameHeader::split(&bytes).unwrap();
        let Ok(Frame::Reply(reply)) = Frame::parse(header, body) else { panic!("no reply") };
        let nodes = reply.iter().filter(|frame| matches!(frame, Ok(Frame::Member(_)))).count();
        (reply.head.status, nodes)
    };
    std::mem::take(&mut cluster.inbox).into_iter().map(read).collect()
}

fn question(request: u64, freshness: u8) -> Vec<u8> {
    let mut question = ask(Verb::Nodes, freshness, 0);
    question.head.request = request;
    bytes(&question)
}

/// A leader is stopped, another is elected and commits a join; then the old one goes on and finds a
/// question in its socket. Its answers.
fn asked_of_a_deposed_leader(seed: u64, freshness: u8) -> Vec<(u8, usize)> {
    let mut cluster = running(seed);
    let old = cluster.settle();
    cluster.pause(old);
    cluster.run_until("another leads", |cluster| {
        (1..=3).any(|n| n != old && cluster.station(n).unwrap().is_leader())
    });
    cluster.satellite(1).submit(agent(1), 1);
    cluster.run_until("the others serve", |c| c.satellite(1).is_idle());
    // What the others said meanwhile was lost: it learns nothing from its socket.
    cluster.forget_frames(old);
    cluster.send(old, question(7, freshness));
    cluster.run(1);
    assert!(cluster.station(old).unwrap().is_leader(), "it believes that it leads");
    cluster.resume(old);
    cluster.run(400);
    answers(&mut cluster)
}

/// The check is what keeps it so: without it, the same run shows the old state.
#[test]
fn a_deposed_leader_that_was_stopped_never_shows_old_state() {
    for seed in 0..10 {
        for freshness in [Ask::CURRENT, Ask::LEADER] {
            for (status, nodes) in asked_of_a_deposed_leader(seed, freshness) {
                assert!(status != Reply::DONE || nodes == 1, "seed {seed}: old state");
            }
        }
        let unchecked = asked_of_a_deposed_leader(seed, Ask::STALE);
        assert_eq!(unchecked, [(Reply::DONE, 0)], "seed {seed}: this run would not show a fault");
    }
}

#[test]
fn any_replica_shows_what_was_acknowledged_even_over_loss() {
    let mut cluster = running(21);
    cluster.loss = 50;
    let mut done = 0;
    for n in 1..=40_u8 {
        cluster.satellite(1).submit(agent(n), 1);
        cluster.run_until("the join is answered", |c| c.satellite(1).is_idle());
        let before = usize::from(n).min(6);
        for replica in 1..=3 {
            cluster.send(replica, question(u64::from(n), Ask::CURRENT));
        }
        cluster.run(300);
        for (status, nodes) in answers(&mut cluster) {
            assert!(status != Reply::DONE || nodes >= before, "{nodes} after {n} joins");
            done += u32::from(status == Reply::DONE);
        }
    }
    assert!(done > 90, "{done} of 120 were answered at the first try");
}

#[test]
fn a_replica_that_is_cut_off_says_so_instead_of_guessing() {
    let mut cluster = running(22);
    let leader = cluster.settle();
    for n in [leader, leader % 3 + 1] {
        let others: Vec<u16> = (1..=3).filter(|other| *other != n).collect();
        // The client still reaches it.
        others.iter().for_each(|other| cluster.cut(*other, true));
        cluster.send(n, question(1, Ask::CURRENT));
        cluster.run(400);
        assert_eq!(answers(&mut cluster), [(Reply::BUSY, 0)], "replica {n}");
        cluster.send(n, question(2, Ask::STALE));
        cluster.run(1);
        assert_eq!(answers(&mut cluster), [(Reply::DONE, 0)], "replica {n}");
        others.iter().for_each(|other| cluster.cut(*other, false));
        cluster.settle();
    }
}

#[test]
fn one_round_serves_all_reads_that_wait() {
    let mut cluster = running(23);
    let leader = cluster.settle();
    let follower = leader % 3 + 1;
    let before = cluster.rounds;
    for request in 1..=500 {
        cluster.send(follower, question(request, Ask::CURRENT));
    }
    cluster.run(10);
    let answers = answers(&mut cluster);
    assert_eq!(answers, [(Reply::DONE, 0); 500]);
    assert_eq!(cluster.rounds - before, 2, "one for the first, one for all that came meanwhile");
}

#[test]
fn reads_beyond_the_bound_are_told_to_come_back() {
    let mut cluster = running(24);
    let leader = cluster.settle();
    (1..=3).filter(|n| *n != leader).for_each(|n| cluster.cut(n, true));
    for request in 1..=3_000 {
        cluster.send(leader, question(request, Ask::CURRENT));
    }
    cluster.run(1);
    let refused = answers(&mut cluster);
    assert_eq!(refused.len(), 3_000 - 1_024);
    assert!(refused.iter().all(|(status, _)| *status == Reply::BUSY));
    cluster.run(400);
    assert_eq!(answers(&mut cluster).len(), 1_024, "and the others hear in time");
}

/// A satellite that is cut off with the leader alone must not take what it hears nothing of for dead.
#[test]
fn a_leader_that_nobody_follows_tells_no_satellite_that_it_leads() {
    for seed in 0..10 {
        let mut cluster = running(seed);
        let old = cluster.settle();
        cluster.run(300);
        assert!(cluster.satellite(1).proofs.iter().any(|(number, ..)| *number == old));
        let others = || (1..=3).filter(|n| *n != old);
        others().for_each(|n| cluster.cut(n, true));
        let cut = cluster.now;
        cluster.satellite(1).proofs.clear();
        cluster.run(450);
        let early = cut.after(5 * MS);
        let is_false = |proofs: &[(u16, Time, Time)]| proofs.iter().any(|one| one.1 > early);
        assert!(!is_false(&cluster.satellite(1).proofs), "seed {seed}");
        others().for_each(|n| cluster.cut(n, false));
        cluster.settle();
        cluster.run(500);
        let proofs = core::mem::take(&mut cluster.satellite(1).proofs);
        assert!(!proofs.is_empty());
        let late = |(_, asked, came): &(u16, Time, Time)| came.since(*asked) > 260 * MS;
        assert!(!proofs.iter().any(late), "seed {seed}: {proofs:?}");
    }
}
