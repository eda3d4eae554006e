//! Raft's safety, as its disks tell it: one leader in a term, one vote in a term, terms that never go
//! back, one entry for an index and a term, one committed entry for an index; and nothing that was
//! durable is gone in the next life. (Ongaro, Ousterhout: In Search of an Understandable Consensus
//! Algorithm, 2014, figure 3.)

use crate::disk::Written;
use std::collections::BTreeMap;
use syncom_seam::{HardState, Loaded};
use syncom_wire::Term;

/// What one replica has made durable.
#[derive(Debug, Default)]
struct Replica {
    hard: HardState,
    /// Term of each entry.
    log: BTreeMap<u64, u64>,
}

/// What all replicas have made durable, by number.
#[derive(Debug, Default)]
pub(crate) struct RaftSafety {
    replicas: BTreeMap<usize, Replica>,
    /// Hash of each entry by index and term.
    entries: BTreeMap<(u64, u64), u64>,
    /// Term of each entry that some replica knew to be committed.
    committed: BTreeMap<u64, u64>,
    leaders: BTreeMap<Term, usize>,
    /// Whether two committed logs have parted: what follows differs, too, and is not told.
    parted: bool,
}

impl RaftSafety {
    /// A replica leads in a term, or does not lead.
    pub(crate) fn on_leader(&mut self, replica: usize, term: Option<Term>) -> Option<String> {
        let term = term?;
        let first = *self.leaders.entry(term).or_insert(replica);
        (first != replica)
            .then(|| format!("replicas {first} and {replica} both lead in term {term}"))
    }

    /// A replica's disk was exchanged: nobody expects to find on it what it promised.
    pub(crate) fn forget(&mut self, replica: usize) {
        self.replicas.remove(&replica);
    }

    /// A replica's disk has taken something.
    pub(crate) fn on_durable(&mut self, replica: usize, written: &Written) -> Option<String> {
        let own = self.replicas.entry(replica).or_default();
        if let Some((index, term, replaces)) = written.snapshot {
            if replaces {
                own.log.clear();
            }
            if *self.committed.entry(index).or_insert(term) != term {
                return Some(format!("replica {replica} has a snapshot of another entry {index}"));
            }
        }
        if let Some((first, ..)) = written.entries.first() {
            own.log.split_off(first);
        }
        for (index, term, hash) in &written.entries {
            if self.committed.get(index).is_some_and(|old| old != term) && *index <= own.hard.commit
            {
                return Some(format!("replica {replica} overwrote committed entry {index}"));
            }
            if self.entries.entry((*index, *term)).or_insert(*hash) != hash {
                return Some(format!("replica {replica} has another entry {index} of term {term}"));
            }
            own.log.insert(*index, *term);
        }
        let hard = written.hard?;
        let old = std::mem::replace(&mut own.hard, hard);
        if hard.term < old.term {
            return Some(format!("replica {replica} went from term {} to {}", old.term, hard.term));
        }
        if hard.term == old.term && old.vote != 0 && hard.vote != old.vote {
            return Some(format!("replica {replica} voted twice in term {}", hard.term));
        }
        for (index, term) in own.log.range(old.commit + 1..hard.commit.max(old.commit) + 1) {
            let known = *self.committed.entry(*index).or_insert(*term);
            if known != *term && !std::mem::replace(&mut self.parted, true) {
                let terms = format!("terms {known} and {term}");
                return Some(format!("entry {index} was committed twice, of {terms}"));
            }
        }
        None
    }

    /// A replica's next life reads its disk.
    pub(crate) fn on_load(&mut self, replica: usize, loaded: &Loaded) -> Option<String> {
        let old = self.replicas.remove(&replica).unwrap_or_default();
        let log: BTreeMap<u64, u64> =
            loaded.entries.iter().map(|entry| (entry.index, entry.term)).collect();
        let hard = loaded.hard;
        let after = loaded.snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        let is_replaced = |found: Option<&u64>, index: &u64, term: &u64| {
            log.last_key_value()
                .is_some_and(|(last, newest)| newest > term && (found.is_some() || last < index))
        };
        let mut lost = None;
        for (index, term) in old.log.range(after + 1..) {
            match log.get(index) {
                Some(found) if found == term => {}
                // The last thing that it wrote and was not told of took the place of the rest: the log
                // of a later leader, which may begin with entries of any term.
                found if is_replaced(found, index, term) => break,
                _ => {
                    lost = Some(format!("entry {index}"));
                    break;
                }
            }
        }
        let voted = hard.term == old.hard.term && old.hard.vote != 0;
        if hard.term < old.hard.term || voted && hard.vote != old.hard.vote {
            lost = Some(format!("its vote in term {}", old.hard.term));
        }
        self.replicas.insert(replica, Replica { hard, log });
        lost.map(|what| format!("replica {replica} forgot {what}, which was durable"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(list: &[(u64, u64, u64)]) -> Written {
        Written { hard: None, entries: list.to_vec(), snapshot: None }
    }

    fn hard(term: u64, vote: u64, commit: u64) -> Written {
        let hard = Some(HardState { term, vote, commit });
        Written { hard, entries: Vec::new(), snapshot: None }
    }

    /// Feeds what each replica writes, in order; the first complaint.
    fn watch(written: &[(usize, Written)]) -> Option<String> {
        let mut watch = RaftSafety::default();
        written.iter().find_map(|(replica, written)| watch.on_durable(*replica, written))
    }

    #[track_caller]
    fn fires(written: &[(usize, Written)], word: &str) {
        let violation = watch(written).unwrap_or_default();
        assert!(violation.contains(word), "{violation:?}");
    }

    #[test]
    fn a_proper_history_is_proper() {
        let log = entries(&[(1, 1, 11), (2, 1, 12)]);
        let history = [
            (0, hard(1, 1, 0)),
            (0, log.clone()),
            (0, hard(1, 1, 1)),
            (1, log),
            (1, hard(2, 2, 1)),
            // What was not committed may be overwritten.
            (1, entries(&[(2, 2, 22)])),
            (1, hard(2, 2, 2)),
        ];
        assert_eq!(watch(&history), None);
    }

    #[test]
    fn every_rule_of_raft_fires_when_it_is_broken() {
        fires(&[(0, hard(3, 1, 0)), (0, hard(2, 1, 0))], "went from term 3 to 2");
        fires(&[(0, hard(3, 1, 0)), (0, hard(3, 2, 0))], "voted twice");
        fires(&[(0, entries(&[(1, 1, 7)])), (1, entries(&[(1, 1, 8)]))], "another entry 1");
        let commit =
            |replica, term| [(replica, entries(&[(1, term, term)])), (replica, hard(term, 1, 1))];
        fires(&[commit(0, 1), commit(1, 2)].concat(), "committed twice");
        let over = [commit(0, 1).to_vec(), vec![(0, entries(&[(1, 2, 2)]))]].concat();
        fires(&over, "overwrote committed");
        let other = Written { hard: None, entries: Vec::new(), snapshot: Some((1, 2, true)) };
        fires(&[commit(0, 1).to_vec(), vec![(1, other)]].concat(), "snapshot of another entry");
        let mut leaders = RaftSafety::default();
        assert_eq!(leaders.on_leader(0, Some(Term(4))), None);
        assert!(leaders.on_leader(1, Some(Term(4))).is_some_and(|text| text.contains("both lead")));
    }

    #[test]
    fn a_disk_that_forgets_is_noticed_and_one_that_lost_what_it_never_promised_is_not() {
        let kept = |term, count: u64| {
            let entry = |index| syncom_seam::LogEntry { index, term, ..Default::default() };
            let hard = HardState { term: 1, vote: 1, commit: 0 };
            Loaded { hard, snapshot: None, entries: (1..=count).map(entry).collect() }
        };
        let after = |loaded: &Loaded| {
            let mut watch = RaftSafety::default();
            assert_eq!(watch.on_durable(0, &hard(1, 1, 0)), None);
            assert_eq!(watch.on_durable(0, &entries(&[(1, 1, 1), (2, 1, 2)])), None);
            watch.on_load(0, loaded)
        };
        assert_eq!(after(&kept(1, 2)), None);
        assert_eq!(after(&kept(1, 3)), None, "more than was promised");
        assert_eq!(after(&kept(2, 1)), None, "overwritten");
        assert!(after(&kept(1, 1)).is_some_and(|text| text.contains("entry 2")));
        // Disks, seed 5: a later leader's log, whose own entries come behind older ones.
        let ended_by = |index, term| {
            let mut loaded = kept(1, 1);
            loaded.entries.push(syncom_seam::LogEntry { index, term, ..Default::default() });
            loaded
        };
        assert_eq!(after(&ended_by(2, 2)), None);
        assert!(after(&ended_by(3, 2)).is_some_and(|text| text.contains("entry 2")), "a hole");
        let blank = Loaded { hard: HardState::default(), ..kept(1, 2) };
        assert!(after(&blank).is_some_and(|text| text.contains("vote")));
    }
}
