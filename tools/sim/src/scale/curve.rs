//! The curve: how long a death takes to be noticed, what a node at rest costs, and how often it is
//! suspected for nothing, against the size of the cluster and the loss of its network. As a table,
//! which is committed, so that a change of any of it is a difference of text; and as a picture of
//! that table.

use super::{Plan, Stage, run};
use core::fmt::Write as _;
use syncom_seam::SECOND;

/// Node-seconds over which suspicions are counted, about.
const WATCHED_NODE_S: usize = 20_000;
/// Shortest and longest time for which they are, in s.
const WATCHED_S: (usize, usize) = (4, 200);

/// One size and one loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Nodes.
    pub nodes: usize,
    /// Datagrams lost, in per cent.
    pub loss: u64,
    /// From the crash to the committed death, in ms: half of the deaths took less.
    pub p50_ms: f64,
    /// The slowest death, in ms.
    pub max_ms: f64,
    /// Bytes on the cable that a node at rest sends per second.
    pub bytes_per_s: f64,
    /// How often a node at rest was accused by an observer, per hour.
    pub accusations_per_h: f64,
    /// Deaths that were not noticed, and nodes that were called dead and were not.
    pub wrong: usize,
}

impl Point {
    fn measure(nodes: usize, loss: u64) -> Self {
        let mut plan = Plan::of(nodes);
        let (least, most) = WATCHED_S;
        plan.loss = loss * 100;
        plan.rest_ns = (WATCHED_NODE_S / nodes).clamp(least, most) as u64 * SECOND;
        plan.stages = vec![Stage::Rest, Stage::Kills(if nodes > 1_000 { 5 } else { 20 })];
        let found = run(&plan, |_| {});
        let figure = |name| found.iter().find_map(|one| one.figure(name)).unwrap_or(f64::NAN);
        let not_found = found.iter().filter_map(|one| one.figure("not_found")).sum::<f64>();
        let violations = found.iter().map(|one| one.violations.len()).sum::<usize>();
        Self {
            nodes,
            loss,
            p50_ms: figure("p50_ms"),
            max_ms: figure("max_ms"),
            bytes_per_s: figure("node_bytes_per_s"),
            accusations_per_h: figure("accusations_per_node_s") * 3_600.0,
            wrong: violations + usize::from(not_found > 0.0),
        }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// By size, then by loss.
    pub points: Vec<Point>,
}

impl Curve {
    /// Sizes of the committed curve.
    pub const NODES: [usize; 4] = [10, 100, 1_000, 10_000];
    /// Losses of the committed curve, in per cent.
    pub const LOSSES: [u64; 4] = [0, 1, 5, 20];
    const HEAD: &'static str = " nodes  loss_%   p50_ms   max_ms  bytes/s  accusations/h  wrong\n";

    /// Measures the points of these sizes.
    #[must_use]
    pub fn measure(nodes: &[usize]) -> Self {
        let all = nodes.iter().flat_map(|nodes| Self::LOSSES.map(|loss| (*nodes, loss)));
        Self { points: all.map(|(nodes, loss)| Point::measure(nodes, loss)).collect() }
    }

    /// The table: a line of heads, then a line for each point.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = String::from(Self::HEAD);
        for point in &self.points {
            let Point { nodes, loss, p50_ms, max_ms, bytes_per_s, accusations_per_h, wrong } =
                point;
            let _ = writeln!(
                table,
                "{nodes:6}  {loss:6}  {p50_ms:7.0}  {max_ms:7.0}  {bytes_per_s:7.0}  \
                 {accusations_per_h:13.2}  {wrong:5}"
            );
        }
        table
    }

    /// The curve of a table, when it is one.
    #[must_use]
    pub fn of_table(table: &str) -> Option<Self> {
        let lines = table.strip_prefix(Self::HEAD)?.lines();
        let point = |line: &str| {
            let mut words = line.split_whitespace();
            let mut next = || words.next()?.parse::<f64>().ok();
            let [nodes, loss] = [next()?, next()?];
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts")]
            let point = Point {
                nodes: nodes as usize,
                loss: loss as u64,
                p50_ms: next()?,
                max_ms: next()?,
                bytes_per_s: next()?,
                accusations_per_h: next()?,
                wrong: next()? as usize,
            };
            Some(point)
        };
        Some(Self { points: lines.map(point).collect::<Option<_>>()? })
    }

    /// Lines of the table that are about clusters of these sizes, the head included.
    #[must_use]
    pub fn lines_of(table: &str, nodes: &[usize]) -> String {
        let is_of = |line: &&str| {
            let first = line.split_whitespace().next();
            first.and_then(|word| word.parse().ok()).is_none_or(|size| nodes.contains(&size))
        };
        table.lines().filter(is_of).flat_map(|line| [line, "\n"]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let point = |nodes| Point {
            nodes,
            loss: 5,
            p50_ms: 812.0,
            max_ms: 951.0,
            bytes_per_s: 6_636.0,
            accusations_per_h: 0.25,
            wrong: 0,
        };
        let curve = Curve { points: vec![point(10), point(100), point(10_000)] };
        assert_eq!(Curve::of_table(&curve.table()), Some(curve.clone()));
        assert_eq!(Curve::of_table("something else"), None);
        let some = Curve { points: vec![point(10), point(100)] };
        assert_eq!(Curve::lines_of(&curve.table(), &[10, 100]), some.table());
    }
}
