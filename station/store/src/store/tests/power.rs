//! The power fails, at any moment: what was flushed is there, what was not may be lost, torn, or kept
//! in any part; and again while the log is opened.
//!
//! A workload runs on real files and everything that it does to them is written down. Then the power
//! is cut at random moments of that journal, the disk is rebuilt as it might have been found, and the
//! log is opened. Names (created, renamed, removed) are durable at once; contents are when they were
//! flushed, and otherwise in one of three ways: not at all, up to some sector, or in any subset of
//! sectors. `SYNCOM_CUTS` sets how many workloads; the default keeps the test short.

use super::*;
use crate::journal::{self, Op};
use crate::memory::MemoryStore;
use std::collections::BTreeMap;
use syncom_seam::Rng;

const SECTOR: u64 = 512;
/// Cuts of one workload.
const CUTS: u64 = 6;

/// A change of a file that was not flushed.
#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Resize(u64),
}

#[derive(Clone, Debug, Default)]
struct Content {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let size = |at: u64| usize::try_from(at).unwrap();
    match change {
        Change::Resize(len) => bytes.resize(size(*len), 0),
        Change::Write(offset, data) => {
            let end = size(*offset) + data.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[size(*offset)..end].copy_from_slice(data);
        }
    }
}

/// Cuts a write at the boundaries of sectors.
fn sectors(change: &Change) -> Vec<Change> {
    let Change::Write(offset, data) = change else { return vec![change.clone()] };
    let (mut at, mut rest, mut parts) = (*offset, data.as_slice(), Vec::new());
    while !rest.is_empty() {
        let room = usize::try_from(SECTOR - at % SECTOR).unwrap();
        let (part, later) = rest.split_at(room.min(rest.len()));
        parts.push(Change::Write(at, part.to_vec()));
        (at, rest) = (at + part.len() as u64, later);
    }
    parts
}

/// A disk: names, and what they stand for.
#[derive(Clone, Debug, Default)]
struct Image {
    files: BTreeMap<PathBuf, Content>,
    /// A disk that says yes to every flush and does none.
    never_flushes: bool,
}

impl Image {
    fn of(dir: &Path, files: &[PathBuf]) -> Self {
        let content = |path| Content { durable: fs::read(path).unwrap(), pending: Vec::new() };
        let name = |path: &PathBuf| path.strip_prefix(dir).unwrap().to_path_buf();
        let files = files.iter().map(|path| (name(path), content(path))).collect();
        Self { files, never_flushes: false }
    }

    fn follow(&mut self, dir: &Path, op: &Op) {
        let name = |path: &Path| path.strip_prefix(dir).unwrap().to_path_buf();
        match op {
            Op::Create(path) => drop(self.files.entry(name(path)).or_default()),
            Op::Write(path, offset, data) => {
                let change = Change::Write(*offset, data.clone());
                self.files.entry(name(path)).or_default().pending.push(change);
            }
            Op::Resize(path, len) => {
                self.files.entry(name(path)).or_default().pending.push(Change::Resize(*len));
            }
            Op::Sync(path) => {
                let file = self.files.entry(name(path)).or_default();
                if !self.never_flushes {
                    file.pending.drain(..).for_each(|change| apply(&mut file.durable, &change));
                }
            }
            Op::Rename(from, to) => {
                let file = self.files.remove(&name(from)).unwrap_or_default();
                self.files.insert(name(to), file);
            }
            Op::Remove(path) => drop(self.files.remove(&name(path))),
        }
    }

    /// The disk as it is found when the power is back.
    fn cut(&self, rng: &mut Rng) -> Scratch {
        let found = Scratch::light();
        fs::create_dir_all(&found.0).unwrap();
        let how = rng.below(3);
        for (name, file) in &self.files {
            let parts: Vec<Change> = file.pending.iter().flat_map(sectors).collect();
            let first = usize::try_from(rng.below(parts.len() as u64 + 1)).unwrap();
            let mut bytes = file.durable.clone();
            for (number, part) in parts.iter().enumerate() {
                let survives = match how {
                    0 => false,
                    1 => number < first,
                    _ => rng.chance(1, 2),
                };
                if survives {
                    apply(&mut bytes, part);
                }
            }
            let path = found.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        found
    }
}

/// A log with a life behind it, and what it has promised.
struct Life {
    scratch: Scratch,
    ops: Vec<Op>,
    /// How far the journal was when each state was acknowledged.
    acknowledged: Vec<(usize, Loaded)>,
}

impl Life {
    fn live(seed: u64) -> Self {
        let scratch = Scratch::light();
        journal::begin(&scratch.0);
        let mut rng = Rng::new(seed);
        let (mut store, loaded) = scratch.open();
        let mut twin = MemoryStore::new(seed);
        let mut acknowledged = vec![(journal::len(&scratch.0), loaded)];
        let (mut ticket, mut term) = (0, 1);
        for _ in 0..40 {
            for _ in 0..=rng.below(2) {
                ticket += 1;
                let record = next_record(&mut rng, &twin, ticket, &mut term);
                twin.append(record.clone()).unwrap();
                store.append(record).unwrap();
                // The next record is made for a log that has this one.
                twin.sync().unwrap();
            }
            store.sync().unwrap();
            acknowledged.push((journal::len(&scratch.0), twin.load()));
            if rng.chance(1, 12) {
                drop(store);
                let (again, loaded) = scratch.open();
                assert_eq!(loaded, twin.load(), "seed {seed}");
                twin.crash();
                (store, ticket) = (again, 0);
            }
        }
        drop(store);
        let ops = journal::end(&scratch.0);
        Self { scratch, ops, acknowledged }
    }

    /// What may be found after a cut at a place of the journal: the last state that was acknowledged,
    /// or the next one, which was on its way.
    fn allowed(&self, at: usize) -> Vec<Loaded> {
        let last = self.acknowledged.iter().rposition(|(place, _)| *place <= at);
        let from = last.unwrap_or(0);
        let mut allowed: Vec<Loaded> = Vec::new();
        if last.is_none() {
            allowed.push(Loaded::default());
        }
        let states = self.acknowledged[from..].iter().take(2);
        allowed.extend(states.map(|(_, loaded)| loaded.clone()));
        allowed
    }
}

/// Something that a replica might write next.
fn next_record(rng: &mut Rng, twin: &MemoryStore, ticket: u64, term: &mut u64) -> Record {
    let log = twin.load();
    let base = log.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
    let last = base + log.entries.len() as u64;
    let hard = HardState { term: *term, vote: 1 + *term % 3, commit: log.hard.commit };
    match rng.below(12) {
        0 if last > 0 => {
            let snapshot = saved(last, log.entries.last().map_or(*term, |entry| entry.term));
            let compact_to = last.saturating_sub(rng.below(10));
            Record::Snapshot { ticket, snapshot, hard: None, replace_log: false, compact_to }
        }
        1 if rng.chance(1, 4) => {
            *term += 1;
            let index = last + 1 + rng.below(9);
            let hard = Some(HardState { term: *term, commit: index, ..hard });
            Record::Snapshot {
                ticket,
                snapshot: saved(index, *term),
                hard,
                replace_log: true,
                compact_to: index + 1,
            }
        }
        2 => {
            *term += 1;
            append(ticket, Some(HardState { term: *term, ..hard }), vec![])
        }
        choice => {
            let back = if choice == 3 { rng.below(4).min(last - base) } else { 0 };
            let back = back.min(last.saturating_sub(log.hard.commit));
            let first = last + 1 - back;
            let mut more = entries(first..=first + rng.below(4), *term);
            if rng.chance(1, 3) {
                more.iter_mut().for_each(|entry| entry.data.resize(1_500, 7));
            }
            let hard = rng.chance(1, 2).then_some(HardState { commit: first - 1, ..hard });
            append(ticket, hard, more)
        }
    }
}

/// Opens what a cut has left, cuts the power in the middle of that as well, and opens again; what is
/// wrong, if anything.
fn survives(life: &Life, at: usize, rng: &mut Rng, never_flushes: bool) -> Result<(), String> {
    let allowed = life.allowed(at);
    let mut image = Image { never_flushes, ..Image::default() };
    life.ops[..at].iter().for_each(|op| image.follow(&life.scratch.0, op));
    let found = image.cut(rng);
    let mut before = Image::of(&found.0, &found.every_file());
    journal::begin(&found.0);
    let opened = found.try_open();
    let ops = journal::end(&found.0);
    let (store, loaded) = opened.map_err(|fault| format!("cut at {at}: {fault}"))?;
    if !allowed.contains(&loaded) {
        return Err(format!("cut at {at}: {:?} of {}", loaded.hard, loaded.entries.len()));
    }
    drop(store);
    let again = usize::try_from(rng.below(ops.len() as u64 + 1)).unwrap();
    ops[..again].iter().for_each(|op| before.follow(&found.0, op));
    let found = before.cut(rng);
    let (_store, later) =
        found.try_open().map_err(|fault| format!("cut at {at}, then at {again}: {fault}"))?;
    // What was once served is promised: a cut while it is opened takes nothing from it.
    if later == loaded {
        Ok(())
    } else {
        Err(format!("cut at {at}, then at {again}: not the same"))
    }
}

impl Scratch {
    /// All files, in a directory that may have no log yet.
    fn every_file(&self) -> Vec<PathBuf> {
        if self.0.join("raft").exists() {
            return self.files();
        }
        let all = fs::read_dir(&self.0).unwrap().map(|file| file.unwrap().path());
        all.filter(|path| path.is_file()).collect()
    }
}

fn lives() -> u64 {
    std::env::var("SYNCOM_CUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

/// Cuts the power in so many lives; how often, and what was wrong.
fn cut_lives(lives: u64, never_flushes: bool) -> (u64, Vec<String>) {
    let (mut cuts, mut wrong) = (0, Vec::new());
    let mut done = BTreeMap::new();
    for seed in 1..=lives {
        let life = Life::live(seed);
        life.ops.iter().for_each(|op| *done.entry(kind_of(op)).or_insert(0_u32) += 1);
        let mut rng = Rng::new(!seed);
        for _ in 0..CUTS {
            let at = usize::try_from(rng.below(life.ops.len() as u64 + 1)).unwrap();
            cuts += 1;
            if let Err(what) = survives(&life, at, &mut rng, never_flushes) {
                wrong.push(format!("seed {seed}, {what}"));
            }
        }
    }
    println!("{done:?}");
    let all = ["recycled", "purged", "rewritten", "snapshot named", "snapshot removed", "cut off"];
    assert!(all.iter().all(|kind| done.contains_key(kind)), "{done:?}");
    (cuts, wrong)
}

/// What an operation means for the log: a cut must be able to hit each.
fn kind_of(op: &Op) -> &'static str {
    let ends = |path: &Path, end: &str| path.to_string_lossy().ends_with(end);
    match op {
        Op::Rename(from, _) if ends(from, ".tmp") => "snapshot named",
        Op::Rename(..) => "recycled",
        Op::Remove(path) if ends(path, ".bin") => "snapshot removed",
        Op::Remove(_) => "purged",
        Op::Write(path, ..) if ends(path, ".rewrite") => "rewritten",
        Op::Write(path, ..) if ends(path, "durable") => "witnessed",
        Op::Resize(..) => "cut off",
        Op::Create(_) | Op::Write(..) | Op::Sync(_) => "other",
    }
}

/// Invariant 3, as the disk sees it: what was flushed is there.
#[test]
fn a_power_cut_at_any_moment_loses_nothing_that_was_flushed() {
    let (cuts, wrong) = cut_lives(lives(), false);
    println!("{cuts} power cuts, and as many while the log was opened");
    assert!(wrong.is_empty(), "{} of {cuts}: {wrong:#?}", wrong.len());
}

/// The control: a harness that finds nothing on a disk that never flushes would prove nothing.
#[test]
fn a_disk_that_never_flushes_is_found_out() {
    let (cuts, wrong) = cut_lives(8, true);
    println!("{} of {cuts} cuts lost something", wrong.len());
    assert!(wrong.len() as u64 > cuts / 2, "{} of {cuts}", wrong.len());
}
