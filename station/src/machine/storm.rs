//! The storm brake: more nodes die at once than is believable.
//!
//! Then something else is wrong (a switch, a power feed, the watchers), and fencing what cannot be
//! reached would make it worse. A storm is over when nobody has died for a while.

use crate::machine::command::list;
use crate::machine::encoder::Encoder;
use std::collections::VecDeque;
use syncom_seam::MS;
use syncom_wire::policy::PolicyHead;
use syncom_wire::{Malformed, Reader};

/// Deaths that are remembered; more than that at once are a storm by any measure.
const DEATHS_MAX: usize = 8_192;

/// Recent deaths, and until when they are a storm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Storm {
    deaths: VecDeque<u64>,
    until_ns: u64,
}

impl Storm {
    pub(crate) const fn lasts(&self, now_ns: u64) -> bool {
        now_ns < self.until_ns
    }

    /// A node died; how many did within the window.
    pub(crate) fn on_death(&mut self, now_ns: u64, head: &PolicyHead) -> usize {
        let window_ns = u64::from(head.brake_window_ms) * MS;
        while self.deaths.front().is_some_and(|at| now_ns.saturating_sub(*at) >= window_ns)
            || self.deaths.len() == DEATHS_MAX
        {
            self.deaths.pop_front();
        }
        self.deaths.push_back(now_ns);
        if self.lasts(now_ns) {
            self.rise(now_ns, head);
        }
        self.deaths.len()
    }

    /// It is a storm, from now until it has been calm for long enough.
    pub(crate) fn rise(&mut self, now_ns: u64, head: &PolicyHead) {
        let calm_ns = u64::from(head.brake_calm_ms) * MS;
        self.until_ns = self.until_ns.max(now_ns.saturating_add(calm_ns));
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.count(self.deaths.len());
        self.deaths.iter().for_each(|at| out.field(*at));
        out.field(self.until_ns);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let deaths = list(reader, DEATHS_MAX, Reader::field::<u64>)?;
        Ok(Self { deaths: deaths.into(), until_ns: reader.field()? })
    }
}
