//! Who is to lead next.

use super::Node;

impl Node {
    /// Asks the follower that is heard and has the most of the log to stand for election at once,
    /// of those that will go on voting and are `fit`; says which. `None` when there is nobody to ask.
    ///
    /// No proposal is taken until it leads or an election timeout has passed (Raft thesis,
    /// section 3.10). Its request for votes is granted however lately the leader was heard, so no
    /// lease may be held when this is called.
    pub(crate) fn hand_over(&mut self, fit: impl Fn(u64) -> bool) -> Option<u64> {
        if !self.is_leader() {
            return None;
        }
        let prs = self.raw.raft.prs();
        let followers = prs.iter().filter(|(id, _)| {
            let id = **id;
            id != self.me && self.is_heard(id) && self.conf().voters.contains(&id) && fit(id)
        });
        let heir = *followers.max_by_key(|(_, pr)| pr.matched)?.0;
        self.raw.transfer_leader(heir);
        Some(heir)
    }
}
