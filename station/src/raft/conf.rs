//! Who votes and who learns, and the few ways in which that changes.
//!
//! A replacement is three changes of the log, each committed and applied before the next: the new
//! replica is added as a learner; both majorities decide for a while (the joint configuration);
//! the old replica, a mere learner by then, is removed. The leader leaves the joint configuration
//! by an entry of its own: the library's automatic way stalls when a leader steps down in between.

use crate::machine::command::list;
use crate::machine::encoder::Encoder;
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState,
};
use std::fmt;
use syncom_wire::limits::REPLICAS_MAX;
use syncom_wire::{Malformed, Reader};

/// Members of a configuration, by Raft id, each list in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conf {
    pub(crate) voters: Vec<u64>,
    pub(crate) learners: Vec<u64>,
    /// While it is joint: who voted before.
    pub(crate) outgoing: Vec<u64>,
    /// While it is joint: who of those will only learn.
    pub(crate) demoted: Vec<u64>,
}

impl Conf {
    /// A configuration of these voters and learners.
    pub(crate) fn new(mut voters: Vec<u64>, mut learners: Vec<u64>) -> Self {
        voters.sort_unstable();
        learners.sort_unstable();
        Self { voters, learners, ..Self::default() }
    }

    pub(crate) const fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    pub(crate) fn votes(&self, id: u64) -> bool {
        self.voters.contains(&id) || self.outgoing.contains(&id)
    }

    pub(crate) fn learns(&self, id: u64) -> bool {
        self.learners.contains(&id)
    }

    /// Whether the replica has any part in it.
    pub(crate) fn knows(&self, id: u64) -> bool {
        self.votes(id) || self.learns(id)
    }

    /// Everybody who has a part in it, in order.
    pub(crate) fn everybody(&self) -> Vec<u64> {
        let mut all = [self.voters.as_slice(), &self.learners, &self.outgoing].concat();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Checks what the library takes for granted: a configuration that contradicts itself makes it
    /// panic.
    ///
    /// # Errors
    /// [`Malformed`] with the first broken rule.
    pub(crate) fn check(&self) -> Result<(), Malformed> {
        let lists = [&self.voters, &self.learners, &self.outgoing, &self.demoted];
        if lists.iter().any(|ids| ids.len() > REPLICAS_MAX || !ids.is_sorted_by(|a, b| a < b)) {
            return Err(Malformed("replicas out of order, or too many"));
        }
        if self.everybody().iter().any(|id| *id == 0 || *id > u64::from(u16::MAX)) {
            return Err(Malformed("no number of a replica"));
        }
        if self.voters.is_empty() || self.learners.iter().any(|id| self.votes(*id)) {
            return Err(Malformed("nobody votes, or one votes and only learns"));
        }
        let leaves = |id: &u64| self.outgoing.contains(id) && !self.voters.contains(id);
        if !self.demoted.iter().all(leaves) {
            return Err(Malformed("one who never voted is demoted"));
        }
        Ok(())
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        for ids in [&self.voters, &self.learners, &self.outgoing, &self.demoted] {
            out.count(ids.len());
            ids.iter().for_each(|id| out.field(*id));
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut ids = || list(reader, REPLICAS_MAX, |r| r.field());
        let conf = Self { voters: ids()?, learners: ids()?, outgoing: ids()?, demoted: ids()? };
        conf.check()?;
        Ok(conf)
    }
}

impl From<&Conf> for ConfState {
    fn from(conf: &Conf) -> Self {
        let mut state = Self::from((conf.voters.clone(), conf.learners.clone()));
        state.voters_outgoing.clone_from(&conf.outgoing);
        state.learners_next.clone_from(&conf.demoted);
        state
    }
}

impl From<&ConfState> for Conf {
    fn from(state: &ConfState) -> Self {
        let sorted = |ids: &[u64]| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids
        };
        Self {
            voters: sorted(state.get_voters()),
            learners: sorted(state.get_learners()),
            outgoing: sorted(state.get_voters_outgoing()),
            demoted: sorted(state.get_learners_next()),
        }
    }
}

/// One change of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A new replica learns.
    Add(u64),
    /// The new one votes and the old one will only learn: enters the joint configuration.
    Swap { old: u64, new: u64 },
    /// Leaves the joint configuration.
    Leave,
    /// A learner is no longer a replica.
    Remove(u64),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(id) => write!(f, "station{id} begins to learn"),
            Self::Swap { old, new } => write!(f, "station{new} gets the vote of station{old}"),
            Self::Leave => write!(f, "one majority decides again"),
            Self::Remove(id) => write!(f, "station{id} leaves"),
        }
    }
}

/// Numbers of fields and types in the entry, which are the library's.
const TRANSITION: u8 = 0x08;
const EXPLICIT: u8 = 2;
const CHANGES: u8 = 0x12;
const TYPE: u8 = 0x08;
const NODE: u8 = 0x10;

impl Change {
    /// The library's form.
    pub(crate) fn to_library(self) -> ConfChangeV2 {
        let mut change = ConfChangeV2::default();
        let mut add = |kind, id| {
            let mut single = ConfChangeSingle::default();
            single.set_change_type(kind);
            single.node_id = id;
            change.mut_changes().push(single);
        };
        match self {
            Self::Add(id) => add(ConfChangeType::AddLearnerNode, id),
            Self::Swap { old, new } => {
                add(ConfChangeType::AddNode, new);
                add(ConfChangeType::AddLearnerNode, old);
                change.set_transition(ConfChangeTransition::Explicit);
            }
            Self::Leave => {}
            Self::Remove(id) => add(ConfChangeType::RemoveNode, id),
        }
        change
    }

    /// The change in an entry. The entry came from a peer or a disk, so the library's decoder never
    /// sees it: these are the only bytes that a leader of this program writes.
    ///
    /// # Errors
    /// [`Malformed`] when it is anything else.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        const STRANGE: Malformed = Malformed("a change of replicas that nobody orders");
        let (joint, mut rest) = match bytes {
            [] => return Ok(Self::Leave),
            [TRANSITION, EXPLICIT, rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let mut singles = Vec::with_capacity(2);
        while let [CHANGES, len, after @ ..] = rest {
            let (single, after) = after.split_at_checked(usize::from(*len)).ok_or(STRANGE)?;
            let (kind, id) = match single {
                [TYPE, kind, NODE, id @ ..] if *kind != 0 => (*kind, id),
                [NODE, id @ ..] => (0, id),
                _ => return Err(STRANGE),
            };
            singles.push((kind, number(id).ok_or(STRANGE)?));
            if singles.len() > 2 {
                return Err(STRANGE);
            }
            rest = after;
        }
        if !rest.is_empty() {
            return Err(STRANGE);
        }
        match (joint, singles.as_slice()) {
            (true, [(0, new), (2, old)]) if old != new => Ok(Self::Swap { old: *old, new: *new }),
            (false, [(2, id)]) => Ok(Self::Add(*id)),
            (false, [(1, id)]) => Ok(Self::Remove(*id)),
            _ => Err(STRANGE),
        }
    }
}

/// A replica's number as a varint in its shortest form.
fn number(bytes: &[u8]) -> Option<u64> {
    let number = match bytes {
        [low @ 1..=0x7f] => u64::from(*low),
        [low @ 0x80..=0xff, high @ 1..=0x7f] => u64::from(low & 0x7f) | u64::from(*high) << 7,
        [low @ 0x80..=0xff, middle @ 0x80..=0xff, high @ 1..=3] => {
            u64::from(low & 0x7f) | u64::from(middle & 0x7f) << 7 | u64::from(*high) << 14
        }
        _ => return None,
    };
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use raft::storage::MemStorage;
    use raft::{Config, RawNode};

    /// The bytes that the library puts into the entry.
    fn bytes_of(change: Change) -> Vec<u8> {
        let store = MemStorage::new_with_conf_state((vec![1], vec![]));
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let config = Config { id: 1, ..Config::default() };
        let mut node = RawNode::new(&config, store, &logger).unwrap();
        node.campaign().unwrap();
        while node.has_ready() {
            let ready = node.ready();
            node.mut_store().wl().append(ready.entries()).unwrap();
            let _ = node.advance(ready);
            node.advance_apply();
        }
        node.propose_conf_change(Vec::new(), change.to_library()).unwrap();
        node.ready().take_entries().pop().unwrap().data.to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_change_survives_the_entry_and_no_part_of_it_is_one(
            old in 1_u64..=65_535, new in 1_u64..=65_535,
        ) {
            prop_assume!(old != new);
            for change in [Change::Add(new), Change::Swap { old, new }, Change::Remove(old)] {
                let bytes = bytes_of(change);
                prop_assert_eq!(Change::decode(&bytes), Ok(change));
                for len in 1..bytes.len() {
                    prop_assert_ne!(Change::decode(&bytes[..len]), Ok(change));
                }
            }
        }

        #[test]
        fn any_bytes_are_a_change_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = Change::decode(&bytes);
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        assert_eq!(Conf::new(vec![3, 1, 2], vec![4]).check(), Ok(()));
        assert!(Conf::new(vec![1, 2], vec![2]).check().is_err());
        assert!(Conf::new(vec![1, 1], vec![]).check().is_err());
        assert!(Conf::new(vec![], vec![1]).check().is_err());
        assert!(Conf::new(vec![70_000], vec![]).check().is_err());
        let mut joint = Conf::new(vec![1, 3, 4], vec![]);
        (joint.outgoing, joint.demoted) = (vec![1, 2, 3], vec![2]);
        assert_eq!(joint.check(), Ok(()));
        joint.demoted = vec![1];
        assert!(joint.check().is_err());
    }
}
