//! Every numbered invariant of ARCHITECTURE.md is named by a test, and none that is not there.
//!
//! An invariant is a numbered item below a heading that has the word "invariants". A test names it
//! in a comment: `invariant 7`, or `invariants 7, 8`.

use crate::finding::Finding;
use crate::tree::Tree;
use std::collections::BTreeMap;

const DOCUMENT: &str = "ARCHITECTURE.md";

/// Compares the numbers in the document with those in comments of tests.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(document) = tree.text(DOCUMENT) else {
        return vec![Finding::file(DOCUMENT, "the document is missing")];
    };
    let numbered = numbered(document);
    let named = named(tree);
    let mut findings: Vec<Finding> = numbered
        .iter()
        .filter(|(number, _)| !named.contains_key(number))
        .map(|(number, line)| {
            Finding::at(DOCUMENT, *line, format!("no test names invariant {number}"))
        })
        .collect();
    for (number, (path, line)) in &named {
        if !numbered.contains_key(number) {
            findings.push(Finding::at(path, *line, format!("there is no invariant {number}")));
        }
    }
    if numbered.is_empty() {
        findings.push(Finding::file(DOCUMENT, "no numbered invariants below such a heading"));
    }
    findings
}

/// Numbers and lines of the items below the heading.
fn numbered(document: &str) -> BTreeMap<u32, usize> {
    let mut below = false;
    let mut all = BTreeMap::new();
    for (index, line) in document.lines().enumerate() {
        if line.starts_with('#') {
            below = line.to_lowercase().contains("invariants");
        } else if below && let Some((number, _)) = line.split_once(". ") {
            all.extend(number.parse().map(|number: u32| (number, index + 1)));
        }
    }
    all
}

/// Numbers in comments of test code, with the first place of each.
fn named(tree: &Tree) -> BTreeMap<u32, (&str, usize)> {
    let mut all = BTreeMap::new();
    for (path, source) in tree.sources() {
        // The simulator is a test by nature: its invariants stand in its product.
        let is_test_crate = path.starts_with("tools/sim/");
        for (line, comment) in source.comments() {
            if source.is_test(line) || is_test_crate {
                for number in numbers(comment) {
                    all.entry(number).or_insert((path, line));
                }
            }
        }
    }
    all
}

/// The numbers behind the word `invariant` or `invariants`.
fn numbers(comment: &str) -> Vec<u32> {
    let lower = comment.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    if !words.any(|word| matches!(word, "invariant" | "invariants")) {
        return Vec::new();
    }
    let list = words.filter(|word| *word != "and");
    list.map_while(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANTED: &str = "1. no\n## Invariants\n1. One.\n2. Two.\n## Else\n3. no\n";

    fn texts(code: &str) -> Vec<String> {
        let tree = Tree::planted(&[(DOCUMENT, PLANTED), ("a/tests/story.rs", code)]);
        check(&tree).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn an_invariant_that_no_test_names_is_found() {
        assert_eq!(texts("// Invariants 1 and 2.\nfn a() {}"), [""; 0]);
        let code = "/// Invariant 1: one.\nfn a() { \"invariant 2\" }";
        assert_eq!(texts(code), ["ARCHITECTURE.md:4: no test names invariant 2"]);
    }

    #[test]
    fn a_test_of_an_invariant_that_is_gone_is_found() {
        let found = texts("// invariants 1, 2, 9");
        assert_eq!(found, ["a/tests/story.rs:1: there is no invariant 9"]);
    }

    #[test]
    fn a_comment_in_the_product_is_no_test() {
        let tree = Tree::planted(&[(DOCUMENT, PLANTED), ("a/src/lib.rs", "// invariants 1, 2")]);
        assert_eq!(check(&tree).len(), 2);
    }

    #[test]
    fn a_missing_document_is_found() {
        assert_eq!(check(&Tree::planted(&[])).len(), 1);
    }
}
