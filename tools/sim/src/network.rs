//! The network between members: delay, loss, duplication, reordering, and cuts.

use crate::dice::Dice;
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
    /// The only one who is deaf to the other side, where it is not everybody.
    pub(crate) deaf: Option<usize>,
    pub(crate) until: Time,
}

impl Cut {
    /// Whether it loses what `from` sends to `to`.
    pub(crate) fn parts(&self, from: usize, to: usize) -> bool {
        let side = |member: usize| self.inside.get(member).copied().unwrap_or(false);
        let applies = from.min(to) >= self.servers && self.deaf.is_none_or(|one| one == to);
        applies && side(from) != side(to) && (!self.one_way || side(from))
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
    /// Parts of 10,000 lost of what is sent to these members.
    deaf: BTreeMap<usize, u64>,
    /// Decide delay and loss in the place of `rng`, by moments that are so much later, in ns.
    pub(crate) dice: Option<(Dice, u64)>,
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
            deaf: BTreeMap::new(),
            dice: None,
            healed: false,
        }
    }

    /// Ends all faults: from now on every datagram arrives once, in good time.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
        self.cuts.clear();
        self.mumbling.clear();
        self.deaf.clear();
    }

    /// From now on, so many parts of 10,000 are lost of what a member sends.
    pub(crate) fn muffle(&mut self, member: usize, loss: u64) {
        set(&mut self.mumbling, member, loss);
    }

    /// The same of what is sent to it.
    pub(crate) fn deafen(&mut self, member: usize, loss: u64) {
        set(&mut self.deaf, member, loss);
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

    /// When what leaves at a moment arrives, where dice decide and nothing is wrong; `None` when it is
    /// lost. Both moments count what was skipped.
    pub(crate) fn fate(&self, sent: Time, (from, to): (usize, usize)) -> Option<Arrival> {
        let throw = self.dice?.0.path(from, to).at(sent);
        let is_lost = throw.is_lost(self.loss);
        (!is_lost).then(|| sent.after(self.delay_ns + throw.below(self.jitter_ns + 1)))
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
        let thrown =
            self.dice.map(|(dice, skipped_ns)| dice.path(from, to).at(now.after(skipped_ns)));
        let jitter_ns = match thrown {
            Some(throw) => throw.below(self.jitter_ns + 1),
            None => self.rng.below(self.jitter_ns + 1),
        };
        let base = now.after(self.delay_ns + jitter_ns);
        if self.healed {
            return [Some(base), None];
        }
        if self.is_cut(now, from, to) {
            counts.cut_datagrams += 1;
            return [None, None];
        }
        self.cuts.retain(|cut| now < cut.until);
        let own = |all: &BTreeMap<usize, u64>, member| {
            if all.is_empty() { 0 } else { all.get(&member).copied().unwrap_or(0) }
        };
        let loss = self.loss.max(own(&self.mumbling, from)).max(own(&self.deaf, to));
        if thrown.map_or_else(|| self.rng.chance(loss, 10_000), |throw| throw.is_lost(loss)) {
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

fn set(all: &mut BTreeMap<usize, u64>, member: usize, loss: u64) {
    if loss == 0 {
        all.remove(&member);
    } else {
        all.insert(member, loss);
    }
}
