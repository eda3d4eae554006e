//! Tests wait for conditions, never for durations. (In the product, clippy sees to it.)

use crate::finding::Finding;
use crate::source::words;
use crate::tree::Tree;

/// Looks for `sleep` in test code.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, source) in tree.sources() {
        for (line, code) in source.code().filter(|(line, _)| source.is_test(*line)) {
            let sleeps = words(code).any(|(before, word)| {
                word == "sleep" && (before.ends_with("thread::") || before.ends_with("time::"))
            });
            if sleeps {
                let text = "a test sleeps: wait for a condition with a deadline";
                findings.push(Finding::at(path, line, text));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeping_test_is_found() {
        let files = [
            (
                "a/src/lib.rs",
                "fn sleep() {}\n#[cfg(test)]\nmod tests { fn b() { thread::sleep(c) } }",
            ),
            ("a/tests/b.rs", "// thread::sleep\nuse std::thread::sleep;"),
        ];
        let lines: Vec<usize> = check(&Tree::planted(&files)).iter().map(|f| f.line).collect();
        assert_eq!(lines, [3, 2]);
    }
}
