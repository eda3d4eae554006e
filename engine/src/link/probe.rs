//! Which links this host can open.

use super::{Kind, Options, open};
use syncom_wire::Addr;

/// A kind of link, and how it would do here.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The kind.
    pub kind: Kind,
    /// Why it cannot be opened here, for people; `None` when it can.
    pub obstacle: Option<String>,
    /// What it cannot do here although it can be opened, one line each.
    pub shortcomings: Vec<String>,
}

/// Tries all kinds that need nothing but a socket, those first that moved more datagrams where it
/// was measured. Opens each on the loopback, with little memory, and closes it again.
#[must_use]
pub fn probe() -> Vec<Choice> {
    const LOOPBACK: Addr = Addr::v4([127, 0, 0, 1], 0);
    let choice = |kind: Kind| match open(&kind, LOOPBACK, &Options::SMALL) {
        Ok(link) => Choice { kind, obstacle: None, shortcomings: link.shortcomings() },
        Err(error) => Choice { kind, obstacle: Some(error.to_string()), shortcomings: Vec::new() },
    };
    [Kind::Mmsg, Kind::Uring].map(choice).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_can_be_opened_or_is_said_why_not() {
        for Choice { kind, obstacle, .. } in probe() {
            let opened = open(&kind, Addr::v4([127, 0, 0, 1], 0), &Options::SMALL);
            assert_eq!(opened.err().map(|error| error.to_string()), obstacle, "{kind:?}");
        }
    }
}
