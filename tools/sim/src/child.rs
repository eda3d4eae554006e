//! Child processes of the simulation: commands end after a while, services run until killed.

use crate::rules::Hook;
use std::collections::BTreeMap;
use syncom_seam::{Exit, MS, Rng, Spawn};

/// The children of one member's life.
#[derive(Debug, Default)]
pub(crate) struct Children {
    running: BTreeMap<u64, bool>,
}

/// Name of the program that stands for a managed service.
pub(crate) const SERVICE: &str = "service";

/// A command whose argument begins so takes no longer than `true` does.
pub(crate) const QUICK: &str = "quick";
/// Half of what that is at most, in ns.
const QUICK_NS: u64 = MS / 2;

impl Children {
    /// Starts a child; when it ends by itself, says after how many ns and how.
    pub(crate) fn start(&mut self, spawn: &Spawn, rng: &mut Rng) -> Option<(u64, Exit)> {
        let service = spawn.argv.first().is_some_and(|program| program == SERVICE);
        self.running.insert(spawn.token, service);
        if service {
            return None;
        }
        // A power switch does not always do what it is told.
        let fails = Hook::of(&spawn.argv).is_some() && rng.chance(1, 3);
        let output = spawn.argv.join(" ").into_bytes();
        let output_total = output.len() as u64;
        let is_quick = spawn.argv.get(1).is_some_and(|argument| argument.starts_with(QUICK));
        let took_ns = if is_quick { QUICK_NS } else { MS }
            + rng.below(if is_quick { QUICK_NS } else { 20 * MS });
        Some((took_ns, Exit { code: i32::from(fails), output, output_total }))
    }

    /// A signal to a child: if it still runs, it ends.
    pub(crate) fn kill(&mut self, token: u64, signal: i32) -> Option<Exit> {
        self.running.contains_key(&token).then(|| Exit {
            code: 128 + signal,
            output: Vec::new(),
            output_total: 0,
        })
    }

    /// The end of a child reaches its parent; false when it had ended before.
    pub(crate) fn ended(&mut self, token: u64) -> bool {
        self.running.remove(&token).is_some()
    }

    /// A running service, for faults.
    pub(crate) fn service(&self) -> Option<u64> {
        self.running.iter().find(|(_, service)| **service).map(|(token, _)| *token)
    }
}
