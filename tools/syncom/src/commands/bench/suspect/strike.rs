//! Strokes as they fall on real processes, and end.

use super::super::campaign::nft;
use super::cluster::Processes;
use super::plan::{Blow, OneWay, Stroke};
use crate::exit::{Failure, Outcome};
use std::process::{Child, Command, Stdio};

/// Our table in nftables.
const TABLE: &str = "syncom_suspect";

/// A stroke that has begun. It ends when it is told to, and at the latest when this is dropped.
#[derive(Debug)]
pub(super) struct Struck<'a> {
    cluster: &'a Processes,
    stroke: &'a Stroke,
    spinners: Vec<Child>,
    is_over: bool,
}

impl<'a> Struck<'a> {
    /// The stroke begins.
    pub(super) fn begin(
        cluster: &'a Processes,
        stroke: &'a Stroke,
        cores: u32,
    ) -> Result<Self, Failure> {
        let mut struck = Self { cluster, stroke, spinners: Vec::new(), is_over: false };
        match &stroke.blow {
            Blow::Stop(names) => cluster.signal(names, "-STOP")?,
            Blow::Starve { per_core, nicer } => {
                for _ in 0..per_core * cores {
                    struck.spinners.push(spin(*nicer)?);
                }
            }
            Blow::Loss(names) => nft(&table(&loss(&ports(cluster, names))))?,
            Blow::OneWay(ways) => {
                let rules = ways.iter().map(|(name, way)| one_way(cluster, name, *way));
                nft(&table(&rules.collect::<Vec<_>>().join(" ")))?;
            }
        }
        Ok(struck)
    }

    /// It ends.
    pub(super) fn end(mut self) -> Outcome {
        self.is_over = true;
        self.undo()
    }

    fn undo(&mut self) -> Outcome {
        for mut spinner in self.spinners.drain(..) {
            let _ = spinner.kill();
            let _ = spinner.wait();
        }
        match &self.stroke.blow {
            Blow::Stop(names) => self.cluster.signal(names, "-CONT"),
            Blow::Starve { .. } => Ok(()),
            Blow::Loss(_) | Blow::OneWay(_) => nft(&format!("delete table inet {TABLE}")),
        }
    }
}

impl Drop for Struck<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let _ = self.undo();
        }
    }
}

/// Computes, for a minute at most, and only at the niceness that it was to have.
const SPIN: &str = "test $(nice) = $1 || exit 1; ulimit -t 60; while :; do :; done";

/// A process that computes, and ends by itself after a minute of it.
fn spin(nicer: i32) -> Result<Child, Failure> {
    Command::new("nice")
        .args(["-n", &nicer.to_string(), "sh", "-c", SPIN, "sh", &nicer.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| Failure::failed(format!("cannot take the cores: {error}")))
}

fn table(rules: &str) -> String {
    format!("table inet {TABLE} {{ chain in {{ type filter hook input priority 0; {rules} }}; }}")
}

fn ports(cluster: &Processes, names: &[String]) -> String {
    let ports: Vec<String> = cluster
        .locals()
        .iter()
        .filter(|local| names.contains(&local.name))
        .map(|local| local.addr.port().to_string())
        .collect();
    ports.join(", ")
}

/// Whatever passes the border of a domain, or stays in it, is lost one time in five.
fn loss(ports: &str) -> String {
    let lost = "numgen random mod 100 < 20 drop;";
    format!(
        "udp sport {{ {ports} }} {lost} udp dport {{ {ports} }} udp sport != {{ {ports} }} {lost}"
    )
}

fn one_way(cluster: &Processes, name: &str, way: OneWay) -> String {
    let own = ports(cluster, &[name.to_owned()]);
    match way {
        OneWay::Deaf => format!("udp dport {own} drop;"),
        OneWay::Faint => format!("udp sport {own} numgen random mod 100 < 80 drop;"),
        OneWay::Partial => {
            let is_odd = |name: &str| name.ends_with(['1', '3', '5', '7', '9']);
            let names = cluster.locals().iter().map(|local| local.name.clone());
            let odd = names.filter(|other| other.starts_with("node") && is_odd(other));
            let others: Vec<String> = odd.filter(|other| other != name).collect();
            format!("udp sport {own} udp dport {{ {} }} drop;", ports(cluster, &others))
        }
    }
}
