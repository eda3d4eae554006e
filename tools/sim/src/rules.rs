//! The policy of scenario `rules`, and what its fence script is told.

use crate::client::pack;
use syncom_seam::SECOND;
use syncom_wire::bytes::Writer;
use syncom_wire::policy::{Action, Policy, PolicyHead, Rule, RuleHead, Step, StepHead};
use syncom_wire::selector::{Holds, Operator, Selector, Term};

/// Name of the rule that fences dead nodes and moves what ran there.
pub(crate) const POWER: &str = "power";
/// Nodes that may be fenced in one run: the guard's window is longer than any.
pub(crate) const FENCED_MAX: usize = 3;
/// Deaths within ten seconds beyond which a storm rises, in racks of nodes as small as these.
pub(crate) const STORM_DEATHS: u32 = 5;
/// How long nobody may die before a storm is over, in ns.
pub(crate) const CALM_NS: u64 = 5 * SECOND;

/// What a fence script was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    pub(crate) event: u64,
    pub(crate) attempt: u32,
    pub(crate) node: String,
    pub(crate) order: String,
}

impl Hook {
    /// What a command was told, when it is the fence script of a rule.
    pub(crate) fn of(argv: &[String]) -> Option<Self> {
        let (program, rest) = argv.split_first()?;
        if program != "env" || rest.last()? != "fence" {
            return None;
        }
        let told = |name: &str| {
            let told = |word: &String| word.strip_prefix(name)?.strip_prefix('=').map(String::from);
            rest.iter().find_map(told)
        };
        Some(Self {
            event: told("SYNCOM_EVENT")?.parse().ok()?,
            attempt: told("SYNCOM_ATTEMPT")?.parse().ok()?,
            node: told("SYNCOM_NODE")?,
            order: told("SYNCOM_ORDER")?,
        })
    }
}

/// Fences whoever is dead, with two retries, then moves what ran there.
pub(crate) fn policy() -> Vec<u8> {
    let all = selector();
    let Ok(all) = Selector::parse(&all) else { return Vec::new() };
    let step = |action: Action, retries: u8, command: &'static [u8]| {
        let head = StepHead {
            action: action as u8,
            retries,
            reserved: 0,
            backoff_ms: 300,
            timeout_ms: 2_000,
            spare: 0,
        };
        pack(&Step { head, on: all, text: "", command })
    };
    let steps = [step(Action::Fence, 2, b"fence\0"), step(Action::Move, 2, b"")].concat();
    let head = RuleHead {
        subject_limit: 0,
        subject_window_ms: 0,
        rule_limit: 0,
        rule_window_ms: 0,
        pause_ms: 0,
        severity: 0,
        steps: 2,
        reserved: [0; 10],
    };
    let rule = Rule { head, name: POWER, kind: "deadPeer", subject: all, steps: &steps };
    let head = PolicyHead {
        version: 0,
        guard_nodes: u32::try_from(FENCED_MAX).unwrap_or(u32::MAX),
        guard_window_ms: 3_600_000,
        guard_permille: 1_000,
        guard_last: 1,
        brake_domains: 0,
        brake_deaths: STORM_DEATHS,
        brake_permille: 0,
        thresholds: 0,
        brake_window_ms: 10_000,
        brake_calm_ms: u32::try_from(CALM_NS / 1_000_000).unwrap_or(u32::MAX),
        rules: 1,
        reserved: [0; 10],
    };
    pack(&Policy { head, parts: &pack(&rule) })
}

/// Everybody.
fn selector() -> Vec<u8> {
    let mut out = [0; 16];
    let mut writer = Writer::new(&mut out);
    let written = Term { operator: Operator::Union, holds: Holds::Names, text: "*" }
        .emit(&mut writer)
        .map(|()| writer.written());
    out[..written.unwrap_or(0)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_of_a_rule_is_known_by_what_it_is_told() {
        let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        let told = "env SYNCOM_ATTEMPT=2 SYNCOM_EVENT=7 SYNCOM_NODE=node3 SYNCOM_ORDER=ab fence";
        let hook = Hook { event: 7, attempt: 2, node: "node3".into(), order: "ab".into() };
        assert_eq!(Hook::of(&words(told)), Some(hook));
        assert_eq!(Hook::of(&words("run order-1")), None);
        assert_eq!(Hook::of(&words("env SYNCOM_EVENT=7 fence")), None, "half of it");
    }

    #[test]
    fn the_policy_is_sound() {
        use syncom_wire::{Frame, Frames};
        let bytes = policy();
        let Some(Ok(Frame::Policy(policy))) = Frames::new(&bytes).next() else { panic!("none") };
        assert_eq!(policy.rules().count(), 1);
    }
}
