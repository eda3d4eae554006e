//! `syncom bench dedupe`: what one core does with reports alone, from the bytes in receive slots to
//! what goes up.
//!
//! Reports lie in datagrams as agents pack them, twenty to one of 1,408 bytes, and come a burst at a
//! time through a link in memory into slots that a host receives into. Timed is what happens to them
//! there: each datagram's header and each report are checked, and all are taken into the table of a
//! satellite, whose thresholds are looked at every 5 ms. Not timed: how they came, and sealing.
//!
//! Every key is live: eight reporters have reported it, and the station has not answered. They repeat
//! what they said, in no order; among them others report the same things for the first time, who are
//! named, go up, and are answered at once. How fast first reports alone are taken in is told beside.

mod storm;

use super::pair::{float, host};
use crate::exit::{Failure, Outcome};
use clap::Args;
use serde_json::json;
use storm::{Ground, PACK, Sum};
use syncom_engine::link::RxBurst;
use syncom_engine::{clock, pin};
use syncom_seam::SECOND;

/// Bursts of a round: enough for one to last for many ticks.
const BURSTS: usize = 256;

/// `syncom bench dedupe`.
#[derive(Clone, Debug, Args)]
pub struct BenchDedupe {
    /// Things that are reported: live keys of the table
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(20..=1_000_000))]
    keys: u32,
    /// One datagram in so many brings first reports; 0 for repeated ones alone
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    first: u32,
    /// How long to measure
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the case.
pub(super) fn run(args: &BenchDedupe) -> Outcome {
    if let Some(core) = pin::cores().unwrap_or_default().last() {
        // A machine that forbids pinning measures unpinned.
        let _ = pin::pin(*core);
    }
    let mut ground = Ground::new(args.keys)?;
    let mut burst = RxBurst::new(64);
    // The first time takes memory, the second time uses it again.
    ground.report_all(&mut burst)?;
    ground.forget_all();
    let firsts = ground.report_all(&mut burst)?;
    let mut rounds: Vec<f64> = Vec::new();
    let mut sum = Sum::default();
    let over = clock::now().after(u64::from(args.seconds) * SECOND);
    while rounds.len() < 3 || clock::now() < over {
        let round = ground.storm(&mut burst, BURSTS, args.first)?;
        rounds.push(round.per_s());
        sum.add(&round);
    }
    ground.prove()?;
    rounds.sort_by(f64::total_cmp);
    let (least, most) = (rounds[0], rounds[rounds.len() - 1]);
    let median = rounds[rounds.len() / 2];
    let result = json!({
        "case": "dedupe",
        "link": "mem",
        "size_b": storm::REPORT,
        "seal": false,
        "seconds": args.seconds,
        "keys": args.keys,
        "pack": PACK,
        "first_in": args.first,
        "rounds": rounds.len(),
        "records": sum.records,
        "repeated": sum.repeated,
        "first": sum.kept,
        "went_up": sum.went_up,
        "records_per_s": median.round(),
        "records_per_s_least": least.round(),
        "records_per_s_most": most.round(),
        "first_per_s": firsts.per_s().round(),
        "cpu_ns_per_op": 1e9 / median,
        "hash": format!("{:016x}", sum.hash ^ firsts.hash),
        "host": host(),
    });
    if args.json {
        println!("{result}");
        return Ok(());
    }
    println!(
        "{} keys: {:.1} M records/s ({:.1} to {:.1} in {} rounds), {:.1} ns each, 1 datagram in {} \
         of first reports; first reports alone: {:.1} M/s",
        args.keys,
        median / 1e6,
        least / 1e6,
        most / 1e6,
        rounds.len(),
        1e9 / median,
        args.first,
        firsts.per_s() / 1e6,
    );
    Ok(())
}

/// Fails when something is not as it must be.
fn must(holds: bool, what: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::failed(what)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_report_of_a_storm_is_kept_once_and_known_again() {
        let mut ground = Ground::new(200).unwrap();
        let mut burst = RxBurst::new(64);
        let firsts = ground.report_all(&mut burst).unwrap();
        assert_eq!((firsts.records, firsts.kept), (1_600, 1_600));
        let round = ground.storm(&mut burst, 4, 8).unwrap();
        assert_eq!(round.records, 4 * 64 * PACK as u64);
        assert_eq!(round.kept, round.records / 8);
        ground.prove().unwrap();
        ground.forget_all();
        let firsts = ground.report_all(&mut burst).unwrap();
        assert_eq!(firsts.kept, 1_600);
    }
}
