//! What a satellite is told at its start.

use crate::policy::Policies;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use syncom_group::{Profile, ProfileError};
use syncom_wire::bytes::is_text;
use syncom_wire::ids::{hash, mix};
use syncom_wire::limits::{DOMAIN_MAX, NAME_MAX, REPLICAS_MAX, SATELLITES_MAX};
use syncom_wire::{Addr, Boot, PeerId, Role, Uuid};

/// Everything a satellite is told; only the thresholds change while it runs, when the station
/// sends others.
#[derive(Clone, Debug)]
pub struct TransponderConfig {
    /// Its identity, kept from life to life. [`Self::new`] derives one from the number, which is
    /// unique in a cluster as well.
    pub uuid: Uuid,
    /// Number of the satellite, counted from 1, unique in the cluster. Two satellites with one
    /// number take turns in replacing each other.
    pub number: u16,
    /// This life of the process: Unix time in ns at its start.
    pub boot: Boot,
    /// Process id, shown to people; 0 when it means nothing.
    pub pid: u32,
    /// Its name, unique in the cluster, 1 to [`NAME_MAX`] bytes.
    pub name: String,
    /// Label of the failure domain, up to [`DOMAIN_MAX`] bytes; empty when unknown.
    pub domain: String,
    /// Where it listens and where nodes should send to.
    pub listen: Addr,
    /// Share of nodes relative to other satellites, at least 1.
    pub weight: u16,
    /// The replicas of the station, 1 to [`REPLICAS_MAX`].
    pub replicas: Vec<(PeerId, Addr)>,
    /// How fast the cluster wants to know. Must be the same in the whole cluster: windows and
    /// probes follow it.
    pub profile: Profile,
    /// Thresholds of reports by kind.
    pub policies: Policies,
    /// Seed of the satellite's only source of chance (jitter, nonces). Different on every one.
    pub rng_seed: u64,
    /// Accused nodes at a time. Memory is taken as it is needed, about 1 KB each, and kept. Too
    /// few: accusations beyond are answered BUSY and come again.
    pub evidence_max: usize,
    /// Combined reports under way at a time, about 2 KB each when needed.
    pub combine_max: usize,
    /// Joins waiting for the station's word at a time.
    pub joins_max: usize,
}

/// Why a configuration is refused. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The number is 0 or beyond the largest.
    Number,
    /// The name is empty, too long, or has control characters.
    Name,
    /// The domain's label is too long or has control characters.
    Domain,
    /// There is no replica, there are too many, or one is no replica or has no address.
    Replicas,
    /// A table without room, or the weight is zero.
    Zero(&'static str),
    /// The profile breaks a rule.
    Profile(ProfileError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number => write!(f, "a satellite's number must be 1 to {SATELLITES_MAX}"),
            Self::Name => write!(f, "the satellite's name must be 1 to {NAME_MAX} printable bytes"),
            Self::Domain => write!(f, "the domain must be at most {DOMAIN_MAX} printable bytes"),
            Self::Replicas => {
                write!(f, "name 1 to {REPLICAS_MAX} station replicas with their addresses")
            }
            Self::Zero(what) => write!(f, "{what} must be at least 1"),
            Self::Profile(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ConfigError {}

impl TransponderConfig {
    /// A configuration for satellite `number` with everything else at its default.
    #[must_use]
    pub fn new(number: u16, boot: Boot, listen: Addr, replicas: Vec<(PeerId, Addr)>) -> Self {
        Self {
            uuid: derived_uuid(number),
            number,
            boot,
            pid: 0,
            name: format!("satellite{number}"),
            domain: String::new(),
            listen,
            weight: 1,
            replicas,
            profile: Profile::DEFAULT,
            policies: Policies::default(),
            rng_seed: mix(boot.0 ^ u64::from(number)),
            evidence_max: 8_192,
            combine_max: 1_024,
            joins_max: 2_048,
        }
    }

    /// Its number on the wire.
    #[must_use]
    pub const fn peer(&self) -> PeerId {
        PeerId::satellite(self.number)
    }

    /// Checks every field against its range and its neighbours.
    ///
    /// # Errors
    /// [`ConfigError`] with the first broken rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.number == 0 || usize::from(self.number) > SATELLITES_MAX {
            return Err(ConfigError::Number);
        }
        if self.name.is_empty() || !is_text(&self.name, NAME_MAX) {
            return Err(ConfigError::Name);
        }
        if !is_text(&self.domain, DOMAIN_MAX) {
            return Err(ConfigError::Domain);
        }
        let is_replica =
            |(peer, addr): &(PeerId, Addr)| peer.role() == Role::Station && addr.is_some();
        if !(1..=REPLICAS_MAX).contains(&self.replicas.len())
            || !self.replicas.iter().all(is_replica)
        {
            return Err(ConfigError::Replicas);
        }
        let sizes = [
            ("the weight", usize::from(self.weight)),
            ("evidence_max", self.evidence_max),
            ("combine_max", self.combine_max),
            ("joins_max", self.joins_max),
        ];
        if let Some((what, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(ConfigError::Zero(what));
        }
        self.profile.validate().map_err(ConfigError::Profile)
    }
}

fn derived_uuid(number: u16) -> Uuid {
    let half = hash(&number.to_le_bytes());
    let mut bytes = [0; 16];
    let (low, high) = bytes.split_at_mut(8);
    low.copy_from_slice(&half.to_le_bytes());
    high.copy_from_slice(&mix(!half).to_le_bytes());
    Uuid(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn each_rule_refuses_what_breaks_it() {
        let addr = Addr::v4([10, 0, 0, 1], 7);
        let with = |change: fn(&mut TransponderConfig)| {
            let replicas = vec![(PeerId::station(1), addr)];
            let mut config = TransponderConfig::new(1, Boot(1), addr, replicas);
            change(&mut config);
            config.validate()
        };
        assert_eq!(with(|_| ()), Ok(()));
        assert_eq!(with(|c| c.number = 0), Err(ConfigError::Number));
        assert_eq!(with(|c| c.number = 257), Err(ConfigError::Number));
        assert_eq!(with(|c| c.name.clear()), Err(ConfigError::Name));
        assert_eq!(with(|c| c.domain = "a\nb".into()), Err(ConfigError::Domain));
        assert_eq!(with(|c| c.replicas.clear()), Err(ConfigError::Replicas));
        assert_eq!(with(|c| c.replicas[0].0 = PeerId(7)), Err(ConfigError::Replicas));
        assert_eq!(with(|c| c.weight = 0), Err(ConfigError::Zero("the weight")));
        assert!(matches!(with(|c| c.profile.misses = 0), Err(ConfigError::Profile(_))));
    }
}
