//! `syncom bench stream`: one sender, one receiver or many, as fast as it goes.

mod report;
mod stop;

use super::message::{Proof, write};
use super::pair::{Other, arguments, channel_with, pin_at, pin_to};
use crate::args::{BenchStream, LinkName};
use crate::exit::{Failure, Outcome};
use report::{Sent, report};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use stop::Stop;
use syncom_engine::channel::{Builder, ChannelError, Event, Phase, Publication, Refused};
use syncom_engine::clock;
use syncom_engine::idle::{Idle, Strategy, Wait};
use syncom_engine::link::fault::{FaultLink, Faults};
use syncom_engine::link::{self, Kind, Options};
use syncom_seam::{Counter, SECOND, Time};

/// The multicast group of the bench.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 77, 1, 8);
/// Messages between two looks at the clock.
const ROUND: usize = 4096;
/// Without any progress for so long, the case has failed.
const PATIENCE_NS: u64 = 10 * SECOND;

/// Runs the case, or the receiver's part of it.
pub(super) fn run(args: &BenchStream) -> Outcome {
    if args.loss > 0 && !matches!(args.pair.link, LinkName::Auto | LinkName::Mmsg) {
        return Err(Failure::usage("--loss spoils what sockets move: leave --link out"));
    }
    if args.pair.other.is_some() { receive(args) } else { send(args) }
}

fn failed(error: ChannelError) -> Failure {
    Failure::failed(error.to_string())
}

/// The receiving process: says where it listens, reads until the end, says what it saw.
fn receive(args: &BenchStream) -> Outcome {
    pin_at(args.place.into());
    let here = match args.pair.other {
        Some(group) if group.ip().is_multicast() => group,
        Some(_) | None => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    };
    let group = if args.place == 0 { "&group=1" } else { "" };
    let builder = lossy(args, channel_with(&args.pair, here, group)?, here)?;
    let mut subscription = builder.subscription().map_err(failed)?;
    let address: SocketAddr = subscription.channel().local_addr().into();
    println!("{}", json!({"address": address.to_string()}));
    let size = args.pair.size as usize;
    let (mut proof, mut idle) = (Proof::default(), Idle::new(Strategy::YIELD));
    let (mut began, mut heard, mut cpu, mut told) = (None, clock::now(), 0, 0_u64);
    loop {
        let count = subscription
            .poll(ROUND, |_, message| proof.see_or_skip(message, size))
            .map_err(failed)?;
        if count > 0 {
            heard = clock::now();
            if began.is_none() {
                (began, cpu) = (Some(heard), clock::cpu_ns());
            }
            idle.on_work();
        }
        match subscription.take_event() {
            Some(Event::Ended(_)) => break,
            Some(Event::Missed(..)) => told += 1,
            Some(_) => continue,
            None => {}
        }
        if count > 0 {
            continue;
        }
        let patience_ns = PATIENCE_NS + if began.is_none() { PATIENCE_NS } else { 0 };
        if clock::now().since(heard) > patience_ns {
            return Err(Failure::failed("the sender fell silent"));
        }
        pause(&mut idle);
    }
    let span_ns = heard.since(began.unwrap_or(heard)).max(1);
    let cpu_ns = clock::cpu_ns() - cpu;
    // The sender hears that all has arrived.
    let until = heard.after(SECOND / 5);
    while clock::now() < until {
        subscription.poll(1, |_, _| {}).map_err(failed)?;
    }
    println!(
        "{}",
        json!({"count": proof.count - proof.missed, "wrong": proof.wrong, "hash": proof.hash(),
               "span_ns": span_ns, "cpu_ns": cpu_ns,
               // What is missing was told before, or it is lost.
               "missed": proof.missed, "untold": proof.gaps.saturating_sub(told),
               "overflow": subscription.channel().counter(Counter::RxOverflow)})
    );
    Ok(())
}

fn pause(idle: &mut Idle) {
    match idle.on_empty() {
        Wait::Spin => std::hint::spin_loop(),
        Wait::Yield | Wait::Park => std::thread::yield_now(),
    }
}

/// The sending process: starts the receiver, sends for the time given, and judges.
fn send(args: &BenchStream) -> Outcome {
    let to = match args.multicast {
        0 => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        // A group of this run's own, so that two runs never meet.
        _ => SocketAddr::from((
            GROUP,
            20_000 + u16::try_from(std::process::id() % 20_000).unwrap_or(0),
        )),
    };
    let start = |place: u16| {
        let more = ["--place".into(), place.to_string(), "--loss".into(), args.loss.to_string()];
        Other::start("stream", &[arguments(&args.pair), more.into()].concat(), to)
    };
    let mut others: Vec<_> = (0..args.multicast.max(1)).map(start).collect::<Result<_, _>>()?;
    let mut address = to;
    for other in &mut others {
        let bound = other.address()?;
        if args.multicast == 0 {
            address = bound;
        }
    }
    pin_to(true);
    let mut publication = open(args, address)?;
    let stop = args.stop.filter(|_| args.multicast > 0);
    let stop = stop.and_then(|span| Some(Stop::new(others.first()?.id(), span)));
    let sent = pump(args, &mut publication, others.len(), stop)?;
    let mut heard = Vec::with_capacity(others.len());
    for other in &mut others {
        heard.push(other.line()?);
    }
    others.into_iter().try_for_each(Other::join)?;
    report(args, &publication, &sent, &heard)
}

fn open(args: &BenchStream, address: SocketAddr) -> Result<Publication, Failure> {
    let BenchStream { flow, linger, history, .. } = args;
    let more = format!("&flow={flow}&linger={linger}&history={history}");
    let here = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let builder = lossy(args, channel_with(&args.pair, address, &more)?, here)?;
    let mut publication = builder.publication().map_err(failed)?;
    if args.multicast == 0 {
        publication.connect(address).map_err(failed)?;
    }
    Ok(publication)
}

/// Makes what is sent from `here` suffer, if it shall: each datagram by itself, whatever run it
/// would travel in. Both ends do, so requests and statuses are lost as often as data.
fn lossy(args: &BenchStream, builder: Builder, here: SocketAddr) -> Result<Builder, Failure> {
    if args.loss == 0 || here.ip().is_multicast() {
        return Ok(builder);
    }
    // As a channel opens it.
    let options = Options { rx_buffer: 32 << 20, is_stamped: false, ..Options::LARGE };
    let inner = link::open(&Kind::Mmsg, here.into(), &options)
        .map_err(|error| Failure::failed(error.to_string()))?;
    let faults = Faults { loss_ppm: args.loss * 10_000, ..Faults::default() };
    let seed = 1 + u64::from(args.pair.other.is_some());
    Ok(builder.opened(Box::new(FaultLink::new(inner, faults, seed, &options))))
}

/// Sends numbered messages until the time is over and all have arrived.
fn pump(
    args: &BenchStream,
    publication: &mut Publication,
    listeners: usize,
    mut stop: Option<Stop>,
) -> Result<Sent, Failure> {
    let size = args.pair.size as usize;
    let (mut message, mut proof) = (vec![7; size], Proof::default());
    introduce(publication, &mut message, &mut proof, listeners)?;
    let (began, cpu) = (clock::now(), clock::cpu_ns());
    let over = began.after(u64::from(args.pair.seconds) * SECOND);
    if let Some(stop) = &mut stop {
        stop.plan(began, over);
    }
    let mut progress = Progress::new(began, stop);
    loop {
        let now = clock::now();
        if now >= over {
            break;
        }
        let left = match args.rate {
            0 => ROUND,
            rate => allowed(rate, now.since(began), proof.count),
        };
        for _ in 0..left {
            write(&mut message, proof.count);
            while let Err(refused) = put(publication, &message, args.claim) {
                progress.wait(publication, refused)?;
            }
            proof.see(&message, size);
        }
        progress.look(now)?;
        if args.rate > 0 {
            progress.wait(publication, Refused::Full)?;
        }
    }
    publication.end();
    while publication.phase() != Phase::Ended {
        progress.wait(publication, Refused::Full)?;
    }
    let stalled_ns = progress.finish()?;
    Ok(Sent { proof, cpu_ns: clock::cpu_ns() - cpu, stalled_ns })
}

/// How many messages may be offered now, of so many per second.
fn allowed(rate: u64, elapsed_ns: u64, sent: u64) -> usize {
    let due = u128::from(rate) * u128::from(elapsed_ns) / u128::from(SECOND);
    let left = u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(sent);
    usize::try_from(left).unwrap_or(ROUND).min(ROUND)
}

/// The first message, by which all who listen become known.
fn introduce(
    publication: &mut Publication,
    message: &mut [u8],
    proof: &mut Proof,
    listeners: usize,
) -> Outcome {
    write(message, 0);
    publication.offer(message).map_err(|refused| Failure::failed(refused.to_string()))?;
    proof.see(message, message.len());
    let over = clock::now().after(PATIENCE_NS);
    while publication.listeners() < listeners {
        if clock::now() > over {
            return Err(Failure::failed("not all receivers are heard"));
        }
        publication.poll().map_err(failed)?;
    }
    Ok(())
}

#[inline]
fn put(publication: &mut Publication, message: &[u8], claims: bool) -> Result<(), Refused> {
    if !claims {
        return publication.offer(message).map(|_| ());
    }
    let mut claim = publication.claim(message.len())?;
    claim.copy_from_slice(message);
    let _ = claim.commit();
    Ok(())
}

/// What the sender sees of its receivers while it waits for them.
struct Progress {
    acknowledged: u64,
    moved: Time,
    /// The longest time without progress.
    stalled_ns: u64,
    idle: Idle,
    stop: Option<Stop>,
}

impl Progress {
    fn new(began: Time, stop: Option<Stop>) -> Self {
        Self {
            acknowledged: 0,
            moved: began,
            stalled_ns: 0,
            idle: Idle::new(Strategy::YIELD),
            stop,
        }
    }

    /// Stops a receiver, or lets it go on, when it is time.
    fn look(&mut self, now: Time) -> Outcome {
        self.stop.as_mut().map_or(Ok(()), |stop| stop.look(now))
    }

    /// There is no room: lets the channel work, as long as receivers make progress.
    fn wait(&mut self, publication: &mut Publication, refused: Refused) -> Outcome {
        if refused != Refused::Full {
            return Err(Failure::failed(refused.to_string()));
        }
        publication.poll().map_err(failed)?;
        let acknowledged = publication.acknowledged();
        if acknowledged != self.acknowledged {
            let now = clock::now();
            self.stalled_ns = self.stalled_ns.max(now.since(self.moved));
            (self.acknowledged, self.moved) = (acknowledged, now);
            self.idle.on_work();
            return Ok(());
        }
        let now = clock::now();
        self.look(now)?;
        let is_stopped = self.stop.as_ref().is_some_and(Stop::is_under_way);
        if now.since(self.moved) > PATIENCE_NS && !is_stopped {
            return Err(Failure::failed("the receiver fell silent"));
        }
        pause(&mut self.idle);
        Ok(())
    }

    /// The longest stall.
    fn finish(self) -> Result<u64, Failure> {
        match self.stop {
            Some(stop) if !stop.is_over() => {
                Err(Failure::failed("the run was too short to stop a receiver and let it return"))
            }
            Some(_) | None => Ok(self.stalled_ns),
        }
    }
}
