//! One order of events: whatever two replicas announce under one number is the same event.

use crate::outbox::SeenEvent;
use std::collections::BTreeMap;

pub(super) fn check(
    seen: &BTreeMap<u64, SeenEvent>,
    replica: &str,
    event: &SeenEvent,
) -> Option<String> {
    let known = seen.get(&event.seq)?;
    (known != event)
        .then(|| format!("{replica} announced {event:?} where another announced {known:?}"))
}
