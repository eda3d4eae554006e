//! Replicas of the station as seats: who sits where, on which disk, and who replaces whom.

use crate::frame::fixed_frame;
use crate::ids::Addr;
use crate::layout::{Malformed, layout};

layout! {
    /// A replica that the log does not know to be seated shows the others its disk.
    pub struct ReplicaHello: 24 {
        /// Number of the disk that its log is on, drawn when the log was made; never 0.
        disk: u64,
        /// The replicas that it belongs to, as in `RaftHead`.
        generation: u64,
        /// 1 when something is stored on it, so that the leader may seat it.
        stored: u8,
        /// Zero.
        reserved: [u8; 7],
    }
}

impl ReplicaHello {
    const fn check(&self) -> Result<(), Malformed> {
        if self.disk == 0 || self.stored > 1 {
            return Err(Malformed("hello without a disk"));
        }
        Ok(())
    }
}
fixed_frame!(ReplicaHello, ReplicaHello, ReplicaHello::check);

layout! {
    /// What another replica knows of the one that said hello, or that speaks though it was replaced.
    pub struct ReplicaWord: 40 {
        /// The disk that it was seated with; 0 when it was not.
        disk: u64,
        /// The replicas that the speaker belongs to, as in `RaftHead`.
        generation: u64,
        /// Index at which it was replaced; 0 when it was not.
        removed_at: u64,
        /// The speaker's term.
        term: u64,
        /// Number of the replica that leads in that term; 0 when the speaker knows of none.
        leader: u16,
        /// Number of the replica that took its place; 0 when none did.
        by: u16,
        /// 1 when the entry that seats the disk may yet come to nothing.
        pending: u8,
        /// Zero.
        reserved: [u8; 3],
    }
}

impl ReplicaWord {
    const fn check(&self) -> Result<(), Malformed> {
        if self.pending > 1 {
            return Err(Malformed("a seat that is neither taken nor not"));
        }
        Ok(())
    }
}
fixed_frame!(ReplicaWord, ReplicaWord, ReplicaWord::check);

layout! {
    /// A replacement of one replica by another: ordered, and how far it is.
    pub struct Replace: 64 {
        /// The replica that goes.
        old: u16,
        /// The one that comes, whose number no other ever had.
        new: u16,
        /// What the operator insists on: see [`Self::FORCE`].
        flags: u8,
        /// How far it is: see [`Self::ADDED`]; 0 in an order.
        state: u8,
        /// Where the new one listens.
        addr: Addr,
        /// Last index that the new one is known to have.
        matched: u64,
        /// Last index that the leader has.
        last: u64,
        /// Index at which the replacement ended; 0 before.
        index: u64,
        /// Zero.
        reserved: [u8; 16],
    }
}

impl Replace {
    /// Flag: even if the old one still answers.
    pub const FORCE: u8 = 1;
    /// Flag: no longer; the new one is forgotten, unless it votes already.
    pub const CANCEL: u8 = 2;

    /// State: committed; the new one is not yet told anything.
    pub const ORDERED: u8 = 1;
    /// State: the new one is a learner and catches up.
    pub const ADDED: u8 = 2;
    /// State: both have a say, until the leader has left the joint configuration.
    pub const JOINT: u8 = 3;
    /// State: the new one votes; the old one only learns.
    pub const SWAPPED: u8 = 4;
    /// State: the old one is no longer a replica.
    pub const DONE: u8 = 5;
    /// State: it was called off; the new one's number is spent.
    pub const CANCELLED: u8 = 6;

    /// An order to replace `old` by `new`.
    #[must_use]
    pub const fn order(old: u16, new: u16, addr: Addr, flags: u8) -> Self {
        let reserved = [0; 16];
        Self { old, new, flags, state: 0, addr, matched: 0, last: 0, index: 0, reserved }
    }

    const fn check(&self) -> Result<(), Malformed> {
        if self.state > Self::CANCELLED || self.flags > Self::FORCE | Self::CANCEL {
            return Err(Malformed("unknown state or wish of a replacement"));
        }
        if self.old == 0 || self.new == 0 {
            return Err(Malformed("replicas are numbered from 1"));
        }
        Ok(())
    }
}
fixed_frame!(Replace, Replace, Replace::check);
