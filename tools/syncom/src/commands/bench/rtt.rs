//! `syncom bench rtt`: ping-pong, over a stream or with single sealed datagrams.

use super::message::{Proof, write};
use super::pair::{Other, arguments, channel, float, host, link_of, pin_to, sealer};
use crate::args::{BenchRtt, LinkName, OnOff};
use crate::exit::{Failure, Outcome};
use serde_json::json;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use syncom_engine::channel::{Channel, ChannelError, PublicationId, Refused};
use syncom_engine::clock::{self, Clock};
use syncom_engine::latency::Latency;
use syncom_engine::link::{self, Kind, Link, Options, RxBurst};
use syncom_engine::seal::Sealer;
use syncom_seam::{SECOND, Time};
use syncom_wire::{Fixed as _, Header};

/// Round trips before those that count.
const WARM_UP: u64 = 2_000;
/// Without an answer for so long, the case has failed.
const PATIENCE_NS: u64 = 5 * SECOND;
/// Without a message for so long, the end that asks has gone: it says so when it is done.
const ECHO_PATIENCE_NS: u64 = 2 * PATIENCE_NS;
/// Looks for a message between two looks at the clock: those would keep it waiting.
const LOOKS: u32 = 1024;

/// Runs the case, or the echo's part of it.
pub(super) fn run(args: &BenchRtt) -> Outcome {
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut end =
        if args.datagram { End::datagrams(args, here)? } else { End::stream(args, here)? };
    match args.pair.other {
        Some(other) => echo(args, &mut end, other),
        None => ask(args, &mut end),
    }
}

fn failed(error: &ChannelError) -> Failure {
    Failure::failed(error.to_string())
}

/// One end of the ping-pong.
enum End {
    Stream {
        channel: Box<Channel>,
        to: Option<PublicationId>,
    },
    Datagrams {
        link: Box<dyn Link>,
        sealer: Box<Sealer>,
        burst: Box<RxBurst>,
        clock: Box<Clock>,
        to: SocketAddr,
    },
}

impl End {
    fn stream(args: &BenchRtt, here: SocketAddr) -> Result<Self, Failure> {
        let mut channel = channel(&args.pair, here)?.open().map_err(|error| failed(&error))?;
        channel.subscribe(1).map_err(|error| failed(&error))?;
        Ok(Self::Stream { channel: Box::new(channel), to: None })
    }

    fn datagrams(args: &BenchRtt, here: SocketAddr) -> Result<Self, Failure> {
        let options = Options { is_stamped: false, takes_runs: false, ..Options::LARGE };
        let kind = match args.pair.link {
            LinkName::Auto | LinkName::Mmsg => Kind::Mmsg,
            LinkName::Uring => Kind::Uring,
            LinkName::Xdp | LinkName::Mem => {
                return Err(Failure::usage(
                    "single datagrams go by --link mmsg or uring; past the kernel: \
                     `syncom-benches -- xdp`",
                ));
            }
        };
        let link = link::open(&kind, here.into(), &options)
            .map_err(|error| Failure::failed(error.to_string()))?;
        let sealer = Box::new(sealer(&args.pair)?);
        let (burst, clock) = (Box::new(RxBurst::new(4)), Box::new(Clock::new()));
        Ok(Self::Datagrams { link, sealer, burst, clock, to: here })
    }

    /// The link that moves datagrams.
    fn link(&self, args: &BenchRtt) -> &'static str {
        match self {
            Self::Stream { channel, .. } => link_of(&args.pair, channel),
            Self::Datagrams { .. } => args.pair.link.name(),
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Stream { channel, .. } => channel.local_addr().into(),
            Self::Datagrams { link, .. } => link.local_addr().into(),
        }
    }

    /// Says whom to speak to.
    fn connect(&mut self, other: SocketAddr) -> Outcome {
        match self {
            Self::Stream { channel, to } => {
                *to = Some(channel.publish(other, 1).map_err(|error| failed(&error))?);
                channel.connect(other).map_err(|error| failed(&error))?;
            }
            Self::Datagrams { link, to, .. } => {
                *to = other;
                link.connect(other.into()).map_err(|error| Failure::failed(error.to_string()))?;
            }
        }
        Ok(())
    }

    /// Sends a message at once.
    fn send(&mut self, message: &[u8]) -> Outcome {
        match self {
            Self::Stream { channel, to } => {
                let Some(to) = to else { return Err(Failure::failed("not connected")) };
                while let Err(refused) = channel.offer(*to, message) {
                    if refused != Refused::Full {
                        return Err(Failure::failed(refused.to_string()));
                    }
                    channel.poll(0, |_, _| {}).map_err(|error| failed(&error))?;
                }
                channel.flush().map_err(|error| failed(&error))
            }
            Self::Datagrams { link, sealer, to, .. } => {
                let slot = link.tx_claim((*to).into(), Header::OVERHEAD + message.len());
                let slot = slot.ok_or_else(|| Failure::failed("the link has no room"))?;
                slot[Header::SIZE..Header::SIZE + message.len()].copy_from_slice(message);
                let len = sealer.seal(slot, message.len(), None);
                let len = len.map_err(|error| Failure::failed(error.to_string()))?;
                link.tx_commit(len);
                link.tx_flush().map_err(|error| Failure::failed(error.to_string()))?;
                Ok(())
            }
        }
    }

    /// Tells the time, now and then, of which a datagram's age is judged.
    fn tick(&mut self) {
        match self {
            // A channel looks by itself.
            Self::Stream { .. } => {}
            Self::Datagrams { clock, .. } => {
                clock.sample();
            }
        }
    }

    /// Looks once for messages; whether there was one.
    fn poll(&mut self, mut on_message: impl FnMut(&[u8])) -> Result<bool, Failure> {
        match self {
            Self::Stream { channel, .. } => channel
                .poll(16, |_, message| on_message(message))
                .map(|count| count > 0)
                .map_err(|error| failed(&error)),
            Self::Datagrams { link, sealer, burst, clock, .. } => {
                let count = link.rx_burst(burst);
                let count = count.map_err(|error| Failure::failed(error.to_string()))?;
                for index in 0..count {
                    let Some(datagram) = burst.datagram(index) else { continue };
                    if let Ok(opened) = sealer.open(datagram.bytes, clock.now()) {
                        on_message(opened.body);
                    }
                }
                Ok(count > 0)
            }
        }
    }
}

/// The second process: sends everything back until a message of another length says that it is
/// over.
fn echo(args: &BenchRtt, end: &mut End, other: SocketAddr) -> Outcome {
    pin_to(false);
    println!("{}", json!({"address": end.address().to_string()}));
    end.connect(other)?;
    let size = args.pair.size as usize;
    let (mut message, mut heard) = (Vec::with_capacity(size), clock::now());
    let mut cpu = [clock::cpu_ns(); 2];
    let mut answers = 0_u64;
    let (mut is_heard, mut is_over) = (false, false);
    while !is_over && (is_heard || clock::now().since(heard) < ECHO_PATIENCE_NS) {
        if is_heard {
            heard = clock::now();
            answers += 1;
            if answers == WARM_UP {
                cpu[0] = clock::cpu_ns();
            }
            // Asking costs a system call; a few answers at the end go uncounted.
            if answers.is_multiple_of(1_000) {
                cpu[1] = clock::cpu_ns();
            }
        }
        end.tick();
        is_heard = false;
        for _ in 0..LOOKS {
            let is_any = end.poll(|bytes| {
                message.clear();
                message.extend_from_slice(bytes);
                is_over = bytes.len() != size;
            })?;
            if is_over {
                break;
            }
            if is_any {
                end.send(&message)?;
                is_heard = true;
            }
        }
    }
    println!("{}", json!({"cpu_ns": cpu[1].saturating_sub(cpu[0])}));
    Ok(())
}

/// The first process: one message under way at a time.
fn ask(args: &BenchRtt, end: &mut End) -> Outcome {
    let mut words = arguments(&args.pair);
    if args.datagram {
        words.push("--datagram".into());
    }
    let mut other = Other::start("rtt", &words, end.address())?;
    end.connect(other.address()?)?;
    pin_to(true);
    let size = args.pair.size as usize;
    let (mut message, mut proof) = (vec![7; size], Proof::default());
    let mut latency = Latency::new().map_err(|error| Failure::failed(error.to_string()))?;
    let gap_ns = args.rate.map_or(0, |rate| SECOND / u64::from(rate));
    let mut due = clock::now();
    let (mut over, mut cpu) = (clock::now().after(PATIENCE_NS), 0);
    loop {
        let is_paced = gap_ns > 0 && proof.count > WARM_UP;
        let began = if is_paced { wait_for(end, due)? } else { clock::now() };
        if began >= over {
            break;
        }
        due = began.after(gap_ns);
        if proof.count == WARM_UP {
            (over, cpu) = (began.after(u64::from(args.pair.seconds) * SECOND), clock::cpu_ns());
            latency = Latency::new().map_err(|error| Failure::failed(error.to_string()))?;
        }
        write(&mut message, proof.count);
        end.send(&message)?;
        let mut looks = 0;
        while !end.poll(|bytes| proof.see(bytes, size))? {
            looks += 1;
            if looks % LOOKS == 0 {
                end.tick();
                if clock::now().since(began) > PATIENCE_NS {
                    return Err(Failure::failed("no answer"));
                }
            }
        }
        latency.record(clock::now().since(began));
    }
    let cpu_ns = clock::cpu_ns() - cpu;
    end.send(message.get(1..).unwrap_or(&[7]))?;
    let far_cpu_ns = other.line()?["cpu_ns"].as_u64().unwrap_or(0);
    other.join()?;
    report(args, end.link(args), &latency, proof, [cpu_ns, far_cpu_ns])
}

/// Looks for what arrives until a message is due; it counts as sent then, however late it is.
fn wait_for(end: &mut End, due: Time) -> Result<Time, Failure> {
    while clock::now() < due {
        end.poll(|_| {})?;
    }
    Ok(due)
}

/// Tells the result; `cpu_ns` is that of the end that asks, and of the one that answers.
fn report(
    args: &BenchRtt,
    link: &str,
    latency: &Latency,
    proof: Proof,
    cpu_ns: [u64; 2],
) -> Outcome {
    if let Some(path) = &args.hdr {
        let written = File::create(path).and_then(|mut file| latency.write_log("rtt", &mut file));
        written.map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    }
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| latency.at(share));
    let most = latency.most();
    let per_op = |ns: u64| float(ns) / float(latency.count().max(1));
    let both = per_op(cpu_ns[0] + cpu_ns[1]);
    let result = json!({
        "case": "rtt",
        "link": link,
        "size_b": args.pair.size,
        "mtu": args.pair.mtu,
        "seal": args.pair.seal == OnOff::On,
        "seconds": args.pair.seconds,
        "datagram": args.datagram,
        "rate": args.rate,
        "round_trips": latency.count(),
        "p50_ns": p50,
        "p99_ns": p99,
        "p999_ns": p999,
        "max_ns": most,
        "wrong": proof.wrong,
        "cpu_ns_per_op": both,
        "cpu_ns_per_byte": both / f64::from(args.pair.size.max(1)),
        "cpu_ns_per_op_asker": per_op(cpu_ns[0]),
        "cpu_ns_per_op_echo": per_op(cpu_ns[1]),
        "hash": format!("{:016x}", proof.hash()),
        "host": host(),
    });
    if args.pair.json {
        println!("{result}");
    } else {
        println!(
            "{} round trips of {} B: p50 {p50} ns, p99 {p99} ns, p99.9 {p999} ns, max {most} ns",
            latency.count(),
            args.pair.size,
        );
    }
    if proof.wrong == 0 { Ok(()) } else { Err(Failure::failed("answers were wrong")) }
}
