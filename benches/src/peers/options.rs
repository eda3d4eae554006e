//! What the command line asks for.

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// One way, as fast as it goes.
    Stream,
    /// There and back, one at a time.
    Rtt,
    /// One way to many, by multicast.
    Fanout,
}

impl Case {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Rtt => "rtt",
            Self::Fanout => "fanout",
        }
    }
}

/// A run of a case.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) case: Case,
    pub(crate) json: bool,
    /// The systems to measure, with commas between.
    pub(crate) only: Option<String>,
    /// The folder for results.
    pub(crate) out: Option<String>,
    /// Turns of each row.
    pub(crate) rounds: usize,
    /// How long a sender sends in a turn, in ms.
    pub(crate) duration_ms: u64,
    /// Round trips of a turn.
    pub(crate) trips: u64,
    /// Receivers of a stream to many.
    pub(crate) receivers: usize,
    /// The one size of messages to measure.
    pub(crate) size_b: Option<usize>,
    /// The one size of datagrams to measure.
    pub(crate) mtu_b: Option<usize>,
}

impl Options {
    /// Understands what follows `peers`; `None` when it cannot.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        let (case, rest) = match words.split_first()? {
            (&"stream", rest) => (Case::Stream, rest),
            (&"rtt", rest) => (Case::Rtt, rest),
            (&"fanout", rest) => (Case::Fanout, rest),
            _ => return None,
        };
        let (rounds, duration_ms, trips) = (5, 500, 20_000);
        let mut options = Self {
            case,
            json: false,
            only: None,
            out: None,
            rounds,
            duration_ms,
            trips,
            receivers: 3,
            size_b: None,
            mtu_b: None,
        };
        options.json = pairs(rest, |flag, value| {
            match flag {
                "--only" => options.only = Some(value.into()),
                "--out" => options.out = Some(value.into()),
                "--rounds" => options.rounds = value.parse().ok().filter(|rounds| *rounds > 0)?,
                "--ms" => options.duration_ms = value.parse().ok()?,
                "--trips" => options.trips = value.parse().ok()?,
                "--receivers" => options.receivers = value.parse().ok().filter(|n| *n > 0)?,
                "--size" => options.size_b = Some(value.parse().ok()?),
                "--mtu" => options.mtu_b = Some(value.parse().ok()?),
                _ => return None,
            }
            Some(())
        })?;
        Some(options)
    }
}

/// Reads flags, each with its value, in any order; whether `--json`, which has none, was among them.
/// `None` when `take` does not know one, or a value is missing.
pub(super) fn pairs(
    mut rest: &[&str],
    mut take: impl FnMut(&str, &str) -> Option<()>,
) -> Option<bool> {
    let mut json = false;
    while let Some((&flag, after)) = rest.split_first() {
        rest = after;
        if flag == "--json" {
            json = true;
            continue;
        }
        let (&value, after) = rest.split_first()?;
        rest = after;
        take(flag, value)?;
    }
    Some(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_follow_the_case_in_any_order() {
        let options =
            Options::parse(&["rtt", "--size", "64", "--json", "--only", "aeron"]).unwrap();
        assert_eq!((options.case, options.json, options.size_b), (Case::Rtt, true, Some(64)));
        assert_eq!(options.only.as_deref(), Some("aeron"));
        let options = Options::parse(&["fanout", "--receivers", "5"]).unwrap();
        assert_eq!((options.case, options.receivers), (Case::Fanout, 5));
        for wrong in [&["mail"][..], &[], &["rtt", "--size"], &["rtt", "--rounds", "0"]] {
            assert!(Options::parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
