//! `syncom status`: the whole cluster on one screen.

use crate::args;
use crate::client::Client;
use crate::exit::{Failure, Outcome};
use crate::place::{self, Local, Place};
use serde_json::{Value, json};
use syncom_wire::control::{ReplicaEntry, SatelliteEntry, StatusHead, Verb};
use syncom_wire::member::MemberState;
use syncom_wire::{Frame, PeerId};

/// The cluster's state, owned.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The fixed part.
    pub head: StatusHead,
    /// Replicas by number.
    pub replicas: Vec<ReplicaEntry>,
    /// Satellites by number.
    pub satellites: Vec<SatelliteEntry>,
}

/// Runs the command.
///
/// # Errors
/// When no replica answers.
pub fn run(place: Place, args: args::Look) -> Outcome {
    let dir = place.dir.clone();
    let mut client = Client::open_for(place, args.stale)?;
    let snapshot = ask(&mut client)?;
    let locals = dir.as_deref().map(place::local_members).unwrap_or_default();
    let mut value = to_json(&snapshot, &locals);
    if let Some(shown) = client.shown() {
        value["index"] = shown.index.into();
        value["age_ms"] = shown.age_ms.into();
    }
    if args.json {
        println!("{value}");
    } else {
        print(&value);
    }
    Ok(())
}

/// Asks for the cluster's state.
///
/// # Errors
/// When no replica answers.
pub fn ask(client: &mut Client) -> Result<Snapshot, Failure> {
    let answer = client.ask(Verb::Status, 0, &[])?;
    answer
        .frames()
        .find_map(|frame| match frame {
            Frame::Status(status) => Some(Snapshot {
                head: status.head,
                replicas: status.replicas.iter().collect(),
                satellites: status.satellites.iter().collect(),
            }),
            _ => None,
        })
        .ok_or_else(|| Failure::failed("the station's answer has no status in it"))
}

/// The state as scripts see it.
#[must_use]
pub fn to_json(snapshot: &Snapshot, locals: &[Local]) -> Value {
    let head = &snapshot.head;
    let pid_of = |name: &str| locals.iter().find(|local| local.name == name).map(|local| local.pid);
    let name_of = |peer: PeerId| (peer != PeerId::ANY).then(|| format!("station{}", peer.number()));
    let replicas: Vec<Value> = snapshot
        .replicas
        .iter()
        .map(|replica| {
            let name = format!("station{}", replica.peer.number());
            let state = match replica.state {
                1 => "leader",
                2 => "follower",
                _ => "silent",
            };
            let role = if replica.part == 0 { "voter" } else { "learner" };
            json!({"name": name, "pid": pid_of(&name), "state": state, "applied": replica.applied,
                   "role": role, "addr": replica.addr.to_string()})
        })
        .collect();
    let satellites: Vec<Value> = snapshot
        .satellites
        .iter()
        .map(|satellite| {
            let state = MemberState::from_wire(satellite.state).unwrap_or(MemberState::Dead);
            json!({"name": format!("sat{}", satellite.peer.number()), "pid": satellite.pid,
                   "state": state.name(), "nodes": satellite.nodes,
                   "addr": satellite.addr.to_string()})
        })
        .collect();
    json!({
        "view": head.view.0,
        "term": head.term.0,
        "leader": name_of(head.leader),
        "manager": name_of(head.manager),
        "replicas": replicas,
        "satellites": satellites,
        "nodes": {"alive": head.alive, "gray": head.gray, "dead": head.dead, "left": head.left},
        "reports_per_s": head.reports_per_s,
        "events": head.events,
        "queue_len": head.queue_len,
        "orders_open": head.orders_open,
        "false_deaths": head.false_deaths,
        "sealed": head.sealed == 1,
        "warnings": warnings(snapshot),
    })
}

/// What a person should know and might not see.
fn warnings(snapshot: &Snapshot) -> Vec<String> {
    let head = &snapshot.head;
    let mut warnings = Vec::new();
    if head.leader == PeerId::ANY {
        warnings.push("no replica leads: nothing can be committed".to_owned());
    } else if head.manager == PeerId::ANY {
        warnings.push("no recovery manager holds the lease".to_owned());
    }
    let silent = snapshot.replicas.iter().filter(|replica| replica.state == 3).count();
    if silent > 0 {
        let total = snapshot.replicas.len();
        warnings.push(format!("{silent} of {total} replicas are silent"));
    }
    for learner in snapshot.replicas.iter().filter(|replica| replica.part != 0) {
        let number = learner.peer.number();
        warnings
            .push(format!("station{number} learns and does not vote: a replacement is under way"));
    }
    let alive = MemberState::Alive as u8;
    if !snapshot.satellites.iter().any(|satellite| satellite.state == alive) {
        warnings.push("no satellite serves: reports and orders wait".to_owned());
    }
    if head.sealed == 0 {
        warnings.push("datagrams are not sealed: anyone on the network may forge them".to_owned());
    }
    if head.false_deaths > 0 {
        warnings.push(format!("{} deaths were taken back", head.false_deaths));
    }
    warnings
}

fn print(value: &Value) {
    let text = |value: &Value| value.as_str().map_or_else(|| "none".to_owned(), str::to_owned);
    println!(
        "view {}   term {}   leader {}   manager {}",
        value["view"],
        value["term"],
        text(&value["leader"]),
        text(&value["manager"])
    );
    let nodes = &value["nodes"];
    println!(
        "nodes       {} alive, {} gray, {} dead, {} left",
        nodes["alive"], nodes["gray"], nodes["dead"], nodes["left"]
    );
    println!(
        "events      {}, {} waiting; {} reports/s; {} orders open",
        value["events"], value["queue_len"], value["reports_per_s"], value["orders_open"]
    );
    for (title, key, number) in
        [("replicas", "replicas", "applied"), ("satellites", "satellites", "nodes")]
    {
        for (index, item) in value[key].as_array().into_iter().flatten().enumerate() {
            println!(
                "{:<11} {:<10} {:<9} {number:<7} {:<8} {}",
                if index == 0 { title } else { "" },
                text(&item["name"]),
                text(&item["state"]),
                item[number].to_string(),
                text(&item["addr"]),
            );
        }
    }
    for warning in value["warnings"].as_array().into_iter().flatten() {
        println!("warning     {}", text(warning));
    }
}
