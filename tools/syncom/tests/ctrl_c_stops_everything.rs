//! What `up` started ends with it, whether it is asked to stop or killed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use cluster::{Cluster, TempDir, children, eventually, lives, members};
use std::collections::BTreeSet;

const SHAPE: [&str; 7] =
    ["--processes", "--satellites", "1", "--replicas", "1", "--service", "web=sleep 1000"];

/// Every process of a cluster, the services of its agents included.
fn everybody(cluster: &Cluster, nodes: usize) -> BTreeSet<u64> {
    let members: Vec<u64> = members(&cluster.dir).into_values().collect();
    let services = eventually("all services run", || {
        let services: Vec<u64> = members.iter().flat_map(|pid| children(*pid)).collect();
        (services.len() == nodes).then_some(services)
    });
    members.into_iter().chain(services).collect()
}

#[test]
fn an_interrupted_cluster_leaves_no_process_behind() {
    let temp = TempDir::new("interrupted");
    let cluster = Cluster::start(&temp.0, &SHAPE, 3);
    let everybody = everybody(&cluster, 3);
    assert_eq!(everybody.len(), 1 + 1 + 3 + 3);
    cluster.stop();
    let left: Vec<_> = everybody.into_iter().filter(|pid| lives(*pid)).collect();
    assert!(left.is_empty(), "still there: {left:?}");
}

#[test]
fn members_notice_that_the_program_that_started_them_was_killed() {
    let temp = TempDir::new("orphaned");
    let mut cluster = Cluster::start(&temp.0, &SHAPE, 3);
    let everybody = everybody(&cluster, 3);
    cluster.up.kill().unwrap();
    cluster.up.wait().unwrap();
    eventually("nobody is left", || (!everybody.iter().any(|pid| lives(*pid))).then_some(()));
}

#[test]
fn an_embedded_cluster_takes_its_services_with_it() {
    let temp = TempDir::new("embedded");
    let cluster = Cluster::start(&temp.0, &SHAPE[1..], 3);
    let up = u64::from(cluster.up.id());
    let services = eventually("all services run", || {
        let services = children(up);
        (services.len() == 3).then_some(services)
    });
    cluster.stop();
    let left: Vec<_> = services.into_iter().filter(|pid| lives(*pid)).collect();
    assert!(left.is_empty(), "still there: {left:?}");
}
