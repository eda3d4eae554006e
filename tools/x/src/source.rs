//! A Rust source, split by a small lexer into code, comments and test code.
//!
//! All parts keep the line structure of the file, so a line number means the same in each.

/// A Rust source.
#[derive(Debug)]
pub(crate) struct Source {
    code: Vec<String>,
    comments: Vec<String>,
    test: Vec<bool>,
}

impl Source {
    /// Splits the text of the file at `path`.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let (code, comments) = split(text);
        let test = test_lines(path, &code);
        let lines = |text: String| text.split('\n').map(str::to_owned).collect();
        Self { code: lines(code), comments: lines(comments), test }
    }

    /// Numbered lines of code: comments and the contents of strings are blank.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.iter().enumerate().map(|(index, line)| (index + 1, line.as_str()))
    }

    /// Numbered lines of code that is in the product, not only in its tests.
    pub(crate) fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code().filter(|(line, _)| !self.is_test(*line))
    }

    /// Says that the whole file is compiled for tests only.
    pub(crate) fn mark_test(&mut self) {
        self.test.fill(true);
    }

    /// Numbered lines of comments.
    pub(crate) fn comments(&self) -> impl Iterator<Item = (usize, &str)> {
        self.comments.iter().enumerate().map(|(index, line)| (index + 1, line.as_str()))
    }

    /// Whether the line is compiled for tests only.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.test.get(line.wrapping_sub(1)).copied().unwrap_or(false)
    }
}

/// Whole words of a line: identifiers, each with what stands before it.
pub(crate) fn words(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = at + line[at..].find(is_word)?;
        let len = line[from..].find(|c| !is_word(c)).unwrap_or(line.len() - from);
        at = from + len;
        Some((&line[..from], &line[from..at]))
    })
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Code,
    LineComment,
    /// With the depth of nesting.
    BlockComment(u32),
    Text,
    /// With the number of hash signs.
    RawText(usize),
}

/// Code without comments and strings, and comments without code; both with all newlines.
fn split(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (String::new(), String::new());
    let mut state = State::Code;
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let (next, used, is_code) = step(state, rest, chars[..at].last().copied());
        for c in &rest[..used] {
            let is_comment = matches!(state, State::LineComment | State::BlockComment(_));
            let blank = if *c == '\n' { '\n' } else { ' ' };
            code.push(if is_code { *c } else { blank });
            comments.push(if is_comment { *c } else { blank });
        }
        state = next;
        at += used;
    }
    (code, comments)
}

/// The state after the first characters of `rest`, how many they are, and whether they are code.
fn step(state: State, rest: &[char], before: Option<char>) -> (State, usize, bool) {
    let pair = (rest[0], rest.get(1).copied().unwrap_or('\n'));
    match (state, pair) {
        (State::Code, ('/', '/')) => (State::LineComment, 2, false),
        (State::Code, ('/', '*')) => (State::BlockComment(1), 2, false),
        (State::Code, ('"', _)) => (State::Text, 1, true),
        (State::Code, ('r', '"' | '#')) if !before.is_some_and(|c| c.is_alphanumeric()) => {
            let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
            if rest.get(1 + hashes) == Some(&'"') {
                (State::RawText(hashes), 2 + hashes, true)
            } else {
                (State::Code, 1, true)
            }
        }
        (State::Code, ('\'', _)) => (State::Code, char_literal(rest), true),
        (State::Code, _) => (State::Code, 1, true),
        (State::LineComment, ('\n', _)) => (State::Code, 1, true),
        (State::LineComment, _) => (State::LineComment, 1, false),
        (State::BlockComment(depth), ('/', '*')) => (State::BlockComment(depth + 1), 2, false),
        (State::BlockComment(1), ('*', '/')) => (State::Code, 2, false),
        (State::BlockComment(depth), ('*', '/')) => (State::BlockComment(depth - 1), 2, false),
        (State::BlockComment(depth), _) => (State::BlockComment(depth), 1, false),
        (State::Text, ('\\', _)) => (State::Text, 2.min(rest.len()), false),
        (State::Text, ('"', _)) => (State::Code, 1, true),
        (State::Text, _) => (State::Text, 1, false),
        (State::RawText(hashes), ('"', _)) => {
            let closing = rest[1..].iter().take_while(|c| **c == '#').count();
            if closing >= hashes {
                (State::Code, 1 + hashes, true)
            } else {
                (State::RawText(hashes), 1, false)
            }
        }
        (State::RawText(hashes), _) => (State::RawText(hashes), 1, false),
    }
}

/// How long the character literal at the front is; 1 when it is the quote of a lifetime.
fn char_literal(rest: &[char]) -> usize {
    match rest {
        ['\'', '\\', ..] => {
            let end = rest.iter().skip(3).position(|c| *c == '\'');
            end.map_or(1, |end| end + 4)
        }
        ['\'', _, '\'', ..] => 3,
        _ => 1,
    }
}

/// Which lines belong to items under `#[cfg(test)]`, or to a file of tests.
fn test_lines(path: &str, code: &str) -> Vec<bool> {
    let lines = code.split('\n').count();
    let all = path.contains("/tests/") || path.ends_with("/tests.rs") || path.contains("/benches/");
    let mut test = vec![all; lines];
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let start = from + found;
        let item = start + "#[cfg(test)]".len();
        let end = item + item_len(&code[item..]);
        let line_of = |at: usize| code[..at].matches('\n').count();
        test[line_of(start)..=line_of(end)].fill(true);
        from = end;
    }
    test
}

/// How long the item at the front is: up to its semicolon or closing brace.
fn item_len(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at;
                }
            }
            ';' if depth == 0 => return at,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        split(text).0
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        assert_eq!(code("a // b\nc"), "a     \nc");
        assert_eq!(code("a /* b /* c */ d */ e"), format!("a {} e", " ".repeat(17)));
        assert_eq!(code(r#"f("std::net \" x")"#), format!(r#"f("{}")"#, " ".repeat(13)));
        assert_eq!(code(r##"r#"a"b"# c"##), r##"r#"   "# c"##);
    }

    #[test]
    fn quotes_of_characters_and_lifetimes_open_no_string() {
        assert_eq!(code("'\"' x"), "'\"' x");
        assert_eq!(code("'\\'' 'a '\\u{7f}' x"), "'\\'' 'a '\\u{7f}' x");
        assert_eq!(code("fn f<'a>(s: &'a str) {} // x").trim_end(), "fn f<'a>(s: &'a str) {}");
    }

    #[test]
    fn code_under_cfg_test_is_test_code() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}";
        let source = Source::new("x/src/lib.rs", text);
        let product: Vec<usize> = source.product().map(|(line, _)| line).collect();
        assert_eq!(product, [1, 6]);
        assert!(Source::new("x/src/foo/tests.rs", "fn a() {}").is_test(1));
    }

    #[test]
    fn a_cfg_test_line_without_braces_ends_at_its_semicolon() {
        let source = Source::new("x/src/lib.rs", "#[cfg(test)]\nextern crate std;\nfn a() {}");
        assert!(source.is_test(2) && !source.is_test(3));
    }

    #[test]
    fn words_come_with_what_stands_before_them() {
        let all: Vec<_> = words("std::net, x").collect();
        assert_eq!(all, [("", "std"), ("std::", "net"), ("std::net, ", "x")]);
    }
}
