//! What this satellite hears of other satellites.
//!
//! Each satellite shows itself to a few others as it does to the replicas ([`Watchers`]). They draw
//! no conclusion: the leader of the station, which hears every satellite itself, asks them before it
//! calls one dead, and whoever heard it lately saves it.

use crate::transponder::Transponder;
use crate::world::World;
use alloc::collections::BTreeMap;
use syncom_group::{Entry, Watchers};
use syncom_seam::{Now, Origin, Outbox, Time, US};
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::opinion::Opinion;
use syncom_wire::{Boot, PeerId};

/// When each satellite was heard last, and in which life. Only members have an entry.
#[derive(Debug, Default)]
pub(crate) struct Fellows {
    heard: BTreeMap<PeerId, (Boot, Time)>,
}

impl Fellows {
    /// A satellite shows itself.
    pub(crate) fn on_heartbeat(&mut self, from: &Origin, world: &World) {
        if !world.members().get(from.peer).is_some_and(Entry::is_present) {
            return;
        }
        let (boot, heard) = self.heard.entry(from.peer).or_insert((from.boot, from.heard));
        if *boot < from.boot {
            (*boot, *heard) = (from.boot, from.heard);
        } else if *boot == from.boot {
            *heard = (*heard).max(from.heard);
        }
    }

    /// When this life of a satellite, or a newer one that will replace it, was last heard, if ever.
    fn heard(&self, peer: PeerId, life: Boot) -> Option<Time> {
        self.heard.get(&peer).filter(|(boot, _)| *boot >= life).map(|(_, heard)| *heard)
    }

    /// Forgets who is no member any more.
    pub(crate) fn on_view(&mut self, world: &World) {
        self.heard.retain(|peer, _| world.members().get(*peer).is_some_and(Entry::is_present));
    }
}

impl Transponder {
    /// Shows itself to the satellites that watch it.
    pub(crate) fn show_itself<O: Outbox>(&self, beat: &Heartbeat, out: &mut O) {
        if !self.is_member() {
            return;
        }
        let members = self.world.members();
        for peer in Watchers::of(self.config.peer(), members).as_slice() {
            if let Some(entry) = members.get(*peer) {
                out.send(entry.head.addr, beat);
            }
        }
    }

    /// A replica asks what is heard here of a satellite, which may be this one.
    pub(crate) fn on_question<O: Outbox>(
        &self,
        now: Now,
        from: &Origin,
        question: &Opinion,
        out: &mut O,
    ) {
        let (subject, incarnation) = (question.subject, question.incarnation);
        let life = self.world.members().get(subject).filter(|entry| {
            subject.slot().is_none() && entry.head.incarnation == incarnation && entry.is_present()
        });
        let heard = life.and_then(|entry| {
            let is_me = subject == self.config.peer() && entry.head.boot == self.config.boot;
            let heard = self.fellows.heard(subject, entry.head.boot);
            if is_me { Some(now.at) } else { heard }
        });
        out.send(
            from.addr,
            &Opinion::of_heard(subject, incarnation, heard.map(|at| now.at.since(at) / US)),
        );
    }
}
