//! Nothing of the machine that a change was made on: no paths of it, no registry but the public one.

use crate::finding::Finding;
use crate::tree::Tree;

/// Folders that exist on some machine and not on others. Spelt apart, so that this file passes.
const FOLDERS: &[&str] =
    &[concat!("/", "work"), concat!("/", "root"), concat!("/", "home"), concat!("/", "Users")];
/// The one registry.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Ways to send cargo elsewhere.
const DETOURS: &[&str] = &["[source", "[registries", "[registry", "replace-with"];

/// Looks at every line of every file.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        for (index, line) in text.lines().enumerate() {
            let mut report = |text: String| findings.push(Finding::at(path, index + 1, text));
            for folder in FOLDERS.iter().filter(|folder| names(line, folder)) {
                report(format!("names {folder}, a folder of one machine"));
            }
            if path.ends_with("Cargo.lock")
                && line.starts_with("source = ")
                && !line.contains(REGISTRY)
            {
                report("a package from elsewhere than the public registry".into());
            }
            if path.contains(".cargo/") && DETOURS.iter().any(|detour| line.starts_with(detour)) {
                report("sends cargo to another registry".into());
            }
        }
    }
    findings
}

/// Whether the line has the folder as the beginning of an absolute path.
fn names(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + folder.len()..].chars().next();
        let part_of_word =
            |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}');
        let ends = after.is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '_' | '-')));
        !before.is_some_and(part_of_word) && ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, line: &str) -> usize {
        check(&Tree::planted(&[(path, line)])).len()
    }

    #[test]
    fn paths_of_a_machine_are_found() {
        let path = concat!("/", "work/x");
        assert_eq!(count("a.md", &format!("see {path}")), 1);
        assert_eq!(count("a.rs", &format!("const A: &str = \"{path}\";")), 1);
        assert_eq!(count("a.md", concat!("`/", "root`")), 1);
    }

    #[test]
    fn words_that_only_look_like_them_pass() {
        assert_eq!(count("a.md", "frames/work and /workload and ./root and /rooted"), 0);
    }

    #[test]
    fn another_registry_is_found() {
        assert_eq!(count("Cargo.lock", "source = \"registry+https://mirror.example/index\""), 1);
        assert_eq!(count("Cargo.lock", &format!("source = \"{REGISTRY}\"")), 0);
        assert_eq!(count(".cargo/config.toml", "[source.crates-io]"), 1);
    }
}
