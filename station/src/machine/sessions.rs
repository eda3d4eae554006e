//! Batches of satellites: each is applied once, in order, and answered again when asked again.

use crate::machine::command::list;
use crate::machine::encoder::Encoder;
use std::collections::{BTreeMap, VecDeque};
use syncom_wire::limits::{ACKS_MAX, SATELLITES_MAX};
use syncom_wire::uplink::{BatchAck, BatchHead, ItemResult};
use syncom_wire::{Boot, Malformed, PeerId, Reader, Role};

/// Answers kept per satellite: twice what a satellite has under way.
const ANSWERS_MAX: usize = 8;

/// The answer to one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) seq: u64,
    /// Raft index at which it was applied.
    pub(crate) index: u64,
    pub(crate) results: Vec<ItemResult>,
}

/// One life of a satellite.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    boot: Boot,
    applied: u64,
    answers: VecDeque<Answer>,
}

/// What is to be done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is the next one: apply it.
    Next,
    /// It was applied before.
    Known,
    /// Others must come first, or it belongs to an earlier life: answer with this status.
    Refused(u8),
}

/// All satellites' sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sessions {
    by_peer: BTreeMap<PeerId, Session>,
}

impl Sessions {
    /// Says whose turn it is; a new life begins with its batch 1.
    pub(crate) fn turn(&self, head: &BatchHead) -> Turn {
        let number = head.peer.number() as usize;
        if head.peer.role() != Role::Satellite || !(1..=SATELLITES_MAX).contains(&number) {
            return Turn::Refused(BatchAck::REFUSED);
        }
        let applied = match self.by_peer.get(&head.peer) {
            Some(session) if session.boot == head.boot => session.applied,
            Some(session) if session.boot > head.boot => return Turn::Refused(BatchAck::REFUSED),
            Some(_) | None => 0,
        };
        if head.seq <= applied {
            Turn::Known
        } else if head.seq == applied + 1 {
            Turn::Next
        } else {
            Turn::Refused(BatchAck::BUSY)
        }
    }

    /// Remembers the answer to the batch whose turn it was.
    pub(crate) fn note(&mut self, head: &BatchHead, index: u64, results: Vec<ItemResult>) {
        let fresh = || Session { boot: head.boot, applied: 0, answers: VecDeque::new() };
        let session = self.by_peer.entry(head.peer).or_insert_with(fresh);
        if session.boot != head.boot {
            *session = fresh();
        }
        session.applied = head.seq;
        if session.answers.len() == ANSWERS_MAX {
            session.answers.pop_front();
        }
        session.answers.push_back(Answer { seq: head.seq, index, results });
    }

    /// The answer to a batch that was applied not long ago.
    pub(crate) fn answer(&self, peer: PeerId, boot: Boot, seq: u64) -> Option<&Answer> {
        let session = self.by_peer.get(&peer).filter(|session| session.boot == boot)?;
        session.answers.iter().find(|answer| answer.seq == seq)
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.count(self.by_peer.len());
        for (peer, session) in &self.by_peer {
            out.field(*peer);
            out.field(session.boot);
            out.field(session.applied);
            out.count(session.answers.len());
            for answer in &session.answers {
                out.field(answer.seq);
                out.field(answer.index);
                out.count(answer.results.len());
                answer.results.iter().for_each(|result| out.fixed(result));
            }
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let items = list(reader, SATELLITES_MAX, |r| {
            let peer = r.field()?;
            let (boot, applied) = (r.field()?, r.field()?);
            let answers = list(r, ANSWERS_MAX, |r| {
                let (seq, index) = (r.field()?, r.field()?);
                Ok(Answer { seq, index, results: list(r, ACKS_MAX, Reader::fixed)? })
            })?;
            Ok((peer, Session { boot, applied, answers: answers.into() }))
        })?;
        Ok(Self { by_peer: items.into_iter().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn head(boot: u64, seq: u64) -> BatchHead {
        BatchHead { peer: PeerId::satellite(1), items: 0, boot: Boot(boot), seq }
    }

    #[test]
    fn batches_take_their_turns_and_old_ones_are_answered_from_memory() {
        let mut sessions = Sessions::default();
        assert_eq!(sessions.turn(&head(5, 2)), Turn::Refused(BatchAck::BUSY));
        for seq in 1..=20 {
            assert_eq!(sessions.turn(&head(5, seq)), Turn::Next);
            sessions.note(&head(5, seq), 100 + seq, Vec::new());
        }
        assert_eq!(sessions.turn(&head(5, 20)), Turn::Known);
        let answer = sessions.answer(PeerId::satellite(1), Boot(5), 13).unwrap();
        assert_eq!(answer.index, 113);
        assert!(
            sessions.answer(PeerId::satellite(1), Boot(5), 12).is_none(),
            "only eight are kept"
        );
    }

    #[test]
    fn a_new_life_begins_anew_and_an_old_one_is_refused() {
        let mut sessions = Sessions::default();
        sessions.note(&head(5, 1), 1, Vec::new());
        assert_eq!(sessions.turn(&head(6, 1)), Turn::Next);
        assert_eq!(sessions.turn(&head(4, 1)), Turn::Refused(BatchAck::REFUSED));
    }
}
