//! Who can reach a gray node and who cannot, in words.
//!
//! That is what an operator wants to know first: one rack of observers that does not hear a node is
//! a broken cable between two switches, all of them but a few is a bad port.

use crate::homes::HOME_MISSES;
use crate::uplink::suspicion::{Sight, Suspicion};
use crate::uplink::tally::Tally;
use alloc::string::String;
use core::fmt::Write as _;
use syncom_group::Entry;
use syncom_seam::{SECOND, Time};
use syncom_wire::Slot;
use syncom_wire::limits::{DETAIL_MAX, OBSERVERS_MAX};

/// An answer to a probe says that this home reaches the node for so long, in ns.
const ANSWER_NS: u64 = 5 * SECOND;

/// Names the observers that accuse, those that miss most of what the node sends, and those that hear it
/// and the home that does.
pub(crate) fn words(case: &Suspicion, tally: &Tally, sight: &Sight<'_>) -> String {
    let observers = sight.world.observers(case.slot).iter();
    let by_bit = |at: usize| tally.observers >> at & 1 == 1;
    let mut text = String::with_capacity(DETAIL_MAX);
    let accusers = observers.clone().enumerate().filter(|(at, _)| by_bit(*at));
    list(&mut text, "not heard by ", accusers.map(|(_, slot)| named(*slot, sight)));
    let former = (tally.observers >> OBSERVERS_MAX).count_ones();
    if former > 0 {
        let _ = write!(text, " and {former} former observers");
    }
    let others = observers.enumerate().filter(|(at, _)| !by_bit(*at)).map(|(_, slot)| *slot);
    let is_patchy = |slot: &Slot| {
        case.evidence.words().iter().any(|it| it.slot == *slot && case.is_patchy_to(it, sight))
    };
    let patchy = others.clone().filter(is_patchy).map(|slot| named(slot, sight));
    list(&mut text, "hardly heard by ", patchy);
    let hearers = others.filter(|slot| !is_patchy(slot) && hears(*slot, case, sight));
    let hearers = hearers.map(|slot| named(slot, sight));
    let me = sight.world.me().filter(|_| is_reached(case, sight));
    let me = me.map(|entry| String::from(&*entry.name));
    list(&mut text, "heard by ", hearers.chain(me));
    text
}

/// Whether an observer that does not accuse has heard the node when it last spoke of it.
fn hears(slot: Slot, case: &Suspicion, sight: &Sight<'_>) -> bool {
    let silence_ns = sight.silence_ns(case.slot);
    case.evidence.words().iter().any(|word| {
        let is_fresh = word.heard > Time(0) && word.last.since(word.heard) < silence_ns;
        word.slot == slot && word.is_retracted && is_fresh
    })
}

/// Whether this home hears the node, or got an answer from it.
fn is_reached(case: &Suspicion, sight: &Sight<'_>) -> bool {
    let now = sight.now.at;
    let answered = case.inquiry.answered();
    (answered > Time(0) && now.since(answered) < ANSWER_NS)
        || sight.homes.is_on_schedule(case.slot, case.incarnation, HOME_MISSES, now)
}

fn named(slot: Slot, sight: &Sight<'_>) -> String {
    let name = |entry: &Entry| match &*entry.domain {
        "" => String::from(&*entry.name),
        domain => alloc::format!("{} ({domain})", entry.name),
    };
    sight.world.members().agent(slot).map(name).unwrap_or_default()
}

/// Appends names behind a heading, as many as there is room for; nothing when there are none.
fn list(text: &mut String, heading: &str, names: impl Iterator<Item = String>) {
    let apart = if text.is_empty() { "" } else { "; " };
    let mut before = [apart, heading];
    for name in names {
        if text.len() + apart.len() + heading.len() + name.len() > DETAIL_MAX - 64 {
            text.push_str(" and others");
            return;
        }
        before.iter().for_each(|part| text.push_str(part));
        text.push_str(&name);
        before = [", ", ""];
    }
}
