//! Reports of a burst, until they are taken in together.
//!
//! A frame is gone when its handler returns, so what is gathered is copied, as it came: most of them
//! are known already, and of those nobody reads more than the number.

use crate::uplink::known::Said;
use alloc::vec::Vec;
use syncom_seam::Now;
use syncom_wire::Addr;
use syncom_wire::report::{Report, ReportBytes, ReportHead, ReportId};

/// Reports that are gathered before they are taken in, even if the burst goes on.
const ARRIVALS_MAX: usize = 256;
/// Bytes of them, likewise.
const BYTES_MAX: usize = 24 * 1024;

#[derive(Clone, Copy, Debug)]
struct Held {
    id: ReportId,
    from: Addr,
    /// Where it begins, and ends.
    at: (u32, u32),
}

/// One of those that are held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    held: &'a Held,
    bytes: &'a [u8],
}

impl<'a> Said<'a> for Arrival<'a> {
    #[inline]
    fn id(&self) -> ReportId {
        self.held.id
    }

    #[inline]
    fn from(&self) -> Addr {
        self.held.from
    }

    fn report(&self) -> Option<Report<'a>> {
        let (from, to) = self.held.at;
        ReportBytes::of(self.bytes.get(from as usize..to as usize)?).report().ok()
    }

    #[inline]
    fn head(&self) -> Option<ReportHead> {
        let (from, to) = self.held.at;
        ReportBytes::of(self.bytes.get(from as usize..to as usize)?).head()
    }
}

/// One that was read already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read<'a> {
    pub(crate) from: Addr,
    pub(crate) report: &'a Report<'a>,
}

impl<'a> Said<'a> for Read<'a> {
    fn id(&self) -> ReportId {
        self.report.head.id
    }

    fn from(&self) -> Addr {
        self.from
    }

    fn report(&self) -> Option<Report<'a>> {
        Some(*self.report)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    now: Now,
    held: Vec<Held>,
    bytes: Vec<u8>,
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
    #[inline]
    pub(crate) fn must_go(&self, now: Now) -> bool {
        let is_full = self.held.len() >= ARRIVALS_MAX || self.bytes.len() >= BYTES_MAX;
        !self.held.is_empty() && (is_full || self.now != now)
    }

    #[inline]
    pub(crate) fn push(&mut self, now: Now, from: Addr, report: ReportBytes<'_>) {
        self.now = now;
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(report.bytes());
        // What is held is far below 4 GiB.
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let at = (place(begin), place(self.bytes.len()));
        self.held.push(Held { id: report.id(), from, at });
    }

    /// What is held, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Arrival<'_>> {
        self.held.iter().map(|held| Arrival { held, bytes: &self.bytes })
    }

    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.bytes.clear();
    }
}
