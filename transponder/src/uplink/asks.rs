//! Asking the observers that do not accuse.
//!
//! When some observers miss a node and others say nothing, the quiet ones hear it, or cannot speak.
//! A home that is about to judge asks them, with every probe of the accused. Whoever hears it says
//! when, which vetoes when it is later than all who accuse; whoever answers nothing, three times, is
//! out of reach as the accused is, and counts like one that is accused itself. So no home needs to
//! know what the other homes think of the observers.

use crate::uplink::evidence::Evidence;
use syncom_seam::Time;
use syncom_wire::Slot;
use syncom_wire::limits::OBSERVERS_MAX;

/// Questions without an answer from which on an observer counts as mute: those of one round.
const MUTE: u32 = 3;

/// An observer that was asked.
#[derive(Clone, Copy, Debug)]
struct Ask {
    slot: Slot,
    /// How often since it last answered.
    count: u32,
    /// When first of these.
    since: Time,
}

/// All observers that were asked about one node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asks {
    asked: [Ask; OBSERVERS_MAX],
    /// The place that is used next when there is none left.
    next: usize,
}

impl Default for Asks {
    fn default() -> Self {
        let nobody = Ask { slot: Slot::NONE, count: 0, since: Time(0) };
        Self { asked: [nobody; OBSERVERS_MAX], next: 0 }
    }
}

impl Asks {
    /// Notes that an observer is asked now.
    pub(crate) fn note(&mut self, slot: Slot, evidence: &Evidence, now: Time) {
        let place = self.asked.iter().position(|ask| ask.slot == slot).unwrap_or_else(|| {
            self.next = (self.next + 1) % OBSERVERS_MAX;
            self.asked[self.next] = Ask { slot, count: 0, since: now };
            self.next
        });
        let ask = &mut self.asked[place];
        if ask.count == 0 || has_answered(ask, evidence) {
            (ask.count, ask.since) = (0, now);
        }
        ask.count = ask.count.saturating_add(1);
    }

    /// Whether an observer was asked often enough, `for_ns` ago or longer, and has not said a word
    /// since.
    pub(crate) fn is_mute(&self, slot: Slot, evidence: &Evidence, now: Time, for_ns: u64) -> bool {
        let ask = self.asked.iter().find(|ask| ask.slot == slot);
        ask.is_some_and(|ask| {
            ask.count >= MUTE && now.since(ask.since) >= for_ns && !has_answered(ask, evidence)
        })
    }
}

fn has_answered(ask: &Ask, evidence: &Evidence) -> bool {
    evidence.words().iter().any(|word| word.slot == ask.slot && word.last >= ask.since)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uplink::evidence::Word;

    const A: Slot = Slot(7);

    #[test]
    fn whoever_answers_nothing_three_times_is_mute_until_it_speaks() {
        let mut asks = Asks::default();
        let mut evidence = Evidence::new();
        for (at, mute) in [(10, false), (11, false), (12, true)] {
            asks.note(A, &evidence, Time(at));
            assert_eq!(asks.is_mute(A, &evidence, Time(16), 0), mute, "asked at {at}");
        }
        evidence.absorb(&Word { slot: A, last: Time(13), ..Word::NOTHING });
        assert!(!asks.is_mute(A, &evidence, Time(16), 0), "an answer, however late");
        asks.note(A, &evidence, Time(14));
        asks.note(A, &evidence, Time(15));
        assert!(!asks.is_mute(A, &evidence, Time(16), 0), "counted anew");
        asks.note(A, &evidence, Time(16));
        assert!(asks.is_mute(A, &evidence, Time(16), 0));
        assert!(!asks.is_mute(Slot(8), &evidence, Time(16), 0), "nobody has asked it");
    }

    #[test]
    fn more_observers_than_there_is_room_for_push_the_oldest_out() {
        let mut asks = Asks::default();
        let evidence = Evidence::new();
        for slot in 0..9 {
            (0..3).for_each(|at| asks.note(Slot(slot), &evidence, Time(at)));
        }
        assert!((1..9).all(|slot| asks.is_mute(Slot(slot), &evidence, Time(3), 0)));
        assert!(!asks.is_mute(Slot(0), &evidence, Time(3), 0));
    }
}
