//! Questions of clients and their answers. An answer has no memory at the answerer: what does not
//! fit one datagram is asked for again from a cursor.

use crate::bytes::{List, Reader, Writer};
use crate::event::SlotItem;
use crate::frame::{Emit, Frames, Kind, Parse, fixed_frame};
use crate::ids::{Addr, Incarnation, OrderId, PeerId, Slot, Term, View};
use crate::layout::{Fixed, Malformed, Overflow, layout};
use crate::limits::{DATAGRAM_MAX, DETAIL_MAX, OBSERVERS_MAX, REPLICAS_MAX, SATELLITES_MAX};

/// What a client wants to know or have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Verb {
    /// The state of the cluster: one Status frame.
    Status = 1,
    /// Members from slot `cursor` on: Member frames, each followed by a NodeDetail.
    Nodes = 2,
    /// Events from sequence number `cursor` on: Event frames.
    Events = 3,
    /// All about the event `cursor`, or, with an argument, about the newest event of the node of
    /// that name: Event, Evidence, Decision frames.
    Explain = 4,
    /// Commit the report in the argument: a ReportAck frame when it is committed. Agents only.
    Report = 5,
    /// Carry out the Submit in the argument: an OrderState frame.
    Submit = 6,
    /// How the order `cursor` goes: an OrderState frame, and Outcome frames when it is done.
    OrderState = 7,
    /// Decisions from sequence number `cursor` on: Decision frames.
    Decisions = 8,
    /// The resource graph: Line frames from line `cursor` on.
    Graph = 9,
    /// The policy that holds: a Policy frame.
    Policy = 10,
    /// Install the Policy in the argument: a Policy frame when it holds.
    SetPolicy = 11,
    /// Carry out the Drain in the argument: a Line frame when it is done.
    Drain = 12,
    /// Replace a replica as the Replace in the argument says: a Replace frame with how far it is.
    /// The same order again tells how far it is by then.
    Replace = 13,
    /// What the agent makes of those it watches: a Watch frame for each. Agents only.
    Watched = 14,
    /// What the satellite makes of the node in slot `cursor`: a Case frame when somebody accuses it.
    /// Satellites only.
    Judged = 15,
    /// Stop the order `cursor`: an OrderState frame when it has ended.
    Cancel = 16,
}

impl Verb {
    /// The verb with this number.
    #[must_use]
    pub const fn from_wire(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::Status),
            2 => Some(Self::Nodes),
            3 => Some(Self::Events),
            4 => Some(Self::Explain),
            5 => Some(Self::Report),
            6 => Some(Self::Submit),
            7 => Some(Self::OrderState),
            8 => Some(Self::Decisions),
            9 => Some(Self::Graph),
            10 => Some(Self::Policy),
            11 => Some(Self::SetPolicy),
            12 => Some(Self::Drain),
            13 => Some(Self::Replace),
            14 => Some(Self::Watched),
            15 => Some(Self::Judged),
            16 => Some(Self::Cancel),
            _ => None,
        }
    }
}

layout! {
    /// The fixed part of a question.
    pub struct AskHead: 24 {
        /// Chosen by the client, returned in the answer; a repeated question keeps it.
        request: u64,
        /// See [`Verb`].
        verb: u16,
        /// How fresh the answer must be: see [`Ask::CURRENT`].
        freshness: u8,
        /// Zero.
        reserved: [u8; 5],
        /// Where to go on; its meaning is the verb's.
        cursor: u64,
    }
}

/// A client's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask<'a> {
    /// The fixed part.
    pub head: AskHead,
    /// Its meaning is the verb's: a frame, or a name.
    pub argument: &'a [u8],
}

impl Ask<'_> {
    /// Freshness: whatever the replica at hand has applied. The answer says its index and age.
    pub const STALE: u8 = 0;
    /// Freshness: as [`Self::CURRENT`], and only the leader may answer, which alone knows what is
    /// not in the log: replicas and satellites heard, orders under way. Others say who leads.
    pub const LEADER: u8 = 1;
    /// Freshness: everything that was acknowledged to anybody before the question was asked. Any
    /// replica answers, after it has asked the leader up to where it must read.
    pub const CURRENT: u8 = 2;

    /// The verb, if this version knows it.
    #[must_use]
    pub const fn verb(&self) -> Option<Verb> {
        Verb::from_wire(self.head.verb)
    }
}

impl Emit for Ask<'_> {
    const KIND: Kind = Kind::Ask;
    fn size(&self) -> usize {
        AskHead::SIZE + self.argument.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.put(self.argument)
    }
}

impl<'a> Parse<'a> for Ask<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let head: AskHead = reader.fixed()?;
        if head.freshness > Self::CURRENT {
            return Err(Malformed("unknown freshness"));
        }
        Ok(Self { head, argument: reader.rest() })
    }
}

layout! {
    /// The fixed part of an answer.
    pub struct ReplyHead: 64 {
        /// The question's number.
        request: u64,
        /// See [`Reply::DONE`].
        status: u8,
        /// 1 when there is more from `next` on.
        more: u8,
        /// Where the leader listens; none when unknown.
        leader_addr: Addr,
        /// The leading replica, [`PeerId::ANY`] when unknown.
        leader: PeerId,
        /// Raft index of the state that this shows.
        index: u64,
        /// The answerer's term.
        term: Term,
        /// Cursor of the next question.
        next: u64,
        /// How long to wait before asking again, in ms, when busy or not done yet.
        retry_ms: u32,
        /// How long ago the answerer last heard from its leader, or, leading, from a majority, in
        /// ms: a stale answer shows nothing that was committed later than that.
        age_ms: u32,
    }
}

/// The answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The fixed part.
    pub head: ReplyHead,
    /// Frames, as the verb says; a Line frame with the reason when the status is not done.
    pub body: &'a [u8],
}

impl<'a> Reply<'a> {
    /// Status: here it is.
    pub const DONE: u8 = 0;
    /// Status: ask the leader.
    pub const NOT_LEADER: u8 = 1;
    /// Status: no room or no quorum now; ask again after `retry_ms`.
    pub const BUSY: u8 = 2;
    /// Status: understood and refused; the reason is in the body.
    pub const REFUSED: u8 = 3;
    /// Status: taken, not finished; ask again after `retry_ms`.
    pub const PENDING: u8 = 4;
    /// Status: there is no such thing.
    pub const NOT_FOUND: u8 = 5;

    /// Bytes of the largest body of frames: the largest outcome fits, headers and a set included.
    pub const BODY_MAX: usize = DATAGRAM_MAX - 256;

    /// The frames of the body.
    #[must_use]
    pub const fn iter(&self) -> Frames<'a> {
        Frames::new(self.body)
    }
}

impl Emit for Reply<'_> {
    const KIND: Kind = Kind::Reply;
    fn size(&self) -> usize {
        ReplyHead::SIZE + self.body.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.put(self.body)
    }
}

impl<'a> Parse<'a> for Reply<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let head: ReplyHead = reader.fixed()?;
        if head.status > Self::NOT_FOUND {
            return Err(Malformed("unknown status"));
        }
        Ok(Self { head, body: reader.rest() })
    }
}

layout! {
    /// The fixed part of the cluster's state.
    pub struct StatusHead: 80 {
        /// Newest view.
        view: View,
        /// Term.
        term: Term,
        /// The leading replica, [`PeerId::ANY`] when there is none.
        leader: PeerId,
        /// The replica that holds the recovery manager's lease, [`PeerId::ANY`] when none does.
        manager: PeerId,
        /// Nodes alive.
        alive: u32,
        /// Nodes gray.
        gray: u32,
        /// Nodes dead.
        dead: u32,
        /// Nodes that left.
        left: u32,
        /// Reports that satellites took in the last second.
        reports_per_s: u32,
        /// Events waiting for the recovery manager.
        queue_len: u32,
        /// Events committed since the cluster began.
        events: u64,
        /// Orders committed and not finished.
        orders_open: u32,
        /// 1 when datagrams are sealed.
        sealed: u8,
        /// Zero.
        reserved: [u8; 3],
        /// Deaths that were taken back because the node was heard in the same incarnation.
        false_deaths: u64,
        /// Wall clock of the answerer, in ns.
        wall_ns: u64,
    }
}

layout! {
    /// One replica in the cluster's state.
    pub struct ReplicaEntry: 32 {
        /// Which replica.
        peer: PeerId,
        /// 1 leads, 2 follows, 3 is not heard from.
        state: u8,
        /// Its part: 0 votes, 1 learns.
        part: u8,
        /// Where it listens.
        addr: Addr,
        /// Last index it has, as far as the answerer knows.
        applied: u64,
    }
}

layout! {
    /// One satellite in the cluster's state.
    pub struct SatelliteEntry: 32 {
        /// Which satellite.
        peer: PeerId,
        /// Process id.
        pid: u32,
        /// Nodes whose first home it is.
        nodes: u32,
        /// See [`crate::member::MemberState`].
        state: u8,
        /// Zero.
        reserved: u8,
        /// Where it listens.
        addr: Addr,
    }
}

/// The state of the cluster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status<'a> {
    /// The fixed part.
    pub head: StatusHead,
    /// Replicas by number.
    pub replicas: List<'a, ReplicaEntry>,
    /// Satellites by number.
    pub satellites: List<'a, SatelliteEntry>,
}

impl Emit for Status<'_> {
    const KIND: Kind = Kind::Status;
    fn size(&self) -> usize {
        StatusHead::SIZE
            + 4
            + self.replicas.len() * ReplicaEntry::SIZE
            + self.satellites.len() * SatelliteEntry::SIZE
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.list(self.replicas)?;
        writer.list(self.satellites)
    }
}

impl<'a> Parse<'a> for Status<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            head: reader.fixed()?,
            replicas: reader.list(REPLICAS_MAX)?,
            satellites: reader.list(SATELLITES_MAX)?,
        })
    }
}

layout! {
    /// How an order goes.
    pub struct OrderState: 56 {
        /// Which order.
        id: OrderId,
        /// Destinations.
        destinations: u32,
        /// Destinations that did it, whatever the exit code.
        done: u32,
        /// Destinations that refused it or were dead.
        failed: u32,
        /// Destinations that have not answered.
        missing: u32,
        /// 1 waits, 2 under way, 3 complete, 4 expired, 5 cancelled.
        state: u8,
        /// Zero.
        reserved: [u8; 7],
        /// When it was committed, wall clock of the leader, in ns.
        since_ns: u64,
        /// From the commit to the first answer, in µs.
        first_us: u64,
        /// From the commit to the last answer so far, in µs.
        last_us: u64,
    }
}

impl OrderState {
    /// State: committed, not begun.
    pub const WAITING: u8 = 1;
    /// State: under way.
    pub const UNDER_WAY: u8 = 2;
    /// State: complete by its policy.
    pub const COMPLETE: u8 = 3;
    /// State: the deadline passed first.
    pub const EXPIRED: u8 = 4;
    /// State: an operator stopped it.
    pub const CANCELLED: u8 = 5;

    const fn check(&self) -> Result<(), Malformed> {
        if self.state < Self::WAITING || self.state > Self::CANCELLED {
            return Err(Malformed("unknown state of an order"));
        }
        Ok(())
    }
}
fixed_frame!(OrderState, OrderState, OrderState::check);

layout! {
    /// The fixed part of a node's soft facts.
    pub struct NodeDetailHead: 32 {
        /// The node.
        slot: Slot,
        /// Its incarnation.
        incarnation: Incarnation,
        /// Smoothed round trip to its home, in µs; 0 when unknown.
        rtt_us: u32,
        /// Its interval, in µs; 0 when unknown.
        interval_us: u32,
        /// Managed services up.
        services_up: u16,
        /// Managed services down.
        services_down: u16,
        /// Its first home, [`PeerId::ANY`] when there is none.
        home: PeerId,
        /// Why it gets no new work, if it gets none: see [`NodeDetailHead::DRAINED`].
        drained: u8,
        /// Zero.
        reserved: [u8; 7],
    }
}

impl NodeDetailHead {
    /// Bit: an operator or a rule drained it.
    pub const DRAINED: u8 = 1;
    /// Bit: it came back from the dead too often lately.
    pub const DAMPED: u8 = 2;
}

/// What is known of a node beyond what is replicated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NodeDetail<'a> {
    /// The fixed part.
    pub head: NodeDetailHead,
    /// Who watches it.
    pub observers: List<'a, SlotItem>,
}

impl Emit for NodeDetail<'_> {
    const KIND: Kind = Kind::NodeDetail;
    fn size(&self) -> usize {
        NodeDetailHead::SIZE + 2 + self.observers.len() * SlotItem::SIZE
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.list(self.observers)
    }
}

impl<'a> Parse<'a> for NodeDetail<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self { head: reader.fixed()?, observers: reader.list(OBSERVERS_MAX)? })
    }
}

/// A line of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The text, without its end of line.
    pub text: &'a str,
}

impl Emit for Line<'_> {
    const KIND: Kind = Kind::Line;
    fn size(&self) -> usize {
        2 + self.text.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.long_text(self.text)
    }
}

impl<'a> Parse<'a> for Line<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self { text: reader.long_text(DETAIL_MAX)? })
    }
}
