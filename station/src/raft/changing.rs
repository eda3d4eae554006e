//! Changes of the configuration, as one replica's Raft takes part in them.

use crate::raft::conf::{Change, Conf};
use crate::raft::node::Node;
use crate::raft::validator;
use raft::ProgressState;
use raft::eraftpb::{Entry, EntryType, Message, MessageType};
use syncom_seam::Time;
use syncom_wire::Malformed;
use syncom_wire::raft::RaftHead;

/// So many signs of life that cannot be, one like the other, are no damaged message.
const BEYOND_MAX: u32 = 16;

impl Node {
    /// Who votes and who learns, as far as applied here.
    pub(crate) fn conf(&self) -> &Conf {
        &self.raw.store().conf
    }

    /// Reads off the library who has a part.
    pub(super) fn note_conf(&mut self) {
        let conf = Conf::from(&self.raw.raft.prs().conf().to_conf_state());
        self.raw.mut_store().conf = conf;
    }

    /// Whether a change could be proposed now: this leader knows all there is, and the last one is
    /// applied. The library turns what comes too early into empty entries.
    pub(crate) fn may_change(&self) -> bool {
        self.is_settled() && !self.raw.raft.has_pending_conf()
    }

    /// Proposes a change.
    pub(crate) fn propose_change(&mut self, change: Change) {
        // Whatever stands in the way, the next tick proposes it again.
        let _ = self.raw.propose_conf_change(Vec::new(), change.to_library());
    }

    /// Applies a change that is committed, and says who has a part from now on.
    ///
    /// # Errors
    /// The library's words, when the change does not fit; nothing has changed then.
    pub(crate) fn apply_change(&mut self, change: Change) -> Result<Conf, String> {
        let applied = self.raw.apply_conf_change(&change.to_library());
        applied.map_err(|error| error.to_string())?;
        self.note_conf();
        // The library lets one lead that votes no more, and answer reads unasked beside a lone voter.
        if self.is_leader() && !self.conf().votes(self.me) {
            self.step_down();
        }
        self.override_timeout();
        Ok(self.conf().clone())
    }

    /// Whether a follower has everything, or nearly, and is at it still. One that has everything after
    /// a snapshot is probed, for as long as there is nothing new to send.
    pub(crate) fn has_caught_up(&self, id: u64, behind_max: u64) -> bool {
        let last = self.raw.raft.raft_log.last_index();
        self.raw.raft.prs().get(id).is_some_and(|progress| {
            let may_lack = match progress.state {
                ProgressState::Replicate => behind_max,
                ProgressState::Probe | ProgressState::Snapshot => 0,
            };
            progress.recent_active && progress.matched + may_lack >= last
        })
    }

    /// Whether the others that vote, and those that learn and keep up, are a majority without `id`.
    pub(crate) fn can_spare(&self, id: u64) -> bool {
        let prs = self.raw.raft.prs();
        let active =
            |one: &u64| *one == self.me || prs.get(*one).is_some_and(|pr| pr.recent_active);
        let after: Vec<u64> =
            self.conf().everybody().into_iter().filter(|one| *one != id).collect();
        2 * after.iter().filter(|one| active(one)).count() > after.len()
    }

    /// This disk has the seat: the replica may vote and acknowledge like any other.
    pub(crate) const fn admit(&mut self) {
        self.admitted = true;
    }

    /// Whether this disk has the seat, as far as known.
    pub(crate) const fn is_admitted(&self) -> bool {
        self.admitted
    }

    /// Takes out of `messages` what a replica that has no seat yet must not say: that it has
    /// entries, where that may count, and that it follows, where that confirms a read. It may have
    /// forgotten a later term that it voted in, and may be refused in a moment with all it has.
    pub(super) fn vet(&self, messages: &mut Vec<Message>) {
        if self.admitted {
            return;
        }
        let learns = self.conf().learns(self.me);
        messages.retain_mut(|message| match message.get_msg_type() {
            MessageType::MsgAppendResponse => message.reject || learns,
            MessageType::MsgHeartbeatResponse => {
                message.context.clear();
                true
            }
            _ => true,
        });
    }

    /// Whether this leader's log is the first that this cluster has, as far as it knows: its
    /// founders get their seats before they acknowledge anything.
    pub(crate) fn is_founding(&self) -> bool {
        self.is_leader() && self.raw.raft.raft_log.committed == 0
    }

    /// Whether this replica lets others go first in elections.
    pub(crate) const fn set_reluctant(&mut self, reluctant: bool) {
        self.reluctant = reluctant;
    }

    /// Whether the next tick makes it stand for election.
    pub(super) fn is_about_to_stand(&self) -> bool {
        let raft = &self.raw.raft;
        raft.election_elapsed + 1 >= self.election.timeout_ticks(raft.term)
    }

    /// Whether it waits for another to stand, now that it could itself. Not for ever: it may be the
    /// only one that can.
    pub(super) const fn lets_others_go_first(&mut self) -> bool {
        self.patience = self.patience.saturating_sub(1);
        self.reluctant && self.patience > 0
    }

    /// A replica that has no seat yet must not decide who leads: it may have forgotten what it
    /// acknowledged. Among those that have nothing at all, there is nothing to forget.
    pub(super) fn abstains(&self, last_index: u64) -> bool {
        !self.admitted && last_index > 0
    }

    /// Whether a leader goes on and on believing that this replica has more than it has: told of each
    /// message that was refused, and why. One might be damaged; the same again and again, and no
    /// sound one between, is not. What breaks an earlier rule, as one of another cluster does, says
    /// nothing about this log.
    pub(crate) fn note_beyond(&mut self, head: &RaftHead, why: Malformed) -> bool {
        let raft = &self.raw.raft;
        let leads = raft.leader_id == 0 || raft.leader_id == head.from;
        if why != validator::BEYOND || !leads || head.term < raft.term {
            return false;
        }
        let sign = (head.from, head.term, head.commit);
        self.beyond = (sign, if self.beyond.0 == sign { self.beyond.1 + 1 } else { 1 });
        self.beyond.1 >= BEYOND_MAX
    }

    /// Index of the last entry.
    pub(crate) fn last_index(&self) -> u64 {
        self.raw.raft.raft_log.last_index()
    }

    /// Entries behind an index, committed or not.
    pub(crate) fn entries_after(&self, index: u64) -> impl Iterator<Item = &Entry> {
        self.raw.store().after(index).filter(|one| one.entry_type == EntryType::EntryNormal)
    }

    /// When a replica was last heard in this term.
    pub(crate) fn heard_at(&self, id: u64) -> Option<Time> {
        self.heard.get(&id).copied()
    }

    /// This leader hands over: another that has everything stands for election first, since this one
    /// is slow to from now on. False when nobody else votes: it goes on, and brings in its successor.
    pub(crate) fn step_down(&mut self) -> bool {
        let conf = self.conf();
        let others = conf.everybody().into_iter().any(|id| id != self.me && conf.votes(id));
        let raft = &mut self.raw.raft;
        if others {
            raft.become_follower(raft.term, 0);
            self.override_timeout();
        }
        others
    }
}
