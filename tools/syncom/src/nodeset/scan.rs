//! Walks over the characters of a node set and remembers where it is.

use super::error::{NodeSetError, Reason};
use super::number::Number;

/// A place in a text.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Starts at the front.
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The place, for [`Self::error_at`].
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The next character, which stays.
    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Steps over the next character.
    pub(super) fn next(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    /// Steps over `wanted` if it is next.
    pub(super) fn skip(&mut self, wanted: char) -> bool {
        let is_next = self.peek() == Some(wanted);
        if is_next {
            self.next();
        }
        is_next
    }

    /// Steps over blanks; whether there were any.
    pub(super) fn skip_blanks(&mut self) -> bool {
        !self.take_while(char::is_whitespace).is_empty()
    }

    /// Takes characters as long as `wanted` accepts them.
    pub(super) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let len = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    /// Takes a number.
    pub(super) fn number(&mut self) -> Result<Number, NodeSetError> {
        let at = self.at;
        let digits = self.take_while(|c| c.is_ascii_digit());
        if digits.is_empty() {
            return Err(self.expected("a number"));
        }
        Number::new(digits).ok_or_else(|| self.error_at(at, Reason::LongNumber))
    }

    /// Something else should be next.
    pub(super) fn expected(&self, what: &'static str) -> NodeSetError {
        self.error_at(self.at, Reason::Expected { what, found: self.peek() })
    }

    /// A mistake at an earlier place.
    pub(super) fn error_at(&self, at: usize, reason: Reason) -> NodeSetError {
        NodeSetError { column: self.text[..at].chars().count() + 1, reason }
    }
}
