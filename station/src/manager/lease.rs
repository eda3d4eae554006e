//! The manager's lease: until when nobody else can have been elected.
//!
//! Whatever checks a term needs no lease: a manager that was overtaken is refused by the log and by
//! every agent. A fence script, a mail and a power switch check nothing. Before such things are done
//! the manager looks at its lease, which is as old as the last round in which a majority confirmed
//! that it leads: each of those replicas withholds its vote for one election timeout from when it
//! heard the question, so until then nobody else can lead.
//!
//! ```text
//!   round begins ──▶ a majority confirms ──▶ lease: from when the round *began*, so long
//!                                             as the shortest election timeout, less drift
//! ```
//!
//! A new manager also waits as long after its election, for what its predecessor had looked at its
//! lease for and not done yet. The bound of trust: clocks of replicas run within one part in
//! [`DRIFT_PARTS`] of each other (Raft thesis, section 6.4.1; Chubby, OSDI 2006, section 2.4).

use syncom_seam::Time;

/// Clocks run within one part of so many of each other.
const DRIFT_PARTS: u64 = 100;
/// A lease is renewed when so many parts of three are left of it.
const RENEW_PARTS: u64 = 2;

/// Until when a manager may do what nobody can check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    /// How long a vote is withheld at least, less drift, in ns.
    length_ns: u64,
    /// Not before: the predecessor's may last until then.
    from: Time,
    until: Time,
}

impl Lease {
    /// A lease that nobody has yet; `withheld_ns` is how long a replica that has heard its leader
    /// gives no vote to others.
    pub(crate) const fn new(withheld_ns: u64) -> Self {
        let length_ns = withheld_ns - withheld_ns / DRIFT_PARTS;
        Self { length_ns, from: Time::NEVER, until: Time(0) }
    }

    /// A term begins in which this replica leads.
    pub(crate) const fn begin(&mut self, now: Time) {
        self.from = now.after(self.length_ns + 2 * (self.length_ns / DRIFT_PARTS));
        self.until = Time(0);
    }

    /// A majority confirmed a round that began at `begun_at`.
    pub(crate) fn renew(&mut self, begun_at: Time) {
        self.until = self.until.max(begun_at.after(self.length_ns));
    }

    /// This replica leads no more, or is about to let another one lead.
    pub(crate) const fn surrender(&mut self) {
        (self.from, self.until) = (Time::NEVER, Time(0));
    }

    /// Whether nobody else can lead now.
    pub(crate) fn holds(&self, now: Time) -> bool {
        self.from <= now && now < self.until
    }

    /// Whether it is time for a round that renews it; never for one who does not lead.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.from != Time::NEVER && self.until.since(now) < self.length_ns / 3 * RENEW_PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncom_seam::MS;

    const LENGTH_NS: u64 = 99 * MS;

    fn begun() -> Lease {
        let mut lease = Lease::new(100 * MS);
        lease.begin(Time(1_000 * MS));
        lease
    }

    #[test]
    fn nobody_holds_what_was_not_confirmed() {
        let mut lease = Lease::new(100 * MS);
        assert!(!lease.holds(Time(0)) && !lease.is_due(Time(0)));
        lease.renew(Time(5 * MS));
        assert!(!lease.holds(Time(6 * MS)), "it leads in no term");
        assert!(!begun().holds(Time(5_000 * MS)), "no round was confirmed");
    }

    #[test]
    fn a_new_manager_waits_until_the_lease_of_the_one_before_is_over() {
        let mut lease = begun();
        lease.renew(Time(1_050 * MS));
        assert!(!lease.holds(Time(1_099 * MS)), "the predecessor's may last");
        assert!(lease.holds(Time(1_101 * MS)));
    }

    #[test]
    fn it_lasts_from_the_beginning_of_the_round_however_late_the_answer() {
        let mut lease = begun();
        let at = Time(2_000 * MS);
        lease.renew(at);
        assert!(lease.holds(Time(at.0 + LENGTH_NS - 1)) && !lease.holds(Time(at.0 + LENGTH_NS)));
        lease.renew(Time(1_900 * MS));
        assert!(lease.holds(Time(at.0 + LENGTH_NS - 1)), "an older round takes nothing away");
    }

    #[test]
    fn it_is_renewed_when_a_third_is_over_and_gone_when_surrendered() {
        let mut lease = begun();
        let at = Time(2_000 * MS);
        assert!(lease.is_due(at));
        lease.renew(at);
        assert!(!lease.is_due(Time(at.0 + LENGTH_NS / 3)));
        assert!(lease.is_due(Time(at.0 + LENGTH_NS / 3 + 1)));
        lease.surrender();
        assert!(!lease.holds(at) && !lease.is_due(at));
    }
}
