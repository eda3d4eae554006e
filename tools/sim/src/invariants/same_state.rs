//! The same state: two replicas that applied the same index hold the same state, at every moment and
//! not only in the end.

use std::collections::BTreeMap;

/// The first hash seen at each index, and the number of the replica whose it was.
#[derive(Debug, Default)]
pub(crate) struct SameState {
    hashes: BTreeMap<u64, (usize, u64)>,
    /// Index at which each replica was looked at last.
    looked: BTreeMap<usize, u64>,
    /// How often two replicas were compared.
    pub(crate) compared: u64,
}

impl SameState {
    /// Whether a replica has not been looked at since it came to this index.
    pub(crate) fn is_new(&mut self, replica: usize, index: u64) -> bool {
        self.looked.insert(replica, index) != Some(index)
    }

    /// A replica's state at an index.
    pub(crate) fn compare(&mut self, replica: usize, index: u64, hash: u64) -> Option<String> {
        let (first, known) = *self.hashes.entry(index).or_insert((replica, hash));
        self.compared += u64::from(first != replica);
        (known != hash)
            .then(|| format!("replicas {first} and {replica} differ after entry {index}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_of_the_state_is_noticed_at_the_first_index_compared() {
        let mut states = SameState::default();
        assert_eq!(states.compare(0, 8, 1), None);
        assert_eq!(states.compare(1, 8, 1), None);
        assert_eq!(states.compare(2, 16, 2), None);
        let violation = states.compare(1, 16, 3);
        assert!(violation.is_some_and(|text| text.contains("differ after entry 16")));
        assert_eq!(states.compared, 2);
    }

    #[test]
    fn a_life_that_answers_otherwise_than_the_one_before_is_noticed() {
        let mut states = SameState::default();
        assert_eq!(states.compare(0, 8, 1), None);
        assert!(states.compare(0, 8, 2).is_some());
    }
}
