//! How long observers have not heard a node of late though it lived, all of them together.
//!
//! On a link that loses four datagrams of five each observer misses m heartbeats in a row again and
//! again, each at another time, so it is chance whether two of them accuse at one moment. What they
//! have missed adds up. A silence counts when the node was heard elsewhere in the midst of it: of who
//! stood still, or died, nobody heard anything meanwhile, and of who was cut off for a moment neither.

use crate::uplink::evidence::Word;
use syncom_seam::Time;
use syncom_wire::Slot;

/// Silences that are remembered. None is shorter than m·η, so eight observers have no more in 3·m·η
/// but for a few; of more the oldest are forgotten.
const SILENCES_MAX: usize = 24;
/// Silences count for so many times m·η after their end, and of each no more than that.
const WINDOW: u64 = 3;
/// They begin and end no nearer to each other than so many times m·η: a moment's trouble is none.
const LENGTH: u64 = 2;
/// They are so many halves of m·η for each of L, in sum: hardly ever where a fifth of all datagrams is
/// lost, nearly always within 2.5 s where four fifths are.
const HALVES: u64 = 5;

/// By what the silences about one node are measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    /// m·η of the node, in ns.
    pub(crate) silence_ns: u64,
    /// A sign of life falls in a silence when it comes so long after its begin and before its end, in
    /// ns: clocks and queues differ, and of those who hear a node again some have lost the first sign.
    pub(crate) margin_ns: u64,
    /// L.
    pub(crate) low: u32,
}

/// One observer does not hear the node.
#[derive(Clone, Copy, Debug)]
struct Silence {
    by: Slot,
    from: Time,
    /// When it heard the node again; [`Time::NEVER`] while it does not.
    to: Time,
    /// The first sign of life that is known to fall in it; [`Time::NEVER`] when none is.
    denied: Time,
}

impl Silence {
    const NOTHING: Self = Self { by: Slot::NONE, from: Time(0), to: Time(0), denied: Time::NEVER };

    /// Whether the node was heard by others in the midst of it.
    fn is_contested(&self, now: Time, measure: &Measure) -> bool {
        self.to.min(now) >= self.denied.after(measure.margin_ns)
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Silences {
    /// By age.
    held: [Silence; SILENCES_MAX],
    len: usize,
    /// The last sign of life: what comes after it may be death.
    lived: Time,
}

impl Default for Silences {
    fn default() -> Self {
        Self { held: [Silence::NOTHING; SILENCES_MAX], len: 0, lived: Time(0) }
    }
}

impl Silences {
    /// Takes in what observers say now: `is_valid` says of a word whether it counts. `lived` is the
    /// last sign of life.
    pub(crate) fn note(
        &mut self,
        words: &[Word],
        is_valid: impl Fn(&Word) -> bool,
        lived: Time,
        (now, measure): (Time, &Measure),
    ) {
        self.lived = lived;
        for word in words {
            let known = self.held[..self.len]
                .iter_mut()
                .find(|one| one.by == word.slot && one.to == Time::NEVER);
            let accuses = !word.is_retracted && is_valid(word);
            match known {
                Some(one) if !accuses => {
                    let heard = if word.is_retracted { word.heard } else { now };
                    one.to = heard.max(one.from).min(now);
                }
                Some(one) if word.silent_since > one.from.after(measure.margin_ns) => {
                    one.to = word.silent_since.min(now);
                    self.begin(word);
                }
                None if accuses => self.begin(word),
                Some(_) | None => {}
            }
        }
        for one in &mut self.held[..self.len] {
            let heard = words.iter().map(|word| word.heard);
            let begins = one.from.after(measure.margin_ns);
            let signs = heard.chain([lived]).filter(|at| *at > begins && *at <= one.to);
            one.denied = signs.fold(one.denied, Time::min);
        }
        self.forget(now, measure);
    }

    fn begin(&mut self, word: &Word) {
        if self.len == SILENCES_MAX {
            self.held.rotate_left(1);
            self.len -= 1;
        }
        let (by, from) = (word.slot, word.silent_since);
        self.held[self.len] = Silence { by, from, to: Time::NEVER, denied: Time::NEVER };
        self.len += 1;
    }

    fn forget(&mut self, now: Time, measure: &Measure) {
        let mut kept = 0;
        for at in 0..self.len {
            let one = self.held[at];
            if one.to == Time::NEVER || now.since(one.to) < WINDOW * measure.silence_ns {
                self.held[kept] = one;
                kept += 1;
            }
        }
        self.len = kept;
    }

    /// Whether more than L observers, each at its own time, missed the node for as long as is held
    /// against one.
    pub(crate) fn add_up(&self, now: Time, measure: &Measure) -> bool {
        let begins = Time(now.0.saturating_sub(WINDOW * measure.silence_ns));
        let counted = || self.held[..self.len].iter().filter(|one| one.is_contested(now, measure));
        let (mut observers, mut total_ns) = (0, 0);
        let (mut first, mut last) = (Time::NEVER, Time(0));
        for (at, one) in counted().enumerate() {
            let end = one.to.min(self.lived);
            observers += u32::from(counted().take(at).all(|other| other.by != one.by));
            total_ns += end.since(one.from.max(begins));
            (first, last) = (first.min(one.from), last.max(end));
        }
        observers > measure.low
            && 2 * total_ns >= HALVES * u64::from(measure.low) * measure.silence_ns
            && last.since(first) >= LENGTH * measure.silence_ns
    }
}
