//! No god-files: a Rust source has at most 500 lines. (Functions are clippy's.)

use crate::finding::Finding;
use crate::tree::Tree;

const LINES_MAX: usize = 500;

/// Counts lines.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let sources = tree.sources().filter_map(|(path, _)| Some((path, tree.text(path)?)));
    sources
        .filter_map(|(path, text)| {
            let lines = text.lines().count();
            let text = format!("{lines} lines, at most {LINES_MAX}: cut it by concern");
            (lines > LINES_MAX).then(|| Finding::file(path, text))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_over_the_ceiling_is_found() {
        let (fits, over) = ("\n".repeat(LINES_MAX), "\n".repeat(LINES_MAX + 1));
        let tree = Tree::planted(&[("a.rs", &fits), ("b.rs", &over), ("c.md", &over)]);
        let paths: Vec<String> = check(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(paths, ["b.rs"]);
    }
}
