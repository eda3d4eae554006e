//! What a seed means: whom a try strikes, how, and how long.

use crate::args::suspect::{Fault, Suspect};
use crate::up::domain;
use syncom_seam::{MS, Rng, SECOND};

/// How a node's network fails in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OneWay {
    /// It hears nobody.
    Deaf,
    /// Four in five of its datagrams are lost.
    Faint,
    /// Every other node hears nothing of it: those with odd numbers.
    Partial,
}

/// What is done to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    /// Members are stopped, by name.
    Stop(Vec<String>),
    /// So many processes of this niceness, less than ours, compute for each core.
    Starve { per_core: u32, nicer: i32 },
    /// A fifth of the datagrams from and to these nodes is lost.
    Loss(Vec<String>),
    /// Each of these nodes is cut off in one direction.
    OneWay(Vec<(String, OneWay)>),
}

/// One try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stroke {
    pub(super) blow: Blow,
    pub(super) lasts_ns: u64,
}

impl Stroke {
    /// What a try with this seed does.
    pub(super) fn draw(args: &Suspect, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let longest_ns = u64::from(args.longest) * SECOND;
        let few = args.nodes.div_ceil(10);
        let (blow, lasts_ns) = match args.how {
            Fault::Stop => {
                let names = draw_names(&mut rng, "node", few, args.nodes);
                (Blow::Stop(names), draw_stop_ns(&mut rng))
            }
            Fault::Satellites => {
                let all = u32::from(args.satellites);
                let count = if rng.chance(1, 3) { all } else { draw_below(&mut rng, all) + 1 };
                (Blow::Stop(draw_names(&mut rng, "sat", count, all)), draw_stop_ns(&mut rng))
            }
            Fault::Starve => {
                let per_core = draw_below(&mut rng, 4) + 1;
                let nicer = match rng.below(4) {
                    0 => 0,
                    1 => -5,
                    2 => -10,
                    _ => -19,
                };
                (Blow::Starve { per_core, nicer }, draw_span_ns(&mut rng))
            }
            Fault::Loss => {
                let rack = format!("rack{}", draw_below(&mut rng, args.domains) + 1);
                let inside = |number: &u32| domain(*number, args.domains) == rack;
                let numbers = (1..=args.nodes).filter(inside);
                let names = numbers.map(|number| format!("node{number}")).collect();
                (Blow::Loss(names), draw_span_ns(&mut rng))
            }
            Fault::OneWay => {
                let names = draw_names(&mut rng, "node", few, args.nodes);
                let mut ways = Vec::new();
                for name in names {
                    ways.push((name, draw_way(&mut rng)));
                }
                (Blow::OneWay(ways), draw_span_ns(&mut rng))
            }
        };
        Self { blow, lasts_ns: lasts_ns.min(longest_ns) }
    }

    /// The nodes that do not run while it lasts.
    pub(super) fn stopped(&self) -> &[String] {
        match &self.blow {
            Blow::Stop(names) => names,
            Blow::Starve { .. } | Blow::Loss(_) | Blow::OneWay(_) => &[],
        }
    }

    /// In words.
    pub(super) fn words(&self) -> String {
        let blow = match &self.blow {
            Blow::Stop(names) => format!("{} stopped", names.join(", ")),
            Blow::Starve { per_core, nicer } => {
                format!("{per_core} processes per core, niceness {nicer}")
            }
            Blow::Loss(names) => format!("20 % loss around {}", names.join(", ")),
            Blow::OneWay(ways) => {
                let one = |(name, way): &(String, OneWay)| match way {
                    OneWay::Deaf => format!("{name} deaf"),
                    OneWay::Faint => format!("{name} heard one time in five"),
                    OneWay::Partial => format!("{name} unheard by odd nodes"),
                };
                ways.iter().map(one).collect::<Vec<_>>().join(", ")
            }
        };
        format!("{blow} for {} ms", self.lasts_ns / MS)
    }
}

/// Mostly as short as it takes to be judged, some not that long, some for half a minute.
fn draw_stop_ns(rng: &mut Rng) -> u64 {
    match rng.below(20) {
        0..=2 => 100 * MS + rng.below(450 * MS),
        3..=14 => SECOND + rng.below(2 * SECOND),
        15..=18 => 3 * SECOND + rng.below(7 * SECOND),
        _ => 30 * SECOND,
    }
}

fn draw_span_ns(rng: &mut Rng) -> u64 {
    2 * SECOND + rng.below(6 * SECOND)
}

fn draw_way(rng: &mut Rng) -> OneWay {
    match rng.below(3) {
        0 => OneWay::Deaf,
        1 => OneWay::Faint,
        _ => OneWay::Partial,
    }
}

/// `count` different names out of `all`.
fn draw_names(rng: &mut Rng, stem: &str, count: u32, all: u32) -> Vec<String> {
    let mut numbers: Vec<u32> = (1..=all).collect();
    let mut names = Vec::new();
    for _ in 0..count.min(all) {
        let at = rng.below(numbers.len() as u64);
        let number = numbers.swap_remove(usize::try_from(at).unwrap_or(0));
        names.push(format!("{stem}{number}"));
    }
    names
}

fn draw_below(rng: &mut Rng, bound: u32) -> u32 {
    u32::try_from(rng.below(bound.into())).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::ProfileName;
    use std::collections::BTreeSet;

    fn args(how: Fault) -> Suspect {
        Suspect {
            how,
            tries: 1,
            seed: 1,
            nodes: 25,
            satellites: 3,
            domains: 4,
            profile: ProfileName::Default,
            longest: 30,
            heartbeat_budget: None,
            dir: None,
            json: false,
            inside: false,
        }
    }

    #[test]
    fn a_seed_draws_the_same_stroke_again_and_another_seed_another() {
        for how in [Fault::Stop, Fault::Starve, Fault::Satellites, Fault::Loss, Fault::OneWay] {
            let args = args(how);
            let strokes: Vec<Stroke> = (0..50).map(|seed| Stroke::draw(&args, seed)).collect();
            let again: Vec<Stroke> = (0..50).map(|seed| Stroke::draw(&args, seed)).collect();
            assert_eq!(strokes, again);
            assert!(strokes.windows(2).all(|pair| pair[0] != pair[1]), "{how:?}");
        }
    }

    #[test]
    fn a_tenth_of_the_nodes_is_stopped_for_less_than_detection_takes_or_up_to_30_s() {
        let strokes = (0..200).map(|seed| Stroke::draw(&args(Fault::Stop), seed));
        let mut short = 0;
        let mut long = 0;
        for stroke in strokes {
            let names: BTreeSet<&String> = stroke.stopped().iter().collect();
            assert_eq!(names.len(), 3, "{stroke:?}");
            short += u32::from(stroke.lasts_ns < 600 * MS);
            long += u32::from(stroke.lasts_ns == 30 * SECOND);
            assert!(stroke.lasts_ns <= 30 * SECOND);
        }
        assert!(short > 10 && long > 2, "{short} short, {long} long");
    }

    #[test]
    fn loss_surrounds_one_domain_whole() {
        for seed in 0..20 {
            let Blow::Loss(names) = Stroke::draw(&args(Fault::Loss), seed).blow else {
                panic!("not a loss");
            };
            assert!(names.len() >= 6, "{names:?}");
        }
    }
}
