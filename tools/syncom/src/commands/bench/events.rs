//! `syncom bench events`: what a station keeps of a million events, and how replicas come back to it.
//!
//! Every write is an event of its own. On the way one follower is killed, stays away until the
//! others have folded what it misses into snapshots, if the events are many, and comes back under
//! load: it must install one then, over paths that lose datagrams both ways. At the end another
//! follower is killed and started at once. Both must answer as the others do. Memory and log are
//! looked at twenty times and at the end; what exceeds their bounds fails the bench.

use super::load::Load;
use super::pair::{float, host};
use super::replicas::Replicas;
use crate::args::commit::Events;
use crate::client::Client;
use crate::exit::{Failure, Outcome};
use serde_json::{Value, json};
use std::time::Duration;
use syncom_engine::clock;
use syncom_seam::{Counter, MS, SECOND, Time};
use syncom_wire::control::Verb;
use syncom_wire::{Frame, ids};

/// Resident bytes of a replica, and bytes of its log, that are too many.
const RSS_MAX_BYTES: u64 = 512 << 20;
const LOG_MAX_BYTES: u64 = 384 << 20;
/// Looks at the replicas on the way.
const LOOKS: u64 = 20;
/// So many events are folded into snapshots more than once while a follower is away for half of them.
const FOLDED_EVENTS: u64 = 1_000_000;
/// How long a replica that was killed may take to answer again.
const PROMPT_MAX_NS: u64 = 5 * SECOND;
/// How long a replica may take to come back before the bench gives up.
const PATIENCE_NS: u64 = 60 * SECOND;
/// How often a replica that comes back is asked whether it is there.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// The replicas at one moment.
#[derive(Clone, Debug)]
struct Look {
    events: u64,
    rss_bytes: Vec<u64>,
    log_bytes: Vec<u64>,
}

impl Look {
    fn at(events: u64, replicas: &Replicas) -> Self {
        let numbers = || 1..=replicas.count();
        Self {
            events,
            rss_bytes: numbers().map(|number| replicas.rss_bytes(number)).collect(),
            log_bytes: numbers().map(|number| replicas.log_bytes(number)).collect(),
        }
    }

    fn to_json(&self) -> Value {
        let mb = |bytes: &[u64]| bytes.iter().map(|bytes| bytes >> 20).collect::<Vec<_>>();
        json!({ "events": self.events, "rss_mb": mb(&self.rss_bytes), "log_mb": mb(&self.log_bytes) })
    }
}

/// How a replica came back.
#[derive(Clone, Copy, Debug, Default)]
struct Return {
    /// Until it had applied what the leader had when it was started, and until it answered.
    caught_up_ns: u64,
    served_ns: u64,
    resent: u64,
    snapshots: u64,
}

/// The bench under way.
struct Case<'a> {
    args: &'a Events,
    load: Load,
    looks: Vec<Look>,
    late: Return,
    prompt: Return,
}

/// Runs the case.
pub(super) fn run(args: &Events) -> Outcome {
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let replicas = Replicas::start_many(&parent, args.replicas, args.loss_ppm())?;
    let start = Look::at(0, &replicas);
    let load = Load::start_on(replicas, usize::from(args.clients), args.size as usize, true)?;
    let (late, prompt) = Default::default();
    let mut case = Case { args, load, looks: vec![start], late, prompt };
    let began = clock::now();
    case.fill()?;
    let span_ns = clock::now().since(began);
    case.load.finish()?;
    case.come_back_promptly()?;
    let answers = case.answers()?;
    case.report(span_ns, &answers)
}

impl Case<'_> {
    fn acknowledged(&self) -> u64 {
        self.load.ledger().acknowledged.iter().sum()
    }

    fn applied(&self, number: u16) -> u64 {
        self.load.replicas.counter(number, Counter::RaftApplied)
    }

    /// The next replica after the leader, or the one after that.
    fn follower(&self, after: u16) -> u16 {
        (self.load.leader() + after - 1) % self.args.replicas + 1
    }

    /// Writes all events; a follower is away from a quarter to three quarters of them.
    fn fill(&mut self) -> Outcome {
        let total = self.args.events;
        let mut away = None;
        let mut is_back = false;
        loop {
            let done = self.acknowledged();
            if done * LOOKS / total >= self.looks.len() as u64 {
                self.looks.push(Look::at(done, &self.load.replicas));
            }
            if away.is_none() && done >= total / 4 {
                let number = self.follower(1);
                self.load.replicas.kill(number);
                away = Some(number);
            }
            if let Some(number) = away
                && !is_back
                && done >= total * 3 / 4
            {
                self.late = self.come_back(number)?;
                is_back = true;
            }
            if done >= total {
                return Ok(());
            }
            self.load.run_until(clock::now().after(20 * MS))?;
        }
    }

    fn come_back_promptly(&mut self) -> Outcome {
        let number = self.follower(2);
        self.load.replicas.kill(number);
        self.prompt = self.come_back(number)?;
        Ok(())
    }

    fn resent(&self) -> u64 {
        let replicas = &self.load.replicas;
        let of = |number| replicas.counter(number, Counter::StreamResent);
        (1..=replicas.count()).map(of).sum()
    }

    /// Starts a replica that does not run, and waits until it answers what is current.
    fn come_back(&mut self, number: u16) -> Result<Return, Failure> {
        self.load.replicas.forget_counters(number);
        let (goal, resent) = (self.applied(self.load.leader()), self.resent());
        let began = clock::now();
        self.load.replicas.restart(number)?;
        self.until(began, |case| Ok(case.applied(number) >= goal))?;
        let caught_up_ns = clock::now().since(began);
        let mut client = Client::open(self.load.replicas.place_of(number))?;
        client.ask_again_after(ASK_AGAIN);
        client.hurry(ASK_AGAIN);
        // A current answer: this replica has seen everything that was acknowledged before.
        self.until(began, |_| Ok(client.ask(Verb::Policy, 0, &[]).is_ok()))?;
        Ok(Return {
            caught_up_ns,
            served_ns: clock::now().since(began),
            resent: self.resent().saturating_sub(resent),
            snapshots: self.load.replicas.counter(number, Counter::RaftSnapshots),
        })
    }

    fn until(
        &mut self,
        began: Time,
        mut holds: impl FnMut(&Self) -> Result<bool, Failure>,
    ) -> Outcome {
        while !holds(self)? {
            if clock::now().since(began) > PATIENCE_NS {
                return Err(Failure::failed("a replica did not come back"));
            }
            self.load.run_until(clock::now().after(MS))?;
        }
        Ok(())
    }

    /// A hash of all that each replica tells about events and decisions, current as of now.
    fn answers(&self) -> Result<Vec<u64>, Failure> {
        let replicas = &self.load.replicas;
        (1..=replicas.count()).map(|number| hash_of(replicas, number)).collect()
    }

    fn report(self, span_ns: u64, answers: &[u64]) -> Outcome {
        let Self { args, load, looks, late, prompt } = self;
        let most = |of: fn(&Look) -> &[u64]| {
            looks.iter().flat_map(|look| of(look).iter().copied()).max().unwrap_or(0)
        };
        let (rss_bytes, log_bytes) = (most(|look| &look.rss_bytes), most(|look| &look.log_bytes));
        let equal = answers.iter().all(|hash| *hash == answers[0]);
        let snapshots: Vec<u64> = (1..=args.replicas)
            .map(|number| load.replicas.counter(number, Counter::RaftSnapshots))
            .collect();
        let seconds = float(span_ns) / float(SECOND);
        let put_off = load.ledger().put_off;
        let ms = |ns: u64| float(ns / 1_000) / 1e3;
        let result = json!({
            "case": "events",
            "link": "auto",
            "size_b": args.size,
            "seal": true,
            "seconds": seconds,
            "clients": args.clients,
            "loop": "closed",
            "replicas": args.replicas,
            "loss_percent": args.loss,
            "events": args.events,
            "events_per_s": float(args.events) / seconds,
            "put_off": put_off,
            "looks": looks.iter().map(Look::to_json).collect::<Vec<_>>(),
            "rss_max_mb": rss_bytes >> 20,
            "rss_bound_mb": RSS_MAX_BYTES >> 20,
            "log_max_mb": log_bytes >> 20,
            "log_bound_mb": LOG_MAX_BYTES >> 20,
            "snapshots": snapshots,
            "late_caught_up_ms": ms(late.caught_up_ns),
            "late_served_ms": ms(late.served_ns),
            "late_snapshots": late.snapshots,
            "late_resent": late.resent,
            "prompt_caught_up_ms": ms(prompt.caught_up_ns),
            "prompt_served_ms": ms(prompt.served_ns),
            "answers_equal": equal,
            "cpu_ns_per_op": load.replicas.cpu_s() * float(SECOND) / float(args.events),
            "hash": format!("{:016x}", answers[0]),
            "host": host(),
        });
        if args.json {
            println!("{result}");
        } else {
            let by = if late.snapshots > 0 { "by a snapshot" } else { "without a snapshot" };
            println!(
                "{} events in {seconds:.1} s; a replica held at most {} MB, its log {} MB; back {by} \
                 under load after {:.0} ms, promptly after {:.0} ms",
                args.events,
                rss_bytes >> 20,
                log_bytes >> 20,
                ms(late.served_ns),
                ms(prompt.served_ns)
            );
        }
        let needs_snapshot = args.events >= FOLDED_EVENTS;
        let fault = if rss_bytes > RSS_MAX_BYTES || log_bytes > LOG_MAX_BYTES {
            "a replica holds more than its bound"
        } else if needs_snapshot && late.snapshots == 0 {
            "a replica came back without a snapshot, which the others had taken by then"
        } else if !equal {
            "replicas answer differently"
        } else if prompt.served_ns > PROMPT_MAX_NS {
            "a replica took too long to come back"
        } else {
            return Ok(());
        };
        Err(Failure::failed(fault))
    }
}

/// A hash of a replica's current events and decisions.
fn hash_of(replicas: &Replicas, number: u16) -> Result<u64, Failure> {
    // A current answer; nobody writes any more, so that its own state stays current.
    Client::open(replicas.place_of(number))?.ask(Verb::Policy, 0, &[])?;
    let mut client = Client::open_for(replicas.place_of(number), true)?;
    client.ask_again_after(ASK_AGAIN);
    let mut hash = 0;
    let mut see = |text: &str, numbers: [u64; 3]| {
        hash = ids::mix(hash ^ ids::hash(text.as_bytes()));
        numbers.iter().for_each(|number| hash = ids::mix(hash ^ number));
    };
    for verb in [Verb::Events, Verb::Decisions] {
        client.pages(verb, 1, &[], |frame| match frame {
            Frame::Event(event) => {
                let head = event.head;
                see(event.subject, [head.seq, head.time_ns, u64::from(head.count)]);
            }
            Frame::Decision(decision) => {
                let head = decision.head;
                see(decision.action, [head.seq, head.time_ns, head.event]);
            }
            _ => {}
        })?;
    }
    Ok(hash)
}
