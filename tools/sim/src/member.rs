//! A member of the simulated cluster: a role, its life, and what the world around it remembers.

use crate::child::Children;
use crate::disk::SimDisk;
use crate::outbox::Effects;
use crate::schedule::Datagram;
use std::collections::VecDeque;
use syncom_agent::Agent;
use syncom_seam::{Done, Loss, Now, Origin, Role as _, Time, Timer, hand_over};
use syncom_station::Station;
use syncom_transponder::Transponder;
use syncom_wire::{Addr, Boot, Frames, Malformed, PeerId};

/// One of the three roles.
#[derive(Debug)]
pub(crate) enum AnyRole {
    Agent(Box<Agent>),
    Satellite(Box<Transponder>),
    Station(Box<Station>),
}

macro_rules! each {
    ($self:ident, $role:ident => $call:expr) => {
        match $self {
            Self::Agent($role) => $call,
            Self::Satellite($role) => $call,
            Self::Station($role) => $call,
        }
    };
}

impl AnyRole {
    pub(crate) fn on_start(&mut self, now: Now, out: &mut Effects) {
        each!(self, role => role.on_start(now, out));
    }
    fn hand_over(
        &mut self,
        now: Now,
        from: &Origin,
        frames: Frames<'_>,
        out: &mut Effects,
    ) -> (u64, Option<Malformed>) {
        each!(self, role => hand_over(&mut **role, now, from, frames, out))
    }
    pub(crate) fn on_timer(&mut self, now: Now, timer: Timer, out: &mut Effects) {
        each!(self, role => role.on_timer(now, timer, out));
    }
    pub(crate) fn on_done(&mut self, now: Now, done: Done, out: &mut Effects) {
        each!(self, role => role.on_done(now, done, out));
    }
    pub(crate) fn on_loss(&mut self, now: Now, loss: Loss, out: &mut Effects) {
        each!(self, role => role.on_loss(now, loss, out));
    }
    pub(crate) fn on_leave(&mut self, now: Now, out: &mut Effects) {
        each!(self, role => role.on_leave(now, out));
    }
    pub(crate) fn on_burst_end(&mut self, now: Now, out: &mut Effects) {
        each!(self, role => role.on_burst_end(now, out));
    }
}

/// What happened to a stopped member while it was stopped.
#[derive(Debug, Default)]
pub(crate) struct Missed {
    pub(crate) frames: VecDeque<(Time, Datagram)>,
    pub(crate) timers: Vec<Timer>,
    pub(crate) done: Vec<Done>,
    /// Datagrams that its socket had no room for.
    pub(crate) lost: u64,
    /// The pause is too short to excuse its death.
    pub(crate) is_short: bool,
}

/// Datagrams that a stopped member's socket holds.
pub(crate) const SOCKET_HOLDS: usize = 8_192;

/// A member: down when it has no role.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) addr: Addr,
    pub(crate) role: Option<AnyRole>,
    pub(crate) life: u32,
    pub(crate) boot: Boot,
    pub(crate) identity: PeerId,
    /// When this life was told who it is.
    pub(crate) identified_at: Option<Time>,
    pub(crate) paused: Option<Box<Missed>>,
    pub(crate) children: Children,
    pub(crate) disk: Option<Box<SimDisk>>,
    /// Who was heard, in order: the engine drops what is of an older life than the newest. Apart
    /// from the lives, because so a search stays within a cache line or two.
    heard_of: Vec<PeerId>,
    /// The newest life of each of them.
    newest: Vec<Boot>,
    /// Last moment at which the member was down, stopped or cut off from a satellite (which may lie
    /// ahead): deaths soon after are just.
    pub(crate) troubled_at: Option<Time>,
    /// What its host's wall clock shows beyond the truth, in ns.
    pub(crate) wall_shift_ns: i64,
    pub(crate) fatal: Option<String>,
    /// It was told to go, and comes back so long after it has gone, in ns.
    pub(crate) returns_after_ns: Option<u64>,
    /// Why it may not come back from its disk.
    pub(crate) refused: Option<String>,
    /// It was replaced, and never starts again.
    pub(crate) retired: bool,
}

impl Member {
    pub(crate) fn new(name: String, addr: Addr, disk: Option<SimDisk>) -> Self {
        Self {
            name,
            addr,
            role: None,
            life: 0,
            boot: Boot(0),
            identity: PeerId::ANY,
            identified_at: None,
            paused: None,
            children: Children::default(),
            disk: disk.map(Box::new),
            heard_of: Vec::new(),
            newest: Vec::new(),
            troubled_at: None,
            wall_shift_ns: 0,
            fatal: None,
            returns_after_ns: None,
            refused: None,
            retired: false,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.role.is_some()
    }

    pub(crate) fn is_agent(&self) -> bool {
        matches!(self.role, Some(AnyRole::Agent(_)))
    }

    pub(crate) fn station(&self) -> Option<&Station> {
        match &self.role {
            Some(AnyRole::Station(station)) => Some(station),
            _ => None,
        }
    }

    pub(crate) fn satellite(&self) -> Option<&Transponder> {
        match &self.role {
            Some(AnyRole::Satellite(satellite)) => Some(satellite),
            _ => None,
        }
    }

    pub(crate) fn agent(&self) -> Option<&Agent> {
        match &self.role {
            Some(AnyRole::Agent(agent)) => Some(agent),
            _ => None,
        }
    }

    pub(crate) fn agent_mut(&mut self) -> Option<&mut Agent> {
        match &mut self.role {
            Some(AnyRole::Agent(agent)) => Some(agent),
            _ => None,
        }
    }

    /// Begins a new life with a role that has not started yet.
    pub(crate) fn begin(&mut self, role: AnyRole, boot: Boot, identity: PeerId) {
        self.role = Some(role);
        self.life += 1;
        self.boot = boot;
        self.identity = identity;
        self.identified_at = None;
        self.paused = None;
        self.children = Children::default();
        self.heard_of.clear();
        self.newest.clear();
        self.fatal = None;
    }

    /// Ends this life, like `kill -9`.
    pub(crate) fn end(&mut self, now: Time) {
        self.role = None;
        self.life += 1;
        self.paused = None;
        self.children = Children::default();
        self.trouble(now);
    }

    /// Notes that it is not well until `until`.
    pub(crate) fn trouble(&mut self, until: Time) {
        self.troubled_at = self.troubled_at.max(Some(until));
    }

    /// Reads what an event at this member is going to need, and does nothing with it: see
    /// `World::warm`. What lies behind references comes in the second round.
    pub(crate) fn warm(&self, round: usize) -> usize {
        match (round, &self.role) {
            (0, Some(AnyRole::Agent(_))) => self.heard_of.len() + self.newest.len(),
            (_, Some(AnyRole::Agent(agent))) => {
                let peer = self.heard_of.get(self.heard_of.len() / 2).map_or(0, |peer| peer.0);
                agent.membership_bytes() + usize::from(peer != 0)
            }
            (_, Some(AnyRole::Satellite(_) | AnyRole::Station(_)) | None) => 0,
        }
    }

    /// Hands an opened datagram to the role, as the engine would.
    pub(crate) fn deliver(
        &mut self,
        now: Now,
        heard: Time,
        datagram: &Datagram,
        out: &mut Effects,
    ) {
        match self.heard_of.binary_search(&datagram.peer) {
            Ok(at) if datagram.boot < self.newest[at] => return,
            // Of a life that is not known, nothing short can be opened.
            Ok(at) if datagram.is_brief && datagram.boot != self.newest[at] => return,
            Err(_) if datagram.is_brief => return,
            Ok(at) => self.newest[at] = datagram.boot,
            Err(at) => {
                self.heard_of.insert(at, datagram.peer);
                self.newest.insert(at, datagram.boot);
            }
        }
        let Some(role) = &mut self.role else { return };
        let origin =
            Origin { peer: datagram.peer, boot: datagram.boot, addr: datagram.from, heard };
        let frames = if datagram.is_brief { Frames::brief } else { Frames::new };
        let (_, fault) = role.hand_over(now, &origin, frames(&datagram.bytes), out);
        assert!(fault.is_none(), "a role sent what it cannot parse: {fault:?}");
    }
}
