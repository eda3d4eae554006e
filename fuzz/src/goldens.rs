//! The committed bytes of every frame: what all scripts begin with.

use crate::corpus::unhex;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// One frame of every kind, by number; at the end the opened datagram, header and all.
///
/// # Panics
/// When the golden files of the wire cannot be read: nothing can be fuzzed then.
pub(crate) fn goldens() -> &'static [Vec<u8>] {
    static GOLDENS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    GOLDENS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/wire/golden");
        let mut paths: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        paths.sort();
        paths.iter().map(|path| read(path)).collect()
    })
}

fn read(path: &Path) -> Vec<u8> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    text.lines().filter(|line| !line.starts_with('#')).flat_map(unhex).collect()
}
