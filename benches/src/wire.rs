//! Frames: written into a buffer, read from it.

use crate::measure::{Bench, Scale, measure};
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::report::{EventKind, Report, ReportHead};
use syncom_wire::{Fixed as _, Frame, Frames, frame};

const OPERATIONS: u64 = 1_000_000;

pub(crate) fn run(scale: Scale, benches: &mut Vec<Bench>) {
    let mut buffer = [0; 512];
    let (Some(mut beat), Some(mut head)) =
        (Heartbeat::read(&[0; Heartbeat::SIZE]), ReportHead::read(&[0; ReportHead::SIZE]))
    else {
        return;
    };
    beat.interval_us = 200_000;
    benches.push(measure("emit heartbeat", scale, OPERATIONS, |number| {
        beat.seq = number;
        emitted(frame::emit(&beat, &mut buffer), &buffer)
    }));
    benches.push(measure("parse heartbeat", scale, OPERATIONS, |number| {
        // The sequence number lies behind the frame's header, the slot and the incarnation.
        buffer[16..24].copy_from_slice(&number.to_le_bytes());
        parsed(&buffer[..8 + Heartbeat::SIZE])
    }));
    head.kind = EventKind::SILENT;
    let mut len = 0;
    benches.push(measure("emit report", scale, OPERATIONS, |number| {
        head.id.seq = number;
        let report = Report { head, subject: "node7/web", kind: "", detail: "exit code 1" };
        let written = frame::emit(&report, &mut buffer);
        len = written.unwrap_or(0);
        emitted(written, &buffer)
    }));
    benches.push(measure("parse report", scale, OPERATIONS, |_| parsed(&buffer[..len])));
}

fn emitted(written: Result<usize, syncom_wire::Overflow>, buffer: &[u8]) -> u64 {
    written.map_or(0, |len| len as u64 ^ u64::from(buffer[16]))
}

fn parsed(bytes: &[u8]) -> u64 {
    match Frames::new(bytes).next() {
        Some(Ok(Frame::Heartbeat(beat))) => beat.seq,
        Some(Ok(Frame::Report(report))) => report.head.id.seq ^ report.detail.len() as u64,
        _ => 0,
    }
}
