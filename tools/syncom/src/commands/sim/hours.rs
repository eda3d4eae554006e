//! `syncom sim hours`: clusters in trouble, for as many node-hours as are wanted.

use crate::args;
use crate::exit::{Failure, Outcome};
use syncom_engine::clock::Clock;
use syncom_sim::scale::{Hours, Life};

/// Lives one cluster's life after the other and says how it goes; prints what was found.
///
/// # Errors
/// Code 1 when a node was removed that should not have been, or anything else that is promised was not
/// kept; the lives are named by their seeds. Code 2 when no hours are asked for.
pub(super) fn run(args: &args::Sim) -> Outcome {
    if args.hours <= 0.0 || !args.hours.is_finite() {
        return Err(Failure::usage("--hours must be above 0"));
    }
    let nodes = args.nodes as usize;
    let mut hours = if args.skip { Hours::skipping(nodes) } else { Hours::whole(nodes) };
    hours.loss = super::scale::parts(args.loss.unwrap_or(1.0));
    if let Some(calm_s) = args.calm {
        hours.calm_s = calm_s;
    }
    let mut clock = Clock::new();
    let began = clock.sample().at;
    let (mut done, mut events) = (0.0, 0);
    let finding = hours.run(args.first, args.hours, args.threads.into(), |life: &Life, seed| {
        done += life.node_hours;
        events += life.events;
        let wall_ms = clock.sample().at.since(began) / 1_000_000;
        eprintln!(
            "  seed {seed}: {done:.1} of {} node-hours, {events} events, {wall_ms} ms",
            args.hours
        );
        for wrong in life.wrongs().chain(life.misjudged()) {
            eprintln!("    seed {seed}: {wrong}");
        }
    });
    let wall_ms = clock.sample().at.since(began) / 1_000_000;
    super::scale::say(args, &finding, wall_ms);
    if finding.is_kept() {
        Ok(())
    } else {
        Err(Failure::failed(format!("{} was not kept", finding.stage)))
    }
}
