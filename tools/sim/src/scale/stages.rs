//! The stages of a trial: what happens to the cluster, and what is looked at.

use super::figures::{Figure, Finding, count, percentile};
use super::{JOINS_AT, LOOK_NS, Plan};
use crate::fault::Fault;
use crate::member::Member;
use crate::meter::Sent;
use crate::outbox::SeenEvent;
use crate::schedule::Happening;
use crate::world::World;
use std::collections::BTreeSet;
use syncom_seam::{Counter, MS, Rng, SECOND, Time};
use syncom_station::Station;

/// One thing that happens to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing: what does it cost?
    Rest,
    /// Single nodes die, now and then.
    Kills(usize),
    /// Whole failure domains lose their power, up to 1,000 nodes of them.
    Power,
    /// A tenth of the nodes die at one moment.
    Tenth,
    /// Half of the nodes die at one moment.
    Half,
}

impl Stage {
    /// All of them, from the least to the worst.
    pub const ALL: [Self; 5] = [Self::Rest, Self::Kills(100), Self::Power, Self::Tenth, Self::Half];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rest => "quiet",
            Self::Kills(_) => "kills",
            Self::Power => "power",
            Self::Tenth => "tenth",
            Self::Half => "half",
        }
    }
}

/// Nodes that lose their power together at most.
const POWER_MAX: usize = 1_000;
/// How long joining may take before it is given up, in ns.
const JOINS_MAX_NS: u64 = 60 * SECOND;
/// How long deaths may take before those that are missing are counted, in ns.
const DEATHS_MAX_NS: u64 = 20 * SECOND;
/// With so many satellites, single deaths may overlap and still be single to their homes.
const MANY_SATELLITES: usize = 20;
/// Time between deaths that overlap, in ns.
const OVERLAP_NS: u64 = 30 * MS;
/// Clusters up to this size get their dead back, or would run out of nodes.
const SMALL: usize = 500;

/// A cluster that lives through stages.
pub(super) struct Trial<'a> {
    pub(super) world: World,
    pub(super) plan: &'a Plan,
    pub(super) rng: Rng,
    pub(super) dead: BTreeSet<usize>,
    /// Virtual time that the cluster has not lived through, in ns.
    pub(super) skipped_ns: u64,
}

/// Where the cluster stood when a stage began.
pub(super) struct Mark {
    pub(super) at: Time,
    pub(super) happened: u64,
    /// Number of the last event.
    pub(super) event: u64,
    applied: u64,
    pub(super) violations: usize,
    accusations: u64,
    sent: Sent,
}

impl<'a> Trial<'a> {
    pub(super) fn new(world: World, plan: &'a Plan) -> Self {
        let rng = Rng::new(plan.seed ^ 0x7374_6167);
        Self { world, plan, rng, dead: BTreeSet::new(), skipped_ns: 0 }
    }

    /// All nodes start, and join.
    pub(super) fn joins(&mut self) -> Finding {
        self.world.run_until(JOINS_AT);
        let mark = self.mark();
        let all = self.plan.nodes;
        self.look_until(JOINS_MAX_NS, |trial| trial.alive() == all);
        let took_ms = self.since_ms(mark.at);
        let missing = all - self.alive();
        // Neighbour sets are on their way, and homes begin to trust their ears.
        self.world.run_until(self.world.now.after(5 * self.plan.profile.home_interval_ns));
        let mut figures = self.changes(&mark, "newPeer", [Some(20.0), None]);
        let bound = |most: f64| (self.plan.nodes >= 1_000).then_some(most);
        figures.push(Figure { name: "joined_ms", value: took_ms, most: bound(10_000.0) });
        figures.push(Figure { name: "not_joined", value: count(missing), most: Some(0.0) });
        let gray = self.grays(&mark).count();
        figures.push(Figure { name: "gray", value: count(gray), most: None });
        self.finding("joins", &mark, figures)
    }

    pub(super) fn stage(&mut self, stage: Stage) -> Finding {
        match stage {
            Stage::Rest => self.rest(),
            Stage::Kills(kills) => self.kills(kills),
            Stage::Power => {
                let first = self.first_node();
                let size = POWER_MAX.min(self.plan.nodes / 10) / self.plan.rack * self.plan.rack;
                let victims = (first..first + size).filter(|at| !self.dead.contains(at)).collect();
                self.mass(stage, victims, [Some(1.0), Some(5.0), Some(1_200.0)])
            }
            Stage::Tenth => {
                let victims = self.pick(self.plan.nodes / 10);
                self.mass(stage, victims, [None, None, Some(2_000.0)])
            }
            Stage::Half => {
                let victims = self.pick(self.plan.nodes / 2);
                self.mass(stage, victims, [None, None, None])
            }
        }
    }

    fn rest(&mut self) -> Finding {
        let mark = self.mark();
        let for_ns = (2 * self.plan.profile.home_interval_ns).max(self.plan.rest_ns);
        self.world.run_until(self.world.now.after(for_ns));
        let sent = self.world.meter.nodes.since(mark.sent);
        let per_s = count(for_ns) / count(SECOND) * count(self.alive());
        let most = match self.plan.profile.name {
            "default" => Some(4_300.0),
            "quiet" => Some(1_000.0),
            _ => None,
        };
        let figure = |name, value: u64, most| Figure { name, value: count(value) / per_s, most };
        let accused = self.accusations() - mark.accusations;
        let figures = vec![
            figure("node_bytes_per_s", sent.on_cable(), most),
            figure("node_sealed_bytes_per_s", sent.bytes, None),
            figure("node_datagrams_per_s", sent.datagrams, None),
            figure("accusations_per_node_s", accused, None),
        ];
        self.finding(Stage::Rest.name(), &mark, figures)
    }

    fn kills(&mut self, kills: usize) -> Finding {
        let mark = self.mark();
        let mut took = Vec::new();
        if self.plan.satellites >= MANY_SATELLITES {
            let victims = self.pick(kills);
            for (turn, victim) in (0..).zip(&victims) {
                let at = self.world.now.after(turn * OVERLAP_NS + self.rng.below(OVERLAP_NS));
                self.crash(at, *victim, None);
            }
            self.world.run_until(self.world.now.after(kills as u64 * OVERLAP_NS));
            self.look_until_announced(&victims);
            took.extend(victims.iter().map(|victim| self.took_ms(*victim)));
        } else {
            for _ in 0..kills {
                took.extend(self.single_kill());
            }
        }
        let missing = took.iter().filter(|ms| ms.is_none()).count();
        let mut took: Vec<f64> = took.into_iter().flatten().collect();
        took.sort_unstable_by(f64::total_cmp);
        let most = match self.plan.profile.name {
            "default" => Some(950.0),
            "fast" => Some(270.0),
            _ => None,
        };
        let figure = |name, percent, most| Figure { name, value: percentile(&took, percent), most };
        let figures = vec![
            figure("p50_ms", 50, None),
            figure("p99_ms", 99, most),
            figure("max_ms", 100, None),
            Figure { name: "not_found", value: count(missing), most: Some(0.0) },
        ];
        self.finding(Stage::Kills(kills).name(), &mark, figures)
    }

    /// One node dies, and nothing else happens until it is found.
    fn single_kill(&mut self) -> Option<Option<f64>> {
        let victim = self.pick(1).pop()?;
        let wait_ns = 5 * self.plan.profile.home_interval_ns;
        let returns = (self.plan.nodes <= SMALL).then_some(wait_ns);
        let at = self.world.now.after(self.rng.below(self.plan.profile.home_interval_ns));
        self.crash(at, victim, returns);
        self.world.run_until(at);
        self.look_until_announced(&[victim]);
        let took = self.took_ms(victim);
        if returns.is_some() {
            self.dead.remove(&victim);
            self.world.run_until(at.after(2 * wait_ns));
        }
        Some(took)
    }

    /// Many die at one moment.
    fn mass(&mut self, stage: Stage, victims: Vec<usize>, most: [Option<f64>; 3]) -> Finding {
        let mark = self.mark();
        let [views, entries, last] = most;
        for victim in &victims {
            self.crash(mark.at, *victim, None);
        }
        self.look_until_announced(&victims);
        let mut took: Vec<f64> = victims.iter().filter_map(|at| self.took_ms(*at)).collect();
        took.sort_unstable_by(f64::total_cmp);
        let mut figures = self.changes(&mark, "deadPeer", [views, entries]);
        let figure = |name, percent, most| Figure { name, value: percentile(&took, percent), most };
        figures.extend([figure("first_ms", 0, None), figure("p50_ms", 50, None)]);
        figures.push(figure("last_ms", 100, last));
        let missing = count(victims.len() - took.len());
        figures.push(Figure { name: "died", value: count(victims.len()), most: None });
        figures.push(Figure { name: "not_found", value: missing, most: Some(0.0) });
        // The survivors get their new neighbours.
        self.world.run_until(self.world.now.after(4 * self.plan.profile.home_interval_ns));
        self.finding(stage.name(), &mark, figures)
    }

    fn crash(&mut self, at: Time, member: usize, down_ns: Option<u64>) {
        self.dead.insert(member);
        self.world.schedule.at(at, Happening::Fault(Fault::Crash { member, down_ns }));
    }

    /// Running nodes to strike.
    pub(super) fn pick(&mut self, many: usize) -> Vec<usize> {
        let running = self.plan.nodes - self.dead.len();
        let mut picked = BTreeSet::new();
        while picked.len() < many.min(running) {
            let at = usize::try_from(self.rng.below(self.plan.nodes as u64)).unwrap_or(0);
            let at = at + self.first_node();
            if !self.dead.contains(&at) {
                picked.insert(at);
            }
        }
        picked.into_iter().collect()
    }

    pub(super) const fn first_node(&self) -> usize {
        self.plan.replicas + self.plan.satellites
    }

    /// Lets time pass until it is so, or `most_ns` are over.
    pub(super) fn look_until(&mut self, most_ns: u64, mut is_so: impl FnMut(&Self) -> bool) {
        let end = self.world.now.after(most_ns);
        while self.world.now < end && !is_so(self) {
            self.world.run_until(self.world.now.after(LOOK_NS));
        }
    }

    fn took_ms(&self, victim: usize) -> Option<f64> {
        let crash = self.world.watch.crashed.get(&self.world.members[victim].name)?;
        crash.announced.map(|(at, _)| count(at.since(crash.at)) / count(MS))
    }

    /// Lets time pass until all these deaths were announced, or for as long as that may take.
    fn look_until_announced(&mut self, victims: &[usize]) {
        let mut missing = victims.iter().peekable();
        self.look_until(DEATHS_MAX_NS, |trial| {
            while missing.next_if(|victim| trial.took_ms(**victim).is_some()).is_some() {}
            missing.peek().is_none()
        });
    }

    pub(super) fn leader(&self) -> Option<&Station> {
        let mut stations = self.world.members.iter().filter_map(Member::station);
        stations.find(|station| station.is_leader())
    }

    pub(super) fn alive(&self) -> usize {
        self.leader().map_or(0, |station| station.members().counts().alive)
    }

    /// Who was called gray since the mark.
    fn grays(&self, mark: &Mark) -> impl Iterator<Item = &SeenEvent> {
        let since = self.world.watch.events.range(mark.event + 1..);
        since.map(|(_, event)| event).filter(|event| event.kind == "gray")
    }

    fn accusations(&self) -> u64 {
        self.world.effects.counts[Counter::Accusations as usize]
    }

    /// In how many views events of a kind came since, how many entries the log took until the last
    /// of them, and how many until now: the recovery manager takes note of each event.
    fn changes(&self, mark: &Mark, kind: &str, most: [Option<f64>; 2]) -> Vec<Figure> {
        let since = self.world.watch.events.range(mark.event + 1..);
        let views: BTreeSet<u64> =
            since.filter(|(_, event)| event.kind == kind).map(|(_, event)| event.view).collect();
        // A view is the index of the entry that made it.
        let last = views.last().copied().unwrap_or(mark.applied);
        let applied = self.leader().map_or(0, Station::applied);
        let figure = |name, value, most| Figure { name, value: count(value), most };
        vec![
            figure("views", views.len() as u64, most[0]),
            figure("entries", last.saturating_sub(mark.applied), most[1]),
            figure("entries_all", applied.saturating_sub(mark.applied), None),
        ]
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            at: self.world.now,
            happened: self.world.trace.events(),
            event: self.world.watch.events.keys().next_back().copied().unwrap_or(0),
            applied: self.leader().map_or(0, Station::applied),
            violations: self.world.watch.violations.len(),
            accusations: self.accusations(),
            sent: self.world.meter.nodes,
        }
    }

    pub(super) fn since_ms(&self, at: Time) -> f64 {
        count(self.world.now.since(at)) / count(MS)
    }

    pub(super) fn finding(
        &self,
        stage: &'static str,
        mark: &Mark,
        figures: Vec<Figure>,
    ) -> Finding {
        Finding {
            stage,
            virtual_ms: self.world.now.since(mark.at) / MS,
            events: self.world.trace.events() - mark.happened,
            figures,
            violations: self.world.watch.violations[mark.violations..].to_vec(),
        }
    }
}
