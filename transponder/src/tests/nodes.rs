//! What nodes say to the satellite.

use super::fixture::{LIFE, Rig, bytes_of, node_addr};
use super::seen::report_head;
use std::vec::Vec;
use syncom_seam::{MS, US};
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::probe::ProbeAnswer;
use syncom_wire::report::{EventKind, Report, ReportHead};
use syncom_wire::{Addr, Frame, FrameHeader, Incarnation, PeerId, Slot, Subject};

impl Rig {
    /// The node in `slot` sends its home a heartbeat under a neighbour epoch.
    pub(crate) fn beat(&mut self, slot: u32, incarnation: Incarnation, neighbours: u64) {
        self.beats += 1;
        let beat = Heartbeat {
            slot: Slot(slot),
            incarnation,
            seq: self.beats,
            interval_us: 1_000_000,
            progress: 0,
            sent_ns: 77,
            neighbours,
            rtt_us: self.rtt_us,
            services_up: 0,
            services_down: 0,
            plane: Heartbeat::HOME,
            health: 0,
            flags: 0,
            load: 0,
            peers_interval_us: 0,
        };
        self.hear_node(slot, &beat);
    }

    /// The node in `reporter` misses `subject`, last heard `ago_ms` ago.
    pub(crate) fn accuse(&mut self, reporter: u32, subject: u32, ago_ms: u64) {
        self.accuse_as(reporter, subject, ago_ms, 1, 0, 0);
    }

    pub(crate) fn accuse_as(
        &mut self,
        reporter: u32,
        subject: u32,
        ago_ms: u64,
        seq: u64,
        flags: u16,
        health: u8,
    ) {
        let head = self.silence(reporter, subject, ago_ms, seq, flags, health);
        self.hear_node(reporter, &Report { head, subject: "", kind: "", detail: "" });
    }

    /// What an observer says of its subject.
    pub(super) fn silence(
        &self,
        reporter: u32,
        subject: u32,
        ago_ms: u64,
        seq: u64,
        flags: u16,
        health: u8,
    ) -> ReportHead {
        ReportHead {
            incarnation: LIFE,
            heard_ago_us: u32::try_from(ago_ms * MS / US).unwrap(),
            domain: 0,
            flags,
            health,
            ..report_head(reporter, seq, EventKind::SILENT, Subject::node(Slot(subject)))
        }
    }

    pub(super) fn answer_probe(&mut self, to: Addr, bytes: &[u8]) {
        let (header, body) = FrameHeader::split(bytes).unwrap();
        let Ok(Frame::Probe(probe)) = Frame::parse(header, body) else { return };
        if to != node_addr(probe.slot.0) {
            return self.answer_as_observer(to, probe.slot.0);
        }
        if !self.alive.contains(&probe.slot.0) || self.mute.contains(&probe.slot.0) {
            return;
        }
        let answer = ProbeAnswer {
            nonce: probe.nonce,
            slot: probe.slot,
            incarnation: probe.incarnation,
            uptime_ns: 0,
            health: 0,
            reserved: [0; 7],
        };
        let slot = probe.slot.0;
        self.hear_bytes(PeerId::agent(probe.slot), node_addr(slot), &bytes_of(&answer));
    }

    /// An observer that does not accuse is asked: it hears the living, and has last heard the dead
    /// when all others did.
    fn answer_as_observer(&mut self, observer: Addr, subject: u32) {
        let [.., a, b, c] = observer.ip;
        let observer = u32::from_be_bytes([0, a, b, c]);
        if !self.alive.contains(&observer) {
            return;
        }
        let ago_ms = self.silent_ms(observer, subject);
        let head = self.silence(observer, subject, ago_ms, 0, Report::RETRACT | Report::ASKED, 0);
        let report = Report { head, subject: "", kind: "", detail: "" };
        self.hear_bytes(PeerId::agent(Slot(observer)), node_addr(observer), &bytes_of(&report));
    }

    /// The observers of a node, as everybody computes them.
    pub(crate) fn observers(&self, slot: u32) -> Vec<u32> {
        self.satellite.world.observers(Slot(slot)).iter().map(|slot| slot.0).collect()
    }

    /// All observers of a node but the dead accuse it.
    pub(crate) fn accuse_by_all(&mut self, subject: u32, ago_ms: u64) {
        for observer in self.observers(subject) {
            if self.alive.contains(&observer) {
                self.accuse(observer, subject, ago_ms);
            }
        }
    }
}
