//! Corpora: one text file per target, one input per line, in hexadecimal.
//!
//! Text, so that a change of a corpus is a diff that people can read, and one file, so that the
//! tree does not fill with thousands of them. libFuzzer wants a folder with a file per input:
//! [`expand`] makes one, and [`write`] takes what minimising has left of it back.

use crate::goldens::goldens;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of all inputs in one committed corpus, at most: what is left out is found again soon.
const CORPUS_MAX: usize = 9 * 1024;

/// The inputs of a target: the committed ones and, for targets that parse them, the golden frames.
///
/// # Errors
/// When the corpus cannot be read. A missing one is empty.
pub fn read(name: &str) -> io::Result<Vec<Vec<u8>>> {
    let text = match fs::read_to_string(path_of(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    let committed = text.lines().filter(|line| !line.starts_with('#')).map(unhex);
    let mut inputs: Vec<_> = committed.collect();
    if matches!(name, "frames" | "header") {
        inputs.extend_from_slice(goldens());
    }
    inputs.push(Vec::new());
    Ok(inputs)
}

/// Writes the inputs of a target into a folder, a file each.
///
/// # Errors
/// When the corpus cannot be read or the folder not be written.
pub fn expand(name: &str, folder: &Path) -> io::Result<usize> {
    fs::create_dir_all(folder)?;
    let inputs = read(name)?;
    for (at, input) in inputs.iter().enumerate() {
        fs::write(folder.join(format!("seed-{at:04}")), input)?;
    }
    Ok(inputs.len())
}

/// Makes the files of a folder the committed corpus of a target: the shortest first, as many as
/// fit. Returns how many there were and how many are kept.
///
/// # Errors
/// When the folder cannot be read or the corpus not be written.
pub fn write(name: &str, folder: &Path) -> io::Result<(usize, usize)> {
    let mut inputs = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let input = fs::read(entry?.path())?;
        if !input.is_empty() && !goldens().contains(&input) {
            inputs.insert((input.len(), input));
        }
    }
    let (mut text, mut room, mut kept) = (String::new(), CORPUS_MAX, 0);
    for (len, input) in &inputs {
        let Some(left) = room.checked_sub(*len) else { break };
        (room, kept) = (left, kept + 1);
        input.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap_or_default());
        text.push('\n');
    }
    fs::create_dir_all(path_of(name).parent().unwrap_or(Path::new(".")))?;
    fs::write(path_of(name), text)?;
    Ok((inputs.len(), kept))
}

fn path_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(format!("{name}.hex"))
}

/// The bytes of a line of hexadecimal digits; blanks may separate bytes.
///
/// # Panics
/// When the line is anything else: the file was damaged.
pub(crate) fn unhex(line: &str) -> Vec<u8> {
    let digits: Vec<u32> = line
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| c.to_digit(16).unwrap_or_else(|| panic!("not hexadecimal: {line}")))
        .collect();
    assert!(digits.len().is_multiple_of(2), "half a byte at the end: {line}");
    let byte = |pair: &[u32]| u8::try_from(pair[0] << 4 | pair[1]).unwrap_or_default();
    digits.chunks(2).map(byte).collect()
}
