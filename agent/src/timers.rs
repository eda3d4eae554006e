//! The agent's timers: one per concern.
//!
//! A driver neither replaces nor cancels timers, so each has a generation, and only the newest
//! counts. A timer that is armed for an earlier moment than asked for is left alone: it comes, finds
//! nothing due, and is armed anew. Deadlines that move later all the time (every heartbeat moves
//! one) then cost nothing.

use syncom_seam::{Outbox, Time, Timer};

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum TimerKind {
    /// Ask or join again, say the leave again.
    Entry = 0,
    /// The next burst of heartbeats to observers, and to homes.
    Peers = 1,
    /// The earliest deadline of a subject.
    Watch = 2,
    /// The earliest report to send again.
    Reports = 3,
    /// The earliest receipt to send again, or command to end.
    Orders = 4,
    /// The earliest service to end by force.
    Services = 5,
}

impl TimerKind {
    const ALL: [Self; 6] =
        [Self::Entry, Self::Peers, Self::Watch, Self::Reports, Self::Orders, Self::Services];
}

#[derive(Clone, Copy, Debug)]
struct Armed {
    generation: u32,
    due: Time,
}

/// The newest generation of every timer.
#[derive(Clone, Debug)]
pub(crate) struct Timers([Armed; TimerKind::ALL.len()]);

impl Timers {
    pub(crate) const fn new() -> Self {
        Self([Armed { generation: 0, due: Time::NEVER }; TimerKind::ALL.len()])
    }

    /// Wants `kind` at `at` and at no other moment.
    pub(crate) fn set<O: Outbox>(&mut self, kind: TimerKind, at: Time, out: &mut O) {
        let armed = &mut self.0[kind as usize];
        armed.generation = armed.generation.wrapping_add(1);
        armed.due = at;
        out.arm(Timer { kind: kind as u16, generation: armed.generation, key: 0 }, at);
    }

    /// Wants `kind` at `at` at the latest; [`Time::NEVER`] wants nothing.
    pub(crate) fn by<O: Outbox>(&mut self, kind: TimerKind, at: Time, out: &mut O) {
        if at < self.0[kind as usize].due {
            self.set(kind, at, out);
        }
    }

    /// What a timer that came is for; `None` when a newer one has replaced it.
    pub(crate) fn take(&mut self, timer: Timer) -> Option<TimerKind> {
        let kind = *TimerKind::ALL.get(usize::from(timer.kind))?;
        let armed = &mut self.0[kind as usize];
        if armed.generation != timer.generation || armed.due == Time::NEVER {
            return None;
        }
        armed.due = Time::NEVER;
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncom_seam::{Action, Recorder};

    #[test]
    fn only_the_newest_generation_counts_and_only_once() {
        let mut timers = Timers::new();
        let mut out = Recorder::default();
        timers.by(TimerKind::Watch, Time(50), &mut out);
        timers.by(TimerKind::Watch, Time(70), &mut out);
        timers.by(TimerKind::Watch, Time(30), &mut out);
        let armed: [Timer; 2] = out
            .take()
            .into_iter()
            .filter_map(|action| match action {
                Action::Arm(timer, _) => Some(timer),
                _ => None,
            })
            .collect::<std::vec::Vec<_>>()
            .try_into()
            .unwrap();
        assert_eq!(timers.take(armed[0]), None);
        assert_eq!(timers.take(armed[1]), Some(TimerKind::Watch));
        assert_eq!(timers.take(armed[1]), None);
    }
}
