//! Who is asked before a satellite or a replica is called dead, and what they say.
//!
//! The leader hears every satellite and every replica itself, but its own ear, or the one path between,
//! may be what failed. So while somebody's time runs out it asks those who should hear the missed one
//! too, and the missed one itself: whoever heard it within the time that its silence may last saves
//! it, and whoever answers nothing, asked again and again, has no say. That is the rule of nodes
//! and their two homes, for the few who have no observers.

use std::collections::BTreeMap;
use syncom_seam::{MS, Time};
use syncom_wire::PeerId;

/// A witness is asked so long before the time of the missed one is up, in ns: whoever answers nothing
/// has shown that by then.
pub(crate) const LEAD_NS: u64 = 150 * MS;
/// Time between two questions to one that has not answered, in ns.
const ASK_NS: u64 = 40 * MS;
/// Questions without an answer after which a witness is out of reach.
const MUTE: u32 = 3;
/// And so long after the first of them, in ns.
const MUTE_NS: u64 = 3 * ASK_NS;
/// An answer counts for so long, in ns; then it is asked for again.
const FRESH_NS: u64 = 100 * MS;

/// What one witness has said.
#[derive(Clone, Copy, Debug, Default)]
struct Word {
    /// When it was said; 0 when nothing was.
    said: Time,
    /// When the missed one was last heard by then; 0 when never.
    heard: Time,
    /// Questions since, and when the first and the last of them were put.
    asks: u32,
    asked_first: Time,
    asked: Time,
}

impl Word {
    fn is_fresh(&self, now: Time) -> bool {
        self.said > Time(0) && now.since(self.said) <= FRESH_NS
    }

    const fn is_mute(&self, now: Time) -> bool {
        self.asks >= MUTE && now.since(self.asked_first) >= MUTE_NS
    }
}

/// What the witnesses say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Somebody has not answered yet.
    Awaited,
    /// This one heard it.
    Heard(PeerId),
    /// Nobody heard it: who says so, and who does not answer.
    Missed {
        /// They listened, and heard nothing.
        by: Vec<PeerId>,
        /// They do not answer.
        mute: Vec<PeerId>,
    },
}

/// The case of one who is missed.
#[derive(Debug, Default)]
pub(crate) struct Inquest {
    words: BTreeMap<PeerId, Word>,
    /// Until then nothing is proposed again.
    pub(crate) proposed_until: Time,
    /// What was found has been told, and nothing else was found since.
    pub(crate) told: bool,
}

impl Inquest {
    /// Whom to ask now. Notes that they are asked, and forgets who is no witness any more.
    pub(crate) fn ask(&mut self, now: Time, witnesses: &[PeerId]) -> Vec<PeerId> {
        self.words.retain(|peer, _| witnesses.contains(peer));
        let mut asked = Vec::new();
        for peer in witnesses {
            let word = self.words.entry(*peer).or_default();
            if word.is_fresh(now) || (word.asks > 0 && now.since(word.asked) < ASK_NS) {
                continue;
            }
            if word.asks == 0 {
                word.asked_first = now;
            }
            (word.asks, word.asked) = (word.asks.saturating_add(1), now);
            asked.push(*peer);
        }
        asked
    }

    /// A witness says how long ago it heard the missed one, in ns. Nothing when it was not asked.
    pub(crate) fn on_word(&mut self, now: Time, from: PeerId, heard_ago_ns: Option<u64>) {
        let Some(word) = self.words.get_mut(&from) else { return };
        if let Some(ago_ns) = heard_ago_ns {
            word.heard = word.heard.max(Time(now.0.saturating_sub(ago_ns)));
        }
        (word.said, word.asks) = (now, 0);
    }

    /// What they say by now of one that may be silent for so long, in ns.
    pub(crate) fn finding(&self, now: Time, silence_ns: u64) -> Finding {
        let lately = |word: &Word| word.heard > Time(0) && now.since(word.heard) < silence_ns;
        if let Some((peer, _)) = self.words.iter().find(|(_, word)| lately(word)) {
            return Finding::Heard(*peer);
        }
        let (mut by, mut mute) = (Vec::new(), Vec::new());
        for (peer, word) in &self.words {
            // Who has never heard it, because it came to watch it only now, says nothing against it.
            match (word.is_fresh(now), word.is_mute(now)) {
                (true, _) if word.heard > Time(0) => by.push(*peer),
                (true, _) => {}
                (false, true) => mute.push(*peer),
                (false, false) => return Finding::Awaited,
            }
        }
        Finding::Missed { by, mute }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncom_seam::SECOND;

    const HERE: PeerId = PeerId::station(2);
    const THERE: PeerId = PeerId::satellite(3);
    const START: Time = Time(100 * SECOND);
    const SILENCE_NS: u64 = SECOND;

    /// Runs until `for_ns` after the start; `says` answers for a witness: how long before the start
    /// it heard the missed one.
    fn run(for_ns: u64, says: impl Fn(PeerId) -> Option<Option<u64>>) -> (Finding, usize) {
        let (mut inquest, mut questions) = (Inquest::default(), 0);
        for ms in 0..=for_ns / MS {
            let now = START.after(ms * MS);
            for peer in inquest.ask(now, &[HERE, THERE]) {
                questions += 1;
                if let Some(ago) = says(peer) {
                    inquest.on_word(now, peer, ago.map(|ago_ns| ago_ns + ms * MS));
                }
            }
        }
        (inquest.finding(START.after(for_ns), SILENCE_NS), questions)
    }

    #[test]
    fn who_is_missed_by_all_is_dead() {
        let (found, questions) = run(0, |_| Some(Some(SECOND)));
        assert_eq!(found, Finding::Missed { by: vec![THERE, HERE], mute: vec![] });
        assert_eq!(questions, 2);
    }

    #[test]
    fn one_who_heard_it_saves_it_until_that_is_too_long_ago() {
        let says = |peer| Some(Some(if peer == THERE { 100 * MS } else { SECOND }));
        assert_eq!(run(0, says).0, Finding::Heard(THERE));
        assert_eq!(run(899 * MS, says).0, Finding::Heard(THERE));
        assert!(matches!(run(900 * MS, says).0, Finding::Missed { .. }));
    }

    #[test]
    fn nothing_is_found_before_everybody_has_answered_or_was_asked_three_times_in_vain() {
        let says = |peer| (peer == HERE).then_some(Some(SECOND));
        assert_eq!(run(119 * MS, says), (Finding::Awaited, 5));
        assert_eq!(run(120 * MS, says).0, Finding::Missed { by: vec![HERE], mute: vec![THERE] });
    }

    #[test]
    fn who_has_never_heard_it_has_no_say() {
        let (found, _) = run(0, |peer| Some((peer == HERE).then_some(SECOND)));
        assert_eq!(found, Finding::Missed { by: vec![HERE], mute: vec![] });
    }

    #[test]
    fn who_is_no_witness_is_not_heard() {
        let mut inquest = Inquest::default();
        inquest.ask(START, &[HERE]);
        inquest.on_word(START, THERE, Some(0));
        assert_eq!(inquest.finding(START, SILENCE_NS), Finding::Awaited);
        inquest.on_word(START, HERE, Some(SECOND));
        assert!(inquest.ask(START, &[THERE]).contains(&THERE), "the view has changed");
        assert_eq!(inquest.finding(START, SILENCE_NS), Finding::Awaited);
    }
}
