//! DEAD only for the dead: a deadPeer event names a node that was down, stopped, or cut off when
//! its heartbeats were missed. Loss, delay, duplication and reordering alone never kill.

use crate::member::Member;
use crate::outbox::SeenEvent;
use syncom_seam::{SECOND, Time};

/// How long after a trouble a death may be committed: detection, an election in between, and a
/// batch on its way.
const JUST_FOR_NS: u64 = 8 * SECOND;

pub(super) fn check(now: Time, event: &SeenEvent, members: &[Member]) -> Option<String> {
    if event.kind != "deadPeer" {
        return None;
    }
    let Some(member) = members.iter().find(|member| member.name == event.subject) else {
        return Some(format!("deadPeer for {:?}, which does not exist", event.subject));
    };
    let troubled = member.troubled_at.is_some_and(|at| now.since(at) < JUST_FOR_NS);
    let down = !member.is_up() || member.paused.is_some();
    (!down && !troubled).then(|| format!("{} was declared dead while it was well", member.name))
}
