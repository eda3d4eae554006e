//! What a Raft message must be before it is stepped.
//!
//! The library trusts its peers: one wrong number in a message makes it panic. Each rule here
//! closes one of those ways (STATION.md, section 2, lists what was found by trying). A message that
//! breaks a rule costs one counter.

use crate::raft::ReadContext;
use crate::raft::codec::{self, CHANGE, message_type};
use crate::raft::conf::{Change, Conf};
use raft::eraftpb::MessageType;
use syncom_wire::Malformed;
use syncom_wire::raft::{RaftHead, RaftMessage};

/// Terms and indexes stay below this: nobody gets there by counting, and one step beyond
/// `u64::MAX` is a panic.
const NUMBER_MAX: u64 = 1 << 48;

/// Terms by which a message may be ahead: more elections than anybody sleeps through. So no message
/// alone, however wrong, spends the terms that there are.
const TERM_LEAP_MAX: u64 = 1 << 32;

/// Rounds of reads that a leader holds open for others: many times what honest ones ask at once.
const READS_PENDING_MAX: usize = 256;

/// What the library writes into the request for votes of a replica that its leader asked to stand:
/// it is granted although the leader was heard just now (Raft thesis, section 4.2.3).
const HEIR: &[u8] = b"CampaignTransfer";

/// What a leader shows that knows of more than this replica has: its tail is lost, if it goes on so.
pub(crate) const BEYOND: Malformed = Malformed("commit beyond this replica's log");

/// What the receiver is, and where its log stands.
#[derive(Clone, Debug)]
pub(crate) struct Guard<'a> {
    pub(crate) me: u64,
    /// Who sealed the message.
    pub(crate) from: u64,
    pub(crate) conf: &'a Conf,
    pub(crate) generation: u64,
    pub(crate) term: u64,
    pub(crate) leads: bool,
    /// Who leads in this term, as far as known; 0 for nobody.
    pub(crate) leader: u64,
    pub(crate) last_index: u64,
    pub(crate) committed: u64,
    /// Rounds of reads that wait for followers.
    pub(crate) reads_pending: usize,
}

/// Checks a message; `term_of` tells the term of an entry of the receiver's log.
///
/// # Errors
/// [`Malformed`] with the first broken rule.
pub(crate) fn check(
    message: &RaftMessage<'_>,
    guard: &Guard<'_>,
    term_of: impl Fn(u64) -> Option<u64>,
) -> Result<MessageType, Malformed> {
    let head = &message.head;
    let kind = message_type(head.kind).ok_or(Malformed("no type for a peer to send"))?;
    check_address(head, kind, guard)?;
    check_numbers(head, kind)?;
    if head.term > guard.term.saturating_add(TERM_LEAP_MAX) {
        return Err(Malformed("term far ahead of this replica's"));
    }
    let shows_life = matches!(kind, MessageType::MsgHeartbeat | MessageType::MsgHeartbeatResponse);
    // The heir of a leader says that it is one.
    let inherits = kind == MessageType::MsgRequestVote && message.context == HEIR;
    if !(message.context.is_empty() || shows_life || inherits) {
        return Err(Malformed("context where there is none"));
    }
    let reads = matches!(kind, MessageType::MsgReadIndex | MessageType::MsgReadIndexResp);
    let carries = reads || matches!(kind, MessageType::MsgAppend | MessageType::MsgSnapshot);
    if !carries && head.entries != 0 {
        return Err(Malformed("entries where there are none"));
    }
    match kind {
        MessageType::MsgAppend => check_append(message, guard, term_of)?,
        MessageType::MsgHeartbeat if head.commit > guard.last_index => {
            return Err(BEYOND);
        }
        MessageType::MsgHeartbeat | MessageType::MsgHeartbeatResponse => {
            check_context(message.context)?;
        }
        MessageType::MsgReadIndex => check_read(message, guard)?,
        MessageType::MsgReadIndexResp => check_read_answer(message, guard)?,
        MessageType::MsgAppendResponse => check_append_response(head, guard)?,
        MessageType::MsgSnapshot => check_snapshot(message, guard)?,
        MessageType::MsgTimeoutNow if (head.from, head.term) != (guard.leader, guard.term) => {
            return Err(Malformed("asked to lead by one who does not"));
        }
        _ => {}
    }
    Ok(kind)
}

fn check_address(head: &RaftHead, kind: MessageType, guard: &Guard<'_>) -> Result<(), Malformed> {
    if head.generation != guard.generation {
        return Err(Malformed("other replicas"));
    }
    if head.to != guard.me || head.from != guard.from || head.from == guard.me {
        return Err(Malformed("not from its sender or not to this replica"));
    }
    // One that leads, or wants to, may have come while this replica was away; only the others must
    // be known here. Its seal says that it is a replica.
    let leads = matches!(
        kind,
        MessageType::MsgAppend
            | MessageType::MsgHeartbeat
            | MessageType::MsgSnapshot
            | MessageType::MsgRequestVote
            | MessageType::MsgRequestPreVote
            | MessageType::MsgReadIndexResp
    );
    if head.from == 0 || !leads && !guard.conf.knows(head.from) {
        return Err(Malformed("not from a replica"));
    }
    Ok(())
}

fn check_numbers(head: &RaftHead, kind: MessageType) -> Result<(), Malformed> {
    // The library gives a read that it passes on no term.
    let is_read = kind == MessageType::MsgReadIndex;
    if (head.term == 0) != is_read || head.request_snapshot != 0 || head.reject > 1 {
        return Err(Malformed("term 0, or fields that nobody sets"));
    }
    let numbers =
        [head.term, head.log_term, head.index, head.commit, head.commit_term, head.reject_hint];
    if numbers.iter().any(|number| *number >= NUMBER_MAX) {
        return Err(Malformed("number that nobody gets to by counting"));
    }
    if head.log_term > head.term || head.commit_term > head.term {
        return Err(Malformed("term of the log beyond the message's"));
    }
    Ok(())
}

fn check_append(
    message: &RaftMessage<'_>,
    guard: &Guard<'_>,
    term_of: impl Fn(u64) -> Option<u64>,
) -> Result<(), Malformed> {
    let head = &message.head;
    if (head.index == 0) != (head.log_term == 0) {
        return Err(Malformed("index and term of the entry before do not fit"));
    }
    if head.reject != 0 {
        return Err(Malformed("a rejection without a question"));
    }
    let overwrites = |index: u64, term: u64| {
        index <= guard.committed && term_of(index).is_some_and(|mine| mine != term)
    };
    if head.index != 0 && head.term >= guard.term && overwrites(head.index, head.log_term) {
        return Err(Malformed("contradicts what is committed"));
    }
    let newcomer = guard.conf.voters.is_empty();
    if newcomer && head.index == 0 && head.entries != 0 {
        return Err(Malformed("entries for one who has to begin with a snapshot"));
    }
    let mut last = (head.index, head.log_term);
    for (entry, data) in message.iter() {
        match entry.kind {
            0 => {}
            CHANGE => drop(Change::decode(data)?),
            _ => return Err(Malformed("unknown kind of entry")),
        }
        if entry.index != last.0 + 1 || entry.term < last.1 || entry.term > head.term {
            return Err(Malformed("entries out of order"));
        }
        if entry.term == 0 || overwrites(entry.index, entry.term) {
            return Err(Malformed("contradicts what is committed"));
        }
        last = (entry.index, entry.term);
    }
    Ok(())
}

/// The context that a leader's heartbeat carries is some replica's, perhaps of one that is not known
/// here yet, and comes back as it was.
fn check_context(context: &[u8]) -> Result<(), Malformed> {
    if context.is_empty() || ReadContext::decode(context)?.node != 0 {
        return Ok(());
    }
    Err(Malformed("read of no replica"))
}

/// Only a leader is asked, by a replica for itself: a read that a follower passed on would be
/// answered to one who did not ask.
fn check_read(message: &RaftMessage<'_>, guard: &Guard<'_>) -> Result<(), Malformed> {
    if !guard.leads || guard.reads_pending >= READS_PENDING_MAX {
        return Err(Malformed("read of one who does not lead, or too many"));
    }
    if read_context(message)?.node != guard.from {
        return Err(Malformed("read for another replica"));
    }
    Ok(())
}

fn check_read_answer(message: &RaftMessage<'_>, guard: &Guard<'_>) -> Result<(), Malformed> {
    if read_context(message)?.node == guard.me {
        return Ok(());
    }
    Err(Malformed("answer to a read of another replica"))
}

/// The name of the round that a read, or its answer, carries in its one entry.
fn read_context(message: &RaftMessage<'_>) -> Result<ReadContext, Malformed> {
    let mut entries = message.iter();
    let (Some((entry, data)), None) = (entries.next(), entries.next()) else {
        return Err(Malformed("read without exactly one context"));
    };
    if (entry.index, entry.term, entry.kind) != (0, 0, 0) {
        return Err(Malformed("entry of the log in a read"));
    }
    ReadContext::decode(data)
}

/// A follower cannot have more than the leader of its term ever had.
fn check_append_response(head: &RaftHead, guard: &Guard<'_>) -> Result<(), Malformed> {
    let mine = guard.leads && head.term == guard.term;
    if mine && (head.index > guard.last_index || head.reject_hint > guard.last_index) {
        return Err(Malformed("acknowledges what was never sent"));
    }
    Ok(())
}

fn check_snapshot(message: &RaftMessage<'_>, guard: &Guard<'_>) -> Result<(), Malformed> {
    let manifest = codec::manifest(message)?;
    if manifest.term == 0 || manifest.term > message.head.term || manifest.index >= NUMBER_MAX {
        return Err(Malformed("snapshot of a term or index that cannot be"));
    }
    let conf = Conf::new(manifest.voters.clone(), manifest.learners);
    conf.check()?;
    if conf.voters != manifest.voters || !conf.knows(guard.me) {
        return Err(Malformed("snapshot of other replicas"));
    }
    Ok(())
}
