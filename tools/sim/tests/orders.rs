//! Orders to a whole cluster, satellites dying under them: the same in small as `syncom sim orders`.

use syncom_sim::scale::{Finding, Orders, Plan};

fn orders(seed: u64, loss: u64, kill: usize, deaf_of: usize) -> Vec<Finding> {
    let plan = Plan { seed, loss, satellites: 20, stages: Vec::new(), ..Plan::of(400) };
    let mut findings = Orders { plan, turns: 3, kill, deaf_of }.run(|_| {});
    assert_eq!(findings.remove(0).figure("not_joined"), Some(0.0), "seed {seed}");
    assert_eq!(findings.len(), 3);
    for finding in &findings {
        assert!(finding.violations.is_empty(), "seed {seed}: {:?}", finding.violations);
        assert_eq!(finding.figure("executed_twice"), Some(0.0), "seed {seed}: {finding}");
    }
    findings
}

#[test]
fn the_last_receipt_comes_within_25_ms_where_a_thousandth_is_lost() {
    for finding in orders(1, 10, 0, 0) {
        assert!(finding.is_kept(), "{finding}");
        assert_eq!(finding.figure("executed"), Some(400.0));
    }
}

#[test]
fn the_last_receipt_comes_within_85_ms_where_a_twentieth_of_the_satellites_dies() {
    for seed in [1, 2] {
        for finding in orders(seed, 10, 1, 0) {
            assert!(finding.is_kept(), "seed {seed}: {finding}");
            assert_eq!(finding.figure("executed"), Some(400.0));
        }
    }
}

/// Far more than is promised any time for: half of the satellites, and a datagram in ten.
#[test]
fn nothing_runs_twice_and_nobody_is_missed_where_half_of_the_satellites_die() {
    for finding in orders(3, 1_000, 10, 0) {
        assert_eq!(finding.figure("missing"), Some(0.0), "{finding}");
        assert_eq!(finding.figure("executed"), Some(400.0), "{finding}");
    }
}

#[test]
fn who_does_not_answer_is_missing_and_nobody_else() {
    for finding in orders(4, 0, 0, 40) {
        assert_eq!(finding.figure("missing"), Some(10.0), "{finding}");
    }
}
