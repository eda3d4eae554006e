//! The votes in a case, added up.

use syncom_group::Profile;
use syncom_seam::MS;

/// Turns that must pass in silence before a node that speaks in turn is dead.
const TURNS: u32 = 2;

/// A node that speaks in turn is silent for so long at least before it is dead, in ns; for less where the
/// profile asks for less of one that speaks to all at once.
const SILENCE_MAX_NS: u64 = 600 * MS;

/// The votes of a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Observers that accuse.
    pub(crate) distinct: u32,
    /// Those of them whom it speaks to in turn.
    pub(crate) in_turn: u32,
    /// Those of them that miss it by themselves, and not only when they ask it.
    pub(crate) missed: u32,
    /// Their weighted votes, implicit votes and home votes, in units of [`VOTE`](syncom_group::VOTE).
    pub(crate) weighted: u32,
    /// The same, each counted once.
    pub(crate) unweighted: u32,
    /// Observers that can speak, as far as is known, and do not accuse.
    pub(crate) quiet: u32,
    /// Bit per observer that does not accuse and is not accused: worth asking.
    pub(crate) askable: u64,
    /// Bit per accusing observer.
    pub(crate) observers: u64,
    /// Bit per failure domain of accusers.
    pub(crate) domains: u64,
    /// Bit per failure domain of all observers that can speak.
    pub(crate) domains_able: u64,
    /// Votes of silent homes: this one's, and that of the other when it agrees.
    pub(crate) homes_silent: u32,
}

impl Tally {
    /// Whether it is too early to condemn a node that speaks to its observers in turn. One that hears
    /// nobody answers no question of those who ask it for one lost heartbeat: the next in turn hears
    /// it, or misses it, too. And it may stand still for as long as one that speaks to all at once.
    pub(crate) fn is_early(&self, silent_ns: u64, profile: &Profile) -> bool {
        let least_ns = (u64::from(profile.misses - 1) * profile.interval_ns).min(SILENCE_MAX_NS);
        let turns = TURNS.min(self.distinct + self.quiet).min(self.in_turn);
        self.missed < turns || (self.in_turn > 0 && silent_ns < least_ns)
    }
}
