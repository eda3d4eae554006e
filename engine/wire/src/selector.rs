//! Selectors: node sets that are not expanded but asked, name by name, whether they hold it.
//!
//! Image: terms one behind the other, each an operator, a kind, and a text behind a one-byte length.
//! They are applied from left to right as node sets are, without precedence. The empty image holds
//! nothing.

use crate::bytes::{Reader, Writer};
use crate::glob;
use crate::layout::{Malformed, Overflow};
use crate::limits::{NAME_MAX, TERMS_MAX};
use crate::member::MemberState;

/// How a term changes what the terms before it have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operator {
    /// `,`: what either has.
    Union = 0,
    /// `!`: what the term does not have.
    Difference = 1,
    /// `&`: what both have.
    Intersection = 2,
    /// `^`: what only one has.
    Either = 3,
}

/// What a term stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Holds {
    /// Names that match the pattern in the text: see [`crate::glob`].
    Names = 1,
    /// `@all`: everything.
    All = 2,
    /// `@alive`, `@gray`, `@dead`, `@left`: nodes in the state that the text names.
    State = 3,
    /// `@domain:NAME`: nodes in failure domains that match the text.
    Domain = 4,
    /// `@drained`: nodes that are to get no new work.
    Drained = 5,
    /// `@subject`: the node that the event is about.
    Subject = 6,
}

/// One term of a selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term<'a> {
    /// How it is applied.
    pub operator: Operator,
    /// What it stands for.
    pub holds: Holds,
    /// A pattern or a state; else empty.
    pub text: &'a str,
}

/// What a selector is asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Its name.
    pub name: &'a str,
    /// The failure domain of its node; empty when it has none.
    pub domain: &'a str,
    /// State of its node, if there is one.
    pub state: Option<MemberState>,
    /// Whether its node is drained.
    pub drained: bool,
    /// Whether it is what the event is about.
    pub is_subject: bool,
}

/// A checked image of a selector, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selector<'a>(&'a [u8]);

impl<'a> Selector<'a> {
    /// Holds nothing.
    pub const EMPTY: Self = Self(&[]);
    /// Holds everything.
    pub const ALL: Self = Self(&[Operator::Union as u8, Holds::All as u8, 0]);

    /// Checks an image: at most [`TERMS_MAX`] terms, each of them sound.
    ///
    /// # Errors
    /// [`Malformed`] with the first broken rule.
    pub fn parse(image: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(image);
        let mut terms = 0;
        while reader.remaining() > 0 {
            Term::parse(&mut reader)?;
            terms += 1;
            if terms > TERMS_MAX {
                return Err(Malformed("selector with too many terms"));
            }
        }
        Ok(Self(image))
    }

    /// The image.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Whether it has no terms.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its terms, in order.
    pub fn terms(self) -> impl Iterator<Item = Term<'a>> {
        let mut reader = Reader::new(self.0);
        core::iter::from_fn(move || {
            if reader.remaining() == 0 { None } else { Term::parse(&mut reader).ok() }
        })
    }

    /// Whether it holds what these facts are about.
    #[must_use]
    pub fn holds(self, facts: &Facts<'_>) -> bool {
        self.terms().fold(false, |so_far, term| {
            let has = term.has(facts);
            match term.operator {
                Operator::Union => so_far || has,
                Operator::Difference => so_far && !has,
                Operator::Intersection => so_far && has,
                Operator::Either => so_far != has,
            }
        })
    }
}

impl<'a> Term<'a> {
    /// Appends the image of this term.
    ///
    /// # Errors
    /// [`Overflow`] when it does not fit.
    pub fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Overflow> {
        writer.put(&[self.operator as u8, self.holds as u8])?;
        writer.short(self.text.as_bytes())
    }

    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let operator = match reader.field::<u8>()? {
            0 => Operator::Union,
            1 => Operator::Difference,
            2 => Operator::Intersection,
            3 => Operator::Either,
            _ => return Err(Malformed("unknown operator in a selector")),
        };
        let holds = match reader.field::<u8>()? {
            1 => Holds::Names,
            2 => Holds::All,
            3 => Holds::State,
            4 => Holds::Domain,
            5 => Holds::Drained,
            6 => Holds::Subject,
            _ => return Err(Malformed("unknown term in a selector")),
        };
        let text = reader.text(NAME_MAX)?;
        match holds {
            Holds::Names | Holds::Domain => glob::check(text)?,
            Holds::State if state_named(text).is_none() => {
                return Err(Malformed("unknown state in a selector"));
            }
            Holds::All | Holds::Drained | Holds::Subject if !text.is_empty() => {
                return Err(Malformed("text in a term that takes none"));
            }
            Holds::State | Holds::All | Holds::Drained | Holds::Subject => {}
        }
        Ok(Self { operator, holds, text })
    }

    fn has(&self, facts: &Facts<'_>) -> bool {
        match self.holds {
            Holds::Names => glob::matches(self.text, facts.name),
            Holds::All => true,
            Holds::State => facts.state.is_some() && facts.state == state_named(self.text),
            Holds::Domain => !facts.domain.is_empty() && glob::matches(self.text, facts.domain),
            Holds::Drained => facts.drained,
            Holds::Subject => facts.is_subject,
        }
    }
}

/// The state of that name.
#[must_use]
pub fn state_named(name: &str) -> Option<MemberState> {
    [MemberState::Alive, MemberState::Gray, MemberState::Dead, MemberState::Left]
        .into_iter()
        .find(|state| state.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn image(terms: &[(Operator, Holds, &str)]) -> Vec<u8> {
        let mut out = [0; 512];
        let mut writer = Writer::new(&mut out);
        for (operator, holds, text) in terms {
            Term { operator: *operator, holds: *holds, text }.emit(&mut writer).unwrap();
        }
        let len = writer.written();
        out[..len].to_vec()
    }

    #[test]
    fn terms_apply_from_left_to_right() {
        let image = image(&[
            (Operator::Union, Holds::Names, "node[1-9]"),
            (Operator::Difference, Holds::State, "dead"),
            (Operator::Union, Holds::Domain, "rack7"),
            (Operator::Difference, Holds::Drained, ""),
        ]);
        let selector = Selector::parse(&image).unwrap();
        assert_eq!(selector.terms().count(), 4);
        let alive = Facts { name: "node3", state: Some(MemberState::Alive), ..Facts::default() };
        assert!(selector.holds(&alive));
        assert!(!selector.holds(&Facts { state: Some(MemberState::Dead), ..alive }));
        assert!(!selector.holds(&Facts { drained: true, ..alive }));
        assert!(!selector.holds(&Facts { name: "admin", ..alive }));
        assert!(selector.holds(&Facts { name: "admin", domain: "rack7", ..alive }));
        assert!(!Selector::EMPTY.holds(&alive) && Selector::ALL.holds(&alive));
    }

    #[test]
    fn broken_terms_are_refused() {
        let sound = (Operator::Union, Holds::Names, "n[1-3]");
        for terms in [
            &[(Operator::Union, Holds::Names, "n[")][..],
            &[(Operator::Union, Holds::State, "sick")],
            &[(Operator::Union, Holds::All, "x")],
            &[sound; TERMS_MAX + 1],
        ] {
            assert!(Selector::parse(&image(terms)).is_err(), "{terms:?}");
        }
        for bytes in [&[4, 1, 1, b'n'][..], &[0, 7, 0], &[0, 1, 9, b'n']] {
            assert!(Selector::parse(bytes).is_err(), "{bytes:?}");
        }
    }
}
