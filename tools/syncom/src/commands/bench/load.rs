//! A bench of the station under way: replicas, the clients that write to them, and what became of
//! their writes.

use super::replicas::Replicas;
use super::writer::{Ledger, Shared, Writer, look};
use crate::client::Client;
use crate::exit::{Failure, Outcome};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::MutexGuard;
use std::time::Duration;
use syncom_engine::clock;
use syncom_engine::counters::Counters;
use syncom_engine::host::{Host, Member};
use syncom_engine::idle::Strategy;
use syncom_engine::link::Options;
use syncom_engine::seal::{ClusterKeys, Sealer};
use syncom_seam::{SECOND, Time};
use syncom_wire::control::Verb;
use syncom_wire::{Addr, Boot, Frame, PeerId};

/// How long anything may take before the bench has failed.
const PATIENCE_NS: u64 = 20 * SECOND;
/// One turn of the loop at most.
const TURN: Duration = Duration::from_millis(5);
/// Senders that the writer hears.
const SENDERS: usize = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) replicas: Replicas,
    host: Host<Writer>,
    ledger: Shared,
}

/// What was applied against what was acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    /// Acknowledged and not applied.
    pub(super) lost: u64,
    /// Applied more often than acknowledged, when nothing was left open.
    pub(super) twice: u64,
    /// Over every client and what it wrote.
    pub(super) hash: u64,
}

impl Load {
    /// Starts replicas and `clients`, and waits until all of these have written something.
    pub(super) fn start(
        parent: &Path,
        clients: usize,
        size: usize,
        loss_ppm: u32,
    ) -> Result<Self, Failure> {
        Self::start_on(Replicas::start(parent, loss_ppm)?, clients, size, false)
    }

    /// The same on replicas that have just started; each write of `distinct` clients is an event that
    /// nobody has seen before.
    pub(super) fn start_on(
        replicas: Replicas,
        clients: usize,
        size: usize,
        distinct: bool,
    ) -> Result<Self, Failure> {
        let ledger = Shared::default();
        let broken = |error| Failure::failed(format!("cannot start the clients: {error}"));
        let mut host = Host::new(Box::new(|_, _| {})).map_err(broken)?;
        host.wait_by(Strategy::PARK).map_err(broken)?;
        for (number, first) in (1..).zip((0..clients).step_by(Writer::CLIENTS_MAX)) {
            let some = first..clients.min(first + Writer::CLIENTS_MAX);
            host.add(member(&replicas, number, some, (size, distinct), &ledger)?)
                .map_err(broken)?;
        }
        let mut load = Self { replicas, host, ledger };
        load.until("every client has written", |ledger| {
            ledger.acknowledged.iter().all(|count| *count > 0)
        })?;
        Ok(load)
    }

    /// What the clients know.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        look(&self.ledger)
    }

    /// Lets the clients work until a moment.
    pub(super) fn run_until(&mut self, moment: Time) -> Outcome {
        while clock::now() < moment {
            let left = Duration::from_nanos(moment.since(clock::now()));
            self.turn(left.min(TURN))?;
        }
        Ok(())
    }

    fn turn(&mut self, wait: Duration) -> Outcome {
        let failed = |error| Failure::failed(format!("the clients' loop failed: {error}"));
        self.host.turn(wait).map_err(failed)
    }

    /// Lets the clients work until something holds.
    pub(super) fn until(&mut self, what: &str, holds: impl Fn(&Ledger) -> bool) -> Outcome {
        let give_up = clock::now().after(PATIENCE_NS);
        while !holds(&self.ledger()) {
            self.turn(TURN)?;
            if clock::now() > give_up {
                let words: Vec<String> =
                    (1..=self.replicas.count()).map(|n| self.replicas.words(n)).collect();
                return Err(Failure::failed(format!("never came: {what}; {}", words.join("; "))));
            }
        }
        Ok(())
    }

    /// The leading replica's number.
    pub(super) fn leader(&self) -> u16 {
        let leader = self.ledger().leader;
        leader.and_then(|(_, peer)| u16::try_from(peer.number()).ok()).unwrap_or(1)
    }

    /// Ends the load and waits for the last answers.
    pub(super) fn finish(&mut self) -> Outcome {
        self.ledger().is_over = true;
        self.until("the last answers", |ledger| ledger.under_way == 0)
    }

    /// Ends the load, waits for the last answers, and counts what the station has applied.
    pub(super) fn settle(&mut self) -> Result<Account, Failure> {
        self.finish()?;
        if let Some(number) = self.replicas.fallen().first() {
            let words = self.replicas.words(*number);
            return Err(Failure::failed(format!("replica {number} has ended: {words}")));
        }
        let mut applied: BTreeMap<String, u64> = BTreeMap::new();
        Client::open(self.replicas.place())?.pages(Verb::Events, 1, &[], |frame| {
            if let Frame::Event(event) = frame {
                *applied.entry(event.subject.to_owned()).or_default() +=
                    u64::from(event.head.count);
            }
        })?;
        let mut account = Account::default();
        for (client, acknowledged) in self.ledger().acknowledged.iter().enumerate() {
            let applied = applied.get(&Writer::subject(client)).copied().unwrap_or(0);
            account.lost += acknowledged.saturating_sub(applied);
            account.twice += applied.saturating_sub(*acknowledged);
            account.hash =
                syncom_wire::ids::mix(account.hash ^ applied).wrapping_add(client as u64);
        }
        Ok(account)
    }
}

fn member(
    replicas: &Replicas,
    number: u16,
    clients: Range<usize>,
    (size, distinct): (usize, bool),
    ledger: &Shared,
) -> Result<Member<Writer>, Failure> {
    let distinct = |writer: Writer| if distinct { writer.distinct() } else { writer };
    let place = replicas.place();
    let boot = Boot(clock::read().wall.0);
    let keys =
        ClusterKeys::new(&place.secret.cluster, &place.secret.bytes, ClusterKeys::FIRST_EPOCH);
    let sealer = Sealer::new(keys, PeerId::satellite(number), boot, 0, SENDERS)
        .map_err(|error| Failure::failed(format!("cannot seal: {error}")))?;
    let here = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let addrs: Vec<Addr> = crate::assemble::addrs(&place.replicas).collect();
    Ok(Member {
        role: distinct(Writer::new(number, boot, &addrs, clients, size, ledger.clone())),
        link: crate::assemble::open_link("auto", here, &Options::LARGE)?,
        sealer,
        counters: Counters::anonymous(),
        store: None,
    })
}
