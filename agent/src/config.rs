//! What an agent is told at its start.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use syncom_group::{BUDGET_MIN, Profile, ProfileError};
use syncom_seam::limits::SERVICES_MAX;
use syncom_wire::bytes::is_text;
use syncom_wire::ids::hash;
use syncom_wire::limits::{DOMAIN_MAX, NAME_MAX, PAYLOAD_MAX};
use syncom_wire::{Addr, Boot, PeerId, Uuid};

/// A command that the agent keeps: started with it, watched, restarted by order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceConfig {
    /// Name of the service, unique on its node. With the node's name and a slash it must stay
    /// within [`NAME_MAX`]: `node/service` is what its events are about.
    pub name: String,
    /// Program and arguments; the program is looked up in `PATH`. It must stay in the foreground:
    /// a process that ends is a service that died.
    pub argv: Vec<String>,
}

/// Everything an agent is told; nothing of it changes while it runs.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The host's identity, minted once and stored on the host. Two hosts with one UUID take turns
    /// in replacing each other.
    pub uuid: Uuid,
    /// This life of the process: Unix time in ns at its start. Must grow from start to start; it
    /// is part of the sealing key.
    pub boot: Boot,
    /// Process id, shown to people; 0 when it means nothing.
    pub pid: u32,
    /// The node's name, unique in the cluster, 1 to [`NAME_MAX`] bytes.
    pub name: String,
    /// Label of the failure domain (rack, switch, power), up to [`DOMAIN_MAX`] bytes; empty when
    /// unknown. Without labels a death needs no second domain.
    pub domain: String,
    /// Where the agent listens. [`Addr::NONE`] means: where its datagrams come from.
    pub listen: Addr,
    /// Members that answer at the port of entry; at least one, better three. Any satellite or
    /// replica will do.
    pub seeds: Vec<Addr>,
    /// How fast the cluster wants to know. Should be the same everywhere, but need not: each
    /// sender announces its own interval.
    pub profile: Profile,
    /// What heartbeats may cost this node at most, in bytes per second on the wire, 0 for no
    /// bound, else at least [`BUDGET_MIN`]. Where the profile does not fit, observers hear of the node
    /// in turn, at most 2.5 s apart, and deaths of it are known later; whoever watches it takes the
    /// interval that it announces.
    pub budget: u64,
    /// Seed of the agent's only source of chance (jitter of retries). Different on every node.
    pub rng_seed: u64,
    /// Services started with the agent, at most [`SERVICES_MAX`].
    pub services: Vec<ServiceConfig>,
}

/// Why a configuration is refused. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The node's name is empty, too long, or has characters that names cannot have.
    Name,
    /// The domain's label is too long or has control characters.
    Domain,
    /// There is no seed to ask for the cluster.
    NoSeed,
    /// More services than an agent manages.
    TooManyServices,
    /// A service without a name or a command, with a name too long, or twice the same name.
    Service(String),
    /// The profile breaks a rule.
    Profile(ProfileError),
    /// A heartbeat to one observer every 2.5 s costs more than the budget.
    Budget,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => {
                write!(f, "the node's name must be 1 to {NAME_MAX} printable bytes without a slash")
            }
            Self::Domain => write!(f, "the domain must be at most {DOMAIN_MAX} printable bytes"),
            Self::NoSeed => f.write_str("no seeds: name at least one satellite or replica"),
            Self::TooManyServices => write!(f, "an agent manages at most {SERVICES_MAX} services"),
            Self::Service(name) => write!(
                f,
                "service `{name}` needs a name of its own (with the node's name at most {} bytes) \
                 and a command",
                NAME_MAX - 1
            ),
            Self::Profile(error) => error.fmt(f),
            Self::Budget => write!(
                f,
                "the heartbeat budget must be 0, for none, or at least {BUDGET_MIN} bytes per \
                 second: something is said at least every 2.5 s"
            ),
        }
    }
}

impl core::error::Error for ConfigError {}

impl AgentConfig {
    /// The agent of the node `name`, everything else as it is by default: no domain, no services,
    /// the default profile.
    #[must_use]
    pub fn new(
        uuid: Uuid,
        boot: Boot,
        name: &str,
        listen: Addr,
        seeds: Vec<Addr>,
        rng_seed: u64,
    ) -> Self {
        Self {
            uuid,
            boot,
            pid: 0,
            name: name.into(),
            domain: String::new(),
            listen,
            seeds,
            profile: Profile::DEFAULT,
            budget: 0,
            rng_seed,
            services: Vec::new(),
        }
    }

    /// Who the agent is on the wire until it is welcomed.
    #[must_use]
    pub const fn peer(&self) -> PeerId {
        PeerId::client(hash(&self.uuid.0))
    }

    /// Checks every field against its range and its neighbours.
    ///
    /// # Errors
    /// [`ConfigError`] with the first broken rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.name.is_empty() || self.name.contains('/') || !is_text(&self.name, NAME_MAX) {
            return Err(ConfigError::Name);
        }
        if !is_text(&self.domain, DOMAIN_MAX) {
            return Err(ConfigError::Domain);
        }
        if self.seeds.is_empty() {
            return Err(ConfigError::NoSeed);
        }
        if self.services.len() > SERVICES_MAX {
            return Err(ConfigError::TooManyServices);
        }
        for (index, service) in self.services.iter().enumerate() {
            let mut earlier = self.services.iter().take(index);
            let is_twice = earlier.any(|other| other.name == service.name);
            if is_twice || !is_service(&self.name, service) {
                return Err(ConfigError::Service(service.name.clone()));
            }
        }
        if (1..BUDGET_MIN).contains(&self.budget) {
            return Err(ConfigError::Budget);
        }
        self.profile.validate().map_err(ConfigError::Profile)
    }
}

/// Whether an agent of this name can manage the service.
pub(crate) fn is_service(node: &str, service: &ServiceConfig) -> bool {
    let bytes: usize = service.argv.iter().map(|argument| argument.len() + 1).sum();
    !service.name.is_empty()
        && is_text(&service.name, NAME_MAX.saturating_sub(node.len() + 1))
        && service.argv.first().is_some_and(|program| !program.is_empty())
        && bytes <= PAYLOAD_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::config;
    use std::string::ToString;
    use std::vec;

    #[test]
    fn each_rule_refuses_what_breaks_it() {
        let break_with = |change: fn(&mut AgentConfig)| {
            let mut config = config(1);
            change(&mut config);
            config.validate()
        };
        let service = |name: &str| ServiceConfig { name: name.into(), argv: vec!["true".into()] };
        assert_eq!(break_with(|_| ()), Ok(()));
        assert_eq!(break_with(|c| c.name.clear()), Err(ConfigError::Name));
        assert_eq!(break_with(|c| c.name = "a/b".into()), Err(ConfigError::Name));
        assert_eq!(break_with(|c| c.domain = "x".repeat(33)), Err(ConfigError::Domain));
        assert_eq!(break_with(|c| c.seeds.clear()), Err(ConfigError::NoSeed));
        assert_eq!(break_with(|c| c.budget = BUDGET_MIN), Ok(()));
        assert_eq!(break_with(|c| c.budget = BUDGET_MIN - 1), Err(ConfigError::Budget));
        let mut twice = config(1);
        twice.services = vec![service("web"), service("web")];
        assert_eq!(twice.validate(), Err(ConfigError::Service("web".to_string())));
        let mut many = config(1);
        many.services = (0..33).map(|n| service(&n.to_string())).collect();
        assert_eq!(many.validate(), Err(ConfigError::TooManyServices));
        let mut long = config(1);
        long.services = vec![service(&"x".repeat(60))];
        assert!(matches!(long.validate(), Err(ConfigError::Service(_))));
    }
}
