//! One run: fault phase, healing phase, verdict.

use crate::fault::FaultCounts;
use crate::invariants;
use crate::scenario::{Options, Scenario};
use crate::world::World;
use syncom_seam::{MS, SECOND};

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The seed that reproduces it.
    pub seed: u64,
    /// Nodes.
    pub nodes: usize,
    /// Virtual time that passed, in ms.
    pub virtual_ms: u64,
    /// Datagrams, timers and other things that happened.
    pub events: u64,
    /// Faults by kind.
    pub faults: FaultCounts,
    /// Reports that clients made, and how many were acknowledged.
    pub reports: (usize, usize),
    /// Orders that clients submitted, and how many were completed.
    pub orders: (usize, usize),
    /// Submissions and reads whose linearizability was judged.
    pub reads: usize,
    /// Nodes that a policy fenced, and tries it took.
    pub fences: (usize, usize),
    /// Fences that were decided, or left to the guard, while a storm lasted: the satellites agreed.
    pub fences_in_storms: usize,
    /// Storms that were named.
    pub storms: usize,
    /// How often the states of two replicas were compared at one index.
    pub compared: u64,
    /// Snapshots that replicas pulled and put in the place of their logs.
    pub installs: u64,
    /// Promises that were broken, as sentences.
    pub violations: Vec<String>,
    /// Hash over everything that happened, in order.
    pub trace_hash: u64,
}

/// Runs the cluster of a seed.
///
/// # Errors
/// When the options name no scenario.
pub fn run(seed: u64, options: &Options) -> Result<Outcome, String> {
    let scenario = Scenario::draw(seed, options)?;
    let (heal_at, end_at) = (scenario.heal_at, scenario.end_at);
    let mut world = World::new(seed, options, scenario);
    world.run_until(heal_at);
    world.heal();
    // The cluster has until `end_at`; it may be done earlier.
    let mut at = heal_at.after(5 * SECOND);
    loop {
        world.run_until(at);
        if at >= end_at || invariants::at_rest(&world).is_empty() {
            break;
        }
        at = at.after(500 * MS);
    }
    let mut violations = world.watch.violations.clone();
    violations.extend(invariants::at_rest(&world));
    violations.extend(world.askers.history.judge());
    let made = &world.client.reports;
    let ordered = &world.client.orders;
    Ok(Outcome {
        seed,
        nodes: options.nodes,
        virtual_ms: world.now.0 / MS,
        events: world.trace.events(),
        faults: world.counts,
        reports: (made.len(), made.values().filter(|m| m.acknowledged.is_some()).count()),
        orders: (ordered.len(), ordered.values().filter(|o| o.complete.is_some()).count()),
        reads: world.askers.history.len(),
        fences: world.watch.fences.counts(),
        fences_in_storms: invariants::fences::count_in_storms(&world),
        storms: world.watch.events.values().filter(|event| event.kind == "storm").count(),
        compared: world.watch.states.compared,
        installs: world.installs,
        violations,
        trace_hash: world.trace.hash(),
    })
}
