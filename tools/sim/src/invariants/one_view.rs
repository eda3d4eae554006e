//! One view: when faults have stopped, all live members converge. Replicas hold the same state,
//! satellites hold the station's view, every running agent is a member in its present life, and
//! nobody who is down is believed alive.

use crate::member::Member;
use crate::world::World;
use syncom_wire::member::MemberState;

pub(super) fn check(world: &World, violations: &mut Vec<String>) {
    for member in &world.members {
        if let Some(fatal) = &member.fatal {
            violations.push(format!("{} stopped: {fatal}", member.name));
        }
    }
    check_replicas(world, violations);
    let mut stations = world
        .members
        .iter()
        .filter_map(|member| member.station().map(|station| (&member.name, station)));
    let Some((first, station)) = stations.next() else {
        violations.push("no replica runs".into());
        return;
    };
    for (name, other) in stations {
        let state = |s: &syncom_station::Station| (s.applied(), s.state_hash());
        if state(other) != state(station) {
            violations.push(format!(
                "{name} (index, hash) {:x?} differs from {first} {:x?}",
                state(other),
                state(station)
            ));
        }
    }
    let view = station.members().view();
    for member in &world.members {
        if let Some(satellite) = member.satellite()
            && satellite.view() != view
        {
            violations.push(format!(
                "{} holds view {}, the station {view}",
                member.name,
                satellite.view()
            ));
        }
    }
    check_agents(world, station, violations);
}

/// All replicas run that were not replaced, but those whose disks must not be served from: those are
/// never a majority.
fn check_replicas(world: &World, violations: &mut Vec<String>) {
    let has_seat = |index: usize, member: &Member| {
        let ordered = world.is_newcomer(index) && member.life > 0;
        (index < world.options.replicas || ordered) && !member.retired
    };
    let (mut up, mut refused) = (0, 0);
    let all = world.members.iter().enumerate();
    for (_, member) in all.filter(|(index, member)| has_seat(*index, member)) {
        match &member.refused {
            _ if member.is_up() => up += 1,
            Some(_) => refused += 1,
            None => violations.push(format!("{} does not run", member.name)),
        }
    }
    if refused >= up {
        violations.push(format!("{refused} replicas were lost for good, {up} run"));
    }
}

fn check_agents(world: &World, station: &syncom_station::Station, violations: &mut Vec<String>) {
    let servers = world.options.replicas + world.options.satellites;
    for member in world.members.iter().skip(servers) {
        let entry = station.members().named(&member.name);
        let state = entry.map(syncom_group::Entry::state);
        match (member.agent(), entry) {
            (None, Some(entry)) if entry.is_present() => {
                violations.push(format!("{} is down but believed {state:?}", member.name));
            }
            (Some(agent), Some(entry)) => {
                let own = agent.identity().map(|identity| identity.incarnation);
                if state != Some(MemberState::Alive) || own != Some(entry.head.incarnation) {
                    violations.push(format!(
                        "{} runs as {own:?} but is believed {state:?} as {}",
                        member.name, entry.head.incarnation
                    ));
                }
            }
            (Some(_), None) => violations.push(format!("{} runs but never joined", member.name)),
            (None, _) => {}
        }
    }
}
