//! Results since the last progress, equal ones folded: a thousand nodes that print the same line
//! cost one line and a set.

use alloc::vec::Vec;
use syncom_group::SlotSet;
use syncom_wire::ids::hash;
use syncom_wire::idset::IdSet;
use syncom_wire::limits::{IDSET_MAX, OUTPUT_MAX};
use syncom_wire::order::Outcome;
use syncom_wire::{Overflow, Slot, frame};

/// Bytes of frames in one progress message: far below a stream's largest message.
pub(crate) const MESSAGE_MAX: usize = 256 * 1024;
const _: () = assert!(MESSAGE_MAX > IDSET_MAX + OUTPUT_MAX + 256);
/// Outputs looked at for one that is equal; beyond it a new group is opened.
const SEARCH_MAX: usize = 64;

#[derive(Clone, Debug)]
struct Group {
    code: i32,
    cut: u8,
    digest: u64,
    output: Vec<u8>,
    nodes: SlotSet,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    groups: Vec<Group>,
    /// Groups whose room is used again.
    spare: Vec<Group>,
    bytes: usize,
}

impl Outcomes {
    /// Whether there is nothing to tell.
    pub(crate) const fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// How many different results there are to tell.
    pub(crate) const fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// Bytes of output held.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds one node's result.
    pub(crate) fn add(&mut self, slot: Slot, code: i32, cut: u8, output: &[u8]) {
        let digest = hash(output);
        let is_equal = |group: &&mut Group| {
            (group.code, group.cut, group.digest) == (code, cut, digest) && group.output == output
        };
        if let Some(group) = self.groups.iter_mut().rev().take(SEARCH_MAX).find(is_equal) {
            group.nodes.insert(slot);
            return;
        }
        let mut group = self.spare.pop().unwrap_or_else(|| Group {
            code,
            cut,
            digest,
            output: Vec::new(),
            nodes: SlotSet::new(),
        });
        (group.code, group.cut, group.digest) = (code, cut, digest);
        group.output.clear();
        group.output.extend_from_slice(output);
        group.nodes.clear();
        group.nodes.insert(slot);
        self.bytes += output.len();
        self.groups.push(group);
    }

    /// Writes frames from the oldest group on, as many as fit one message, to the front of `out`;
    /// returns the bytes and the groups used.
    pub(crate) fn pack(&self, out: &mut [u8], image: &mut [u8; IDSET_MAX]) -> (usize, usize) {
        let mut at = 0;
        for (count, group) in self.groups.iter().enumerate() {
            match pack_one(group, out.get_mut(at..).unwrap_or(&mut []), image) {
                Ok(len) => at += len,
                Err(Overflow) => return (at, count),
            }
        }
        (at, self.groups.len())
    }

    /// Forgets the oldest `count` groups: they were told.
    pub(crate) fn forget(&mut self, count: usize) {
        for group in self.groups.drain(..count.min(self.groups.len())) {
            self.bytes -= group.output.len();
            self.spare.push(group);
        }
    }
}

fn pack_one(group: &Group, out: &mut [u8], image: &mut [u8; IDSET_MAX]) -> Result<usize, Overflow> {
    let len = group.nodes.encode(image)?;
    let nodes = IdSet::parse(image.get(..len).unwrap_or(&[])).map_err(|_| Overflow)?;
    let outcome = Outcome { code: group.code, cut: group.cut, nodes, output: &group.output };
    frame::emit(&outcome, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use syncom_wire::{Frame, Frames};

    #[test]
    fn equal_results_are_told_once_with_the_set_of_their_nodes() {
        let mut outcomes = Outcomes::default();
        for slot in 0..300 {
            outcomes.add(Slot(slot), i32::from(slot % 3 == 0), 0, b"same words");
        }
        let mut message = vec![0; 4096];
        let (len, count) = outcomes.pack(&mut message, &mut [0; IDSET_MAX]);
        assert_eq!(count, 2);
        let nodes: Vec<_> = Frames::new(&message[..len])
            .map(|frame| match frame.unwrap() {
                Frame::Outcome(outcome) => (outcome.code, outcome.nodes.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(nodes, [(1, 100), (0, 200)]);
        outcomes.forget(count);
        assert!(outcomes.is_empty());
        assert_eq!(outcomes.bytes(), 0);
    }

    #[test]
    fn what_does_not_fit_one_message_goes_with_the_next() {
        let mut outcomes = Outcomes::default();
        for slot in 0..10u8 {
            outcomes.add(Slot(slot.into()), 0, 0, &[slot; 100]);
        }
        let mut message = vec![0; 500];
        let mut told = 0;
        while !outcomes.is_empty() {
            let (len, count) = outcomes.pack(&mut message, &mut [0; IDSET_MAX]);
            assert!(count > 0 && Frames::new(&message[..len]).all(|frame| frame.is_ok()));
            told += count;
            outcomes.forget(count);
        }
        assert_eq!(told, 10);
    }
}
