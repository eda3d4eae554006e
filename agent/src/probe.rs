//! Answering probes: whoever can answer is not dead.

use crate::node::Node;
use syncom_seam::{Now, Origin, Outbox};
use syncom_wire::probe::{Probe, ProbeAnswer};

/// Answers a probe of this node at once, and says whether it was one: probes of others, or of a
/// life still to come, are not ours to answer.
pub(crate) fn on_probe<O: Outbox>(
    now: Now,
    from: &Origin,
    probe: &Probe,
    node: &Node,
    out: &mut O,
) -> bool {
    let Some(identity) = node.identity.filter(|identity| identity.slot == probe.slot) else {
        return false;
    };
    let answer = ProbeAnswer {
        nonce: probe.nonce,
        slot: identity.slot,
        incarnation: identity.incarnation,
        uptime_ns: now.at.since(node.started),
        health: node.health.level(),
        reserved: [0; 7],
    };
    out.send(from.addr, &answer);
    true
}
