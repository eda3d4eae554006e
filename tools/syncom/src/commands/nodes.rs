//! `syncom nodes`: members, and the resolver that turns node sets into slots.

use crate::args;
use crate::client::Client;
use crate::exit::{Failure, Outcome};
use crate::nodeset::{self, NodeSet};
use crate::place::Place;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use syncom_wire::control::{NodeDetailHead, Verb};
use syncom_wire::member::{MemberHead, MemberState};
use syncom_wire::{Frame, Slot};

/// A node as the station and its home know it.
#[derive(Clone, Debug)]
pub struct Node {
    /// The replicated part.
    pub head: MemberHead,
    /// Its name.
    pub name: String,
    /// Its failure domain.
    pub domain: String,
    /// Who watches it.
    pub observers: Vec<Slot>,
    /// Smoothed round trip to its home, in µs.
    pub rtt_us: u32,
    /// Its interval, in µs.
    pub interval_us: u32,
    /// Managed services up and down.
    pub services: (u16, u16),
    /// Whether it is to get no new work.
    pub drained: bool,
    /// Whether it gets none because it keeps dying and coming back.
    pub damped: bool,
}

impl Node {
    /// What the station believes of it.
    #[must_use]
    pub const fn state(&self) -> MemberState {
        self.head.state()
    }

    /// Its slot.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        Slot(self.head.peer.0)
    }
}

/// All nodes by slot.
#[derive(Clone, Debug, Default)]
pub struct Roll(pub BTreeMap<Slot, Node>);

impl Roll {
    /// Asks the station for all nodes.
    ///
    /// # Errors
    /// When no replica answers.
    pub fn ask(client: &mut Client) -> Result<Self, Failure> {
        let mut nodes = BTreeMap::new();
        client.pages(Verb::Nodes, 0, &[], |frame| match frame {
            Frame::Member(member) => {
                if let Some(slot) = member.head.peer.slot() {
                    let node = Node {
                        head: member.head,
                        name: member.name.into(),
                        domain: member.domain.into(),
                        observers: Vec::new(),
                        rtt_us: 0,
                        interval_us: 0,
                        services: (0, 0),
                        drained: false,
                        damped: false,
                    };
                    nodes.insert(slot, node);
                }
            }
            Frame::NodeDetail(detail) => {
                if let Some(node) = nodes.get_mut(&detail.head.slot) {
                    node.observers = detail.observers.iter().map(|item| item.slot).collect();
                    node.rtt_us = detail.head.rtt_us;
                    node.interval_us = detail.head.interval_us;
                    node.services = (detail.head.services_up, detail.head.services_down);
                    node.drained = detail.head.drained & NodeDetailHead::DRAINED != 0;
                    node.damped = detail.head.drained & NodeDetailHead::DAMPED != 0;
                }
            }
            _ => {}
        })?;
        Ok(Self(nodes))
    }

    /// The nodes that a node set names.
    ///
    /// # Errors
    /// Points at the place where the set is wrong, or names the nodes that do not exist.
    pub fn select(&self, text: &str) -> Result<Vec<&Node>, Failure> {
        let names = NodeSet::parse(text, self)
            .map_err(|error| Failure::usage(format!("node set {text:?}: {error}")))?;
        let known: BTreeMap<&str, &Node> =
            self.0.values().map(|node| (node.name.as_str(), node)).collect();
        let unknown: Vec<&str> =
            names.iter().map(String::as_str).filter(|name| !known.contains_key(name)).collect();
        if !unknown.is_empty() {
            return Err(Failure::usage(format!(
                "no such node: {}; `syncom nodes` lists those there are",
                nodeset::fold(unknown)
            )));
        }
        Ok(names.iter().filter_map(|name| known.get(name.as_str()).copied()).collect())
    }

    /// The names of some slots, folded.
    #[must_use]
    pub fn fold(&self, slots: impl Iterator<Item = Slot>) -> String {
        let names: Vec<String> = slots
            .map(|slot| self.0.get(&slot).map_or(format!("slot{slot}"), |node| node.name.clone()))
            .collect();
        nodeset::fold(names.iter().map(String::as_str))
    }
}

impl nodeset::Resolver for Roll {
    fn group(&self, name: &str) -> Option<BTreeSet<String>> {
        let names = |keep: &dyn Fn(&Node) -> bool| {
            self.0.values().filter(|node| keep(node)).map(|node| node.name.clone()).collect()
        };
        if let Some(domain) = name.strip_prefix("domain:") {
            return Some(names(&|node| node.domain == domain));
        }
        match name {
            "all" | "role:agent" => Some(names(&|_| true)),
            "drained" => Some(names(&|node| node.drained)),
            "alive" | "gray" | "dead" | "left" => Some(names(&|node| node.state().name() == name)),
            _ => None,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// When no replica answers or the node set is wrong.
pub fn run(place: Place, args: &args::Nodes) -> Outcome {
    let mut client = Client::open_for(place, args.stale)?;
    let roll = Roll::ask(&mut client)?;
    let mut nodes = match &args.nodeset {
        Some(text) => roll.select(text)?,
        None => roll.0.values().collect(),
    };
    nodes.retain(|node| args.state.as_deref().is_none_or(|state| node.state().name() == state));
    if args.json {
        for node in nodes {
            println!("{}", to_json(node, &roll));
        }
    } else {
        print(&nodes, &roll);
    }
    Ok(())
}

/// A node as scripts see it.
fn to_json(node: &Node, roll: &Roll) -> Value {
    let observers: Vec<&str> = node
        .observers
        .iter()
        .filter_map(|slot| roll.0.get(slot).map(|observer| observer.name.as_str()))
        .collect();
    json!({
        "name": node.name, "uuid": node.head.uuid.to_string(), "slot": node.slot().0,
        "incarnation": node.head.incarnation.0, "domain": node.domain,
        "state": node.state().name(), "since_ns": node.head.since_ns, "observers": observers,
        "rtt_us": node.rtt_us, "interval_ms": node.interval_us / 1_000, "pid": node.head.pid,
        "addr": node.head.addr.to_string(), "view": node.head.view.0,
        "services_up": node.services.0, "services_down": node.services.1,
        "drained": node.drained, "damped": node.damped,
    })
}

/// First what is not well, by state; then a table when it is short enough to read.
fn print(nodes: &[&Node], roll: &Roll) {
    for state in [MemberState::Alive, MemberState::Gray, MemberState::Dead, MemberState::Left] {
        let slots = nodes.iter().filter(|node| node.state() == state).map(|node| node.slot());
        let count = slots.clone().count();
        if count > 0 {
            println!("{:<6} {count:>6}  {}", state.name(), roll.fold(slots));
        }
    }
    // Why nodes get no new work.
    for what in ["drained", "damped"] {
        let is_so = |node: &&&Node| if what == "damped" { node.damped } else { node.drained };
        let slots = nodes.iter().filter(is_so).map(|node| node.slot());
        let count = slots.clone().count();
        if count > 0 {
            println!("{what:<7}{count:>6}  {}", roll.fold(slots));
        }
    }
    if nodes.is_empty() {
        println!("no such nodes");
    } else if nodes.len() <= 64 {
        println!(
            "\n{:<16} {:>6} {:>4} {:<6} {:<12} {:>8} {:>9}  observers",
            "name", "slot", "life", "state", "domain", "rtt", "interval"
        );
        for node in nodes {
            let line = format!(
                "{:<16} {:>6} {:>4} {:<6} {:<12} {:>5} us {:>6} ms  {}",
                node.name,
                node.slot(),
                node.head.incarnation,
                node.state().name(),
                node.domain,
                node.rtt_us,
                node.interval_us / 1_000,
                roll.fold(node.observers.iter().copied()),
            );
            println!("{}", line.trim_end());
        }
    }
}
