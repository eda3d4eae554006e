//! What a seed means: the size of the cluster, how bad the network is, who is struck when.

mod blink;
mod catchup;
mod disks;
mod flapping;
mod gray;
mod lean;
mod minority;
mod servers;
mod storm;
mod unheard;
mod watchers;

use crate::fault::Fault;
use crate::member::SOCKET_HOLDS;
use crate::rules::STORM_DEATHS;
use syncom_group::Profile;
use syncom_seam::{MS, Rng, SECOND, Time, US};
use syncom_wire::control::Ask;

/// What the caller of a run chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Nodes.
    pub nodes: usize,
    /// Satellites.
    pub satellites: usize,
    /// Replicas.
    pub replicas: usize,
    /// Name of the scenario: see [`Scenario::NAMES`].
    pub scenario: String,
    /// How fast nodes and satellites want to know.
    pub profile: Profile,
    /// Length of the fault phase in virtual ms.
    pub fault_ms: u64,
    /// Keep the members' notices and print them with the violations.
    pub log: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: 200,
            satellites: 2,
            replicas: 3,
            scenario: "swarm".into(),
            profile: Profile::DEFAULT,
            fault_ms: 20_000,
            log: false,
        }
    }
}

/// A run, decided by seed and options.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Parts of 10,000 datagrams lost.
    pub loss: u64,
    /// Parts of 10,000 datagrams doubled.
    pub duplication: u64,
    /// Parts of 10,000 datagrams held back.
    pub reordering: u64,
    /// Held back by up to this, in ns.
    pub late_ns: u64,
    /// Delay of every datagram, in ns.
    pub delay_ns: u64,
    /// Random part of the delay, in ns.
    pub jitter_ns: u64,
    /// Bytes that the path between two replicas takes per second; 0 for any number.
    pub bytes_per_s: u64,
    /// How long a flush of the disk takes at most, in ns.
    pub flush_ns: u64,
    /// Faults and their moments.
    pub faults: Vec<(Time, Fault)>,
    /// When faults begin.
    pub fault_from: Time,
    /// When they end and healing begins.
    pub heal_at: Time,
    /// Until when the cluster must have healed.
    pub end_at: Time,
    /// Reports and orders that clients make per virtual second; with 0 there are no clients.
    pub load_per_s: u64,
    /// Clients that submit orders and read them at any replica, one thing at a time each.
    pub askers: usize,
    /// How fresh their reads must be: see [`Ask::CURRENT`].
    pub freshness: u8,
    /// Entries after which a replica takes a snapshot.
    pub snapshot_every: u64,
    /// Whether replicas believe whatever their disks return: see [`Scenario::UNSYNCED`].
    pub trusting: bool,
    /// Crashes of replicas at the very steps of a replacement.
    pub ambushes: u64,
    /// Replicas that are not there from the beginning.
    pub newcomers: usize,
    /// Indices at which the replicas' states are compared are multiples of this: comparing costs as
    /// much as a snapshot.
    pub compared_every: u64,
    /// When the last nodes start; with the first ones when `None`.
    pub surge_at: Option<Time>,
    /// How many nodes the last ones are.
    pub surge_of: usize,
    /// How fast nodes and satellites want to know.
    pub profile: Profile,
    /// What heartbeats may cost a node, in bytes per second; 0 for what the profile takes.
    pub budget: u64,
    /// Nodes of a failure domain stand side by side, so many of them; with 0, every tenth node is of
    /// the same domain.
    pub rack: usize,
    /// Whether every fourth node manages a service.
    pub has_services: bool,
    /// Whether a policy fences dead nodes and moves what ran there.
    pub has_policy: bool,
    /// Longest pause that is no excuse for a death, in ns.
    pub excused_ns: u64,
    /// How long after a trouble a death is still just, in ns, and whether it is no trouble to be cut
    /// off from some satellites only.
    pub just_for_ns: u64,
    /// Datagrams that the socket of a stopped member holds.
    pub socket_holds: usize,
    /// How long the death of a member may take to be announced, in ns; no promise when `None`.
    pub notice_ns: Option<u64>,
    /// How long the death of a satellite or a replica may take to be announced, in ns, where each is
    /// announced once; no promise when `None`.
    pub server_notice_ns: Option<u64>,
    /// Views in which members that died at one moment may leave, where that is promised.
    pub views_max: usize,
}

impl Scenario {
    /// Names of scenarios: what each is about.
    pub const NAMES: [(&'static str, &'static str); 20] = [
        ("swarm", "every seed draws its own mix of all faults"),
        ("calm", "no faults at all"),
        ("loss", "20 % loss, duplication and reordering, clocks jump, no member dies"),
        ("crashes", "members of every role crash and come back, and managed services die"),
        ("partition", "groups are cut off, one-way and both ways"),
        (
            "gray",
            "cables of some nodes lose four of five datagrams that these send, and nobody dies",
        ),
        ("surge", "half of the nodes join at once, and within the next second some of all die"),
        (
            "rules",
            "nodes die, sometimes many at once, and a policy fences them and moves their services, \
             while replicas crash, leave, stop and are cut off",
        ),
        (
            "replace",
            "replicas die for good and are replaced while leaders and new replicas are struck",
        ),
        (
            "reads",
            "replicas crash, leave, stop, are cut off and their clocks jump while clients read of all",
        ),
        (
            "watchers",
            "observers are stopped, starved, deaf, and their buffers overflow; whoever runs stays alive",
        ),
        ("disks", "replicas die at every point of a write, disks fail, fill up, forget and lie"),
        (
            "catchup",
            "snapshots cross narrow and lossy paths while replicas are restarted, replaced, and lose \
             their disks or get old ones",
        ),
        (
            "storm",
            "up to six tenths of the nodes die at one moment, some with a satellite or a replica",
        ),
        ("flapping", "some nodes keep dying and coming back"),
        (
            "minority",
            "less than half of the nodes are cut off, wholly or from the other nodes only, and come \
             back without a restart",
        ),
        (
            "servers",
            "satellites and replicas are killed, stopped and cut off, one at a time, and come back",
        ),
        ("blink", "a part of the network is cut off for a tenth of a second to one second"),
        (
            "lean",
            "heartbeats have a budget, and nodes, their observers and satellites are stopped, starved, \
             deaf, unheard and killed",
        ),
        ("unheard", "a satellite is unheard by one replica after another while nodes die"),
    ];
    /// As `reads`, but clients are content with stale answers and take them for current ones: the
    /// judge must find out, or it is worth nothing.
    pub const UNCHECKED: &'static str = "reads-unchecked";
    /// As `reads`, but one replica believes that votes are withheld four times as long as they are,
    /// so that its lease outlasts its leadership: the invariant of one manager must find out.
    pub const OVERLONG: &'static str = "reads-overlong";

    /// As `disks`, but every disk acknowledges flushes that it does not do, and no replica looks what
    /// it gets back: the judge must find out, or it is worth nothing.
    pub const UNSYNCED: &'static str = "disks-unsynced";

    /// The scenario of a seed.
    ///
    /// # Errors
    /// Names the unknown scenario and lists those there are.
    pub fn draw(seed: u64, options: &Options) -> Result<Self, String> {
        let mut rng = Rng::new(seed);
        let (network, crashes, pauses, cuts) = match options.scenario.as_str() {
            "swarm" => (rng.chance(3, 4), rng.below(8), rng.below(5), rng.below(3)),
            "calm" | "surge" | "watchers" => (false, 0, 0, 0),
            Self::GRAY | Self::SERVERS | Self::UNHEARD | Self::UNSYNCED | Self::LEAN => {
                (false, 0, 0, 0)
            }
            Self::STORM | Self::FLAPPING | Self::MINORITY | Self::BLINK => {
                (rng.chance(1, 4), 0, 0, 0)
            }
            "disks" => (rng.chance(1, 2), 0, rng.below(3), rng.below(2)),
            "loss" => (true, 0, 0, 0),
            "crashes" => (false, 12, 0, 0),
            "partition" => (false, 0, 0, 4),
            "rules" | "replace" | "reads" | "catchup" | Self::UNCHECKED | Self::OVERLONG => {
                (rng.chance(1, 2), 0, 0, 0)
            }
            other => {
                let names: Vec<&str> = Self::NAMES.iter().map(|(name, _)| *name).collect();
                return Err(format!("unknown scenario {other:?}; there are: {}", names.join(", ")));
            }
        };
        let worst = options.scenario == "loss";
        let up_to = |rng: &mut Rng, most: u64| match (network, worst) {
            (true, true) => most,
            (true, false) => rng.below(most + 1),
            (false, _) => 0,
        };
        let mut scenario = Self {
            loss: up_to(&mut rng, 2_000),
            duplication: up_to(&mut rng, 500),
            reordering: up_to(&mut rng, 1_000),
            delay_ns: 20 * US + rng.below(200 * US),
            jitter_ns: 10 * US + rng.below(300 * US),
            bytes_per_s: 0,
            flush_ns: 100 * US + rng.below(3 * MS),
            load_per_s: 5 + rng.below(20),
            surge_of: options.nodes.div_ceil(2),
            has_services: true,
            profile: options.profile,
            ..Self::calm(Time(5 * SECOND).after(options.fault_ms * MS))
        };
        scenario.draw_faults(&mut rng, options, [crashes, pauses, cuts]);
        scenario.draw_own(&mut rng, seed, options);
        let (services, clock_jumps) = match options.scenario.as_str() {
            "swarm" => (rng.below(4), rng.below(4)),
            "crashes" => (SERVICE_DEATHS_MAX, 0),
            "loss" => (2, 4),
            _ => (0, 0),
        };
        scenario.draw_mishaps(&mut rng, options, services, clock_jumps);
        scenario.faults.sort_by_key(|(at, _)| *at);
        Ok(scenario)
    }

    /// What is special of the scenario with this name.
    fn draw_own(&mut self, rng: &mut Rng, seed: u64, options: &Options) {
        match options.scenario.as_str() {
            "surge" => self.draw_surge(rng, options),
            "reads" | Self::OVERLONG => self.draw_reads(rng, options, Ask::CURRENT),
            Self::GRAY => self.draw_gray(rng, options),
            Self::STORM => self.draw_storm(rng, options),
            Self::FLAPPING => self.draw_flapping(rng, options),
            Self::MINORITY => self.draw_minority(rng, options),
            Self::SERVERS => self.draw_servers(rng, options),
            Self::BLINK => self.draw_blink(rng, options),
            Self::LEAN => self.draw_lean(rng, options),
            Self::UNHEARD => self.draw_unheard(rng, options),
            "rules" => self.draw_rules(rng, options),
            "replace" => self.draw_replacements(rng, options),
            Self::UNCHECKED => self.draw_reads(rng, options, Ask::STALE),
            "watchers" => self.draw_watchers(rng, options),
            "disks" => self.draw_disks(rng, options),
            "catchup" => self.draw_catchup(rng, options),
            Self::UNSYNCED => self.draw_unsynced(rng, options),
            "swarm" => self.draw_few_disks(seed, options),
            _ => {}
        }
    }

    /// No faults, no clients and no services, on a network that delays nothing.
    pub(crate) const fn calm(heal_at: Time) -> Self {
        Self {
            loss: 0,
            duplication: 0,
            reordering: 0,
            late_ns: 20 * MS,
            delay_ns: 0,
            jitter_ns: 0,
            bytes_per_s: 0,
            flush_ns: MS,
            faults: Vec::new(),
            fault_from: Time(5 * SECOND),
            heal_at,
            end_at: heal_at.after(30 * SECOND),
            load_per_s: 0,
            snapshot_every: 500,
            trusting: false,
            askers: 0,
            freshness: Ask::CURRENT,
            ambushes: 0,
            newcomers: 0,
            compared_every: 8,
            surge_at: None,
            surge_of: 0,
            profile: Profile::DEFAULT,
            budget: 0,
            rack: 0,
            has_services: false,
            has_policy: false,
            excused_ns: 0,
            just_for_ns: JUST_FOR_NS,
            socket_holds: SOCKET_HOLDS,
            notice_ns: None,
            server_notice_ns: None,
            views_max: 2,
        }
    }

    fn draw_faults(&mut self, rng: &mut Rng, options: &Options, counts: [u64; 3]) {
        let [crashes, pauses, cuts] = counts;
        let members = (options.replicas + options.satellites + options.nodes) as u64;
        let span = self.heal_at.since(self.fault_from);
        let when = |rng: &mut Rng| self.fault_from.after(rng.below(span * 9 / 10));
        let mut faults = Vec::new();
        for _ in 0..crashes {
            let down_ns = rng.chance(2, 3).then(|| 200 * MS + rng.below(6 * SECOND));
            let fault = Fault::Crash { member: pick(rng, options, members), down_ns };
            faults.push((when(rng), fault));
        }
        for _ in 0..pauses {
            let for_ns = 50 * MS + rng.below(3 * SECOND);
            faults.push((when(rng), Fault::Pause { member: pick(rng, options, members), for_ns }));
        }
        for _ in 0..cuts {
            // From one member to half of them.
            let share = 1 + rng.below(50);
            let mut inside: Vec<bool> = (0..members).map(|_| rng.chance(share, 100)).collect();
            let one = pick(rng, options, members);
            inside[one] = true;
            let one_way = rng.chance(1, 3);
            let for_ns = 300 * MS + rng.below(6 * SECOND);
            faults.push((when(rng), Fault::Cut { inside, one_way, for_ns }));
        }
        self.faults = faults;
    }

    /// One twentieth of the nodes dies for good, at one moment within a second of the surge.
    fn draw_surge(&mut self, rng: &mut Rng, options: &Options) {
        let first = (options.replicas + options.satellites) as u64;
        let at = self.fault_from.after(START_SPREAD_NS + rng.below(SECOND));
        for _ in 0..(options.nodes / 20).max(1) {
            let member = usize::try_from(first + rng.below(options.nodes as u64)).unwrap_or(0);
            self.faults.push((at, Fault::Crash { member, down_ns: None }));
        }
        self.surge_at = Some(self.fault_from);
        self.notice_ns = Some(NOTICE_MAX_NS);
    }

    /// Some nodes die for good, in half of the runs more at one moment than is believable.
    fn draw_rules(&mut self, rng: &mut Rng, options: &Options) {
        self.has_policy = true;
        let first = (options.replicas + options.satellites) as u64;
        let span = self.heal_at.since(self.fault_from);
        let mut die = |rng: &mut Rng, at: Time, count: u64| {
            for _ in 0..count {
                let member = usize::try_from(first + rng.below(options.nodes as u64)).unwrap_or(0);
                self.faults.push((at, Fault::Crash { member, down_ns: None }));
            }
        };
        for _ in 0..1 + rng.below(5) {
            let at = self.fault_from.after(rng.below(span * 9 / 10));
            die(rng, at, 1);
        }
        if rng.chance(1, 2) {
            let at = self.fault_from.after(rng.below(span * 9 / 10));
            die(rng, at, 2 * u64::from(STORM_DEATHS));
        }
        self.strike_replicas(rng, options, 4);
    }

    /// Replicas are struck one after the other, sometimes two at once, with all that can make one
    /// believe what is no longer so.
    fn draw_reads(&mut self, rng: &mut Rng, options: &Options, freshness: u8) {
        (self.askers, self.freshness) = (8, freshness);
        self.strike_replicas(rng, options, 5);
    }

    /// By the first so many kinds of faults.
    fn strike_replicas(&mut self, rng: &mut Rng, options: &Options, kinds: u64) {
        let span = self.heal_at.since(self.fault_from);
        let members = options.replicas + options.satellites + options.nodes;
        for _ in 0..4 + span / SECOND {
            let at = self.fault_from.after(rng.below(span * 9 / 10));
            let for_ns = 100 * MS + rng.below(2 * SECOND);
            let member = usize::try_from(rng.below(options.replicas as u64)).unwrap_or(0);
            let fault = match rng.below(kinds) {
                0 => Fault::Crash { member, down_ns: Some(for_ns) },
                1 => Fault::Pause { member, for_ns },
                3 => Fault::Leave { member, down_ns: for_ns },
                2 => {
                    let mut inside = vec![false; members];
                    inside[member] = true;
                    Fault::Cut { inside, one_way: rng.chance(1, 2), for_ns }
                }
                _ => {
                    let by_ns = i64::try_from(rng.below(20 * SECOND)).unwrap_or(0);
                    let by_ns = if rng.chance(1, 2) { by_ns } else { -by_ns };
                    Fault::ClockJump { member, by_ns }
                }
            };
            self.faults.push((at, fault));
        }
    }

    /// Two replicas, one after the other, are replaced; those who are left, and the new ones, are
    /// struck soon after the order, which is when the steps are made.
    fn draw_replacements(&mut self, rng: &mut Rng, options: &Options) {
        let first = options.replicas + options.satellites + options.nodes;
        let span = self.heal_at.since(self.fault_from);
        (self.newcomers, self.ambushes, self.snapshot_every) = (2, rng.below(7), 60);
        let dead = rng.below(options.replicas as u64);
        for turn in 0..self.newcomers {
            let old = usize::try_from((dead + turn as u64) % options.replicas as u64).unwrap_or(0);
            let new = first + turn;
            let ordered = self.fault_from.after(span * turn as u64 / 2 + rng.below(SECOND));
            self.faults.push((ordered, Fault::Replace { old, new }));
            for _ in 0..2 + rng.below(5) {
                let at = ordered.after(rng.below(span * 2 / 5));
                let for_ns = 50 * MS + rng.below(2 * SECOND);
                let founder = usize::try_from(rng.below(options.replicas as u64)).unwrap_or(0);
                let member = if rng.chance(2, 5) { new } else { founder };
                let fault = match rng.below(4) {
                    0 | 1 => Fault::Crash { member, down_ns: Some(for_ns) },
                    2 => Fault::Pause { member, for_ns },
                    _ => {
                        let mut inside = vec![false; first + self.newcomers];
                        inside[member] = true;
                        Fault::Cut { inside, one_way: rng.chance(1, 2), for_ns }
                    }
                };
                self.faults.push((at, fault));
            }
        }
    }

    fn draw_mishaps(&mut self, rng: &mut Rng, options: &Options, services: u64, clock_jumps: u64) {
        let span = self.heal_at.since(self.fault_from);
        let first = options.replicas + options.satellites;
        let nodes: Vec<usize> =
            (first..first + options.nodes).filter(|index| has_service(*index)).collect();
        for _ in 0..services {
            let index = usize::try_from(rng.below(nodes.len() as u64)).unwrap_or(0);
            let Some(member) = nodes.get(index).copied() else { continue };
            let at = self.fault_from.after(rng.below(span * 9 / 10));
            self.faults.push((at, Fault::ServiceDeath { member }));
        }
        for _ in 0..clock_jumps {
            // From a correction to a clock that was set by hand.
            let most = if rng.chance(1, 2) { 10 * SECOND } else { 3_600 * SECOND };
            let by_ns = i64::try_from(rng.below(most)).unwrap_or(0);
            let by_ns = if rng.chance(1, 2) { by_ns } else { -by_ns };
            let member = pick(rng, options, (first + options.nodes) as u64);
            let at = self.fault_from.after(rng.below(span * 9 / 10));
            self.faults.push((at, Fault::ClockJump { member, by_ns }));
        }
    }
}

/// Nodes that start together do so within this time, in ns: a machine room that is switched on.
pub(crate) const START_SPREAD_NS: u64 = 500 * MS;
/// How long the death of a member may take to be announced on a good network, in ns: m·η + α, two
/// rounds of probes, a batch that was held back, a commit, and some room.
const NOTICE_MAX_NS: u64 = 2_500 * MS;

/// How long after a trouble a death may be committed: detection, an election in between, and a
/// batch on its way. The time in which the station had no majority does not count: what satellites
/// concluded before and during it is committed after it.
const JUST_FOR_NS: u64 = 8 * SECOND;

/// Services that die in one run at most: fewer than the restarts after which the recovery manager
/// leaves a service alone.
const SERVICE_DEATHS_MAX: u64 = 4;

/// Whether the agent with this index manages a service.
pub(crate) const fn has_service(index: usize) -> bool {
    index.is_multiple_of(4)
}

/// A member to strike: the few that serve all are struck as often as the many.
fn pick(rng: &mut Rng, options: &Options, members: u64) -> usize {
    let servers = (options.replicas + options.satellites) as u64;
    let index = if rng.chance(1, 2) { rng.below(servers) } else { rng.below(members) };
    usize::try_from(index).unwrap_or(0)
}
