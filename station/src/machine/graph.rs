//! The resource graph: what there is, and how it hangs together.
//!
//! Things are typed and named; relations between them are typed and obey cardinalities. A relation
//! that would break one is refused, so the graph cannot say that a node is in two racks.

use crate::machine::command::{list, text};
use crate::machine::encoder::Encoder;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use syncom_wire::limits::NAME_MAX;
use syncom_wire::{Malformed, Reader};

/// Things and relations that the graph holds at most.
const GRAPH_MAX: usize = 4 * syncom_seam::limits::MEMBERS_MAX;

macro_rules! names {
    ($(#[$meta:meta])* $name:ident { $( $variant:ident = $number:literal, $text:literal; )* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum $name { $( $variant = $number, )* }

        impl $name {
            const fn from_number(number: u8) -> Option<Self> {
                match number { $( $number => Some(Self::$variant), )* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $( Self::$variant => $text, )* })
            }
        }
    };
}

names! {
    /// What kind of thing.
    Type {
        Cluster = 1, "cluster";
        Domain = 2, "domain";
        Node = 3, "node";
        Service = 4, "service";
        Satellite = 5, "satellite";
        Replica = 6, "replica";
    }
}

names! {
    /// How two things hang together.
    Relation {
        Has = 1, "has";
        Runs = 2, "runs";
        In = 3, "in";
    }
}

/// How many a thing may have of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Many {
    One,
    Any,
}

impl Relation {
    /// Which types it joins, how many targets a source may have, and how many sources a target.
    const fn rule(self) -> (&'static [(Type, Type)], Many, Many) {
        match self {
            Self::Has => (
                &[
                    (Type::Cluster, Type::Domain),
                    (Type::Cluster, Type::Satellite),
                    (Type::Cluster, Type::Replica),
                ],
                Many::Any,
                Many::One,
            ),
            Self::Runs => (&[(Type::Node, Type::Service)], Many::Any, Many::One),
            Self::In => (&[(Type::Node, Type::Domain)], Many::One, Many::Any),
        }
    }
}

/// A thing.
pub(crate) type Thing = (Type, String);

/// Why a relation was refused; the graph is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GraphError {
    /// One of the two is not in the graph.
    Unknown,
    /// This relation does not join things of these types.
    Types,
    /// One of the two has such a relation already and may have only one.
    Cardinality,
    /// No room.
    Full,
}

/// Things, their states, and their relations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Graph {
    things: BTreeMap<Thing, String>,
    forward: BTreeSet<(Thing, Relation, Thing)>,
    backward: BTreeSet<(Thing, Relation, Thing)>,
}

impl Graph {
    /// Adds a thing, or sets the state of a known one.
    pub(crate) fn set(&mut self, kind: Type, name: &str, state: &str) {
        let thing = (kind, name.to_owned());
        if self.things.len() < GRAPH_MAX || self.things.contains_key(&thing) {
            self.things.insert(thing, state.to_owned());
        }
    }

    /// Relates two things; the same relation twice is one.
    pub(crate) fn relate(
        &mut self,
        from: Thing,
        relation: Relation,
        to: Thing,
    ) -> Result<(), GraphError> {
        if !self.things.contains_key(&from) || !self.things.contains_key(&to) {
            return Err(GraphError::Unknown);
        }
        let (types, targets, sources) = relation.rule();
        if !types.contains(&(from.0, to.0)) {
            return Err(GraphError::Types);
        }
        let edge = (from, relation, to);
        if self.forward.contains(&edge) {
            return Ok(());
        }
        let (from, relation, to) = edge;
        let taken = targets == Many::One && of(&self.forward, &from, relation).next().is_some()
            || sources == Many::One && of(&self.backward, &to, relation).next().is_some();
        if taken {
            return Err(GraphError::Cardinality);
        }
        if self.forward.len() == GRAPH_MAX {
            return Err(GraphError::Full);
        }
        self.backward.insert((to.clone(), relation, from.clone()));
        self.forward.insert((from, relation, to));
        Ok(())
    }

    /// Services that a node runs, by name, and the state of each.
    pub(crate) fn services_of(&self, node: &str) -> impl Iterator<Item = (&str, &str)> {
        of(&self.forward, &(Type::Node, node.to_owned()), Relation::Runs).filter_map(|thing| {
            let (_, service) = thing.1.split_once('/')?;
            Some((service, self.things.get(thing)?.as_str()))
        })
    }

    /// Nodes that run a service of that name, and its state on each.
    pub(crate) fn runners_of<'a>(
        &'a self,
        service: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let services = self.things.range((Type::Service, String::new())..);
        services.take_while(|((kind, _), _)| *kind == Type::Service).filter_map(
            move |((_, name), state)| {
                let (node, other) = name.split_once('/')?;
                (other == service).then_some((node, state.as_str()))
            },
        )
    }

    /// Takes a thing away, and all its relations.
    pub(crate) fn forget(&mut self, thing: &Thing) {
        self.things.remove(thing);
        let is_of = |(from, _, to): &(Thing, Relation, Thing)| from == thing || to == thing;
        for edges in [&mut self.forward, &mut self.backward] {
            edges.retain(|edge| !is_of(edge));
        }
    }

    /// Takes all relations of a kind away from a thing that is their source.
    pub(crate) fn unrelate(&mut self, from: &Thing, relation: Relation) {
        let targets: Vec<Thing> = of(&self.forward, from, relation).cloned().collect();
        for to in targets {
            self.backward.remove(&(to.clone(), relation, from.clone()));
            self.forward.remove(&(from.clone(), relation, to));
        }
    }

    /// One line per thing, each followed by its relations, in a fixed order.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.things.iter().flat_map(move |(thing, state)| {
            let head = format!("{} {} state={state}", thing.0, thing.1);
            let relations = [Relation::Has, Relation::Runs, Relation::In];
            std::iter::once(head).chain(relations.into_iter().flat_map(move |relation| {
                of(&self.forward, thing, relation)
                    .map(move |to| format!("{} {} {relation} {} {}", thing.0, thing.1, to.0, to.1))
            }))
        })
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        let put = |out: &mut Encoder, thing: &Thing| {
            out.field(thing.0 as u8);
            out.long(thing.1.as_bytes());
        };
        out.count(self.things.len());
        for (thing, state) in &self.things {
            put(out, thing);
            out.long(state.as_bytes());
        }
        out.count(self.forward.len());
        for (from, relation, to) in &self.forward {
            put(out, from);
            out.field(*relation as u8);
            put(out, to);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let things = list(reader, GRAPH_MAX, |r| Ok((thing(r)?, text(r, NAME_MAX)?)))?;
        let mut graph = Self { things: things.into_iter().collect(), ..Self::default() };
        let edges = list(reader, GRAPH_MAX, |r| {
            let from = thing(r)?;
            let relation =
                Relation::from_number(r.field()?).ok_or(Malformed("unknown relation"))?;
            Ok((from, relation, thing(r)?))
        })?;
        for (from, relation, to) in edges {
            graph
                .relate(from, relation, to)
                .map_err(|_| Malformed("relation against its cardinality"))?;
        }
        Ok(graph)
    }
}

/// Everything that `thing` is related to in one direction.
fn of<'a>(
    edges: &'a BTreeSet<(Thing, Relation, Thing)>,
    thing: &Thing,
    relation: Relation,
) -> impl Iterator<Item = &'a Thing> + use<'a> {
    let wanted = thing.clone();
    let least = (Type::Cluster, String::new());
    edges
        .range((thing.clone(), relation, least)..)
        .take_while(move |(from, kind, _)| *from == wanted && *kind == relation)
        .map(|(_, _, to)| to)
}

fn thing(reader: &mut Reader<'_>) -> Result<Thing, Malformed> {
    let kind = Type::from_number(reader.field()?).ok_or(Malformed("unknown type of thing"))?;
    Ok((kind, text(reader, 2 * NAME_MAX + 1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(kind: Type, name: &str) -> Thing {
        (kind, name.to_owned())
    }

    fn small() -> Graph {
        let mut graph = Graph::default();
        for (kind, name) in [
            (Type::Cluster, "syncom"),
            (Type::Domain, "rack1"),
            (Type::Domain, "rack2"),
            (Type::Node, "node1"),
            (Type::Node, "node2"),
            (Type::Service, "node1/web"),
        ] {
            graph.set(kind, name, "up");
        }
        graph
    }

    #[test]
    fn cardinalities_and_types_are_checked() {
        let mut graph = small();
        let node = named(Type::Node, "node1");
        let (rack1, rack2) = (named(Type::Domain, "rack1"), named(Type::Domain, "rack2"));
        assert_eq!(graph.relate(node.clone(), Relation::In, rack1.clone()), Ok(()));
        assert_eq!(graph.relate(node.clone(), Relation::In, rack1.clone()), Ok(()));
        let second = graph.relate(node.clone(), Relation::In, rack2.clone());
        assert_eq!(second, Err(GraphError::Cardinality));
        assert_eq!(graph.relate(rack1, Relation::In, rack2.clone()), Err(GraphError::Types));
        let web = named(Type::Service, "node1/web");
        assert_eq!(graph.relate(node.clone(), Relation::Runs, web.clone()), Ok(()));
        let other = graph.relate(named(Type::Node, "node2"), Relation::Runs, web);
        assert_eq!(other, Err(GraphError::Cardinality));
        graph.unrelate(&node, Relation::In);
        assert_eq!(graph.relate(node.clone(), Relation::In, rack2), Ok(()));
        let nobody = graph.relate(node, Relation::Runs, named(Type::Service, "ghost"));
        assert_eq!(nobody, Err(GraphError::Unknown));
    }

    #[test]
    fn services_are_found_both_ways_and_forgotten() {
        let mut graph = small();
        graph.set(Type::Service, "node2/web", "down");
        for node in ["node1", "node2"] {
            let service = named(Type::Service, &format!("{node}/web"));
            graph.relate(named(Type::Node, node), Relation::Runs, service).unwrap();
        }
        assert_eq!(graph.services_of("node1").collect::<Vec<_>>(), [("web", "up")]);
        let runners: Vec<_> = graph.runners_of("web").collect();
        assert_eq!(runners, [("node1", "up"), ("node2", "down")]);
        graph.forget(&named(Type::Service, "node1/web"));
        assert_eq!(graph.services_of("node1").count(), 0);
        assert_eq!(graph.runners_of("web").count(), 1);
        graph
            .relate(named(Type::Node, "node1"), Relation::Runs, named(Type::Service, "x"))
            .unwrap_err();
    }

    #[test]
    fn a_graph_survives_the_round_trip_and_prints_its_relations() {
        let mut graph = small();
        let (node, rack) = (named(Type::Node, "node1"), named(Type::Domain, "rack1"));
        graph.relate(node, Relation::In, rack).unwrap();
        let mut out = Encoder::default();
        graph.encode(&mut out);
        assert_eq!(Graph::decode(&mut Reader::new(&out.finish())), Ok(graph.clone()));
        assert!(graph.lines().any(|line| line == "node node1 in domain rack1"));
    }
}
