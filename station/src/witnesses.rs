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

/// The shortest time between two questions to one witness, in ns.
const ASK_NS: u64 = 40 * MS;
/// Questions without an answer after which a witness is out of reach.
const MUTE: u32 = 3;
/// Rounds for which an answer counts; a round before that it is asked for again.
const FRESH: u64 = 3;
/// Rounds before the time of the missed one is up in which the witnesses are asked: enough for three
/// answers, or for none to three questions.
const LEAD: u64 = 4;

/// How fast an inquest goes, and what it takes for a word to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// A round, in ns: a question and its answer take no longer.
    round_ns: u64,
    /// Words that a witness must have said before it counts against the missed one.
    words: u32,
}

impl Pace {
    /// A satellite shows itself to those who are asked; they need not find out first.
    pub(crate) fn of_satellite(round_ns: u64) -> Self {
        Self { round_ns: round_ns.max(ASK_NS), words: 1 }
    }

    /// Followers say nothing to each other: one that is asked asks the missed one in turn, and knows
    /// only when it is asked again. Two such questions must have been in vain: one may be lost.
    pub(crate) fn of_replica(round_ns: u64) -> Self {
        Self { round_ns: round_ns.max(ASK_NS), words: 3 }
    }

    /// The same with rounds that last at least so long, in ns: where nothing is urgent.
    pub(crate) fn at_leisure(self, round_ns: u64) -> Self {
        Self { round_ns: self.round_ns.max(round_ns), ..self }
    }

    /// Witnesses are asked so long before the time of the missed one is up, in ns.
    pub(crate) const fn lead_ns(&self) -> u64 {
        LEAD * self.round_ns
    }
}

/// What one witness has said.
#[derive(Clone, Copy, Debug, Default)]
struct Word {
    /// When it was said; 0 when nothing was.
    said: Time,
    /// When the missed one was last heard by then; 0 when never.
    heard: Time,
    /// Words since the one that told of the last sign of life, which is the first.
    words: u32,
    /// Questions since, and when the first and the last of them were put.
    asks: u32,
    asked_first: Time,
    asked: Time,
}

impl Word {
    fn is_fresh(&self, now: Time, pace: Pace) -> bool {
        self.said > Time(0) && now.since(self.said) <= FRESH * pace.round_ns
    }

    const fn is_mute(&self, now: Time, pace: Pace) -> bool {
        self.asks >= MUTE && now.since(self.asked_first) >= MUTE as u64 * pace.round_ns
    }

    /// Whether it is to be asked now.
    fn is_due(&self, now: Time, pace: Pace) -> bool {
        if self.asks == 0 && self.words >= pace.words {
            return now.since(self.said) >= (FRESH - 1) * pace.round_ns;
        }
        self.asked == Time(0) || now.since(self.asked) >= pace.round_ns
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
    pub(crate) fn ask(&mut self, now: Time, witnesses: &[PeerId], pace: Pace) -> Vec<PeerId> {
        self.words.retain(|peer, _| witnesses.contains(peer));
        let mut asked = Vec::new();
        for peer in witnesses {
            let word = self.words.entry(*peer).or_default();
            if !word.is_due(now, pace) {
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
            let heard = Time(now.0.saturating_sub(ago_ns));
            // What has lived since the word before must be asked in vain anew.
            word.words = if heard > word.said { 0 } else { word.words };
            word.heard = word.heard.max(heard);
        }
        word.words = word.words.saturating_add(u32::from(word.asks > 0));
        (word.said, word.asks) = (now, 0);
    }

    /// Who heard the missed one within so long, in ns.
    pub(crate) fn heard_by(&self, now: Time, within_ns: u64) -> Option<PeerId> {
        let lately = |word: &Word| word.heard > Time(0) && now.since(word.heard) < within_ns;
        self.words.iter().find(|(_, word)| lately(word)).map(|(peer, _)| *peer)
    }

    /// Whether this one has answered within so long, in ns.
    pub(crate) fn answers(&self, now: Time, peer: PeerId, within_ns: u64) -> bool {
        let said = self.words.get(&peer).map_or(Time(0), |word| word.said);
        said > Time(0) && now.since(said) < within_ns
    }

    /// What they say by now of one that may be silent for so long, in ns.
    pub(crate) fn finding(&self, now: Time, silence_ns: u64, pace: Pace) -> Finding {
        if let Some(peer) = self.heard_by(now, silence_ns) {
            return Finding::Heard(peer);
        }
        let (mut by, mut mute) = (Vec::new(), Vec::new());
        for (peer, word) in &self.words {
            if word.is_mute(now, pace) {
                mute.push(*peer);
            } else if !word.is_fresh(now, pace) || word.words < pace.words {
                return Finding::Awaited;
            } else if word.heard > Time(0) {
                // Who has never heard it, because it came to watch it only now, says nothing.
                by.push(*peer);
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
        run_at(Pace::of_satellite(0), for_ns, says)
    }

    fn run_at(
        pace: Pace,
        for_ns: u64,
        says: impl Fn(PeerId) -> Option<Option<u64>>,
    ) -> (Finding, usize) {
        let (mut inquest, mut questions) = (Inquest::default(), 0);
        for ms in 0..=for_ns / MS {
            let now = START.after(ms * MS);
            for peer in inquest.ask(now, &[HERE, THERE], pace) {
                questions += 1;
                if let Some(ago) = says(peer) {
                    inquest.on_word(now, peer, ago.map(|ago_ns| ago_ns + ms * MS));
                }
            }
        }
        (inquest.finding(START.after(for_ns), SILENCE_NS, pace), questions)
    }

    #[test]
    fn a_replica_is_missed_by_who_has_asked_it_twice_in_vain() {
        let says = |_| Some(Some(SECOND));
        let (pace, round_ns) = (Pace::of_replica(0), 40 * MS);
        assert_eq!(run_at(pace, 2 * round_ns - MS, says), (Finding::Awaited, 4));
        let missed = Finding::Missed { by: vec![THERE, HERE], mute: vec![] };
        assert_eq!(run_at(pace, 2 * round_ns, says), (missed.clone(), 6));
        assert_eq!(run_at(pace, pace.lead_ns(), says).0, missed, "in the time that it is given");
    }

    /// It hears it whenever it asks, but its words are long under way.
    #[test]
    fn a_word_that_told_of_life_does_not_count_against_it_when_it_grows_old() {
        let (mut inquest, pace) = (Inquest::default(), Pace::of_replica(160 * MS));
        for ms in 0..5_000 {
            let now = START.after(ms * MS);
            if !inquest.ask(now, &[HERE], pace).is_empty() {
                inquest.on_word(now, HERE, Some(100 * MS));
            }
            let found = inquest.finding(now, 150 * MS, pace);
            assert!(matches!(found, Finding::Heard(_) | Finding::Awaited), "{ms} ms: {found:?}");
        }
    }

    #[test]
    fn who_has_never_heard_a_replica_may_still_find_out() {
        let says = |_| Some(None);
        assert_eq!(run_at(Pace::of_replica(0), 79 * MS, says).0, Finding::Awaited);
        let nobody = Finding::Missed { by: vec![], mute: vec![] };
        assert_eq!(run_at(Pace::of_replica(0), 80 * MS, says).0, nobody);
    }

    #[test]
    fn nobody_is_mute_while_its_answer_may_be_under_way() {
        let pace = Pace::of_satellite(160 * MS);
        assert_eq!(run_at(pace, 479 * MS, |_| None).0, Finding::Awaited);
        let mute = Finding::Missed { by: vec![], mute: vec![THERE, HERE] };
        assert_eq!(run_at(pace, 480 * MS, |_| None).0, mute);
        assert!(pace.lead_ns() >= 480 * MS);
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
        let (mut inquest, pace) = (Inquest::default(), Pace::of_satellite(0));
        inquest.ask(START, &[HERE], pace);
        inquest.on_word(START, THERE, Some(0));
        assert_eq!(inquest.finding(START, SILENCE_NS, pace), Finding::Awaited);
        inquest.on_word(START, HERE, Some(SECOND));
        assert!(inquest.ask(START, &[THERE], pace).contains(&THERE), "the view has changed");
        assert_eq!(inquest.finding(START, SILENCE_NS, pace), Finding::Awaited);
    }
}
