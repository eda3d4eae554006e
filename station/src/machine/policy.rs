//! The policy that holds: the operator's rules, and behind them the ones that are always there.

use crate::machine::encoder::Encoder;
use std::collections::BTreeSet;
use syncom_wire::limits::POLICY_MAX;
use syncom_wire::policy::{Action, Policy, PolicyHead, Rule, RuleHead, Step, StepHead};
use syncom_wire::selector::Selector;
use syncom_wire::{Emit as _, Fixed as _, Frame, Frames, Malformed, Parse as _, Reader};

/// What holds before an operator says anything.
const HEAD: PolicyHead = PolicyHead {
    version: 0,
    guard_nodes: 3,
    guard_window_ms: 600_000,
    guard_permille: 100,
    guard_last: 1,
    brake_domains: 2,
    brake_deaths: 2,
    brake_permille: 50,
    thresholds: 0,
    brake_window_ms: 10_000,
    brake_calm_ms: 30_000,
    rules: 0,
    reserved: [0; 10],
};

/// How long a restart may take, in ms.
const RESTART_TIMEOUT_MS: u32 = 10_000;

/// The rules by which the manager decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The question that installed the policy; the same question does not install it again.
    asked_by: u64,
    /// Body of the Policy frame.
    image: Vec<u8>,
    /// Rule frames that stand behind all others.
    built_in: Vec<u8>,
    /// Kinds that a rule names.
    kinds: BTreeSet<String>,
}

impl Default for Rules {
    fn default() -> Self {
        let mut out = Encoder::default();
        out.fixed(&HEAD);
        let image = out.finish();
        Self { asked_by: 0, image, built_in: built_in(), kinds: BTreeSet::new() }
    }
}

impl Rules {
    /// The operator's policy.
    pub(crate) fn policy(&self) -> Policy<'_> {
        let parsed = Policy::parse(&mut Reader::new(&self.image));
        parsed.unwrap_or(Policy { head: HEAD, parts: &[] })
    }

    /// Whether the policy came with that question.
    pub(crate) const fn is_of(&self, question: u64) -> bool {
        self.asked_by == question
    }

    /// Bounds of the guard and the brake.
    pub(crate) fn head(&self) -> PolicyHead {
        PolicyHead::read(&self.image).unwrap_or(HEAD)
    }

    /// All rules in the order in which they are tried.
    pub(crate) fn all(&self) -> impl Iterator<Item = Rule<'_>> {
        let built_in = Frames::new(&self.built_in).filter_map(|frame| match frame {
            Ok(Frame::Rule(rule)) => Some(rule),
            _ => None,
        });
        self.policy().rules().chain(built_in)
    }

    /// Whether a rule of the operator names this kind.
    pub(crate) fn names(&self, kind: &str) -> bool {
        self.kinds.contains(kind)
    }

    /// Lets the policy of that question hold from the entry at `index` on; the same question again
    /// changes nothing.
    pub(crate) fn install(
        &mut self,
        image: &[u8],
        asked_by: u64,
        index: u64,
    ) -> Result<(), Malformed> {
        if asked_by == self.asked_by {
            return Ok(());
        }
        let policy = Policy::parse(&mut Reader::new(image))?;
        self.set(
            &Policy { head: PolicyHead { version: index, ..policy.head }, ..policy },
            asked_by,
        );
        Ok(())
    }

    fn set(&mut self, policy: &Policy<'_>, asked_by: u64) {
        self.kinds = policy.rules().map(|rule| rule.kind.to_owned()).collect();
        let mut out = Encoder::default();
        out.fixed(&policy.head);
        self.image = [out.finish().as_slice(), policy.parts].concat();
        self.asked_by = asked_by;
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.field(self.asked_by);
        out.long(&self.image);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let asked_by = reader.field()?;
        let image = reader.long(POLICY_MAX)?;
        let policy = Policy::parse(&mut Reader::new(image))?;
        let mut rules = Self::default();
        rules.set(&policy, asked_by);
        Ok(rules)
    }
}

/// Services are restarted, deaths announced, everything else noted.
fn built_in() -> Vec<u8> {
    let plain = RuleHead {
        subject_limit: 0,
        subject_window_ms: 0,
        rule_limit: 0,
        rule_window_ms: 0,
        pause_ms: 0,
        severity: 0,
        steps: 1,
        reserved: [0; 10],
    };
    let restarts = RuleHead { subject_limit: 5, subject_window_ms: 60_000, pause_ms: 500, ..plain };
    let mut out = Encoder::default();
    for (head, name, kind, action, text) in [
        (restarts, "restart-service", "service", Action::Restart, ""),
        (plain, "announce-death", "deadPeer", Action::Nothing, "announced; removed from rings"),
        (plain, "note", "*", Action::Nothing, "noted"),
    ] {
        let head_of_step = StepHead {
            action: action as u8,
            retries: 0,
            reserved: 0,
            backoff_ms: 0,
            timeout_ms: RESTART_TIMEOUT_MS,
            spare: 0,
        };
        let mut steps = Encoder::default();
        steps.frame(&Step { head: head_of_step, on: Selector::EMPTY, text, command: &[] });
        let steps = steps.finish();
        out.frame(&Rule { head, name, kind, subject: Selector::ALL, steps: &steps });
    }
    out.finish()
}

/// Checks a policy as an operator sent it, and gives the bytes of its body.
///
/// # Errors
/// [`Malformed`] when it is too large, or two rules have one name.
pub(crate) fn check(policy: &Policy<'_>) -> Result<Vec<u8>, Malformed> {
    if policy.size() > POLICY_MAX {
        return Err(Malformed("policy too large"));
    }
    let mut names = BTreeSet::new();
    if !policy.rules().all(|rule| names.insert(rule.name)) {
        return Err(Malformed("two rules with one name"));
    }
    let mut out = Encoder::default();
    out.fixed(&policy.head);
    Ok([out.finish().as_slice(), policy.parts].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_that_are_always_there_are_sound_and_come_last() {
        let rules = Rules::default();
        let names: Vec<&str> = rules.all().map(|rule| rule.name).collect();
        assert_eq!(names, ["restart-service", "announce-death", "note"]);
        assert_eq!(rules.policy().head, HEAD);
    }

    #[test]
    fn a_policy_survives_the_snapshot_and_installs_once() {
        let mut rules = Rules::default();
        let default = Rules::default();
        let step = default.all().last().unwrap().steps().next().unwrap();
        let mut steps = Encoder::default();
        steps.frame(&step);
        let steps = steps.finish();
        let head = default.all().last().unwrap().head;
        let mut parts = Encoder::default();
        let subject = Selector::ALL;
        parts.frame(&Rule { head, name: "mine", kind: "disk", subject, steps: &steps });
        let parts = parts.finish();
        let policy = Policy { head: PolicyHead { rules: 1, ..HEAD }, parts: &parts };
        let image = check(&policy).unwrap();
        rules.install(&image, 7, 42).unwrap();
        rules.install(&image, 7, 43).unwrap();
        assert_eq!((rules.head().version, rules.names("disk")), (42, true));
        let mut out = Encoder::default();
        rules.encode(&mut out);
        assert_eq!(Rules::decode(&mut Reader::new(&out.finish())), Ok(rules.clone()));
        assert!(rules.install(&image[..image.len() - 1], 8, 44).is_err());
        assert_eq!(rules.head().version, 42, "what is refused changes nothing");
        let twice = [parts.as_slice(), &parts].concat();
        let policy = Policy { head: PolicyHead { rules: 2, ..HEAD }, parts: &twice };
        assert_eq!(check(&policy), Err(Malformed("two rules with one name")));
    }

    #[test]
    fn a_policy_of_absurd_size_is_refused() {
        let parts = vec![0; POLICY_MAX];
        assert_eq!(
            check(&Policy { head: HEAD, parts: &parts }),
            Err(Malformed("policy too large"))
        );
        let head = PolicyHead { rules: u16::MAX, ..HEAD };
        let mut out = Encoder::default();
        out.fixed(&head);
        assert!(Rules::default().install(&out.finish(), 1, 1).is_err());
    }
}
