//! A bad network: loses, doubles, delays and reorders what any link sends.
//!
//! Chance comes from a seed and time from [`Link::advance`], so a run can be repeated exactly.
//! Both directions suffer when both ends are wrapped.
//!
//! Where nothing is held back, datagrams are written straight into the wrapped link, which is told
//! to send those that are not lost: what is measured behind such a network is what it loses, not
//! what losing costs.

use super::tx::copy;
use super::{Link, Options, RxBurst, TxBatch};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::RawFd;
use syncom_seam::{Rng, Time};
use syncom_wire::Addr;

/// Datagrams held back at a time; beyond it they go at once.
const HELD_MAX: usize = 16_384;
/// What probabilities are measured in.
const MILLION: u64 = 1_000_000;

/// How bad the network is. Nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Datagrams lost, per million.
    pub loss_ppm: u32,
    /// Datagrams sent twice, per million of those not lost. The copies are delayed independently.
    pub duplicate_ppm: u32,
    /// Datagrams held back by [`Self::reorder_ns`] more than others, per million.
    pub reorder_ppm: u32,
    /// Extra delay of a reordered datagram, in ns.
    pub reorder_ns: u64,
    /// Delay of every datagram, in ns.
    pub delay_ns: u64,
    /// Further delay, evenly spread from 0 to this, in ns. Reorders, too.
    pub jitter_ns: u64,
}

/// What has happened to datagrams so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suffered {
    /// Datagrams that this link was given.
    pub given: u64,
    /// Datagrams lost.
    pub lost: u64,
    /// Datagrams sent twice.
    pub doubled: u64,
    /// Datagrams, copies included, held back for a while.
    pub held: u64,
}

/// Any link, behind a bad network. What it holds back is allocated: it is for tests.
#[derive(Debug)]
pub struct FaultLink<L> {
    inner: L,
    faults: Faults,
    rng: Rng,
    now: Time,
    batch: TxBatch,
    held: BinaryHeap<Reverse<Held>>,
    sequence: u64,
    suffered: Suffered,
    /// To whom the latest datagram goes that was claimed of the inner link itself.
    direct: Option<Addr>,
    /// Whether that was committed there too, and not lost.
    went: bool,
}

/// A datagram that waits for its moment; equal moments go in order of sending.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    due: Time,
    sequence: u64,
    to: Addr,
    bytes: Box<[u8]>,
}

impl<L: Link> FaultLink<L> {
    /// Wraps `inner`. The same seed, sends and moments give the same faults.
    #[must_use]
    pub fn new(inner: L, faults: Faults, seed: u64, options: &Options) -> Self {
        Self {
            inner,
            faults,
            rng: Rng::new(seed),
            now: Time(0),
            batch: TxBatch::new(options.tx_bytes, options.tx_datagrams),
            held: BinaryHeap::new(),
            sequence: 0,
            suffered: Suffered::default(),
            direct: None,
            went: false,
        }
    }

    /// Makes the network better or worse from now on.
    pub const fn set(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// What has happened so far.
    #[must_use]
    pub const fn suffered(&self) -> Suffered {
        self.suffered
    }

    /// Whether a datagram arrives at the inner link when it is sent, behind no other.
    fn is_prompt(&self) -> bool {
        let Faults { reorder_ppm, delay_ns, jitter_ns, .. } = self.faults;
        (reorder_ppm, delay_ns, jitter_ns) == (0, 0, 0)
            && self.held.is_empty()
            && self.batch.pending() == 0
    }

    /// Queues further copies of what the inner link took last; true when all of them went.
    fn again(&mut self, to: Addr, copies: u32) -> bool {
        (0..copies).all(|_| self.inner.tx_again(to))
    }

    /// When a datagram that is sent now arrives at the inner link.
    fn due(&mut self) -> Time {
        let Faults { reorder_ppm, reorder_ns, delay_ns, jitter_ns, .. } = self.faults;
        let jitter = self.rng.below(jitter_ns.saturating_add(1));
        let late = if self.rng.chance(reorder_ppm.into(), MILLION) { reorder_ns } else { 0 };
        self.now.after(delay_ns).after(jitter).after(late)
    }

    /// How many copies of a datagram leave.
    fn copies(&mut self) -> u32 {
        self.suffered.given += 1;
        if self.rng.chance(self.faults.loss_ppm.into(), MILLION) {
            self.suffered.lost += 1;
            return 0;
        }
        if self.rng.chance(self.faults.duplicate_ppm.into(), MILLION) {
            self.suffered.doubled += 1;
            return 2;
        }
        1
    }

    /// Queues what is due at the inner link; stops when that is full.
    fn release(&mut self) -> io::Result<()> {
        while let Some(Reverse(first)) = self.held.peek()
            && first.due <= self.now
            && copy(first.to, &first.bytes, &mut self.inner)?
        {
            self.held.pop();
        }
        Ok(())
    }
}

impl<L: Link> Link for FaultLink<L> {
    fn rx_burst(&mut self, burst: &mut RxBurst) -> io::Result<usize> {
        self.inner.rx_burst(burst)
    }

    fn tx_claim(&mut self, to: Addr, len: usize) -> Option<&mut [u8]> {
        self.direct = self.is_prompt().then_some(to);
        match self.direct {
            Some(to) => self.inner.tx_claim(to, len),
            None => self.batch.claim(to, len),
        }
    }

    fn tx_commit(&mut self, len: usize) {
        let Some(to) = self.direct else { return self.batch.commit(len) };
        let copies = self.copies();
        self.went = copies > 0;
        if self.went {
            self.inner.tx_commit(len);
            // A copy for which there is no room is lost.
            let went = self.again(to, copies - 1);
            self.suffered.lost += u64::from(!went);
        }
    }

    fn tx_again(&mut self, to: Addr) -> bool {
        if self.direct.is_none() {
            return self.batch.again(to);
        }
        // What was lost lies nowhere: it is to be written again.
        let is_prompt = self.went && self.is_prompt();
        if !is_prompt {
            return false;
        }
        let copies = self.copies();
        copies == 0 || self.again(to, copies)
    }

    fn tx_flush(&mut self) -> io::Result<usize> {
        self.release()?;
        while let Some(queued) = self.batch.first() {
            for _ in 0..self.copies() {
                let due = self.due();
                if due <= self.now || self.held.len() == HELD_MAX {
                    // The inner link has just been flushed when this fails: a lost datagram.
                    let went = self.batch.copy_to(&queued, &mut self.inner)?;
                    self.suffered.lost += u64::from(!went);
                } else {
                    self.sequence += 1;
                    self.suffered.held += 1;
                    let bytes = self.batch.of(&queued).into();
                    let (sequence, to) = (self.sequence, queued.to);
                    self.held.push(Reverse(Held { due, sequence, to, bytes }));
                }
            }
            self.batch.sent(1);
        }
        self.inner.tx_flush()
    }

    fn tx_pending(&self) -> usize {
        self.batch.pending() + self.inner.tx_pending()
    }

    fn local_addr(&self) -> Addr {
        self.inner.local_addr()
    }

    fn source(&self) -> Option<RawFd> {
        self.inner.source()
    }

    fn is_patient(&self) -> bool {
        self.inner.is_patient()
    }

    fn overflow(&mut self) -> u64 {
        self.inner.overflow()
    }

    fn refused(&mut self) -> u64 {
        self.inner.refused()
    }

    fn returned(&mut self, room: &mut [u8]) -> Option<(Addr, usize)> {
        self.inner.returned(room)
    }

    fn advance(&mut self, now: Time) -> Time {
        self.now = self.now.max(now);
        let inner = self.inner.advance(now);
        // A broken inner link says so again at the next flush, where it can be returned.
        let _ = self.release();
        self.held.peek().map_or(inner, |Reverse(first)| first.due.min(inner))
    }

    fn connect(&mut self, to: Addr) -> io::Result<bool> {
        self.inner.connect(to)
    }

    fn shortcomings(&self) -> Vec<String> {
        self.inner.shortcomings()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::mem::{Hub, MemLink};
    use syncom_seam::MS;

    const COUNT: u32 = 20_000;

    fn pair(faults: Faults, seed: u64) -> (FaultLink<MemLink>, MemLink) {
        let hub = Hub::new();
        let near = hub.open(Addr::v4([10, 0, 0, 1], 0), &Options::SMALL).unwrap();
        let far = hub.open(Addr::v4([10, 0, 0, 2], 0), &Options::SMALL).unwrap();
        (FaultLink::new(near, faults, seed, &Options::SMALL), far)
    }

    fn queue(link: &mut FaultLink<MemLink>, to: Addr, number: u32) {
        link.tx_claim(to, 4).unwrap().copy_from_slice(&number.to_le_bytes());
        link.tx_commit(4);
    }

    fn send(link: &mut FaultLink<MemLink>, to: Addr, number: u32) {
        queue(link, to, number);
        link.tx_flush().unwrap();
    }

    fn receive(link: &mut MemLink, into: &mut Vec<u32>) {
        let mut burst = RxBurst::new(4);
        while link.rx_burst(&mut burst).unwrap() > 0 {
            into.extend(
                (0..burst.len())
                    .map(|i| u32::from_le_bytes(burst.bytes(i).unwrap().try_into().unwrap())),
            );
        }
    }

    /// Sends numbers, one per millisecond, and returns them as they arrived.
    fn run(faults: Faults, seed: u64) -> (Vec<u32>, Suffered) {
        let (mut near, mut far) = pair(faults, seed);
        let mut arrived = Vec::new();
        for number in 0..COUNT {
            near.advance(Time(u64::from(number) * MS));
            send(&mut near, far.local_addr(), number);
            receive(&mut far, &mut arrived);
        }
        near.advance(Time::NEVER);
        near.tx_flush().unwrap();
        receive(&mut far, &mut arrived);
        (arrived, near.suffered())
    }

    #[test]
    fn faults_come_as_often_as_asked_and_account_for_every_datagram() {
        let faults = Faults {
            loss_ppm: 100_000,
            duplicate_ppm: 50_000,
            reorder_ppm: 20_000,
            reorder_ns: 5 * MS,
            ..Faults::default()
        };
        let (arrived, suffered) = run(faults, 7);
        assert_eq!(suffered.given, COUNT.into());
        assert!((1_800..2_200).contains(&suffered.lost), "{suffered:?}");
        assert!((780..1_020).contains(&suffered.doubled), "{suffered:?}");
        assert!((290..470).contains(&suffered.held), "{suffered:?}");
        assert_eq!(arrived.len() as u64, suffered.given - suffered.lost + suffered.doubled);
        let overtaken = arrived.windows(2).filter(|pair| pair[1] < pair[0]).count() as u64;
        assert!(overtaken > suffered.held / 2 && overtaken <= suffered.held);
    }

    #[test]
    fn where_nothing_is_held_back_the_order_stays_and_every_datagram_is_accounted_for() {
        let faults = Faults { loss_ppm: 100_000, duplicate_ppm: 50_000, ..Faults::default() };
        let (arrived, suffered) = run(faults, 5);
        assert!(arrived.is_sorted());
        assert!((1_800..2_200).contains(&suffered.lost), "{suffered:?}");
        assert!((780..1_020).contains(&suffered.doubled), "{suffered:?}");
        assert_eq!(arrived.len() as u64, suffered.given - suffered.lost + suffered.doubled);
        assert_eq!(suffered.held, 0);
    }

    #[test]
    fn a_datagram_for_two_is_lost_to_each_by_itself() {
        let (mut near, mut far) = pair(Faults { loss_ppm: 300_000, ..Faults::default() }, 9);
        let (to, mut arrived) = (far.local_addr(), Vec::new());
        for number in 0..COUNT {
            queue(&mut near, to, number);
            if !near.tx_again(to) {
                // What was lost lies nowhere and is written again.
                queue(&mut near, to, number);
            }
            near.tx_flush().unwrap();
            receive(&mut far, &mut arrived);
        }
        let suffered = near.suffered();
        assert_eq!(suffered.given, 2 * u64::from(COUNT));
        assert!((11_400..12_600).contains(&suffered.lost), "{suffered:?}");
        assert_eq!(arrived.len() as u64, suffered.given - suffered.lost);
        let both = arrived.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!((9_400..10_200).contains(&both), "{both} of {COUNT} reached both");
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_seed_others() {
        let faults = Faults { loss_ppm: 200_000, jitter_ns: 3 * MS, ..Faults::default() };
        assert_eq!(run(faults, 1), run(faults, 1));
        assert_ne!(run(faults, 1).0, run(faults, 2).0);
    }

    #[test]
    fn nothing_arrives_before_its_delay_is_over() {
        let (mut near, mut far) = pair(Faults { delay_ns: 10 * MS, ..Faults::default() }, 3);
        let mut arrived = Vec::new();
        near.advance(Time(MS));
        send(&mut near, far.local_addr(), 1);
        assert_eq!(near.advance(Time(11 * MS - 1)), Time(11 * MS));
        near.tx_flush().unwrap();
        receive(&mut far, &mut arrived);
        assert!(arrived.is_empty() && near.tx_pending() == 0);
        assert_eq!(near.advance(Time(11 * MS)), Time::NEVER);
        assert_eq!(near.tx_pending(), 1);
        near.tx_flush().unwrap();
        receive(&mut far, &mut arrived);
        assert_eq!(arrived, [1]);
    }
}
