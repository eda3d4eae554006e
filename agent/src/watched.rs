//! One subject: what is expected of it, and what was said about it.

use crate::node::Node;
use crate::question::Question;
use syncom_group::Arrival;
use syncom_seam::{MS, SECOND, Time};
use syncom_wire::beat::Beat;
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::neighbours::Neighbour;
use syncom_wire::report::{AckItem, ReportAck};
use syncom_wire::watch::Watch;
use syncom_wire::{Addr, Incarnation, PeerId, Slot};

/// Heartbeats in a row whose progress counter stands still, after which they prove no life: somebody
/// sends them who does not think any more. An agent at rest counts one turn at least with each.
const STILL_MAX: u8 = 8;

/// Least time for a new subject to be heard, in ns: a home may wait 500 ms until it tells it of us, and
/// says so once more 250 ms later when that was lost.
const GRACE_MIN_NS: u64 = 750 * MS;

/// Of a round, the margin of one that speaks in turn is this part at most: one of eight turns.
const ROUND: u64 = 8;

/// What was said about a subject.
///
/// ```text
///            late                 committed
///   None ──────────▶ Accused ──────────────────▶ Settled
///     ▲                 │ heard                     │ heard, or a new life
///     └── Retracting ◀──┘                           │
///     └─────────────────────────────────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nothing.
    None,
    /// That it is silent.
    Accused {
        /// Number of the report; refreshes keep it.
        seq: u64,
        /// Whether a home has it.
        received: bool,
        /// How often it was said again because no home answered.
        repeats: u32,
        /// Time to the next refresh once a home has it, in ns.
        refresh_ns: u64,
        /// When to say it again.
        next: Time,
    },
    /// That it was heard after all; until both homes have heard that: the one that has not would
    /// count the accusation for as long as it lives.
    Retracting {
        /// Number of the accusation.
        seq: u64,
        /// The home that has heard it first.
        heard_by: Option<PeerId>,
        /// How often it was said.
        repeats: u32,
        /// When to say it again.
        next: Time,
    },
    /// The homes know that this life is over.
    Settled,
}

impl Claim {
    /// How an answer says it.
    const fn to_wire(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Accused { .. } => Watch::ACCUSED,
            Self::Retracting { .. } => Watch::RETRACTING,
            Self::Settled => Watch::SETTLED,
        }
    }

    /// Whether hearing the subject changes what was said.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self, Self::Accused { .. } | Self::Settled)
    }

    /// Takes the level of an acknowledgement, as it matters to an accusation.
    pub(crate) fn on_ack(&mut self, item: AckItem, from: PeerId, homes: usize, now: Time) {
        match self {
            Self::Accused { seq, received, next, refresh_ns, .. } if *seq == item.seq => {
                match item.level {
                    ReportAck::COMMITTED => *self = Self::Settled,
                    ReportAck::RECEIVED if !*received => {
                        *received = true;
                        *next = now.after(*refresh_ns);
                    }
                    ReportAck::BUSY => *next = now.after(SECOND),
                    _ => {}
                }
            }
            Self::Retracting { seq, heard_by, .. }
                if *seq == item.seq && item.level != ReportAck::BUSY =>
            {
                let first = *heard_by.get_or_insert(from);
                if first != from || homes < 2 || item.level == ReportAck::COMMITTED {
                    *self = Self::None;
                }
            }
            Self::None | Self::Settled | Self::Accused { .. } | Self::Retracting { .. } => {}
        }
    }
}

/// What an observer takes from a sign of life, in full or in short.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sign {
    pub(crate) slot: Slot,
    pub(crate) incarnation: Incarnation,
    pub(crate) seq: u64,
    pub(crate) interval_us: u32,
    pub(crate) flags: u16,
    /// The neighbour set that its sender holds; 0 in short, where it is not said.
    pub(crate) neighbours: u64,
    /// Where it came from.
    from: Addr,
    /// Whether its sender speaks to its observers in turn; in short that is not said.
    is_in_turn: Option<bool>,
    told: Told,
}

/// What a subject says of itself beside that it lives.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    progress: u16,
    services_up: u16,
    services_down: u16,
}

impl Sign {
    /// Of a heartbeat.
    pub(crate) const fn of(beat: &Heartbeat, from: Addr) -> Self {
        let Heartbeat { slot, incarnation, seq, interval_us, flags, neighbours, .. } = *beat;
        let Heartbeat { services_up, services_down, .. } = *beat;
        let progress = Beat::short_progress(beat.progress);
        let told = Told { progress, services_up, services_down };
        let is_in_turn = Some(flags & Heartbeat::IN_TURN != 0);
        Self { slot, incarnation, seq, interval_us, flags, neighbours, from, is_in_turn, told }
    }

    /// Of one in short, by whoever has this slot.
    pub(crate) fn of_brief(slot: Slot, beat: &Beat, from: Addr) -> Self {
        let Beat { incarnation, interval_us, progress, services_up, services_down, .. } = *beat;
        let (services_up, services_down) = (services_up.into(), services_down.into());
        let told = Told { progress, services_up, services_down };
        let (seq, is_in_turn) = (beat.seq.into(), None);
        let (flags, neighbours) = (0, 0);
        Self { slot, incarnation, seq, interval_us, flags, neighbours, from, is_in_turn, told }
    }
}

/// One subject.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) slot: Slot,
    pub(crate) incarnation: Incarnation,
    pub(crate) domain: u16,
    /// Epoch of the set that made us its observer.
    pub(crate) epoch: u64,
    pub(crate) arrival: Arrival,
    /// When we became its observer.
    pub(crate) since: Time,
    /// A subject of which no heartbeat came is not late before this moment.
    pub(crate) grace_until: Time,
    /// When to stop watching; [`Time::NEVER`] while it is in the set.
    pub(crate) leave_at: Time,
    pub(crate) claim: Claim,
    /// Where it listens, as far as is known.
    pub(crate) addr: Addr,
    /// It speaks to its observers in turn: who misses it asks it first.
    pub(crate) is_in_turn: bool,
    pub(crate) question: Question,
    /// That its turn has passed, too, was said with the accusation.
    is_turn_told: bool,
    /// A home has asked whether we still hear it: until then a single heartbeat may be missed.
    asked_until: Time,
    /// What is missing up to the next heartbeat was lost here.
    is_excused: bool,
    /// Before this moment it is not said again that most of what it sends is missing.
    patchy_next: Time,
    told: Told,
    /// When it told so, and when its progress counter had last moved by then.
    told_at: Time,
    moved_at: Time,
    /// Heartbeats in a row whose progress counter stood still.
    stills: u8,
}

impl Watched {
    pub(crate) fn new(one: Neighbour, epoch: u64, now: Time, node: &Node) -> Self {
        Self {
            slot: one.slot,
            incarnation: one.incarnation,
            domain: one.domain,
            epoch,
            arrival: Arrival::new(now, node.pace.announced_ns()),
            since: now,
            grace_until: now.after(grace_ns(node)),
            leave_at: Time::NEVER,
            claim: Claim::None,
            addr: one.addr,
            is_in_turn: false,
            question: Question::default(),
            is_turn_told: false,
            asked_until: Time(0),
            is_excused: false,
            patchy_next: Time(0),
            told: Told::default(),
            told_at: now,
            moved_at: now,
            stills: 0,
        }
    }

    /// A home has reason to believe that it is gone.
    pub(crate) fn ask(&mut self, now: Time) {
        self.asked_until = now.after(2 * self.arrival.interval_ns());
    }

    /// Whether more is asked of it at present than patience allows: it may be late for no reason.
    pub(crate) fn is_asked(&self, now: Time) -> bool {
        now < self.asked_until
    }

    /// The subject is in a newer set, too.
    pub(crate) fn assign(&mut self, one: Neighbour, epoch: u64, now: Time, node: &Node) {
        if one.incarnation > self.incarnation {
            *self = Self::new(one, epoch, now, node);
            return;
        }
        (self.epoch, self.domain, self.leave_at) = (epoch, one.domain, Time::NEVER);
        self.addr = one.addr;
    }

    /// Takes a sign of life; false when it is one of an earlier life, or of no life any more.
    pub(crate) fn on_sign(&mut self, beat: &Sign, heard: Time, node: &Node) -> bool {
        if beat.incarnation < self.incarnation {
            return false;
        }
        if beat.incarnation > self.incarnation {
            // A new life that our home has not told us of yet. Evidence about the old one is void.
            self.incarnation = beat.incarnation;
            self.arrival = Arrival::new(heard, node.pace.announced_ns());
            (self.since, self.grace_until) = (heard, heard.after(grace_ns(node)));
            self.claim = Claim::None;
            (self.told, self.told_at, self.moved_at) = (Told::default(), heard, heard);
            self.stills = 0;
            (self.is_in_turn, self.question) = (false, Question::default());
        }
        if beat.seq > self.arrival.seq() && beat.flags & Heartbeat::HERE == 0 {
            self.on_told(&beat.told, heard);
        }
        if self.stills >= STILL_MAX {
            return false;
        }
        let is_in_turn = beat.is_in_turn.unwrap_or(self.is_in_turn);
        if is_in_turn && !self.is_in_turn {
            self.arrival.expect_closely(node.config.profile.margin_min_ns / 8);
        }
        self.is_in_turn = is_in_turn;
        if is_in_turn || !self.question.is_idle() {
            self.addr = beat.from;
            self.question.on_heard();
        }
        let interval_ns = u64::from(beat.interval_us) * 1_000;
        if beat.flags & Heartbeat::HERE == 0 {
            self.arrival.on_heartbeat(beat.seq, interval_ns, heard);
        } else {
            self.arrival.on_word(beat.seq, interval_ns, heard);
        }
        true
    }

    /// Takes what a newer heartbeat says.
    fn on_told(&mut self, told: &Told, heard: Time) {
        if told.progress == self.told.progress && self.arrival.seq() > 0 {
            self.stills = self.stills.saturating_add(1);
        } else {
            (self.stills, self.moved_at) = (0, heard);
        }
        (self.told, self.told_at) = (*told, heard);
    }

    /// What an answer says of it; the doubts of the observer are `flags`.
    pub(crate) fn show(&self, flags: u16, node: &Node, now: Time) -> Watch {
        let micros = |ns: u64| u32::try_from(ns / 1_000).unwrap_or(u32::MAX);
        let heard = self.arrival.heard();
        let margin_ns = self.arrival.margin_ns(&node.config.profile);
        Watch {
            subject: self.slot,
            incarnation: self.incarnation,
            seq: self.arrival.seq(),
            heard_ago_us: heard.map_or(Watch::NEVER, |heard| micros(now.since(heard))),
            interval_us: micros(self.arrival.interval_ns()),
            error_us: micros(self.arrival.error_ns()),
            margin_us: micros(margin_ns * (1 + u64::from(node.health.level()))),
            timeout_us: micros(self.deadline(node).since(heard.unwrap_or(self.since))),
            still_us: micros(self.told_at.since(self.moved_at)),
            srtt_us: micros(node.homes.srtt_max_ns()),
            services_up: self.told.services_up,
            services_down: self.told.services_down,
            claim: self.claim.to_wire(),
            health: node.health.level(),
            flags,
        }
    }

    /// Whether no heartbeat of it has come, and it is to be asked how often it speaks. Its answer says
    /// that it lives, not that it knows us: its set may be lost, or on its way.
    pub(crate) fn is_stranger(&self) -> bool {
        let is_unheard = !self.arrival.has_begun() && self.claim != Claim::Settled;
        is_unheard && self.leave_at == Time::NEVER
    }

    /// Whether there is something to hand over to those who watch it after us: a heartbeat of it came,
    /// or its homes wait for our next word.
    pub(crate) const fn has_evidence(&self) -> bool {
        let is_told = matches!(self.claim, Claim::Accused { .. } | Claim::Retracting { .. });
        self.arrival.has_begun() || is_told
    }

    /// When to stop watching it, now that we were replaced: well before it stops sending, which it
    /// does by its own interval, whatever ours is.
    pub(crate) fn leave_by(&mut self, now: Time, node: &Node) {
        let leave_at = now.after(node.handover_ns(self.arrival.interval_ns()) / 2);
        self.leave_at = self.leave_at.min(leave_at);
    }

    /// Whether we were replaced before it sent us a single heartbeat of its own accord. Sets change many
    /// times while many join, and each node is told only some of them: it may never have been told of
    /// us, and will not send what we wait for.
    fn is_passed_over(&self) -> bool {
        self.leave_at != Time::NEVER && !self.arrival.has_begun()
    }

    /// Takes back what was said of it, if that was for a heartbeat that it may never have owed us.
    pub(crate) fn excuse(&mut self, now: Time) {
        if let Claim::Accused { seq, .. } = self.claim
            && self.is_passed_over()
        {
            self.claim = Claim::Retracting { seq, heard_by: None, repeats: 0, next: now };
        }
    }

    /// When the subject is late; never when we were passed over. One that speaks in turn is asked then.
    pub(crate) fn deadline(&self, node: &Node) -> Time {
        if self.is_passed_over() {
            return Time::NEVER;
        }
        if self.is_in_turn {
            return self.doubted_at(node);
        }
        if self.arrival.heard().is_none() {
            return self.grace_until;
        }
        let (profile, health) = (&node.config.profile, node.health.level());
        if !self.arrival.has_begun() {
            return self.arrival.deadline(profile, health).max(self.grace_until);
        }
        let early = self.arrival.deadline_after(1, profile, health);
        if early < self.asked_until { early } else { self.arrival.deadline(profile, health) }
    }

    /// This process or its machine stood still for so long: what it missed is nobody's fault.
    pub(crate) fn on_pause(&mut self, now: Time, gap_ns: u64) {
        self.arrival.shift(gap_ns);
        self.question.on_pause(now);
        self.grace_until = self.grace_until.after(gap_ns);
        self.is_excused = true;
    }

    /// A heartbeat came: excuses what is missing before it, when it is the first after a pause, or comes so
    /// shortly after one that it may have waited.
    pub(crate) const fn excuse_gaps(&mut self, is_after_pause: bool) {
        if self.is_excused || is_after_pause {
            self.arrival.excuse();
        }
        self.is_excused = is_after_pause;
    }

    /// Whether to say that most of it is missing though nothing else is to be said.
    pub(crate) fn has_gaps_to_tell(&self, now: Time) -> bool {
        let is_due = self.patchy_next <= now && self.leave_at == Time::NEVER;
        self.arrival.is_patchy() && is_due && self.claim == Claim::None
    }

    /// That was said: the homes keep it for 3·m·η.
    pub(crate) fn note_gaps_told(&mut self, now: Time) {
        self.patchy_next = now.after(2 * self.arrival.interval_ns());
    }

    /// When one that speaks in turn is to be asked: it has missed its turn, and the next ones as far as
    /// it has answered since they were due. Its margin is at most an eighth of a round: who is asked for
    /// nothing loses nothing.
    fn doubted_at(&self, node: &Node) -> Time {
        let (profile, health) = (&node.config.profile, node.health.level());
        let interval_ns = self.arrival.interval_ns();
        let most_ns = (interval_ns / ROUND).max(profile.margin_min_ns);
        let margin_ns = self.arrival.margin_ns(profile).min(most_ns) * (1 + u64::from(health));
        let at = self.arrival.expected().after(margin_ns);
        let at = if self.arrival.has_begun() { at } else { at.max(self.grace_until) };
        let lived = self.question.answered().max(self.arrival.heard().unwrap_or(Time(0)));
        if at > lived {
            return at;
        }
        let missed = lived.since(at).checked_div(interval_ns).unwrap_or(0) + 1;
        at.after(missed.saturating_mul(interval_ns))
    }

    /// Whether the subject is late by now: one that speaks in turn when it does not answer, either.
    pub(crate) fn is_late(&self, node: &Node, now: Time) -> bool {
        if self.is_in_turn {
            return self.question.is_in_vain() && !self.is_passed_over();
        }
        self.deadline(node) <= now
    }

    /// Whether its turn here has passed and nothing came, asked for or not.
    pub(crate) fn has_missed_turn(&self, node: &Node, now: Time) -> bool {
        self.is_in_turn && self.deadline(node) <= now
    }

    /// Whether its turn has passed since it was accused, of which the homes do not know.
    pub(crate) fn is_turn_news(&self, node: &Node, now: Time) -> bool {
        !self.is_turn_told && self.has_missed_turn(node, now)
    }

    /// What was said now tells whether its turn has passed.
    pub(crate) fn note_turn_told(&mut self, node: &Node, now: Time) {
        self.is_turn_told = self.has_missed_turn(node, now);
    }

    /// Whether it is to be asked now.
    pub(crate) fn is_doubted(&self, node: &Node, now: Time) -> bool {
        let is_askable = self.is_in_turn && self.claim != Claim::Settled;
        is_askable && self.question.is_idle() && self.deadline(node) <= now
    }

    /// Whether it is late and nobody has said why.
    pub(crate) fn counts_as_late(&self, node: &Node, now: Time) -> bool {
        self.claim != Claim::Settled && self.is_late(node, now)
    }

    /// When there may be something to say next.
    pub(crate) fn next_moment(&self, node: &Node) -> Time {
        let is_idle = self.question.is_idle();
        let late = || if is_idle { self.deadline(node) } else { self.question.moment() };
        let next = match self.claim {
            Claim::None => late(),
            Claim::Accused { next, .. } => {
                let is_news_due = self.is_in_turn && !self.is_turn_told;
                let turn = if is_news_due { self.deadline(node) } else { Time::NEVER };
                next.min(self.question.moment()).min(turn)
            }
            Claim::Retracting { next, .. } => next.min(late()),
            Claim::Settled => Time::NEVER,
        };
        next.min(self.leave_at)
    }
}

/// How long a new subject may take to be heard, in ns: seven times or so it was asked by then how often
/// it speaks. If it takes longer, its homes hear that it lives, and veto.
fn grace_ns(node: &Node) -> u64 {
    (node.patience_ns() + 2 * node.pace.interval_ns()).max(GRACE_MIN_NS)
}
