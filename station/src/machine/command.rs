//! Commands: what an entry of the log asks the state machine to do.
//!
//! An entry is a version byte, the leader's wall time, and commands one behind the other, each
//! behind its tag and length. An entry without bytes is the leader's first of its term.

use crate::machine::encoder::Encoder;
use crate::machine::recovery::Changes;
use syncom_wire::idset::IdSet;
use syncom_wire::limits::{DETAIL_MAX, IDSET_MAX, MESSAGE_MAX, NAME_MAX, PAYLOAD_MAX, POLICY_MAX};
use syncom_wire::replica::Replace;
use syncom_wire::uplink::Batch;
use syncom_wire::{Boot, Malformed, OrderId, Parse, PeerId, Reader, Term};

/// Version of the entries that this program writes and reads.
const VERSION: u8 = 3;
/// The oldest that is read: its entries say the same here as they did when they were written.
const VERSION_MIN: u8 = 2;
/// Items of one list in a command.
const LIST_MAX: usize = 4_096;

/// A destination set, a verb and what it works on: an order before it has a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewOrder {
    pub(crate) id: OrderId,
    pub(crate) verb: u8,
    pub(crate) policy: u8,
    pub(crate) need: u32,
    pub(crate) deadline_ms: u32,
    /// The event that caused it; 0 for an operator's.
    pub(crate) event: u64,
    /// Image of the destinations.
    pub(crate) to: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

/// What the recovery manager concluded about one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewDecision {
    pub(crate) event: u64,
    pub(crate) order: OrderId,
    pub(crate) rule: String,
    pub(crate) action: String,
}

/// One step of the recovery manager: all of it happens, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) term: Term,
    /// Number of the last decision, and the policy, that it was thought of with: a step that was
    /// overtaken is thought of anew.
    pub(crate) after: u64,
    pub(crate) policy: u64,
    /// Whether a storm held things back then: one that does so since overtakes it, too.
    pub(crate) is_braked: bool,
    /// Events that are dealt with, and how often they had happened when that was decided.
    pub(crate) settle: Vec<(u64, u32)>,
    pub(crate) decisions: Vec<NewDecision>,
    pub(crate) orders: Vec<NewOrder>,
    pub(crate) changes: Changes,
}

impl Step {
    /// Whether nothing would happen.
    pub(crate) fn is_empty(&self) -> bool {
        self.settle.is_empty() && self.decisions.is_empty() && self.changes.cases.is_empty()
    }
}

/// How an order ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finish {
    pub(crate) id: OrderId,
    /// See [`syncom_wire::control::OrderState`].
    pub(crate) state: u8,
    pub(crate) first_us: u64,
    pub(crate) last_us: u64,
    /// Outcome frames.
    pub(crate) outcomes: Vec<u8>,
}

/// What an entry asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command<'a> {
    /// Take a satellite's batch.
    Batch(Batch<'a>),
    /// The recovery manager of this term begins on that replica.
    Claim { term: Term, node: PeerId },
    /// A step of the recovery manager.
    Step(Step),
    /// An operator's order.
    Submit(NewOrder),
    /// An order has ended.
    Finish(Finish),
    /// A satellite, in that life of it, or a replica, whose life is 0, is missed by so many: what
    /// they say. A replica that nobody misses was never heard.
    Lost { peer: PeerId, boot: Boot, reporters: u16, detail: String },
    /// A replica that was lost speaks again.
    Back { peer: PeerId },
    /// An operator's policy: the body of its frame, and the question it came with.
    Policy { asked_by: OrderId, image: Vec<u8> },
    /// An operator drains nodes, or lets them work again: image of the nodes, and why.
    Drain { asked_by: OrderId, drained: bool, nodes: Vec<u8>, reason: String },
    /// An operator replaces a replica, or calls that off.
    Replace { asked_by: OrderId, order: Replace },
    /// A replica sits down with its disk.
    Seat { number: u16, disk: u64 },
}

/// Begins an entry at the leader's wall time.
pub(crate) fn begin(wall_ns: u64) -> Encoder {
    let mut encoder = Encoder::default();
    encoder.field(VERSION);
    encoder.field(wall_ns);
    encoder
}

impl Command<'_> {
    const fn tag(&self) -> u8 {
        match self {
            Self::Batch(_) => 1,
            Self::Claim { .. } => 2,
            Self::Step(_) => 3,
            Self::Submit(_) => 4,
            Self::Finish(_) => 5,
            Self::Policy { .. } => 7,
            Self::Drain { .. } => 8,
            Self::Replace { .. } => 9,
            Self::Seat { .. } => 10,
            Self::Lost { .. } => 11,
            Self::Back { .. } => 12,
        }
    }

    /// Appends this command to an entry.
    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.field(self.tag());
        out.section(|out| match self {
            Self::Batch(batch) => {
                out.fixed(&batch.head);
                out.long(batch.items);
            }
            Self::Claim { term, node } => {
                out.field(*term);
                out.field(*node);
            }
            Self::Step(step) => step.encode(out),
            Self::Submit(order) => order.encode(out),
            Self::Finish(finish) => finish.encode(out),
            Self::Lost { peer, boot, reporters, detail } => {
                out.field(*peer);
                out.field(*boot);
                out.field(*reporters);
                out.long(detail.as_bytes());
            }
            Self::Back { peer } => out.field(*peer),
            Self::Policy { asked_by, image } => {
                out.field(*asked_by);
                out.long(image);
            }
            Self::Drain { asked_by, drained, nodes, reason } => {
                out.field(*asked_by);
                out.field(u8::from(*drained));
                out.long(nodes);
                out.long(reason.as_bytes());
            }
            Self::Replace { asked_by, order } => {
                out.field(*asked_by);
                out.fixed(order);
            }
            Self::Seat { number, disk } => {
                out.field(*number);
                out.field(*disk);
            }
        });
    }
}

/// The commands of an entry, in order.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    /// The leader's wall clock when it proposed the entry, in ns.
    pub(crate) wall_ns: u64,
    rest: Reader<'a>,
}

impl<'a> Entry<'a> {
    /// Opens an entry; `None` when it is a leader's empty one.
    pub(crate) fn open(data: &'a [u8]) -> Result<Option<Self>, Malformed> {
        if data.is_empty() {
            return Ok(None);
        }
        let mut rest = Reader::new(data);
        if !(VERSION_MIN..=VERSION).contains(&rest.field::<u8>()?) {
            return Err(Malformed("entry of an unknown version"));
        }
        Ok(Some(Self { wall_ns: rest.field()?, rest }))
    }

    /// The next command; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Command<'a>>, Malformed> {
        if self.rest.remaining() == 0 {
            return Ok(None);
        }
        let tag: u8 = self.rest.field()?;
        let mut reader = Reader::new(self.rest.long(MESSAGE_MAX)?);
        let reader = &mut reader;
        let command = match tag {
            1 => {
                let head = reader.fixed()?;
                Command::Batch(Batch { head, items: reader.long(MESSAGE_MAX)? })
            }
            2 => Command::Claim { term: reader.field()?, node: reader.field()? },
            3 => Command::Step(Step::parse(reader)?),
            4 => Command::Submit(NewOrder::parse(reader)?),
            5 => Command::Finish(Finish::parse(reader)?),
            // Of a satellite, as it was written before anybody else was asked.
            6 => {
                let (peer, boot) = (reader.field()?, reader.field()?);
                Command::Lost { peer, boot, reporters: 0, detail: String::new() }
            }
            7 => Command::Policy {
                asked_by: reader.field()?,
                image: reader.long(POLICY_MAX)?.to_vec(),
            },
            8 => {
                let (asked_by, drained) = (reader.field()?, reader.field::<u8>()? != 0);
                let nodes = reader.long(IDSET_MAX)?.to_vec();
                IdSet::parse(&nodes)?;
                Command::Drain { asked_by, drained, nodes, reason: text(reader, DETAIL_MAX)? }
            }
            9 => Command::Replace { asked_by: reader.field()?, order: reader.fixed()? },
            10 => Command::Seat { number: reader.field()?, disk: reader.field()? },
            11 => Command::Lost {
                peer: reader.field()?,
                boot: reader.field()?,
                reporters: reader.field()?,
                // One that is too long is cut where it is committed: it must stop nobody.
                detail: text(reader, MESSAGE_MAX)?,
            },
            12 => Command::Back { peer: reader.field()? },
            _ => return Err(Malformed("unknown command in an entry")),
        };
        reader.end()?;
        Ok(Some(command))
    }
}

/// Reads a list behind its count.
pub(crate) fn list<'a, T>(
    reader: &mut Reader<'a>,
    max: usize,
    mut item: impl FnMut(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = reader.field::<u32>()? as usize;
    // Every item takes at least one byte, so a lying count is found before memory is given to it.
    if count > max || count > reader.remaining() {
        return Err(Malformed("list too long"));
    }
    (0..count).map(|_| item(reader)).collect()
}

/// Reads a text of at most `max` bytes.
pub(crate) fn text(reader: &mut Reader<'_>, max: usize) -> Result<String, Malformed> {
    let bytes = reader.long(max)?;
    core::str::from_utf8(bytes).map(Into::into).map_err(|_| Malformed("text is not UTF-8"))
}

impl Step {
    fn encode(&self, out: &mut Encoder) {
        out.field(self.term);
        out.field(self.after);
        out.field(self.policy);
        out.field(u8::from(self.is_braked));
        out.count(self.settle.len());
        for (event, count) in &self.settle {
            out.field(*event);
            out.field(*count);
        }
        out.count(self.decisions.len());
        for decision in &self.decisions {
            out.field(decision.event);
            out.field(decision.order);
            out.long(decision.rule.as_bytes());
            out.long(decision.action.as_bytes());
        }
        out.count(self.orders.len());
        for order in &self.orders {
            order.encode(out);
        }
        self.changes.encode(out);
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            term: reader.field()?,
            after: reader.field()?,
            policy: reader.field()?,
            is_braked: reader.field::<u8>()? != 0,
            settle: list(reader, LIST_MAX, |r| Ok((r.field()?, r.field()?)))?,
            decisions: list(reader, LIST_MAX, |r| {
                Ok(NewDecision {
                    event: r.field()?,
                    order: r.field()?,
                    rule: text(r, NAME_MAX)?,
                    action: text(r, DETAIL_MAX)?,
                })
            })?,
            orders: list(reader, LIST_MAX, NewOrder::parse)?,
            changes: Changes::parse(reader)?,
        })
    }
}

impl NewOrder {
    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.field(self.id);
        out.field(self.verb);
        out.field(self.policy);
        out.field(self.need);
        out.field(self.deadline_ms);
        out.field(self.event);
        out.long(&self.to);
        out.long(&self.payload);
    }

    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let order = Self {
            id: reader.field()?,
            verb: reader.field()?,
            policy: reader.field()?,
            need: reader.field()?,
            deadline_ms: reader.field()?,
            event: reader.field()?,
            to: reader.long(IDSET_MAX)?.into(),
            payload: reader.long(PAYLOAD_MAX)?.into(),
        };
        IdSet::parse(&order.to)?;
        Ok(order)
    }
}

impl Finish {
    fn encode(&self, out: &mut Encoder) {
        out.field(self.id);
        out.field(self.state);
        out.field(self.first_us);
        out.field(self.last_us);
        out.long(&self.outcomes);
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: reader.field()?,
            state: reader.field()?,
            first_us: reader.field()?,
            last_us: reader.field()?,
            outcomes: reader.long(MESSAGE_MAX)?.into(),
        })
    }
}

/// Checks a batch as a satellite sent it: every item must parse and be one that a batch may hold.
pub(crate) fn check_batch(batch: &Batch<'_>) -> Result<(), Malformed> {
    use syncom_wire::Frame;
    let mut items = 0_u32;
    for frame in batch.iter() {
        match frame? {
            Frame::Record(_) | Frame::Join(_) | Frame::Leave(_) => items += 1,
            _ => return Err(Malformed("batch with a frame that has no business in it")),
        }
    }
    if items == batch.head.items { Ok(()) } else { Err(Malformed("batch with a wrong count")) }
}

/// Parses a frame out of bytes that hold exactly one.
pub(crate) fn whole_frame<'a, T: Parse<'a>>(bytes: &'a [u8]) -> Result<T, Malformed> {
    let (_, body) = syncom_wire::FrameHeader::split(bytes)?;
    T::parse(&mut Reader::new(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::recovery::{Case, Firing, Phase};
    use proptest::prelude::*;
    use syncom_wire::{Addr, Slot};

    fn order() -> NewOrder {
        NewOrder {
            id: OrderId(7),
            verb: 4,
            policy: 0,
            need: 0,
            deadline_ms: 1000,
            event: 3,
            to: Vec::new(),
            payload: b"web".to_vec(),
        }
    }

    fn changes() -> Changes {
        let (rule, subject) = ("fence".to_owned(), "node1".to_owned());
        let case = Case {
            count: 1,
            rule: rule.clone(),
            step: 1,
            attempt: 2,
            phase: Phase::Waiting,
            due_ns: 5,
            orders: vec![(OrderId(7), "web".into())],
        };
        Changes {
            cases: vec![(3, Some(case)), (4, None)],
            firings: vec![Firing { keep_ns: 60, rule, subject }],
            harms: vec![Slot(1)],
            drains: vec![(Slot(2), "why".into())],
        }
    }

    fn all() -> Vec<Command<'static>> {
        let decision = NewDecision {
            event: 3,
            order: OrderId(7),
            rule: "restart-service".into(),
            action: "restart web".into(),
        };
        vec![
            Command::Claim { term: Term(3), node: PeerId::station(2) },
            Command::Step(Step {
                term: Term(3),
                after: 2,
                policy: 9,
                is_braked: true,
                settle: vec![(3, 1)],
                decisions: vec![decision],
                orders: vec![order()],
                changes: changes(),
            }),
            Command::Submit(order()),
            Command::Finish(Finish {
                id: OrderId(7),
                state: 3,
                first_us: 1,
                last_us: 2,
                outcomes: vec![1, 2],
            }),
            Command::Lost {
                peer: PeerId::satellite(1),
                boot: Boot(5),
                reporters: 3,
                detail: "silent".into(),
            },
            Command::Back { peer: PeerId::station(2) },
            Command::Policy { asked_by: OrderId(1), image: vec![1, 2, 3] },
            Command::Drain {
                asked_by: OrderId(2),
                drained: true,
                nodes: vec![0, 0, 1],
                reason: "disk".into(),
            },
            Command::Replace {
                asked_by: OrderId(3),
                order: Replace::order(2, 4, Addr::v4([10, 0, 0, 4], 7), Replace::FORCE),
            },
            Command::Seat { number: 4, disk: 99 },
        ]
    }

    #[test]
    fn an_entry_survives_the_round_trip() {
        let mut out = begin(99);
        all().iter().for_each(|command| command.encode(&mut out));
        let bytes = out.finish();
        let mut entry = Entry::open(&bytes).unwrap().unwrap();
        assert_eq!(entry.wall_ns, 99);
        for command in all() {
            assert_eq!(entry.next().unwrap(), Some(command));
        }
        assert_eq!(entry.next().unwrap(), None);
    }

    #[test]
    fn the_version_before_is_read_and_no_other() {
        let mut bytes = begin(99).finish();
        for version in 0..=u8::MAX {
            bytes[0] = version;
            assert_eq!(Entry::open(&bytes).is_ok(), [2, 3].contains(&version), "{version}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some(mut entry)) = Entry::open(&bytes) {
                while let Ok(Some(_)) = entry.next() {}
            }
        }
    }
}
