//! Orders down and receipts up.

use crate::bytes::{Reader, Writer};
use crate::frame::{Emit, Kind, Parse, fixed_frame};
use crate::ids::{Incarnation, OrderId, Slot, Term};
use crate::idset::IdSet;
use crate::layout::{Fixed, Malformed, Overflow, layout};
use crate::limits::{IDSET_MAX, OUTPUT_MAX, PAYLOAD_MAX};

/// What an order asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Verb {
    /// Run a command: the payload is its arguments, each ended by a zero byte.
    Run = 1,
    /// Start a managed service: name, zero byte, and arguments when it is new.
    ServiceStart = 2,
    /// Stop a managed service: its name.
    ServiceStop = 3,
    /// Restart a managed service, started or not: its name.
    ServiceRestart = 4,
    /// Tell whether a managed service runs: its name.
    ServiceStatus = 5,
    /// Do nothing and answer: whom an order reaches, and how soon. The payload says nothing.
    Ping = 6,
}

impl Verb {
    /// The verb with this number.
    #[must_use]
    pub const fn from_wire(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Run),
            2 => Some(Self::ServiceStart),
            3 => Some(Self::ServiceStop),
            4 => Some(Self::ServiceRestart),
            5 => Some(Self::ServiceStatus),
            6 => Some(Self::Ping),
            _ => None,
        }
    }
}

layout! {
    /// What every form of an order carries.
    pub struct OrderHead: 32 {
        /// Which order.
        id: OrderId,
        /// Term of the recovery manager that issued it: nodes refuse lower ones than they saw.
        term: Term,
        /// How long it may still take, in ms.
        deadline_ms: u32,
        /// See [`Verb`].
        verb: u8,
        /// See [`OrderHead::ALL`].
        policy: u8,
        /// [`OrderHead::CANCEL`], or 0.
        flags: u16,
        /// How many receipts complete it, for quorum and first-n.
        need: u32,
        /// Zero.
        reserved: u32,
    }
}

impl OrderHead {
    /// Policy: complete when every destination has answered.
    pub const ALL: u8 = 0;
    /// Policy: complete when `need` destinations have answered.
    pub const QUORUM: u8 = 1;
    /// Policy: complete when `need` destinations have answered; the rest need not try.
    pub const FIRST: u8 = 2;

    /// Flag: the node stops what it does for this order, and does not begin it any more. Nobody
    /// answers that.
    pub const CANCEL: u16 = 1;

    fn check(&self) -> Result<(), Malformed> {
        if Verb::from_wire(self.verb).is_none() {
            return Err(Malformed("unknown verb"));
        }
        if self.policy > Self::FIRST {
            return Err(Malformed("unknown policy"));
        }
        if self.flags & !Self::CANCEL != 0 {
            return Err(Malformed("reserved bits set"));
        }
        Ok(())
    }
}

/// An order as a node gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order<'a> {
    /// What every form of an order carries.
    pub head: OrderHead,
    /// What the verb works on.
    pub payload: &'a [u8],
}

impl Emit for Order<'_> {
    const KIND: Kind = Kind::Order;
    fn size(&self) -> usize {
        OrderHead::SIZE + 4 + self.payload.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.long(self.payload)
    }
}

impl<'a> Parse<'a> for Order<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let head: OrderHead = reader.fixed()?;
        head.check()?;
        Ok(Self { head, payload: reader.long(PAYLOAD_MAX)? })
    }
}

layout! {
    /// The fixed part of a receipt.
    pub struct ReceiptHead: 40 {
        /// Which order.
        id: OrderId,
        /// Who answers.
        slot: Slot,
        /// Which life of it.
        incarnation: Incarnation,
        /// See [`Receipt::ACCEPTED`].
        state: u8,
        /// 1 when the output was cut.
        cut: u8,
        /// [`Receipt::ASKS_ACK`], or 0.
        flags: u16,
        /// Exit code, or the reason of a refusal (see [`Receipt`]).
        code: i32,
        /// Bytes of the whole output.
        output_total: u64,
        /// How long it took, in µs.
        took_us: u64,
    }
}

/// A node's answer to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt<'a> {
    /// The fixed part.
    pub head: ReceiptHead,
    /// What the command wrote, cut to its bound.
    pub output: &'a [u8],
}

impl Receipt<'_> {
    /// State: it has begun; ask again later.
    pub const ACCEPTED: u8 = 1;
    /// State: it is done.
    pub const DONE: u8 = 2;
    /// State: it will not be done; `code` says why.
    pub const REFUSED: u8 = 3;

    /// Flag: the node says it again until a [`ReceiptAck`] comes. What answers an order directly has
    /// no such flag: where it is lost, the order comes again.
    pub const ASKS_ACK: u16 = 1;

    /// Refusal: the order's term is older than one seen before.
    pub const STALE_TERM: i32 = -1;
    /// Refusal: too many orders at once.
    pub const BUSY: i32 = -2;
    /// Refusal: the payload makes no sense for the verb.
    pub const BAD_PAYLOAD: i32 = -3;
    /// Refusal: no such service.
    pub const NO_SERVICE: i32 = -4;
    /// Not a node's answer: no answer came before the deadline.
    pub const NO_ANSWER: i32 = -5;
    /// Not a node's answer: the node was dead or had left.
    pub const NODE_DEAD: i32 = -6;
    /// Refusal: the order was cancelled before it came.
    pub const CANCELLED: i32 = -7;
}

impl Emit for Receipt<'_> {
    const KIND: Kind = Kind::Receipt;
    fn size(&self) -> usize {
        ReceiptHead::SIZE + 4 + self.output.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.long(self.output)
    }
}

impl<'a> Parse<'a> for Receipt<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let head: ReceiptHead = reader.fixed()?;
        if !matches!(head.state, Self::ACCEPTED | Self::DONE | Self::REFUSED) {
            return Err(Malformed("unknown receipt state"));
        }
        if head.flags & !Self::ASKS_ACK != 0 {
            return Err(Malformed("reserved bits set"));
        }
        Ok(Self { head, output: reader.long(OUTPUT_MAX)? })
    }
}

layout! {
    /// The receipt arrived; the node need not send it again.
    pub struct ReceiptAck: 16 {
        /// Which order.
        id: OrderId,
        /// Who answered.
        slot: Slot,
        /// Which life of it.
        incarnation: Incarnation,
    }
}

fixed_frame!(ReceiptAck, ReceiptAck);

/// An operator's order on its way to the station; the station numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submit<'a> {
    /// What every form of an order carries; `id` is the client's own number, for repeats.
    pub head: OrderHead,
    /// Destinations.
    pub to: IdSet<'a>,
    /// What the verb works on.
    pub payload: &'a [u8],
}

impl Emit for Submit<'_> {
    const KIND: Kind = Kind::Submit;
    fn size(&self) -> usize {
        OrderHead::SIZE + 8 + self.to.as_bytes().len() + self.payload.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.long(self.to.as_bytes())?;
        writer.long(self.payload)
    }
}

impl<'a> Parse<'a> for Submit<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let head: OrderHead = reader.fixed()?;
        head.check()?;
        let to = IdSet::parse(reader.long(IDSET_MAX)?)?;
        Ok(Self { head, to, payload: reader.long(PAYLOAD_MAX)? })
    }
}

layout! {
    /// The fixed part of a shard.
    pub struct ShardHead: 16 {
        /// Which part of the order; a residual that is split again gets new numbers.
        shard: u32,
        /// How long the satellite may work without showing progress, in ms.
        lease_ms: u32,
        /// See [`ShardHead::FORGET`]; 0 for a shard to work on.
        cancel: u8,
        /// Zero.
        reserved: [u8; 7],
    }
}

impl ShardHead {
    /// Cancel: the satellite forgets it.
    pub const FORGET: u8 = 1;
    /// Cancel: the satellite forgets it, and tells those that have not answered to stop.
    pub const STOP: u8 = 2;
}

/// A satellite's part of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard<'a> {
    /// What every form of an order carries.
    pub order: OrderHead,
    /// The fixed part.
    pub head: ShardHead,
    /// Destinations.
    pub to: IdSet<'a>,
    /// What the verb works on.
    pub payload: &'a [u8],
}

impl Emit for Shard<'_> {
    const KIND: Kind = Kind::Shard;
    fn size(&self) -> usize {
        OrderHead::SIZE + ShardHead::SIZE + 8 + self.to.as_bytes().len() + self.payload.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.order)?;
        writer.fixed(&self.head)?;
        writer.long(self.to.as_bytes())?;
        writer.long(self.payload)
    }
}

impl<'a> Parse<'a> for Shard<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let order: OrderHead = reader.fixed()?;
        order.check()?;
        let head = reader.fixed()?;
        let to = IdSet::parse(reader.long(IDSET_MAX)?)?;
        Ok(Self { order, head, to, payload: reader.long(PAYLOAD_MAX)? })
    }
}

layout! {
    /// The fixed part of a shard's progress.
    pub struct ProgressHead: 24 {
        /// Which order.
        id: OrderId,
        /// Which part of it.
        shard: u32,
        /// Destinations that answered so far, in all reports of this shard together.
        answered: u32,
        /// 1 when nothing more will come for this shard.
        last: u8,
        /// Zero.
        reserved: [u8; 7],
    }
}

/// Results that are new since the last progress of this shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardProgress<'a> {
    /// The fixed part.
    pub head: ProgressHead,
    /// [`Outcome`] frames.
    pub outcomes: &'a [u8],
}

impl Emit for ShardProgress<'_> {
    const KIND: Kind = Kind::ShardProgress;
    fn size(&self) -> usize {
        ProgressHead::SIZE + self.outcomes.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.put(self.outcomes)
    }
}

impl<'a> Parse<'a> for ShardProgress<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self { head: reader.fixed()?, outcomes: reader.rest() })
    }
}

/// Nodes whose answers are equal: the same code, the same output, sent once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// Exit code, or a refusal of [`Receipt`].
    pub code: i32,
    /// 1 when the output was cut.
    pub cut: u8,
    /// Which nodes.
    pub nodes: IdSet<'a>,
    /// What they wrote.
    pub output: &'a [u8],
}

impl Emit for Outcome<'_> {
    const KIND: Kind = Kind::Outcome;
    fn size(&self) -> usize {
        5 + 8 + self.nodes.as_bytes().len() + self.output.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.field(self.code)?;
        writer.field(self.cut)?;
        writer.long(self.nodes.as_bytes())?;
        writer.long(self.output)
    }
}

impl<'a> Parse<'a> for Outcome<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            code: reader.field()?,
            cut: reader.field()?,
            nodes: IdSet::parse(reader.long(IDSET_MAX)?)?,
            output: reader.long(OUTPUT_MAX)?,
        })
    }
}
