//! Collects what a role asks for during one burst; the world carries it out afterwards.

use std::rc::Rc;
use syncom_seam::{Counter, Notice, Outbox, Record, Spawn, Time, Timer};
use syncom_wire::{Addr, Emit, FrameHeader, PeerId, Writer, limits};

/// A committed event as a replica announced it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeenEvent {
    /// Its number.
    pub(crate) seq: u64,
    /// Its kind's name.
    pub(crate) kind: String,
    /// Its subject's name.
    pub(crate) subject: String,
    /// The subject's incarnation.
    pub(crate) incarnation: u32,
    /// The view after it.
    pub(crate) view: u64,
    /// Its detail.
    pub(crate) detail: String,
    /// When it was committed, by the log, in ns.
    pub(crate) time_ns: u64,
}

/// The frames of one datagram: its own, or the same as those of others.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    Own(Vec<u8>),
    Shared(Rc<[u8]>),
    /// One frame without its header, under the short header.
    Brief(Rc<[u8]>),
}

impl Payload {
    fn len(&self) -> usize {
        match self {
            Self::Own(bytes) => bytes.len(),
            Self::Shared(bytes) | Self::Brief(bytes) => bytes.len(),
        }
    }

    fn own(&mut self) -> &mut Vec<u8> {
        if let Self::Shared(bytes) = self {
            *self = Self::Own(bytes.to_vec());
        }
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(_) | Self::Brief(_) => unreachable!("nothing is added to a brief one"),
        }
    }
}

impl From<Payload> for Rc<[u8]> {
    fn from(payload: Payload) -> Self {
        match payload {
            Payload::Own(bytes) => bytes.into(),
            Payload::Shared(bytes) | Payload::Brief(bytes) => bytes,
        }
    }
}

/// Everything asked for in one burst of one member.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) sends: Vec<(Addr, Payload)>,
    pub(crate) timers: Vec<(Timer, Time)>,
    pub(crate) records: Vec<Record>,
    pub(crate) spawns: Vec<Spawn>,
    pub(crate) kills: Vec<(u64, i32)>,
    pub(crate) events: Vec<SeenEvent>,
    pub(crate) fatal: Option<String>,
    /// It has gone in good order.
    pub(crate) gone: bool,
    pub(crate) identity: Option<PeerId>,
    /// Text of notices, kept when somebody reads them.
    pub(crate) log: Option<Vec<String>>,
    /// Sums of counters, for the end of the run.
    pub(crate) counts: Vec<u64>,
}

impl Effects {
    pub(crate) fn new(log: bool) -> Self {
        Self { counts: vec![0; Counter::COUNT], log: log.then(Vec::new), ..Self::default() }
    }

    /// Whether nothing is left to do but to send and to arm timers.
    pub(crate) fn are_done(&self) -> bool {
        let Self { records, spawns, kills, events, fatal, gone, log, .. } = self;
        let are_lists_empty =
            records.is_empty() && spawns.is_empty() && kills.is_empty() && events.is_empty();
        are_lists_empty && fatal.is_none() && !gone && log.as_ref().is_none_or(Vec::is_empty)
    }

    /// The datagram of this burst that takes `size` more bytes to `to`.
    fn open(&self, to: Addr, size: usize) -> Option<usize> {
        let room = limits::MTU - syncom_wire::Header::OVERHEAD;
        let is_open = |(addr, payload): &(Addr, Payload)| {
            *addr == to && !matches!(payload, Payload::Brief(_))
        };
        let index = self.sends.iter().rposition(is_open)?;
        (self.sends[index].1.len() + size <= room).then_some(index)
    }
}

fn append<E: Emit>(bytes: &mut Vec<u8>, frame: &E) {
    let at = bytes.len();
    bytes.resize(at + FrameHeader::SIZE + frame.size(), 0);
    let len = syncom_wire::frame::emit(frame, &mut bytes[at..]).unwrap_or(0);
    assert!(len > 0, "a role sent a frame that breaks its own bounds: {:?}", E::KIND);
    bytes.truncate(at + len);
}

impl Outbox for Effects {
    fn send<E: Emit>(&mut self, to: Addr, frame: &E) {
        let size = FrameHeader::SIZE + frame.size();
        let index = self.open(to, size).unwrap_or_else(|| {
            self.sends.push((to, Payload::Own(Vec::with_capacity(size))));
            self.sends.len() - 1
        });
        append(self.sends[index].1.own(), frame);
    }

    fn send_all<E: Emit>(&mut self, to: &[Addr], frame: &E) {
        if E::IS_BRIEF {
            let mut bytes = vec![0; frame.size()];
            let emitted = frame.emit(&mut Writer::new(&mut bytes));
            assert!(
                emitted.is_ok(),
                "a role sent a frame that breaks its own bounds: {:?}",
                E::KIND
            );
            let bytes: Rc<[u8]> = bytes.into();
            self.sends.extend(to.iter().map(|addr| (*addr, Payload::Brief(Rc::clone(&bytes)))));
            return;
        }
        let size = FrameHeader::SIZE + frame.size();
        let mut bytes = Vec::with_capacity(size);
        append(&mut bytes, frame);
        let bytes: Rc<[u8]> = bytes.into();
        for addr in to {
            match self.open(*addr, size) {
                Some(index) => self.sends[index].1.own().extend_from_slice(&bytes),
                None => self.sends.push((*addr, Payload::Shared(Rc::clone(&bytes)))),
            }
        }
    }

    fn arm(&mut self, timer: Timer, at: Time) {
        self.timers.push((timer, at));
    }

    fn persist(&mut self, record: Record) {
        self.records.push(record);
    }

    fn spawn(&mut self, spawn: Spawn) {
        self.spawns.push(spawn);
    }

    fn kill(&mut self, token: u64, signal: i32) {
        self.kills.push((token, signal));
    }

    fn count(&mut self, counter: Counter, by: u64) {
        self.counts[counter as usize] += by;
    }

    fn gauge(&mut self, counter: Counter, value: u64) {
        self.counts[counter as usize] = value;
    }

    fn notify(&mut self, notice: Notice<'_>) {
        match notice {
            Notice::Event(event) => self.events.push(SeenEvent {
                seq: event.head.seq,
                kind: event.kind.into(),
                subject: event.subject.into(),
                incarnation: event.head.incarnation.0,
                view: event.head.view.0,
                detail: event.detail.into(),
                time_ns: event.head.time_ns,
            }),
            Notice::Fatal(text) => self.fatal = Some(text.into()),
            Notice::Gone => self.gone = true,
            Notice::Ready => {}
            Notice::Info(text) => {
                if let Some(log) = &mut self.log {
                    log.push(text.into());
                }
            }
        }
    }

    fn identify(&mut self, peer: PeerId) {
        self.identity = Some(peer);
    }
}
