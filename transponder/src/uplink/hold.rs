//! Holding deaths back for a moment, so that what failed together becomes one batch.
//!
//! As long as another case is undecided the ripe ones wait for it, but never longer than 250 ms:
//! Rapid's cut (USENIX ATC 2018, section 4.2), with the bound that Rapid leaves open.

use syncom_seam::{MS, Time};

/// The longest time that a death is held, in ns.
const HOLD_MAX_NS: u64 = 250 * MS;

/// Whether deaths are held at present, and since when.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hold(Option<Time>);

impl Hold {
    /// Whether the ripe cases go now, given how many are ripe and how many undecided.
    pub(crate) fn release(&mut self, now: Time, ripe: usize, undecided: usize) -> bool {
        if ripe == 0 {
            self.0 = None;
            return false;
        }
        let since = *self.0.get_or_insert(now);
        let go = undecided == 0 || now.since(since) >= HOLD_MAX_NS;
        if go {
            self.0 = None;
        }
        go
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ripe_cases_wait_for_undecided_ones_but_not_for_long() {
        let at = |ms| Time(ms * MS);
        let mut hold = Hold::default();
        assert!(!hold.release(at(0), 0, 5));
        assert!(hold.release(at(1), 1, 0));
        assert!(!hold.release(at(10), 1, 2));
        assert!(!hold.release(at(259), 2, 1));
        assert!(hold.release(at(260), 2, 1));
        assert!(!hold.release(at(261), 1, 1), "a new hold begins");
        assert!(hold.release(at(300), 2, 0));
    }
}
