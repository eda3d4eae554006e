//! Many join at one moment, and nobody is called what it is not.

use syncom_sim::scale::{Plan, run};

/// While a hundred join, every view replaces observers, and each node is told of some of the sets only.
/// In these lives 9 to 18 nodes were called gray, because two that had observed each for a moment, of
/// which it was never told, waited for its heartbeats.
#[test]
fn nobody_is_called_gray_while_a_hundred_join_at_one_moment() {
    for seed in [15, 23, 28, 29, 64] {
        let plan = Plan { seed, loss: 100, stages: Vec::new(), ..Plan::of(100) };
        let joins = run(&plan, |_| {}).remove(0);
        assert_eq!(joins.figure("not_joined"), Some(0.0), "seed {seed}");
        assert_eq!(joins.figure("gray"), Some(0.0), "seed {seed}");
    }
}
