//! Questions of people: what this satellite makes of a node.

use crate::transponder::Transponder;
use crate::uplink::suspicion::Sight;
use syncom_seam::{Counter, Now, Origin, Outbox};
use syncom_wire::control::{Ask, Reply, ReplyHead};
use syncom_wire::{Addr, Fixed as _, FrameHeader, PeerId, Slot, case::Case, frame};

impl Transponder {
    /// Shows the case against the node in slot `cursor`: nothing when there is none.
    pub(crate) fn on_judged<O: Outbox>(&self, now: Now, from: &Origin, ask: &Ask<'_>, out: &mut O) {
        out.count(Counter::ControlAsked, 1);
        let Self { suspects, world, homes, config, .. } = self;
        let sight = Sight { now, world, homes, profile: &config.profile };
        let slot = u32::try_from(ask.head.cursor).map_or(Slot::NONE, Slot);
        let mut body = [0; FrameHeader::SIZE + Case::SIZE];
        let shown = suspects.show(slot, &sight);
        let len = shown.map_or(0, |case| frame::emit(&case, &mut body).unwrap_or(0));
        let leader = world.roster().leader();
        let leader_addr = world.roster().addr(leader);
        let head = ReplyHead {
            request: ask.head.request,
            status: Reply::DONE,
            more: 0,
            leader_addr: leader_addr.unwrap_or(Addr::NONE),
            leader: leader_addr.map_or(PeerId::ANY, |_| leader),
            index: world.view().0,
            term: world.roster().term(),
            next: 0,
            retry_ms: 0,
            age_ms: 0,
        };
        out.send(from.addr, &Reply { head, body: body.get(..len).unwrap_or(&[]) });
    }
}
