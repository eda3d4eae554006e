//! Reports of a burst, until they are taken in together.
//!
//! A frame is gone when its handler returns, so what is gathered is copied: a fixed part each, and the
//! texts of those that have any behind each other in one piece of memory.

use crate::uplink::known::Arrival;
use alloc::vec::Vec;
use syncom_seam::Now;
use syncom_wire::Addr;
use syncom_wire::report::{Report, ReportHead};

/// Reports that are gathered before they are taken in, even if the burst goes on.
const ARRIVALS_MAX: usize = 256;
/// Bytes of texts, likewise: what the longest report has always fits.
const TEXTS_MAX: usize = 16 * 1024;

#[derive(Clone, Copy, Debug)]
struct Held {
    from: Addr,
    head: ReportHead,
    /// Bytes of the subject's name, the kind's, and the detail.
    lens: [u16; 3],
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    now: Now,
    held: Vec<Held>,
    texts: Vec<u8>,
}

impl Arrivals {
    pub(crate) const fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// When they were heard by this role.
    pub(crate) const fn now(&self) -> Now {
        self.now
    }

    /// Whether those that are held must be taken in before another one that is heard now.
    pub(crate) fn must_go(&self, now: Now) -> bool {
        let is_full = self.held.len() >= ARRIVALS_MAX || self.texts.len() >= TEXTS_MAX;
        !self.held.is_empty() && (is_full || self.now != now)
    }

    pub(crate) fn push(&mut self, now: Now, from: Addr, report: &Report<'_>) {
        self.now = now;
        let lens = [report.subject, report.kind, report.detail].map(|text| {
            self.texts.extend_from_slice(text.as_bytes());
            // The wire allows none beyond 512.
            u16::try_from(text.len()).unwrap_or(u16::MAX)
        });
        self.held.push(Held { from, head: report.head, lens });
    }

    /// What is held, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Arrival<'_>> {
        let mut rest = self.texts.as_slice();
        self.held.iter().map(move |held| {
            let [subject, kind, detail] = held.lens.map(|len| {
                let (text, after) = rest.split_at_checked(len.into()).unwrap_or((rest, &[]));
                rest = after;
                core::str::from_utf8(text).unwrap_or_default()
            });
            Arrival { from: held.from, report: Report { head: held.head, subject, kind, detail } }
        })
    }

    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.texts.clear();
    }
}
