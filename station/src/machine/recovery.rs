//! What the recovery manager remembers: rules under way, how often they fired, whom they harmed,
//! who is drained or damped, and whether a storm lasts.
//!
//! All of it is changed by entries of the log only, so the next manager goes on where the last one
//! was. Times are those of [`super::clock::Clock`].

use crate::machine::command::{list, text};
use crate::machine::encoder::Encoder;
use crate::machine::flaps::Flaps;
use crate::machine::storm::Storm;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use syncom_seam::limits::SERVICES_MAX;
use syncom_wire::limits::{DETAIL_MAX, GUARD_NODES_MAX, NAME_MAX, NODES_MAX, PAYLOAD_MAX};
use syncom_wire::{Malformed, OrderId, Reader, Slot};

/// Rules under way at a time; further events wait.
pub(crate) const CASES_MAX: usize = 4_096;
/// Firings that are remembered for limits.
pub(crate) const FIRINGS_MAX: usize = 16_384;
/// Harms that are remembered for the guard: more than it may ever allow.
const HARMS_MAX: usize = GUARD_NODES_MAX as usize + 24;
/// Services whose commands are remembered.
const COMMANDS_MAX: usize = 1_024;

/// Where a rule under way stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Its orders are out.
    Running = 1,
    /// It failed, and is tried again when it is due.
    Waiting = 2,
    /// A storm holds it back.
    Held = 3,
}

/// A rule that fired for an event and is not through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// How often the event had happened then.
    pub(crate) count: u32,
    pub(crate) rule: String,
    pub(crate) step: u8,
    pub(crate) attempt: u8,
    pub(crate) phase: Phase,
    /// When a waiting one is due, in ns.
    pub(crate) due_ns: u64,
    /// Orders that are out or have failed, each with the service it is about.
    pub(crate) orders: Vec<(OrderId, String)>,
}

impl Case {
    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.field(self.count);
        out.long(self.rule.as_bytes());
        out.field(self.step);
        out.field(self.attempt);
        out.field(self.phase as u8);
        out.field(self.due_ns);
        out.count(self.orders.len());
        for (order, service) in &self.orders {
            out.field(*order);
            out.long(service.as_bytes());
        }
    }

    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            count: reader.field()?,
            rule: text(reader, NAME_MAX)?,
            step: reader.field()?,
            attempt: reader.field()?,
            phase: match reader.field::<u8>()? {
                1 => Phase::Running,
                2 => Phase::Waiting,
                3 => Phase::Held,
                _ => return Err(Malformed("unknown phase of a rule")),
            },
            due_ns: reader.field()?,
            orders: list(reader, SERVICES_MAX, |r| Ok((r.field()?, text(r, NAME_MAX)?)))?,
        })
    }
}

/// A rule fired for a subject: what limits and pauses are counted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Firing {
    /// For how long it matters, in ns.
    pub(crate) keep_ns: u64,
    pub(crate) rule: String,
    pub(crate) subject: String,
}

impl Firing {
    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.field(self.keep_ns);
        out.long(self.rule.as_bytes());
        out.long(self.subject.as_bytes());
    }

    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let keep_ns = reader.field()?;
        Ok(Self { keep_ns, rule: text(reader, NAME_MAX)?, subject: text(reader, NAME_MAX)? })
    }
}

/// What a step of the manager changes here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// By event: how its rule stands now, or that it is through.
    pub(crate) cases: Vec<(u64, Option<Case>)>,
    pub(crate) firings: Vec<Firing>,
    /// Nodes that are fenced or drained by this.
    pub(crate) harms: Vec<Slot>,
    /// Nodes that are drained by this, and why.
    pub(crate) drains: Vec<(Slot, String)>,
}

impl Changes {
    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.count(self.cases.len());
        for (event, case) in &self.cases {
            out.field(*event);
            out.field(u8::from(case.is_some()));
            case.iter().for_each(|case| case.encode(out));
        }
        out.count(self.firings.len());
        self.firings.iter().for_each(|firing| firing.encode(out));
        out.count(self.harms.len());
        self.harms.iter().for_each(|slot| out.field(*slot));
        out.count(self.drains.len());
        for (slot, reason) in &self.drains {
            out.field(*slot);
            out.long(reason.as_bytes());
        }
    }

    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            cases: list(reader, CASES_MAX, |r| {
                let event = r.field()?;
                let case = if r.field::<u8>()? == 0 { None } else { Some(Case::parse(r)?) };
                Ok((event, case))
            })?,
            firings: list(reader, CASES_MAX, Firing::parse)?,
            harms: list(reader, HARMS_MAX, Reader::field)?,
            drains: list(reader, HARMS_MAX, |r| Ok((r.field()?, text(r, DETAIL_MAX)?)))?,
        })
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovery {
    pub(crate) cases: BTreeMap<u64, Case>,
    /// With when each fired, oldest first.
    firings: VecDeque<(u64, Firing)>,
    /// When who was fenced or drained by a rule, oldest first.
    harms: VecDeque<(u64, Slot)>,
    /// Nodes that are to get no new work, and why.
    drained: BTreeMap<Slot, String>,
    /// What a service was last started with, by its name.
    commands: BTreeMap<String, Vec<u8>>,
    pub(crate) storm: Storm,
    pub(crate) flaps: Flaps,
}

impl Recovery {
    /// Takes the changes of a step.
    pub(crate) fn change(&mut self, changes: Changes, now_ns: u64) {
        for (event, case) in changes.cases {
            match case {
                Some(case) if self.cases.len() < CASES_MAX || self.cases.contains_key(&event) => {
                    self.cases.insert(event, case);
                }
                _ => drop(self.cases.remove(&event)),
            }
        }
        self.firings.retain(|(at, old)| now_ns.saturating_sub(*at) < old.keep_ns);
        for firing in changes.firings {
            if self.firings.len() < FIRINGS_MAX {
                self.firings.push_back((now_ns, firing));
            }
        }
        for slot in changes.harms {
            if self.harms.len() == HARMS_MAX {
                self.harms.pop_front();
            }
            self.harms.push_back((now_ns, slot));
        }
        for (slot, reason) in changes.drains {
            self.drain(slot, Some(reason));
        }
    }

    /// Drains a node for a reason, or lets it work again; whether that is news.
    pub(crate) fn drain(&mut self, slot: Slot, reason: Option<String>) -> bool {
        match reason {
            Some(_) if slot.0 as usize >= NODES_MAX || self.is_drained(slot) => false,
            Some(reason) => self.drained.insert(slot, reason).is_none(),
            None => self.drained.remove(&slot).is_some(),
        }
    }

    pub(crate) fn is_drained(&self, slot: Slot) -> bool {
        self.drained.contains_key(&slot)
    }

    /// When a rule fired within the last `window_ns`, for one subject or for all, oldest first.
    pub(crate) fn fired<'a>(
        &'a self,
        rule: &'a str,
        subject: Option<&'a str>,
        window_ns: u64,
        now_ns: u64,
    ) -> impl Iterator<Item = u64> + 'a {
        let recent = self
            .firings
            .iter()
            .rev()
            .take_while(move |(at, _)| now_ns.saturating_sub(*at) < window_ns);
        let of_rule = recent.filter(move |(_, firing)| {
            firing.rule == rule && subject.is_none_or(|subject| firing.subject == subject)
        });
        of_rule.map(|(at, _)| *at)
    }

    /// Whether another rule may fire beside `more` that do so in this step: there is room to
    /// remember it.
    pub(crate) fn has_room(&self, more: usize) -> bool {
        self.cases.len() + more < CASES_MAX && self.firings.len() + more < FIRINGS_MAX
    }

    /// Nodes that rules fenced or drained within the last `window_ns`.
    pub(crate) fn harmed(&self, window_ns: u64, now_ns: u64) -> BTreeSet<Slot> {
        let recent = self.harms.iter().filter(|(at, _)| now_ns.saturating_sub(*at) < window_ns);
        recent.map(|(_, slot)| *slot).collect()
    }

    /// Remembers what a service was started with: its words, each ended by a zero byte.
    pub(crate) fn learn_command(&mut self, service: &str, words: &[u8]) {
        if self.commands.len() < COMMANDS_MAX || self.commands.contains_key(service) {
            self.commands.insert(service.to_owned(), words.to_vec());
        }
    }

    pub(crate) fn command(&self, service: &str) -> Option<&[u8]> {
        self.commands.get(service).map(Vec::as_slice)
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.count(self.cases.len());
        for (event, case) in &self.cases {
            out.field(*event);
            case.encode(out);
        }
        out.count(self.firings.len());
        for (at, firing) in &self.firings {
            out.field(*at);
            firing.encode(out);
        }
        out.count(self.harms.len());
        for (at, slot) in &self.harms {
            out.field(*at);
            out.field(*slot);
        }
        out.count(self.drained.len());
        for (slot, reason) in &self.drained {
            out.field(*slot);
            out.long(reason.as_bytes());
        }
        out.count(self.commands.len());
        for (service, words) in &self.commands {
            out.long(service.as_bytes());
            out.long(words);
        }
        self.storm.encode(out);
        self.flaps.encode(out);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let cases = list(reader, CASES_MAX, |r| Ok((r.field()?, Case::parse(r)?)))?;
        let firings = list(reader, FIRINGS_MAX, |r| Ok((r.field()?, Firing::parse(r)?)))?;
        let harms = list(reader, HARMS_MAX, |r| Ok((r.field()?, r.field()?)))?;
        let drained = list(reader, NODES_MAX, |r| Ok((r.field()?, text(r, DETAIL_MAX)?)))?;
        let commands = list(reader, COMMANDS_MAX, |r| {
            Ok((text(r, NAME_MAX)?, r.long(PAYLOAD_MAX)?.to_vec()))
        })?;
        Ok(Self {
            cases: cases.into_iter().collect(),
            firings: firings.into(),
            harms: harms.into(),
            drained: drained.into_iter().collect(),
            commands: commands.into_iter().collect(),
            storm: Storm::decode(reader)?,
            flaps: Flaps::decode(reader)?,
        })
    }
}
