//! When what is known goes up: gathered, believed, and not too soon after the last of its kind.

use super::{Case, Known, Recent, Stage};
use crate::policy::{Policies, Policy, Support};
use syncom_seam::{MS, SECOND, Time};
use syncom_wire::limits::CONTRIBUTORS_MAX;

/// How long equal reports are gathered, in ns.
const GATHER_NS: u64 = 5 * MS;
/// How long the pace of a thing is remembered after its last record, in ns.
const PACE_KEPT_NS: u64 = 10 * SECOND;

/// What is to be done with a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It is believed: it goes up.
    Up,
    /// It stayed below its threshold for a window, and is forgotten.
    Noise,
}

impl Known {
    /// Hands every case that is due to `go`, oldest first, with its cell. One that is believed counts
    /// as sent when `go` says so, and comes again otherwise.
    ///
    /// `population` is how many nodes are present, and a bit per failure domain of theirs.
    pub fn due(
        &mut self,
        now: Time,
        policies: &Policies,
        population: (usize, u64),
        mut go: impl FnMut(&Self, u32, Case<'_>, Due) -> bool,
    ) {
        let mut waiting = core::mem::take(&mut self.waiting);
        waiting.retain(|at| self.decide(now, *at, policies, population, &mut go));
        self.waiting = waiting;
    }

    /// Whether a waiting case goes on waiting.
    fn decide(
        &mut self,
        now: Time,
        at: u32,
        policies: &Policies,
        population: (usize, u64),
        go: &mut impl FnMut(&Self, u32, Case<'_>, Due) -> bool,
    ) -> bool {
        let Some(case) = self.case(at) else { return false };
        let is_full = case.ids.len() == CONTRIBUTORS_MAX;
        if now.since(case.fact.first) < GATHER_NS && !is_full {
            return true;
        }
        let hash = case.fact.thing.hash();
        let policy = policies.of(case.fact.thing.kind);
        let age_ns = self.recent.get(hash).map(|recent| now.since(recent.sent));
        if age_ns.is_some_and(|age_ns| age_ns < policy.spacing_ns()) && !is_full {
            return true;
        }
        // What is believed already stays believed for a window: later reporters join it.
        let is_believed = age_ns.is_some_and(|age_ns| age_ns < policy.window_ns)
            || self.is_met(hash, &case, policy, population);
        if is_believed {
            if !go(self, at, case, Due::Up) {
                return true;
            }
            self.facts[at as usize].stage = Stage::Sent;
            // Without room the pace of this thing is not kept for once, and nothing else suffers.
            let event = self.recent.get(hash).map_or(0, |recent| recent.event);
            let _ = self.recent.insert(hash, Recent { sent: now, event });
            return false;
        }
        if now.since(case.fact.first) < policy.window_ns {
            return true;
        }
        go(self, at, case, Due::Noise);
        self.release(at, 0);
        false
    }

    /// Whether the waiting cases of a thing together are enough for its threshold.
    fn is_met(
        &self,
        hash: u64,
        case: &Case<'_>,
        policy: &Policy,
        population: (usize, u64),
    ) -> bool {
        let mut support = Support {
            population: population.0,
            population_domains: population.1,
            ..Support::default()
        };
        let Some(newest) = self.newest(hash, &case.fact.thing) else { return false };
        let waiting = || self.chain(newest).filter(|(_, fact)| fact.stage == Stage::Waiting);
        support.domains = waiting().fold(0, |domains, (_, fact)| domains | fact.domains);
        for (at, _) in waiting() {
            let ids = self.ids(at);
            for (place, id) in ids.iter().enumerate() {
                let before = ids.iter().take(place).any(|other| other.slot == id.slot);
                let newer = waiting()
                    .take_while(|(other, _)| *other != at)
                    .any(|(other, _)| self.ids(other).iter().any(|one| one.slot == id.slot));
                support.distinct += u32::from(!before && !newer);
            }
            // More only adds: a flood is not counted to its end.
            if policy.is_met(&support) {
                return true;
            }
        }
        false
    }

    /// Forgets paces of things that were quiet for long.
    pub fn sweep(&mut self, now: Time) {
        let mut old = core::mem::take(&mut self.old);
        let quiet = self.recent.iter().filter(|(_, recent)| now.since(recent.sent) > PACE_KEPT_NS);
        old.extend(quiet.map(|(hash, _)| hash));
        for hash in old.drain(..) {
            self.recent.remove(hash);
        }
        self.old = old;
    }
}
