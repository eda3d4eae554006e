//! Policies and selectors as they come over the wire, and as operators type them.

use syncom_wire::policy::Policy;
use syncom_wire::selector::{Facts, Selector};
use syncom_wire::{Emit as _, Parse as _, Reader, limits};

/// A policy's body: bounded when it is accepted, and asked about anything. Text instead, behind a
/// byte that is even: compiled or refused with a line.
pub fn policy(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    if first & 1 == 0 {
        return text(rest);
    }
    let Ok(policy) = Policy::parse(&mut Reader::new(rest)) else { return };
    assert_eq!(policy.size(), rest.len());
    assert!(policy.rules().count() <= limits::RULES_MAX);
    assert_eq!(policy.thresholds().count(), usize::from(policy.head.thresholds));
    for rule in policy.rules() {
        ask(rule.subject, rule.name);
        let steps = rule.steps().count();
        assert!((1..=limits::STEPS_MAX).contains(&steps));
        rule.steps().for_each(|step| ask(step.on, step.text));
    }
    let _ = syncom::policy::render(&policy);
}

fn ask(selector: Selector<'_>, name: &str) {
    assert!(selector.terms().count() <= limits::TERMS_MAX);
    let facts = Facts { name, domain: name, ..Facts::default() };
    let _ = selector.holds(&facts);
    assert_eq!(Selector::parse(selector.as_bytes()), Ok(selector));
}

fn text(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match syncom::policy::compile(text) {
        Err(why) => assert!(why.starts_with("line "), "{why}"),
        Ok(bytes) => assert!(bytes.len() <= limits::POLICY_MAX),
    }
}
