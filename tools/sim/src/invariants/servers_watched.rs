//! Satellites and replicas are called dead when they are, once each time, and back when they are: all
//! along nobody who is well is called dead, and where a scenario promises it no death is missed.

use crate::fault::Fault;
use crate::invariants::Watch;
use crate::member::Member;
use crate::outbox::SeenEvent;
use crate::world::{WALL_NS, World};
use syncom_seam::{MS, SECOND, Time};

/// How long after a trouble a death may be committed, in ns: detection and an election in between.
const JUST_FOR_NS: u64 = 8 * SECOND;
/// Who comes back is noticed by then, in ns: a replica when it speaks, a satellite when it has joined.
const BACK_NS: u64 = 3 * SECOND;

fn is_death(event: &SeenEvent) -> bool {
    is_about_server(event) && event.detail.contains(" is dead")
}

fn is_about_server(event: &SeenEvent) -> bool {
    event.kind == "satellite" || event.kind == "replica"
}

/// Whether a death names one who was down, stopped or cut off lately.
pub(super) fn check(
    watch: &Watch,
    now: Time,
    event: &SeenEvent,
    members: &[Member],
) -> Option<String> {
    if !is_death(event) {
        return None;
    }
    let Some(member) = members.iter().find(|member| member.name == event.subject) else {
        return Some(format!("the death of {:?}, which does not exist", event.subject));
    };
    let troubled = member.troubled_at.is_some_and(|at| watch.able_ns(at, now) < JUST_FOR_NS);
    let stopped = member.paused.as_ref().is_some_and(|missed| !missed.is_short);
    let down = !member.is_up() || stopped || member.fatal.is_some();
    (!down && !troubled)
        .then(|| format!("{} was called dead while it was well: {}", member.name, event.detail))
}

/// One outage of a server: who, from when until when.
fn outage(world: &World, (at, fault): &(Time, Fault)) -> Option<(usize, Time, Time)> {
    let (member, for_ns) = match fault {
        Fault::Crash { member, down_ns } => (*member, (*down_ns)?),
        Fault::Pause { member, for_ns } if *for_ns > world.scenario.excused_ns => {
            (*member, *for_ns)
        }
        Fault::Cut { inside, for_ns, .. } => (inside.iter().position(|is_in| *is_in)?, *for_ns),
        _ => return None,
    };
    Some((member, *at, at.after(for_ns)))
}

/// Whether each outage was told of once, in time, and its end as well; and nothing else was.
pub(super) fn at_rest(world: &World, violations: &mut Vec<String>) {
    let Some(notice_ns) = world.scenario.server_notice_ns else { return };
    let outages: Vec<_> =
        world.scenario.faults.iter().filter_map(|fault| outage(world, fault)).collect();
    let about = |member: usize| {
        let name = world.members[member].name.clone();
        let events = world.watch.events.values();
        events.filter(move |event| is_about_server(event) && event.subject == name)
    };
    let moment = |event: &SeenEvent| Time(event.time_ns.saturating_sub(WALL_NS));
    for (member, from, until) in &outages {
        let name = &world.members[*member].name;
        let within = |event: &&SeenEvent| (*from..=until.after(BACK_NS)).contains(&moment(event));
        let mut story = about(*member).filter(within);
        match story.next() {
            Some(event) if is_death(event) && moment(event).since(*from) <= notice_ns => {}
            Some(event) => {
                let late_ms = moment(event).since(*from) / MS;
                let detail = &event.detail;
                violations.push(format!("{name} failed at {from}; {late_ms} ms later: {detail}"));
            }
            None => violations.push(format!("{name} failed at {from}, which was never announced")),
        }
        match story.next() {
            Some(event) if !is_death(event) => {}
            Some(event) => violations.push(format!("{name} died twice: {}", event.detail)),
            None => violations.push(format!("{name} came back at {until}, which nobody said")),
        }
    }
    for member in 0..world.options.replicas + world.options.satellites {
        let failed = outages.iter().filter(|(one, ..)| *one == member).count();
        let told = about(member).filter(|event| is_death(event)).count();
        if told != failed {
            let name = &world.members[member].name;
            violations.push(format!("{name} failed {failed} times and was called dead {told}"));
        }
    }
}
