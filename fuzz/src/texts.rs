//! Parsers of what people write.

use std::fs;
use std::path::PathBuf;
use std::thread;
use syncom::config::{Config, Kind};
use syncom::nodeset::{NAMES_MAX, NoGroups, NodeSet, fold};

/// Names whose folding is folded back: beyond, it takes longer than it tells.
const FOLDED_MAX: usize = 500;

/// Node sets: bounded, and what is folded unfolds to the same names.
pub fn nodeset(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match NodeSet::parse(text, &NoGroups) {
        Err(error) => drop(error.to_string()),
        Ok(names) => {
            assert!(names.len() <= NAMES_MAX);
            if (1..=FOLDED_MAX).contains(&names.len()) {
                let folded = fold(names.iter().map(String::as_str));
                let again = NodeSet::parse(&folded, &NoGroups);
                assert_eq!(again.as_ref(), Ok(&names), "{folded}");
            }
        }
    }
}

/// Configurations of members: accepted, or refused with a text that names the file.
pub fn config(data: &[u8]) {
    let path = scratch();
    fs::write(&path, data).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for kind in [Kind::Station, Kind::Satellite, Kind::Agent] {
        if let Err(failure) = Config::load(&path, kind) {
            assert!(failure.to_string().contains("syncom-fuzz"), "{failure}");
        }
    }
    let _ = fs::remove_file(path);
}

/// A file that no other thread or process uses.
fn scratch() -> PathBuf {
    let thread = format!("{:?}", thread::current().id());
    let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
    std::env::temp_dir().join(format!("syncom-fuzz-{}-{thread}.toml", std::process::id()))
}
