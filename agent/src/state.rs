//! Where an agent stands with its cluster.
//!
//! ```text
//!             roster            welcomed
//!   Seeking ─────────▶ Joining ─────────▶ Member
//!      ▲                │  ▲                │
//!      └────────────────┘  └────────────────┘
//!         nobody answers        unknown
//!
//!   any of the three ── told to leave ──▶ Leaving ── said so ──▶ Gone
//!   Joining ─────────────── refused ───────────────────────────▶ Gone
//! ```
//!
//! This is about the port of entry only. An agent that was welcomed once keeps its slot while it
//! joins again, and goes on with heartbeats, orders and reports as if nothing had happened: most
//! often nothing has.

/// Where an agent stands with its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It asks the seeds who serves here.
    Seeking,
    /// It asks satellites to be taken in.
    Joining,
    /// It was welcomed, and its homes know it.
    Member,
    /// It takes its leave.
    Leaving,
    /// It left or was refused; nothing happens any more.
    Gone,
}

/// What can happen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A roster with satellites is at hand.
    Roster,
    /// All satellites were asked in vain.
    NobodyAnswers,
    /// The station took the join.
    Welcomed,
    /// The homes do not know this node.
    Unknown,
    /// The station refused the join.
    Refused,
    /// The program wants to end.
    Leave,
    /// The leave was said often enough.
    Left,
}

impl State {
    /// Where `event` leads; `None` when it means nothing here.
    pub(crate) const fn next(self, event: Event) -> Option<Self> {
        use Event::{Leave, Left, NobodyAnswers, Refused, Roster, Unknown, Welcomed};
        match (self, event) {
            (Self::Seeking, Roster) | (Self::Member, Unknown) => Some(Self::Joining),
            (Self::Joining, NobodyAnswers) => Some(Self::Seeking),
            // A welcome may outrun our patience, so a seeker takes it too; and a member takes a
            // newer one when its second join was answered twice.
            (Self::Seeking | Self::Joining | Self::Member, Welcomed) => Some(Self::Member),
            (Self::Seeking | Self::Joining, Refused) => Some(Self::Gone),
            (Self::Seeking | Self::Joining | Self::Member, Leave) => Some(Self::Leaving),
            (Self::Leaving, Left) => Some(Self::Gone),
            (Self::Seeking, NobodyAnswers | Unknown | Left)
            | (Self::Joining, Roster | Unknown | Left)
            | (Self::Member, Roster | NobodyAnswers | Refused | Left)
            | (Self::Leaving, Roster | NobodyAnswers | Welcomed | Unknown | Refused | Leave)
            | (Self::Gone, Roster | NobodyAnswers | Welcomed | Unknown | Refused | Leave | Left) => {
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use std::string::String;

    #[test]
    fn the_whole_table_is_as_drawn() {
        use Event::{Leave, Left, NobodyAnswers, Refused, Roster, Unknown, Welcomed};
        let states = [State::Seeking, State::Joining, State::Member, State::Leaving, State::Gone];
        let events = [Roster, NobodyAnswers, Welcomed, Unknown, Refused, Leave, Left];
        let mut table = String::new();
        for state in states {
            for event in events {
                if let Some(next) = state.next(event) {
                    writeln!(table, "{state:?} + {event:?} = {next:?}").unwrap();
                }
            }
        }
        assert_eq!(
            table,
            "Seeking + Roster = Joining\n\
             Seeking + Welcomed = Member\n\
             Seeking + Refused = Gone\n\
             Seeking + Leave = Leaving\n\
             Joining + NobodyAnswers = Seeking\n\
             Joining + Welcomed = Member\n\
             Joining + Refused = Gone\n\
             Joining + Leave = Leaving\n\
             Member + Welcomed = Member\n\
             Member + Unknown = Joining\n\
             Member + Leave = Leaving\n\
             Leaving + Left = Gone\n"
        );
    }
}
