//! Heartbeats, probes, reports, joining, rosters and neighbours.

use super::{Source, show};
use syncom_wire::announced::Announced;
use syncom_wire::beat::Beat;
use syncom_wire::cp::CpVersion;
use syncom_wire::heartbeat::{Heartbeat, HomeAnswer};
use syncom_wire::ids::{Boot, Incarnation, Uuid};
use syncom_wire::join::{Join, JoinHead, JoinRefused, Leave, Welcome};
use syncom_wire::limits::{DETAIL_MAX, DOMAIN_MAX, KIND_MAX, NAME_MAX};
use syncom_wire::neighbours::Neighbours;
use syncom_wire::opinion::Opinion;
use syncom_wire::probe::{Probe, ProbeAnswer};
use syncom_wire::report::{AckItem, Report, ReportAck, ReportHead};
use syncom_wire::roster::{Roster, RosterAsk, RosterEntry, RosterHead};
use syncom_wire::{Frame, Kind, List};

pub(crate) fn visit(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    signs_of_life(s, visit);
    reports(s, visit);
    joining(s, visit);
    rosters(s, visit);
}

fn signs_of_life(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    let mut heartbeat: Heartbeat = s.fixed();
    heartbeat.plane %= 3;
    heartbeat.health %= 8;
    heartbeat.interval_us = 1_000 + heartbeat.interval_us % 59_000_000;
    heartbeat.peers_interval_us = 1_000 + heartbeat.peers_interval_us % 59_000_000;
    show!(s, visit, Heartbeat, heartbeat);

    let mut beat: Beat = s.fixed();
    beat.interval_us = 1_000 + beat.interval_us % 59_000_000;
    show!(s, visit, Beat, beat);

    let mut answer: HomeAnswer = s.fixed();
    answer.reserved = 0;
    show!(s, visit, HomeAnswer, answer);

    let mut probe: Probe = s.fixed();
    probe.reserved = 0;
    show!(s, visit, Probe, probe);

    let mut answer: ProbeAnswer = s.fixed();
    answer.health %= 8;
    answer.reserved = [0; 7];
    show!(s, visit, ProbeAnswer, answer);

    let mut opinion: Opinion = s.fixed();
    opinion.rounds %= 3;
    opinion.reserved = 0;
    show!(s, visit, Opinion, opinion);

    let mut version: CpVersion = s.fixed();
    version.state = 1 + version.state % 3;
    version.reserved = [0; 3];
    show!(s, visit, CpVersion, version);
}

fn reports(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    let mut head: ReportHead = s.fixed();
    head.id.slot.0 &= 0x7FFF_FFFF;
    head.health %= 8;
    head.severity %= 4;
    head.reserved = 0;
    let (subject, kind, detail) = (s.text(NAME_MAX), s.text(KIND_MAX), s.text(DETAIL_MAX));
    show!(s, visit, Report, Report { head, subject: &subject, kind: &kind, detail: &detail });

    let incarnation = Incarnation(u32::from(s.byte()));
    let mut items: Vec<AckItem> = s.list();
    items.iter_mut().for_each(|item| item.reserved = [0; 7]);
    show!(s, visit, ReportAck, ReportAck { incarnation, items: List::new(&items) });
}

fn joining(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    let mut head: JoinHead = s.fixed();
    head.role = 1 + head.role % 2;
    head.reserved = 0;
    head.spare = 0;
    let (name, domain) = (s.text(NAME_MAX), s.text(DOMAIN_MAX));
    let mut services = Vec::new();
    for _ in 0..(1 + s.byte() % 3) % 3 {
        let service = s.text(NAME_MAX);
        services.extend(u16::try_from(service.len() + 1).unwrap().to_le_bytes());
        services.extend(service.bytes().chain([0]));
    }
    let services = Announced::parse(&services).unwrap_or_default();
    show!(s, visit, Join, Join { head, name: &name, domain: &domain, services });

    let mut welcome: Welcome = s.fixed();
    welcome.reserved = 0;
    show!(s, visit, Welcome, welcome);

    let mut uuid = Uuid::default();
    uuid.0.copy_from_slice(&s.take(16));
    let boot = Boot(u64::from(s.byte()));
    let reason = s.text(DETAIL_MAX);
    show!(s, visit, JoinRefused, JoinRefused { uuid, boot, reason: &reason });

    let leave: Leave = s.fixed();
    show!(s, visit, Leave, leave);
}

fn rosters(s: &mut Source, visit: &mut dyn FnMut(Kind, Vec<u8>, Frame<'_>)) {
    let mut ask: RosterAsk = s.fixed();
    ask.reserved = 0;
    show!(s, visit, RosterAsk, ask);

    let mut head: RosterHead = s.fixed();
    let mut entries: Vec<RosterEntry> = s.list();
    for entry in &mut entries {
        entry.state = 1 + entry.state % 2;
        entry.reserved = 0;
    }
    head.first %= 16;
    head.total = 16 + u16::try_from(entries.len()).unwrap();
    show!(s, visit, Roster, Roster { head, entries: List::new(&entries) });

    let head = s.fixed();
    let (observers, subjects) = (s.list(), s.list());
    let (observers, subjects) = (List::new(&observers), List::new(&subjects));
    show!(s, visit, Neighbours, Neighbours { head, observers, subjects });
}
