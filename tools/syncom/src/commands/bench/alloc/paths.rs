//! Ways of a message through a link, and what one costs there.

use super::links::Pair;
use crate::args::{BenchAlloc, OnOff};
use crate::commands::bench::message::{Proof, write};
use crate::commands::bench::pair::{float, keys, sealer_of};
use crate::exit::Failure;
use std::net::SocketAddr;
use std::time::Duration;
use syncom_engine::channel::{Channel, ChannelError, Publication, Refused, Subscription};
use syncom_engine::counters::Counters;
use syncom_engine::host::{Host, Member};
use syncom_engine::{allocation, clock};
use syncom_seam::{Counter, Done, Now, Origin, Outbox, Role, SECOND, Timer};
use syncom_wire::control::Line;
use syncom_wire::{Addr, Frame};

/// Messages before those that count: every table has grown by then.
const WARM_UP: u64 = 50_000;
/// Messages between two looks at the clock.
const ROUND: u64 = 512;
/// Frames that two roles keep in the air.
const IN_THE_AIR: usize = 32;
/// Without progress for so long, a path has failed.
const PATIENCE_NS: u64 = 10 * SECOND;
/// Bytes in front of a message on the line.
const PREFIX: u64 = 4;

/// A way through a pair of links.
type Walk = fn(&BenchAlloc, Pair) -> Result<Cost, Failure>;

/// All ways.
pub(super) const PATHS: [(&str, Walk); 3] = [
    ("datagrams", datagrams),
    ("offer", |args, pair| stream(args, pair, false)),
    ("claim", |args, pair| stream(args, pair, true)),
];

/// What messages have cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    pub(super) messages: u64,
    pub(super) allocations: u64,
    /// How often a byte of a stream was copied by us on its way out, and in.
    pub(super) copies: Option<[f64; 2]>,
    pub(super) cpu_ns: u64,
    pub(super) elapsed_ns: u64,
    pub(super) hash: u64,
}

impl Cost {
    pub(super) fn allocations_per_message(&self) -> f64 {
        float(self.allocations) / float(self.messages.max(1))
    }

    pub(super) const fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.allocations += other.allocations;
        self.cpu_ns += other.cpu_ns;
        self.elapsed_ns += other.elapsed_ns;
        self.hash ^= other.hash.rotate_left(7);
    }
}

/// Readings before a measured stretch.
struct Meter {
    allocations: u64,
    cpu_ns: u64,
    began: syncom_seam::Time,
}

impl Meter {
    fn start() -> Self {
        let (cpu_ns, began) = (clock::cpu_ns(), clock::now());
        Self { cpu_ns, began, allocations: allocation::on_this_thread() }
    }

    fn stop(&self, messages: u64, hash: u64) -> Cost {
        let allocations = allocation::on_this_thread() - self.allocations;
        Cost {
            messages,
            allocations,
            cpu_ns: clock::cpu_ns() - self.cpu_ns,
            elapsed_ns: clock::now().since(self.began),
            hash,
            ..Cost::default()
        }
    }

    fn is_over(&self, args: &BenchAlloc) -> bool {
        clock::now().since(self.began) >= u64::from(args.seconds) * SECOND
    }
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::failed(error.to_string())
}

/// Sends every line back to where it came from.
struct Echo {
    text: String,
    first_to: Option<Addr>,
    frames: u64,
}

impl Role for Echo {
    fn on_start<O: Outbox>(&mut self, _: Now, out: &mut O) {
        if let Some(to) = self.first_to {
            (0..IN_THE_AIR).for_each(|_| out.send(to, &Line { text: &self.text }));
        }
    }

    fn on_frame<O: Outbox>(&mut self, _: Now, from: &Origin, frame: &Frame<'_>, out: &mut O) {
        if let Frame::Line(line) = frame {
            self.frames += 1;
            // Both ways out: gathered with others, and encoded once for many.
            if self.frames.is_multiple_of(2) {
                out.send(from.addr, line);
            } else {
                out.send_all(&[from.addr], line);
            }
        }
    }

    fn on_timer<O: Outbox>(&mut self, _: Now, _: Timer, _: &mut O) {}

    fn on_done<O: Outbox>(&mut self, _: Now, _: Done, _: &mut O) {}

    fn on_burst_end<O: Outbox>(&mut self, _: Now, _: &mut O) {}
}

/// Two roles under one host.
fn datagrams(args: &BenchAlloc, [near, far]: Pair) -> Result<Cost, Failure> {
    let mut host = Host::new(Box::new(|_, _| {})).map_err(|error| failed(&error))?;
    let first_to = Some(far.local_addr());
    for (number, link, first_to) in [(2, far, None), (1, near, first_to)] {
        let text = "7".repeat(args.size as usize);
        let member = Member {
            role: Echo { text, first_to, frames: 0 },
            link,
            sealer: sealer_of(args.seal, number)?,
            counters: Counters::anonymous(),
            store: None,
        };
        host.add(member).map_err(|error| failed(&error))?;
    }
    let frames = |host: &Host<Echo>| host.role(0).map_or(0, |role| role.frames);
    let turn = |host: &mut Host<Echo>, upto: u64| {
        let over = clock::now().after(PATIENCE_NS);
        while frames(host) < upto {
            if clock::now() > over {
                return Err(Failure::failed("frames were lost"));
            }
            host.turn(Duration::ZERO).map_err(|error| failed(&error))?;
        }
        Ok(())
    };
    turn(&mut host, WARM_UP)?;
    let (meter, before) = (Meter::start(), frames(&host));
    while !meter.is_over(args) {
        let next = frames(&host) + ROUND;
        turn(&mut host, next)?;
    }
    let messages = frames(&host) - before;
    Ok(meter.stop(messages, u64::from(args.size)))
}

/// A stream whose ends take turns.
struct Stream {
    speaker: Publication,
    listener: Subscription,
    message: Vec<u8>,
    claims: bool,
    sent: Proof,
    heard: Proof,
}

fn stream(args: &BenchAlloc, [near, far]: Pair, claims: bool) -> Result<Cost, Failure> {
    let to = SocketAddr::from(far.local_addr());
    let seal = if args.seal == OnOff::On { "on" } else { "off" };
    // So little under way that neither a queue nor a receive buffer overflows.
    let uri = format!("udp://{to}?seal={seal}&window=128k&cc=static");
    let open = |link| {
        let builder = Channel::builder(&uri).map_err(|error| failed(&error))?;
        Ok::<_, Failure>(keys(builder).opened(link))
    };
    let to_failure = |error: ChannelError| failed(&error);
    let mut stream = Stream {
        listener: open(far)?.subscription().map_err(to_failure)?,
        speaker: open(near)?.publication().map_err(to_failure)?,
        message: vec![7; args.size as usize],
        claims,
        sent: Proof::default(),
        heard: Proof::default(),
    };
    stream.run(WARM_UP)?;
    let before = (stream.heard.count, stream.copied());
    let meter = Meter::start();
    while !meter.is_over(args) {
        stream.run(ROUND)?;
    }
    let messages = stream.heard.count - before.0;
    let cost = meter.stop(messages, stream.heard.hash());
    if stream.heard.wrong > 0 || stream.heard.hash() != stream.sent.hash() {
        return Err(Failure::failed("what was heard is not what was said"));
    }
    let copied = stream.copied();
    let line = float(messages * (PREFIX + u64::from(args.size)));
    let per_byte = |now: u64, before: u64| float(now - before) / line;
    // An offer copies the message onto the line; a claim is written there.
    let out = if claims { 0.0 } else { 1.0 } + per_byte(copied.0, before.1.0);
    Ok(Cost { copies: Some([out, per_byte(copied.1, before.1.1)]), ..cost })
}

impl Stream {
    /// Bytes copied out and in so far.
    fn copied(&self) -> (u64, u64) {
        let (out, into) = (self.speaker.channel(), self.listener.channel());
        (out.counter(Counter::StreamCopiedOut), into.counter(Counter::StreamCopiedIn))
    }

    /// Sends so many messages and reads them.
    fn run(&mut self, count: u64) -> Result<(), Failure> {
        let (until, size) = (self.sent.count + count, self.message.len());
        let mut patience = (clock::now(), self.heard.count);
        while self.heard.count < until {
            while self.sent.count < until {
                write(&mut self.message, self.sent.count);
                match self.put() {
                    Ok(()) => self.sent.see(&self.message, size),
                    Err(Refused::Full) => break,
                    Err(refused) => return Err(failed(&refused)),
                }
            }
            self.speaker.poll().map_err(|error| failed(&error))?;
            let proof = &mut self.heard;
            let read = self.listener.poll(4096, |_, message| proof.see(message, size));
            read.map_err(|error| failed(&error))?;
            let now = clock::now();
            if self.heard.count > patience.1 {
                patience = (now, self.heard.count);
            } else if now.since(patience.0) > PATIENCE_NS {
                return Err(Failure::failed("the stream stands still"));
            }
        }
        Ok(())
    }

    fn put(&mut self) -> Result<(), Refused> {
        if !self.claims {
            return self.speaker.offer(&self.message).map(drop);
        }
        let mut claim = self.speaker.claim(self.message.len())?;
        claim.copy_from_slice(&self.message);
        let _ = claim.commit();
        Ok(())
    }
}
