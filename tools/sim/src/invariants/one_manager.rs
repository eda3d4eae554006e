//! One manager: never two recovery managers with valid leases. A lease is a term that was claimed in
//! the log; it is valid until a newer claim is applied. So a term has one holder everywhere, whoever
//! manages holds the newest claim that it knows of, and who was replaced and runs learns of it soon.

use std::collections::BTreeMap;
use syncom_seam::{SECOND, Time};
use syncom_wire::{PeerId, Term};

/// A manager that was replaced and can run notices within this time: twice the longest election
/// timeout, after which check-quorum makes a leader step down that hears of nobody, and a tick.
const STALE_MAX_NS: u64 = SECOND;

/// Who manages, as each replica believes.
#[derive(Debug, Default)]
pub(crate) struct OneManager {
    /// Who has claimed each term.
    holders: BTreeMap<Term, PeerId>,
    /// The term in which each replica manages.
    managing: BTreeMap<usize, Term>,
    /// Since when a replica manages although a newer claim was applied somewhere.
    stale: BTreeMap<usize, Time>,
}

impl OneManager {
    /// Looks at a replica that runs, by its number: the term in which it manages, if it does, and the newest claim
    /// that it has applied.
    pub(crate) fn observe(
        &mut self,
        now: Time,
        replica: usize,
        managing: Option<Term>,
        (term, holder): (Term, PeerId),
    ) -> Option<String> {
        if term != Term(0) && *self.holders.entry(term).or_insert(holder) != holder {
            return Some(format!(
                "replica {replica} takes {holder} for the manager of term {term}"
            ));
        }
        let Some(own) = managing else {
            self.managing.remove(&replica);
            self.stale.remove(&replica);
            return None;
        };
        self.managing.insert(replica, own);
        let rival = self.managing.iter().find(|(other, at)| **other != replica && **at == own);
        if let Some((other, _)) = rival {
            return Some(format!("replicas {replica} and {other} both manage in term {own}"));
        }
        if own < term {
            return Some(format!(
                "replica {replica} manages in term {own} and knows of term {term}"
            ));
        }
        let newest = self.holders.last_key_value().map_or(own, |(term, _)| *term);
        if newest <= own {
            self.stale.remove(&replica);
            return None;
        }
        let since = *self.stale.entry(replica).or_insert(now);
        (now.since(since) > STALE_MAX_NS).then(|| {
            format!("replica {replica} still manages in term {own}, replaced in term {newest}")
        })
    }

    /// The replica stopped running: what it believes counts for nothing until it runs again.
    pub(crate) fn rest(&mut self, replica: usize) {
        self.managing.remove(&replica);
        self.stale.remove(&replica);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncom_seam::MS;

    /// When in ms, which replica, the term in which it manages, the newest claim and its holder.
    type Seen = (u64, usize, Option<u64>, (u64, u64));

    /// Feeds what is seen; the last complaint.
    fn watch(seen: &[Seen]) -> Option<String> {
        let mut managers = OneManager::default();
        let mut last = None;
        for (ms, replica, managing, (term, holder)) in seen {
            let holder = PeerId::station(u16::try_from(*holder).unwrap_or(0));
            let claim = (Term(*term), holder);
            last = managers.observe(Time(ms * MS), *replica, managing.map(Term), claim);
        }
        last
    }

    #[test]
    fn a_manager_that_is_replaced_and_steps_down_in_time_breaks_nothing() {
        let seen = [
            (0, 0, Some(2), (2, 1)),
            (1, 1, None, (2, 1)),
            (300, 1, Some(3), (3, 2)),
            (400, 0, Some(2), (2, 1)),
            (500, 0, None, (3, 2)),
            (9_000, 1, Some(3), (3, 2)),
        ];
        assert_eq!(watch(&seen), None);
    }

    #[test]
    fn two_managers_are_noticed_in_each_of_their_shapes() {
        let fires = |seen: &[_], word| {
            assert!(watch(seen).is_some_and(|text: String| text.contains(word)), "{word}");
        };
        fires(&[(0, 0, Some(2), (2, 1)), (1, 1, Some(2), (2, 1))], "both manage");
        fires(&[(0, 0, None, (2, 1)), (1, 1, None, (2, 2))], "for the manager of term 2");
        fires(&[(0, 0, Some(2), (3, 2))], "knows of term 3");
        let late = [
            (0, 0, Some(2), (2, 1)),
            (300, 1, Some(3), (3, 2)),
            (301, 0, Some(2), (2, 1)),
            (1_400, 0, Some(2), (2, 1)),
        ];
        fires(&late, "still manages in term 2");
    }
}
