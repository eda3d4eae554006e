//! The policy: what has to be said by how many before it is believed, and what is done about it.
//!
//! A policy is one frame, with a frame in it for every threshold and every rule, and in each rule
//! one for every step. Whoever has parsed it knows that all of it is sound and how large it is.

use crate::bytes::{Reader, Writer};
use crate::frame::{Emit, Frame, Frames, Kind, Parse};
use crate::idset::IdSet;
use crate::layout::{Fixed, Malformed, Overflow, layout};
use crate::limits::{
    COMMAND_MAX, DETAIL_MAX, GUARD_NODES_MAX, IDSET_MAX, KIND_MAX, NAME_MAX, RULES_MAX,
    SELECTOR_MAX, STEPS_MAX, THRESHOLDS_MAX,
};
use crate::selector::Selector;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Action {
    /// Nothing; that it was looked at is logged.
    Nothing = 1,
    /// Restart the service that the event is about, on its node.
    Restart = 2,
    /// Run a command on all nodes that the step selects.
    Order = 3,
    /// Run a command on one of the nodes that the step selects.
    Notify = 4,
    /// Give the node that the event is about no new work.
    Drain = 5,
    /// Cut the node that the event is about off, by a command on one of the selected nodes.
    Fence = 6,
    /// Start the services of the node that the event is about on another of the selected nodes.
    Move = 7,
}

impl Action {
    /// All actions and their names.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("nothing", Self::Nothing),
        ("restart", Self::Restart),
        ("order", Self::Order),
        ("notify", Self::Notify),
        ("drain", Self::Drain),
        ("fence", Self::Fence),
        ("move", Self::Move),
    ];

    /// The action with this number.
    #[must_use]
    pub fn from_wire(number: u8) -> Option<Self> {
        Self::NAMES.iter().map(|(_, action)| *action).find(|action| *action as u8 == number)
    }

    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, action)| *action == self).map_or("", |(name, _)| *name)
    }

    /// Whether it needs a command.
    #[must_use]
    pub const fn takes_command(self) -> bool {
        matches!(self, Self::Order | Self::Notify | Self::Fence)
    }

    /// Whether it takes something away that may still be of use: it waits while a storm lasts.
    #[must_use]
    pub const fn is_braked(self) -> bool {
        matches!(self, Self::Drain | Self::Fence | Self::Move)
    }
}

layout! {
    /// The fixed part of a policy.
    pub struct PolicyHead: 48 {
        /// Raft index of the entry that installed it; 0 while it is none's.
        version: u64,
        /// Nodes that may be drained or fenced within the window.
        guard_nodes: u32,
        /// The window of the guard, in ms.
        guard_window_ms: u32,
        /// Thousandths of all nodes that may be drained or fenced within the window, at least one.
        guard_permille: u16,
        /// 1 when the last instance of a service must not be taken from a node that lives.
        guard_last: u8,
        /// Largest failure domains that may die at once without being a storm.
        brake_domains: u8,
        /// Deaths within the window that are never a storm.
        brake_deaths: u32,
        /// Thousandths of all nodes whose deaths within the window are no storm.
        brake_permille: u16,
        /// Threshold frames.
        thresholds: u16,
        /// The window of the brake, in ms.
        brake_window_ms: u32,
        /// How long nobody may die before a storm is over, in ms.
        brake_calm_ms: u32,
        /// Rule frames.
        rules: u16,
        /// Zero.
        reserved: [u8; 10],
    }
}

/// What is believed, and what is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy<'a> {
    /// The fixed part.
    pub head: PolicyHead,
    /// [`Threshold`] frames, then [`Rule`] frames; the first rule that matches decides.
    pub parts: &'a [u8],
}

impl<'a> Policy<'a> {
    /// The thresholds, in order.
    pub fn thresholds(&self) -> impl Iterator<Item = Threshold<'a>> + use<'a> {
        Frames::new(self.parts).filter_map(|frame| match frame {
            Ok(Frame::Threshold(threshold)) => Some(threshold),
            _ => None,
        })
    }

    /// The rules, in order.
    pub fn rules(&self) -> impl Iterator<Item = Rule<'a>> + use<'a> {
        Frames::new(self.parts).filter_map(|frame| match frame {
            Ok(Frame::Rule(rule)) => Some(rule),
            _ => None,
        })
    }

    fn check(&self) -> Result<(), Malformed> {
        let head = &self.head;
        if head.guard_nodes > GUARD_NODES_MAX || head.guard_last > 1 {
            return Err(Malformed("guard out of range"));
        }
        if head.guard_permille > 1_000 || head.brake_permille > 1_000 {
            return Err(Malformed("more than all nodes"));
        }
        let (thresholds, rules) = (usize::from(head.thresholds), usize::from(head.rules));
        if thresholds > THRESHOLDS_MAX || rules > RULES_MAX {
            return Err(Malformed("policy too large"));
        }
        let mut seen = 0;
        for frame in Frames::new(self.parts) {
            let is_threshold = seen < thresholds;
            match frame? {
                Frame::Threshold(_) if is_threshold => {}
                Frame::Rule(_) if !is_threshold && seen < thresholds + rules => {}
                _ => return Err(Malformed("policy with a frame that has no business in it")),
            }
            seen += 1;
        }
        if seen == thresholds + rules { Ok(()) } else { Err(Malformed("policy cut short")) }
    }
}

impl Emit for Policy<'_> {
    const KIND: Kind = Kind::Policy;
    fn size(&self) -> usize {
        PolicyHead::SIZE + self.parts.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.put(self.parts)
    }
}

impl<'a> Parse<'a> for Policy<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let policy = Self { head: reader.fixed()?, parts: reader.rest() };
        policy.check()?;
        Ok(policy)
    }
}

layout! {
    /// The fixed part of a threshold.
    pub struct ThresholdHead: 24 {
        /// Distinct reporters, at least 1.
        min_distinct: u32,
        /// Within which time they must report, in ms.
        window_ms: u32,
        /// Records of one subject and kind per second, at least 1.
        max_rate: u32,
        /// Distinct reporters as thousandths of all present nodes.
        min_permille: u16,
        /// Failure domains that reporters must come from.
        min_domains: u16,
        /// Zero.
        reserved: [u8; 8],
    }
}

/// How many must say a thing before it becomes an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold<'a> {
    /// The fixed part.
    pub head: ThresholdHead,
    /// Name of the kind; `*` for every kind that has no threshold of its own.
    pub kind: &'a str,
}

impl Emit for Threshold<'_> {
    const KIND: Kind = Kind::Threshold;
    fn size(&self) -> usize {
        ThresholdHead::SIZE + 1 + self.kind.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.short(self.kind.as_bytes())
    }
}

impl<'a> Parse<'a> for Threshold<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let head: ThresholdHead = reader.fixed()?;
        if head.min_distinct == 0 || head.max_rate == 0 || head.min_permille > 1_000 {
            return Err(Malformed("threshold out of range"));
        }
        Ok(Self { head, kind: reader.text(KIND_MAX)? })
    }
}

layout! {
    /// The fixed part of a rule.
    pub struct RuleHead: 32 {
        /// Firings for one subject within its window; 0 for no limit.
        subject_limit: u32,
        /// The window of the limit per subject, in ms.
        subject_window_ms: u32,
        /// Firings of the rule within its window; 0 for no limit.
        rule_limit: u32,
        /// The window of the limit of the rule, in ms.
        rule_window_ms: u32,
        /// Pause before the second firing for one subject, in ms; doubles with every further one
        /// within the window.
        pause_ms: u32,
        /// Least severity of the event, 0 to 3.
        severity: u8,
        /// Step frames, at least 1.
        steps: u8,
        /// Zero.
        reserved: [u8; 10],
    }
}

/// What is done about the events that match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule<'a> {
    /// The fixed part.
    pub head: RuleHead,
    /// Its name, unique in the policy.
    pub name: &'a str,
    /// Name of the kind of the event; `*` for any.
    pub kind: &'a str,
    /// Subjects of the event.
    pub subject: Selector<'a>,
    /// [`Step`] frames, taken one after the other as long as they succeed.
    pub steps: &'a [u8],
}

impl<'a> Rule<'a> {
    /// The steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = Step<'a>> + use<'a> {
        Frames::new(self.steps).filter_map(|frame| match frame {
            Ok(Frame::Step(step)) => Some(step),
            _ => None,
        })
    }

    fn check(&self) -> Result<(), Malformed> {
        if self.name.is_empty() || self.kind.is_empty() || self.head.severity > 3 {
            return Err(Malformed("rule without name or kind, or severity above 3"));
        }
        let mut seen = 0;
        for frame in Frames::new(self.steps) {
            let Frame::Step(_) = frame? else { return Err(Malformed("rule with a strange step")) };
            seen += 1;
        }
        if seen == usize::from(self.head.steps) && (1..=STEPS_MAX).contains(&seen) {
            Ok(())
        } else {
            Err(Malformed("rule with a wrong number of steps"))
        }
    }
}

impl Emit for Rule<'_> {
    const KIND: Kind = Kind::Rule;
    fn size(&self) -> usize {
        let texts = self.name.len() + self.kind.len() + self.subject.as_bytes().len();
        RuleHead::SIZE + 6 + texts + self.steps.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.short(self.name.as_bytes())?;
        writer.short(self.kind.as_bytes())?;
        writer.long(self.subject.as_bytes())?;
        writer.put(self.steps)
    }
}

impl<'a> Parse<'a> for Rule<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let rule = Self {
            head: reader.fixed()?,
            name: reader.text(NAME_MAX)?,
            kind: reader.text(KIND_MAX)?,
            subject: Selector::parse(reader.long(SELECTOR_MAX)?)?,
            steps: reader.rest(),
        };
        rule.check()?;
        Ok(rule)
    }
}

layout! {
    /// The fixed part of a step.
    pub struct StepHead: 16 {
        /// See [`Action`].
        action: u8,
        /// How often it is tried again after it failed.
        retries: u8,
        /// Zero.
        reserved: u16,
        /// Pause before the first further try, in ms; doubles with every one.
        backoff_ms: u32,
        /// How long one try may take, in ms.
        timeout_ms: u32,
        /// Zero.
        spare: u32,
    }
}

/// One step of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// The fixed part.
    pub head: StepHead,
    /// Nodes on which it is done; nothing where the event says it.
    pub on: Selector<'a>,
    /// Name of a service (move), else words for the log.
    pub text: &'a str,
    /// A command: its words, each ended by a zero byte.
    pub command: &'a [u8],
}

impl Step<'_> {
    /// What it does.
    #[must_use]
    pub fn action(&self) -> Action {
        Action::from_wire(self.head.action).unwrap_or(Action::Nothing)
    }

    fn check(&self) -> Result<(), Malformed> {
        let action = Action::from_wire(self.head.action).ok_or(Malformed("unknown action"))?;
        if action.takes_command() == self.command.is_empty() && action != Action::Move {
            return Err(Malformed("a step with a needless command, or without one"));
        }
        if !self.command.is_empty() && (self.command[0] == 0 || !self.command.ends_with(&[0])) {
            return Err(Malformed("a command without program or end"));
        }
        if self.head.timeout_ms == 0 {
            return Err(Malformed("a step without time"));
        }
        Ok(())
    }
}

impl Emit for Step<'_> {
    const KIND: Kind = Kind::Step;
    fn size(&self) -> usize {
        StepHead::SIZE + 9 + self.on.as_bytes().len() + self.text.len() + self.command.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.fixed(&self.head)?;
        writer.long(self.on.as_bytes())?;
        writer.short(self.text.as_bytes())?;
        writer.long(self.command)
    }
}

impl<'a> Parse<'a> for Step<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let step = Self {
            head: reader.fixed()?,
            on: Selector::parse(reader.long(SELECTOR_MAX)?)?,
            text: reader.text(NAME_MAX)?,
            command: reader.long(COMMAND_MAX)?,
        };
        step.check()?;
        Ok(step)
    }
}

/// An operator drains nodes, or lets them work again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain<'a> {
    /// 1 to drain, 0 to let them work again.
    pub drained: u8,
    /// Which nodes.
    pub nodes: IdSet<'a>,
    /// Why, for people.
    pub reason: &'a str,
}

impl Emit for Drain<'_> {
    const KIND: Kind = Kind::Drain;
    fn size(&self) -> usize {
        1 + 4 + self.nodes.as_bytes().len() + 2 + self.reason.len()
    }
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.field(self.drained)?;
        writer.long(self.nodes.as_bytes())?;
        writer.long_text(self.reason)
    }
}

impl<'a> Parse<'a> for Drain<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let drained = reader.field()?;
        if drained > 1 {
            return Err(Malformed("neither drained nor not"));
        }
        let nodes = IdSet::parse(reader.long(IDSET_MAX)?)?;
        Ok(Self { drained, nodes, reason: reader.long_text(DETAIL_MAX)? })
    }
}
