//! What a replica is told at its start.

use syncom_seam::MS;
use syncom_wire::{Addr, Boot, PeerId, Role};

/// Replicas that a station may have: one, or as many as survive the loss of one or of two. An even
/// number survives no more than the one below it.
const FOUNDERS: [usize; 3] = [1, 3, 5];

/// How fast the replicas' clockwork runs. Must be alike on all replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftTiming {
    /// One tick of Raft's logical clock, in ns. Everything below counts in it.
    pub tick_ns: u64,
    /// The leader shows itself every so many ticks. Must be well below `election_ticks`.
    pub heartbeat_ticks: usize,
    /// A follower that hears no leader for this many to twice as many ticks stands for election.
    /// Too short: a busy machine elects for nothing. Too long: nobody decides meanwhile.
    pub election_ticks: usize,
}

impl RaftTiming {
    /// For machines of its own with a quick disk: heartbeat 10 ms, election 100 to 200 ms.
    pub const FAST: Self = Self { tick_ns: 5 * MS, heartbeat_ticks: 2, election_ticks: 20 };
    /// For the default profile: heartbeat 20 ms, election 200 to 400 ms.
    pub const MEDIUM: Self = Self { tick_ns: 10 * MS, heartbeat_ticks: 2, election_ticks: 20 };
    /// For machines shared with others: heartbeat 60 ms, election 400 to 800 ms.
    pub const SHARED: Self = Self { tick_ns: 20 * MS, heartbeat_ticks: 3, election_ticks: 20 };

    /// For machines that are not to be disturbed: heartbeat 200 ms, election 1 to 2 s.
    pub const QUIET: Self = Self { tick_ns: 50 * MS, heartbeat_ticks: 4, election_ticks: 20 };

    /// The longest election timeout, in ns: as long does a restarted replica keep silent to votes.
    #[must_use]
    pub const fn election_max_ns(&self) -> u64 {
        self.tick_ns * self.election_ticks as u64 * 2
    }

    /// For how long a replica that has just heard its leader gives no vote to others, in ns: the
    /// shortest election timeout, less the tick that may expire at once.
    #[must_use]
    pub const fn withheld_ns(&self) -> u64 {
        self.tick_ns * (self.election_ticks as u64 - 1)
    }
}

impl Default for RaftTiming {
    fn default() -> Self {
        Self::MEDIUM
    }
}

/// What a replica is told at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StationConfig {
    /// This replica's number, from 1: its Raft id, and its [`PeerId::station`] number.
    pub me: u16,
    /// This life of the process.
    pub boot: Boot,
    /// The cluster that the log belongs to.
    pub cluster: u32,
    /// The founders, and where they listen: the same list on every replica for ever. One that is
    /// not among them waits until it is told to replace another.
    pub replicas: Vec<(PeerId, Addr)>,
    /// Number of the disk that holds the log, drawn when the log was made: a replica that comes back
    /// on another disk has forgotten what it promised. 0 for disks that cannot be lost.
    pub disk: u64,
    /// Seed of jitter and election timeouts.
    pub seed: u64,
    /// How fast Raft's clock runs.
    pub timing: RaftTiming,
    /// How often satellites show themselves, in ns; five missed and a margin are a death.
    pub satellite_interval_ns: u64,
    /// A snapshot is taken after this many applied entries.
    pub snapshot_every: u64,
    /// Whether datagrams are sealed, for `syncom status`.
    pub sealed: bool,
}

/// What a replica holds in memory beside its state: bounded, whatever comes.
///
/// Entries: those since the last snapshot, at most `snapshot_every` or 64 MiB; before it those that
/// followers may lack, a fifth as many or 16 MiB, and up to 64 MiB while one that is heard lacks
/// them. Snapshots: the newest, those that are being pulled from here, which is one unless a follower
/// cannot use what another pulls, and one that is being pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Entries of the log.
    pub entries: usize,
    /// Their bytes.
    pub entry_bytes: usize,
    /// Bytes of snapshots.
    pub snapshot_bytes: usize,
}

impl StationConfig {
    /// Replica `me` of `replicas`, everything else as it is by default.
    #[must_use]
    pub fn new(me: u16, replicas: Vec<(PeerId, Addr)>) -> Self {
        Self {
            me,
            boot: Boot(1),
            cluster: 0,
            replicas,
            disk: 0,
            seed: u64::from(me),
            timing: RaftTiming::default(),
            satellite_interval_ns: 200 * MS,
            snapshot_every: 50_000,
            sealed: true,
        }
    }

    /// Says why this cannot work, if it cannot.
    ///
    /// # Errors
    /// One sentence naming the field and what to do.
    pub fn validate(&self) -> Result<(), String> {
        if !FOUNDERS.contains(&self.replicas.len()) {
            return Err(format!(
                "a station has 1, 3 or 5 replicas, not {}: correct the list",
                self.replicas.len()
            ));
        }
        for (at, (peer, addr)) in self.replicas.iter().enumerate() {
            if peer.role() != Role::Station || peer.number() == 0 {
                return Err(format!("{peer} is no replica: replicas are numbered from 1"));
            }
            if !addr.is_some() {
                return Err(format!("{peer} has no address: give it one"));
            }
            if self.replicas[..at].iter().any(|(other, _)| other == peer) {
                return Err(format!("{peer} is listed twice: remove one"));
            }
        }
        let timing = self.timing;
        if timing.tick_ns == 0 || timing.heartbeat_ticks == 0 {
            return Err("tick and heartbeat must not be zero".into());
        }
        if timing.election_ticks < 3 * timing.heartbeat_ticks {
            return Err("the election timeout must be at least three heartbeats".into());
        }
        if self.me == 0 {
            return Err("replicas are numbered from 1".into());
        }
        Ok(())
    }

    /// Whether this replica was there from the beginning.
    #[must_use]
    pub fn is_founder(&self) -> bool {
        self.replicas.iter().any(|(peer, _)| *peer == self.peer())
    }

    /// What an operator does about this replica when it cannot go on.
    pub(crate) fn how_to_replace(&self) -> String {
        format!(
            "start one on an empty directory under a number that was never used, then type: \
             syncom station replace station{} stationN@IP:PORT",
            self.me
        )
    }

    /// This replica's number on the wire.
    #[must_use]
    pub const fn peer(&self) -> PeerId {
        PeerId::station(self.me)
    }

    /// Where a replica listens.
    #[must_use]
    pub fn addr_of(&self, peer: PeerId) -> Option<Addr> {
        self.replicas.iter().find(|(other, _)| *other == peer).map(|(_, addr)| *addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(n: u16) -> Vec<(PeerId, Addr)> {
        (1..=n).map(|i| (PeerId::station(i), Addr::v4([10, 0, 0, 1], i))).collect()
    }

    /// SPEC: a leader that is gone is replaced within half a second on the default profile.
    #[test]
    fn the_default_is_that_of_the_default_profile() {
        assert_eq!(RaftTiming::default(), RaftTiming::MEDIUM);
        assert_eq!(RaftTiming::default().election_max_ns(), 400 * MS);
    }

    #[test]
    fn a_sound_configuration_is_accepted() {
        assert_eq!(StationConfig::new(2, replicas(3)).validate(), Ok(()));
    }

    #[test]
    fn contradictions_are_named() {
        let nobody = StationConfig::new(0, replicas(3)).validate().unwrap_err();
        assert!(nobody.contains("numbered from 1"), "{nobody}");
        let mut hasty = StationConfig::new(1, replicas(1));
        hasty.timing.heartbeat_ticks = 10;
        assert!(hasty.validate().unwrap_err().contains("three heartbeats"));
        for wrong in [0, 2, 4, 6, 7, 9] {
            let why = StationConfig::new(1, replicas(wrong)).validate().unwrap_err();
            assert!(why.contains("1, 3 or 5 replicas"), "{why}");
        }
        let mut twice = replicas(3);
        twice[1] = twice[0];
        assert!(StationConfig::new(1, twice).validate().unwrap_err().contains("twice"));
    }
}
