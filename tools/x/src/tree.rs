//! The files of the project, in memory.
//!
//! Checks see nothing but a [`Tree`], so their tests plant violations in a tree of a few lines.

use crate::modules::declarations;
use crate::source::Source;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Files by path, relative to the root, with `/`.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
    sources: BTreeMap<String, Source>,
}

impl Tree {
    /// Everything that git tracks, and what it does not ignore yet; without git, every file
    /// outside of build folders. Files that are not UTF-8 are left out.
    ///
    /// # Errors
    /// When folders cannot be listed.
    pub(crate) fn of_the_project() -> Result<Self, String> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root())
            .output()
            .ok()
            .filter(|output| output.status.success());
        let mut paths = Vec::new();
        match output {
            Some(output) => {
                let list = String::from_utf8_lossy(&output.stdout).into_owned();
                paths.extend(list.split_terminator('\0').map(str::to_owned));
            }
            None => walk("", &mut paths).map_err(|error| format!("cannot list files: {error}"))?,
        }
        let mut tree = Self::default();
        for path in paths {
            if let Ok(text) = fs::read_to_string(root().join(&path)) {
                tree.add(&path, text);
            }
        }
        tree.mark_tests();
        Ok(tree)
    }

    /// Adds a file.
    pub(crate) fn add(&mut self, path: &str, text: String) {
        if is_rust(path) {
            self.sources.insert(path.into(), Source::new(path, &text));
        }
        self.files.insert(path.into(), text);
    }

    /// Marks the files of modules that are declared in test code, and of their modules.
    fn mark_tests(&mut self) {
        let mut waiting = Vec::new();
        for (path, source) in &self.sources {
            let all = declarations(path, &self.files[path], source, false);
            let for_tests = all.into_iter().filter(|declaration| source.is_test(declaration.line));
            waiting.extend(for_tests.flat_map(|declaration| declaration.paths));
        }
        while let Some(path) = waiting.pop() {
            let Some(source) = self.sources.get_mut(&path).filter(|source| !source.is_test(1))
            else {
                continue;
            };
            source.mark_test();
            let all = declarations(&path, &self.files[&path], source, false);
            waiting.extend(all.into_iter().flat_map(|declaration| declaration.paths));
        }
    }

    /// The text of a file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// All files.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// All Rust sources.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.sources.iter().map(|(path, source)| (path.as_str(), source))
    }

    /// A Rust source.
    pub(crate) fn source(&self, path: &str) -> Option<&Source> {
        self.sources.get(path)
    }

    /// The folder of the crate that a file belongs to: that of the nearest manifest above it.
    pub(crate) fn crate_of<'p>(&self, path: &'p str) -> Option<&'p str> {
        let mut folder = path;
        while let Some((above, _)) = folder.rsplit_once('/') {
            if self.files.contains_key(&format!("{above}/Cargo.toml")) {
                return Some(above);
            }
            folder = above;
        }
        None
    }

    #[cfg(test)]
    pub(crate) fn planted(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        files.iter().for_each(|(path, text)| tree.add(path, (*text).into()));
        tree.mark_tests();
        tree
    }
}

fn is_rust(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

/// Adds the paths of all files below a folder.
fn walk(folder: &str, paths: &mut Vec<String>) -> std::io::Result<()> {
    for entry in fs::read_dir(root().join(folder))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        if !entry.file_type()?.is_dir() {
            paths.push(path);
        } else if !matches!(name.as_str(), "target" | ".git") {
            walk(&path, paths)?;
        }
    }
    Ok(())
}

/// The root of the project.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_read_with_and_without_git() {
        let tree = Tree::of_the_project().unwrap();
        let mut walked = Vec::new();
        walk("", &mut walked).unwrap();
        let lib = "engine/wire/src/lib.rs";
        assert!(tree.source(lib).is_some() && walked.iter().any(|path| path == lib));
        assert!(!walked.iter().any(|path| path.starts_with("target/")));
    }

    #[test]
    fn modules_declared_for_tests_are_test_code() {
        let tree = Tree::planted(&[
            ("a/src/lib.rs", "mod b;\n#[cfg(test)]\nmod fixture;"),
            ("a/src/b.rs", "fn b() {}"),
            ("a/src/fixture.rs", "mod inner;"),
            ("a/src/fixture/inner.rs", "fn c() {}"),
        ]);
        let is_test = |path| tree.source(path).is_some_and(|source| source.is_test(1));
        assert!(!is_test("a/src/b.rs"));
        assert!(is_test("a/src/fixture.rs") && is_test("a/src/fixture/inner.rs"));
    }

    #[test]
    fn a_file_belongs_to_the_nearest_crate_above_it() {
        let tree = Tree::planted(&[("engine/Cargo.toml", ""), ("engine/wire/Cargo.toml", "")]);
        assert_eq!(tree.crate_of("engine/wire/src/lib.rs"), Some("engine/wire"));
        assert_eq!(tree.crate_of("engine/src/link/mod.rs"), Some("engine"));
        assert_eq!(tree.crate_of("stray.rs"), None);
    }
}
