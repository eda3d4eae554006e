//! Names with wildcards and numbers: `node[001-064]`, `*/web`, `rack?-pdu`.
//!
//! `*` stands for any text, `?` for one character, brackets for numbers as node sets write them:
//! `[7]`, `[1-9,12]`, `[1-99/2]`; zeros in front are the width. A pattern is matched in one pass
//! over its elements with the set of all places in the name that they may have come to, so nothing
//! is tried twice, whatever the pattern.

use crate::layout::Malformed;

/// Bytes of a name that can match: one bit each, and one for the end.
const NAME_BITS: usize = 127;
/// Digits of a number.
const DIGITS_MAX: usize = 18;

/// A part of a pattern.
#[derive(Clone, Copy, Debug)]
enum Element<'a> {
    Text(&'a str),
    One,
    Any,
    /// What stands between the brackets.
    Numbers(&'a str),
}

/// Takes the elements off a pattern, one by one.
struct Elements<'a>(&'a str);

impl<'a> Elements<'a> {
    fn next(&mut self) -> Result<Option<Element<'a>>, Malformed> {
        let rest = self.0;
        let Some(first) = rest.chars().next() else { return Ok(None) };
        let (element, len) = match first {
            '*' => (Element::Any, 1),
            '?' => (Element::One, 1),
            '[' => {
                let end = rest.find(']').ok_or(Malformed("bracket without end"))?;
                let numbers = rest.get(1..end).unwrap_or("");
                (Element::Numbers(numbers), end + 1)
            }
            ']' => return Err(Malformed("bracket without beginning")),
            _ => {
                let len = rest.find(['*', '?', '[', ']']).unwrap_or(rest.len());
                (Element::Text(rest.get(..len).unwrap_or("")), len)
            }
        };
        self.0 = rest.get(len..).unwrap_or("");
        Ok(Some(element))
    }
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
    fn parse(text: &str) -> Result<Self, Malformed> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, number(step)?),
            None => (text, 1),
        };
        let (from_text, to_text) = range.split_once('-').unwrap_or((range, range));
        let (from, to) = (number(from_text)?, number(to_text)?);
        if from > to || step == 0 {
            return Err(Malformed("a range of numbers that leads nowhere"));
        }
        let padded = from_text.len() > natural_digits(from);
        Ok(Self { from, to, step, width: if padded { from_text.len() } else { 0 } })
    }

    const fn holds(self, value: u64, digits: usize) -> bool {
        let natural = natural_digits(value);
        let written = if self.width > natural { self.width } else { natural };
        digits == written
            && value >= self.from
            && value <= self.to
            && (value - self.from).is_multiple_of(self.step)
    }
}

fn number(text: &str) -> Result<u64, Malformed> {
    let sound = !text.is_empty()
        && text.len() <= DIGITS_MAX
        && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = if sound { text.parse().ok() } else { None };
    value.ok_or(Malformed("not a number in brackets"))
}

const fn natural_digits(value: u64) -> usize {
    match value.checked_ilog10() {
        Some(log) => log as usize + 1,
        None => 1,
    }
}

/// Checks a pattern.
///
/// # Errors
/// [`Malformed`] when it is empty, or its brackets hold anything but ranges of numbers.
pub(crate) fn check(pattern: &str) -> Result<(), Malformed> {
    if pattern.is_empty() {
        return Err(Malformed("empty pattern"));
    }
    let mut elements = Elements(pattern);
    while let Some(element) = elements.next()? {
        if let Element::Numbers(ranges) = element {
            for range in ranges.split(',') {
                Range::parse(range)?;
            }
        }
    }
    Ok(())
}

/// Whether the whole name is what the pattern stands for. Names beyond 127 bytes match nothing.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    if name.len() > NAME_BITS {
        return false;
    }
    let mut elements = Elements(pattern);
    let mut places = 1_u128;
    while let Ok(Some(element)) = elements.next() {
        places = advance(element, name, places);
        if places == 0 {
            return false;
        }
    }
    places >> name.len() & 1 == 1
}

/// Where in the name an element may end that begins at one of `places`.
fn advance(element: Element<'_>, name: &str, places: u128) -> u128 {
    if let Element::Any = element {
        let all = u128::MAX >> (NAME_BITS - name.len());
        return all & (u128::MAX << places.trailing_zeros().min(127));
    }
    let mut ends = 0;
    for at in (0..=name.len()).filter(|at| places >> at & 1 == 1) {
        let Some(rest) = name.get(at..) else { continue };
        match element {
            Element::Any => {}
            Element::One => {
                if let Some(c) = rest.chars().next() {
                    ends |= 1 << (at + c.len_utf8());
                }
            }
            Element::Text(text) => {
                if rest.starts_with(text) {
                    ends |= 1 << (at + text.len());
                }
            }
            Element::Numbers(ranges) => ends |= numbers(ranges, rest) << at,
        }
    }
    ends
}

/// Lengths, as bits, of the numbers at the front of a text that are in one of the ranges.
fn numbers(ranges: &str, text: &str) -> u128 {
    let digits = text.bytes().take(DIGITS_MAX).take_while(u8::is_ascii_digit).count();
    let mut lengths = 0;
    for len in 1..=digits {
        let Some(Ok(value)) = text.get(..len).map(str::parse) else { continue };
        let is_in = |range| Range::parse(range).is_ok_and(|range| range.holds(value, len));
        if ranges.split(',').any(is_in) {
            lengths |= 1 << len;
        }
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_they_say() {
        for (pattern, names) in [
            ("node7", &["node7"][..]),
            ("*", &["", "node7", "a/b", "é"]),
            ("*/web", &["node1/web", "/web"]),
            ("node[001-064]", &["node001", "node064"]),
            ("n[8-11]", &["n8", "n9", "n10", "n11"]),
            ("n[08-11]", &["n08", "n11"]),
            ("rack[1-4]n[1-9/2]", &["rack1n1", "rack4n9"]),
            ("n[1,7]?", &["n1x", "n7é", "n77"]),
            ("n[1-20]5", &["n15", "n25", "n125"]),
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
            for name in names {
                assert!(matches(pattern, name), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn patterns_match_nothing_else() {
        for (pattern, name) in [
            ("node7", "node70"),
            ("node7", "anode7"),
            ("*/web", "web"),
            ("node[001-064]", "node1"),
            ("node[001-064]", "node065"),
            ("n[8-11]", "n08"),
            ("n[1-9/2]", "n2"),
            ("n?", "n"),
            ("n[1-20]5", "n5"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        let long = "x".repeat(128);
        assert!(!matches("*", &long), "beyond every name");
    }

    #[test]
    fn broken_brackets_are_refused() {
        for pattern in
            ["", "n[", "n]", "n[]", "n[a]", "n[3-1]", "n[1-5/0]", "n[1234567890123456789]"]
        {
            assert!(check(pattern).is_err(), "{pattern}");
            let _ = matches(pattern, "n1");
        }
    }

    #[test]
    fn many_stars_take_no_longer() {
        let pattern = "*a".repeat(31);
        assert!(!matches(&pattern, &"a".repeat(30)));
        assert!(matches(&pattern, &"a".repeat(64)));
    }
}
