//! Damage to a populated log, byte by byte and cut by cut.

use super::*;
use std::collections::BTreeMap;
use syncom_seam::Rng;

type Counts = BTreeMap<&'static str, u32>;

/// A log with closed files, rewritten values, two snapshots and a tail; and every state that it had
/// after a flush, the last one at the end.
fn populate(scratch: &Scratch) -> Vec<Loaded> {
    let (mut store, _) = scratch.open();
    let mut history = vec![Loaded::default()];
    let (mut ticket, mut last) = (0, 0);
    for round in 1..=16 {
        for _ in 0..12 {
            let mut now = history.last().unwrap().clone();
            let more = entries(last + 1..=last + 3, round);
            last += 3;
            ticket += 1;
            now.hard = HardState { term: round, vote: 1, commit: last - 1 };
            now.entries.extend(more.clone());
            commit(&mut store, append(ticket, Some(now.hard), more));
            history.push(now);
        }
        if round % 3 == 0 {
            let mut now = history.last().unwrap().clone();
            ticket += 1;
            commit(&mut store, snapshot(ticket, saved(last - 9, round), false, last - 15));
            now.entries.retain(|entry| entry.index > last - 9);
            now.snapshot = Some(saved(last - 9, round));
            history.push(now);
        }
    }
    history
}

/// Opens a damaged copy of a log; what came of it.
fn judge(copy: &Scratch, allowed: &[Loaded], what: &str) -> &'static str {
    match copy.try_open() {
        Ok((_store, loaded)) => {
            assert!(allowed.contains(&loaded), "{what}: served {:?}", loaded.hard);
            if Some(&loaded) == allowed.last() { "intact" } else { "an earlier state" }
        }
        Err(DiskFault::Corrupt(text)) => {
            assert!(text.contains(&*copy.0.to_string_lossy()), "{what}: no place in \"{text}\"");
            assert!(text.contains("what to do"), "{what}: no advice in \"{text}\"");
            "refused"
        }
        Err(fault) => panic!("{what}: {fault}"),
    }
}

fn seen(counts: &Counts, outcome: &str) -> u32 {
    counts.get(outcome).copied().unwrap_or(0)
}

/// Copies the log `trials` times, damages one file of it, and judges what opens.
fn trials(
    trials: u32,
    seed: u64,
    witness: Option<&[u8]>,
    damage: impl Fn(&mut Rng, Vec<u8>) -> (Vec<u8>, String),
) -> Counts {
    let scratch = Scratch::new();
    let history = populate(&scratch);
    let names: Vec<String> =
        scratch.files().iter().map(|path| path.display().to_string()).collect();
    let rewritten = |name: &&String| name.ends_with(".rewrite");
    assert!(names.iter().any(|name| rewritten(&name)), "{names:?}");
    let allowed =
        if witness.is_some() { history.as_slice() } else { &history[history.len() - 1..] };
    let mut rng = Rng::new(seed);
    let mut counts = Counts::new();
    for _ in 0..trials {
        let copy = scratch.copy();
        if let Some(witness) = witness {
            fs::write(copy.0.join("durable"), witness).unwrap();
        }
        let mut files = copy.files();
        files.retain(|path| fs::metadata(path).unwrap().len() > 0);
        let path = &files[usize::try_from(rng.below(files.len() as u64)).unwrap()];
        let (bytes, what) = damage(&mut rng, fs::read(path).unwrap());
        fs::write(path, bytes).unwrap();
        let outcome = judge(&copy, allowed, &format!("{what} of {}", path.display()));
        *counts.entry(outcome).or_default() += 1;
    }
    counts
}

fn flip(rng: &mut Rng, mut bytes: Vec<u8>) -> (Vec<u8>, String) {
    let place = usize::try_from(rng.below(bytes.len() as u64)).unwrap();
    bytes[place] ^= rng.below(255).to_le_bytes()[0] + 1;
    (bytes, format!("byte {place}"))
}

fn cut(rng: &mut Rng, mut bytes: Vec<u8>) -> (Vec<u8>, String) {
    let length = usize::try_from(rng.below(bytes.len() as u64)).unwrap();
    bytes.truncate(length);
    (bytes, format!("all from byte {length}"))
}

/// The witness as it was before the first batch: staler than a power cut can leave it.
fn stale_witness() -> Vec<u8> {
    let scratch = Scratch::new();
    drop(Home::enter(&scratch.0, ME).unwrap());
    fs::read(scratch.0.join("durable")).unwrap()
}

/// Invariant 10: damage is named and refused; what is served is what was written.
#[test]
fn a_changed_byte_anywhere_is_named_or_harmless() {
    let counts = trials(220, 1, None, flip);
    assert!(seen(&counts, "refused") > 50 && seen(&counts, "intact") > 10, "{counts:?}");
}

#[test]
fn a_shortened_file_is_named_or_harmless() {
    let counts = trials(80, 2, None, cut);
    assert!(seen(&counts, "refused") > 30, "{counts:?}");
}

#[test]
fn damage_after_a_power_cut_leaves_at_worst_an_earlier_state() {
    let witness = stale_witness();
    let counts = trials(80, 3, Some(&witness), flip);
    assert!(seen(&counts, "refused") > 20, "{counts:?}");
    let counts = trials(80, 4, Some(&witness), cut);
    assert!(seen(&counts, "an earlier state") > 3, "{counts:?}");
}

#[test]
fn a_damaged_newest_snapshot_is_refused_unless_the_log_still_reaches_the_one_before() {
    let scratch = Scratch::new();
    let (mut store, _) = scratch.open();
    commit(&mut store, append(1, None, entries(1..=30, 1)));
    commit(&mut store, snapshot(2, saved(10, 1), false, 11));
    commit(&mut store, snapshot(3, saved(20, 1), false, 11));
    let spoil = |scratch: &Scratch, index: &str| {
        let files = scratch.files();
        let path = files.iter().find(|path| path.to_string_lossy().contains(index)).unwrap();
        let mut bytes = fs::read(path).unwrap();
        bytes[300] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let copy = scratch.copy();
    spoil(&copy, "snapshot-20-");
    let (_store, loaded) = copy.open();
    assert_eq!((loaded.snapshot, loaded.entries), (Some(saved(10, 1)), entries(11..=30, 1)));
    commit(&mut store, snapshot(4, saved(28, 1), false, 25));
    let copy = scratch.copy();
    spoil(&copy, "snapshot-28-");
    let fault = copy.try_open().unwrap_err().to_string();
    assert!(fault.contains("snapshot-28-") && fault.contains("hash differs"), "{fault}");
}

#[test]
fn a_damaged_alignment_does_not_reach_the_library() {
    let scratch = Scratch::new();
    drop(scratch.open());
    let files = scratch.files();
    let path = files.iter().find(|path| path.extension().is_some_and(|kind| kind == "raftlog"));
    let mut bytes = fs::read(path.unwrap()).unwrap();
    bytes[62] = 0x10;
    fs::write(path.unwrap(), bytes).unwrap();
    let fault = scratch.try_open().unwrap_err().to_string();
    assert!(fault.contains(".raftlog: header damaged"), "{fault}");
}
