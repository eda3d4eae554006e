//! Reports of a burst, until they are taken in together.
//!
//! A frame is gone when its handler returns, so what is gathered is copied: a fixed part each, and the
//! texts of those that have any behind each other in one piece of memory.

use crate::uplink::known::Said;
use alloc::vec::Vec;
use syncom_seam::Now;
use syncom_wire::Addr;
use syncom_wire::report::{Report, ReportHead, ReportId};

/// Reports that are gathered before they are taken in, even if the burst goes on.
const ARRIVALS_MAX: usize = 256;
/// Bytes of texts, likewise: what the longest report has always fits.
const TEXTS_MAX: usize = 16 * 1024;

#[derive(Clone, Copy, Debug)]
struct Held {
    from: Addr,
    head: ReportHead,
    /// Where its texts begin, and how long the subject's name, the kind's, and the detail are.
    texts: usize,
    lens: [u16; 3],
}

/// One of those that are held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    held: &'a Held,
    texts: &'a [u8],
}

impl<'a> Said<'a> for Arrival<'a> {
    #[inline]
    fn id(&self) -> ReportId {
        self.held.head.id
    }

    #[inline]
    fn from(&self) -> Addr {
        self.held.from
    }

    fn report(&self) -> Option<Report<'a>> {
        let mut rest = self.texts.get(self.held.texts..)?;
        let [subject, kind, detail] = self.held.lens.map(|len| {
            let (text, after) = rest.split_at_checked(len.into())?;
            rest = after;
            core::str::from_utf8(text).ok()
        });
        Some(Report { head: self.held.head, subject: subject?, kind: kind?, detail: detail? })
    }
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
        let texts = self.texts.len();
        let lens = [report.subject, report.kind, report.detail].map(|text| {
            self.texts.extend_from_slice(text.as_bytes());
            // The wire allows none beyond 512.
            u16::try_from(text.len()).unwrap_or(u16::MAX)
        });
        self.held.push(Held { from, head: report.head, texts, lens });
    }

    /// What is held, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Arrival<'_>> {
        self.held.iter().map(|held| Arrival { held, texts: &self.texts })
    }

    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.texts.clear();
    }
}
