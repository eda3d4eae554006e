//! Once a host or a channel is warm, frames, messages and timers cost no allocation, on any link.
#![expect(clippy::unwrap_used, reason = "a test says what it waits for by failing")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use syncom_engine::allocation::{self, Counting};
use syncom_engine::channel::{Channel, Refused};
use syncom_engine::clock;
use syncom_engine::counters::Counters;
use syncom_engine::host::{Host, Member};
use syncom_engine::link::mem::Hub;
use syncom_engine::link::xdp::lab::{INTERFACE, Lab};
use syncom_engine::link::xdp::{Config, Mode};
use syncom_engine::link::{self, Kind, Link, Options};
use syncom_engine::seal::{ClusterKeys, Sealer};
use syncom_seam::{Counter, Done, MS, Now, Origin, Outbox, Role, SECOND, Timer};
use syncom_wire::control::Line;
use syncom_wire::{Addr, Boot, Frame, PeerId};

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

type Pair = [Box<dyn Link>; 2];

/// Two links of every kind that this host can open. One that it cannot says why.
fn pairs() -> Vec<(&'static str, Pair)> {
    let mut pairs = Vec::new();
    let mut take = |name, pair: io::Result<Pair>| match pair {
        Ok(pair) => pairs.push((name, pair)),
        Err(error) => eprintln!("{name} cannot run here: {error}"),
    };
    take("mem", sockets(&Kind::Mem(Hub::new())));
    take("mmsg", sockets(&Kind::Mmsg));
    take("uring", sockets(&Kind::Uring));
    take("xdp native", wire(Mode::Native));
    take("xdp generic", wire(Mode::Generic));
    pairs
}

fn sockets(kind: &Kind) -> io::Result<Pair> {
    let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into();
    let open = || link::open(kind, bind, &Options::LARGE).map_err(io::Error::other);
    Ok([open()?, open()?])
}

/// Two namespaces with a wire between them.
fn wire(mode: Mode) -> io::Result<Pair> {
    let lab = Lab::pair()?;
    lab.introduce()?;
    let open = |seat: u8| {
        let kind = Kind::Xdp(Config { mode, ..Config::new(INTERFACE) });
        let bind = Addr::v4([10, 77, 0, seat + 1], 4000);
        let open = || link::open(&kind, bind, &Options::LARGE).map_err(io::Error::other);
        lab.seats[usize::from(seat)].enter(open)
    };
    Ok([open(0)?, open(1)?])
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
    let deadline = clock::now().after(60 * SECOND);
    while host.role(0).unwrap().timers < timers {
        assert!(clock::now() < deadline, "{timers} timers");
        host.turn(Duration::from_millis(20)).unwrap();
    }
}

#[test]
fn a_warm_host_allocates_nothing_per_frame_and_timer_on_any_link() {
    assert!(allocation::is_counted());
    for (name, [near, far]) in pairs() {
        let mut host = Host::new(Box::new(|_, _| {})).unwrap();
        let to = far.local_addr();
        host.add(member(far, 2, None)).unwrap();
        host.add(member(near, 1, Some(to))).unwrap();
        turn_until_timers(&mut host, 500);
        let before = allocation::on_this_thread();
        turn_until_timers(&mut host, 1500);
        assert_eq!(allocation::on_this_thread() - before, 0, "{name}");
        assert!(host.role(1).unwrap().frames >= 1000, "{name}");
    }
}

/// Both ways onto the line, lengths that straddle datagrams, and none lost.
#[test]
fn a_warm_channel_allocates_nothing_per_message_on_any_link() {
    for (name, [near, far]) in pairs() {
        let to = SocketAddr::from(far.local_addr());
        let uri = format!("udp://{to}?window=128k&cc=static");
        let builder = |link| Channel::builder(&uri).unwrap().secret("lab", &[7; 32]).opened(link);
        let mut listener = builder(far).subscription().unwrap();
        let mut speaker = builder(near).publication().unwrap();
        let deadline = clock::now().after(60 * SECOND);
        let (mut sent, mut heard) = (0, 0);
        let mut run = |count: u64| {
            while heard < count {
                assert!(clock::now() < deadline, "{name}: {heard} of {sent}");
                while sent < count {
                    let put = if sent % 2 == 0 {
                        speaker.offer(&[7; 700]).map(|position| assert!(position > 0))
                    } else {
                        speaker.claim(300).map(|claim| assert!(claim.commit() > 0))
                    };
                    match put {
                        Ok(()) => sent += 1,
                        Err(refused) => {
                            assert_eq!(refused, Refused::Full, "{name}");
                            break;
                        }
                    }
                }
                speaker.poll().unwrap();
                heard += listener.poll(64, |_, _| {}).unwrap() as u64;
            }
        };
        run(5_000);
        let before = allocation::on_this_thread();
        run(15_000);
        assert_eq!(allocation::on_this_thread() - before, 0, "{name}");
        // Each byte of the line is copied once into a datagram, and those of messages that straddle
        // datagrams once more when they are gathered.
        let line = speaker.channel().counter(Counter::StreamCopiedOut);
        let gathered = listener.channel().counter(Counter::StreamCopiedIn);
        assert!(line >= 15_000 * 504, "{name}: {line} bytes sent");
        assert!(gathered > 0 && gathered < line, "{name}: {gathered} of {line} bytes gathered");
    }
}
