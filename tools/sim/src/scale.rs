//! How a cluster does at a size: what it costs at rest, and how long it takes to notice.
//!
//! One cluster of whole roles is started and lives through a list of [`Stage`]s, one after the
//! other; each is measured in virtual time. There are no clients, and nothing but what the stage is
//! about goes wrong; the network loses what [`Plan::loss`] says.

mod curve;
mod figures;
mod hours;
mod judged;
mod orders;
pub mod picture;
mod stages;
mod still;
mod trouble;

use crate::scenario::{Options, Scenario};
use crate::world::World;
pub use curve::{Curve, Point};
pub use figures::{Figure, Finding};
pub use hours::{Hours, Life};
pub use orders::Orders;
pub use stages::Stage;
use syncom_group::Profile;
use syncom_seam::{MS, SECOND, Time, US};

/// A cluster, and what it is to live through.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides all chance.
    pub seed: u64,
    /// Nodes.
    pub nodes: usize,
    /// Satellites.
    pub satellites: usize,
    /// Replicas.
    pub replicas: usize,
    /// How fast the cluster wants to know.
    pub profile: Profile,
    /// Parts of 10,000 datagrams lost.
    pub loss: u64,
    /// Nodes of one failure domain.
    pub rack: usize,
    /// How long [`Stage::Rest`] lasts at least, in ns.
    pub rest_ns: u64,
    /// What happens after all nodes have joined, in order.
    pub stages: Vec<Stage>,
}

impl Plan {
    /// A cluster of this size as it is recommended: a satellite for a thousand nodes, at least two;
    /// five replicas above 1,000 nodes.
    #[must_use]
    pub fn of(nodes: usize) -> Self {
        Self {
            seed: 1,
            nodes,
            satellites: nodes.div_ceil(1_000).max(2),
            replicas: if nodes > 1_000 { 5 } else { 3 },
            profile: Profile::DEFAULT,
            loss: 0,
            rack: (nodes / 10).clamp(1, 40),
            rest_ns: 2 * SECOND,
            stages: Stage::ALL.to_vec(),
        }
    }

    fn scenario(&self) -> Scenario {
        let mut scenario = Scenario::calm(Time::NEVER);
        scenario.loss = self.loss;
        scenario.delay_ns = 50 * US;
        scenario.jitter_ns = 100 * US;
        scenario.flush_ns = 500 * US;
        scenario.profile = self.profile;
        scenario.rack = self.rack;
        scenario.surge_at = Some(JOINS_AT);
        scenario.surge_of = self.nodes;
        // Each snapshot and comparison walks over all members.
        scenario.snapshot_every = 5_000;
        scenario.compared_every = 1_024;
        scenario
    }
}

/// When the nodes start: the station has elected a leader by then.
const JOINS_AT: Time = Time(4 * SECOND);
/// How often it is looked whether a stage is over, in ns.
const LOOK_NS: u64 = 10 * MS;

/// Starts the cluster, lets all nodes join, and goes through the stages; says what it found after
/// each of them, the joins first.
pub fn run(plan: &Plan, mut said: impl FnMut(&Finding)) -> Vec<Finding> {
    let mut trial = trial(plan);
    let mut findings = vec![trial.joins()];
    said(&findings[0]);
    for stage in &plan.stages {
        let finding = trial.stage(*stage);
        said(&finding);
        findings.push(finding);
    }
    findings
}

/// A cluster in which nothing has happened yet.
fn trial(plan: &Plan) -> stages::Trial<'_> {
    let options = Options {
        nodes: plan.nodes,
        satellites: plan.satellites,
        replicas: plan.replicas,
        scenario: "scale".into(),
        ..Options::default()
    };
    let mut world = World::new(plan.seed, &options, plan.scenario());
    world.trace.count_only();
    stages::Trial::new(world, plan)
}
