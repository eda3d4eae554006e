//! Which satellites are a node's homes: highest random weight.
//!
//! Every satellite draws a number for every node, by hashing both; the highest wins (Thaler and
//! Ravishankar, 1998). Nobody has to be asked, everybody comes to the same answer, and a satellite
//! that goes moves only its own nodes, evenly. Weights follow the logarithmic method: with u uniform
//! in (0, 1), the least −ln(u)/w wins with probability w/Σw; the logarithm is computed in integers
//! so that all machines agree to the bit.

use alloc::vec::Vec;
use syncom_wire::ids::mix;
use syncom_wire::limits::{HOMES, SATELLITES_MAX};
use syncom_wire::{PeerId, Slot, Subject};

/// A satellite that may be a home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub peer: PeerId,
    /// Its relative weight; 0 is taken only when there is nobody else.
    pub weight: u16,
    /// Whether it leaves: it is given nothing.
    pub leaving: bool,
}

/// The homes of one node, best first: [`HOMES`] of them, or as many satellites as there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Homes {
    peers: [PeerId; HOMES],
    len: usize,
}

impl Homes {
    /// The homes, best first.
    #[must_use]
    pub fn as_slice(&self) -> &[PeerId] {
        &self.peers[..self.len]
    }

    /// Whether a satellite is one of them.
    #[must_use]
    pub fn contains(&self, peer: PeerId) -> bool {
        self.as_slice().contains(&peer)
    }

    /// The best one.
    #[must_use]
    pub fn first(&self) -> Option<PeerId> {
        self.as_slice().first().copied()
    }
}

/// The satellites that nodes are spread over.
#[derive(Clone, Debug, Default)]
pub struct Rendezvous {
    /// Serving satellites only, and their weights: every node holds them.
    peers: Vec<PeerId>,
    weights: Vec<u16>,
    /// Whether all weights are the same, so that hashes can be compared directly.
    uniform: bool,
}

impl Rendezvous {
    /// No satellites; room for all that there can be is allocated now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            peers: Vec::with_capacity(SATELLITES_MAX),
            weights: Vec::with_capacity(SATELLITES_MAX),
            uniform: true,
        }
    }

    /// Replaces the satellites; those that leave, and those beyond [`SATELLITES_MAX`], are left out.
    pub fn set(&mut self, satellites: impl Iterator<Item = Candidate>) {
        self.peers.clear();
        self.weights.clear();
        for one in satellites.filter(|one| !one.leaving).take(SATELLITES_MAX) {
            self.peers.push(one.peer);
            self.weights.push(one.weight);
        }
        self.uniform = self.weights.windows(2).all(|pair| pair[0] == pair[1]);
    }

    /// Bytes that the satellites take here.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(self.peers.as_slice()) + size_of_val(self.weights.as_slice())
    }

    /// How many satellites serve.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether none serves.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// The homes of the node in `slot`.
    #[must_use]
    pub fn homes(&self, slot: Slot) -> Homes {
        self.homes_of(Subject::node(slot))
    }

    /// The homes of any subject; of a node, the same as [`Self::homes`].
    #[must_use]
    pub fn homes_of(&self, subject: Subject) -> Homes {
        let mut homes = Homes::default();
        for peer in self.preference_of(subject).take(HOMES) {
            homes.peers[homes.len] = peer;
            homes.len += 1;
        }
        homes
    }

    /// All serving satellites in the order in which the node in `slot` should try them.
    #[must_use]
    pub const fn preference(&self, slot: Slot) -> Preference<'_> {
        self.preference_of(Subject::node(slot))
    }

    /// All serving satellites in the order in which one should try them for `subject`.
    #[must_use]
    pub const fn preference_of(&self, subject: Subject) -> Preference<'_> {
        Preference { rendezvous: self, subject, last: None }
    }

    fn rank(&self, subject: Subject, peer: PeerId, weight: u16) -> Rank {
        let draw = mix(mix(subject.0) ^ mix(u64::from(peer.0) ^ SALT));
        let cost = if self.uniform {
            0
        } else {
            u64::from(minus_log2(draw))
                .checked_mul(1 << 24)
                .and_then(|cost| cost.checked_div(u64::from(weight)))
                .unwrap_or(u64::MAX)
        };
        Rank { cost, draw: !draw, peer }
    }
}

/// Keeps the draws of satellites apart from other hashes of the same numbers.
const SALT: u64 = 0x686f_6d65_0000_0000;

/// Least is best: first by weighted cost, then by the draw itself, then by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    cost: u64,
    draw: u64,
    peer: PeerId,
}

/// Satellites from best to worst: see [`Rendezvous::preference`]. Each step looks at all of them,
/// so the first few are cheap and nothing is allocated.
#[derive(Clone, Debug)]
pub struct Preference<'a> {
    rendezvous: &'a Rendezvous,
    subject: Subject,
    last: Option<Rank>,
}

impl Iterator for Preference<'_> {
    type Item = PeerId;

    fn next(&mut self) -> Option<PeerId> {
        let all = self.rendezvous.peers.iter().zip(&self.rendezvous.weights);
        let ranks = all.map(|(peer, weight)| self.rendezvous.rank(self.subject, *peer, *weight));
        let best = ranks.filter(|rank| self.last.is_none_or(|last| *rank > last)).min()?;
        self.last = Some(best);
        Some(best.peer)
    }
}

/// −log2(draw / 2^64) in units of 2^-25, from 0 up to 65: the digits of a binary logarithm by
/// repeated squaring. Never falls when `draw` falls.
fn minus_log2(draw: u64) -> u32 {
    const DIGITS: u32 = 25;
    let whole = draw.leading_zeros();
    // The mantissa in [1, 2) with 63 digits after the point.
    let mut mantissa = draw.max(1) << whole.min(63);
    let mut fraction = 0;
    for _ in 0..DIGITS {
        let square = (u128::from(mantissa) * u128::from(mantissa)) >> 63;
        let carry = square >> 64 != 0;
        fraction = fraction << 1 | u32::from(carry);
        mantissa = u64::try_from(if carry { square >> 1 } else { square }).unwrap_or(u64::MAX);
    }
    // log2(draw) = 63 - whole + fraction, and draw stands for draw / 2^64.
    ((whole + 1) << DIGITS).saturating_sub(fraction)
}

#[cfg(test)]
mod tests;
