//! The reports of a storm, and the table that they meet.

use super::must;
use crate::exit::Failure;
use syncom_engine::clock;
use syncom_engine::link::mem::{Hub, MemLink};
use syncom_engine::link::{Link as _, Options, RxBurst};
use syncom_seam::{MS, Now, Rng, SECOND, Time, WallTime};
use syncom_transponder::{Due, Known, Policies, Said, Taken};
use syncom_wire::frame::Packer;
use syncom_wire::ids::mix;
use syncom_wire::limits::MTU;
use syncom_wire::report::{EventKind, Report, ReportBytes, ReportHead, ReportId};
use syncom_wire::{
    Addr, Boot, Fixed as _, FrameHeader, Header, Incarnation, PeerId, Slot, Subject,
};

/// Reports of a datagram: as many as fit.
pub(super) const PACK: usize = 20;
/// Bytes of a report without names: frame header, fixed part, three empty texts.
pub(super) const REPORT: usize = FrameHeader::SIZE + ReportHead::SIZE + 4;
/// Bytes of a datagram.
const DATAGRAM: usize = Header::OVERHEAD + PACK * REPORT;
/// Reporters of each thing that repeat what they said: an observer each.
const REPORTERS: usize = 8;
/// Others, who report for the first time.
const OTHERS: u32 = 1_024;
/// Their slots begin here.
const OTHERS_FROM: u32 = 1 << 24;
/// Datagrams of a burst.
const BURST: usize = 64;
/// How often thresholds are looked at, in ns, as a satellite does.
const TICK_NS: u64 = 5 * MS;

const _: () = assert!(DATAGRAM == MTU);

/// What was done and how long it took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub(super) records: u64,
    pub(super) kept: u64,
    pub(super) repeated: u64,
    pub(super) went_up: u64,
    pub(super) hash: u64,
    ns: u64,
}

impl Sum {
    pub(super) fn per_s(&self) -> f64 {
        super::float(self.records) * 1e9 / super::float(self.ns.max(1))
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.kept += other.kept;
        self.repeated += other.repeated;
        self.went_up += other.went_up;
        self.hash = self.hash.rotate_left(1) ^ other.hash;
        self.ns += other.ns;
    }
}

/// A table, the reports of its keys, and a way for them to come.
pub(super) struct Ground {
    known: Known,
    keys: u32,
    /// Datagrams of those who repeat, one after the other.
    images: Vec<u8>,
    near: MemLink,
    far: MemLink,
    rng: Rng,
    policies: Policies,
    ticked: Time,
    /// The next datagram of those who repeat.
    next: usize,
    /// The next of the others, and the number of its next report.
    other: u32,
    seq: u64,
    /// Cells of cases that went up and are not answered.
    up: Vec<u32>,
}

impl Ground {
    pub(super) fn new(keys: u32) -> Result<Self, Failure> {
        let hub = Hub::new();
        let options = Options { rx_buffer: BURST * DATAGRAM, ..Options::LARGE };
        let open = || {
            hub.open(Addr::v4([127, 0, 0, 1], 0), &options)
                .map_err(|error| Failure::failed(error.to_string()))
        };
        let (near, far) = (open()?, open()?);
        // Those who repeat, a case each; as much again for those who go up.
        let known = Known::new(3 * keys as usize + 4_096);
        let mut rng = Rng::new(7);
        let images = images(keys, &mut rng)?;
        Ok(Self {
            known,
            keys,
            images,
            near,
            far,
            rng,
            policies: Policies::default(),
            ticked: clock::now(),
            next: 0,
            other: 0,
            seq: 1,
            up: Vec::new(),
        })
    }

    fn datagrams(&self) -> usize {
        self.images.len() / DATAGRAM
    }

    /// Everybody who repeats reports for the first time; all goes up and stays unanswered.
    pub(super) fn report_all(&mut self, burst: &mut RxBurst) -> Result<Sum, Failure> {
        let mut sum = Sum::default();
        let datagrams = self.datagrams();
        for from in (0..datagrams).step_by(BURST) {
            for at in from..datagrams.min(from + BURST) {
                self.send(at)?;
            }
            sum.add(&self.take(burst, false)?);
        }
        must(sum.kept == sum.records, "a first report was not kept")?;
        // Long after: every case is gathered and believed.
        let later = clock::now().after(2 * SECOND);
        self.known.due(later, &self.policies, (0, 0), |_, _, _, _| true);
        // And longer after: what follows is not too soon.
        self.known.sweep(later.after(60 * SECOND));
        Ok(sum)
    }

    /// The station answers everything.
    pub(super) fn forget_all(&mut self) {
        let cells = u32::try_from(3 * self.keys as usize + 4_096).unwrap_or(u32::MAX);
        (0..cells).for_each(|at| self.known.release(at, 0));
        self.up.clear();
    }

    /// So many bursts of repeated reports, one datagram in `first` of first ones.
    pub(super) fn storm(
        &mut self,
        burst: &mut RxBurst,
        bursts: usize,
        first: u32,
    ) -> Result<Sum, Failure> {
        let mut sum = Sum::default();
        let mut expected = 0;
        for turn in 0..bursts * BURST {
            if first != 0 && turn % first as usize == 0 {
                self.send_first()?;
                expected += PACK as u64;
            } else {
                self.send(self.next)?;
                self.next = (self.next + 1) % self.datagrams();
            }
            if turn % BURST == BURST - 1 {
                sum.add(&self.take(burst, true)?);
            }
        }
        must(sum.kept == expected, "a first report was not kept")?;
        must(sum.kept + sum.repeated == sum.records, "a repeated report was not known")?;
        Ok(sum)
    }

    /// That every key has its reporters still.
    pub(super) fn prove(&self) -> Result<(), Failure> {
        let mut reports = 0;
        for at in 0..self.keys {
            let case = self.known.case(at).ok_or_else(|| Failure::failed("a key is gone"))?;
            must(self.known.is_sent(at), "a key was not sent up")?;
            reports += case.ids().len();
        }
        must(reports == self.keys as usize * REPORTERS, "a report is gone")
    }

    fn send(&mut self, at: usize) -> Result<(), Failure> {
        let image = self.images.get(at * DATAGRAM..(at + 1) * DATAGRAM).unwrap_or_default();
        send(&mut self.far, self.near.local_addr(), image)
    }

    /// The next of the others reports twenty things that it has not reported.
    fn send_first(&mut self) -> Result<(), Failure> {
        let slot = Slot(OTHERS_FROM + self.other);
        let mut image = [0; DATAGRAM];
        let things: [u32; PACK] = std::array::from_fn(|_| {
            u32::try_from(self.rng.below(u64::from(self.keys))).unwrap_or(0)
        });
        write(&mut image, slot, self.seq, &things)?;
        self.other += 1;
        if self.other == OTHERS {
            (self.other, self.seq) = (0, self.seq + PACK as u64);
        }
        send(&mut self.far, self.near.local_addr(), &image)
    }

    /// Receives what was sent, and does with it what is timed; looks at thresholds when it is time.
    fn take(&mut self, burst: &mut RxBurst, is_ticking: bool) -> Result<Sum, Failure> {
        self.far.tx_flush().map_err(|error| Failure::failed(error.to_string()))?;
        self.near.rx_burst(burst).map_err(|error| Failure::failed(error.to_string()))?;
        let from = self.far.local_addr();
        let mut sum = Sum::default();
        let busy_ns = clock::thread_cpu_ns();
        let began = clock::now();
        let now = Now { at: began, wall: WallTime(began.0) };
        let reports = Reports { burst, from: &from, at: 0, sender: PeerId::ANY, rest: &[] };
        self.known.absorb_all(now, reports, |said, taken| {
            sum.records += 1;
            match taken {
                Taken::Kept => sum.kept += 1,
                Taken::Repeated | Taken::Over(_) => sum.repeated += 1,
                Taken::NoRoom => {}
            }
            let id = said.id();
            sum.hash = sum.hash.wrapping_add(id.seq ^ u64::from(id.slot.0) << 32);
        });
        if is_ticking && now.at.since(self.ticked) >= TICK_NS {
            self.ticked = now.at;
            // What went up a tick ago is answered now.
            self.up.drain(..).for_each(|at| self.known.release(at, 1));
            let up = &mut self.up;
            self.known.due(now.at, &self.policies, (0, 0), |_, at, case, due| {
                let record = case.record();
                sum.hash ^= record.head.subject.0 << 32 | u64::from(record.head.count);
                sum.went_up += 1;
                up.push(at);
                due == Due::Up
            });
        }
        sum.ns = clock::thread_cpu_ns() - busy_ns;
        Ok(sum)
    }
}

/// The reports in a burst: every header, and every report, is checked.
struct Reports<'a> {
    burst: &'a RxBurst,
    from: &'a Addr,
    at: usize,
    sender: PeerId,
    rest: &'a [u8],
}

/// A report where it lies.
#[derive(Clone, Copy)]
struct Lying<'a> {
    from: &'a Addr,
    bytes: ReportBytes<'a>,
}

impl<'a> Said<'a> for Lying<'a> {
    #[inline]
    fn id(&self) -> ReportId {
        self.bytes.id()
    }

    #[inline]
    fn from(&self) -> Addr {
        *self.from
    }

    #[inline]
    fn report(&self) -> Option<Report<'a>> {
        self.bytes.report().ok()
    }
}

impl<'a> Iterator for Reports<'a> {
    type Item = Lying<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Lying<'a>> {
        loop {
            if let Some((bytes, rest)) = ReportBytes::split(self.rest) {
                self.rest = rest;
                if PeerId::agent(bytes.id().slot) == self.sender {
                    return Some(Lying { from: self.from, bytes });
                }
            } else if !self.turn() {
                return None;
            }
        }
    }
}

impl Reports<'_> {
    /// Goes on to the next datagram whose header breaks no rule.
    #[inline(never)]
    fn turn(&mut self) -> bool {
        while let Some(datagram) = self.burst.bytes(self.at) {
            self.at += 1;
            let body = Header::SIZE..datagram.len().saturating_sub(Header::TAG);
            if let (Ok(header), Some(body)) = (Header::parse(datagram), datagram.get(body)) {
                (self.sender, self.rest) = (header.sender, body);
                return true;
            }
        }
        false
    }
}

fn send(link: &mut MemLink, to: Addr, image: &[u8]) -> Result<(), Failure> {
    let slot = link.tx_claim(to, image.len());
    slot.ok_or_else(|| Failure::failed("no room to send"))?.copy_from_slice(image);
    link.tx_commit(image.len());
    Ok(())
}

/// The datagrams in which every thing is reported by its reporters, in no order.
fn images(keys: u32, rng: &mut Rng) -> Result<Vec<u8>, Failure> {
    let mut things: Vec<u32> = Vec::new();
    let mut images = Vec::new();
    let mut slot = 0;
    for _ in 0..REPORTERS {
        let mut all: Vec<u32> = (0..keys).collect();
        shuffle(&mut all, rng);
        things.extend(&all);
        // A datagram of fewer than twenty would be another size.
        while things.len() >= PACK {
            let rest = things.split_off(PACK);
            let mut image = [0; DATAGRAM];
            write(&mut image, Slot(slot), 1, &things)?;
            images.push(image);
            slot += 1;
            things = rest;
        }
    }
    must(things.is_empty(), "keys must be a multiple of 5, so that datagrams are full")?;
    shuffle(&mut images, rng);
    Ok(images.concat())
}

fn shuffle<T>(items: &mut [T], rng: &mut Rng) {
    for at in (1..items.len()).rev() {
        let other = usize::try_from(rng.below(at as u64 + 1)).unwrap_or(at);
        items.swap(at, other);
    }
}

/// A datagram of `slot` that reports `things`, numbered from `seq`.
fn write(image: &mut [u8; DATAGRAM], slot: Slot, seq: u64, things: &[u32]) -> Result<(), Failure> {
    let header = Header {
        version: Header::VERSION,
        flags: Header::TO_ANY,
        reserved: 0,
        cluster: 7,
        epoch: 1,
        shard: 0,
        sender: PeerId::agent(slot),
        boot: Boot(1),
        counter: seq,
    };
    let overflow = |_| Failure::failed("a datagram is too small for its reports");
    header.write(image).map_err(overflow)?;
    let mut packer = Packer::new(&mut image[Header::SIZE..DATAGRAM - Header::TAG]);
    for (at, thing) in things.iter().enumerate() {
        let head = ReportHead {
            id: ReportId { slot, incarnation: Incarnation(1), seq: seq + at as u64 },
            subject: Subject::node(Slot(*thing)),
            incarnation: Incarnation(1),
            kind: EventKind::named("hot"),
            heard_ago_us: 0,
            domain: u16::try_from(mix(slot.0.into()) % 40).unwrap_or(0),
            flags: 0,
            neighbours: 0,
            health: u8::try_from(slot.0 % 8).unwrap_or(0),
            severity: 1,
            reserved: 0,
            count: 1,
        };
        packer.push(&Report { head, subject: "", kind: "", detail: "" }).map_err(overflow)?;
    }
    Ok(())
}
