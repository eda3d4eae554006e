//! Which file declares which: `mod name;`, `#[path = "…"]`, `include!("…")`.

use crate::source::{Source, words};

/// Another source that a line brings in.
#[derive(Debug)]
pub(crate) struct Declaration {
    /// The line, from 1.
    pub(crate) line: usize,
    /// Where the source may be.
    pub(crate) paths: Vec<String>,
}

/// All declarations of the source at `path`. The file of a target has its modules beside it, as
/// `lib.rs`, `main.rs` and `mod.rs` always have; other files have them in a folder of their name.
pub(crate) fn declarations(
    path: &str,
    text: &str,
    source: &Source,
    is_target: bool,
) -> Vec<Declaration> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.trim_end_matches(".rs");
    let beside = is_target || matches!(stem, "lib" | "main" | "mod");
    let home = if beside { folder.to_owned() } else { format!("{folder}/{stem}") };
    let raw: Vec<&str> = text.lines().collect();
    let mut all = Vec::new();
    for (line, code) in source.code() {
        let mut paths = Vec::new();
        if code.contains("#[path") || code.contains("include!(") {
            let quoted = raw.get(line - 1).and_then(|text| text.split('"').nth(1));
            paths.extend(quoted.map(|target| joined(folder, target)));
        }
        if let Some(name) = declared(code) {
            paths.push(format!("{home}/{name}.rs"));
            paths.push(format!("{home}/{name}/mod.rs"));
        }
        if !paths.is_empty() {
            all.push(Declaration { line, paths });
        }
    }
    all
}

/// The module that a line declares without a body: `mod name;`.
fn declared(code: &str) -> Option<&str> {
    let (_, name) = words(code).find(|(before, _)| before.trim_end().ends_with("mod"))?;
    code.trim_end().ends_with(';').then_some(name)
}

fn joined(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in target.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(path: &str, text: &str) -> Vec<String> {
        let all = declarations(path, text, &Source::new(path, text), false);
        all.into_iter().flat_map(|declaration| declaration.paths).collect()
    }

    #[test]
    fn modules_are_beside_a_lib_and_below_any_other_file() {
        assert_eq!(paths("a/src/lib.rs", "pub mod b;"), ["a/src/b.rs", "a/src/b/mod.rs"]);
        assert_eq!(paths("a/src/b.rs", "mod c;"), ["a/src/b/c.rs", "a/src/b/c/mod.rs"]);
        assert_eq!(paths("a/src/b.rs", "mod c { }\n// mod d;"), [""; 0]);
    }

    #[test]
    fn paths_in_quotes_are_relative_to_the_file() {
        assert_eq!(paths("a/src/b.rs", "include!(\"../c.rs\");"), ["a/c.rs"]);
    }
}
