//! A host: one thread that drives members.
//!
//! A member is a role, a link and a seal. A station is a host with one member; `syncom up` runs a
//! thousand agents on a few hosts. One turn of the loop goes: wait for something to happen; look at
//! the clock, once; hand over what has been done for the roles; drain all links, handing every
//! frame to its role; let timers expire; end the burst; flush.
//!
//! **Drain before judging.** The clock is read before the links are drained, and timers expire by
//! that reading. So whatever had arrived before a timer's moment was judged has been heard, however
//! long this process was stopped, and wherever in the loop it was stopped.

mod done;
mod handle;
mod receive;
mod send;
mod timers;

#[cfg(test)]
mod tests;

pub use done::DoneSender;
pub use handle::HostHandle;

use crate::child::Children;
use crate::clock::{self, Clock};
use crate::counters::Counters;
use crate::disk::Disk;
use crate::idle::{Idle, Strategy, Wait};
use crate::link::{Link, RxBurst};
use crate::port::{Gather, Port};
use crate::seal::Sealer;
use crate::timers::Timers;
use crossbeam::channel::{Receiver, Sender, bounded};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use send::HostOutbox;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use syncom_seam::{Counter, Done, Durable, MS, Notice, Now, Role, Time};
use syncom_wire::limits::MTU;

const WAKER: Token = Token(0);
/// Token of the first member's link; children's tokens are far beyond.
const FIRST_LINK: usize = 1;
/// Events taken from the kernel at a time; more are taken in the next turn.
const EVENTS_MAX: usize = 1024;
/// Receives of one burst.
const BURST_SLOTS: u32 = 64;
/// Things done by other threads that can wait for the loop; then those threads wait.
const DONE_MAX: usize = 1024;
/// Timers that fit without growing.
const TIMERS_START: usize = 1024;
/// A turn longer than this is counted: it delays heartbeats and judgements.
const SLOW_TURN_NS: u64 = 10 * MS;
/// How long to wait at most when a link has to be asked, or has not sent all it had.
const ASK_AGAIN: Duration = Duration::from_millis(1);
/// A child that writes without end is read so often, in ns: the rest of the time is for everybody.
const CHILDREN_NS: u64 = MS;
/// Turns in which a host that never parks does not ask the kernel about its children.
const UNPOLLED_TURNS_MAX: u32 = 64;
/// How long to wait at most in any case.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// What a member is made of.
pub struct Member<R> {
    /// The state machine.
    pub role: R,
    /// How it speaks and hears.
    pub link: Box<dyn Link>,
    /// In whose name it speaks, and whom it believes.
    pub sealer: Sealer,
    /// Where it counts.
    pub counters: Counters,
    /// Where its records go; roles that persist nothing need none.
    pub store: Option<Box<dyn Durable>>,
}

impl<R> fmt::Debug for Member<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (link, sealer) = (&self.link, &self.sealer);
        f.debug_struct("Member").field("link", link).field("sealer", sealer).finish_non_exhaustive()
    }
}

/// Told what the members of a host have to say: the member's number, and the notice.
pub type Sink = Box<dyn FnMut(usize, Notice<'_>) + Send>;

type Channel<T> = (Sender<T>, Receiver<T>);

/// Drives members on one thread.
pub struct Host<R> {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    is_stopped: Arc<AtomicBool>,
    is_leaving: Arc<AtomicBool>,
    done: Channel<(usize, Done)>,
    kills: Channel<usize>,
    seats: Vec<Option<Seat<R>>>,
    shared: Shared,
    clock: Clock,
    idle: Idle,
    burst: RxBurst,
    /// Members whose links may have something, in order of readiness.
    ready: VecDeque<usize>,
    /// What the poll has said, copied out to be acted on.
    tokens: Vec<Token>,
    /// Members that something happened to in this turn.
    touched: Vec<usize>,
    /// Members whose links must be looked at every turn.
    watched: Vec<usize>,
    /// Room for a datagram that came back.
    returned: Vec<u8>,
    /// Members whose links do not tell of all that arrives.
    patient: Vec<usize>,
    turn_ns_max: u64,
    /// Turns since the poll was asked.
    unpolled_turns: u32,
}

/// One member at work.
struct Seat<R> {
    role: R,
    port: Port,
    disk: Option<Disk>,
    source: Option<RawFd>,
    /// When its link wants to be told the time.
    link_wake: Time,
    /// Datagrams without room to be sent that the role has been told of.
    unsent_told: u64,
    is_started: bool,
    is_ready: bool,
    is_touched: bool,
    is_watched: bool,
}

/// What all members of a host use in turn.
struct Shared {
    timers: Timers,
    children: Children,
    /// When children that write without end are read again.
    children_at: Time,
    gather: Gather,
    /// Whose datagrams are being gathered.
    gathering: Option<usize>,
    /// What could not even be begun, to be told in the next turn.
    later: VecDeque<(usize, Done)>,
    /// Members that cannot go on.
    ended: Vec<usize>,
    /// A disk was given something in this turn, or has done it: an answer is near.
    is_near: bool,
    sink: Sink,
}

impl<R: Role> Host<R> {
    /// A host without members. `sink` hears their notices.
    ///
    /// # Errors
    /// When the kernel gives no poll.
    pub fn new(sink: Sink) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let shared = Shared {
            timers: Timers::with_capacity(TIMERS_START),
            children: Children::new(poll.registry().try_clone()?),
            children_at: Time(0),
            gather: Gather::new(),
            gathering: None,
            later: VecDeque::new(),
            ended: Vec::new(),
            is_near: false,
            sink,
        };
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            waker,
            is_stopped: Arc::default(),
            is_leaving: Arc::default(),
            done: bounded(DONE_MAX),
            kills: bounded(DONE_MAX),
            seats: Vec::new(),
            shared,
            clock: Clock::new(),
            idle: Idle::new(Strategy::PARK),
            burst: RxBurst::new(BURST_SLOTS),
            ready: VecDeque::new(),
            tokens: Vec::with_capacity(EVENTS_MAX),
            touched: Vec::new(),
            watched: Vec::new(),
            returned: vec![0; MTU],
            patient: Vec::new(),
            turn_ns_max: 0,
            unpolled_turns: 0,
        })
    }

    /// How to wait when there is nothing to do. A host parks at once unless it is told otherwise.
    /// One that never parks looks at every link itself, and no datagram has to wake anybody.
    ///
    /// # Errors
    /// When a link cannot be registered to be waited for.
    pub fn wait_by(&mut self, strategy: Strategy) -> io::Result<()> {
        self.idle = Idle::new(strategy);
        for index in 0..self.seats.len() {
            let Some(Some(seat)) = self.seats.get_mut(index) else { continue };
            if let Some(fd) = seat.source.take() {
                self.poll.registry().deregister(&mut SourceFd(&fd))?;
            }
            let link_source = seat.port.link.source();
            let source = self.register(index, link_source)?;
            if let Some(Some(seat)) = self.seats.get_mut(index) {
                seat.source = source;
            }
            self.watch(index);
            self.mark_ready(index);
        }
        Ok(())
    }

    /// Has the poll say when a member's link has something, unless it is looked at all the time.
    fn register(&self, index: usize, source: Option<RawFd>) -> io::Result<Option<RawFd>> {
        let Some(fd) = source.filter(|_| self.idle.strategy().parks()) else { return Ok(None) };
        let token = Token(FIRST_LINK + index);
        self.poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        Ok(Some(fd))
    }

    /// Takes in a member and returns its number, counted from 0. It starts in the next turn.
    ///
    /// # Errors
    /// When its link cannot be registered, or its disk writer gets no thread.
    pub fn add(&mut self, member: Member<R>) -> io::Result<usize> {
        let index = self.seats.len();
        let source = self.register(index, member.link.source())?;
        let start_disk =
            |store| Disk::start(store, self.done_sender(index), member.counters.clone());
        let disk = member.store.map(start_disk).transpose()?;
        if member.link.is_patient() {
            self.patient.push(index);
        }
        let port = Port { link: member.link, sealer: member.sealer, counters: member.counters };
        self.seats.push(Some(Seat {
            role: member.role,
            port,
            disk,
            source,
            link_wake: Time::NEVER,
            unsent_told: 0,
            is_started: false,
            is_ready: false,
            is_touched: false,
            is_watched: false,
        }));
        self.mark_ready(index);
        Ok(index)
    }

    /// A handle to stop this host, or one of its members, from another thread.
    #[must_use]
    pub fn handle(&self) -> HostHandle {
        HostHandle {
            waker: Arc::clone(&self.waker),
            is_stopped: Arc::clone(&self.is_stopped),
            is_leaving: Arc::clone(&self.is_leaving),
            kills: self.kills.0.clone(),
        }
    }

    /// Where other threads put what they have done for a member.
    #[must_use]
    pub fn done_sender(&self, member: usize) -> DoneSender {
        DoneSender::new(member, self.done.0.clone(), Arc::clone(&self.waker))
    }

    /// The role of a member, if it is still here.
    #[must_use]
    pub fn role(&self, member: usize) -> Option<&R> {
        Some(&self.seats.get(member)?.as_ref()?.role)
    }

    /// Turns until [`HostHandle::stop`] is called or no member is left.
    ///
    /// # Errors
    /// When the kernel's poll fails.
    pub fn run(&mut self) -> io::Result<()> {
        while !self.is_stopped.load(Ordering::Acquire) && self.seats.iter().any(Option::is_some) {
            self.turn(WAIT_MAX)?;
        }
        Ok(())
    }

    /// One turn: waits until something happens, at most for `wait`, and handles all of it.
    ///
    /// # Errors
    /// When the kernel's poll fails.
    pub fn turn(&mut self, wait: Duration) -> io::Result<()> {
        let patience = self.patience(wait);
        self.unpolled_turns += 1;
        self.tokens.clear();
        if self.idle.strategy().parks() || self.unpolled_turns > UNPOLLED_TURNS_MAX {
            self.unpolled_turns = 0;
            self.ask_poll(patience)?;
        }
        self.work()
    }

    /// The turn after its wait.
    fn work(&mut self) -> io::Result<()> {
        let now = self.clock.sample();
        // This thread may have stood still since the poll answered, and an interrupted poll has told
        // nothing. Before anybody is judged by this clock, ask for what has arrived until then.
        if self.shared.timers.next() <= now.at && self.idle.strategy().parks() {
            self.ask_poll(Duration::ZERO)?;
        }
        self.finish(now);
        self.receive(now);
        self.expire(now);
        self.end_burst(now);
        self.account(now);
        Ok(())
    }

    /// Waits until the poll has something, and notes what it says.
    fn ask_poll(&mut self, patience: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(patience)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            result => result?,
        }
        self.tokens.extend(self.events.iter().map(Event::token));
        Ok(())
    }

    /// How long the poll may wait.
    fn patience(&mut self, wait: Duration) -> Duration {
        if !self.ready.is_empty() || !self.shared.later.is_empty() {
            return Duration::ZERO;
        }
        match self.idle.on_empty() {
            Wait::Park => {}
            Wait::Spin => return Duration::ZERO,
            Wait::Yield => {
                thread::yield_now();
                return Duration::ZERO;
            }
        }
        let asks = !self.watched.is_empty() || self.shared.children.is_busy();
        let wait = if asks { wait.min(ASK_AGAIN) } else { wait };
        match self.shared.timers.next() {
            Time::NEVER => wait,
            next => wait.min(Duration::from_nanos(next.since(clock::now()))),
        }
    }

    /// Calls a member's role with an outbox; false when the member is gone.
    fn call(
        &mut self,
        index: usize,
        now: Now,
        handler: impl FnOnce(&mut R, &mut HostOutbox<'_>),
    ) -> bool {
        self.gather_for(index);
        let Some(Some(seat)) = self.seats.get_mut(index) else { return false };
        if !std::mem::replace(&mut seat.is_touched, true) {
            self.touched.push(index);
        }
        let mut out = HostOutbox {
            member: index,
            port: &mut seat.port,
            disk: &mut seat.disk,
            shared: &mut self.shared,
        };
        if !std::mem::replace(&mut seat.is_started, true) {
            seat.role.on_start(now, &mut out);
        }
        handler(&mut seat.role, &mut out);
        true
    }

    /// Sends off what was gathered for another member than `index`.
    fn gather_for(&mut self, index: usize) {
        if self.shared.gathering == Some(index) {
            return;
        }
        let before = self.shared.gathering.replace(index);
        match before.and_then(|before| self.seats.get_mut(before)) {
            Some(Some(seat)) => self.shared.gather.close_all(&mut seat.port),
            Some(None) | None => self.shared.gather.discard(),
        }
    }

    fn mark_ready(&mut self, index: usize) {
        if let Some(Some(seat)) = self.seats.get_mut(index)
            && !std::mem::replace(&mut seat.is_ready, true)
        {
            self.ready.push_back(index);
        }
    }

    /// Ends a member as a kill would: nothing more is sent, and its children are killed. Its disk
    /// writer, if it has one, is left to finish what it was handed.
    fn remove(&mut self, index: usize) {
        let Some(mut seat) = self.seats.get_mut(index).and_then(Option::take) else { return };
        if let Some(disk) = seat.disk.take() {
            disk.abandon();
        }
        if let Some(fd) = seat.source {
            // A descriptor that cannot be taken out leaves the poll when it is closed.
            let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
        }
        self.shared.children.abandon(index);
        if self.shared.gathering == Some(index) {
            self.shared.gather.discard();
        }
    }

    /// Records how long the turn has taken, with the members that took part in it.
    fn account(&mut self, began: Now) {
        let turn_ns = clock::now().since(began.at);
        let is_longest = turn_ns > self.turn_ns_max;
        self.turn_ns_max = self.turn_ns_max.max(turn_ns);
        if !self.touched.is_empty() {
            self.idle.on_work();
        }
        if std::mem::take(&mut self.shared.is_near) {
            self.idle.on_near();
        }
        for index in self.touched.drain(..) {
            let Some(Some(seat)) = self.seats.get_mut(index) else { continue };
            seat.is_touched = false;
            if is_longest {
                seat.port.counters.set(Counter::LoopMaxNs, turn_ns);
            }
            if turn_ns > SLOW_TURN_NS {
                seat.port.counters.add(Counter::LoopOverThreshold, 1);
            }
        }
    }
}

impl<R> fmt::Debug for Host<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = self.seats.iter().flatten().count();
        f.debug_struct("Host").field("members", &members).finish_non_exhaustive()
    }
}
