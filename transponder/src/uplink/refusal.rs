//! Why a node that is accused is not dead, for people who ask.
//!
//! [`judge`] says what to do; the first thing that stands in the way of a death is what an operator
//! wants to know. Nothing is noted for that while cases are judged: who asks has the case judged once
//! more, on a copy.
//!
//! [`judge`]: crate::uplink::verdict::judge

use crate::uplink::second::Agreement;
use crate::uplink::suspects::Suspects;
use crate::uplink::suspicion::{Sight, Stage, Suspicion};
use crate::uplink::tally::Tally;
use crate::uplink::verdict::{Asked, Situation};
use syncom_seam::{Time, US};
use syncom_wire::Slot;
use syncom_wire::case::Case;
use syncom_wire::report::EventKind;

/// What stands between a node and its death; when several things do, the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Refusal {
    /// Too few observers accuse it.
    FewAccusers = Case::FEW_ACCUSERS,
    /// A sign of life stands against the accusations.
    Vetoed = Case::VETOED,
    /// It was not asked, or in a round that proves nothing.
    Unasked = Case::UNASKED,
    /// Its answer may be on its way.
    Asking = Case::ASKING,
    /// It was accused wrongly a moment ago.
    Doubted = Case::DOUBTED,
    /// All accusers are of one failure domain.
    OneDomain = Case::ONE_DOMAIN,
    /// The votes do not reach H.
    FewVotes = Case::FEW_VOTES,
    /// The other home has not agreed.
    Awaited = Case::AWAITED,
    /// Another round of silence is needed: its accusers are not well, or the other home is mute.
    AskedOnce = Case::ASKED_ONCE,
}

/// Why a situation is not one of death; nothing exactly when the verdict is death.
pub(crate) const fn refuse(s: &Situation) -> Option<Refusal> {
    if !s.is_probable {
        return Some(Refusal::FewAccusers);
    }
    if s.is_vetoed {
        return Some(Refusal::Vetoed);
    }
    match s.asked {
        Asked::No => Some(Refusal::Unasked),
        Asked::UnderWay => Some(Refusal::Asking),
        Asked::Once | Asked::Twice if s.is_doubted => Some(Refusal::Doubted),
        Asked::Once | Asked::Twice if !s.is_diverse => Some(Refusal::OneDomain),
        Asked::Once | Asked::Twice if !(s.is_weighty || s.is_numerous) => Some(Refusal::FewVotes),
        Asked::Once | Asked::Twice if matches!(s.agreement, Agreement::Awaited) => {
            Some(Refusal::Awaited)
        }
        Asked::Once if s.is_weighty && matches!(s.agreement, Agreement::Given) => None,
        Asked::Once => Some(Refusal::AskedOnce),
        Asked::Twice => None,
    }
}

impl Suspects {
    /// What is made here of a node that is accused; nothing when nobody accuses it.
    pub(crate) fn show(&self, slot: Slot, sight: &Sight<'_>) -> Option<Case> {
        let incarnation = sight.world.members().agent(slot)?.head.incarnation;
        let mut case = self.get(slot, incarnation)?.clone();
        let tally = self.tally(&case, sight);
        let situation = case.situation(&tally, sight);
        let refusal = match (case.stage, refuse(&situation)) {
            (Stage::Announced | Stage::Settled(_), _) => Case::FOUND,
            (Stage::Open | Stage::Ripe, Some(refusal)) => refusal as u8,
            _ if self.cut_since().is_some() => Case::CUT_OFF,
            _ if case.is_unborn(sight) => Case::UNBORN,
            (Stage::Open | Stage::Ripe, None) => Case::HELD,
        };
        Some(to_frame(&case, &tally, refusal, sight))
    }
}

fn to_frame(case: &Suspicion, tally: &Tally, refusal: u8, sight: &Sight<'_>) -> Case {
    let now = sight.now.at;
    let ago_us = |at: Time| u32::try_from(now.since(at) / US).unwrap_or(u32::MAX - 1);
    let byte = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
    let (sign, witness, lived) = last_sign(case, sight);
    let votes = case.record(EventKind::DEAD, tally, sight);
    let accusers_needed = sight.world.quorum().low.min(tally.distinct + tally.quiet);
    Case {
        subject: case.slot,
        incarnation: case.incarnation,
        since_ago_us: ago_us(case.since),
        lived_ago_us: if lived == Time(0) { Case::NEVER } else { ago_us(lived) },
        witness,
        score_x16: votes.score_x16,
        needed_x16: votes.needed_x16,
        accusers: byte(tally.distinct),
        accusers_needed: byte(accusers_needed),
        domains: byte(tally.domains.count_ones()),
        domains_needed: byte(tally.domains_able.count_ones().min(2)),
        probes: votes.probes,
        homes_silent: votes.homes_silent,
        refusal,
        sign,
    }
}

/// The last sign of life that is known here: what it was, of which observer, and when; 0 when none.
fn last_sign(case: &Suspicion, sight: &Sight<'_>) -> (u8, Slot, Time) {
    let words = case.evidence.words().iter().filter(|word| word.heard > Time(0));
    let said = words.max_by_key(|word| word.heard).map(|word| (Case::SAID, word.slot, word.heard));
    let heard = sight.homes.heard(case.slot, case.incarnation);
    let others = [
        (Case::OTHER_HOME, Slot::NONE, case.second.lived()),
        (Case::HEARTBEAT, Slot::NONE, heard),
        (Case::ANSWER, Slot::NONE, case.inquiry.answered()),
    ];
    let signs = said.into_iter().chain(others).filter(|(_, _, at)| *at > Time(0));
    signs.max_by_key(|(_, _, at)| *at).unwrap_or((0, Slot::NONE, Time(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uplink::verdict::tests::all;
    use crate::uplink::verdict::{Verdict, judge};
    use std::collections::BTreeSet;
    use std::vec::Vec;

    #[test]
    fn what_is_not_dead_has_a_reason_and_what_is_dead_has_none() {
        for s in all() {
            assert_eq!(refuse(&s).is_none(), judge(&s) == Verdict::Dead, "{s:?}");
        }
        let reasons: BTreeSet<_> = all().iter().filter_map(refuse).collect();
        assert_eq!(reasons.len(), 9, "each may be the first");
    }

    #[test]
    fn whatever_a_reason_names_would_not_be_there_in_a_death() {
        let mended = |s: &Situation| match refuse(s)? {
            Refusal::FewAccusers => Some(Situation { is_probable: true, ..*s }),
            Refusal::Vetoed => Some(Situation { is_vetoed: false, ..*s }),
            Refusal::Unasked | Refusal::Asking | Refusal::AskedOnce => {
                Some(Situation { asked: Asked::Twice, ..*s })
            }
            Refusal::Doubted => Some(Situation { is_doubted: false, ..*s }),
            Refusal::OneDomain => Some(Situation { is_diverse: true, ..*s }),
            Refusal::FewVotes => Some(Situation { is_weighty: true, ..*s }),
            Refusal::Awaited => Some(Situation { agreement: Agreement::Given, ..*s }),
        };
        for s in all() {
            let steps: Vec<_> = core::iter::successors(Some(s), mended).collect();
            let last = steps.last().copied().unwrap_or(s);
            assert_eq!(judge(&last), Verdict::Dead, "{s:?}");
            let reasons: Vec<_> = steps.iter().filter_map(refuse).collect();
            assert!(reasons.is_sorted() && steps.len() <= 9, "{reasons:?}");
        }
    }
}
