//! Clusters in trouble for long: nobody who runs is removed, and skipping calm changes nothing.

use std::env;
use syncom_sim::Said;
use syncom_sim::scale::{Hours, Life};

/// All that is said of a life of this kind.
const ALL: usize = 1 << 22;

/// A life with much loss, so that often enough heartbeats in a row are lost in the calm as well.
const LOSSY: Hours =
    Hours { nodes: 20, loss: 300, trouble_s: 20, calm_s: 900, spans: 2, skips: false };

fn seeds(default: u64) -> u64 {
    env::var("SYNCOM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(default)
}

fn first_difference(whole: &[Said], skipped: &[Said]) -> Option<String> {
    if whole == skipped {
        return None;
    }
    let same = whole.iter().zip(skipped).take_while(|(one, other)| one == other).count();
    let near =
        |said: &[Said]| format!("{:#?}", &said[same.min(said.len())..said.len().min(same + 2)]);
    let (all, others) = (whole.len(), skipped.len());
    Some(format!("entry {same} of {all} and {others}: {}\nskipped: {}", near(whole), near(skipped)))
}

#[test]
fn skipping_calm_changes_nothing_that_is_said_or_concluded() {
    let (mut said, mut skipped_ns, mut lived_ns) = (0, 0, 0);
    let default = if cfg!(debug_assertions) { 2 } else { 24 };
    for seed in 1..=seeds(default) {
        let (whole, all) = LOSSY.live(seed, ALL);
        let (skipped, others) = Hours { skips: true, ..LOSSY }.live(seed, ALL);
        if let Some(difference) = first_difference(&all, &others) {
            panic!("seed {seed}: {difference}");
        }
        let wrongs = |life: &Life| life.wrongs().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(wrongs(&whole), wrongs(&skipped), "seed {seed}");
        assert_eq!(whole.lived_ns, skipped.lived_ns, "seed {seed}");
        assert_eq!((whole.skipped_ns, whole.false_removals()), (0, 0), "seed {seed}");
        said += all.len();
        (skipped_ns, lived_ns) = (skipped_ns + skipped.skipped_ns, lived_ns + skipped.lived_ns);
    }
    let percent = skipped_ns * 100 / lived_ns;
    println!("{said} entries are the same, {percent} % of the time was skipped");
    assert!(percent >= 50, "only {percent} % was skipped");
}

#[test]
fn lives_that_are_lived_at_one_time_come_to_the_same() {
    let hours = Hours { nodes: 20, trouble_s: 10, ..Hours::whole(20) };
    let of = |threads| {
        let mut said = Vec::new();
        let finding = hours.run(7, 0.12, threads, |life, seed| said.push((seed, life.events)));
        (finding, said)
    };
    let one = of(1);
    assert!(one.1.len() > 1 && one.1.iter().map(|(seed, _)| *seed).eq(7..7 + one.1.len() as u64));
    assert_eq!(one, of(3));
}

/// A node whose cable loses four of five was removed: of the observers that heard it, each had heard it
/// a heartbeat later than the one before, never enough later to be believed.
#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "ten million events: cargo x ci lives this life in the release build"
)]
fn nobody_who_runs_is_removed_in_seed_1012_of_300_nodes() {
    let (life, _) = Hours::whole(300).live(1_012, ALL);
    let wrongs: Vec<&str> = life.wrongs().collect();
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
}
