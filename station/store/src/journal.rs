//! What was done to the files below a directory, in order: for tests that cut the power.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One thing done to a file.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Create(PathBuf),
    Write(PathBuf, u64, Vec<u8>),
    Resize(PathBuf, u64),
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

static JOURNALS: Mutex<BTreeMap<PathBuf, Vec<Op>>> = Mutex::new(BTreeMap::new());

fn journals() -> MutexGuard<'static, BTreeMap<PathBuf, Vec<Op>>> {
    JOURNALS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to write down what happens below `dir`.
pub(crate) fn begin(dir: &Path) {
    journals().insert(dir.to_path_buf(), Vec::new());
}

/// How much has happened below `dir`.
pub(crate) fn len(dir: &Path) -> usize {
    journals().get(dir).map_or(0, Vec::len)
}

/// Everything that has happened below `dir`; nothing more is written down.
pub(crate) fn end(dir: &Path) -> Vec<Op> {
    journals().remove(dir).unwrap_or_default()
}

/// Writes `op` down, if somebody wants to know what happens to `path`.
pub(crate) fn note(path: &Path, op: impl FnOnce(PathBuf) -> Op) {
    let mut journals = journals();
    let journal = path.ancestors().find(|dir| journals.contains_key(*dir)).map(Path::to_path_buf);
    if let Some(journal) = journal.and_then(|dir| journals.get_mut(&dir)) {
        journal.push(op(path.to_path_buf()));
    }
}
