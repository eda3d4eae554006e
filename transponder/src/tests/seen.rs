//! What a test saw: what the station got, and what went to nodes.

use super::fixture::{LIFE, Rig, node_addr};
use std::collections::BTreeSet;
use std::string::String;
use std::vec::Vec;
use syncom_seam::Counter;
use syncom_wire::report::{EventKind, ReportHead, ReportId};
use syncom_wire::uplink::RecordHead;
use syncom_wire::{Addr, Frame, FrameHeader, Frames, Incarnation, Slot, Subject};

/// A batch as the station got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) replica: u16,
    pub(crate) seq: u64,
    pub(crate) items: Vec<u8>,
}

impl Got {
    /// The records in it.
    pub(crate) fn records(&self) -> Vec<RecordHead> {
        Frames::new(&self.items)
            .filter_map(|frame| match frame.unwrap() {
                Frame::Record(record) => Some(record.head),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn count(&self) -> usize {
        Frames::new(&self.items).count()
    }
}

impl Rig {
    /// Forgets what was seen so far.
    pub(crate) fn forget(&mut self) {
        self.batches.clear();
        self.messages.clear();
        self.sent.clear();
        self.out.counts.clear();
    }

    /// Records of one kind that the station got, each batch once.
    pub(crate) fn records(&self, kind: EventKind) -> Vec<RecordHead> {
        let mut seen = BTreeSet::new();
        let once = self.batches.iter().filter(|got| seen.insert(got.seq));
        once.flat_map(Got::records).filter(|record| record.kind == kind).collect()
    }

    /// Details of the records of one kind that the station got.
    pub(crate) fn details(&self, kind: EventKind) -> Vec<String> {
        let frames = self.batches.iter().flat_map(|got| Frames::new(&got.items));
        let details = frames.filter_map(|frame| match frame.unwrap() {
            Frame::Record(record) if record.head.kind == kind => Some(record.detail.into()),
            _ => None,
        });
        details.collect()
    }

    pub(crate) fn count(&self, counter: Counter) -> u64 {
        self.out.counter(counter)
    }

    /// Calls `see` for every frame that went to a node.
    pub(crate) fn for_sent(&self, mut see: impl FnMut(Addr, Frame<'_>)) {
        for (to, bytes) in &self.sent {
            let (header, body) = FrameHeader::split(bytes).unwrap();
            see(*to, Frame::parse(header, body).unwrap());
        }
    }

    /// Frames that went to nodes, as text, when `pick` accepts them.
    pub(crate) fn sent_where(&self, pick: impl Fn(&Frame<'_>) -> bool) -> Vec<(Addr, String)> {
        let mut found = Vec::new();
        self.for_sent(|to, frame| {
            if pick(&frame) {
                found.push((to, std::format!("{frame:?}")));
            }
        });
        found
    }

    /// Levels and events of acknowledgements that went to the node in `slot`.
    pub(crate) fn acks_to(&self, slot: u32) -> Vec<(u64, u8, u64)> {
        let mut found = Vec::new();
        self.for_sent(|to, frame| {
            if let Frame::ReportAck(ack) = frame
                && to == node_addr(slot)
            {
                found.extend(ack.items.iter().map(|item| (item.seq, item.level, item.event)));
            }
        });
        found
    }
}

pub(crate) fn report_head(
    reporter: u32,
    seq: u64,
    kind: EventKind,
    subject: Subject,
) -> ReportHead {
    ReportHead {
        id: ReportId { slot: Slot(reporter), incarnation: LIFE, seq },
        subject,
        incarnation: Incarnation(0),
        kind,
        heard_ago_us: 0,
        domain: 0,
        flags: 0,
        neighbours: 0,
        health: 0,
        severity: 2,
        reserved: 0,
        count: 1,
    }
}
