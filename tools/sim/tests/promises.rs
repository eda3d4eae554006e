//! A handful of small clusters of every scenario, and one of them twice. `SYNCOM_SEEDS` sets how many
//! seeds of each; the default keeps the test short.
//!
//! A run checks while it lasts that nobody well is declared dead (invariant 4) and that all
//! replicas announce one order of events (invariant 8); and when faults have stopped, that every
//! acknowledged report has its event, and only one (invariant 5), that no order ran twice in a life
//! (invariant 6), that all replicas have one state (invariant 11), and that the cluster is whole.

use syncom_group::Profile;
use syncom_sim::{Options, Scenario, run};

fn options(scenario: &str) -> Options {
    let mut options = Options { nodes: 40, fault_ms: 8_000, ..Options::default() };
    options.scenario = scenario.into();
    options
}

#[test]
fn a_few_seeds_of_every_scenario_keep_every_promise() {
    let seeds = std::env::var("SYNCOM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    let mut broken = Vec::new();
    for (scenario, _) in Scenario::NAMES {
        for seed in 1..=seeds {
            let outcome = run(seed, &options(scenario)).unwrap();
            let (made, acknowledged) = outcome.reports;
            if !outcome.violations.is_empty() || made <= 20 || acknowledged * 10 <= made * 9 {
                broken.push((scenario, seed, outcome.violations));
            }
        }
        println!("{scenario}: {seeds} seeds");
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    // invariant 1: effects depend on inputs only, so nothing but the seed decides.
    let first = run(7, &options("swarm")).unwrap();
    assert_eq!(first, run(7, &options("swarm")).unwrap());
    assert_ne!(first.trace_hash, run(8, &options("swarm")).unwrap().trace_hash);
}

#[test]
fn an_unknown_scenario_is_refused_by_name() {
    assert!(run(1, &options("sunshine")).unwrap_err().contains("sunshine"));
}

/// Invariant 14: never two managers under a lease; and the invariant that says so fires when leases are too long.
#[test]
fn one_replica_at_a_time_holds_the_lease_and_an_overlong_one_is_found_out() {
    let small =
        |scenario| Options { nodes: 4, satellites: 1, fault_ms: 60_000, ..options(scenario) };
    let sound = run(1, &small("reads")).unwrap();
    assert_eq!(sound.violations, Vec::<String>::new());
    assert!(sound.faults.leaves > 0, "somebody was told to go");
    let fires = |seed| {
        let outcome = run(seed, &small(Scenario::OVERLONG)).unwrap();
        outcome.violations.iter().any(|text| text.contains("lease"))
    };
    assert!((1..=20).any(fires), "no overlong lease was found in 20 runs");
}

/// Invariant 15: a policy does what it says whoever manages: see `invariants/fences.rs`.
#[test]
fn rules_fence_the_dead_within_their_bounds() {
    let long = Options { fault_ms: 20_000, ..options("rules") };
    let outcomes = (1..=8).map(|seed| run(seed, &long).unwrap());
    let (mut fenced, mut tries, mut storms) = (0, 0, 0);
    for outcome in outcomes {
        assert_eq!(outcome.violations, Vec::<String>::new(), "seed {}", outcome.seed);
        fenced += outcome.fences.0;
        tries += outcome.fences.1;
        storms += outcome.storms;
    }
    assert!(
        fenced > 8 && tries > fenced && storms > 1,
        "{fenced} by {tries} tries, {storms} storms"
    );
}

/// Invariant 15: a power loss that two thirds of five satellites see is fenced while its storm lasts; two
/// satellites are too few to say so.
#[test]
fn a_storm_that_most_satellites_see_holds_up_no_fence() {
    let fenced = |satellites| {
        let long = Options { fault_ms: 20_000, satellites, ..options("rules") };
        let (mut fenced, mut storms) = (0, 0);
        for seed in 1..=8 {
            let outcome = run(seed, &long).unwrap();
            assert_eq!(outcome.violations, Vec::<String>::new(), "seed {seed}");
            fenced += outcome.fences_in_storms;
            storms += outcome.storms;
        }
        assert!(storms > 1, "{storms} storms among {satellites} satellites");
        fenced
    };
    assert_eq!(fenced(2), 0);
    let fenced = fenced(5);
    assert!(fenced > 5, "{fenced} fences in storms");
}

/// Invariant 4: nobody who runs is declared dead, whatever befalls those who watch it.
#[test]
fn slow_deaf_and_forgetful_watchers_condemn_nobody() {
    let long = Options { nodes: 60, fault_ms: 30_000, ..options("watchers") };
    let (mut pauses, mut overflows, mut cut) = (0, 0, 0);
    for seed in 1..=6 {
        let outcome = run(seed, &long).unwrap();
        assert_eq!(outcome.violations, Vec::<String>::new(), "seed {seed}");
        pauses += outcome.faults.pauses;
        overflows += outcome.faults.overflows;
        cut += outcome.faults.cut_datagrams;
    }
    assert!(pauses > 200 && overflows > 100 && cut > 1_000, "{pauses}, {overflows}, {cut}");
}

/// Whoever is cut off with less than half of the cluster evicts nobody, and is back by itself.
#[test]
fn minorities_freeze_and_come_back_without_a_restart() {
    let seeds = std::env::var("SYNCOM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let mut broken = Vec::new();
    for profile in Profile::ALL {
        let mut cut = 0;
        for seed in 1..=seeds {
            let outcome = run(seed, &Options { profile, ..options("minority") }).unwrap();
            if !outcome.violations.is_empty() {
                broken.push((profile.name, seed, outcome.violations));
            }
            cut += outcome.faults.cut_datagrams;
        }
        assert!(cut > 5_000, "{cut} datagrams were lost at cuts, profile {}", profile.name);
    }
    assert!(broken.is_empty(), "{} broken: {broken:#?}", broken.len());
}

/// Mass death is named as one storm, and nobody is damped who does not flap.
#[test]
fn storms_are_named_and_flaps_are_damped() {
    let mut storms = 0;
    for seed in 1..=12 {
        let outcome = run(seed, &options("storm")).unwrap();
        assert_eq!(outcome.violations, Vec::<String>::new(), "seed {seed}");
        storms += outcome.storms;
    }
    assert!((4..12).contains(&storms), "{storms} of 12 runs had a storm");
    let long = Options { fault_ms: 25_000, ..options("flapping") };
    for seed in 1..=3 {
        assert_eq!(run(seed, &long).unwrap().violations, Vec::<String>::new(), "seed {seed}");
    }
}

/// Invariant 13: every answer is current whatever befalls the replicas; and the judge that says so finds the fault
/// when clients take stale answers for current ones.
#[test]
fn reads_are_linearizable_and_stale_ones_are_found_out() {
    let small = |scenario| Options { nodes: 4, satellites: 1, ..options(scenario) };
    let mut caught = 0;
    for seed in 1..=6 {
        let outcome = run(seed, &small("reads")).unwrap();
        assert_eq!(outcome.violations, Vec::<String>::new(), "seed {seed}");
        assert!(outcome.reads > 1_000, "seed {seed}: {} reads", outcome.reads);
        let unchecked = run(seed, &small(Scenario::UNCHECKED)).unwrap();
        caught += u32::from(!unchecked.violations.is_empty());
    }
    assert!(caught >= 5, "stale reads were found in {caught} of 6 runs");
}

/// Snapshots cross narrow and lossy paths, and whoever lost its disk or got an old one is refused.
#[test]
fn replicas_catch_up_over_narrow_paths_and_old_disks_are_refused() {
    let small = Options { nodes: 8, satellites: 1, fault_ms: 20_000, ..options("catchup") };
    let (mut installs, mut refused) = (0, 0);
    for seed in 1..=12 {
        let outcome = run(seed, &small).unwrap();
        assert_eq!(outcome.violations, Vec::<String>::new(), "seed {seed}");
        installs += outcome.installs;
        refused += outcome.faults.refused;
    }
    println!("{installs} snapshots installed, {refused} disks refused");
    assert!(installs >= 20 && refused >= 3, "{installs} installs, {refused} refused");
}

/// Replicas die for good and are replaced, and every promise holds all along.
#[test]
fn replicas_are_replaced_while_everything_else_goes_wrong() {
    let small = Options { nodes: 8, satellites: 2, ..options("replace") };
    let mut replaced = 0;
    for seed in 1..=14 {
        let outcome = run(seed, &small).unwrap();
        assert_eq!(outcome.violations, Vec::<String>::new(), "seed {seed}");
        replaced += outcome.faults.replacements;
    }
    assert!(replaced >= 20, "only {replaced} replacements in 14 runs");
}

/// Satellites and replicas that die are called dead, once and in time, and no other is, whoever does
/// not hear it; nor is a node that one of its homes does not hear.
#[test]
fn satellites_and_replicas_are_called_dead_when_they_are() {
    let seeds = std::env::var("SYNCOM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    let (mut crashes, mut pauses, mut cuts, mut broken) = (0, 0, 0, Vec::new());
    for seed in 1..=seeds {
        let size = Options { nodes: 20, satellites: 3, fault_ms: 60_000, ..options("servers") };
        let outcome = run(seed, &size).unwrap();
        crashes += outcome.faults.crashes;
        pauses += outcome.faults.pauses;
        cuts += outcome.faults.cuts;
        if !outcome.violations.is_empty() {
            broken.push((seed, outcome.violations));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(crashes.min(pauses).min(cuts) > 3, "{crashes} crashes, {pauses} pauses, {cuts} cuts");
}
