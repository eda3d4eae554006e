//! Which satellites watch a satellite.
//!
//! All satellites stand on a circle, each where the hash of its number puts it, and each is watched
//! by the next few of them: everybody who holds the same view knows who watches whom, each watches
//! as many as watch it, and one that comes or goes changes that for its neighbours only.

use crate::members::Members;
use syncom_wire::PeerId;
use syncom_wire::ids::mix;

/// Satellites that watch each other one, where there are so many.
pub const WATCHERS_MAX: usize = 4;

/// The satellites that watch one, nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watchers {
    peers: [PeerId; WATCHERS_MAX],
    len: usize,
}

impl Watchers {
    /// Who of the serving satellites watches `subject`: [`WATCHERS_MAX`] of them, or all others where
    /// there are fewer. The subject itself need not serve.
    #[must_use]
    pub fn of(subject: PeerId, members: &Members) -> Self {
        let place = |peer: PeerId| mix(u64::from(peer.0));
        let ahead = |peer: PeerId| place(peer).wrapping_sub(place(subject));
        let mut watchers = Self { peers: [PeerId::ANY; WATCHERS_MAX], len: 0 };
        for entry in members.satellites_serving().filter(|entry| entry.head.peer != subject) {
            let peer = entry.head.peer;
            let at = watchers.as_slice().partition_point(|one| ahead(*one) < ahead(peer));
            let Some(later @ [_, ..]) = watchers.peers.get_mut(at..) else { continue };
            later.rotate_right(1);
            later[0] = peer;
            watchers.len = WATCHERS_MAX.min(watchers.len + 1);
        }
        watchers
    }

    /// Them as a slice.
    #[must_use]
    pub fn as_slice(&self) -> &[PeerId] {
        self.peers.get(..self.len).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::{BTreeMap, BTreeSet};
    use alloc::vec::Vec;
    use syncom_wire::member::{Member, MemberHead, MemberState};
    use syncom_wire::{Addr, Boot, Incarnation, Uuid, View};

    fn satellites(numbers: impl Iterator<Item = u16>) -> Members {
        let mut members = Members::new();
        for number in numbers {
            let mut uuid = [0; 16];
            uuid[..2].copy_from_slice(&number.to_le_bytes());
            let head = MemberHead {
                uuid: Uuid(uuid),
                boot: Boot(1),
                peer: PeerId::satellite(number),
                incarnation: Incarnation(1),
                view: View(1),
                since_ns: 0,
                addr: Addr::v4([10, 0, 0, 1], number),
                domain: 0,
                pid: 0,
                state: MemberState::Alive as u8,
                reserved: 0,
                weight: 1,
                join_index: u32::from(number),
            };
            let name = alloc::format!("satellite{number}");
            members.apply(&Member { head, name: &name, domain: "" });
        }
        members
    }

    #[test]
    fn each_is_watched_by_four_others_or_by_all_there_are() {
        for count in 1..=20_u16 {
            let members = satellites(1..=count);
            let mut watched: BTreeMap<PeerId, usize> = BTreeMap::new();
            for number in 1..=count {
                let subject = PeerId::satellite(number);
                let watchers = Watchers::of(subject, &members);
                let distinct: BTreeSet<PeerId> = watchers.as_slice().iter().copied().collect();
                assert_eq!(distinct.len(), WATCHERS_MAX.min(usize::from(count) - 1));
                assert!(!distinct.contains(&subject));
                distinct.iter().for_each(|peer| *watched.entry(*peer).or_default() += 1);
            }
            let most = WATCHERS_MAX.min(usize::from(count) - 1);
            assert!(watched.values().all(|watches| *watches == most), "{count}: {watched:?}");
        }
    }

    #[test]
    fn one_that_goes_is_missed_by_its_neighbours_only() {
        let (before, after) = (satellites(1..=40), satellites((1..=40).filter(|n| *n != 7)));
        let changed: Vec<u16> = (1..=40_u16)
            .filter(|number| *number != 7)
            .filter(|number| {
                let subject = PeerId::satellite(*number);
                Watchers::of(subject, &before) != Watchers::of(subject, &after)
            })
            .collect();
        assert_eq!(changed.len(), WATCHERS_MAX);
    }
}
