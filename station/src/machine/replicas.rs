//! The replicas of the station as the log knows them: who sits where, who replaces whom, and who is
//! gone for good.
//!
//! A number is a seat that one disk takes once. A replica that comes back without its disk has
//! forgotten what it promised, and one that was replaced has no promises left to keep: neither may
//! sit down again, and the table says why. What is under way stands here too, so that whoever leads
//! goes on with it.

use crate::machine::command::list;
use crate::machine::encoder::Encoder;
use crate::raft::conf::{Change, Conf};
use std::collections::{BTreeMap, BTreeSet};
use syncom_wire::limits::REPLICAS_MAX;
use syncom_wire::replica::Replace;
use syncom_wire::{Addr, Malformed, PeerId, Reader};

/// Replicas that are gone and remembered: as many replacements does a cluster live through.
const GONE_MAX: usize = 1_024;

/// A replica that has, or is to have, a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seat {
    /// Where it listens; none for founders, whom every configuration names.
    pub(crate) addr: Option<Addr>,
    /// The disk that it was seated with; 0 before.
    pub(crate) disk: u64,
}

/// One that has none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    /// Who took its place; 0 when it never got one.
    pub(crate) by: u16,
    /// Whose place it was to take, when it never did.
    of: u16,
    /// Since when.
    pub(crate) index: u64,
}

/// A replacement under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replacement {
    pub(crate) old: u16,
    pub(crate) new: u16,
    pub(crate) cancelled: bool,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replicas {
    pub(crate) conf: Conf,
    seats: BTreeMap<u16, Seat>,
    gone: BTreeMap<u16, Gone>,
    under_way: Option<Replacement>,
    /// Those that nobody hears.
    down: BTreeSet<u16>,
    /// Grows with every change of who sits where; 0 while only founders do.
    version: u64,
}

/// A replica's name, as people see it.
pub(crate) fn name(number: u16) -> String {
    format!("station{number}")
}

impl Replicas {
    /// The replicas that are there from the beginning.
    pub(crate) fn founded_by(peers: &[PeerId]) -> Self {
        let number = |peer: &PeerId| u16::try_from(peer.number()).unwrap_or(u16::MAX);
        let ids = peers.iter().map(|peer| u64::from(peer.number())).collect();
        let seats = peers.iter().map(|peer| (number(peer), Seat::default())).collect();
        Self { conf: Conf::new(ids, Vec::new()), seats, ..Self::default() }
    }

    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    pub(crate) const fn under_way(&self) -> Option<Replacement> {
        self.under_way
    }

    pub(crate) fn seat(&self, number: u16) -> Option<&Seat> {
        self.seats.get(&number)
    }

    pub(crate) fn gone(&self, number: u16) -> Option<Gone> {
        self.gone.get(&number).copied()
    }

    /// Everybody who has a seat, by number.
    pub(crate) fn seats(&self) -> impl Iterator<Item = (u16, &Seat)> {
        self.seats.iter().map(|(number, seat)| (*number, seat))
    }

    /// Whether nobody hears a replica.
    pub(crate) fn is_down(&self, number: u16) -> bool {
        self.down.contains(&number)
    }

    /// A replica that has a seat is heard no longer, or again; whether that is news.
    pub(crate) fn set_down(&mut self, peer: PeerId, is_down: bool) -> bool {
        let Ok(number) = u16::try_from(peer.number()) else { return false };
        if is_down {
            self.seats.contains_key(&number) && self.down.insert(number)
        } else {
            self.down.remove(&number)
        }
    }

    /// A disk takes its seat; false when it is taken, or none.
    pub(crate) fn take_seat(&mut self, number: u16, disk: u64) -> bool {
        match self.seats.get_mut(&number) {
            Some(seat) if seat.disk == 0 => {
                seat.disk = disk;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Whether one that goes may ask this replica to lead: it is not on its way out, nor without a
    /// seat, where disks are `seated`, so that it would not stand.
    pub(crate) fn may_inherit(&self, id: u64, seated: bool) -> bool {
        let Ok(number) = u16::try_from(id) else { return false };
        let goes = self.under_way.is_some_and(|now| now.old == number && !now.cancelled);
        !goes && self.seat(number).is_some_and(|seat| !seated || seat.disk != 0)
    }

    /// How far the replacement of `old` by `new` is; `None` when nobody ordered it.
    pub(crate) fn standing(&self, old: u16, new: u16) -> Option<(u8, u64)> {
        match (self.under_way, self.gone(old), self.gone(new)) {
            (Some(now), _, _) if (now.old, now.new) == (old, new) => {
                let (old, new) = (u64::from(old), u64::from(new));
                let state = match &self.conf {
                    conf if conf.is_joint() => Replace::JOINT,
                    conf if conf.votes(new) && !conf.votes(old) => Replace::SWAPPED,
                    conf if conf.learns(new) => Replace::ADDED,
                    _ => Replace::ORDERED,
                };
                Some((state, 0))
            }
            (_, Some(gone), _) if gone.by == new => Some((Replace::DONE, gone.index)),
            (_, _, Some(gone)) if gone.by == 0 && gone.of == old => {
                Some((Replace::CANCELLED, gone.index))
            }
            _ => None,
        }
    }

    /// Says why an order cannot be taken, if it cannot. One that is under way, or done, is none.
    pub(crate) fn objection(&self, order: &Replace) -> Option<String> {
        let Replace { old, new, addr, .. } = *order;
        let (was, is) = (name(old), name(new));
        if let Some(now) = self.under_way {
            let (a, b) = (name(now.old), name(now.new));
            return Some(format!(
                "{a} is being replaced by {b}: wait until that is done, or call it off with: \
                 syncom station replace {a} {b} --cancel"
            ));
        }
        if old == 0 || new == 0 || old == new {
            return Some("name two replicas, each with a number from 1".to_owned());
        }
        if let Some(gone) = self.gone(old) {
            return Some(match gone.by {
                0 => format!("{was} never became a replica"),
                by => format!("{was} was replaced by {} at index {}", name(by), gone.index),
            });
        }
        if !self.conf.votes(u64::from(old)) {
            return Some(format!("there is no replica {was}: see syncom status"));
        }
        if self.seats.contains_key(&new) {
            return Some(format!("{is} is a replica already"));
        }
        if self.gone.contains_key(&new) || self.gone.len() >= GONE_MAX {
            return Some(format!("the number of {is} was used before: choose one that never was"));
        }
        if !addr.is_some() || self.conf.everybody().len() >= REPLICAS_MAX {
            return Some(format!("{is} needs an address, and the station room for one more"));
        }
        None
    }

    /// Takes an order that nothing speaks against; whether it is a new one.
    pub(crate) fn order(&mut self, order: &Replace, index: u64) -> bool {
        if order.flags & Replace::CANCEL != 0 {
            return self.cancel(order, index);
        }
        if self.objection(order).is_some() {
            return false;
        }
        let Replace { old, new, addr, .. } = *order;
        self.seats.insert(new, Seat { addr: Some(addr), disk: 0 });
        self.under_way = Some(Replacement { old, new, cancelled: false });
        self.version = index;
        true
    }

    /// Calls off a replacement whose new replica does not vote yet; whether that was so.
    fn cancel(&mut self, order: &Replace, index: u64) -> bool {
        let Some(now) = &mut self.under_way else { return false };
        let new = u64::from(now.new);
        let same = (now.old, now.new) == (order.old, order.new);
        if !same || now.cancelled || self.conf.votes(new) {
            return false;
        }
        now.cancelled = true;
        self.finish(index);
        true
    }

    /// Whether a committed change belongs to what is under way: anything else has no effect.
    pub(crate) fn wants(&self, change: Change) -> bool {
        let Some(Replacement { old, new, cancelled }) = self.under_way else { return false };
        let (conf, was, is) = (&self.conf, u64::from(old), u64::from(new));
        match change {
            Change::Leave => conf.is_joint(),
            _ if conf.is_joint() => false,
            Change::Add(id) => id == is && !cancelled && !conf.knows(id),
            Change::Swap { old, new } => {
                (old, new) == (was, is) && !cancelled && conf.votes(old) && conf.learns(new)
            }
            Change::Remove(id) => {
                let due = if cancelled { id == is } else { id == was && conf.votes(is) };
                due && conf.learns(id)
            }
        }
    }

    /// The change that comes next, if any.
    pub(crate) fn next_change(&self) -> Option<Change> {
        let now = self.under_way?;
        let (old, new) = (u64::from(now.old), u64::from(now.new));
        let all = [
            Change::Leave,
            Change::Add(new),
            Change::Swap { old, new },
            Change::Remove(old),
            Change::Remove(new),
        ];
        all.into_iter().find(|change| self.wants(*change))
    }

    /// A change was applied; who is no longer a replica because of it, and who came instead.
    pub(crate) fn change(&mut self, conf: Conf, index: u64) -> Option<Replacement> {
        self.conf = conf;
        self.finish(index)
    }

    /// Ends what is under way, if it is through.
    fn finish(&mut self, index: u64) -> Option<Replacement> {
        let now = self.under_way?;
        let (leaves, gone) = if now.cancelled {
            (now.new, Gone { by: 0, of: now.old, index })
        } else {
            (now.old, Gone { by: now.new, of: 0, index })
        };
        let stays = !now.cancelled && !self.conf.votes(u64::from(now.new));
        if stays || self.conf.knows(u64::from(leaves)) {
            return None;
        }
        self.seats.remove(&leaves);
        self.down.remove(&leaves);
        self.gone.insert(leaves, gone);
        self.version = index;
        self.under_way.take()
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        self.conf.encode(out);
        out.field(self.version);
        out.count(self.seats.len());
        for (number, seat) in &self.seats {
            out.field(*number);
            out.field(seat.addr.unwrap_or(Addr::NONE));
            out.field(seat.disk);
        }
        out.count(self.gone.len());
        for (number, gone) in &self.gone {
            out.field(*number);
            out.field(gone.by);
            out.field(gone.of);
            out.field(gone.index);
        }
        let now = self.under_way.unwrap_or(Replacement { old: 0, new: 0, cancelled: false });
        out.field(now.old);
        out.field(now.new);
        out.field(u8::from(now.cancelled));
        out.count(self.down.len());
        self.down.iter().for_each(|number| out.field(*number));
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (conf, version) = (Conf::decode(reader)?, reader.field()?);
        let seats = list(reader, REPLICAS_MAX + 1, |r| {
            let (number, addr) = (r.field()?, r.field::<Addr>()?);
            Ok((number, Seat { addr: addr.is_some().then_some(addr), disk: r.field()? }))
        })?;
        let gone = list(reader, GONE_MAX, |r| {
            Ok((r.field()?, Gone { by: r.field()?, of: r.field()?, index: r.field()? }))
        })?;
        let (old, new, cancelled) = (reader.field()?, reader.field()?, reader.field::<u8>()? != 0);
        let now = Replacement { old, new, cancelled };
        // Snapshots of an older program end here.
        let has_more = reader.remaining() > 0;
        let down =
            if has_more { list(reader, REPLICAS_MAX + 1, Reader::field)? } else { Vec::new() };
        Ok(Self {
            conf,
            version,
            seats: seats.into_iter().collect(),
            gone: gone.into_iter().collect(),
            under_way: (now.old != 0).then_some(now),
            down: down.into_iter().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn founders() -> Replicas {
        Replicas::founded_by(&[1, 2, 3].map(PeerId::station))
    }

    fn order(old: u16, new: u16) -> Replace {
        Replace::order(old, new, Addr::v4([10, 0, 0, 9], 7), 0)
    }

    /// Applies what comes next as the library would, until nothing does.
    fn run(replicas: &mut Replicas, mut index: u64) -> Vec<Change> {
        let mut seen = Vec::new();
        while let Some(change) = replicas.next_change() {
            let mut conf = replicas.conf.clone();
            match change {
                Change::Add(id) => conf.learners.push(id),
                Change::Swap { old, new } => {
                    conf.outgoing.clone_from(&conf.voters);
                    conf.voters.retain(|id| *id != old);
                    conf.voters.push(new);
                    (conf.learners, conf.demoted) = (Vec::new(), vec![old]);
                }
                Change::Leave => {
                    conf.outgoing.clear();
                    conf.learners.append(&mut conf.demoted);
                }
                Change::Remove(id) => conf.learners.retain(|one| *one != id),
            }
            assert_eq!(conf.check(), Ok(()));
            index += 1;
            replicas.change(conf, index);
            seen.push(change);
        }
        seen
    }

    #[test]
    fn a_replacement_is_added_swapped_left_and_removed() {
        let mut replicas = founders();
        assert!(replicas.order(&order(2, 4), 10));
        assert_eq!(replicas.standing(2, 4), Some((Replace::ORDERED, 0)));
        let steps = [Change::Add(4), Change::Swap { old: 2, new: 4 }, Change::Leave];
        assert_eq!(run(&mut replicas, 10), [steps.as_slice(), &[Change::Remove(2)]].concat());
        assert_eq!(replicas.conf.voters, [1, 3, 4]);
        assert_eq!(replicas.standing(2, 4), Some((Replace::DONE, 14)));
        assert_eq!(replicas.gone(2), Some(Gone { by: 4, of: 0, index: 14 }));
        assert!(replicas.seat(2).is_none() && replicas.seat(4).is_some());
        let mut out = Encoder::default();
        replicas.encode(&mut out);
        let bytes = out.finish();
        assert_eq!(Replicas::decode(&mut Reader::new(&bytes)), Ok(replicas));
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_reason() {
        let mut replicas = founders();
        let why = |replicas: &Replicas, old, new| replicas.objection(&order(old, new)).unwrap();
        assert!(why(&replicas, 7, 8).contains("no replica station7"));
        assert!(why(&replicas, 1, 2).contains("a replica already"));
        assert!(replicas.order(&order(2, 4), 10));
        assert!(why(&replicas, 3, 5).contains("station2 is being replaced by station4"));
        assert!(!replicas.order(&order(3, 5), 11));
        run(&mut replicas, 11);
        assert!(why(&replicas, 2, 6).contains("was replaced by station4 at index 15"));
        assert!(why(&replicas, 3, 2).contains("never was"));
    }

    #[test]
    fn a_replacement_is_called_off_until_the_new_one_votes() {
        let cancel = Replace { flags: Replace::CANCEL, ..order(2, 4) };
        let mut replicas = founders();
        replicas.order(&order(2, 4), 10);
        assert!(replicas.order(&cancel, 11));
        assert_eq!(replicas.standing(2, 4), Some((Replace::CANCELLED, 11)));
        assert!(replicas.objection(&order(2, 4)).unwrap().contains("never was"));
        replicas.order(&order(2, 5), 12);
        replicas.change(Conf::new(vec![1, 2, 3], vec![5]), 13);
        let cancel = Replace { flags: Replace::CANCEL, ..order(2, 5) };
        assert!(replicas.order(&cancel, 14));
        assert_eq!(run(&mut replicas, 14), [Change::Remove(5)]);
        assert_eq!(replicas.conf.voters, [1, 2, 3]);
        assert_eq!(replicas.standing(2, 5), Some((Replace::CANCELLED, 15)));
    }

    #[test]
    fn a_seat_is_taken_by_one_disk() {
        let mut replicas = founders();
        assert!(replicas.take_seat(1, 77));
        assert!(!replicas.take_seat(1, 78) && !replicas.take_seat(9, 79));
        assert_eq!(replicas.seat(1).map(|seat| seat.disk), Some(77));
    }
}
