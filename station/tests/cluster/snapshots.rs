//! Many events, few bytes: logs are folded into snapshots, and who was away gets one over a network
//! that loses datagrams.

use crate::harness::Cluster;
use crate::scenarios::{converge, report, running_on};
use syncom_seam::MS;
use syncom_seam::limits::EVENTS_KEPT_MAX;
use syncom_station::Station;
use syncom_wire::report::EventKind;

/// Entries between snapshots here.
const EVERY: u64 = 200;
/// Events of one batch, and batches at a time: they fit the queue.
const BATCH: u64 = 50;
const BATCHES: u64 = 100;

/// Bytes that a replica may hold beside its state: entries of an entry's usual size here, and two
/// snapshots. The state is as large as its snapshot.
const ENTRY_BYTES_MAX: usize = 16 << 20;
const STATE_BYTES_MAX: usize = 32 << 20;

/// Writes so many events that nobody has seen before.
fn write(cluster: &mut Cluster, from: u64, count: u64) {
    for first in (from..from + count).step_by(usize::try_from(BATCH * BATCHES).unwrap()) {
        for batch in (first..(first + BATCH * BATCHES).min(from + count)).step_by(50) {
            let events = batch..batch + BATCH;
            let one = |n| report(&format!("disk-{n}"), EventKind::named("smart"), "smart");
            cluster.satellite(1).submit(events.flat_map(one).collect(), 50);
        }
        cluster.run_until("all are written", |c| c.satellite(1).is_idle());
    }
}

fn check_bounds(cluster: &Cluster) {
    for station in cluster.stations() {
        let held = station.held();
        assert!(held.entries as u64 <= 2 * EVERY, "the log is not compacted: {held:?}");
        assert!(held.entry_bytes <= ENTRY_BYTES_MAX, "{held:?}");
        assert!(held.snapshot_bytes <= 2 * STATE_BYTES_MAX, "{held:?}");
    }
}

#[test]
fn seventy_thousand_events_leave_bounded_replicas_and_a_snapshot_crosses_a_lossy_network() {
    let mut cluster = running_on(11, 5, EVERY);
    cluster.loss = 10;
    let away = cluster.settle() % 5 + 1;
    write(&mut cluster, 0, 10_000);
    cluster.crash(away);
    for part in 1..=6 {
        write(&mut cluster, part * 10_000, 10_000);
        check_bounds(&cluster);
    }
    assert_eq!(cluster.installs, 0);
    cluster.start(away);
    converge(&mut cluster);
    assert!(cluster.installs >= 1, "the log cannot hold what it missed");
    check_bounds(&cluster);
    let station = cluster.station(away).unwrap();
    let last = station.events();
    assert!(last >= 70_000, "{last}");
    // The history is bounded, too, and what is in it happened once.
    let oldest = last + 1 - EVENTS_KEPT_MAX as u64;
    assert_eq!(station.event_count(oldest - 1), None);
    assert!((oldest..=last).all(|seq| station.event_count(seq) == Some(1)));
}

/// Three replicas that take snapshots every few entries; one of them is down, far away, and needs a
/// snapshot when it comes back.
fn without_one() -> (Cluster, u16) {
    let mut cluster = running_on(12, 3, 5);
    write(&mut cluster, 0, 3_000);
    let away = cluster.settle() % 3 + 1;
    cluster.crash(away);
    // Until the leader keeps nothing for him any more.
    cluster.run(2_000);
    write(&mut cluster, 3_000, 500);
    cluster.far = Some((away, 20 * MS));
    (cluster, away)
}

/// The others take a snapshot every few milliseconds, and one is a second on its way: what a follower
/// pulls, and the entries after it, must wait for him.
#[test]
fn a_follower_catches_up_however_often_the_others_take_snapshots() {
    let (mut cluster, away) = without_one();
    cluster.loss = 10;
    cluster.start(away);
    for round in 1..=200 {
        write(&mut cluster, 3_500 + round * 50, 50);
        let most = cluster.stations().map(Station::applied).max().unwrap();
        if cluster.installs > 0 && cluster.station(away).unwrap().applied() + 9 >= most {
            assert!(cluster.installs <= 2, "{} snapshots for one return", cluster.installs);
            return converge(&mut cluster);
        }
    }
    panic!("10,000 events later it still lags; {} snapshots", cluster.installs);
}

/// It has forgotten what it was pulling, and nobody waits until its leader loses patience.
#[test]
fn a_follower_that_restarts_while_it_pulls_is_sent_the_snapshot_anew_at_once() {
    let (mut cluster, away) = without_one();
    cluster.start(away);
    cluster.run_until("it pulls", |c| c.station(away).unwrap().held().snapshot_bytes > 0);
    assert_eq!(cluster.installs, 0);
    cluster.crash(away);
    cluster.start(away);
    cluster.run(2_000);
    assert_eq!(cluster.installs, 1);
    converge(&mut cluster);
}
