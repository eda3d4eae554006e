//! Making members: who is configured how.

use crate::child::SERVICE;
use crate::member::AnyRole;
use crate::scenario::{Options, Scenario, has_service};
use crate::world::{World, address};
use syncom_agent::{Agent, AgentConfig, ServiceConfig};
use syncom_group::Profile;
use syncom_seam::Loaded;
use syncom_station::{RaftTiming, Station, StationConfig};
use syncom_transponder::{Transponder, TransponderConfig};
use syncom_wire::{Addr, Boot, PeerId, Uuid, ids};

/// Name of the managed service of those nodes that have one.
pub(crate) const SERVICE_NAME: &str = "keeper";

impl World {
    /// A role that has not started yet, with what its disk holds, and who it is on the wire.
    pub(crate) fn make(&mut self, index: usize, boot: Boot, loaded: Loaded) -> (AnyRole, PeerId) {
        let Options { replicas, satellites, .. } = self.options;
        let number = |n: usize| u16::try_from(n + 1).unwrap_or(u16::MAX);
        let stations: Vec<(PeerId, Addr)> =
            (0..replicas).map(|i| (PeerId::station(number(i)), address(i))).collect();
        let seed = ids::mix(self.seed ^ boot.0);
        let listen = address(index);
        let name = self.members[index].name.clone();
        if index < replicas || self.is_newcomer(index) {
            let me = self.station_number(index);
            let mut config = StationConfig::new(me, stations);
            config.disk = self.members[index].disk.as_ref().map_or(0, |disk| disk.number);
            let is_quiet = self.options.profile == Profile::QUIET;
            config.timing = if is_quiet { RaftTiming::QUIET } else { RaftTiming::SHARED };
            config.boot = boot;
            config.seed = seed;
            if index == 0 && self.options.scenario == Scenario::OVERLONG {
                config.timing.election_ticks *= 4;
            }
            config.snapshot_every = self.scenario.snapshot_every;
            let station = Station::new(config, loaded)
                .unwrap_or_else(|fault| panic!("replica {me} cannot go on: {fault}"));
            return (AnyRole::Station(Box::new(station)), PeerId::station(me));
        }
        if index < replicas + satellites {
            let n = number(index - replicas);
            let mut config = TransponderConfig::new(n, boot, listen, stations);
            config.name = name;
            config.rng_seed = seed;
            config.profile = self.scenario.profile;
            return (AnyRole::Satellite(Box::new(Transponder::new(config))), PeerId::satellite(n));
        }
        let mut uuid = [0; 16];
        uuid[..8].copy_from_slice(&ids::mix(index as u64 + 1).to_le_bytes());
        uuid[8..].copy_from_slice(&self.seed.to_le_bytes());
        let seeds = stations.iter().map(|(_, addr)| *addr).collect();
        let mut config = AgentConfig::new(Uuid(uuid), boot, &name, listen, seeds, seed);
        (config.profile, config.budget) = (self.scenario.profile, self.scenario.budget);
        let first = replicas + satellites;
        config.domain = match self.scenario.rack {
            0 => format!("rack{}", index % 10),
            rack => format!("rack{}", (index - first) / rack),
        };
        if self.scenario.has_services && has_service(index) {
            let argv = vec![SERVICE.into(), SERVICE_NAME.into()];
            config.services = vec![ServiceConfig { name: SERVICE_NAME.into(), argv }];
        }
        (AnyRole::Agent(Box::new(Agent::new(config))), PeerId::client(ids::hash(&uuid)))
    }
}
