//! Gathering what is to be proposed: one entry for a burst, not one for each batch.
//!
//! What comes in masses may wait a little for more of it: joins, so that a cluster that starts makes a
//! few views and not thousands, and deaths of several nodes, which many satellites report within a
//! moment when a machine room loses its power. Anything else, a single death first of all, goes at
//! the end of the burst and takes what waits along. Whether a single death is the first of many is
//! known from satellites, which say how many cases they have not decided yet.

use crate::machine::command::{Command, begin, check_batch};
use crate::machine::encoder::Encoder;
use crate::raft::node::ENTRY_MAX;
use crate::station::{FLUSH, Station};
use syncom_seam::{Counter, MS, Now, Outbox, Time, Timer};
use syncom_stream::Key;
use syncom_wire::report::EventKind;
use syncom_wire::uplink::{Batch, BatchAck, BatchHead, HomeStats};
use syncom_wire::{Frame, PeerId};

/// How long something may wait for more of its kind.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// After the last one, in ns.
    quiet_ns: u64,
    /// In all, in ns.
    most_ns: u64,
}

const JOINS: Patience = Patience { quiet_ns: 50 * MS, most_ns: 250 * MS };
/// Satellites of one cause conclude within tens of ms of each other: each has waited for its own
/// undecided cases.
const DEATHS: Patience = Patience { quiet_ns: 30 * MS, most_ns: 100 * MS };
/// The more nodes a cause has struck, the more satellites have cases of it, and the later the last of
/// them concludes: of 1,000 nodes in one power loss, gaps of more than 30 ms were seen between two.
const MASS: Patience = Patience { quiet_ns: 60 * MS, most_ns: 200 * MS };
/// So many records of deaths that wait are a mass; both homes of a node send one.
const MASS_RECORDS: u32 = 8;
/// When satellites tell of undecided cases, deaths wait until there are none, but no longer than this; then
/// only for those that are on their way.
const TOLD: Patience = Patience { quiet_ns: 40 * MS, most_ns: 300 * MS };
/// So many undecided cases, of all satellites together, are the beginning of a mass. Each death is two of
/// them, one at each home, for some 80 ms: those of no common cause would have to be 150 in a second.
const TOLD_FROM: u32 = 24;
/// Bytes at which an entry is proposed before a command of unknown size.
const BYTES_MAX: usize = 128 * 1024;
/// Bytes that are left free in an entry of batches.
const MARGIN: usize = 4 * 1024;

impl Patience {
    /// Until when what was held since `from` waits for more, when the last of it came now.
    fn until(self, now: Time, from: Time) -> Time {
        now.after(self.quiet_ns).min(from.after(self.most_ns))
    }
}

/// What is gathered for the next entry.
#[derive(Debug, Default)]
pub(crate) struct Proposals {
    entry: Option<Encoder>,
    /// Batches in the entry, to be answered if it cannot be proposed.
    batches: Vec<BatchHead>,
    /// Something in the entry must not wait beyond the burst.
    urgent: bool,
    /// Records of deaths in the entry that wait for more.
    deaths: u32,
    /// Cases that satellites have not decided.
    undecided: u32,
    /// There were so many of them since the first death in the entry that it is one of a mass.
    is_told: bool,
    /// When the first of what waits was added.
    held_from: Time,
    held_until: Time,
    generation: u32,
}

impl Proposals {
    fn add(&mut self, command: &Command<'_>, now: Now) {
        let entry = self.entry.get_or_insert_with(|| begin(now.wall.0));
        command.encode(entry);
    }

    const fn len(&self) -> usize {
        match &self.entry {
            Some(entry) => entry.len(),
            None => 0,
        }
    }

    /// The burst is over: whatever has waited long enough is due.
    pub(crate) fn on_burst_end(&mut self, now: Time) {
        self.urgent |= self.entry.is_some() && now >= self.held_until;
    }

    /// A batch of which everything may wait was added, with so many deaths.
    fn hold<O: Outbox>(&mut self, now: Time, deaths: u32, out: &mut O) {
        self.deaths = self.deaths.saturating_add(deaths);
        let is_first = self.batches.len() == 1;
        if is_first {
            self.held_from = now;
        }
        self.is_told |= self.deaths > 0 && self.undecided >= TOLD_FROM;
        self.held_until = self.until(now);
        if is_first {
            self.arm(out);
        }
    }

    /// Until when what is held waits, when the last of it came now.
    fn until(&self, now: Time) -> Time {
        match self.deaths {
            0 => JOINS.until(now, self.held_from),
            _ if self.is_told && self.undecided > 0 => self.held_from.after(TOLD.most_ns),
            _ if self.is_told => TOLD.until(now, self.held_from),
            1..MASS_RECORDS => DEATHS.until(now, self.held_from),
            _ => MASS.until(now, self.held_from),
        }
    }

    /// Satellites have so many undecided cases now.
    fn on_undecided<O: Outbox>(&mut self, now: Time, undecided: u32, out: &mut O) {
        let was = std::mem::replace(&mut self.undecided, undecided);
        if self.is_told && (was > 0) != (undecided > 0) {
            self.held_until = self.until(now);
            self.arm(out);
        }
    }

    /// Whether a batch with so many deaths may wait for others: not a single death, unless it comes in
    /// the middle of a mass.
    const fn may_wait(&self, deaths: u32) -> bool {
        deaths != 1 || self.deaths >= MASS_RECORDS || self.is_told || self.undecided >= TOLD_FROM
    }

    fn arm<O: Outbox>(&self, out: &mut O) {
        out.arm(Timer { kind: FLUSH, generation: self.generation, key: 0 }, self.held_until);
    }

    /// Something was held back for as long as it was thought at first.
    pub(crate) fn on_timer<O: Outbox>(&self, now: Time, timer: Timer, out: &mut O) {
        if timer.generation == self.generation && now < self.held_until {
            self.arm(out);
        }
    }

    fn take(&mut self) -> Option<(Vec<u8>, Vec<BatchHead>)> {
        (self.urgent, self.deaths, self.is_told) = (false, 0, false);
        self.generation = self.generation.wrapping_add(1);
        let batches = std::mem::take(&mut self.batches);
        self.entry.take().map(|entry| (entry.finish(), batches))
    }
}

/// How many deaths a batch holds that has nothing but deaths and joins.
fn deaths(batch: &Batch<'_>) -> Option<u32> {
    let mut deaths = 0;
    for frame in batch.iter() {
        match frame {
            Ok(Frame::Join(_)) => {}
            Ok(Frame::Record(record)) if record.head.kind == EventKind::DEAD => deaths += 1,
            _ => return None,
        }
    }
    Some(deaths)
}

impl Station {
    /// Adds a command that this leader has thought of itself; it goes at the end of the burst.
    pub(crate) fn propose<O: Outbox>(&mut self, now: Now, command: &Command<'_>, out: &mut O) {
        if self.proposals.len() >= BYTES_MAX {
            self.make_room(now, out);
        }
        self.proposals.add(command, now);
        self.proposals.urgent = true;
    }

    /// A satellite tells what it knows beyond the log: of undecided cases, too.
    pub(crate) fn on_stats<O: Outbox>(
        &mut self,
        now: Time,
        peer: PeerId,
        stats: &HomeStats<'_>,
        out: &mut O,
    ) {
        self.satellites.on_stats(now, peer, stats);
        self.proposals.on_undecided(now, self.satellites.undecided(now), out);
    }

    /// A satellite's batch.
    pub(crate) fn on_batch<O: Outbox>(
        &mut self,
        now: Now,
        key: Key,
        batch: &Batch<'_>,
        out: &mut O,
    ) {
        let head = batch.head;
        if head.peer != key.peer {
            return out.count(Counter::DropRole, 1);
        }
        if !self.is_settled() {
            let status = if self.node.is_leader() { BatchAck::BUSY } else { BatchAck::NOT_LEADER };
            return self.answer_unapplied(now, &head, status, out);
        }
        if check_batch(batch).is_err() || batch.items.len() > ENTRY_MAX / 2 {
            return self.answer_unapplied(now, &head, BatchAck::REFUSED, out);
        }
        if self.proposals.len() + batch.items.len() + MARGIN > ENTRY_MAX {
            self.make_room(now, out);
        }
        self.proposals.add(&Command::Batch(*batch), now);
        self.proposals.batches.push(head);
        let undecided = self.satellites.undecided(now.at);
        self.proposals.on_undecided(now.at, undecided, out);
        match deaths(batch).filter(|deaths| self.proposals.may_wait(*deaths)) {
            Some(deaths) => self.proposals.hold(now.at, deaths, out),
            None => self.proposals.urgent = true,
        }
    }

    /// Proposes what was gathered: the next command might not fit beside it.
    fn make_room<O: Outbox>(&mut self, now: Now, out: &mut O) {
        self.proposals.urgent = true;
        self.flush_proposals(now, out);
    }

    /// Proposes what was gathered, if it is due.
    pub(crate) fn flush_proposals<O: Outbox>(&mut self, now: Now, out: &mut O) {
        if !self.proposals.urgent {
            return;
        }
        let Some((entry, batches)) = self.proposals.take() else { return };
        let refused = self.node.propose(entry).is_err();
        if refused {
            for head in &batches {
                self.answer_unapplied(now, head, BatchAck::BUSY, out);
            }
            self.refuse_pending(now, out);
        } else {
            out.count(Counter::RaftProposals, 1);
        }
    }

    /// This replica no longer leads: what was gathered is for the next leader.
    pub(crate) fn refuse_proposals<O: Outbox>(&mut self, now: Now, out: &mut O) {
        let Some((_, batches)) = self.proposals.take() else { return };
        for head in &batches {
            self.answer_unapplied(now, head, BatchAck::NOT_LEADER, out);
        }
    }

    /// Answers a batch that was not applied, and why.
    fn answer_unapplied<O: Outbox>(&mut self, now: Now, head: &BatchHead, status: u8, out: &mut O) {
        self.answer_batch(now, head.peer, head.boot, head.seq, status, out);
    }

    /// Who leads, for answers.
    pub(crate) fn leader_hint(&self) -> PeerId {
        self.node.leader()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncom_seam::{Recorder, SECOND};
    use syncom_wire::Boot;

    /// Adds batches of so many deaths at these moments, in ms; until when what waits is held, in ms.
    fn held_ms(batches: &[(u64, u32)]) -> u64 {
        let (mut proposals, mut out) = (Proposals::default(), Recorder::default());
        for (at, deaths) in batches {
            assert!(proposals.may_wait(*deaths), "{deaths} at {at}");
            let head = BatchHead { peer: PeerId::satellite(1), items: 1, boot: Boot(1), seq: *at };
            proposals.batches.push(head);
            proposals.hold(Time(SECOND + at * MS), *deaths, &mut out);
        }
        proposals.held_until.since(Time(SECOND)) / MS
    }

    #[test]
    fn a_single_death_waits_for_nothing_unless_a_mass_is_under_way() {
        let mut proposals = Proposals::default();
        assert!(!proposals.may_wait(1) && proposals.may_wait(2) && proposals.may_wait(0));
        proposals.deaths = MASS_RECORDS - 1;
        assert!(!proposals.may_wait(1));
        proposals.deaths = MASS_RECORDS;
        assert!(proposals.may_wait(1));
        proposals.take();
        assert!(!proposals.may_wait(1));
    }

    #[test]
    fn a_single_death_waits_while_so_many_cases_are_undecided_that_it_is_one_of_a_mass() {
        let (mut proposals, mut out) = (Proposals::default(), Recorder::default());
        let at = |ms| Time(SECOND + ms * MS);
        proposals.on_undecided(at(0), TOLD_FROM - 1, &mut out);
        assert!(!proposals.may_wait(1));
        proposals.on_undecided(at(1), TOLD_FROM, &mut out);
        assert!(proposals.may_wait(1));
        let hold = |proposals: &mut Proposals, ms, deaths| {
            let (peer, boot) = (PeerId::satellite(1), Boot(1));
            proposals.batches.push(BatchHead { peer, items: 1, boot, seq: ms });
            proposals.hold(at(ms), deaths, &mut Recorder::default());
            proposals.held_until
        };
        assert_eq!(hold(&mut proposals, 2, 1), at(302));
        proposals.on_undecided(at(50), 2, &mut out);
        assert!(proposals.may_wait(1), "the last ones, too");
        assert_eq!(hold(&mut proposals, 150, 7), at(302), "until all are decided");
        proposals.on_undecided(at(200), 0, &mut out);
        assert_eq!(proposals.held_until, at(240), "and their deaths are here");
        assert_eq!(hold(&mut proposals, 230, 1), at(270));
        proposals.on_undecided(at(240), 3, &mut out);
        assert_eq!(proposals.held_until, at(302));
        proposals.on_undecided(at(290), 0, &mut out);
        assert_eq!(proposals.held_until, at(302), "in all");
        proposals.take();
        assert!(!proposals.may_wait(1), "the next one is on its own");
    }

    #[test]
    fn the_more_have_died_the_longer_the_last_ones_are_waited_for() {
        assert_eq!(held_ms(&[(0, 0)]), 50);
        assert_eq!(held_ms(&[(0, 2)]), 30);
        assert_eq!(held_ms(&[(0, 2), (20, 3)]), 50);
        assert_eq!(held_ms(&[(0, 2), (20, 3), (45, 2), (70, 0), (90, 0)]), 100, "in all");
        assert_eq!(held_ms(&[(0, 22)]), 60);
        assert_eq!(held_ms(&[(0, 7), (10, 1 + 1), (65, 22)]), 125);
        assert_eq!(held_ms(&[(0, 22), (50, 22), (100, 1), (150, 22)]), 200, "in all");
    }
}
