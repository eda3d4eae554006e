//! Questions of clients, answers, and what answers hold.

use super::{Source, encoded, show};
use syncom_wire::case::Case;
use syncom_wire::control::{
    Ask, AskHead, Line, NodeDetail, NodeDetailHead, OrderState, ReplicaEntry, Reply, ReplyHead,
    SatelliteEntry, Status, StatusHead,
};
use syncom_wire::event::{Decision, EventEntry, EventHead, Evidence, EvidenceHead};
use syncom_wire::limits::{DETAIL_MAX, KIND_MAX, NAME_MAX};
use syncom_wire::watch::Watch;
use syncom_wire::{Frame, Kind, List};

pub(crate) fn visit(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    questions(s, visit);
    states(s, visit);
    events(s, visit);
}

fn questions(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    let mut head: AskHead = s.fixed();
    head.verb = 1 + head.verb % 9;
    head.freshness %= 3;
    head.reserved = [0; 5];
    let argument = s.payload();
    show!(s, visit, Ask, Ask { head, argument: &argument });

    let text = s.text(DETAIL_MAX);
    let line = Line { text: &text };
    show!(s, visit, Line, line);

    let mut head: ReplyHead = s.fixed();
    head.status %= 6;
    head.more %= 2;
    let body = encoded(&line);
    show!(s, visit, Reply, Reply { head, body: &body });
}

fn states(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    let mut head: StatusHead = s.fixed();
    head.sealed %= 2;
    head.reserved = [0; 3];
    let (mut replicas, mut satellites): (Vec<ReplicaEntry>, Vec<SatelliteEntry>) =
        (s.list(), s.list());
    for replica in &mut replicas {
        replica.state = 1 + replica.state % 3;
        replica.part %= 2;
    }
    for satellite in &mut satellites {
        satellite.state = 1 + satellite.state % 4;
        satellite.reserved = 0;
    }
    let (replicas, satellites) = (List::new(&replicas), List::new(&satellites));
    show!(s, visit, Status, Status { head, replicas, satellites });

    let mut state: OrderState = s.fixed();
    state.state = 1 + state.state % 4;
    state.reserved = [0; 7];
    show!(s, visit, OrderState, state);

    let (mut head, observers): (NodeDetailHead, _) = (s.fixed(), s.list());
    head.drained %= 2;
    head.reserved = [0; 7];
    show!(s, visit, NodeDetail, NodeDetail { head, observers: List::new(&observers) });

    let mut watch: Watch = s.fixed();
    (watch.claim, watch.health) = (watch.claim % 4, watch.health % 8);
    show!(s, visit, Watch, watch);

    let mut case: Case = s.fixed();
    (case.refusal, case.sign) = (case.refusal % 13, case.sign % 5);
    show!(s, visit, Case, case);
}

fn events(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    let mut head: EventHead = s.fixed();
    head.severity %= 4;
    head.settled %= 2;
    head.reserved = [0; 6];
    let (subject, kind, detail) = (s.text(NAME_MAX), s.text(KIND_MAX), s.text(DETAIL_MAX));
    show!(s, visit, Event, EventEntry { head, subject: &subject, kind: &kind, detail: &detail });

    let mut head: EvidenceHead = s.fixed();
    head.health_max %= 8;
    head.reserved = [0; 5];
    let observers = s.list();
    show!(s, visit, Evidence, Evidence { head, observers: List::new(&observers) });

    let (head, rule, action) = (s.fixed(), s.text(NAME_MAX), s.text(DETAIL_MAX));
    show!(s, visit, Decision, Decision { head, rule: &rule, action: &action });
}
