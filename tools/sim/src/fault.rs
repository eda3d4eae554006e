//! Faults that strike members, and how many there were.

pub use crate::disk::Exchange;
use crate::persist::PersistPoint;
pub use syncom_store::memory::Fault as DiskFault;

/// Something bad that happens at a set moment.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A member dies at once, like `kill -9`; comes back after `down_ns`, if ever.
    Crash {
        /// Which member.
        member: usize,
        /// After how long it starts again; `None` for never (until healing).
        down_ns: Option<u64>,
    },
    /// A replica is told to go in good order, like `SIGTERM`, and comes back later.
    Leave {
        /// Which member.
        member: usize,
        /// How long after it has gone.
        down_ns: u64,
    },
    /// A member stops, like `SIGSTOP`, and goes on later.
    Pause {
        /// Which member.
        member: usize,
        /// For how long.
        for_ns: u64,
    },
    /// Some members are cut off from the others.
    Cut {
        /// Which members are inside.
        inside: Vec<bool>,
        /// Whether they still hear the others.
        one_way: bool,
        /// For how long.
        for_ns: u64,
    },
    /// Nodes inside and outside do not reach each other; servers reach all.
    Split {
        /// Which members are inside.
        inside: Vec<bool>,
        /// For how long.
        for_ns: u64,
    },
    /// A member hears some others no longer, whom everybody else hears.
    Ignore {
        /// Which member.
        member: usize,
        /// Whom it does not hear.
        whom: Vec<bool>,
        /// For how long.
        for_ns: u64,
    },
    /// A replica dies for good, and an operator replaces it by a new one, which starts by then.
    Replace {
        /// Which member dies.
        old: usize,
        /// Which one comes.
        new: usize,
    },
    /// The cable of a member loses some of what it sends, until healing.
    Mumble {
        /// Which member.
        member: usize,
        /// Parts of 10,000 lost.
        loss: u64,
    },
    /// The cable of a member loses some of what is sent to it, until healing.
    Deafen {
        /// Which member.
        member: usize,
        /// Parts of 10,000 lost.
        loss: u64,
    },
    /// A managed service of a node dies.
    ServiceDeath {
        /// Which member.
        member: usize,
    },
    /// A replica dies when it next comes to a persist point.
    CrashAt {
        /// Which member.
        member: usize,
        /// Where.
        point: PersistPoint,
        /// After how long it starts again.
        down_ns: u64,
    },
    /// A replica's disk breaks. What shows only at a restart is followed by one; a replica that stops
    /// with a disk error is started again when the disk is mended.
    Disk {
        /// Which member.
        member: usize,
        /// How.
        fault: DiskFault,
        /// After how long the replica starts again.
        down_ns: u64,
    },
    /// A replica's disk is backed up.
    BackUp {
        /// Which member.
        member: usize,
    },
    /// A replica dies, and its disk is exchanged before it comes back: it must be refused.
    Exchange {
        /// Which member.
        member: usize,
        /// For what.
        by: Exchange,
        /// After how long it starts again.
        down_ns: u64,
    },
    /// The wall clock of a member's host is set anew.
    ClockJump {
        /// Which member.
        member: usize,
        /// By how much, in ns: forward or back.
        by_ns: i64,
    },
}

/// How many faults of each kind a run had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Datagrams lost by chance.
    pub lost: u64,
    /// Datagrams doubled.
    pub duplicated: u64,
    /// Datagrams held back.
    pub reordered: u64,
    /// Datagrams lost at cuts.
    pub cut_datagrams: u64,
    /// Cuts.
    pub cuts: u64,
    /// Members crashed.
    pub crashes: u64,
    /// Replicas told to go.
    pub leaves: u64,
    /// Members stopped for a while.
    pub pauses: u64,
    /// Datagrams dropped because a stopped member's buffer was full.
    pub overflows: u64,
    /// Managed services that died.
    pub services_killed: u64,
    /// Wall clocks set anew.
    pub clock_jumps: u64,
    /// Crashes at each persist point, as [`PersistPoint::ALL`] lists them.
    pub points: [u64; PersistPoint::ALL.len()],
    /// Replicas that stopped because their disk was full or failed.
    pub disk_failures: u64,
    /// Replicas that were refused for good because of what was on their disk.
    pub refused: u64,
    /// Replicas replaced.
    pub replacements: u64,
}

impl FaultCounts {
    /// Counts a crash at a persist point.
    pub(crate) const fn died_at(&mut self, point: PersistPoint) {
        self.points[point.index()] += 1;
    }

    /// All counts by name.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 15] {
        [
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("reordered", self.reordered),
            ("cut_datagrams", self.cut_datagrams),
            ("cuts", self.cuts),
            ("crashes", self.crashes),
            ("leaves", self.leaves),
            ("pauses", self.pauses),
            ("overflows", self.overflows),
            ("services_killed", self.services_killed),
            ("clock_jumps", self.clock_jumps),
            ("point_crashes", self.points.iter().sum()),
            ("disk_failures", self.disk_failures),
            ("disks_refused", self.refused),
            ("replacements", self.replacements),
        ]
    }
}
