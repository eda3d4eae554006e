//! Whole racks lose their power in a cluster of many satellites, of which each has a few of the dead:
//! that is one view all the same. And a node that dies alone waits for nobody.

use syncom_sim::scale::{Plan, Stage, run};

#[test]
fn racks_that_lose_their_power_are_one_view_and_single_deaths_do_not_wait() {
    for seed in [1, 2] {
        let stages = vec![Stage::Kills(20), Stage::Power];
        let plan = Plan { seed, satellites: 40, stages, ..Plan::of(2_000) };
        let findings = run(&plan, |finding| println!("seed {seed}: {finding}"));
        for finding in &findings {
            // At most one view, five entries and 1.2 s for all of them; 0.95 s for one alone.
            assert!(finding.is_kept(), "seed {seed}: {finding}");
        }
        let died = findings[2].figure("died").unwrap_or(0.0);
        assert!(died > 150.0, "{died} died with their racks");
    }
}
