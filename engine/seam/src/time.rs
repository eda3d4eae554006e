//! Time as the roles know it: integers, in ns, handed in from outside.

use core::fmt;

/// One microsecond in ns.
pub const US: u64 = 1_000;
/// One millisecond in ns.
pub const MS: u64 = 1_000 * US;
/// One second in ns.
pub const SECOND: u64 = 1_000 * MS;

/// A moment on this host's monotonic clock (`CLOCK_BOOTTIME` in production), in ns.
///
/// Moments of different hosts cannot be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// Later than every real moment.
    pub const NEVER: Self = Self(u64::MAX);

    /// This moment and `ns` more; stops at [`Self::NEVER`].
    #[must_use]
    pub const fn after(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// How many ns this moment lies behind `earlier`; 0 when it does not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06} s", self.0 / SECOND, self.0 % SECOND / US)
    }
}

/// A moment on the wall clock, ns since 1970. For people and logs; it decides nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub u64);

/// A timer of a role: what it is for, which thing it concerns, and a generation.
///
/// Drivers neither replace nor cancel timers; they give back exactly what was armed. A role that
/// changes its mind arms a new generation and ignores the older one when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer {
    /// What it is for; each role numbers its own.
    pub kind: u16,
    /// Generation: a stale one is void.
    pub generation: u32,
    /// Which thing of that kind (a slot, a stream, an order).
    pub key: u64,
}
