//! What follows from the evidence about one node: one total function.
//!
//! ```text
//!            ≥ L reporters            probe unanswered, enough votes
//!   Wait ────────────────▶ Probe ───────────────────────────────────▶ Dead
//!    │ long below L          │ answered, or votes stay between L and H for long
//!    ▼                       ▼
//!   Noise / Cleared         Gray
//! ```
//!
//! Watermarks as in Rapid (USENIX ATC 2018, section 4); the veto and the weights are ours
//! (ALGORITHMS.md 4.3). No home condemns whom the other has not asked in vain, too; where that one is
//! out of reach, two rounds of silence stand for its word.

use crate::uplink::second::Agreement;

/// How far the direct question to the accused has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    /// Not asked yet, or too long ago to mean anything.
    No,
    /// Probes are under way.
    UnderWay,
    /// One round stayed unanswered.
    Once,
    /// Two rounds, spaced, stayed unanswered.
    Twice,
}

/// Everything that the verdict depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Situation {
    /// Distinct observers that accuse at present, at least L of them.
    pub(crate) is_probable: bool,
    /// Too few accuse, for too long: 2·m·η, or not at all; longer where there is doubt.
    pub(crate) is_over: bool,
    /// The weighted votes reach H.
    pub(crate) is_weighty: bool,
    /// The votes reach H when each counts fully.
    pub(crate) is_numerous: bool,
    /// Reporters come from as many domains as they can, at most two.
    pub(crate) is_diverse: bool,
    /// A sign of life since the freshest report.
    pub(crate) is_vetoed: bool,
    /// It was accused wrongly a moment ago, and has not been silent to everybody for long since.
    pub(crate) is_doubted: bool,
    /// The question to the accused.
    pub(crate) asked: Asked,
    /// What the other home says.
    pub(crate) agreement: Agreement,
    /// It has been probable, again and again, for as long as patience goes: 3·m·η with the silence
    /// before. Or what many missed of it in turn adds up to as much.
    pub(crate) is_long: bool,
    /// It was announced gray.
    pub(crate) is_gray: bool,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Nothing yet.
    Wait,
    /// Ask the accused.
    Probe,
    /// It is dead.
    Dead,
    /// Announce that it is neither dead nor well.
    Gray,
    /// Announce that it is well again, and forget it.
    Cleared,
    /// Too little, for too long, or all taken back: forget it.
    Noise,
}

/// The verdict on a situation.
pub(crate) const fn judge(s: &Situation) -> Verdict {
    if !s.is_probable {
        return match (s.is_over, s.is_gray) {
            (false, false) if s.is_long => Verdict::Gray,
            (false, _) => Verdict::Wait,
            (true, true) => Verdict::Cleared,
            (true, false) => Verdict::Noise,
        };
    }
    let patience = if s.is_long && !s.is_gray { Verdict::Gray } else { Verdict::Wait };
    if s.is_vetoed {
        return patience;
    }
    match s.asked {
        Asked::No => Verdict::Probe,
        Asked::UnderWay => Verdict::Wait,
        Asked::Once | Asked::Twice if s.is_doubted => match patience {
            Verdict::Gray => Verdict::Gray,
            _ => Verdict::Probe,
        },
        Asked::Once | Asked::Twice if !s.is_diverse || !(s.is_weighty || s.is_numerous) => patience,
        Asked::Once | Asked::Twice if matches!(s.agreement, Agreement::Awaited) => patience,
        Asked::Once if s.is_weighty && matches!(s.agreement, Agreement::Given) => Verdict::Dead,
        Asked::Once => Verdict::Probe,
        Asked::Twice => Verdict::Dead,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    /// Every situation there is.
    pub(crate) fn all() -> Vec<Situation> {
        let asked = [Asked::No, Asked::UnderWay, Asked::Once, Asked::Twice];
        let agreements = [Agreement::Given, Agreement::Awaited, Agreement::Mute];
        let bit = |bits: u32, at: u32| bits >> at & 1 == 1;
        (0..512u32)
            .flat_map(|bits| asked.map(|asked| (bits, asked)))
            .flat_map(|(bits, asked)| agreements.map(|agreement| (bits, asked, agreement)))
            .map(|(bits, asked, agreement)| Situation {
                is_probable: bit(bits, 0),
                is_over: bit(bits, 1),
                is_weighty: bit(bits, 2),
                is_numerous: bit(bits, 3),
                is_diverse: bit(bits, 4),
                is_vetoed: bit(bits, 5),
                is_long: bit(bits, 6),
                is_gray: bit(bits, 7),
                is_doubted: bit(bits, 8),
                asked,
                agreement,
            })
            .collect()
    }

    #[test]
    fn death_needs_votes_domains_silence_and_an_unanswered_probe() {
        for s in all() {
            let twice = s.asked == Asked::Twice;
            let votes = s.is_weighty || (s.is_numerous && twice);
            let asked = match s.agreement {
                Agreement::Given => twice || s.asked == Asked::Once,
                Agreement::Awaited => false,
                Agreement::Mute => twice,
            };
            let silent = !s.is_vetoed && !s.is_doubted && asked;
            let needed = s.is_probable && votes && s.is_diverse && silent;
            assert_eq!(judge(&s) == Verdict::Dead, needed, "{s:?}");
        }
    }

    #[test]
    fn gray_is_announced_once_and_only_after_patience() {
        for s in all() {
            if judge(&s) == Verdict::Gray {
                assert!(s.is_long && !s.is_gray && (s.is_probable || !s.is_over), "{s:?}");
            }
            if judge(&s) == Verdict::Cleared {
                assert!(s.is_gray && s.is_over && !s.is_probable, "{s:?}");
            }
        }
    }

    #[test]
    fn nothing_is_forgotten_while_it_is_probable() {
        for s in all().into_iter().filter(|s| s.is_probable) {
            assert!(!matches!(judge(&s), Verdict::Noise | Verdict::Cleared), "{s:?}");
        }
    }

    #[test]
    fn the_whole_table_has_the_known_proportions() {
        let mut counts = BTreeMap::new();
        for s in all() {
            *counts.entry(judge(&s)).or_insert(0u32) += 1;
        }
        let counts: Vec<_> = counts.into_iter().collect();
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u32>(), 6144);
        assert_eq!(counts, PROPORTIONS);
    }

    const PROPORTIONS: [(Verdict, u32); 6] = [
        (Verdict::Wait, 2_904),
        (Verdict::Probe, 704),
        (Verdict::Dead, 64),
        (Verdict::Gray, 936),
        (Verdict::Cleared, 768),
        (Verdict::Noise, 768),
    ];
}
