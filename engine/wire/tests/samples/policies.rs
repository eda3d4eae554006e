//! Policies, and what they are made of.

use super::{Source, encoded, show};
use syncom_wire::bytes::Writer;
use syncom_wire::limits::{DETAIL_MAX, GUARD_NODES_MAX, KIND_MAX, NAME_MAX};
use syncom_wire::policy::{
    Drain, Policy, PolicyHead, Rule, RuleHead, Step, StepHead, Threshold, ThresholdHead,
};
use syncom_wire::selector::{Holds, Operator, Selector, Term};
use syncom_wire::{Frame, Kind, idset::IdSet};

pub(crate) fn visit(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    let mut head: StepHead = s.fixed();
    head.action = if head.action.is_multiple_of(2) { 3 } else { 6 };
    (head.reserved, head.spare, head.timeout_ms) = (0, 0, head.timeout_ms.max(1));
    let (on, text) = (selector(s), s.text(NAME_MAX));
    let on = Selector::parse(&on).unwrap();
    let command = [b"n", s.payload().as_slice(), b"\0"].concat();
    let step = Step { head, on, text: &text, command: &command };
    show!(s, visit, Step, step);

    let mut head: RuleHead = s.fixed();
    (head.severity, head.steps, head.reserved) = (head.severity % 4, 1, [0; 10]);
    let (name, kind, subject) = (s.text(NAME_MAX), s.text(KIND_MAX), selector(s));
    let subject = Selector::parse(&subject).unwrap();
    let steps = encoded(&step);
    let rule = Rule { head, name: &name, kind: &kind, subject, steps: &steps };
    show!(s, visit, Rule, rule);

    let mut head: ThresholdHead = s.fixed();
    (head.min_distinct, head.max_rate) = (head.min_distinct.max(1), head.max_rate.max(1));
    (head.min_permille, head.reserved) = (head.min_permille % 1_001, [0; 8]);
    let kind = s.text(KIND_MAX);
    let threshold = Threshold { head, kind: &kind };
    show!(s, visit, Threshold, threshold);

    let mut head: PolicyHead = s.fixed();
    head.guard_nodes %= GUARD_NODES_MAX + 1;
    (head.guard_permille, head.brake_permille) =
        (head.guard_permille % 1_001, head.brake_permille % 1_001);
    (head.guard_last, head.thresholds, head.rules, head.reserved) =
        (head.guard_last % 2, 1, 1, [0; 10]);
    let parts = [encoded(&threshold), encoded(&rule)].concat();
    show!(s, visit, Policy, Policy { head, parts: &parts });

    let (drained, nodes, reason) = (s.byte() % 2, s.idset(), s.text(DETAIL_MAX));
    let nodes = IdSet::parse(&nodes).unwrap();
    show!(s, visit, Drain, Drain { drained, nodes, reason: &reason });
}

/// One term of each kind.
fn selector(s: &mut Source) -> Vec<u8> {
    let mut image = [0; 512];
    let mut writer = Writer::new(&mut image);
    let operators =
        [Operator::Union, Operator::Difference, Operator::Intersection, Operator::Either];
    for (holds, text) in [
        (Holds::Names, "node[001-064/2]*"),
        (Holds::All, ""),
        (Holds::State, "dead"),
        (Holds::Domain, "rack?"),
        (Holds::Drained, ""),
        (Holds::Subject, ""),
    ] {
        let operator = operators[usize::from(s.byte() % 4)];
        Term { operator, holds, text }.emit(&mut writer).unwrap();
    }
    let len = writer.written();
    image[..len].to_vec()
}
