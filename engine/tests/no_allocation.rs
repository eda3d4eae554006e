//! Once a host is warm, frames and timers cost no allocation.
#![expect(clippy::unwrap_used, reason = "a test says what it waits for by failing")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use syncom_engine::channel::Channel;
use syncom_engine::clock;
use syncom_engine::counters::Counters;
use syncom_engine::host::{Host, Member};
use syncom_engine::link::xdp::lab::{INTERFACE, Lab};
use syncom_engine::link::xdp::{Config, Mode};
use syncom_engine::link::{self, Kind, Link, Options};
use syncom_engine::seal::{ClusterKeys, Sealer};
use syncom_seam::{Done, MS, Now, Origin, Outbox, Role, SECOND, Timer};
use syncom_wire::control::Line;
use syncom_wire::{Addr, Boot, Frame, PeerId};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it came; counting touches only a
// thread-local cell that needs neither allocation nor destruction.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps `alloc`'s conditions, which are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the memory came from the system's allocator, with this layout.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Answers every line, and arms a timer for each.
struct Echo {
    first_to: Option<Addr>,
    frames: u64,
    timers: u64,
}

impl Role for Echo {
    fn on_start<O: Outbox>(&mut self, _: Now, out: &mut O) {
        if let Some(to) = self.first_to {
            out.send(to, &Line { text: "ping" });
        }
    }

    fn on_frame<O: Outbox>(&mut self, now: Now, from: &Origin, _: &Frame<'_>, out: &mut O) {
        self.frames += 1;
        out.arm(Timer { kind: 1, generation: 1, key: self.frames }, now.at.after(MS));
        if self.frames.is_multiple_of(2) {
            out.send(from.addr, &Line { text: "ping" });
        } else {
            out.send_all(&[from.addr], &Line { text: "ping" });
        }
    }

    fn on_timer<O: Outbox>(&mut self, _: Now, _: Timer, _: &mut O) {
        self.timers += 1;
    }

    fn on_done<O: Outbox>(&mut self, _: Now, _: Done, _: &mut O) {}

    fn on_burst_end<O: Outbox>(&mut self, _: Now, _: &mut O) {}
}

fn member(link: Box<dyn Link>, number: u16, first_to: Option<Addr>) -> Member<Echo> {
    let keys = ClusterKeys::new("lab", &[7; 32], ClusterKeys::FIRST_EPOCH);
    let boot = Boot(clock::read().wall.0);
    Member {
        role: Echo { first_to, frames: 0, timers: 0 },
        link,
        sealer: Sealer::new(keys, PeerId::satellite(number), boot, 0, 64).unwrap(),
        counters: Counters::anonymous(),
        store: None,
    }
}

fn turn_until_timers(host: &mut Host<Echo>, timers: u64) {
    let deadline = clock::now().after(20 * SECOND);
    while host.role(0).unwrap().timers < timers {
        assert!(clock::now() < deadline, "{timers} timers");
        host.turn(Duration::from_millis(20)).unwrap();
    }
}

fn allocates_nothing(kind: &Kind) {
    let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into();
    allocate_nothing([(); 2].map(|()| link::open(kind, bind, &Options::SMALL).unwrap()));
}

fn allocate_nothing([near, far]: [Box<dyn Link>; 2]) {
    let mut host = Host::new(Box::new(|_, _| {})).unwrap();
    let to = far.local_addr();
    host.add(member(far, 2, None)).unwrap();
    host.add(member(near, 1, Some(to))).unwrap();
    turn_until_timers(&mut host, 1000);
    let before = ALLOCATIONS.get();
    turn_until_timers(&mut host, 4000);
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert!(host.role(1).unwrap().frames >= 3000);
}

#[test]
fn a_warm_channel_allocates_nothing_per_message() {
    let builder = |uri: &str| Channel::builder(uri).unwrap().secret("lab", &[7; 32]);
    let mut listener = builder("udp://127.0.0.1:0").subscription().unwrap();
    let to: SocketAddr = listener.channel().local_addr().into();
    let mut speaker = builder(&format!("udp://{to}")).publication().unwrap();
    let deadline = clock::now().after(60 * SECOND);
    let mut run = |count: u64| {
        let (mut sent, mut heard) = (0, 0);
        while heard < count {
            assert!(clock::now() < deadline, "{heard} of {sent}");
            while sent < count && speaker.offer(&[7; 700]).is_ok() {
                sent += 1;
            }
            speaker.poll().unwrap();
            heard += listener.poll(64, |_, _| {}).unwrap() as u64;
        }
    };
    run(20_000);
    let before = ALLOCATIONS.get();
    run(50_000);
    assert_eq!(ALLOCATIONS.get() - before, 0);
}

#[test]
fn a_warm_host_allocates_nothing_per_frame_and_timer() {
    allocates_nothing(&Kind::Mmsg);
}

#[test]
fn nor_does_it_with_io_uring() {
    let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into();
    match link::open(&Kind::Uring, bind, &Options::SMALL) {
        Ok(_) => allocates_nothing(&Kind::Uring),
        Err(error) => eprintln!("cannot run here: {error}"),
    }
}

#[test]
fn nor_does_it_past_the_kernel() {
    for mode in [Mode::Native, Mode::Generic] {
        let lab = match Lab::pair() {
            Ok(lab) => lab,
            Err(error) => return eprintln!("cannot run here: {error}"),
        };
        lab.introduce().unwrap();
        let kind = Kind::Xdp(Config { mode, ..Config::new(INTERFACE) });
        let links = [1, 2].map(|number| {
            let bind = SocketAddr::from(([10, 77, 0, number], 0)).into();
            let open = || link::open(&kind, bind, &Options::SMALL).map_err(std::io::Error::other);
            lab.seats[usize::from(number) - 1].enter(open).unwrap()
        });
        allocate_nothing(links);
    }
}
