//! No dead files: every Rust source is reached from a target of its crate.

use super::manifest::target_paths;
use crate::finding::Finding;
use crate::modules::declarations;
use crate::tree::Tree;
use std::collections::BTreeSet;

/// Follows `mod` and `include!` from the targets of every crate.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut reached = BTreeSet::new();
    let roots = roots(tree);
    let mut waiting: Vec<String> = roots.iter().cloned().collect();
    while let Some(path) = waiting.pop() {
        if tree.text(&path).is_some() && reached.insert(path.clone()) {
            waiting.extend(children(tree, &path, roots.contains(&path)));
        }
    }
    let dead = tree.sources().filter(|(path, _)| !reached.contains(*path));
    dead.map(|(path, _)| Finding::file(path, "no target reaches this file")).collect()
}

/// The root files of all targets: by convention and by manifest.
fn roots(tree: &Tree) -> BTreeSet<String> {
    let mut roots = BTreeSet::new();
    for (path, text) in tree.files() {
        if let Some(folder) = path.strip_suffix("Cargo.toml") {
            roots.extend(target_paths(text).into_iter().map(|target| format!("{folder}{target}")));
        }
    }
    for (path, _) in tree.sources() {
        let Some(folder) = tree.crate_of(path) else { continue };
        let inside = path[folder.len()..].trim_start_matches('/');
        let parts: Vec<&str> = inside.split('/').collect();
        let is_root = matches!(
            parts.as_slice(),
            ["build.rs"]
                | ["src", "lib.rs" | "main.rs"]
                | ["src", "bin", _]
                | ["src", "bin", _, "main.rs"]
                | ["tests" | "benches" | "examples", _]
                | ["tests" | "benches" | "examples", _, "main.rs"]
        );
        if is_root {
            roots.insert(path.into());
        }
    }
    roots
}

/// Where the modules that a file declares may be.
fn children(tree: &Tree, path: &str, is_target: bool) -> Vec<String> {
    let (Some(text), Some(source)) = (tree.text(path), tree.source(path)) else {
        return Vec::new();
    };
    let all = declarations(path, text, source, is_target);
    all.into_iter().flat_map(|declaration| declaration.paths).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::planted(files)).into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn modules_are_followed_in_both_layouts() {
        let files = [
            ("a/Cargo.toml", ""),
            ("a/src/lib.rs", "pub mod one;\nmod two;\npub(crate) mod three;"),
            ("a/src/one.rs", "mod inner;"),
            ("a/src/one/inner.rs", ""),
            ("a/src/two/mod.rs", "mod inner;"),
            ("a/src/two/inner.rs", ""),
            ("a/src/three.rs", ""),
            ("a/tests/story.rs", "mod common;"),
            ("a/tests/common/mod.rs", ""),
        ];
        assert_eq!(dead(&files), [""; 0]);
    }

    #[test]
    fn a_file_that_no_module_declares_is_found() {
        let files = [
            ("a/Cargo.toml", ""),
            ("a/src/lib.rs", "// mod gone;\nmod here;"),
            ("a/src/here.rs", ""),
            ("a/src/gone.rs", ""),
            ("stray.rs", ""),
        ];
        assert_eq!(dead(&files), ["a/src/gone.rs", "stray.rs"]);
    }

    #[test]
    fn targets_of_the_manifest_and_paths_count() {
        let files = [
            ("f/Cargo.toml", "[[bin]]\npath = \"fuzz_targets/x.rs\""),
            ("f/fuzz_targets/x.rs", "#[path = \"../shared/y.rs\"]\nmod y;"),
            ("f/shared/y.rs", ""),
        ];
        assert_eq!(dead(&files), [""; 0]);
    }
}
