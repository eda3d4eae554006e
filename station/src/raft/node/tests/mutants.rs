//! Spoiled messages into a live replica, in every role: no panic, and what it has committed stays.
//!
//! `SYNCOM_MUTANTS` sets how many; the default keeps the test short. Each scene is a function of its
//! number, so a failure is repeated by the number that it prints.

mod damage;
mod scene;

use damage::damage;
use raft::StateRole;
use scene::{Part, Scene, Setting};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use syncom_seam::Rng;

/// Shots at one scene, doubled up to three times: what is believed wears a scene out, and what takes
/// many steps to go wrong needs a long one.
const SHOTS: u64 = 15;

/// What the shots have met.
#[derive(Debug, Default)]
struct Tally {
    shots: u64,
    accepted: u64,
    panics: u64,
    /// By what the target was told to be, and by what it was at the moment.
    parts: BTreeMap<Part, u64>,
    roles: [u64; 4],
    joint: u64,
    compacted: u64,
    slow: u64,
    /// Entries that targets applied, and snapshots that they installed, under fire.
    applied: u64,
    installed: u64,
}

fn setting(number: u64, is_guarded: bool) -> Setting {
    let part = Part::ALL[usize::try_from(number % 5).unwrap()];
    let bits = number / 5;
    Setting {
        seed: number,
        part,
        is_joint: bits & 1 == 1,
        is_compacted: bits & 2 == 2,
        is_slow: bits & 4 == 4,
        is_guarded,
    }
}

fn count() -> u64 {
    option_env!("SYNCOM_MUTANTS").and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

/// Shoots until `total` shots are fired.
fn bombard(total: u64, is_guarded: bool) -> Tally {
    let mut tally = Tally::default();
    for number in 0.. {
        if tally.shots >= total {
            break;
        }
        let setting = setting(number, is_guarded);
        let mut scene = Scene::set(setting);
        let mut rng = Rng::new(number);
        scene.fired = (0, 0);
        for shot in 0..SHOTS << (number % 4) {
            tally.shots += 1;
            let outcome = catch_unwind(AssertUnwindSafe(|| fire(&mut scene, &mut rng, &mut tally)));
            if let Err(panic) = outcome {
                tally.panics += 1;
                if is_guarded {
                    eprintln!("shot {shot} of {setting:?}");
                    std::panic::resume_unwind(panic);
                }
                break;
            }
        }
        tally.applied += scene.fired.0;
        tally.installed += scene.fired.1;
    }
    tally
}

fn fire(scene: &mut Scene, rng: &mut Rng, tally: &mut Tally) {
    let mut pick = || usize::try_from(rng.below(scene.said.len() as u64)).unwrap();
    let (sound, other) = (pick(), pick());
    let body = damage(rng, &scene.said[sound], &scene.said[other]);
    let role = scene.role();
    let accepted = scene.shoot(rng, &body);
    tally.accepted += u64::from(accepted);
    tally.roles[match role {
        StateRole::Follower => 0,
        StateRole::Candidate => 1,
        StateRole::Leader => 2,
        StateRole::PreCandidate => 3,
    }] += 1;
    let setting = scene.setting;
    *tally.parts.entry(setting.part).or_default() += 1;
    tally.joint += u64::from(setting.is_joint);
    tally.compacted += u64::from(setting.is_compacted);
    tally.slow += u64::from(setting.is_slow);
    match rng.below(24) {
        0 => scene.live(1),
        1..4 => scene.flush(),
        4..8 => scene.stand_again(),
        _ => {}
    }
}

#[test]
fn mutated_messages_neither_panic_a_replica_nor_change_what_it_committed() {
    let total = count();
    let tally = bombard(total, true);
    println!("{tally:#?}");
    assert_eq!((tally.shots >= total, tally.panics), (true, 0));
    // Much is refused and much believed, and the replicas live on, or the test would prove little.
    assert!(tally.accepted > total / 10 && tally.accepted < total * 9 / 10, "{tally:?}");
    assert!(tally.applied > total / 50 && tally.installed > total / 500, "{tally:?}");
    let seen = tally.roles.iter().chain(tally.parts.values());
    let seen = seen.chain([&tally.joint, &tally.compacted, &tally.slow]);
    assert!(seen.clone().count() == 12 && seen.clone().all(|n| *n > total / 100), "{tally:?}");
}

/// The negative control: what the check is for.
#[test]
fn without_the_check_the_library_panics_on_the_same_messages() {
    let total = count() / 10;
    let tally = bombard(total, false);
    println!("{} panics after {} messages", tally.panics, tally.shots);
    assert!(tally.panics > tally.shots / 200, "{tally:?}");
}
