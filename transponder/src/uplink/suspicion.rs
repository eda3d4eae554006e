//! The case against one life of one node, and how its votes add up.

mod patience;

use crate::homes::{HOME_MISSES, Homes};
use crate::uplink::asks::Asks;
use crate::uplink::evidence::{Evidence, Word};
use crate::uplink::second::{Agreement, Second};
use crate::uplink::tally::Tally;
use crate::uplink::verdict::{Asked, Situation};
use crate::uplink::veto::Inquiry;
use crate::world::{World, bit};
use syncom_group::{Profile, VOTE, vote};
use syncom_seam::{MS, Now, SECOND, Time, US};
use syncom_wire::opinion::Opinion;
use syncom_wire::report::EventKind;
use syncom_wire::uplink::RecordHead;
use syncom_wire::{Incarnation, PeerId, Slot, Subject};

/// A word counts so long after it was said last, in ns: reporters repeat themselves at the latest
/// every 8 s.
const WORD_LIFE_NS: u64 = 10 * SECOND;
/// Patience with a node that is accused and not dead: so many times the silence that an observer holds
/// against it, 3·m·η (ALGORITHMS.md 4.3).
const PATIENCE: u64 = 3;
/// How long after the first accusation a life that nobody has ever heard is taken for dead, in ns:
/// its welcome may have been lost several times.
const UNBORN_NS: u64 = 5 * SECOND;

/// What a judge may look at, and the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight<'a> {
    pub(crate) now: Now,
    pub(crate) world: &'a World,
    pub(crate) homes: &'a Homes,
    pub(crate) profile: &'a Profile,
}

impl Sight<'_> {
    /// η of a node, in ns, see [`Homes::interval_ns`].
    pub(crate) fn interval_ns(&self, slot: Slot) -> u64 {
        self.homes.interval_ns(slot, self.profile)
    }

    /// m·η of a node, in ns: the silence that an observer holds against it.
    pub(crate) fn silence_ns(&self, slot: Slot) -> u64 {
        self.interval_ns(slot) * u64::from(self.profile.misses)
    }
}

/// How far a case has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It is being judged.
    Open,
    /// Death was found; it goes with the next batch.
    Ripe,
    /// Death is on its way to the station.
    Announced,
    /// The station knows since then; the view will follow.
    Settled(Time),
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Suspicion {
    pub(crate) slot: Slot,
    pub(crate) incarnation: Incarnation,
    pub(crate) evidence: Evidence,
    pub(crate) inquiry: Inquiry,
    /// Observers that do not accuse, and were asked why.
    pub(crate) asks: Asks,
    pub(crate) stage: Stage,
    pub(crate) is_gray: bool,
    /// Opened by this home's own silence: it stands without reporters while silence lasts.
    pub(crate) is_own: bool,
    /// At least L accuse, as of the last look.
    pub(crate) is_probable: bool,
    /// When that was so last; 0 when never.
    probable_at: Time,
    /// How often it has become so in this spell.
    relapses: u32,
    /// Bit per present observer that accused in this spell when it was so.
    accusers: u64,
    /// Since when of this spell it was so though a sign of life stood; 0 when it was not.
    contested: Time,
    /// Since when it is so, but for moments; before the first time, since when there is a case.
    pub(crate) since: Time,
    /// Nothing is announced before: the station was full.
    pub(crate) not_before: Time,
    /// What the other home makes of it.
    pub(crate) second: Second,
    /// Its host is said to have refused somebody's heartbeat: until then it is asked, accused or not.
    refused_until: Time,
    /// One who missed its turn accuses it: until then it and the observers on call are asked.
    called_until: Time,
}

/// One who misses its turn calls the others for so long, in ns: several rounds of questions.
const CALLED_NS: u64 = SECOND;

/// An observer that answers nothing for so long is out of reach, in ns: two rounds of questions.
const MUTE_NS: u64 = 250 * MS;

impl Suspicion {
    pub(crate) fn new(slot: Slot, incarnation: Incarnation, now: Time, is_gray: bool) -> Self {
        Self {
            slot,
            incarnation,
            evidence: Evidence::new(),
            inquiry: Inquiry::default(),
            asks: Asks::default(),
            stage: Stage::Open,
            is_gray,
            is_own: false,
            is_probable: false,
            probable_at: Time(0),
            relapses: 0,
            accusers: 0,
            contested: Time(0),
            since: now,
            not_before: now,
            second: Second::default(),
            refused_until: Time(0),
            called_until: Time(0),
        }
    }

    /// Somebody's heartbeat came back from its host.
    pub(crate) fn note_refusal(&mut self, sight: &Sight<'_>) {
        self.refused_until = sight.now.at.after(2 * sight.interval_ns(self.slot));
    }

    /// Somebody accuses it; `is_again` when it has said so before. Of one that missed its turn the others
    /// know nothing yet: they are called.
    pub(crate) fn on_accused(&mut self, word: &Word, is_again: bool, now: Time) {
        self.inquiry.on_accused(word.last);
        if word.is_in_turn && !is_again {
            self.called_until = now.after(CALLED_NS);
        }
    }

    /// Whether its host was said lately to have refused a heartbeat.
    pub(crate) fn is_refused(&self, now: Time) -> bool {
        now < self.refused_until
    }

    /// Whether the node is to be asked though too few accuse it: somebody's heartbeat came back, or
    /// somebody missed its turn, or its other home asks for a second opinion.
    pub(crate) fn is_called(&self, now: Time) -> bool {
        self.is_refused(now) || now < self.called_until || self.second.is_wanted(now)
    }

    /// Whether it may be found dead in a moment: it is accused, or it is asked though too few accuse it
    /// yet, and has not answered. Of those who die at one moment each is accused when its own next
    /// heartbeat is due; who lives answers, and is vetoed.
    pub(crate) fn is_undecided(&self, now: Time) -> bool {
        let is_open = self.stage == Stage::Open && !self.inquiry.is_vetoed() && !self.is_gray;
        is_open && (self.is_probable || self.is_called(now))
    }

    /// What the other home says to its death.
    fn agreement(&self, sight: &Sight<'_>) -> Agreement {
        if !sight.world.is_home(self.slot) {
            // Neither home is asked, so it must be asked twice.
            return Agreement::Mute;
        }
        if sight.world.other_home(self.slot).is_none() {
            return Agreement::Given;
        }
        self.second.agreement(sight.now.at)
    }

    /// Rounds of probes that it has left unanswered of late, as the other home is told.
    pub(crate) fn rounds(&self, sight: &Sight<'_>) -> u8 {
        let heard = sight.homes.heard(self.slot, self.incarnation);
        match (self.stage, self.inquiry.asked(sight.now.at)) {
            _ if self.inquiry.is_vetoed() => 0,
            (Stage::Open, _) if heard > self.inquiry.started() => 0,
            (Stage::Ripe | Stage::Announced | Stage::Settled(_), Asked::Twice) => 2,
            (Stage::Ripe | Stage::Announced | Stage::Settled(_), _) => 1,
            (Stage::Open, Asked::No | Asked::UnderWay) => 0,
            (Stage::Open, Asked::Once) => 1,
            (Stage::Open, Asked::Twice) => 2,
        }
    }

    /// Forgets words that count no more when there is no room for another.
    pub(crate) fn make_room(&mut self, now: Time) {
        self.evidence.make_room(Time(now.0.saturating_sub(WORD_LIFE_NS)));
    }

    /// The bit of a reporter when its word counts now.
    fn bit_of(&self, word: &Word, sight: &Sight<'_>) -> Option<usize> {
        let now = sight.now.at;
        let counts = !word.is_retracted && now.since(word.last) < WORD_LIFE_NS;
        if !counts || sight.world.living(word.slot, word.incarnation).is_none() {
            return None;
        }
        sight.world.observer_bit(self.slot, word.slot, now)
    }

    /// Adds up the votes. `is_suspected` says of an observer whether it is itself probably dead:
    /// then it cannot speak, and its silence is an implicit vote (Rapid, section 4.2). So it is when
    /// the observer does not answer a question, for its accusers may have other homes than this.
    pub(crate) fn tally(
        &self,
        sight: &Sight<'_>,
        is_suspected: impl Fn(Slot, Incarnation) -> bool,
    ) -> Tally {
        let mut tally = Tally::default();
        for word in self.evidence.words() {
            let Some(at) = self.bit_of(word, sight) else { continue };
            tally.observers |= 1 << at;
            tally.distinct += 1;
            tally.missed += u32::from(word.has_missed);
            tally.in_turn += u32::from(word.is_in_turn);
            // Who has never heard the node may be the only one whom it does not know yet.
            let is_unsure = word.suspects_itself || word.heard == Time(0);
            tally.weighted += vote(word.health, is_unsure);
            tally.domains |= domain_bit(sight.world, word.slot);
        }
        tally.unweighted = tally.distinct;
        tally.domains_able = tally.domains;
        for (at, observer) in sight.world.observers(self.slot).iter().enumerate() {
            let Some(entry) = sight.world.members().agent(*observer) else { continue };
            if tally.observers >> at & 1 == 1 {
                continue;
            }
            let is_suspected = is_suspected(*observer, entry.head.incarnation);
            if !is_suspected {
                tally.askable |= 1 << at;
            }
            let asked = self.asked_in_vain(*observer, entry.head.incarnation, sight);
            if is_suspected || asked == Asked::Twice {
                tally.weighted += VOTE;
                tally.unweighted += 1;
            } else {
                // Enough to ask once more, and not to condemn: its answer may be on its way.
                tally.unweighted += u32::from(asked == Asked::Once);
                tally.quiet += 1;
                tally.domains_able |= bit(entry.head.domain);
            }
        }
        // Those who are dead by now cannot speak, either.
        let buried = sight.world.observers_buried(self.slot, sight.now.at);
        tally.weighted += buried * VOTE;
        tally.unweighted += buried;
        if sight.world.is_home(self.slot) && self.is_missed(sight) {
            tally.weighted += VOTE;
            tally.unweighted += 1;
            tally.homes_silent = 1;
        }
        if sight.world.other_home(self.slot).is_some() && self.second.agrees(sight.now.at) {
            tally.weighted += VOTE;
            tally.unweighted += 1;
            tally.homes_silent += 1;
        }
        tally
    }

    /// How often an observer was asked about the node in vain, like the node itself. A home that
    /// misses most of its own nodes asks nobody in vain: it is not heard.
    fn asked_in_vain(&self, observer: Slot, incarnation: Incarnation, sight: &Sight<'_>) -> Asked {
        let now = sight.now.at;
        let answer_ns = sight.homes.rtt_ns(observer).saturating_mul(4).max(MUTE_NS);
        let is_heard = sight.homes.is_on_schedule(observer, incarnation, HOME_MISSES, now);
        let is_mute = |for_ns| self.asks.is_mute(observer, &self.evidence, now, for_ns);
        match self.inquiry.asked(now) {
            _ if is_heard || sight.homes.is_unheard() => Asked::No,
            Asked::Once if is_mute(0) => Asked::Once,
            Asked::Twice if is_mute(answer_ns) => Asked::Twice,
            // From the second question on a vote is one to condemn, and none for an answer on its way.
            Asked::No | Asked::UnderWay | Asked::Once | Asked::Twice => Asked::No,
        }
    }

    /// Whether this home or the other hears the node on schedule, and has heard it later than
    /// anybody who accuses it, by more than clocks and queues may differ. Whoever dies is last heard by all at
    /// once, so this holds for those who live and cannot reach their observers; a last heartbeat
    /// that observers lost delays the verdict by a few intervals and no longer. The margin follows
    /// the interval that the node keeps towards its observers.
    pub(crate) fn is_heard_by_home(&self, sight: &Sight<'_>) -> bool {
        let now = sight.now.at;
        let home = sight.homes.heard(self.slot, self.incarnation);
        let margin_ns = sight.interval_ns(self.slot) + sight.profile.margin_min_ns;
        let known = self.evidence.accused_since().after(margin_ns);
        let is_here = home > known
            && sight.homes.is_on_schedule(self.slot, self.incarnation, HOME_MISSES, now);
        let lived = self.second.lived();
        let interval_ns = sight.interval_ns(self.slot);
        let schedule_ns = HOME_MISSES * sight.profile.home_interval_ns.max(interval_ns);
        is_here || (lived > known && now.since(lived) < schedule_ns)
    }

    /// Whether nobody has ever heard this life, and it may still be on its way in.
    pub(crate) fn is_unborn(&self, sight: &Sight<'_>) -> bool {
        self.evidence.heard() == Time(0)
            && sight.homes.heard(self.slot, self.incarnation) == Time(0)
            && sight.now.at.since(self.evidence.first()) < UNBORN_NS
    }

    /// Whether this home misses the node itself.
    fn is_missed(&self, sight: &Sight<'_>) -> bool {
        let now = sight.now.at;
        self.inquiry.asked(now) >= Asked::Once
            || sight.homes.is_silent(self.slot, self.incarnation, 2, now)
    }

    /// The last sign of life that anybody told of or that came here; 0 when none did.
    pub(crate) fn lived(&self, sight: &Sight<'_>) -> Time {
        self.lived_here(sight).max(self.second.lived())
    }

    /// The same without what the other home said.
    fn lived_here(&self, sight: &Sight<'_>) -> Time {
        let home = sight.homes.heard(self.slot, self.incarnation);
        self.evidence.heard().max(home).max(self.inquiry.answered())
    }

    /// What is believed here, to be told to the other home; `asks` for what it believes.
    pub(crate) fn opinion(&self, accusers: u32, asks: bool, sight: &Sight<'_>) -> Opinion {
        let (now, lived) = (sight.now.at, self.lived_here(sight));
        let ago_us = u32::try_from(now.since(lived) / US).unwrap_or(Opinion::NEVER);
        Opinion {
            subject: PeerId::agent(self.slot),
            incarnation: self.incarnation,
            lived_ago_us: if lived == Time(0) { Opinion::NEVER } else { ago_us },
            accusers,
            rounds: self.rounds(sight),
            flags: if asks { Opinion::ASKS } else { 0 },
            reserved: 0,
        }
    }

    /// Whether a sign of life came here that the other home does not know of, and that stops a death
    /// there. Who is cut off from the station can prove nothing, and says nothing else: the other
    /// home takes it for mute, as one that is gone, and asks twice.
    pub(crate) fn has_sign_of_life(&self, sight: &Sight<'_>) -> bool {
        let (lived, interval_ns) = (self.lived_here(sight), sight.interval_ns(self.slot));
        let margin_ns = interval_ns + sight.profile.margin_min_ns;
        let schedule_ns = HOME_MISSES * sight.profile.home_interval_ns.max(interval_ns);
        lived > self.second.lived().after(margin_ns) && sight.now.at.since(lived) < schedule_ns
    }

    /// Whether this home itself opened the case, and misses the node still.
    fn stands(&self, sight: &Sight<'_>) -> bool {
        self.is_own && sight.homes.is_silent(self.slot, self.incarnation, 2, sight.now.at)
    }

    /// What the verdict depends on, as of now. Notes since when the case stands as it does.
    pub(crate) fn situation(&mut self, tally: &Tally, sight: &Sight<'_>) -> Situation {
        let now = sight.now.at;
        let quorum = sight.world.quorum();
        let low = quorum.low.min(tally.distinct + tally.quiet);
        let stands = self.stands(sight);
        let is_patchy = self.evidence.words().iter().any(|word| self.is_patchy_to(word, sight));
        let is_empty = tally.distinct == 0 && !stands && !self.is_called(now) && !is_patchy;
        let is_probable = (tally.distinct > 0 || stands) && tally.distinct >= low;
        let silence_ns = sight.silence_ns(self.slot);
        self.note_spell(is_probable, tally, sight);
        let silent_ns = now.since(self.lived(sight));
        let is_doubted = self.inquiry.is_doubted(now) && silent_ns < 3 * silence_ns;
        let domains = tally.domains_able.count_ones().min(2);
        Situation {
            is_probable: self.is_probable,
            is_over: !is_patchy && self.is_over(is_empty, silence_ns, now),
            is_weighty: tally.weighted >= quorum.high_votes(),
            is_numerous: tally.unweighted >= quorum.high,
            is_diverse: tally.domains.count_ones() >= domains || tally.distinct == 0,
            is_vetoed: self.inquiry.is_vetoed(),
            is_doubted: is_doubted || tally.is_early(silent_ns, sight.profile),
            asked: self.inquiry.asked(now),
            agreement: self.agreement(sight),
            is_long: self.is_long(sight),
            is_gray: self.is_gray,
        }
    }

    /// The record that goes to the station.
    pub(crate) fn record(&self, kind: EventKind, tally: &Tally, sight: &Sight<'_>) -> RecordHead {
        let now = sight.now;
        let wall = |at: Time| now.wall.0.saturating_sub(now.at.since(at));
        let home = sight.homes.heard(self.slot, self.incarnation);
        let heard = self.evidence.heard().max(home);
        let sixteenths = |votes: u32| u16::try_from(votes * 16 / VOTE).unwrap_or(u16::MAX);
        let quorum = sight.world.quorum();
        let byte = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
        RecordHead {
            subject: Subject::node(self.slot),
            incarnation: self.incarnation,
            kind,
            observers: tally.observers,
            domains: tally.domains,
            first_ns: wall(self.evidence.first().min(self.since)),
            last_ns: wall(self.evidence.last().max(self.since)),
            heard_ago_us: u32::try_from(now.at.since(heard) / US).unwrap_or(u32::MAX),
            reporters: tally.distinct,
            count: 1,
            score_x16: sixteenths(tally.weighted),
            needed_x16: sixteenths(quorum.high_votes()),
            observers_of: byte(quorum.observers),
            probes: self.inquiry.unanswered(),
            homes_silent: byte(tally.homes_silent),
            health_max: self.evidence.health_max(),
            severity: if kind == EventKind::DEAD { 2 } else { 1 },
            reserved: [0; 3],
        }
    }
}

fn domain_bit(world: &World, slot: Slot) -> u64 {
    world.members().agent(slot).map_or(0, |entry| bit(entry.head.domain))
}
