//! Everything that fuzzing ever found, again; and a few steps beyond it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use syncom_fuzz::{Reached, TARGETS, play_channel, play_stream, read};
use syncom_seam::Rng;

/// Mutations of the corpus that each target sees, from a fixed seed.
const MUTATIONS: usize = 2_000;

#[test]
fn every_committed_input_is_survived() {
    for (name, target) in TARGETS {
        for input in read(name).unwrap() {
            target(&input);
        }
    }
}

/// Both ways of beginning of every role, whatever is in the corpora.
#[test]
fn every_target_can_begin() {
    for (_, target) in TARGETS {
        target(&[0, 0]);
        target(&[1, 0]);
    }
}

#[test]
fn mutations_of_committed_inputs_are_survived() {
    let mut rng = Rng::new(1);
    for (name, target) in TARGETS {
        let inputs = read(name).unwrap();
        for _ in 0..MUTATIONS {
            target(&mutated(&inputs, &mut rng));
        }
    }
}

/// What streams are fuzzed for is reached: gaps are asked for, fragments are repeated, and streams
/// are set up, by the committed inputs and by mutations of them.
#[test]
fn streams_and_channels_get_to_requests_repairs_and_set_ups() {
    let mut rng = Rng::new(2);
    let players: [fn(&[u8]) -> Reached; 2] = [play_stream, play_channel];
    for (name, play) in ["stream", "channel"].into_iter().zip(players) {
        let inputs = read(name).unwrap();
        let of_corpus =
            inputs.iter().map(|input| play(input)).fold(Reached::default(), Reached::and);
        let mutations = (0..MUTATIONS).map(|_| play(&mutated(&inputs, &mut rng)));
        let of_mutations = mutations.fold(Reached::default(), Reached::and);
        println!("{name}: {of_corpus:?}, {of_mutations:?}");
        for Reached { asked, repeated, set_ups } in [of_corpus, of_mutations] {
            assert!(asked > 3 && repeated > 10 && set_ups > 3, "{name} misses the point");
        }
    }
}

/// Two inputs spliced, and a few bytes changed.
fn mutated(inputs: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let pick = |rng: &mut Rng| inputs[below(rng, inputs.len())].clone();
    let (mut head, tail) = (pick(rng), pick(rng));
    if rng.chance(1, 3) {
        head.truncate(below(rng, head.len() + 1));
        head.extend_from_slice(&tail[below(rng, tail.len() + 1)..]);
    }
    for _ in 0..rng.below(6) {
        if !head.is_empty() {
            let at = below(rng, head.len());
            head[at] = rng.next_u64().to_le_bytes()[0];
        }
    }
    head
}

fn below(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(bound as u64)).unwrap()
}

#[test]
fn every_target_has_a_wrapper_and_a_corpus() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        entries
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into())
            .collect()
    };
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).into()).collect();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("corpus"), targets);
}

#[test]
fn corpora_stay_small() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let entries = fs::read_dir(corpus).unwrap();
    let total: u64 = entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(total < 300_000, "{total} bytes");
}
