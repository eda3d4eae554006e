//! A name with brackets: `rack[1-4]n[001-064]`.

use super::NAMES_MAX;
use super::error::{NodeSetError, Reason};
use super::scan::Scanner;

/// A name in which some parts are ranges of numbers. Stands for at most [`NAMES_MAX`] names.
#[derive(Debug)]
pub(super) struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Numbers(Vec<Range>),
}

/// Numbers `from`, `from + step` and so on up to `to`, padded to `width` digits.
#[derive(Clone, Copy, Debug)]
struct Range {
    from: u64,
    to: u64,
    step: u64,
    width: usize,
}

impl Range {
    const fn count(self) -> u64 {
        (self.to - self.from) / self.step + 1
    }
}

impl Pattern {
    /// Takes a pattern off the front; `what` says what it is when there is none.
    pub(super) fn parse(
        scanner: &mut Scanner<'_>,
        what: &'static str,
    ) -> Result<Self, NodeSetError> {
        let at = scanner.at();
        let mut parts = Vec::new();
        let mut count = 1_u64;
        loop {
            let text = scanner.take_while(is_of_a_name);
            if !text.is_empty() {
                parts.push(Part::Text(text.into()));
            }
            if !scanner.skip('[') {
                break;
            }
            let ranges = brackets(scanner)?;
            let numbers = ranges.iter().fold(0_u64, |sum, range| sum.saturating_add(range.count()));
            count = count.saturating_mul(numbers);
            if count > NAMES_MAX as u64 {
                return Err(scanner.error_at(at, Reason::TooMany));
            }
            parts.push(Part::Numbers(ranges));
        }
        if parts.is_empty() { Err(scanner.expected(what)) } else { Ok(Self { parts }) }
    }

    /// All names, numbers on the right running fastest.
    pub(super) fn expand(self) -> impl Iterator<Item = String> {
        let mut names = vec![String::new()];
        for part in self.parts {
            match part {
                Part::Text(text) => names.iter_mut().for_each(|name| name.push_str(&text)),
                Part::Numbers(ranges) => {
                    names = names.iter().flat_map(|name| with_numbers(name, &ranges)).collect();
                }
            }
        }
        names.into_iter()
    }
}

/// The name with each of the numbers behind it.
fn with_numbers(name: &str, ranges: &[Range]) -> Vec<String> {
    let numbers = ranges.iter().flat_map(|range| {
        let values = (0..range.count()).map(|index| range.from + index * range.step);
        values.map(|value| format!("{name}{value:0width$}", width = range.width))
    });
    numbers.collect()
}

fn is_of_a_name(c: char) -> bool {
    !c.is_whitespace() && !c.is_control() && !matches!(c, ',' | '!' | '&' | '^' | '@' | '[' | ']')
}

/// Ranges up to the closing bracket; the opening one is behind.
fn brackets(scanner: &mut Scanner<'_>) -> Result<Vec<Range>, NodeSetError> {
    let mut ranges = vec![range(scanner)?];
    while !scanner.skip(']') {
        if !scanner.skip(',') {
            return Err(scanner.expected("a comma or ]"));
        }
        ranges.push(range(scanner)?);
    }
    Ok(ranges)
}

/// `7`, `1-9` or `1-9/2`.
fn range(scanner: &mut Scanner<'_>) -> Result<Range, NodeSetError> {
    let at = scanner.at();
    let from = scanner.number()?;
    let mut range = Range { from: from.value, to: from.value, step: 1, width: from.width() };
    if !scanner.skip('-') {
        return Ok(range);
    }
    let to = scanner.number()?;
    let differs = to.digits < from.digits || (to.is_padded() && to.digits != from.digits);
    if to.value < from.value {
        return Err(scanner.error_at(at, Reason::Backwards));
    }
    if differs {
        return Err(scanner.error_at(at, Reason::Padding));
    }
    range.to = to.value;
    let at = scanner.at();
    if scanner.skip('/') {
        range.step = scanner.number()?.value;
        if range.step == 0 {
            return Err(scanner.error_at(at, Reason::ZeroStep));
        }
    }
    Ok(range)
}
