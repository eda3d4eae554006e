//! The twin against a naive model: a list of records, replayed.

use super::*;
use proptest::prelude::{ProptestConfig, any, prop};
use proptest::strategy::{Just, Strategy};
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};
use syncom_seam::{HardState, LogEntry, SavedSnapshot};

#[derive(Clone, Debug)]
enum Step {
    /// Step back up to so many entries, then append so many.
    Append(u64, u64),
    Hard,
    Snapshot(u64),
    Replace(u64),
    Sync,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4_u64, 1..5_u64).prop_map(|(back, count)| Step::Append(back, count)),
        1 => Just(Step::Hard),
        1 => (0..6_u64).prop_map(Step::Snapshot),
        1 => (1..9_u64).prop_map(Step::Replace),
        3 => Just(Step::Sync),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..60)
}

/// The log that a list of records leaves behind, by the plainest means.
fn replay(records: &[Record]) -> Loaded {
    let mut loaded = Loaded::default();
    for record in records.iter().cloned() {
        match record {
            Record::Append { hard, entries, .. } => {
                loaded.hard = hard.unwrap_or(loaded.hard);
                if let Some(first) = entries.first().map(|entry| entry.index) {
                    loaded.entries.retain(|entry| entry.index < first);
                }
                loaded.entries.extend(entries);
            }
            Record::Snapshot { snapshot, hard, replace_log, .. } => {
                loaded.hard = hard.unwrap_or(loaded.hard);
                loaded.entries.retain(|entry| !replace_log && entry.index > snapshot.index);
                loaded.snapshot = Some(snapshot);
            }
        }
    }
    let after = loaded.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
    loaded.entries.retain(|entry| entry.index > after);
    loaded
}

fn entry(index: u64, term: u64) -> LogEntry {
    LogEntry { index, term, kind: 0, data: vec![term.to_le_bytes()[0]; 3] }
}

fn record(step: &Step, ticket: u64, log: &Loaded) -> Option<Record> {
    let base = log.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
    let last = base + log.entries.len() as u64;
    let saved = |index| SavedSnapshot { index, term: ticket, ..SavedSnapshot::default() };
    let hard = HardState { term: ticket, vote: 1, commit: base };
    Some(match *step {
        Step::Append(back, count) => {
            let start = (last + 1 - back.min(last - base)).max(1);
            let entries = (start..start + count).map(|index| entry(index, ticket)).collect();
            Record::Append { ticket, hard: (back == 0).then_some(hard), entries }
        }
        Step::Hard => Record::Append { ticket, hard: Some(hard), entries: Vec::new() },
        Step::Snapshot(keep) => Record::Snapshot {
            ticket,
            snapshot: saved(last),
            hard: None,
            replace_log: false,
            compact_to: last.saturating_sub(keep),
        },
        Step::Replace(ahead) => Record::Snapshot {
            ticket,
            snapshot: saved(last + ahead),
            hard: Some(HardState { commit: last + ahead, ..hard }),
            replace_log: true,
            compact_to: 0,
        },
        Step::Sync | Step::Crash => return None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_crash_leaves_what_was_synced_and_a_prefix_of_the_rest(
        seed in any::<u64>(), steps in steps(),
    ) {
        let mut store = MemoryStore::new(seed);
        let (mut records, mut synced) = (Vec::new(), 0);
        for (ticket, step) in (1..).zip(&steps) {
            if let Some(record) = record(step, ticket, &replay(&records)) {
                prop_assert!(store.append(record.clone()).is_ok());
                records.push(record);
            } else if matches!(step, Step::Sync) {
                prop_assert!(store.sync().is_ok());
                synced = records.len();
            } else {
                store.crash();
                let found = store.load();
                let Some(kept) = (synced..=records.len()).find(|&n| replay(&records[..n]) == found)
                else {
                    return Err(proptest::test_runner::TestCaseError::fail("not a prefix"));
                };
                records.truncate(kept);
                synced = kept;
            }
            prop_assert_eq!(store.load(), replay(&records[..synced]));
        }
    }
}

fn store_with_entries(count: u64) -> MemoryStore {
    let mut store = MemoryStore::new(1);
    let entries = (1..=count).map(|index| entry(index, 1)).collect();
    store.append(Record::Append { ticket: 1, hard: None, entries }).unwrap();
    store.sync().unwrap();
    store
}

#[test]
fn a_flipped_bit_is_named_and_never_served() {
    let mut store = store_with_entries(5);
    store.fail(Fault::BitFlip);
    let fault = store.try_load().unwrap_err();
    assert!(matches!(&fault, DiskFault::Corrupt(text) if text.contains("entry ")), "{fault}");
}

#[test]
fn a_misdirected_write_is_named_and_never_served() {
    // From the seed: the victim is not the newest entry itself.
    let mut store = store_with_entries(5);
    store.fail(Fault::Misdirected);
    let fault = store.try_load().unwrap_err();
    assert!(matches!(&fault, DiskFault::Corrupt(text) if text.contains("entry ")), "{fault}");
}

#[test]
fn a_flush_that_was_not_done_is_found_out_after_the_crash() {
    let mut lost = 0;
    for seed in 0..20 {
        let mut store = MemoryStore { rng: Rng::new(seed), ..store_with_entries(2) };
        store.fail(Fault::LostSync);
        let entries = vec![entry(3, 1)];
        store.append(Record::Append { ticket: 2, hard: None, entries }).unwrap();
        store.sync().unwrap();
        assert!(store.try_load().is_ok(), "nothing is lost before the crash");
        store.crash();
        match store.try_load() {
            Ok(loaded) => assert_eq!(loaded.entries.len(), 3, "seed {seed}"),
            Err(fault) => {
                lost += 1;
                assert!(fault.to_string().contains("was durable"), "{fault}");
                assert_eq!(store.trusting().load().entries.len(), 2, "seed {seed}");
            }
        }
    }
    assert!((2..19).contains(&lost), "{lost} of 20");
}

#[test]
fn a_full_disk_stops_the_store_until_room_is_made_and_it_restarts() {
    let mut store = store_with_entries(2);
    store.fail(Fault::Full);
    let next = |ticket| Record::Append { ticket, hard: None, entries: vec![entry(3, 1)] };
    assert!(matches!(store.append(next(2)), Err(DiskFault::Full(_))));
    store.heal();
    assert!(matches!(store.append(next(2)), Err(DiskFault::Io(_))), "a fault is final");
    store.crash();
    assert_eq!(store.load().entries.len(), 2, "nothing was lost");
    store.append(next(2)).unwrap();
    store.sync().unwrap();
    assert_eq!(store.load().entries.len(), 3);
}

#[test]
#[should_panic(expected = "does not continue the log")]
fn a_gap_is_a_bug_of_the_caller() {
    let mut store = store_with_entries(2);
    let _ = store.append(Record::Append { ticket: 2, hard: None, entries: vec![entry(4, 1)] });
}
