//! The network between members: delay, loss, duplication, reordering, and cuts.

use crate::fault::FaultCounts;
use crate::scenario::Scenario;
use std::collections::BTreeMap;
use syncom_seam::{MS, Rng, SECOND, Time};

/// What the queue in front of a narrow path holds, in ns of its time.
const QUEUE_NS: u64 = 200 * MS;

/// A cut: what crosses it is lost.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    /// Side of each member.
    pub(crate) inside: Vec<bool>,
    /// Whether only the way out of the inside is cut.
    pub(crate) one_way: bool,
    /// Members before this one reach both sides.
    pub(crate) servers: usize,
    pub(crate) until: Time,
}

impl Cut {
    /// Whether it loses what `from` sends to `to`.
    pub(crate) fn parts(&self, from: usize, to: usize) -> bool {
        let side = |member: usize| self.inside.get(member).copied().unwrap_or(false);
        from.min(to) >= self.servers && side(from) != side(to) && (!self.one_way || side(from))
    }
}

/// Where and when a copy of a datagram arrives.
pub(crate) type Arrival = Time;

/// Decides the fate of every datagram.
#[derive(Debug)]
pub(crate) struct Network {
    rng: Rng,
    /// Parts of 10,000 lost.
    loss: u64,
    /// Parts of 10,000 doubled.
    duplication: u64,
    /// Parts of 10,000 held back by up to `late_ns`.
    reordering: u64,
    late_ns: u64,
    delay_ns: u64,
    jitter_ns: u64,
    /// Bytes that go over the path between two replicas per second; 0 for as many as there are.
    bytes_per_s: u64,
    /// Until when such a path is busy.
    busy: BTreeMap<(usize, usize), Time>,
    cuts: Vec<Cut>,
    /// Parts of 10,000 lost of what these members send: cables that hear and hardly speak.
    mumbling: BTreeMap<usize, u64>,
    healed: bool,
}

impl Network {
    pub(crate) fn new(seed: u64, scenario: &Scenario) -> Self {
        Self {
            rng: Rng::new(seed ^ 0x6e65_7477),
            loss: scenario.loss,
            duplication: scenario.duplication,
            reordering: scenario.reordering,
            late_ns: scenario.late_ns,
            delay_ns: scenario.delay_ns,
            jitter_ns: scenario.jitter_ns,
            bytes_per_s: scenario.bytes_per_s,
            busy: BTreeMap::new(),
            cuts: Vec::new(),
            mumbling: BTreeMap::new(),
            healed: false,
        }
    }

    /// Ends all faults: from now on every datagram arrives once, in good time.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
        self.cuts.clear();
        self.mumbling.clear();
    }

    /// From now on, so many parts of 10,000 are lost of what a member sends.
    pub(crate) fn muffle(&mut self, member: usize, loss: u64) {
        self.mumbling.insert(member, loss);
    }

    pub(crate) fn cut(&mut self, cut: Cut) {
        self.cuts.push(cut);
    }

    /// Whether a cut lies between two members now.
    fn is_cut(&self, now: Time, from: usize, to: usize) -> bool {
        self.cuts.iter().any(|cut| now < cut.until && cut.parts(from, to))
    }

    /// How long so many bytes wait for those before them on a narrow path, and take themselves, in
    /// ns; `None` when the queue in front of it is full.
    fn queue(&mut self, now: Time, path: (usize, usize), bytes: usize) -> Option<u64> {
        if self.bytes_per_s == 0 || bytes == 0 {
            return Some(0);
        }
        let free = self.busy.entry(path).or_default();
        let begins = now.max(*free);
        if begins.since(now) > QUEUE_NS {
            return None;
        }
        *free = begins.after(bytes as u64 * SECOND / self.bytes_per_s);
        Some(free.since(now))
    }

    /// When the copies of a datagram arrive: none, one or two. `bytes` are its bytes on a path that
    /// may be narrow, 0 elsewhere.
    pub(crate) fn carry(
        &mut self,
        now: Time,
        (from, to): (usize, usize),
        bytes: usize,
        counts: &mut FaultCounts,
    ) -> [Option<Arrival>; 2] {
        let base = now.after(self.delay_ns + self.rng.below(self.jitter_ns + 1));
        if self.healed {
            return [Some(base), None];
        }
        if self.is_cut(now, from, to) {
            counts.cut_datagrams += 1;
            return [None, None];
        }
        self.cuts.retain(|cut| now < cut.until);
        let own = if self.mumbling.is_empty() { None } else { self.mumbling.get(&from) };
        let loss = own.map_or(self.loss, |own| self.loss.max(*own));
        if self.rng.chance(loss, 10_000) {
            counts.lost += 1;
            return [None, None];
        }
        let Some(waited_ns) = self.queue(now, (from, to), bytes) else {
            counts.overflows += 1;
            return [None, None];
        };
        let base = base.after(waited_ns);
        let mut first = base;
        if self.rng.chance(self.reordering, 10_000) {
            counts.reordered += 1;
            first = base.after(self.rng.below(self.late_ns + 1));
        }
        let second = self.rng.chance(self.duplication, 10_000).then(|| {
            counts.duplicated += 1;
            base.after(self.rng.below(self.late_ns + 1))
        });
        [Some(first), second]
    }
}
