//! What a loop does when there is nothing to do.
//!
//! A pure state machine: the loop tells it after every duty cycle whether there was work, and it
//! says how to wait. Spinning answers fastest and burns a core; yielding lets others run; parking
//! sleeps in the kernel until a link is readable or a timer is due.

/// How to wait once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Look again at once ([`std::hint::spin_loop`]).
    Spin,
    /// Give the core away and look again ([`std::thread::yield_now`]).
    Yield,
    /// Sleep until something is readable or the next timer is due.
    Park,
}

/// How many empty duty cycles to spin and to yield before parking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strategy {
    /// Empty cycles spent spinning.
    pub spins: u32,
    /// Empty cycles spent yielding after that; `None` yields for ever and never parks.
    pub yields: Option<u32>,
}

impl Strategy {
    /// Never waits: for a core that belongs to this shard alone.
    pub const SPIN: Self = Self { spins: u32::MAX, yields: None };
    /// Spins a little, then yields for ever: fast, and lets others run.
    pub const YIELD: Self = Self { spins: 100, yields: None };
    /// Spins and yields a little, then parks: for satellites and stations on shared cores.
    pub const BACK_OFF: Self = Self { spins: 50, yields: Some(20) };
    /// Parks at once: for agents, which must not be noticed.
    pub const PARK: Self = Self { spins: 0, yields: Some(0) };

    /// Whether it ever parks, and must be woken then.
    #[must_use]
    pub const fn parks(&self) -> bool {
        self.yields.is_some()
    }

    /// The strategy called `name` (`spin`, `yield`, `back-off`, `park`).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "spin" => Some(Self::SPIN),
            "yield" => Some(Self::YIELD),
            "back-off" => Some(Self::BACK_OFF),
            "park" => Some(Self::PARK),
            _ => None,
        }
    }
}

/// Follows one loop.
///
/// ```text
///        empty                empty                 empty
///  busy ───────▶ Spin × spins ───────▶ Yield × yields ───────▶ Park
///   ▲                │                      │                   │
///   └────────────────┴──────── work ────────┴───────────────────┘
/// ```
#[derive(Clone, Debug)]
pub struct Idle {
    strategy: Strategy,
    empty: u32,
    /// Empty cycles to yield in place of parking.
    alert: u32,
}

impl Idle {
    /// Empty cycles that are yielded when an answer is near: about as long as a quick flush.
    const NEAR: u32 = 50;

    /// A loop that has just been busy.
    #[must_use]
    pub const fn new(strategy: Strategy) -> Self {
        Self { strategy, empty: 0, alert: 0 }
    }

    /// What it follows.
    #[must_use]
    pub const fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// A duty cycle had work: the next wait starts from the beginning.
    pub const fn on_work(&mut self) {
        self.empty = 0;
        if self.alert > 0 {
            self.alert = Self::NEAR;
        }
    }

    /// An answer is near, of a disk or of a peer: before it parks, the loop yields for a while. Who
    /// sleeps has to be woken, which on a virtual machine costs as much as a round trip; whoever
    /// else wants the core gets it all the same.
    pub const fn on_near(&mut self) {
        self.alert = Self::NEAR;
    }

    /// A duty cycle had none: how to wait before the next.
    pub const fn on_empty(&mut self) -> Wait {
        let Strategy { spins, yields } = self.strategy;
        if self.empty < spins {
            if spins < u32::MAX {
                self.empty += 1;
            }
            return Wait::Spin;
        }
        match yields {
            None => Wait::Yield,
            Some(yields) if self.empty - spins < yields => {
                self.empty += 1;
                Wait::Yield
            }
            Some(_) if self.alert > 0 => {
                self.alert -= 1;
                Wait::Yield
            }
            Some(_) => Wait::Park,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(strategy: Strategy, count: usize) -> Vec<Wait> {
        let mut idle = Idle::new(strategy);
        (0..count).map(|_| idle.on_empty()).collect()
    }

    #[test]
    fn waiting_grows_from_spinning_to_parking_and_work_resets_it() {
        let mut idle = Idle::new(Strategy { spins: 2, yields: Some(1) });
        for _ in 0..2 {
            let waits: Vec<_> = (0..5).map(|_| idle.on_empty()).collect();
            assert_eq!(waits, [Wait::Spin, Wait::Spin, Wait::Yield, Wait::Park, Wait::Park]);
            idle.on_work();
        }
    }

    #[test]
    fn near_an_answer_a_loop_yields_before_it_parks_and_work_begins_that_anew() {
        let mut idle = Idle::new(Strategy::PARK);
        idle.on_work();
        assert_eq!(idle.on_empty(), Wait::Park, "nothing is near");
        idle.on_near();
        assert_eq!(idle.on_empty(), Wait::Yield);
        idle.on_work();
        let waits: Vec<_> = (0..=Idle::NEAR).map(|_| idle.on_empty()).collect();
        let (last, yields) = waits.split_last().unwrap();
        assert!(yields.iter().all(|wait| *wait == Wait::Yield));
        idle.on_work();
        assert_eq!((*last, idle.on_empty()), (Wait::Park, Wait::Park));
    }

    #[test]
    fn each_named_strategy_ends_where_its_name_says() {
        for (name, last) in [
            ("spin", Wait::Spin),
            ("yield", Wait::Yield),
            ("back-off", Wait::Park),
            ("park", Wait::Park),
        ] {
            assert_eq!(waits(Strategy::named(name).unwrap(), 500).last(), Some(&last), "{name}");
        }
        assert_eq!(waits(Strategy::PARK, 1), [Wait::Park]);
        assert!(Strategy::BACK_OFF.parks() && !Strategy::YIELD.parks() && !Strategy::SPIN.parks());
        assert_eq!(Strategy::named("nap"), None);
    }
}
