//! Records on their way to a store, and stores that fail.

use super::*;
use syncom_seam::{DiskFault, DiskStats, Durable, Record};

/// Remembers tickets; fails from a given one on.
struct FakeStore {
    taken: Arc<Mutex<Vec<u64>>>,
    fails_at: u64,
}

impl Durable for FakeStore {
    fn append(&mut self, record: Record) -> Result<(), DiskFault> {
        if record.ticket() >= self.fails_at {
            return Err(DiskFault::Full("no room for tests".into()));
        }
        self.taken.lock().unwrap().push(record.ticket());
        Ok(())
    }

    fn sync(&mut self) -> Result<(), DiskFault> {
        Ok(())
    }

    fn stats(&self) -> DiskStats {
        DiskStats::default()
    }
}

fn persisting(tickets: Vec<u64>, fails_at: u64) -> (Member<Toy>, Arc<Mutex<Vec<u64>>>) {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let store = FakeStore { taken: Arc::clone(&taken), fails_at };
    let mut member = member(1, &mem(), Script::Persist(tickets));
    member.store = Some(Box::new(store));
    (member, taken)
}

#[test]
fn records_become_durable_in_order_with_fewer_flushes_than_records() {
    let mut host = host();
    let tickets: Vec<u64> = (1..=1000).collect();
    let (member, taken) = persisting(tickets.clone(), u64::MAX);
    let counters = member.counters.clone();
    host.add(member).unwrap();
    turn_until(&mut host, |host| toy(host, 0).count("done Durable { ticket: 1000 }") == 1);
    assert_eq!(*taken.lock().unwrap(), tickets);
    assert_eq!(counters.get(Counter::DiskRecords), 1000);
    let flushes = counters.get(Counter::DiskSyncs);
    assert_eq!(flushes, toy(&host, 0).count("done Durable") as u64);
    assert!(flushes < 1000, "{flushes} flushes");
}

#[test]
fn a_fault_is_told_once_and_nothing_is_durable_after_it() {
    let mut host = host();
    let (member, taken) = persisting((1..=1000).collect(), 600);
    host.add(member).unwrap();
    turn_until(&mut host, |host| toy(host, 0).count("done DiskFailed(Full") == 1);
    host.turn(Duration::ZERO).unwrap();
    assert_eq!(taken.lock().unwrap().last(), Some(&599));
    let last = toy(&host, 0).heard.iter().rfind(|line| line.starts_with("done")).unwrap();
    assert!(last.contains("no room for tests"), "{last}");
}

#[test]
fn a_member_without_a_disk_is_told_so() {
    let mut host = host();
    host.add(member(1, &mem(), Script::Persist(vec![1]))).unwrap();
    turn_until(&mut host, |host| toy(host, 0).count("done DiskFailed(Io") == 1);
}
