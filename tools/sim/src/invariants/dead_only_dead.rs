//! DEAD only for the dead: a deadPeer event names a node that was down, stopped, or cut off when
//! its heartbeats were missed. Loss, delay, duplication and reordering alone never kill.

use crate::invariants::Watch;
use crate::member::Member;
use crate::outbox::SeenEvent;
use syncom_seam::Time;

pub(super) fn check(
    watch: &Watch,
    now: Time,
    (replica, event): (usize, &SeenEvent),
    subject: Option<&Member>,
    members: &[Member],
    just_for_ns: u64,
) -> Option<String> {
    if event.kind != "deadPeer" {
        return None;
    }
    let Some(member) = subject else {
        return Some(format!("deadPeer for {:?}, which does not exist", event.subject));
    };
    let troubled = member.troubled_at.is_some_and(|at| watch.able_ns(at, now) < just_for_ns);
    let stopped = member.paused.as_ref().is_some_and(|missed| !missed.is_short);
    let down = !member.is_up() || stopped;
    let just = down || troubled || is_of_earlier_life(replica, event, member, members);
    (!just).then(|| format!("{} was declared dead while it was well", member.name))
}

/// Whether the event names a life that has ended: while the station has no majority, a node may die
/// and come back before anybody can say that it died.
fn is_of_earlier_life(
    replica: usize,
    event: &SeenEvent,
    member: &Member,
    members: &[Member],
) -> bool {
    let station = members.get(replica).and_then(Member::station);
    let entry = station.and_then(|station| station.members().named(&event.subject));
    entry.is_some_and(|entry| {
        entry.head.incarnation.0 == event.incarnation && entry.head.boot < member.boot
    })
}
