//! Many reporters behind a few sockets.

use crate::assemble;
use crate::exit::Failure;
use crate::secret::Secret;
use std::net::SocketAddr;
use syncom_engine::clock::{self, Clock};
use syncom_engine::link::{Link, Options, RxBurst};
use syncom_engine::seal::{ClusterKeys, Sealer};
use syncom_seam::{MS, SECOND, Time};
use syncom_wire::frame::Packer;
use syncom_wire::ids::mix;
use syncom_wire::report::{AckItem, EventKind, Report, ReportAck, ReportHead, ReportId};
use syncom_wire::{
    Addr, Boot, Fixed as _, Frame, FrameHeader, Header, Incarnation, PeerId, Slot, Subject,
};

/// Bytes of a report with a name of one letter.
pub(super) const REPORT: usize = FrameHeader::SIZE + ReportHead::SIZE + 5;
/// Sockets of the storm and of the packed flood.
const SOCKETS: usize = 4;
/// Sockets of the flood of single datagrams.
const DISTINCT: usize = 64;
/// Reporters of a flood.
const FLOODING: u32 = 1_000;
/// Slots of those begin here, beyond those of the storm.
const FLOODING_FROM: u32 = 110_000;
/// Reports of the storm that nobody has said to have received.
const WINDOW: usize = 2_048;
/// A report that nobody answered is sent again after so long, in ns.
const RETRY_NS: u64 = 500 * MS;
/// How long a storm may last, in ns.
const STORM_NS: u64 = 20 * SECOND;
/// Datagrams between two flushes: a run that the kernel segments.
const RUN: usize = 40;

/// The kind of all reports.
pub(super) fn kind() -> EventKind {
    EventKind::named("bench")
}

/// Bytes of a satellite's answer to so many reports of a datagram.
pub(super) const fn answer(reports: u32) -> usize {
    Header::OVERHEAD + FrameHeader::SIZE + 6 + reports as usize * AckItem::SIZE
}

/// What became of a storm.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Storm {
    pub(super) committed: u64,
    pub(super) ns: u64,
    pub(super) sent: u64,
    /// Most datagrams that one reporter sent, and most answers that one heard.
    pub(super) sent_max: u8,
    pub(super) heard_max: u8,
    pub(super) hash: u64,
}

/// One reporter of a storm.
struct One {
    sealer: Sealer,
    sent_at: Time,
    sent: u8,
    heard: u8,
    /// Whether a satellite holds its report, and whether it is committed.
    is_received: bool,
    is_committed: bool,
}

/// See the module.
pub(super) struct Reporters {
    keys: ClusterKeys,
    boot: Boot,
    subjects: u32,
    sockets: Vec<Box<dyn Link>>,
    distinct: Vec<Box<dyn Link>>,
    flooding: Vec<Sealer>,
    /// Opens what the satellite answers.
    hearing: Sealer,
    burst: RxBurst,
    clock: Clock,
}

impl Reporters {
    pub(super) fn new(secret: &Secret, subjects: u32) -> Result<Self, Failure> {
        let keys = ClusterKeys::new(&secret.cluster, &secret.bytes, ClusterKeys::FIRST_EPOCH);
        let boot = Boot(clock::read().wall.0);
        let open =
            |_| assemble::open_link("mmsg", SocketAddr::from(([127, 0, 0, 1], 0)), &Options::LARGE);
        let flooding = (0..FLOODING)
            .map(|number| sealer(&keys, PeerId::agent(Slot(FLOODING_FROM + number)), boot))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            subjects,
            sockets: (0..SOCKETS).map(open).collect::<Result<_, _>>()?,
            distinct: (0..DISTINCT).map(open).collect::<Result<_, _>>()?,
            flooding,
            hearing: sealer(&keys, PeerId::client(boot.0), boot)?,
            keys,
            boot,
            burst: RxBurst::new(64),
            clock: Clock::new(),
        })
    }

    /// Every reporter reports one subject until it hears that it is committed.
    pub(super) fn storm(&mut self, to: Addr, count: u32) -> Result<Storm, Failure> {
        let mut all = (0..count)
            .map(|number| {
                Ok(One {
                    sealer: sealer(&self.keys, PeerId::agent(Slot(number)), self.boot)?,
                    sent_at: Time(0),
                    sent: 0,
                    heard: 0,
                    is_received: false,
                    is_committed: false,
                })
            })
            .collect::<Result<Vec<One>, Failure>>()?;
        let mut storm = Storm::default();
        let began = clock::now();
        let (mut next, mut received, mut looked) = (0, 0, began);
        while storm.committed < u64::from(count) && clock::now().since(began) < STORM_NS {
            let room = WINDOW.saturating_sub(next - received).min(RUN);
            for _ in 0..room.min(all.len() - next) {
                self.report(to, next, &mut all)?;
                next += 1;
            }
            for at in 0..SOCKETS {
                flush(self.sockets[at].as_mut())?;
                received += self.listen(at, &mut all, &mut storm)?;
            }
            let now = clock::now();
            if now.since(looked) >= 50 * MS {
                looked = now;
                for number in 0..next {
                    if !all[number].is_committed && now.since(all[number].sent_at) >= RETRY_NS {
                        self.report(to, number, &mut all)?;
                    }
                }
            }
        }
        storm.ns = clock::now().since(began);
        storm.sent = all.iter().map(|one| u64::from(one.sent)).sum();
        storm.sent_max = all.iter().map(|one| one.sent).max().unwrap_or(0);
        storm.heard_max = all.iter().map(|one| one.heard).max().unwrap_or(0);
        Ok(storm)
    }

    fn report(&mut self, to: Addr, number: usize, all: &mut [One]) -> Result<(), Failure> {
        let one = &mut all[number];
        one.sent = one.sent.saturating_add(1);
        one.sent_at = clock::now();
        let slot = Slot(u32::try_from(number).unwrap_or(0));
        // The number names the reporter, too: many share a socket, and answers do not say whose.
        let reports = [(number as u64 + 1, slot.0 % self.subjects)];
        let link = self.sockets[number % SOCKETS].as_mut();
        send(link, to, &mut one.sealer, slot, reports.into_iter())
    }

    /// Hears answers; returns how many reports are known to have arrived for the first time.
    fn listen(
        &mut self,
        socket: usize,
        all: &mut [One],
        storm: &mut Storm,
    ) -> Result<usize, Failure> {
        let mut received = 0;
        let now = self.clock.sample();
        self.sockets[socket]
            .rx_burst(&mut self.burst)
            .map_err(|error| Failure::failed(format!("cannot receive: {error}")))?;
        for at in 0..self.burst.len() {
            let Some(datagram) = self.burst.datagram(at) else { continue };
            let Ok(opened) = self.hearing.open(datagram.bytes, now) else { continue };
            for frame in opened.frames().flatten() {
                let Frame::ReportAck(ack) = frame else { continue };
                for item in ack.items.iter() {
                    let number = usize::try_from(item.seq).unwrap_or(0).wrapping_sub(1);
                    let Some(one) = all.get_mut(number) else { continue };
                    one.heard = one.heard.saturating_add(1);
                    let is_held = item.level != ReportAck::BUSY;
                    received += usize::from(is_held && !one.is_received);
                    one.is_received |= is_held;
                    if item.level == ReportAck::COMMITTED && !one.is_committed {
                        one.is_committed = true;
                        storm.committed += 1;
                        storm.hash = storm.hash.wrapping_add(mix(item.seq));
                    }
                }
            }
        }
        Ok(received)
    }

    /// Sends as fast as it goes for so many seconds, whatever is answered: `pack` reports each, in runs
    /// that the kernel segments, or single ones, each by another socket, when `pack` is 0.
    pub(super) fn flood(&mut self, to: Addr, pack: u32, seconds: u32) -> Result<(), Failure> {
        let over = clock::now().after(u64::from(seconds) * SECOND);
        let mut turn = 0;
        while clock::now() < over {
            let (links, run) = match pack {
                0 => (&mut self.distinct, 1),
                _ => (&mut self.sockets, RUN),
            };
            for link in links {
                for _ in 0..run {
                    let at = turn % self.flooding.len();
                    let slot = Slot(FLOODING_FROM + u32::try_from(at).unwrap_or(0));
                    turn += 1;
                    let subjects = self.subjects;
                    let reports = (0..pack.max(1)).map(|n| (u64::from(n) + 1, n % subjects));
                    send(link.as_mut(), to, &mut self.flooding[at], slot, reports)?;
                }
                flush(link.as_mut())?;
                // Answers are for nobody, and must not fill what is kept for them.
                let _ = link.rx_burst(&mut self.burst);
            }
        }
        Ok(())
    }
}

fn sealer(keys: &ClusterKeys, peer: PeerId, boot: Boot) -> Result<Sealer, Failure> {
    Sealer::new(keys.clone(), peer, boot, 0, 1)
        .map_err(|error| Failure::failed(format!("cannot seal: {error}")))
}

fn flush(link: &mut dyn Link) -> Result<(), Failure> {
    link.tx_flush().map(|_| ()).map_err(|error| Failure::failed(format!("cannot send: {error}")))
}

/// Queues one datagram of a reporter.
fn send(
    link: &mut dyn Link,
    to: Addr,
    sealer: &mut Sealer,
    slot: Slot,
    reports: impl ExactSizeIterator<Item = (u64, u32)>,
) -> Result<(), Failure> {
    let kind = kind();
    let overflow = |_| Failure::failed("a datagram is too small for its reports");
    let len = Header::OVERHEAD + reports.len() * REPORT;
    let Some(room) = link.tx_claim(to, len) else {
        // Lost, as datagrams may be; in a storm it is sent again.
        return flush(link);
    };
    let mut packer = Packer::new(&mut room[Header::SIZE..len - Header::TAG]);
    for (seq, subject) in reports {
        let letter = char::from(b'!' + u8::try_from(subject).unwrap_or(0));
        let mut name = [0; 4];
        let name: &str = letter.encode_utf8(&mut name);
        let head = ReportHead {
            id: ReportId { slot, incarnation: Incarnation(1), seq },
            subject: Subject::named(name),
            incarnation: Incarnation(0),
            kind,
            heard_ago_us: 0,
            domain: 0,
            flags: 0,
            neighbours: 0,
            health: 0,
            severity: 1,
            reserved: 0,
            count: 1,
        };
        packer.push(&Report { head, subject: name, kind: "", detail: "" }).map_err(overflow)?;
    }
    let body_len = packer.len();
    let len = sealer
        .seal(room, body_len, None)
        .map_err(|error| Failure::failed(format!("cannot seal: {error}")))?;
    link.tx_commit(len);
    Ok(())
}
