//! Toy roles on real loops. All waits are turns of the loop with a deadline.

mod children;
mod contract;
mod disks;
mod traffic;

use super::{Host, Member};
use crate::clock;
use crate::counters::Counters;
use crate::link::{self, mem::Hub};
use crate::seal::{ClusterKeys, Sealer};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use syncom_seam::{Counter, Done, Loss, Now, Origin, Outbox, Role, Timer};
use syncom_wire::{Addr, Boot, Frame, PeerId};

/// A role made of closures' worth of script: it lists what it was told, and does what it is made
/// for.
#[derive(Debug, Default)]
struct Toy {
    heard: Vec<String>,
    script: Script,
}

/// What a toy does.
#[derive(Debug, Default)]
enum Script {
    #[default]
    Listen,
    /// Arms timers with these keys at these delays from its start, in ns.
    Arm(Vec<(u64, u64)>),
    /// Sends a line to an address on start, and answers every line until the count is reached.
    Rally { first_to: Option<Addr>, until: usize },
    /// Sends one line to all of these on start.
    Shout(Vec<Addr>),
    /// Says in short that it lives, introduces itself by a line, and says the former again.
    Live(Addr),
    /// Starts a child on start.
    Spawn(syncom_seam::Spawn),
    /// Persists records with these tickets on start.
    Persist(Vec<u64>),
    /// Says who it is on start, then sends a line.
    Identify(PeerId, Addr),
    /// Gives up on start.
    GiveUp,
}

const LINE: syncom_wire::control::Line<'static> = syncom_wire::control::Line { text: "ping" };

const BEAT: syncom_wire::beat::Beat = syncom_wire::beat::Beat {
    incarnation: syncom_wire::Incarnation(1),
    seq: 1,
    interval_us: 200_000,
    progress: 0,
    services_up: 0,
    services_down: 0,
};

impl Toy {
    fn doing(script: Script) -> Self {
        Self { script, heard: Vec::new() }
    }

    fn count(&self, what: &str) -> usize {
        self.heard.iter().filter(|line| line.starts_with(what)).count()
    }
}

impl Role for Toy {
    fn on_start<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.heard.push("start".into());
        match &self.script {
            Script::Listen | Script::Rally { first_to: None, .. } => {}
            Script::Arm(timers) => {
                for (key, delay_ns) in timers {
                    let timer = Timer { kind: 1, generation: 1, key: *key };
                    out.arm(timer, now.at.after(*delay_ns));
                }
            }
            Script::Rally { first_to: Some(to), .. } => out.send(*to, &LINE),
            Script::Shout(to) => out.send_all(to, &LINE),
            Script::Live(to) => {
                out.send_all(&[*to], &BEAT);
                out.send_all(&[*to], &LINE);
                out.send_all(&[*to], &BEAT);
            }
            Script::Spawn(spawn) => out.spawn(spawn.clone()),
            Script::Persist(tickets) => {
                for ticket in tickets {
                    let (hard, entries) = (None, Vec::new());
                    out.persist(syncom_seam::Record::Append { ticket: *ticket, hard, entries });
                }
            }
            Script::Identify(peer, to) => {
                out.send(*to, &LINE);
                out.identify(*peer);
                out.send(*to, &LINE);
            }
            Script::GiveUp => out.notify(syncom_seam::Notice::Fatal("no more")),
        }
    }

    fn on_frame<O: Outbox>(&mut self, now: Now, from: &Origin, frame: &Frame<'_>, out: &mut O) {
        assert!(from.heard <= now.at, "heard in the future");
        self.heard.push(format!("frame {} from {}", frame.kind(), from.peer));
        if let Script::Rally { until, .. } = self.script
            && self.count("frame") < until
        {
            out.send(from.addr, &LINE);
        }
    }

    fn on_returned<O: Outbox>(&mut self, _: Now, to: Addr, frame: &Frame<'_>, _: &mut O) {
        self.heard.push(format!("returned {} from {to}", frame.kind()));
    }

    fn on_timer<O: Outbox>(&mut self, _: Now, timer: Timer, out: &mut O) {
        self.heard.push(format!("timer {}", timer.key));
        if let Script::Spawn(spawn) = &self.script {
            out.kill(spawn.token, 9);
        }
    }

    fn on_loss<O: Outbox>(&mut self, _: Now, loss: Loss, _: &mut O) {
        self.heard.push(match loss {
            Loss::Unheard(count) => format!("unheard {count}"),
            Loss::Unsent(count) => format!("unsent {count}"),
        });
    }

    fn on_done<O: Outbox>(&mut self, _: Now, done: Done, _: &mut O) {
        self.heard.push(format!("done {done:?}"));
    }

    fn on_burst_end<O: Outbox>(&mut self, _: Now, out: &mut O) {
        self.heard.push("end".into());
        out.gauge(Counter::QueueLen, self.heard.len() as u64);
    }
}

fn sealer(peer: PeerId) -> Sealer {
    let boot = Boot(clock::read().wall.0);
    Sealer::new(ClusterKeys::new("lab", &[7; 32], 1), peer, boot, 0, 256).unwrap()
}

fn local() -> Addr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()
}

fn member(number: u16, kind: &link::Kind, script: Script) -> Member<Toy> {
    Member {
        role: Toy::doing(script),
        link: link::open(kind, local(), &link::Options::SMALL).unwrap(),
        sealer: sealer(PeerId::satellite(number)),
        counters: Counters::anonymous(),
        store: None,
    }
}

fn host() -> Host<Toy> {
    Host::new(Box::new(|_, _| {})).unwrap()
}

fn mem() -> link::Kind {
    link::Kind::Mem(Hub::new())
}

/// Turns until the condition holds; fails when the patience of tests is over.
fn turn_until(host: &mut Host<Toy>, condition: impl Fn(&Host<Toy>) -> bool) {
    let deadline = clock::patience();
    while !condition(host) {
        assert!(clock::now() < deadline, "{:?}", host.role(0));
        host.turn(Duration::from_millis(20)).unwrap();
    }
}

fn toy(host: &Host<Toy>, member: usize) -> &Toy {
    host.role(member).unwrap()
}
