//! Orders to a whole cluster: when the last receipt is at the station, and whether anybody did
//! anything twice.
//!
//! The time runs from the client's question to the last receipt that the leader hears: the log, the
//! cut into shards, the way to the satellites, to the nodes and back. Each node runs a command that
//! takes as long as `true` does.

use super::figures::{Figure, Finding, count};
use super::stages::Trial;
use super::{Plan, trial};
use crate::child::QUICK;
use crate::fault::Fault;
use crate::member::Member;
use crate::schedule::Happening;
use syncom_seam::{MS, SECOND, Time, US};
use syncom_station::Station;
use syncom_wire::control::OrderState;
use syncom_wire::{Frame, Frames, OrderId};

/// How often it is looked how far an order is, in ns: the grain of what is measured.
const LOOK_NS: u64 = 20 * US;
/// After how long the client asks again, which hears nothing, in ns.
const AGAIN_NS: u64 = 20 * MS;
/// How long an order may take before it is given up, in ns.
const ORDER_MAX_NS: u64 = 30 * SECOND;
/// Satellites are killed within so long of an order's first shard, in ns.
const KILLS_NS: u64 = 2 * MS;
/// How long killed satellites stay down, in ns.
const DOWN_NS: u64 = SECOND / 2;
/// How long the cluster rests between two orders, and before the first one, in ns.
const REST_NS: u64 = 200 * MS;
/// How long it takes until killed satellites work again, in ns.
const RECOVERY_NS: u64 = 3 * SECOND;

/// What is asked of a cluster.
#[derive(Clone, Debug)]
pub struct Orders {
    /// The cluster; its stages do not happen.
    pub plan: Plan,
    /// How many orders to all nodes there are, one after the other.
    pub turns: usize,
    /// Satellites that die while each of them is under way.
    pub kill: usize,
    /// Of so many nodes one is deaf, and does not answer before the deadline; 0 for none.
    pub deaf_of: usize,
}

impl Orders {
    /// Starts the cluster, lets all nodes join, and gives the orders; says what it found after each.
    pub fn run(&self, mut said: impl FnMut(&Finding)) -> Vec<Finding> {
        let mut trial = trial(&self.plan);
        let mut findings = vec![trial.joins()];
        said(&findings[0]);
        for turn in 0..self.turns {
            let rest_ns = if self.kill > 0 && turn > 0 { RECOVERY_NS } else { REST_NS };
            trial.world.run_until(trial.world.now.after(rest_ns));
            let finding = self.turn(&mut trial);
            said(&finding);
            findings.push(finding);
        }
        findings
    }

    /// One order to all nodes.
    fn turn(&self, trial: &mut Trial<'_>) -> Finding {
        let mark = trial.mark();
        let deaf = self.plan.nodes.checked_div(self.deaf_of).unwrap_or(0);
        let deaf = trial.pick(deaf);
        for member in &deaf {
            trial.world.network.deafen(*member, 10_000);
        }
        let nodes = u32::try_from(self.plan.nodes).unwrap_or(u32::MAX);
        let deadline_ms = if deaf.is_empty() { 20_000 } else { 300 };
        let (request, question) =
            trial.world.client.order_of(QUICK, (0..nodes).collect(), deadline_ms);
        let Some(leader) = trial.world.members.iter().position(leads) else {
            return trial.finding("order", &mark, Vec::new());
        };
        let began = trial.world.now;
        trial.world.ask(leader, &question);
        let mut seen = Seen { answers: self.plan.nodes - deaf.len(), ..Seen::default() };
        let (mut is_struck, mut asked) = (self.kill == 0, began);
        while trial.world.now < began.after(ORDER_MAX_NS) && !seen.is_over {
            trial.world.run_until(trial.world.now.after(LOOK_NS));
            seen.look(trial, request);
            if seen.opened.is_none() && trial.world.now.since(asked) >= AGAIN_NS {
                asked = trial.world.now;
                trial.world.ask(leader, &question);
            }
            if seen.opened.is_some() && !is_struck {
                is_struck = true;
                self.strike(trial);
            }
        }
        for member in &deaf {
            trial.world.network.deafen(*member, 0);
        }
        let figures = self.figures(trial, &seen, (began, request));
        trial.finding("order", &mark, figures)
    }

    /// Satellites die, each at a moment of its own.
    fn strike(&self, trial: &mut Trial<'_>) {
        let mut victims: Vec<usize> =
            (self.plan.replicas..self.plan.replicas + self.plan.satellites).collect();
        for _ in 0..self.kill.min(victims.len()) {
            let at = usize::try_from(trial.rng.below(victims.len() as u64)).unwrap_or(0);
            let member = victims.swap_remove(at);
            let at = trial.world.now.after(trial.rng.below(KILLS_NS));
            let fault = Fault::Crash { member, down_ns: Some(DOWN_NS) };
            trial.world.schedule.at(at, Happening::Fault(fault));
        }
    }

    fn figures(
        &self,
        trial: &Trial<'_>,
        seen: &Seen,
        (began, request): (Time, u64),
    ) -> Vec<Figure> {
        let ms = |at: Option<Time>| at.map_or(f64::NAN, |at| count(at.since(began)) / count(MS));
        let is_promised = self.plan.loss <= 10 && self.kill <= self.plan.satellites / 20;
        let most = if self.kill == 0 { 25.0 } else { 85.0 };
        let argument = format!("{QUICK}-{request}");
        let runs = trial.world.watch.executions.range((argument.clone(), 0, 0)..);
        let runs: Vec<u32> = runs
            .take_while(|((other, ..), _)| *other == argument)
            .map(|(_, times)| *times)
            .collect();
        let twice = runs.iter().filter(|times| **times > 1).count();
        let missing = self.plan.nodes - seen.state.map_or(0, |state| state.done as usize);
        let deaf = self.plan.nodes.checked_div(self.deaf_of).unwrap_or(0);
        let figure = |name, value, most| Figure { name, value, most };
        vec![
            figure("opened_ms", ms(seen.opened), None),
            figure("first_ms", ms(seen.first), None),
            figure("p50_ms", ms(seen.half), None),
            figure("last_ms", ms(seen.last), is_promised.then_some(most)),
            figure("executed", count(runs.len()), None),
            figure("executed_twice", count(twice), Some(0.0)),
            figure("missing", count(missing), Some(count(deaf))),
            figure("receipts_b", count(seen.set_bytes), (self.deaf_of >= 1_000).then_some(300.0)),
        ]
    }
}

fn leads(member: &Member) -> bool {
    member.station().is_some_and(Station::is_leader)
}

/// What was seen of an order so far.
#[derive(Debug, Default)]
struct Seen {
    /// How many nodes can answer.
    answers: usize,
    opened: Option<Time>,
    first: Option<Time>,
    half: Option<Time>,
    last: Option<Time>,
    state: Option<OrderState>,
    is_over: bool,
    /// Bytes of the largest set of nodes in its outcomes.
    set_bytes: usize,
}

impl Seen {
    fn look(&mut self, trial: &Trial<'_>, request: u64) {
        let now = trial.world.now;
        let Some(id) = trial.world.client.orders.get(&request).and_then(|order| order.id) else {
            return;
        };
        let id = OrderId(id);
        let Some(station) = trial.leader() else { return };
        let Some(state) = station.order(id) else { return };
        self.opened.get_or_insert(now);
        let answered = (state.done + state.failed) as usize;
        let passes = |mark: &mut Option<Time>, least: usize| {
            if answered >= least.max(1) {
                mark.get_or_insert(now);
            }
        };
        passes(&mut self.first, 1);
        passes(&mut self.half, self.answers / 2);
        passes(&mut self.last, self.answers);
        self.state = Some(state);
        self.is_over = state.state >= OrderState::COMPLETE;
        for frame in Frames::new(station.outcomes(id)).flatten() {
            let Frame::Outcome(outcome) = frame else { continue };
            self.set_bytes = self.set_bytes.max(outcome.nodes.as_bytes().len());
        }
    }
}
