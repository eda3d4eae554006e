//! Everything that members of the detector said and concluded, with its moment.
//!
//! Heartbeats and their answers are left out: what they lead to is in it. So is what servers ask each
//! other about a server. What is said counts from when it leaves, whether or not it arrives.

use crate::outbox::SeenEvent;
use crate::world::WALL_NS;
use std::collections::VecDeque;
use syncom_seam::Time;
use syncom_wire::{Frame, Frames, Slot};

/// One thing that was said, or committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// When.
    pub at: Time,
    /// By whom, and to whom, as members of the simulation; nobody for what was committed.
    pub path: Option<(usize, usize)>,
    /// About which node, when it is one.
    pub about: Option<Slot>,
    /// What.
    pub words: String,
}

/// See the module. Keeps the newest entries.
#[derive(Debug)]
pub(crate) struct Transcript {
    said: VecDeque<Said>,
    most: usize,
    /// Virtual time that the members have not lived through, in ns.
    pub(crate) skipped_ns: u64,
    /// Number of the newest event.
    event: u64,
    /// When anything was said last, by the members' clocks.
    newest: Time,
}

impl Transcript {
    /// Keeps so many entries.
    pub(crate) const fn new(most: usize) -> Self {
        let said = VecDeque::new();
        Self { said, most, skipped_ns: 0, event: 0, newest: Time(0) }
    }

    /// What was said, the oldest first.
    pub(crate) fn said(&self) -> impl DoubleEndedIterator<Item = &Said> {
        self.said.iter()
    }

    /// When anything was said last, by the members' clocks.
    pub(crate) const fn newest(&self) -> Time {
        self.newest
    }

    fn note(&mut self, at: Time, path: Option<(usize, usize)>, about: Option<Slot>, words: String) {
        self.newest = self.newest.max(at);
        if self.said.len() == self.most {
            self.said.pop_front();
        }
        self.said.push_back(Said { at: at.after(self.skipped_ns), path, about, words });
    }

    /// Takes a datagram that leaves now.
    pub(crate) fn on_sent(&mut self, now: Time, path: (usize, usize), bytes: &[u8]) {
        for frame in Frames::new(bytes).flatten() {
            let (about, words) = match frame {
                Frame::Report(report) => {
                    let head = &report.head;
                    let words = format!(
                        "report: flags {} health {} set {}, heard {} us ago",
                        head.flags, head.health, head.neighbours, head.heard_ago_us
                    );
                    (head.subject.slot(), words)
                }
                Frame::Probe(probe) => {
                    (Some(probe.slot), format!("probe, {} accuse", probe.accusers))
                }
                Frame::ProbeAnswer(answer) => {
                    (Some(answer.slot), format!("answer of health {}", answer.health))
                }
                Frame::Opinion(opinion) if opinion.subject.slot().is_some() => {
                    let words =
                        format!("opinion: {} rounds, flags {}", opinion.rounds, opinion.flags);
                    (opinion.subject.slot(), words)
                }
                Frame::Join(_) => (None, "join".into()),
                Frame::Welcome(_) => (None, "welcome".into()),
                Frame::Neighbours(_) => (None, "neighbours".into()),
                _ => continue,
            };
            self.note(now, Some(path), about, words);
        }
    }

    /// Takes a committed event, whoever announces it first.
    pub(crate) fn on_event(&mut self, event: &SeenEvent) {
        if event.seq <= self.event {
            return;
        }
        self.event = event.seq;
        let at = Time(event.time_ns.saturating_sub(WALL_NS));
        let SeenEvent { kind, subject, incarnation, view, .. } = event;
        self.note(at, None, None, format!("{kind} {subject}/{incarnation}, view {view}"));
    }
}
