//! A satellite on a thread of its own, and a loop in its place that only receives and answers.

use super::per_s;
use crate::assemble;
use crate::exit::{Failure, Outcome};
use crate::place::Place;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use syncom_engine::counters::Counters;
use syncom_engine::host::{Host, Member};
use syncom_engine::link::{Link, Options, RxBurst};
use syncom_engine::seal::{ClusterKeys, Sealer};
use syncom_engine::{clock, pin};
use syncom_seam::limits::MEMBERS_MAX;
use syncom_seam::{Counter, Notice, SECOND};
use syncom_transponder::{Transponder, TransponderConfig};
use syncom_wire::{Addr, Boot, PeerId};

/// Combined reports under way: a storm of 100,000 needs 6,250.
const COMBINED: usize = 16_384;
/// How long a turn waits at most.
const TURN: Duration = Duration::from_millis(5);
/// How long the cluster may take to begin.
const PATIENCE_NS: u64 = 30 * SECOND;

/// What a thread has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Work {
    cpu_ns: u64,
    datagrams: u64,
    reports: u64,
}

impl Work {
    pub(super) const fn since(&self, before: &Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns - before.cpu_ns,
            datagrams: self.datagrams - before.datagrams,
            reports: self.reports - before.reports,
        }
    }

    /// Datagrams per second of its core.
    pub(super) fn datagrams_per_s(&self) -> f64 {
        per_s(self.datagrams, self.cpu_ns)
    }

    /// Reports per second of its core.
    pub(super) fn reports_per_s(&self) -> f64 {
        per_s(self.reports, self.cpu_ns)
    }
}

#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    is_ready: AtomicBool,
    /// Turns that were finished, and what was done in them.
    done: Mutex<(u64, Work)>,
}

impl Shared {
    fn done(&self) -> MutexGuard<'_, (u64, Work)> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was done when everything that had been sent before this call was received.
    fn settled(&self) -> Result<Work, Failure> {
        let give_up = clock::now().after(PATIENCE_NS);
        let begun = self.done().0;
        loop {
            let (turns, work) = *self.done();
            if turns >= begun + 3 {
                return Ok(work);
            }
            if clock::now() > give_up {
                return Err(Failure::failed("the satellite's thread does not go on"));
            }
            std::thread::yield_now();
        }
    }
}

/// A thread that ends when this is dropped.
#[derive(Debug)]
struct Thread {
    shared: Arc<Shared>,
    join: Option<JoinHandle<()>>,
}

impl Thread {
    fn start(core: Option<usize>, work: impl FnOnce(&Shared) + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let join = std::thread::spawn(move || {
            if let Some(core) = core {
                let _ = pin::pin(core);
            }
            work(&theirs);
        });
        Self { shared, join: Some(join) }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        if let Some(join) = self.join.take() {
            let _ = join.join();
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Satellite {
    addr: Addr,
    thread: Thread,
}

impl Satellite {
    /// Starts it.
    pub(super) fn start(place: &Place, core: Option<usize>) -> Result<Self, Failure> {
        let link = open()?;
        let addr = link.local_addr();
        let boot = Boot(clock::read().wall.0);
        let replicas = (1..).map(PeerId::station).zip(assemble::addrs(&place.replicas)).collect();
        let mut config = TransponderConfig::new(1, boot, addr, replicas);
        config.combine_max = COMBINED;
        let secret = &place.secret;
        let keys = ClusterKeys::new(&secret.cluster, &secret.bytes, ClusterKeys::FIRST_EPOCH);
        let sealer = Sealer::new(keys, config.peer(), boot, 0, MEMBERS_MAX)
            .map_err(|error| Failure::failed(format!("cannot seal: {error}")))?;
        let counters = Counters::anonymous();
        let role = Transponder::new(config);
        let member = Member { role, link, sealer, counters: counters.clone(), store: None };
        let thread = Thread::start(core, move |shared| drive(member, &counters, shared));
        Ok(Self { addr, thread })
    }

    pub(super) const fn addr(&self) -> Addr {
        self.addr
    }

    /// Waits until it holds a view.
    pub(super) fn until_ready(&self) -> Outcome {
        let give_up = clock::now().after(PATIENCE_NS);
        while !self.thread.shared.is_ready.load(Ordering::Acquire) {
            if clock::now() > give_up {
                return Err(Failure::failed("the satellite never held a view"));
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    pub(super) fn work(&self) -> Result<Work, Failure> {
        self.thread.shared.settled()
    }
}

fn drive(member: Member<Transponder>, counters: &Counters, shared: &Shared) {
    let ready = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&ready);
    let sink = move |_: usize, notice: Notice<'_>| {
        if matches!(notice, Notice::Ready) {
            told.store(true, Ordering::Release);
        }
    };
    let Ok(mut host) = Host::new(Box::new(sink)) else { return };
    if host.add(member).is_err() {
        return;
    }
    while !shared.is_over.load(Ordering::Acquire) && host.turn(TURN).is_ok() {
        let work = Work {
            cpu_ns: clock::thread_cpu_ns(),
            datagrams: counters.get(Counter::RxDatagrams),
            reports: counters.get(Counter::UplinkReports),
        };
        let mut done = shared.done();
        *done = (done.0 + 1, work);
        drop(done);
        shared.is_ready.store(ready.load(Ordering::Acquire), Ordering::Release);
    }
}

/// A loop that receives, answers each datagram with one of so many bytes, unless these are none, and
/// does nothing else.
#[derive(Debug)]
pub(super) struct Bare {
    addr: Addr,
    thread: Thread,
}

impl Bare {
    pub(super) fn start(core: Option<usize>, answer: usize) -> Result<Self, Failure> {
        let link = open()?;
        let addr = link.local_addr();
        Ok(Self { addr, thread: Thread::start(core, move |shared| receive(link, answer, shared)) })
    }

    pub(super) const fn addr(&self) -> Addr {
        self.addr
    }

    pub(super) fn work(&self) -> Result<Work, Failure> {
        self.thread.shared.settled()
    }
}

/// Counts the time of bursts that brought something.
fn receive(mut link: Box<dyn Link>, answer: usize, shared: &Shared) {
    let mut burst = RxBurst::new(64);
    while !shared.is_over.load(Ordering::Acquire) {
        let busy_ns = clock::thread_cpu_ns();
        let Ok(count) = link.rx_burst(&mut burst) else { return };
        for at in 0..burst.len() {
            let Some(from) = burst.datagram(at).map(|datagram| datagram.from) else { continue };
            if answer > 0 && link.tx_claim(from, answer).is_some_and(|room| !room.is_empty()) {
                link.tx_commit(answer);
            }
        }
        if count == 0 {
            std::thread::yield_now();
        } else if link.tx_flush().is_err() {
            return;
        }
        let busy_ns = clock::thread_cpu_ns() - busy_ns;
        let mut done = shared.done();
        if count == 0 {
            // A turn is one that found nothing: all that had come was received.
            done.0 += 1;
        } else {
            done.1.cpu_ns += busy_ns;
            done.1.datagrams += count as u64;
        }
    }
}

fn open() -> Result<Box<dyn Link>, Failure> {
    assemble::open_link("mmsg", SocketAddr::from(([127, 0, 0, 1], 0)), &Options::LARGE)
}
