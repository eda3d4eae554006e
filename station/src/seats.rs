//! Where the replicas are, and whether this one may still be one of them.
//!
//! A replica has a seat for one disk and one life of the cluster. Whoever comes back without its
//! disk has forgotten whom it voted for and what it acknowledged; whoever was replaced is nobody any
//! more. Both look like an honest replica that starts, so until the log says that this disk sits
//! here, a replica shows it to the others (hello), who say what they know (word), and it neither
//! stands for election nor votes for one that has something to lose.

use crate::machine::command::{Command, Entry};
use crate::machine::replicas::name;
use crate::station::Station;
use crate::transport::{LANE_RAFT, LANE_SNAPSHOT};
use std::collections::BTreeMap;
use syncom_seam::{Counter, Loaded, MS, Now, Origin, Outbox, SECOND, Time};
use syncom_wire::limits::REPLICAS_MAX;
use syncom_wire::raft::RaftHead;
use syncom_wire::replica::{ReplicaHello, ReplicaWord};
use syncom_wire::{Addr, Boot, Frame, PeerId, Role};

/// A replica whose seat is free shows itself every so often, in ns: until it sits there, nobody
/// would notice that its disk was exchanged.
const HELLO_SOON_NS: u64 = 50 * MS;
/// One that waits to be added, or hears no leader, does so more rarely.
const HELLO_NS: u64 = 500 * MS;
/// A replica that has heard no leader for so long may have been left out, in ns.
const LEFT_NS: u64 = 2 * SECOND;
/// Replicas whose addresses are remembered because they spoke.
const HEARD_MAX: usize = 4 * REPLICAS_MAX;

/// What a replica knows of seats beyond the log.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    /// Where replicas spoke from that no table names yet.
    heard: BTreeMap<PeerId, Addr>,
    /// The newest life heard of each replica that has a part, and when it last spoke.
    lives: BTreeMap<PeerId, (Boot, Time)>,
    /// What each other replica that votes said last of this one.
    words: BTreeMap<PeerId, ReplicaWord>,
    /// Something is stored on the disk.
    pub(crate) stored: bool,
    hello_at: Time,
    /// When this life began.
    pub(crate) began: Time,
}

impl Seats {
    pub(crate) fn new(loaded: &Loaded) -> Self {
        Self { stored: *loaded != Loaded::default(), ..Self::default() }
    }

    /// When a replica last said anything, if it ever did.
    pub(crate) fn heard_at(&self, peer: PeerId) -> Option<Time> {
        self.lives.get(&peer).map(|(_, heard)| *heard)
    }
}

/// Whether the log that was loaded, committed or not, holds the entry that seats this disk.
pub(crate) fn is_seated_in(loaded: &Loaded, me: u16, disk: u64) -> bool {
    let entries = loaded.entries.iter().filter(|entry| entry.kind == 0);
    let mut mine = entries.flat_map(|entry| seats_of(&entry.data)).filter(|seat| seat.0 == me);
    mine.next() == Some((me, disk))
}

/// Who is seated by an entry, and with which disk.
fn seats_of(data: &[u8]) -> impl Iterator<Item = (u16, u64)> {
    let mut entry = Entry::open(data).ok().flatten();
    let commands = std::iter::from_fn(move || entry.as_mut()?.next().ok().flatten());
    commands.filter_map(|command| match command {
        Command::Seat { number, disk } => Some((number, disk)),
        _ => None,
    })
}

/// The Raft id of a replica as its number.
fn number_of(peer: PeerId) -> u16 {
    u16::try_from(peer.number()).unwrap_or(0)
}

impl Station {
    /// Where a replica listens.
    pub(crate) fn addr_of(&self, peer: PeerId) -> Option<Addr> {
        let seated = || self.machine.replicas.seat(number_of(peer)).and_then(|seat| seat.addr);
        let heard = || self.seats.heard.get(&peer).copied();
        self.config.addr_of(peer).or_else(seated).or_else(heard)
    }

    /// Everybody who has a seat, and where it listens.
    pub(crate) fn replica_addrs(&self) -> Vec<(PeerId, Addr)> {
        let all = self.machine.replicas.seats().map(|(number, _)| PeerId::station(number));
        all.filter_map(|peer| Some((peer, self.addr_of(peer)?))).collect()
    }

    /// Opens the streams to all other replicas.
    pub(crate) fn connect_replicas(&mut self) {
        let me = self.config.peer();
        let known = self.replica_addrs();
        for (peer, addr) in known.into_iter().chain(self.config.replicas.clone()) {
            if peer != me && self.machine.replicas.gone(number_of(peer)).is_none() {
                self.connect_replica(peer, addr);
            }
        }
    }

    fn connect_replica(&mut self, peer: PeerId, addr: Addr) {
        // A few replicas and two lanes fit any table.
        let _ = self.streams.connect(peer, addr, LANE_RAFT);
        let _ = self.streams.connect(peer, addr, LANE_SNAPSHOT);
    }

    /// A replica that has begun anew has forgotten the snapshot that it was pulling: it is announced
    /// again as soon as that is noticed, and not when patience is over.
    pub(crate) fn note_life(&mut self, from: &Origin) {
        let id = u64::from(from.peer.number());
        if from.peer.role() != Role::Station || !self.node.conf().knows(id) {
            return;
        }
        let before = self.seats.lives.insert(from.peer, (from.boot, from.heard));
        if before.is_some_and(|(before, _)| before < from.boot) {
            self.node.fail_sending(id);
        }
    }

    /// A replica that nobody has told us of speaks: it may be answered.
    pub(crate) fn note_replica(&mut self, from: &Origin) {
        let known = self.config.addr_of(from.peer).is_some()
            || self.machine.replicas.seat(number_of(from.peer)).is_some();
        let heard = &mut self.seats.heard;
        if from.peer.role() != Role::Station || known || number_of(from.peer) == 0 {
            return;
        }
        let room = heard.len() < HEARD_MAX || heard.contains_key(&from.peer);
        if room && heard.insert(from.peer, from.addr) != Some(from.addr) {
            self.connect_replica(from.peer, from.addr);
        }
    }

    /// Who sits where has changed: streams follow, and so does this replica, if it has no seat left.
    pub(crate) fn on_seats<O: Outbox>(&mut self, out: &mut O) {
        self.connect_replicas();
        let gone: Vec<PeerId> = self.gone_replicas().collect();
        for peer in gone {
            self.streams.close(peer, out);
            self.seats.heard.remove(&peer);
            self.seats.words.remove(&peer);
            self.seats.lives.remove(&peer);
        }
        self.check_seat(out);
    }

    /// Takes this replica's seat when its log gives it to this disk, committed or not: what it
    /// acknowledges from then on stands behind that entry, and comes to nothing with it.
    pub(crate) fn look_for_seat(&mut self) {
        let (me, disk) = (self.config.me, self.config.disk);
        if self.node.is_admitted() {
            return;
        }
        let seated = self.machine.replicas.seat(me).map_or(0, |seat| seat.disk);
        if disk == if seated == 0 { self.seat_in_tail(me) } else { seated } {
            self.node.admit();
        }
    }

    fn gone_replicas(&self) -> impl Iterator<Item = PeerId> {
        let founders = self.config.replicas.iter().map(|(peer, _)| *peer);
        let heard = self.seats.heard.keys().copied();
        let gone = |peer: &PeerId| self.machine.replicas.gone(number_of(*peer)).is_some();
        founders.chain(heard).filter(gone)
    }

    /// Takes this replica's seat, or leaves when it is another's.
    pub(crate) fn check_seat<O: Outbox>(&mut self, out: &mut O) {
        let (me, disk) = (self.config.me, self.config.disk);
        if let Some(gone) = self.machine.replicas.gone(me) {
            return self.leave_seat(gone.by, gone.index, out);
        }
        let seated = self.machine.replicas.seat(me).map_or(0, |seat| seat.disk);
        if disk == 0 || seated == disk {
            self.node.admit();
        } else if seated != 0 {
            self.stop_disk_lost(out);
        }
        let now = self.machine.replicas.under_way();
        self.node.set_reluctant(now.is_some_and(|now| now.old == me && !now.cancelled));
    }

    fn leave_seat<O: Outbox>(&mut self, by: u16, index: u64, out: &mut O) {
        let me = name(self.config.me);
        let text = match by {
            0 => format!("{me} was called off at index {index} and never became a replica"),
            by => format!("{me} was replaced by {} at index {index}", name(by)),
        };
        let what = "its number is spent: remove its directory, and start a new replica under a \
                    number that was never used";
        self.stop(&format!("{text}; {what}"), out);
    }

    fn stop_disk_lost<O: Outbox>(&mut self, out: &mut O) {
        let text = format!(
            "{} has voted and acknowledged with another log than this one: what it promised is \
             lost, and it must not come back under its number; bring back that directory, or {}",
            name(self.config.me),
            self.config.how_to_replace()
        );
        self.stop(&text, out);
    }

    /// The leader knows that this replica had more than it has.
    pub(crate) fn stop_tail_lost<O: Outbox>(&mut self, head: &RaftHead, out: &mut O) {
        let text = format!(
            "the log of {} ends at {}, but its leader knows that it had {} already: this is an old \
             copy, or its tail is lost; it must not come back under its number with less than it \
             promised: {}",
            name(self.config.me),
            self.node.last_index(),
            head.commit,
            self.config.how_to_replace()
        );
        self.stop(&text, out);
    }

    /// Shows this replica to the others while it has no seat, or hears no leader.
    pub(crate) fn tick_seat<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let disk = self.config.disk;
        if disk == 0 || now.at < self.seats.hello_at {
            return;
        }
        let seat = self.machine.replicas.seat(self.config.me);
        let (is_free, seated) =
            (seat.is_some_and(|one| one.disk == 0), seat.is_some_and(|one| one.disk == disk));
        self.seats.hello_at = now.at.after(if is_free { HELLO_SOON_NS } else { HELLO_NS });
        if self.is_settled() || self.node.is_founding() {
            if is_free {
                self.give_seat(now, self.config.me, disk, out);
            }
            if self.is_settled() {
                return;
            }
        }
        let leader_lives = now.at.since(self.node.current_at(now.at)) < SECOND;
        if seated && leader_lives {
            return;
        }
        let (generation, stored) = (self.node.generation(), u8::from(self.seats.stored));
        let hello = ReplicaHello { disk, generation, stored, reserved: [0; 7] };
        let mut all: BTreeMap<PeerId, Addr> = self.config.replicas.iter().copied().collect();
        all.extend(&self.seats.heard);
        all.extend(self.replica_addrs());
        for (peer, addr) in all {
            if peer != self.config.peer() {
                out.send(addr, &hello);
            }
        }
    }

    /// A replica without a seat shows its disk: hears what is known, and gets the seat if it is free.
    pub(crate) fn on_hello<O: Outbox>(
        &mut self,
        now: Now,
        from: &Origin,
        hello: &ReplicaHello,
        out: &mut O,
    ) {
        if hello.generation != self.node.generation() {
            return out.count(Counter::DropRole, 1);
        }
        let number = number_of(from.peer);
        let seat = self.machine.replicas.seat(number).copied();
        let free = seat.is_some_and(|seat| seat.disk == 0);
        let decides = self.is_settled() || self.node.is_founding();
        if free && hello.stored == 1 && decides && self.node.conf().knows(number.into()) {
            self.give_seat(now, number, hello.disk, out);
        }
        self.send_word(from, out);
    }

    /// Proposes that a disk takes a free seat, unless that is under way.
    fn give_seat<O: Outbox>(&mut self, now: Now, number: u16, disk: u64, out: &mut O) {
        if self.seat_in_tail(number) != disk {
            self.propose(now, &Command::Seat { number, disk }, out);
        }
    }

    fn send_word<O: Outbox>(&self, from: &Origin, out: &mut O) {
        let number = number_of(from.peer);
        let gone = self.machine.replicas.gone(number);
        let applied = self.machine.replicas.seat(number).map_or(0, |seat| seat.disk);
        let disk = if applied == 0 { self.seat_in_tail(number) } else { applied };
        let word = ReplicaWord {
            disk,
            generation: self.node.generation(),
            removed_at: gone.map_or(0, |gone| gone.index),
            term: self.node.term().0,
            leader: number_of(self.node.leader()),
            by: gone.map_or(0, |gone| gone.by),
            pending: u8::from(disk != applied),
            reserved: [0; 3],
        };
        out.send(from.addr, &word);
    }

    /// The disk that an entry seats which is not applied yet, and perhaps never will be.
    fn seat_in_tail(&self, wanted: u16) -> u64 {
        let tail = self.node.entries_after(self.machine.applied);
        let mut seats = tail.flat_map(|entry| seats_of(&entry.data));
        // The first that sits down stays.
        seats.find(|(number, _)| *number == wanted).map_or(0, |(_, disk)| disk)
    }

    /// Another replica says what it knows of this one.
    pub(crate) fn on_word<O: Outbox>(
        &mut self,
        now: Time,
        from: &Origin,
        word: &ReplicaWord,
        out: &mut O,
    ) {
        if word.generation != self.node.generation() {
            return out.count(Counter::DropRole, 1);
        }
        if self.other_voters().contains(&from.peer) {
            self.seats.words.insert(from.peer, *word);
        }
        let disk = self.config.disk;
        let replaced = |word: &ReplicaWord| word.removed_at != 0;
        let lost = |word: &ReplicaWord| {
            disk != 0 && word.pending == 0 && word.disk != 0 && word.disk != disk
        };
        if replaced(word) && self.is_believed(replaced, now) {
            return self.leave_seat(word.by, word.removed_at, out);
        }
        if lost(word) && self.is_believed(lost, now) {
            return self.stop_disk_lost(out);
        }
        let seated = disk != 0 && word.pending == 0 && word.disk == disk;
        // When nobody at all has ever seen it, nobody relies on what it might have forgotten.
        if seated || self.node.conf().votes(self.config.me.into()) && self.is_new_to_all() {
            self.node.admit();
        }
    }

    /// Whether what some replicas say may stop this one. One that has no part yet, who contributes
    /// nothing, stops at one word; any other when more than half of the others that vote, as far as
    /// known here, say the same. Half of them suffice when nobody leads this one any more and nobody
    /// says otherwise: of those it knows, some may be gone as well.
    fn is_believed(&self, says: impl Fn(&ReplicaWord) -> bool, now: Time) -> bool {
        let others = self.other_voters();
        let words = || others.iter().filter_map(|peer| self.seats.words.get(peer));
        let told = words().filter(|word| says(word)).count();
        let led_at = self.node.current_at(now).max(self.seats.began);
        let is_left = now.since(led_at) >= LEFT_NS && told == words().count();
        let enough = if is_left { others.len().div_ceil(2) } else { others.len() / 2 + 1 };
        !self.node.is_admitted() || told >= enough
    }

    fn is_new_to_all(&self) -> bool {
        let new = |word: &ReplicaWord| word.disk == 0 || word.disk == self.config.disk;
        self.other_voters().iter().all(|peer| self.seats.words.get(peer).is_some_and(new))
    }

    /// The replicas that vote beside this one, as far as it has applied it.
    fn other_voters(&self) -> Vec<PeerId> {
        let conf = &self.machine.replicas.conf;
        let others = conf.everybody().into_iter().filter_map(|id| u16::try_from(id).ok());
        let votes = |number: &u16| *number != self.config.me && conf.votes(u64::from(*number));
        others.filter(votes).map(PeerId::station).collect()
    }

    /// Whether it is true, as far as the others say, that one leads which believes that this replica
    /// has more than it has. One word, or one that only claims to lead, stops nobody.
    pub(crate) fn is_led_by(&self, head: &RaftHead, now: Time) -> bool {
        let leads =
            |word: &ReplicaWord| (u64::from(word.leader), word.term) == (head.from, head.term);
        self.is_believed(leads, now)
    }

    /// Whether a frame comes from a replica that is none any more; it hears so.
    pub(crate) fn turns_away<O: Outbox>(
        &self,
        from: &Origin,
        frame: &Frame<'_>,
        out: &mut O,
    ) -> bool {
        let station = from.peer.role() == Role::Station;
        if !station || self.machine.replicas.gone(number_of(from.peer)).is_none() {
            return false;
        }
        if matches!(frame, Frame::Raft(_) | Frame::ReplicaHello(_)) {
            self.send_word(from, out);
        }
        out.count(Counter::DropRole, 1);
        true
    }
}

#[cfg(test)]
mod tests;
