//! Node sets as cluster people write them: `node[1-100,200]`, `rack[1-4]n[001-064]!@dead`.
//!
//! A set is a list of terms with operators between them, applied from left to right as ClusterShell
//! does, without precedence: `,` or a blank unites, `!` takes away, `&` keeps what both have, `^`
//! what only one has. A term is a name, in which brackets stand for numbers, or a group: `@all`,
//! `@dead`, `@domain:rack3`. A number's leading zeros are its width: `[08-11]` is 08, 09, 10, 11.
//!
//! Why not the `nodeset` crate: it is right and fast, but its library brings a command-line parser,
//! a logger, YAML and INI readers along (66 packages) for what is a few hundred lines here.

mod error;
mod fold;
mod number;
mod pattern;
mod scan;
#[cfg(test)]
mod tests;

pub use error::{NodeSetError, Reason};
pub use fold::fold;

use pattern::Pattern;
use scan::Scanner;
use std::collections::BTreeSet;

/// Names that one set, or one term of it, may hold: above every cluster, below any harm.
pub const NAMES_MAX: usize = 200_000;

/// Knows which names a group stands for.
pub trait Resolver {
    /// The members of the group, without its `@`; `None` when there is no such group.
    fn group(&self, name: &str) -> Option<BTreeSet<String>>;
}

/// A resolver for where there are no groups.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoGroups;

impl Resolver for NoGroups {
    fn group(&self, _: &str) -> Option<BTreeSet<String>> {
        None
    }
}

/// A node set under evaluation: what the terms so far have come to.
#[derive(Debug, Default)]
pub struct NodeSet {
    names: BTreeSet<String>,
}

impl NodeSet {
    /// The names that a text stands for.
    ///
    /// # Errors
    /// [`NodeSetError`] with the place of the first mistake: a term or number that is not one, a
    /// group that is not there, or more than [`NAMES_MAX`] names. At most that many are ever made.
    pub fn parse(text: &str, resolver: &dyn Resolver) -> Result<BTreeSet<String>, NodeSetError> {
        let mut scanner = Scanner::new(text);
        let mut set = Self::default();
        let mut operator = Operator::Union;
        loop {
            scanner.skip_blanks();
            let at = scanner.at();
            set.apply(operator, term(&mut scanner, resolver)?);
            if set.names.len() > NAMES_MAX {
                return Err(scanner.error_at(at, Reason::TooMany));
            }
            match next_operator(&mut scanner)? {
                Some(next) => operator = next,
                None => return Ok(set.names),
            }
        }
    }

    fn apply(&mut self, operator: Operator, mut term: BTreeSet<String>) {
        match operator {
            Operator::Union => self.names.append(&mut term),
            Operator::Difference => self.names.retain(|name| !term.contains(name)),
            Operator::Intersection => self.names.retain(|name| term.contains(name)),
            Operator::Either => {
                for name in term {
                    if !self.names.remove(&name) {
                        self.names.insert(name);
                    }
                }
            }
        }
    }
}

/// How a term changes what the terms before it have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `,` or a blank.
    Union,
    /// `!`.
    Difference,
    /// `&`.
    Intersection,
    /// `^`.
    Either,
}

/// A term that is not evaluated: what a set is made of, for those who ask it name by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// How it is applied.
    pub operator: Operator,
    /// Whether it is a group; its `@` is not part of the text.
    pub is_group: bool,
    /// The name or group as it was written, brackets included.
    pub text: String,
}

/// The terms of a node set, checked and not evaluated.
///
/// # Errors
/// As [`NodeSet::parse`], except that groups are not looked up.
pub fn terms(text: &str) -> Result<Vec<Term>, NodeSetError> {
    let mut scanner = Scanner::new(text);
    let mut terms = Vec::new();
    let mut operator = Operator::Union;
    loop {
        scanner.skip_blanks();
        let is_group = scanner.skip('@');
        let from = scanner.at();
        let what = if is_group { "the name of a group" } else { "a name or a @group" };
        Pattern::parse(&mut scanner, what)?;
        let text = text[from..scanner.at()].to_owned();
        terms.push(Term { operator, is_group, text });
        match next_operator(&mut scanner)? {
            Some(next) => operator = next,
            None => return Ok(terms),
        }
    }
}

/// A name, or a group with its `@`; either may have brackets.
fn term(
    scanner: &mut Scanner<'_>,
    resolver: &dyn Resolver,
) -> Result<BTreeSet<String>, NodeSetError> {
    let at = scanner.at();
    if !scanner.skip('@') {
        return Ok(Pattern::parse(scanner, "a name or a @group")?.expand().collect());
    }
    let mut members = BTreeSet::new();
    for group in Pattern::parse(scanner, "the name of a group")?.expand() {
        match resolver.group(&group) {
            Some(mut names) => members.append(&mut names),
            None => return Err(scanner.error_at(at, Reason::UnknownGroup(group))),
        }
    }
    Ok(members)
}

/// The operator in front of the next term; `None` at the end.
fn next_operator(scanner: &mut Scanner<'_>) -> Result<Option<Operator>, NodeSetError> {
    let blanks = scanner.skip_blanks();
    let operator = match scanner.peek() {
        None => return Ok(None),
        Some(',') => Operator::Union,
        Some('!') => Operator::Difference,
        Some('&') => Operator::Intersection,
        Some('^') => Operator::Either,
        Some(_) if blanks => return Ok(Some(Operator::Union)),
        Some(_) => return Err(scanner.expected("one of , ! & ^ or the end")),
    };
    scanner.next();
    Ok(Some(operator))
}
