//! `syncom bench commit --loss P --rounds N`: what loss costs, by turns without and with it.
//!
//! The machine's mood changes from second to second, so each round is a pair, one right after the
//! other, and what counts is the median of the pairs' ratios. Both of a pair send through the link
//! that loses, which copies each datagram once more; without loss it loses one of a million.

use super::super::pair::{float, host};
use super::{Measured, measure};
use crate::args::commit::Commit;
use crate::exit::{Failure, Outcome};
use serde_json::json;
use syncom_seam::SECOND;

/// What loss may cost: a ratio below this fails the bench where it is asked to judge, at 1 %.
const RATIO_MIN: f64 = 0.85;
/// The loss that [`RATIO_MIN`] is about, in parts of a million.
const JUDGED_PPM: u32 = 10_000;

/// As good as no loss, in parts of a million.
pub(super) const CLEAN_PPM: u32 = 1;

pub(super) fn run(args: &Commit) -> Outcome {
    let (mut clean, mut lossy) = (Vec::new(), Vec::new());
    let (mut damage, mut hash, mut cpu_ns, mut count) = (0, 0, 0.0, 0);
    for round in 0..args.rounds {
        // The second of a pair may find a warmer disk: they take turns in that, too.
        let order = if round % 2 == 0 {
            [CLEAN_PPM, args.loss_ppm()]
        } else {
            [args.loss_ppm(), CLEAN_PPM]
        };
        for loss_ppm in order {
            let measured = measure(args, loss_ppm)?;
            damage += measured.account.lost + measured.account.twice;
            hash ^= measured.account.hash;
            cpu_ns += measured.cpu_ns;
            count += measured.latencies_ns.len() as u64;
            let rates = if loss_ppm == CLEAN_PPM { &mut clean } else { &mut lossy };
            rates.push(rate(&measured));
        }
    }
    let mut ratios: Vec<f64> =
        lossy.iter().zip(&clean).map(|(lossy, clean)| lossy / clean).collect();
    let by_turns = json!({ "clean": clean, "lossy": lossy });
    let [clean, lossy, ratio] = [&mut clean, &mut lossy, &mut ratios].map(|of| {
        of.sort_by(f64::total_cmp);
        of.get(of.len() / 2).copied().unwrap_or(0.0)
    });
    let (least, most) = (ratios.first().copied(), ratios.last().copied());
    let result = json!({
        "case": "commit-loss",
        "link": "auto",
        "size_b": args.size,
        "seal": true,
        "seconds": args.seconds,
        "clients": args.clients,
        "loop": "closed",
        "loss_percent": args.loss,
        "rounds": args.rounds,
        "by_turns": by_turns,
        "clean_per_s": clean,
        "lossy_per_s": lossy,
        "ratio": ratio,
        "ratio_least": least,
        "ratio_most": most,
        "ratio_bound": RATIO_MIN,
        "damage": damage,
        "cpu_ns_per_op": cpu_ns / float(count.max(1)),
        "hash": format!("{hash:016x}"),
        "host": host(),
    });
    if args.json {
        println!("{result}");
    } else {
        println!(
            "{:.0} commits/s without, {:.0} with {} % of the replicas' datagrams lost: {ratio:.2} \
             ({:.2} to {:.2}) in {} rounds",
            clean,
            lossy,
            args.loss,
            least.unwrap_or(0.0),
            most.unwrap_or(0.0),
            args.rounds
        );
    }
    if damage > 0 {
        return Err(Failure::failed("acknowledged writes are lost, or were applied twice"));
    }
    if args.loss_ppm() <= JUDGED_PPM && args.rounds >= 5 && ratio < RATIO_MIN {
        return Err(Failure::failed(format!("less than {RATIO_MIN} of the rate is left")));
    }
    Ok(())
}

fn rate(measured: &Measured) -> f64 {
    let seconds = float(measured.span_ns) / float(SECOND);
    float(measured.latencies_ns.len() as u64) / seconds
}
