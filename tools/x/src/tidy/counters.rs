//! Every counter of the table is counted somewhere in the product.

use crate::finding::Finding;
use crate::source::words;
use crate::tree::Tree;
use std::collections::BTreeSet;

const TABLE: &str = "engine/seam/src/counters.rs";

/// Looks for a use of every variant outside of the table and outside of tests.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(table) = tree.text(TABLE) else {
        return vec![Finding::file(TABLE, "the table of counters is gone")];
    };
    let mut used = BTreeSet::new();
    for (path, source) in tree.sources().filter(|(path, _)| *path != TABLE) {
        // A table of names in a tool is not a use, and tools neither count nor lose anything.
        if path.starts_with("tools/x/") {
            continue;
        }
        for (_, code) in source.product() {
            let paths = words(code).filter(|(before, _)| before.ends_with("Counter::"));
            used.extend(paths.map(|(_, word)| word));
        }
    }
    let variants = variants(table);
    let unused = variants.iter().filter(|(_, variant)| !used.contains(variant));
    let mut findings: Vec<Finding> = unused
        .map(|(line, variant)| Finding::at(TABLE, *line, format!("nothing counts {variant}")))
        .collect();
    if variants.is_empty() {
        findings.push(Finding::file(TABLE, "no counter found in the table"));
    }
    findings
}

fn variants(table: &str) -> Vec<(usize, &str)> {
    let lines = table.lines().enumerate().skip_while(|(_, line)| !line.starts_with("counters! {"));
    lines
        .skip(1)
        .take_while(|(_, line)| !line.starts_with('}'))
        .filter_map(|(index, line)| Some((index + 1, line.trim().split_once(" = \"")?.0)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANTED: &str = "counters! {\n    Used = \"used\", count, \"U.\";\n    Idle = \"idle\", count, \"I.\";\n}\n";

    fn texts(code: &str) -> Vec<String> {
        let tree = Tree::planted(&[(TABLE, PLANTED), ("agent/src/lib.rs", code)]);
        check(&tree).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn a_counter_that_nothing_counts_is_found() {
        let code = "fn a() { out.count(Counter::Used, 1); }\n// Counter::Idle";
        assert_eq!(texts(code), ["engine/seam/src/counters.rs:3: nothing counts Idle"]);
    }

    #[test]
    fn a_use_in_tests_only_is_no_use() {
        let code = "fn a() { b(Counter::Idle) }\n#[cfg(test)]\nfn c() { d(Counter::Used) }";
        assert_eq!(texts(code), ["engine/seam/src/counters.rs:2: nothing counts Used"]);
    }

    #[test]
    fn an_empty_table_is_found() {
        assert_eq!(check(&Tree::planted(&[(TABLE, "")])).len(), 1);
        assert_eq!(check(&Tree::planted(&[])).len(), 1);
    }
}
