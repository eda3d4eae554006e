//! Cuts of a tenth of a second to one second kill nobody who runs, at any profile.
//! `SYNCOM_SEEDS` sets how many seeds of each; the default keeps the test short.

use syncom_group::Profile;
use syncom_sim::scale::{self, Plan, Stage};
use syncom_sim::{Options, run};

#[test]
fn a_moment_without_the_network_kills_nobody() {
    let seeds = std::env::var("SYNCOM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let first = std::env::var("SYNCOM_FIRST").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut broken = Vec::new();
    for profile in Profile::ALL {
        let mut cut = 0;
        for seed in first..first + seeds {
            let options = Options {
                scenario: "blink".into(),
                nodes: 30,
                satellites: 3,
                fault_ms: 5_000,
                profile,
                ..Options::default()
            };
            let outcome = run(seed, &options).unwrap();
            cut += outcome.faults.cut_datagrams;
            if !outcome.violations.is_empty() {
                println!("{} {seed}: {:?}", profile.name, outcome.violations);
                broken.push((profile.name, seed, outcome.violations));
            }
        }
        println!("{}: {seeds} seeds, {cut} datagrams lost at cuts", profile.name);
    }
    assert!(broken.is_empty(), "{} broken: {broken:#?}", broken.len());
}

/// The leader's answer costs nothing where it is near: it comes before the round of questions is over.
#[test]
fn a_death_on_a_quiet_network_is_known_as_soon_as_promised() {
    for (profile, most_ms) in [(Profile::FAST, 270.0), (Profile::DEFAULT, 950.0)] {
        let stages = vec![Stage::Kills(30)];
        let plan = Plan { profile, stages, ..Plan::of(50) };
        let found = scale::run(&plan, |_| {});
        let figure = |name| found.iter().find_map(|one| one.figure(name)).unwrap();
        let (p50_ms, max_ms) = (figure("p50_ms"), figure("max_ms"));
        println!("{}: p50 {p50_ms:.0} ms, slowest {max_ms:.0} ms", profile.name);
        assert!(max_ms <= most_ms, "{}: {max_ms} ms", profile.name);
    }
}
