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

/// What may be found in a damaged copy of a log, beside a refusal: the last state, or one of the
/// few before it.
#[derive(Clone, Copy)]
struct Judge<'a>(&'a [Loaded]);

impl Judge<'_> {
    /// Opens a damaged copy of a log; what came of it.
    fn of(self, copy: &Scratch, what: &str) -> &'static str {
        match copy.try_open() {
            Ok((store, loaded)) => {
                assert!(self.0.contains(&loaded), "{what}: served {:?}", loaded.hard);
                goes_on(copy, store, &loaded, what);
                if Some(&loaded) == self.0.last() { "intact" } else { "an earlier state" }
            }
            Err(DiskFault::Corrupt(text)) => {
                assert!(text.contains(&*copy.0.to_string_lossy()), "{what}: no place in {text:?}");
                assert!(text.contains("what to do"), "{what}: no advice in {text:?}");
                let again = copy.try_open().map(|(_, loaded)| loaded);
                assert!(again.is_err(), "{what}: refused, and then served");
                "refused"
            }
            Err(fault) => panic!("{what}: {fault}"),
        }
    }
}

/// Whether a log that opened takes more and gives it back.
fn goes_on(copy: &Scratch, mut store: Store, found: &Loaded, what: &str) {
    let base = found.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
    let last = found.entries.last().map_or(base, |entry| entry.index);
    let more = entries(last + 1..=last + 5, found.hard.term);
    commit(&mut store, append(1, None, more.clone()));
    drop(store);
    let (_store, again) = copy.try_open().unwrap_or_else(|fault| panic!("{what}, later: {fault}"));
    assert_eq!(again.entries, [found.entries.clone(), more].concat(), "{what}, later");
}

fn seen(counts: &Counts, outcome: &str) -> u32 {
    counts.get(outcome).copied().unwrap_or(0)
}

/// Number of damaged bytes; `SYNCOM_FLIPS` sets another.
fn flips() -> usize {
    std::env::var("SYNCOM_FLIPS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000)
}

/// Files up to this size are damaged byte by byte; of larger ones, the header of the file and of the
/// first batch.
const WHOLE: u64 = 88;

/// Every byte of small files and of headers, and `count` random places in the others.
fn places(scratch: &Scratch, rng: &mut Rng, count: usize) -> Vec<(usize, u64)> {
    let sizes: Vec<u64> =
        scratch.files().iter().map(|path| fs::metadata(path).unwrap().len()).collect();
    let whole = |(file, size): (usize, &u64)| (0..(*size).min(WHOLE)).map(move |at| (file, at));
    let mut places: Vec<_> = sizes.iter().enumerate().flat_map(whole).collect();
    let large: Vec<_> = (0..sizes.len()).filter(|file| sizes[*file] > WHOLE).collect();
    for _ in 0..count {
        let file = large[usize::try_from(rng.below(large.len() as u64)).unwrap()];
        places.push((file, rng.below(sizes[file])));
    }
    places
}

/// Changes one byte in a copy of the log, once for each place, and judges what opens.
fn flip_each(
    scratch: &Scratch,
    places: &[(usize, u64)],
    rng: &mut Rng,
    judge: Judge<'_>,
) -> Counts {
    let mut counts = Counts::new();
    for (file, at) in places {
        let copy = scratch.copy();
        let path = &copy.files()[*file];
        let mut bytes = fs::read(path).unwrap();
        bytes[usize::try_from(*at).unwrap()] ^= rng.below(255).to_le_bytes()[0] + 1;
        fs::write(path, bytes).unwrap();
        let outcome = judge.of(&copy, &format!("byte {at} of {}", path.display()));
        *counts.entry(outcome).or_default() += 1;
    }
    counts
}

/// Cuts one file of a copy of the log short, `trials` times, and judges what opens.
fn cut_some(scratch: &Scratch, trials: u32, rng: &mut Rng, judge: Judge<'_>) -> Counts {
    let mut counts = Counts::new();
    for _ in 0..trials {
        let copy = scratch.copy();
        let mut files = copy.files();
        files.retain(|path| fs::metadata(path).unwrap().len() > 0);
        let path = &files[usize::try_from(rng.below(files.len() as u64)).unwrap()];
        let mut bytes = fs::read(path).unwrap();
        let length = rng.below(bytes.len() as u64);
        bytes.truncate(usize::try_from(length).unwrap());
        fs::write(path, bytes).unwrap();
        let outcome = judge.of(&copy, &format!("all from byte {length} of {}", path.display()));
        *counts.entry(outcome).or_default() += 1;
    }
    counts
}

/// A populated log, closed, and its history.
fn populated() -> (Scratch, Vec<Loaded>) {
    let scratch = Scratch::light();
    let history = populate(&scratch);
    let rewritten = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "rewrite");
    assert!(scratch.files().iter().any(rewritten), "{:?}", scratch.files());
    (scratch, history)
}

/// Makes the witness staler than a power cut can leave it: as it was before the first batch.
fn forget_witness(scratch: &Scratch) {
    let (home, _) = Home::enter(&scratch.0, ME).unwrap();
    home.witness(0).unwrap();
}

/// Invariant 10: damage is named and refused; what is served is what was written.
#[test]
fn a_changed_byte_anywhere_is_named_or_harmless() {
    let (scratch, history) = populated();
    let mut rng = Rng::new(1);
    let places = places(&scratch, &mut rng, flips());
    let counts = flip_each(&scratch, &places, &mut rng, Judge(&history[history.len() - 1..]));
    println!("{} bytes changed, one at a time: {counts:?}", places.len());
    assert!(seen(&counts, "refused") > 200 && seen(&counts, "intact") > 20, "{counts:?}");
}

#[test]
fn a_shortened_file_is_named_or_harmless() {
    let (scratch, history) = populated();
    let judge = Judge(&history[history.len() - 1..]);
    let counts = cut_some(&scratch, 80, &mut Rng::new(2), judge);
    assert!(seen(&counts, "refused") > 30, "{counts:?}");
}

/// Writes that went to a wrong place, or that never arrived: bytes of the log itself, sound but
/// elsewhere.
#[test]
fn sectors_in_a_wrong_place_are_named_or_harmless() {
    let (scratch, history) = populated();
    let judge = Judge(&history[history.len() - 1..]);
    let (mut rng, mut counts) = (Rng::new(5), Counts::new());
    for _ in 0..flips() / 4 {
        let copy = scratch.copy();
        let mut files = copy.files();
        files.retain(|path| fs::metadata(path).unwrap().len() >= 1_024);
        let mut pick = || {
            let path = &files[usize::try_from(rng.below(files.len() as u64)).unwrap()];
            let bytes = fs::read(path).unwrap();
            let at = 512 * rng.below(bytes.len() as u64 / 512);
            (path, bytes, usize::try_from(at).unwrap())
        };
        let ((_, source, from), (path, mut target, to)) = (pick(), pick());
        target[to..to + 512].copy_from_slice(&source[from..from + 512]);
        fs::write(path, target).unwrap();
        let outcome = judge.of(&copy, &format!("sector at {to} of {}", path.display()));
        *counts.entry(outcome).or_default() += 1;
    }
    println!("{} sectors misplaced: {counts:?}", flips() / 4);
    assert!(seen(&counts, "refused") > 20, "{counts:?}");
}

/// With a witness that knows nothing, the log itself still shows what was durable: only the very
/// last batch can be taken for the one that the power cut tore.
#[test]
fn a_changed_byte_after_a_power_cut_takes_at_most_the_last_batch() {
    let (scratch, history) = populated();
    forget_witness(&scratch);
    let mut rng = Rng::new(3);
    let places = places(&scratch, &mut rng, flips() / 2);
    let counts = flip_each(&scratch, &places, &mut rng, Judge(&history[history.len() - 2..]));
    println!("{} bytes changed after a power cut: {counts:?}", places.len());
    assert!(seen(&counts, "refused") > 100, "{counts:?}");
}

#[test]
fn a_shortened_file_after_a_power_cut_leaves_at_worst_an_earlier_state() {
    let (scratch, history) = populated();
    forget_witness(&scratch);
    let counts = cut_some(&scratch, 80, &mut Rng::new(4), Judge(&history));
    assert!(seen(&counts, "an earlier state") > 3, "{counts:?}");
}

/// Not at its end, where a torn write would be: others follow it, and each began when it was durable.
#[test]
fn a_batch_that_rotted_before_others_is_refused_though_the_witness_is_stale() {
    let scratch = Scratch::new();
    let (mut store, _) = scratch.open();
    for index in 1..=9 {
        commit(&mut store, append(index, None, entries(index..=index, 1)));
    }
    drop(store);
    forget_witness(&scratch);
    let files = scratch.files();
    let path = files.iter().find(|path| path.extension().is_some_and(|kind| kind == "raftlog"));
    let mut bytes = fs::read(path.unwrap()).unwrap();
    let victim = entry::encode(&entry(5, 1));
    let at = bytes.windows(victim.len()).position(|window| window == victim).unwrap();
    bytes[at + 20] ^= 1;
    fs::write(path.unwrap(), bytes).unwrap();
    for _ in 0..2 {
        let fault = scratch.try_open().unwrap_err().to_string();
        assert!(fault.contains("was durable") && fault.contains("station replace"), "{fault}");
    }
}

#[test]
fn the_log_of_another_directory_is_refused_by_name() {
    let (mine, other) = (Scratch::new(), Scratch::new());
    for scratch in [&mine, &other] {
        commit(&mut scratch.open().0, append(1, None, entries(1..=3, 1)));
    }
    let raft = other.0.join("raft");
    for path in other.files().iter().filter(|path| path.starts_with(&raft)) {
        fs::copy(path, mine.0.join("raft").join(path.file_name().unwrap())).unwrap();
    }
    let fault = mine.try_open().unwrap_err().to_string();
    assert!(fault.contains("the log of another directory"), "{fault}");
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
