//! Observers whose agents are gone while their hosts live.
//!
//! Nobody sends to a node as regularly as those whom it observes. When its agent ends, its host sends
//! their heartbeats back, one of each within an interval, and they tell its homes. That is a reason to
//! look, not a vote: what comes back may have been forged by whoever saw it go, and a firewall may
//! refuse what a living agent would take. So the homes ask the node, and, when their question comes
//! back as well, its observers, who then wait for one heartbeat instead of several. It dies by their
//! silence as everybody does, only sooner.

use crate::node::Node;
use crate::telling;
use syncom_seam::{Now, Outbox};
use syncom_wire::report::{EventKind, Report, ReportHead, ReportId};
use syncom_wire::{Incarnation, Slot, Subject};

/// Tells the homes of an observer that a heartbeat came back from it. Said once for each heartbeat, so
/// nobody has to acknowledge it.
pub(crate) fn report<O: Outbox>(
    now: Now,
    (slot, incarnation): (Slot, Incarnation),
    node: &Node,
    out: &mut O,
) {
    let Some(identity) = node.identity else { return };
    let subject = Subject::node(slot);
    // It is no claim, and needs no number of its own.
    let seq = node.numbers.newest();
    let head = ReportHead {
        id: ReportId { slot: identity.slot, incarnation: identity.incarnation, seq },
        subject,
        incarnation,
        kind: EventKind::SILENT,
        heard_ago_us: 0,
        domain: identity.domain,
        flags: Report::REFUSED | Report::NEVER_HEARD,
        neighbours: 0,
        health: node.health.level(),
        severity: 0,
        reserved: 0,
        count: 1,
    };
    telling::tell(now, head, node, out);
}
