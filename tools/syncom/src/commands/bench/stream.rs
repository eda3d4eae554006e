//! `syncom bench stream`: one sender, one receiver, as fast as it goes.

use super::message::{Proof, write};
use super::pair::{Other, arguments, channel, float, host, pin_to};
use crate::args::{BenchStream, OnOff};
use crate::exit::{Failure, Outcome};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
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
    if args.pair.other.is_some() { receive(args) } else { send(args) }
}

fn failed(error: ChannelError) -> Failure {
    Failure::failed(error.to_string())
}

/// The receiving process: says where it listens, reads until the end, says what it saw.
fn receive(args: &BenchStream) -> Outcome {
    pin_to(false);
    let here = match args.pair.other {
        Some(group) if group.ip().is_multicast() => group,
        Some(_) | None => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    };
    let builder = lossy(args, channel(&args.pair, here)?, here)?;
    let mut subscription = builder.subscription().map_err(failed)?;
    let address: SocketAddr = subscription.channel().local_addr().into();
    println!("{}", json!({"address": address.to_string()}));
    let size = args.pair.size as usize;
    let (mut proof, mut idle) = (Proof::default(), Idle::new(Strategy::YIELD));
    let (mut began, mut heard, mut cpu) = (None, clock::now(), 0);
    loop {
        let count =
            subscription.poll(ROUND, |_, message| proof.see(message, size)).map_err(failed)?;
        if count > 0 {
            heard = clock::now();
            if began.is_none() {
                (began, cpu) = (Some(heard), clock::cpu_ns());
            }
            idle.on_work();
            continue;
        }
        match subscription.take_event() {
            Some(Event::Ended(_)) => break,
            Some(_) => continue,
            None => {}
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
        json!({"count": proof.count, "wrong": proof.wrong, "hash": proof.hash(),
               "span_ns": span_ns, "cpu_ns": cpu_ns,
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
    let mut words = arguments(&args.pair);
    words.extend(["--loss".into(), args.loss.to_string()]);
    let start = || Other::start("stream", &words, to);
    let mut others: Vec<_> =
        (0..args.multicast.max(1)).map(|_| start()).collect::<Result<_, _>>()?;
    let mut address = to;
    for other in &mut others {
        let bound = other.address()?;
        if args.multicast == 0 {
            address = bound;
        }
    }
    pin_to(true);
    let mut publication = open(args, address)?;
    let (proof, cpu_ns) = pump(args, &mut publication, others.len())?;
    let mut heard = Vec::with_capacity(others.len());
    for other in &mut others {
        heard.push(other.line()?);
    }
    others.into_iter().try_for_each(Other::join)?;
    report(args, &publication, proof, cpu_ns, &heard)
}

fn open(args: &BenchStream, address: SocketAddr) -> Result<Publication, Failure> {
    let here = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    lossy(args, channel(&args.pair, address)?, here)?.publication().map_err(failed)
}

/// Makes what is sent from `here` suffer, if it shall: each datagram by itself, whatever run it
/// would travel in. Both ends do, so requests and statuses are lost as often as data.
fn lossy(args: &BenchStream, builder: Builder, here: SocketAddr) -> Result<Builder, Failure> {
    if args.loss == 0 || here.ip().is_multicast() {
        return Ok(builder);
    }
    let options = Options { rx_buffer: 32 << 20, ..Options::LARGE };
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
) -> Result<(Proof, u64), Failure> {
    let size = args.pair.size as usize;
    let (mut message, mut proof) = (vec![7; size], Proof::default());
    introduce(publication, &mut message, &mut proof, listeners)?;
    let (began, cpu) = (clock::now(), clock::cpu_ns());
    let over = began.after(u64::from(args.pair.seconds) * SECOND);
    let mut progress = (0, began, Idle::new(Strategy::YIELD));
    while clock::now() < over {
        for _ in 0..ROUND {
            write(&mut message, proof.count);
            while let Err(refused) = put(publication, &message, args.claim) {
                full(publication, refused, &mut progress)?;
            }
            proof.see(&message, size);
        }
    }
    publication.end();
    while publication.phase() != Phase::Ended {
        full(publication, Refused::Full, &mut progress)?;
    }
    Ok((proof, clock::cpu_ns() - cpu))
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

/// There is no room: lets the channel work, as long as receivers make progress.
fn full(
    publication: &mut Publication,
    refused: Refused,
    progress: &mut (u64, Time, Idle),
) -> Result<(), Failure> {
    if refused != Refused::Full {
        return Err(Failure::failed(refused.to_string()));
    }
    publication.poll().map_err(failed)?;
    let acknowledged = publication.acknowledged();
    if acknowledged != progress.0 {
        (progress.0, progress.1) = (acknowledged, clock::now());
        progress.2.on_work();
    } else if clock::now().since(progress.1) > PATIENCE_NS {
        return Err(Failure::failed("the receiver fell silent"));
    } else {
        pause(&mut progress.2);
    }
    Ok(())
}

fn report(
    args: &BenchStream,
    publication: &Publication,
    sent: Proof,
    cpu_ns: u64,
    all: &[Value],
) -> Outcome {
    // Each receiver counts; the slowest one's rate is told, and all losses.
    let of = |heard: &Value, key: &str| heard[key].as_u64().unwrap_or(0);
    let losses = |heard: &Value| {
        let is_whole = of(heard, "wrong") == 0 && of(heard, "hash") == sent.hash();
        let missing = sent.count.abs_diff(of(heard, "count"));
        missing.max(of(heard, "wrong")).max(u64::from(!is_whole))
    };
    let lost: u64 = all.iter().map(losses).sum();
    let number = |key: &str| all.iter().map(|heard| of(heard, key)).sum::<u64>();
    let span_ns = all.iter().map(|heard| of(heard, "span_ns")).max().unwrap_or(0);
    let count = number("count") / all.len().max(1) as u64;
    let rate = float(count) * 1e9 / float(span_ns.max(1));
    let per_op = |ns: u64| float(ns) / float(count.max(1));
    let channel = publication.channel();
    let result = json!({
        "case": "stream",
        "link": args.pair.link.name(),
        "size_b": args.pair.size,
        "mtu": args.pair.mtu,
        "seal": args.pair.seal == OnOff::On,
        "seconds": args.pair.seconds,
        "msgs_per_s": rate.round(),
        "bytes_per_s": (rate * f64::from(args.pair.size)).round(),
        "lost": lost,
        "repaired": channel.counter(Counter::StreamResent),
        "datagrams": channel.counter(Counter::TxDatagrams),
        "overflow": number("overflow"),
        "cpu_ns_per_op": per_op(cpu_ns + number("cpu_ns")),
        "cpu_ns_per_byte": per_op(cpu_ns + number("cpu_ns")) / f64::from(args.pair.size.max(1)),
        "cpu_ns_per_op_sender": per_op(cpu_ns),
        "cpu_ns_per_op_receiver": per_op(number("cpu_ns")),
        "copies_out": 2 - u32::from(args.claim),
        "copies_in": 0,
        "receivers": all.len(),
        "hash": format!("{:016x}", sent.hash()),
        "host": host(),
    });
    if args.pair.json {
        println!("{result}");
    } else {
        println!(
            "{} B messages in {} B datagrams, {}, {}: {:.2} M/s, {:.2} GB/s, {:.1} ns of CPU each, \
             {} repaired, {lost} lost",
            args.pair.size,
            args.pair.mtu,
            args.pair.link.name(),
            if args.pair.seal == OnOff::On { "sealed" } else { "not sealed" },
            rate / 1e6,
            rate * f64::from(args.pair.size) / 1e9,
            per_op(cpu_ns + number("cpu_ns")),
            channel.counter(Counter::StreamResent),
        );
    }
    if lost == 0 { Ok(()) } else { Err(Failure::failed(format!("{lost} messages lost"))) }
}
