//! What can be read: one page per verb.

use super::RETRY_MS;
use super::pages::{Page, item};
use crate::machine::events::Event;
use crate::machine::orders::split_cursor;
use crate::station::Station;
use std::collections::BTreeMap;
use syncom_group::{Candidate, Entry, Rendezvous};
use syncom_seam::Now;
use syncom_wire::bytes::List;
use syncom_wire::control::{
    Ask, Line, NodeDetail, NodeDetailHead, OrderState, ReplicaEntry, Reply, SatelliteEntry, Status,
    StatusHead,
};
use syncom_wire::event::SlotItem;
use syncom_wire::{FrameHeader, OrderId, PeerId, Slot};

/// Replica state: leads.
const LEADS: u8 = 1;
/// Replica state: follows.
const FOLLOWS: u8 = 2;
/// Replica state: not heard from.
const SILENT: u8 = 3;

impl Station {
    pub(super) fn status_page(&self, now: Now) -> Page {
        let membership = &self.machine.membership;
        let counts = membership.members().counts();
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let head = StatusHead {
            view: membership.members().view(),
            term: self.node.term(),
            leader: self.node.leader(),
            manager: self.machine.manager.1,
            alive: number(counts.alive),
            gray: number(counts.gray),
            dead: number(counts.dead),
            left: number(counts.left),
            reports_per_s: self.satellites.reports_per_s(),
            queue_len: number(self.machine.events.queue_len()),
            events: self.machine.events.last(),
            orders_open: number(self.machine.orders.open().count()),
            sealed: u8::from(self.config.sealed),
            reserved: [0; 3],
            false_deaths: membership.false_deaths(),
            wall_ns: now.wall.0,
        };
        let replicas = self.replica_entries();
        let satellites = self.satellite_entries();
        let mut page = Page::done();
        let (replicas, satellites) = (List::new(&replicas), List::new(&satellites));
        page.push(&Status { head, replicas, satellites });
        page
    }

    fn replica_entries(&self) -> Vec<ReplicaEntry> {
        let leader = self.node.leader();
        let entry = |(peer, addr): &(PeerId, _)| {
            let id = u64::from(peer.number());
            let progress = self.node.progress(id);
            let mine = *peer == self.config.peer();
            let number = u16::try_from(peer.number()).unwrap_or(0);
            let state = match progress {
                _ if *peer == leader => LEADS,
                _ if self.machine.replicas.is_down(number) && !mine => SILENT,
                Some((_, false)) => SILENT,
                None if self.node.is_leader() && !mine => SILENT,
                _ => FOLLOWS,
            };
            let matched = progress.map_or(0, |(matched, _)| matched);
            let applied = if mine { self.machine.applied } else { matched };
            let part = u8::from(!self.machine.replicas.conf.votes(id));
            ReplicaEntry { peer: *peer, state, part, addr: *addr, applied }
        };
        self.replica_addrs().iter().map(entry).collect()
    }

    fn satellite_entries(&self) -> Vec<SatelliteEntry> {
        let members = self.machine.membership.members();
        let homes = self.homes();
        let mut nodes: BTreeMap<PeerId, u32> = BTreeMap::new();
        for first in members.present().filter_map(|entry| homes.homes(entry.slot()).first()) {
            *nodes.entry(first).or_default() += 1;
        }
        let entry = |entry: &Entry| SatelliteEntry {
            peer: entry.head.peer,
            pid: entry.head.pid,
            nodes: nodes.get(&entry.head.peer).copied().unwrap_or(0),
            state: entry.head.state,
            reserved: 0,
            addr: entry.head.addr,
        };
        members.satellites().map(entry).collect()
    }

    fn homes(&self) -> Rendezvous {
        let mut homes = Rendezvous::new();
        let serving = self.machine.membership.members().satellites_serving();
        homes.set(serving.map(|entry| Candidate {
            peer: entry.head.peer,
            weight: entry.head.weight,
            leaving: false,
        }));
        homes
    }

    pub(super) fn nodes_page(&self, cursor: u64) -> Page {
        let homes = self.homes();
        let members = self.machine.membership.members();
        let from = members.agents().filter(|entry| u64::from(entry.slot().0) >= cursor);
        Page::fill(from.map(|entry| {
            let slot = entry.slot();
            let frames = item(|out| {
                out.frame(&entry.as_member());
                let observers = self.machine.membership.rings().observers(slot);
                let observers: Vec<SlotItem> =
                    observers.iter().map(|slot| SlotItem { slot: *slot }).collect();
                let home = homes.homes(slot).first().unwrap_or(PeerId::ANY);
                let head = self.node_detail(entry, slot, home);
                out.frame(&NodeDetail { head, observers: List::new(&observers) });
            });
            (u64::from(slot.0), frames)
        }))
    }

    fn node_detail(&self, entry: &Entry, slot: Slot, home: PeerId) -> NodeDetailHead {
        let machine = &self.machine;
        let now_ns = machine.clock.at(machine.clock.wall_ns());
        let mut drained = 0;
        if machine.recovery.is_drained(slot) {
            drained |= NodeDetailHead::DRAINED;
        }
        if machine.recovery.flaps.is_damped(slot, now_ns) {
            drained |= NodeDetailHead::DAMPED;
        }
        let stat = self.satellites.stat(slot).map(|(_, stat)| stat);
        NodeDetailHead {
            slot,
            incarnation: entry.head.incarnation,
            rtt_us: stat.map_or(0, |stat| stat.rtt_us),
            interval_us: stat.map_or(0, |stat| stat.interval_us),
            services_up: stat.map_or(0, |stat| stat.services_up),
            services_down: stat.map_or(0, |stat| stat.services_down),
            home,
            drained,
            reserved: [0; 7],
        }
    }

    pub(super) fn events_page(&self, cursor: u64) -> Page {
        let events = self.machine.events.since(cursor);
        Page::fill(events.map(|event| (event.head.seq, item(|out| out.frame(&event.as_frame())))))
    }

    pub(super) fn explain_page(&self, ask: &Ask<'_>) -> Page {
        let event: Option<&Event> = match core::str::from_utf8(ask.argument) {
            Ok(name) if !name.is_empty() => self.machine.events.newest_about(name),
            _ => self.machine.events.get(ask.head.cursor),
        };
        let Some(event) = event else { return Page::status(Reply::NOT_FOUND, 0) };
        let mut page = Page::done();
        page.push(&event.as_frame());
        if let Some(grounds) = &event.grounds {
            page.push(&grounds.as_frame());
        }
        for decision in self.machine.decisions.about(event.head.seq) {
            let one = item(|out| out.frame(&decision.as_frame()));
            if page.body.len() + one.len() > Reply::BODY_MAX {
                break;
            }
            page.body.extend(one);
            // How its order went, while that is known.
            let order = self.machine.orders.get(decision.head.order);
            let state = order.map(|entry| self.order_state(entry.order.id, entry.state));
            state.iter().for_each(|state| page.push(state));
        }
        page
    }

    pub(super) fn decisions_page(&self, cursor: u64) -> Page {
        let decisions = self.machine.decisions.since(cursor);
        let frames = |out: &mut _, decision: &crate::machine::decisions::DecisionEntry| {
            crate::machine::encoder::Encoder::frame(out, &decision.as_frame());
        };
        Page::fill(decisions.map(|one| (one.head.seq, item(|out| frames(out, one)))))
    }

    pub(super) fn graph_page(&self, cursor: u64) -> Page {
        let skip = usize::try_from(cursor).unwrap_or(usize::MAX);
        let lines = (cursor..).zip(self.machine.graph.lines().skip(skip));
        Page::fill(lines.map(|(at, text)| (at, item(|out| out.frame(&Line { text: &text })))))
    }

    /// The state of an order and, once it has ended, its outcomes; see [`split_cursor`].
    pub(super) fn order_page(&self, cursor: u64) -> Page {
        let (id, first) = split_cursor(cursor);
        let Some(entry) = self.machine.orders.get(id) else {
            return Page::status(Reply::NOT_FOUND, 0);
        };
        let mut page = Page::done();
        page.push(&self.order_state(id, entry.state));
        if entry.is_open() {
            page.retry_ms = RETRY_MS / 4;
            return page;
        }
        let mut rest = entry.outcomes.as_slice();
        let mut number = 0;
        while let Ok((_, body)) = FrameHeader::split(rest) {
            let (frame, behind) = rest.split_at(FrameHeader::SIZE + body.len());
            if number >= first && !page.offer(id.0 | number, frame, Reply::BODY_MAX) {
                break;
            }
            number += 1;
            rest = behind;
        }
        page
    }

    /// An open order's progress is the leader's to know.
    pub(crate) fn order_state(&self, id: OrderId, state: OrderState) -> OrderState {
        let Some(job) = self.dispatch.job(id) else { return state };
        let answered = job.done.saturating_add(job.failed);
        OrderState {
            done: job.done,
            failed: job.failed,
            missing: state.destinations.saturating_sub(answered),
            state: OrderState::UNDER_WAY,
            first_us: job.first_us,
            last_us: job.last_us,
            ..state
        }
    }
}
