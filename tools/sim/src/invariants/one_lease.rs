//! One lease: never do two replicas hold the lease under which a rule may act on what checks no
//! term, whoever is cut off, stopped, or told to go.

use crate::member::Member;
use syncom_seam::Time;

/// Says which of the replicas hold the lease at the same moment, if two do.
pub(crate) fn check<'a>(now: Time, replicas: impl Iterator<Item = &'a Member>) -> Option<String> {
    let holds = |member: &&Member| member.station().is_some_and(|it| it.holds_lease(now));
    let mut holders = replicas.filter(holds);
    let (first, second) = (holders.next()?, holders.next()?);
    Some(format!("{} and {} both hold the manager's lease", first.name, second.name))
}
