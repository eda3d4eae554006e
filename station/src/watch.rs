//! Satellites and replicas are watched too: the leader misses them, asks who else hears them, and
//! commits their deaths and the returns of replicas.
//!
//! Satellites show themselves five times a second, to all replicas and to a few of each other.
//! Replicas speak with their leader many times a second in any case. Whoever follows keeps count as
//! well, so that it can answer, and goes on where it becomes the leader.

use crate::machine::command::Command;
use crate::machine::replicas::name;
use crate::machine::servers::{UNHEARD, clipped};
use crate::station::Station;
use crate::witnesses::{Finding, Inquest, Pace};
use std::collections::BTreeMap;
use syncom_group::Watchers;
use syncom_seam::{MS, Now, Origin, Outbox, SECOND, Time, US};
use syncom_wire::opinion::Opinion;
use syncom_wire::{Addr, Boot, Incarnation, PeerId, Role};

/// A death or return that was proposed and not applied is proposed again after this long, in ns.
const AGAIN_NS: u64 = SECOND;
/// A replica that was never heard is given so long, in ns: it may not have started yet.
const UNSEEN_NS: u64 = 10 * SECOND;

/// Somebody whose time runs out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missed {
    pub(crate) peer: PeerId,
    pub(crate) boot: Boot,
    pub(crate) incarnation: Incarnation,
    /// When it was heard last; the earliest moment at which it could have been when it never was.
    pub(crate) heard: Time,
    /// When it is overdue.
    pub(crate) due: Time,
    /// When it is lost, whoever else hears it; [`Time::NEVER`] where others keep it alive.
    pub(crate) given_up: Time,
}

/// What a leader remembers of those who are missed: nothing that a successor needs.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    inquests: BTreeMap<PeerId, Inquest>,
    /// Since when this leader listens.
    listens_since: Time,
    /// By how much it was late since then, in ns: the others speak when they are spoken to.
    late_ns: u64,
    /// When each replica was last heard, and how late this leader had been by then.
    heard: BTreeMap<PeerId, (Time, u64)>,
}

impl Watch {
    /// Nobody is missed yet by who leads from now on.
    pub(crate) fn begin(&mut self, now: Time) {
        *self = Self { listens_since: now, ..Self::default() };
    }

    /// This leader was late by so much.
    pub(crate) const fn on_late(&mut self, late_ns: u64, tick_ns: u64) {
        if late_ns > tick_ns {
            self.late_ns = self.late_ns.saturating_add(late_ns);
        }
    }

    /// By how much this leader was late since a replica was heard, in ns.
    fn late_since(&mut self, peer: PeerId, heard: Time) -> u64 {
        let late_ns = self.late_ns;
        let known = self.heard.entry(peer).or_insert((heard, late_ns));
        if known.0 != heard {
            *known = (heard, late_ns);
        }
        late_ns - known.1
    }

    /// Forgets the cases of satellites that serve no more.
    pub(crate) fn forget_satellites_but(&mut self, missed: &[Missed]) {
        let serves = |peer: &PeerId| missed.iter().any(|one| one.peer == *peer);
        self.inquests.retain(|peer, _| peer.role() != Role::Satellite || serves(peer));
    }
}

impl Station {
    /// Looks after one that may be missed. Whether it is overdue here, as the shards that it works on
    /// want to know; that is no death yet.
    pub(crate) fn look_after<O: Outbox>(&mut self, now: Now, missed: &Missed, out: &mut O) -> bool {
        let peer = missed.peer;
        // Whoever speaks at all speaks well within half of its time.
        if now.at.after(missed.due.since(missed.heard) / 2) < missed.due {
            self.watch.inquests.remove(&peer);
            return false;
        }
        let witnesses = self.witnesses_of(peer);
        let pace = self.pace_of(peer, &witnesses);
        if now.at.after(pace.lead_ns()) < missed.due {
            self.watch.inquests.remove(&peer);
            return false;
        }
        self.question(now, (peer, missed.incarnation), &witnesses, pace, out);
        if now.at <= missed.due {
            return false;
        }
        self.conclude(now, missed, pace, out);
        true
    }

    /// A round lasts a quarter of the longest time in which a follower waits for its leader, and as
    /// long as the longest measured way to a witness and back, up to that time.
    fn pace_of(&self, subject: PeerId, witnesses: &[PeerId]) -> Pace {
        let patience_ns = self.config.timing.election_max_ns();
        let measured = witnesses.iter().map(|peer| self.streams.round_trip_ns(*peer)).max();
        let round_ns = measured.unwrap_or(0).clamp(patience_ns / 4, patience_ns);
        if subject.role() == Role::Station {
            Pace::of_replica(round_ns)
        } else {
            Pace::of_satellite(round_ns)
        }
    }

    fn question<O: Outbox>(
        &mut self,
        now: Now,
        (subject, incarnation): (PeerId, Incarnation),
        witnesses: &[PeerId],
        pace: Pace,
        out: &mut O,
    ) {
        let inquest = self.watch.inquests.entry(subject).or_default();
        for witness in inquest.ask(now.at, witnesses, pace) {
            if let Some(addr) = self.addr_of_server(witness) {
                out.send(addr, &Opinion::question(subject, incarnation));
            }
        }
    }

    fn conclude<O: Outbox>(&mut self, now: Now, missed: &Missed, pace: Pace, out: &mut O) {
        let Missed { peer, boot, heard, due, .. } = *missed;
        let Some(inquest) = self.watch.inquests.get_mut(&peer) else { return };
        if now.at < inquest.proposed_until {
            return;
        }
        let silent_ms = now.at.since(heard) / MS;
        match inquest.finding(now.at, due.since(heard), pace) {
            Finding::Awaited => {}
            // One that answers here is heard, whatever becomes of its heartbeats.
            Finding::Heard(by)
                if now.at >= missed.given_up
                    && !inquest.answers(now.at, peer, due.since(heard)) =>
            {
                inquest.proposed_until = now.at.after(AGAIN_NS);
                let (here, by) = (self.testimony(silent_ms, &[], &[]), self.name_of_server(by));
                let detail = clipped(format!("{here}, its leader; {by} still hears it"));
                out.info(|| format!("{peer} is lost: {detail}"));
                self.propose(now, &Command::Lost { peer, boot, reporters: 1, detail }, out);
            }
            Finding::Heard(by) => {
                if !std::mem::replace(&mut inquest.told, true) {
                    out.info(|| {
                        format!("{peer} was silent for {silent_ms} ms here, but {by} heard it")
                    });
                }
            }
            Finding::Missed { by, mute } => {
                inquest.proposed_until = now.at.after(AGAIN_NS);
                let detail = self.testimony(silent_ms, &by, &mute);
                let is_replica = peer.role() == Role::Station;
                let reporters =
                    if is_replica && by.is_empty() && self.seats.heard_at(peer).is_none() {
                        out.info(|| format!("{peer} {UNHEARD}"));
                        0
                    } else {
                        out.info(|| format!("{peer} is dead: {detail}"));
                        u16::try_from(by.len() + 1).unwrap_or(u16::MAX)
                    };
                self.propose(now, &Command::Lost { peer, boot, reporters, detail }, out);
            }
        }
    }

    fn testimony(&self, silent_ms: u64, by: &[PeerId], mute: &[PeerId]) -> String {
        let names = |peers: &[PeerId]| {
            let names: Vec<String> = peers.iter().map(|peer| self.name_of_server(*peer)).collect();
            names.join(", ")
        };
        let mut text = format!("silent for {silent_ms} ms at {}", name(self.config.me));
        if !by.is_empty() {
            text.push_str(&format!("; not heard by {} either", names(by)));
        }
        if !mute.is_empty() {
            text.push_str(&format!("; no answer from {}", names(mute)));
        }
        clipped(text)
    }

    /// Who should hear a satellite or a replica: all who vote and are not known to be dead, of a
    /// satellite those that watch it, and the missed one itself.
    fn witnesses_of(&self, subject: PeerId) -> Vec<PeerId> {
        let replicas = &self.machine.replicas;
        let lives = |(number, _): &(u16, _)| {
            let votes = *number != self.config.me && replicas.conf.votes(u64::from(*number));
            votes && !replicas.is_down(*number)
        };
        let mut all: Vec<PeerId> =
            replicas.seats().filter(lives).map(|(number, _)| PeerId::station(number)).collect();
        if subject.role() == Role::Satellite {
            let members = self.machine.membership.members();
            all.extend_from_slice(Watchers::of(subject, members).as_slice());
        }
        if !all.contains(&subject) {
            all.push(subject);
        }
        all
    }

    fn addr_of_server(&self, peer: PeerId) -> Option<Addr> {
        match peer.role() {
            Role::Station => self.addr_of(peer),
            Role::Satellite | Role::Agent | Role::Client => self.satellites.addr(peer),
        }
    }

    fn name_of_server(&self, peer: PeerId) -> String {
        let entry = self.machine.membership.members().get(peer);
        let replica = || u16::try_from(peer.number()).map(name);
        match peer.role() {
            Role::Station => replica().unwrap_or_default(),
            Role::Satellite | Role::Agent | Role::Client => {
                entry.map_or_else(|| peer.to_string(), |entry| entry.name.to_string())
            }
        }
    }

    /// A leader asks what is heard here, or a witness answers.
    pub(crate) fn on_opinion<O: Outbox>(
        &mut self,
        now: Now,
        from: &Origin,
        opinion: &Opinion,
        out: &mut O,
    ) {
        let subject = opinion.subject;
        if opinion.flags & Opinion::ASKS == 0 {
            let known = opinion.lived_ago_us != Opinion::NEVER;
            let ago_ns = known.then(|| u64::from(opinion.lived_ago_us) * US);
            if let Some(inquest) = self.watch.inquests.get_mut(&subject) {
                inquest.on_word(now.at, from.peer, ago_ns);
            }
        } else if from.peer.role() == Role::Station {
            let heard = self.heard(now.at, subject, opinion.incarnation);
            // Followers have nothing to say to each other, so this one has to ask, too.
            if subject.role() == Role::Station
                && subject != self.config.peer()
                && let Some(addr) = self.addr_of(subject)
            {
                out.send(addr, &Opinion::question(subject, opinion.incarnation));
            }
            let ago_us = heard.map(|heard| now.at.since(heard) / US);
            out.send(from.addr, &Opinion::of_heard(subject, opinion.incarnation, ago_us));
        }
    }

    /// When this replica last heard another, or that life of a satellite.
    fn heard(&self, now: Time, subject: PeerId, incarnation: Incarnation) -> Option<Time> {
        if subject == self.config.peer() {
            return Some(now);
        }
        if subject.role() == Role::Station {
            return self.seats.heard_at(subject);
        }
        let entry = self.machine.membership.members().get(subject)?;
        let is_that = entry.head.incarnation == incarnation;
        is_that.then(|| self.satellites.heard_at(subject, entry.head.boot)).flatten()
    }

    /// Misses replicas that no longer speak, and notices those who do again.
    pub(crate) fn miss_replicas<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let patience_ns = 2 * self.config.timing.election_max_ns();
        let seats: Vec<u16> = self.machine.replicas.seats().map(|(number, _)| number).collect();
        for number in seats {
            let peer = PeerId::station(number);
            let is_down = self.machine.replicas.is_down(number);
            let heard = self.heard(now.at, peer, Incarnation(0));
            if is_down {
                let is_heard = heard.is_some_and(|heard| now.at.since(heard) < patience_ns / 2);
                if is_heard || self.is_heard_elsewhere(now, peer, out) {
                    self.welcome_back(now, peer, out);
                }
                continue;
            }
            if number == self.config.me || !self.machine.replicas.conf.votes(u64::from(number)) {
                self.watch.inquests.remove(&peer);
                continue;
            }
            let began = self.watch.listens_since;
            let patience_ns = if heard.is_some() { patience_ns } else { UNSEEN_NS };
            let heard = heard.unwrap_or_default().max(began);
            let due = heard.after(patience_ns + self.watch.late_since(peer, heard));
            let (boot, incarnation, given_up) = (Boot(0), Incarnation(0), Time::NEVER);
            let missed = Missed { peer, boot, incarnation, heard, due, given_up };
            self.look_after(now, &missed, out);
        }
    }

    /// Whether somebody else hears a replica that was lost: the leader's own ear decides alone over
    /// its return as little as over its death.
    fn is_heard_elsewhere<O: Outbox>(&mut self, now: Now, peer: PeerId, out: &mut O) -> bool {
        let patience_ns = 2 * self.config.timing.election_max_ns();
        let witnesses = self.witnesses_of(peer);
        let pace = self.pace_of(peer, &witnesses).at_leisure(patience_ns / 8);
        self.question(now, (peer, Incarnation(0)), &witnesses, pace, out);
        let inquest = self.watch.inquests.get(&peer);
        inquest.is_some_and(|inquest| inquest.heard_by(now.at, patience_ns / 4 * 3).is_some())
    }

    fn welcome_back<O: Outbox>(&mut self, now: Now, peer: PeerId, out: &mut O) {
        let inquest = self.watch.inquests.entry(peer).or_default();
        if now.at >= inquest.proposed_until {
            inquest.proposed_until = now.at.after(AGAIN_NS);
            out.info(|| format!("{peer} is back"));
            self.propose(now, &Command::Back { peer }, out);
        }
    }
}
