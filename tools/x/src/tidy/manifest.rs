//! As much of a Cargo manifest as the checks need.

/// A dependency as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// Name of the package.
    pub(crate) name: String,
    /// Line, from 1.
    pub(crate) line: usize,
    /// Whether only tests use it.
    pub(crate) for_tests: bool,
}

/// The dependencies of a package, of all sections, in order.
pub(crate) fn dependencies(manifest: &str) -> Vec<Dependency> {
    let mut all: Vec<Dependency> = Vec::new();
    let mut section = Section::Other;
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            section = Section::of(header.trim_end_matches(']'));
            if let Section::One { name, for_tests } = &section {
                let (name, for_tests) = (name.clone(), *for_tests);
                all.push(Dependency { name, line: index + 1, for_tests });
            }
        } else if let Section::Many { for_tests } = section
            && let Some((key, value)) = line.split_once('=')
            && !line.starts_with('#')
        {
            let key = key.split('.').next().unwrap_or(key).trim().trim_matches('"');
            let name = renamed(value).unwrap_or(key).into();
            all.push(Dependency { name, line: index + 1, for_tests });
        } else if let (Section::One { .. }, Some(name), Some(last)) =
            (&section, line.strip_prefix("package"), all.last_mut())
        {
            last.name = name.trim_matches([' ', '=', '"']).into();
        }
    }
    all
}

/// Paths that a manifest gives to targets: `path = "…"` outside of dependencies.
pub(crate) fn target_paths(manifest: &str) -> Vec<&str> {
    let mut in_target = false;
    let mut paths = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            in_target =
                matches!(line, "[lib]" | "[[bin]]" | "[[test]]" | "[[bench]]" | "[[example]]");
        } else if let (true, Some(value)) = (in_target, line.strip_prefix("path")) {
            paths.push(value.trim_matches([' ', '=', '"']));
        }
    }
    paths
}

#[derive(Debug)]
enum Section {
    /// `[dependencies]` and the like: a key per dependency.
    Many {
        for_tests: bool,
    },
    /// `[dependencies.name]`: one dependency.
    One {
        name: String,
        for_tests: bool,
    },
    Other,
}

impl Section {
    fn of(header: &str) -> Self {
        let for_tests = header.contains("dev-dependencies");
        if header.starts_with("workspace") {
            return Self::Other;
        }
        match header.split_once("dependencies") {
            Some((_, "")) => Self::Many { for_tests },
            Some((_, name)) => Self::One { name: name.trim_matches(['.', '"']).into(), for_tests },
            None => Self::Other,
        }
    }
}

/// The package behind a renamed dependency: `alias = { package = "name", … }`.
fn renamed(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("package")?;
    rest.split('"').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(manifest: &str) -> Vec<String> {
        dependencies(manifest).into_iter().map(|dependency| dependency.name).collect()
    }

    #[test]
    fn all_forms_of_a_dependency_are_seen() {
        let manifest = "[package]\nname = \"a\"\n[dependencies]\nb.workspace = true\n# no = 1\n\
                        c = { package = \"d\", version = \"1\" }\n[dependencies.e]\nversion = \"1\"\n\
                        [target.'cfg(loom)'.dependencies]\nf = \"1\"\n[workspace.dependencies]\ng = \"1\"";
        assert_eq!(names(manifest), ["b", "d", "e", "f"]);
    }

    #[test]
    fn a_section_may_rename_its_dependency() {
        assert_eq!(names("[dependencies.alias]\npackage = \"real\""), ["real"]);
    }

    #[test]
    fn dependencies_of_tests_are_told_apart() {
        let all = dependencies("[dependencies]\na = \"1\"\n[dev-dependencies]\nb = \"1\"");
        assert_eq!(all.iter().map(|d| d.for_tests).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn paths_of_targets_are_found() {
        let manifest =
            "[dependencies]\na = { path = \"x\" }\n[[bin]]\nname = \"b\"\npath = \"b.rs\"";
        assert_eq!(target_paths(manifest), ["b.rs"]);
    }
}
