//! Seeds that broke a promise once, each named after what was wrong.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use syncom_group::Profile;
use syncom_sim::{Options, run};

#[track_caller]
fn holds(scenario: &str, seed: u64) {
    keeps(seed, &Options { scenario: scenario.into(), ..Options::default() });
}

/// As [`holds`], with forty nodes and eight seconds of faults.
#[track_caller]
fn holds_briefly(scenario: &str, seed: u64) {
    let scenario = scenario.into();
    keeps(seed, &Options { scenario, nodes: 40, fault_ms: 8_000, ..Options::default() });
}

#[track_caller]
fn keeps(seed: u64, options: &Options) {
    let outcome = run(seed, options).unwrap();
    assert_eq!(outcome.violations, Vec::<String>::new(), "{}, seed {seed}", options.scenario);
}

/// Its observers never heard it, because its neighbour sets were lost; its homes did hear it.
#[test]
fn loss_seed_1_a_node_that_its_homes_hear_is_not_declared_dead() {
    holds("loss", 1);
}

/// Its welcome was lost again and again, so nobody had ever heard it.
#[test]
fn loss_seed_2_a_node_that_nobody_ever_heard_is_given_time() {
    holds("loss", 2);
}

/// It held the first of three sets for two seconds, because the pushes of the others were lost.
#[test]
fn loss_seed_32_a_lost_neighbour_set_is_pushed_again() {
    holds("loss", 32);
}

/// One home's probes were lost on a path that was cut one way, the other's were answered.
#[test]
fn swarm_seed_71_the_accused_shows_itself_to_both_homes() {
    holds("swarm", 71);
}

/// The restart of its service was refused, because a backlog of orders came first.
#[test]
fn crashes_seed_108_a_busy_node_is_asked_again() {
    holds("crashes", 108);
}

/// The service died while its node was taken for dead, so nobody restarted it.
#[test]
fn swarm_seed_28_a_service_that_stayed_down_is_reported_in_the_next_life() {
    holds("swarm", 28);
}

/// The station had no majority when the node died, and the node was back when it had one.
#[test]
fn swarm_seed_17_a_death_that_waited_for_a_majority_is_no_false_one() {
    holds("swarm", 17);
}

/// It came back with a log that began later than what the leader thought it had, took each append
/// for a contradiction, and never caught up.
#[test]
fn swarm_seed_185_a_replica_that_compacted_its_log_still_takes_appends() {
    holds("swarm", 185);
}

/// Its welcome was lost for two seconds; it was called dead while its accusers took it back.
#[test]
fn loss_seed_1153_one_who_hears_the_accused_is_a_sign_of_life() {
    holds("loss", 1_153);
}

/// Observers that had never heard it, because its neighbour sets were lost, spoke too soon.
#[test]
fn loss_seed_1192_who_never_heard_a_node_has_a_quarter_of_a_vote() {
    holds("loss", 1_192);
}

/// The leader's wall clock jumped ahead when the restart was committed, which voided the order.
#[test]
fn loss_seed_1500_a_clock_that_jumps_voids_no_order() {
    holds("loss", 1_500);
}

/// Its home lost three probes, concluded, could not reach the station for five seconds in which it
/// heard the node well, and then handed its conclusion over all the same.
#[test]
fn swarm_seed_2_a_death_that_waits_for_the_station_stays_open_to_signs_of_life() {
    holds_briefly("swarm", 2);
}

/// The same after a one-way cut, with replicas that die at persist points: nine deaths at once, of
/// nodes that their home had heard for seconds.
#[test]
fn disks_seed_1023_deaths_of_a_deaf_home_do_not_outlive_the_cut() {
    keeps(1_023, &Options { scenario: "disks".into(), nodes: 20, ..Options::default() });
}

/// The leader that was cut off with a satellite took its deaths, which nobody committed; whoever led
/// after the cut got them again.
#[test]
fn minority_seed_16_deaths_that_a_lost_leader_took_are_withdrawn() {
    holds_briefly("minority", 16);
}

/// Its observers and its satellite were inside, and said after the cut what they had believed before.
#[test]
fn minority_seed_18_a_satellite_that_was_cut_off_asks_anew() {
    holds_briefly("minority", 18);
}

/// The newcomer had everything by a snapshot when the last write was done, so the leader had nothing to
/// send it by which it would have counted as one that keeps up.
#[test]
fn catchup_seed_252_a_newcomer_that_lacks_nothing_votes_though_nothing_is_written() {
    let scenario = "catchup".into();
    keeps(252, &Options { scenario, nodes: 8, satellites: 1, ..Options::default() });
}

/// Half of the domains were cut off for a moment with a satellite, and with the leader, which led still when the net was back:
/// all others were dead by then.
#[test]
fn blink_seed_44_what_a_satellite_believed_during_a_short_cut_kills_nobody_after_it() {
    for seed in [44, 96, 103, 105] {
        let (scenario, profile) = ("blink".into(), Profile::FAST);
        let small = Options { nodes: 30, satellites: 3, fault_ms: 5_000, ..Options::default() };
        keeps(seed, &Options { scenario, profile, ..small });
    }
}

/// It had no proof of any silence, said so to the other home, and so no node could die.
#[test]
fn unheard_seed_1_a_satellite_that_the_leader_does_not_hear_keeps_no_death_from_it() {
    for seed in 1..=3 {
        let (scenario, nodes) = ("unheard".into(), 40);
        keeps(seed, &Options { scenario, nodes, fault_ms: 23_000, ..Options::default() });
    }
}

/// With sixty nodes: small enough for a budget to be felt, large enough for eight observers of everybody.
#[track_caller]
fn holds_lean(seed: u64) {
    keeps(seed, &Options { scenario: "lean".into(), nodes: 60, ..Options::default() });
}

/// It was deaf, so all eight asked it in vain for one lost heartbeat; its next turns were heard.
#[test]
fn lean_seed_14_one_missed_turn_condemns_nobody() {
    holds_lean(14);
}

/// It was deaf and stopped for half a second: what it had to say went to one observer after the other.
#[test]
fn lean_seed_124_whoever_hears_nobody_shows_itself_to_all() {
    holds_lean(124);
}

/// It stood still for a quarter of a second, in which three observers missed their turns.
#[test]
fn lean_seed_176_a_node_that_speaks_in_turn_may_stand_still_as_well() {
    holds_lean(176);
}

/// It forgot while it was stopped that it was deaf.
#[test]
fn lean_seed_346_whoever_hears_nobody_knows_so_after_a_pause() {
    holds_lean(346);
}

/// It got an eighth observer, and from then on each of the others waited for a turn that came later.
#[test]
fn lean_seed_2385_a_longer_round_is_announced_before_it_is_kept() {
    holds_lean(2385);
}
