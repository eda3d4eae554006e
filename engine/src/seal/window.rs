//! The replay window: which of the last few hundred counters of a flow were seen.

/// Remembers 384 counters in one cache line (RFC 6479: a ring of words, cleared word by word as
/// the highest counter moves on, so that nothing is ever shifted).
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Window {
    highest: u64,
    ring: [u64; Self::WORDS],
}

const _: () = assert!(size_of::<Window>() == 64);

impl Window {
    const WORDS: usize = 7;
    /// Counters this far below the highest one are too old to tell.
    pub const SIZE: u64 = (Self::WORDS as u64 - 1) * 64;

    /// A window that begins with `first`, the counter of an authentic datagram.
    ///
    /// Everything up to `first` counts as seen: whoever starts to listen late must not be told the
    /// past.
    #[must_use]
    pub const fn starting_at(first: u64) -> Self {
        Self { highest: first, ring: [u64::MAX; Self::WORDS] }
    }

    /// The highest counter that was marked.
    #[must_use]
    pub const fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether `counter` is new. Changes nothing: the datagram is not authentic yet.
    #[must_use]
    pub fn is_new(&self, counter: u64) -> bool {
        if counter > self.highest {
            return true;
        }
        if self.highest - counter >= Self::SIZE {
            return false;
        }
        let (word, bit) = place(counter);
        self.ring[word] & bit == 0
    }

    /// Marks `counter` as seen, once its datagram has proved authentic.
    pub fn mark(&mut self, counter: u64) {
        if counter > self.highest {
            let words = (counter / 64 - self.highest / 64).min(Self::WORDS as u64);
            for step in 1..=words {
                let (word, _) = place((self.highest / 64 + step) * 64);
                self.ring[word] = 0;
            }
            self.clear_above(self.highest);
            self.highest = counter;
        }
        let (word, bit) = place(counter);
        self.ring[word] |= bit;
    }

    /// Forgets the bits above `counter` in its word: a fresh window has them set.
    fn clear_above(&mut self, counter: u64) {
        let (word, bit) = place(counter);
        self.ring[word] &= bit | (bit - 1);
    }
}

const fn place(counter: u64) -> (usize, u64) {
    ((counter / 64 % Window::WORDS as u64) as usize, 1 << (counter % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
    use std::collections::BTreeSet;

    /// What the window stands for, without any cleverness.
    struct Naive {
        first: u64,
        highest: u64,
        seen: BTreeSet<u64>,
    }

    impl Naive {
        fn is_new(&self, counter: u64) -> bool {
            counter > self.highest
                || (self.highest - counter < Window::SIZE
                    && counter > self.first
                    && !self.seen.contains(&counter))
        }

        fn mark(&mut self, counter: u64) {
            self.highest = self.highest.max(counter);
            self.seen.insert(counter);
        }
    }

    fn steps() -> impl Strategy<Value = i64> {
        prop_oneof![6 => -400..400_i64, 2 => -3..4_i64, 1 => 400..2000_i64, 1 => Just(1 << 40)]
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_a_naive_model(
            first in 1..2000_u64,
            moves in proptest::collection::vec((steps(), any::<bool>()), 1..300),
        ) {
            let mut window = Window::starting_at(first);
            let mut naive = Naive { first, highest: first, seen: BTreeSet::from([first]) };
            for (step, authentic) in moves {
                let counter = naive.highest.saturating_add_signed(step);
                assert_eq!(window.is_new(counter), naive.is_new(counter), "counter {counter}");
                if authentic && naive.is_new(counter) {
                    window.mark(counter);
                    naive.mark(counter);
                }
            }
        }
    }

    #[test]
    fn a_late_counter_is_new_once() {
        let mut window = Window::starting_at(1);
        window.mark(300);
        assert!(window.is_new(2));
        window.mark(2);
        assert!(!window.is_new(2));
        assert!(!window.is_new(1), "what came before the first is the past");
    }
}
