//! The votes in a case, added up.

/// The votes of a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Observers that accuse.
    pub(crate) distinct: u32,
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
