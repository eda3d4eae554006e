//! An observer's words about a subject, and to whom they go.

use crate::node::{Identity, Node};
use crate::watched::Watched;
use syncom_seam::{Counter, Now, Outbox, SECOND};
use syncom_wire::limits::HOMES;
use syncom_wire::report::{EventKind, Report, ReportHead, ReportId};
use syncom_wire::{Slot, Subject};

/// How long to wait for an answer to an accusation before it is said again, in ns.
pub(crate) fn first_wait_ns(subject: Slot, now: Now, node: &Node) -> u64 {
    let home = node.homes.choice(Subject::node(subject), 0, &node.roster, now.at);
    home.map_or(SECOND, |addr| node.homes.time_out_ns(addr, 1))
}

/// How many homes a subject has.
pub(crate) fn homes(node: &Node) -> usize {
    HOMES.min(node.roster.rendezvous().len()).max(1)
}

/// What there is to say about one subject.
pub(crate) fn report(
    watched: &Watched,
    seq: u64,
    flags: u16,
    identity: Identity,
    now: Now,
    node: &Node,
) -> ReportHead {
    let heard = watched.arrival.heard();
    let ago_us = now.at.since(heard.unwrap_or(watched.since)) / 1_000;
    // Of whom no heartbeat came, nothing is missed. That it lives was heard when it answered.
    let is_heard = watched.arrival.has_begun() || flags & Report::RETRACT != 0 && heard.is_some();
    let never = if is_heard { 0 } else { Report::NEVER_HEARD };
    let in_turn = match (watched.is_in_turn, watched.has_missed_turn(node, now.at)) {
        (false, _) => 0,
        (true, false) => Report::IN_TURN,
        (true, true) => Report::IN_TURN | Report::MISSED,
    };
    ReportHead {
        id: ReportId { slot: identity.slot, incarnation: identity.incarnation, seq },
        subject: Subject::node(watched.slot),
        incarnation: watched.incarnation,
        kind: EventKind::SILENT,
        heard_ago_us: u32::try_from(ago_us).unwrap_or(u32::MAX),
        domain: identity.domain,
        flags: flags | never | in_turn,
        neighbours: watched.epoch,
        health: node.health.level(),
        severity: 0,
        reserved: 0,
        count: 1,
    }
}

/// Sends a report about one subject to both homes of the subject.
pub(crate) fn send<O: Outbox>(
    watched: &Watched,
    seq: u64,
    flags: u16,
    identity: Identity,
    now: Now,
    node: &Node,
    out: &mut O,
) {
    tell(now, report(watched, seq, flags, identity, now, node), node, out);
}

/// Sends a report of a few words to both homes of its subject.
pub(crate) fn tell<O: Outbox>(now: Now, head: ReportHead, node: &Node, out: &mut O) {
    for n in 0..homes(node) {
        if let Some(home) = node.homes.choice(head.subject, n, &node.roster, now.at) {
            out.send(home, &Report { head, subject: "", kind: "", detail: "" });
            out.count(Counter::ReportsSent, 1);
        }
    }
}
