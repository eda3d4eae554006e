//! What came out of a run of streams.

use super::super::message::Proof;
use super::super::pair::{float, host, link_of};
use crate::args::{BenchStream, OnOff};
use crate::exit::{Failure, Outcome};
use serde_json::{Value, json};
use syncom_engine::channel::Publication;
use syncom_seam::{Counter, MS};

/// What was sent, and what that took.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    pub(super) proof: Proof,
    pub(super) cpu_ns: u64,
    /// The longest time in which nothing was acknowledged.
    pub(super) stalled_ns: u64,
}

fn of(heard: &Value, key: &str) -> u64 {
    heard[key].as_u64().unwrap_or(0)
}

/// Messages that one receiver lacks, spoilt, or was not told of: each counts.
fn losses(heard: &Value, sent: Proof) -> u64 {
    let missed = of(heard, "missed");
    let is_whole = of(heard, "wrong") == 0 && (missed > 0 || of(heard, "hash") == sent.hash());
    let missing = sent.count.abs_diff(of(heard, "count") + missed);
    missing.max(of(heard, "wrong")).max(of(heard, "untold")).max(u64::from(!is_whole))
}

/// Messages per second of one receiver.
fn each(heard: &Value) -> f64 {
    float(of(heard, "count")) * 1e9 / float(of(heard, "span_ns").max(1))
}

pub(super) fn report(
    args: &BenchStream,
    publication: &Publication,
    sent: &Sent,
    all: &[Value],
) -> Outcome {
    let Sent { proof, cpu_ns, stalled_ns } = *sent;
    let lost: u64 = all.iter().map(|heard| losses(heard, proof)).sum();
    let number = |key: &str| all.iter().map(|heard| of(heard, key)).sum::<u64>();
    let span_ns = all.iter().map(|heard| of(heard, "span_ns")).max().unwrap_or(0);
    let count = number("count") / all.len().max(1) as u64;
    let rate = float(count) * 1e9 / float(span_ns.max(1));
    let running = float(count) * 1e9 / float(span_ns.saturating_sub(stalled_ns).max(1));
    let per_op = |ns: u64| float(ns) / float(count.max(1));
    let channel = publication.channel();
    let link = link_of(&args.pair, channel);
    let result = json!({
        "case": "stream",
        "link": link,
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
        // Of receivers that were not waited for, and told so.
        "missed": number("missed"),
        "laggards": channel.counter(Counter::StreamLaggards),
        "stopped_ms": args.stop.map(|span| span.as_millis()),
        "stalled_ms": stalled_ns / MS,
        "msgs_per_s_running": running.round(),
        "msgs_per_s_each": all.iter().map(|heard| each(heard).round()).collect::<Vec<_>>(),
        "hash": format!("{:016x}", proof.hash()),
        "host": host(),
    });
    if args.pair.json {
        println!("{result}");
    } else {
        println!(
            "{} B messages in {} B datagrams, {}, {}: {:.2} M/s, {:.2} GB/s, {:.1} ns of CPU each, \
             {} repaired, {lost} lost{}",
            args.pair.size,
            args.pair.mtu,
            link,
            if args.pair.seal == OnOff::On { "sealed" } else { "not sealed" },
            rate / 1e6,
            rate * f64::from(args.pair.size) / 1e9,
            per_op(cpu_ns + number("cpu_ns")),
            channel.counter(Counter::StreamResent),
            if args.stop.is_some() {
                format!(
                    ", {} told as missed, stalled {} ms ({:.2} M/s while running)",
                    number("missed"),
                    stalled_ns / MS,
                    running / 1e6
                )
            } else {
                String::new()
            },
        );
    }
    if lost == 0 { Ok(()) } else { Err(Failure::failed(format!("{lost} messages lost"))) }
}
