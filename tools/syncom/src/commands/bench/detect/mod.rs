//! `syncom bench detect`: how soon real processes that were killed are known to be dead.
//!
//! A cluster of processes is started on the loopback. One agent after another, or one of their
//! services, gets SIGKILL at a random moment of a heartbeat's interval; what counts is the time until
//! a follower of the events, a client as any other, reads the committed event. All clocks are one.
//! Between two blows the cluster becomes whole again: the agent is started anew, is a member, and has
//! heard its subjects so often that nobody is new to anybody. Whoever dies without having been killed
//! fails the bench.

mod account;
mod swarm;

use crate::args::detect::{Detect, How};
use crate::exit::{Failure, Outcome};
use account::{Account, Sample};
use std::time::Duration;
use swarm::{Heard, Swarm};
use syncom_engine::clock;
use syncom_engine::signal;
use syncom_seam::{Rng, SECOND};

/// How often the follower asks for news: a sample is too long by half of it on average.
const LOOK: Duration = Duration::from_millis(2);
/// How long a death may go unnoticed before the bench has failed.
const PATIENCE_NS: u64 = 30 * SECOND;
/// How long the cluster is left alone while its costs are measured.
const QUIET_NS: u64 = 5 * SECOND;

/// Runs the case.
pub(super) fn run(args: &Detect) -> Outcome {
    let mut swarm = Swarm::start(args)?;
    let mut account = Account::default();
    swarm.until_whole(None)?;
    account.idle = swarm.idle(QUIET_NS)?;
    let began = (clock::now(), swarm.cpu_s());
    let mut rng = Rng::new(args.seed);
    let mut waiting: Vec<u32> = Vec::new();
    for number in 0..args.kills {
        if waiting.is_empty() {
            waiting = (1..=args.nodes).collect();
        }
        let at = rng.below(waiting.len() as u64);
        let node = waiting.swap_remove(usize::try_from(at).unwrap_or(0));
        swarm.wait_ns(rng.below(swarm.interval_ns()));
        let sample = match args.how {
            How::Crash | How::Gone => strike_agent(&mut swarm, node, &mut account)?,
            How::Service => strike_service(&mut swarm, node, &mut account)?,
        };
        eprintln!("{} of {}: {sample}", number + 1, args.kills);
        account.samples.push(sample);
    }
    account.note(&swarm.news()?, None);
    account.span_ns = clock::now().since(began.0);
    account.cpu_s = swarm.cpu_s() - began.1;
    account.false_deaths = swarm.false_deaths()?;
    account.show(args);
    match account.wrong() {
        0 => Ok(()),
        wrong => Err(Failure::failed(format!("{wrong} died that nobody had killed"))),
    }
}

/// Kills an agent, waits for its death to be committed, and brings it back.
fn strike_agent(swarm: &mut Swarm, node: u32, account: &mut Account) -> Result<Sample, Failure> {
    let name = format!("node{node}");
    account.note(&swarm.news()?, None);
    let now = clock::read();
    if !swarm.kill(&name) {
        return Err(Failure::failed(format!("{name} has ended by itself")));
    }
    let is_its = |event: &Heard| event.kind == "deadPeer" && event.subject == name;
    let death = follow(swarm, now.at, &name, account, is_its)?;
    let evidence = swarm.evidence(death.seq)?;
    swarm.forget_counters(&name);
    swarm.processes.restart(&name)?;
    swarm.until_whole(Some(&name))?;
    Ok(Sample::new(&name, now, &death, evidence))
}

/// Kills the service of a node, and waits for its death to be committed and for its restart.
fn strike_service(swarm: &mut Swarm, node: u32, account: &mut Account) -> Result<Sample, Failure> {
    let name = format!("node{node}");
    let service = swarm.service_of(&name)?;
    account.note(&swarm.news()?, None);
    let now = clock::read();
    signal::kill(service)
        .map_err(|error| Failure::failed(format!("cannot kill the service of {name}: {error}")))?;
    let is_its =
        |event: &Heard| event.kind == "service" && event.subject.split('/').next() == Some(&name);
    let death = follow(swarm, now.at, "", account, is_its)?;
    let evidence = swarm.evidence(death.seq)?;
    swarm.until_served(&name, service)?;
    Ok(Sample::new(&name, now, &death, evidence))
}

/// Reads events until the one that is waited for has come. `killed` may die.
fn follow(
    swarm: &mut Swarm,
    began: syncom_seam::Time,
    killed: &str,
    account: &mut Account,
    is_awaited: impl Fn(&Heard) -> bool,
) -> Result<Heard, Failure> {
    loop {
        let news = swarm.news()?;
        account.note(&news, Some(killed));
        if let Some(event) = news.into_iter().find(&is_awaited) {
            return Ok(event);
        }
        if clock::now().since(began) > PATIENCE_NS {
            return Err(Failure::failed(format!("nobody noticed a death ({killed})")));
        }
        swarm.wait(LOOK);
    }
}
