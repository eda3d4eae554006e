//! The counters file: what a process has counted, for tools to read while it runs, when it hangs,
//! and after it died.
//!
//! A fixed header and one `u64` per [`Counter`], mapped into memory. The one writer adds with plain
//! loads and stores; readers may see a counter a moment late and never torn. Members that share a
//! process keep their table in plain memory instead: a thousand files would help nobody.

mod map;

use map::Map;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use syncom_seam::Counter;

const MAGIC: [u8; 8] = *b"SYNCOMC1";
const VERSION: u32 = 1;
const NAME_MAX: usize = 64;
/// Magic, version, number of counters, pid, length of the name, name; in whole words.
const HEADER: usize = 8 + 4 * 4 + NAME_MAX;
const SIZE: usize = HEADER + Counter::COUNT * 8;
const _: () = assert!(HEADER.is_multiple_of(8), "counters are aligned");

/// Why a counters file cannot be used.
#[derive(Debug)]
pub enum CountersError {
    /// The file could not be made, opened or mapped.
    Io(PathBuf, io::Error),
    /// The file is not a counters file, or one of another version.
    Foreign(PathBuf),
}

impl fmt::Display for CountersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "counters file {}: {error}", path.display()),
            Self::Foreign(path) => {
                write!(f, "{} is not a counters file of this version", path.display())
            }
        }
    }
}

impl std::error::Error for CountersError {}

/// A table of counters: written by one thread, read by any.
///
/// Cloning gives another handle to the same table.
#[derive(Clone, Debug)]
pub struct Counters {
    table: Arc<Table>,
}

#[derive(Debug)]
enum Table {
    Memory(Box<[AtomicU64]>),
    File(Map),
}

impl Counters {
    /// A table that only this process can see.
    #[must_use]
    pub fn anonymous() -> Self {
        let words = (0..Counter::COUNT).map(|_| AtomicU64::new(0)).collect();
        Self { table: Arc::new(Table::Memory(words)) }
    }

    /// A table in a new file at `path`, replacing what an earlier process left there. `name` is the
    /// member's, cut to 64 bytes.
    ///
    /// # Errors
    /// [`CountersError::Io`] when the file cannot be made or mapped.
    pub fn create(path: &Path, name: &str) -> Result<Self, CountersError> {
        let fail = |error| CountersError::Io(path.to_path_buf(), error);
        // Not truncated in place: a reader may have the old file mapped.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            Ok(()) | Err(_) => {}
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(path).map_err(fail)?;
        // Every byte is written: a hole would need room when it is first counted in, and a process
        // that finds none then is killed.
        let mut image = vec![0; SIZE];
        image[..HEADER].copy_from_slice(&header(name));
        file.write_all_at(&image, 0).map_err(fail)?;
        let map = Map::new(&file, HEADER, Counter::COUNT, true).map_err(fail)?;
        Ok(Self { table: Arc::new(Table::File(map)) })
    }

    /// Adds to a counter. One thread only may write.
    pub fn add(&self, counter: Counter, by: u64) {
        let word = self.word(counter);
        word.store(word.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
    }

    /// Sets a gauge. One thread only may write.
    pub fn set(&self, counter: Counter, value: u64) {
        self.word(counter).store(value, Ordering::Relaxed);
    }

    /// The present value.
    #[must_use]
    pub fn get(&self, counter: Counter) -> u64 {
        self.word(counter).load(Ordering::Relaxed)
    }

    /// All counters with their values, in table order.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> {
        Counter::ALL.iter().map(|counter| (*counter, self.get(*counter)))
    }

    fn word(&self, counter: Counter) -> &AtomicU64 {
        let words = match &*self.table {
            Table::Memory(words) => words,
            Table::File(map) => map.words(),
        };
        &words[counter as usize]
    }
}

/// The counters of another process, alive or not.
#[derive(Debug)]
pub struct CountersReader {
    map: Map,
    pid: u32,
    name: String,
}

impl CountersReader {
    /// Opens the counters file of another process.
    ///
    /// # Errors
    /// [`CountersError`] when it cannot be read or is not a counters file of this version.
    pub fn open(path: &Path) -> Result<Self, CountersError> {
        let fail = |error| CountersError::Io(path.to_path_buf(), error);
        let foreign = || CountersError::Foreign(path.to_path_buf());
        let file = File::open(path).map_err(fail)?;
        let mut head = [0; HEADER];
        file.read_exact_at(&mut head, 0).map_err(|_| foreign())?;
        let (pid, name, count) = parse_header(&head).ok_or_else(foreign)?;
        let words_end = HEADER as u64 + 8 * count as u64;
        if count > Counter::COUNT || file.metadata().map_err(fail)?.len() < words_end {
            return Err(foreign());
        }
        let map = Map::new(&file, HEADER, count, false).map_err(fail)?;
        Ok(Self { map, pid, name })
    }

    /// The process that counts, or counted.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// The member's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The present value; 0 for a counter that the writer, an older version, does not have.
    #[must_use]
    pub fn get(&self, counter: Counter) -> u64 {
        self.map.words().get(counter as usize).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// All counters with their values, in table order.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> {
        Counter::ALL.iter().map(|counter| (*counter, self.get(*counter)))
    }
}

fn header(name: &str) -> [u8; HEADER] {
    let mut cut = name.len().min(NAME_MAX);
    while !name.is_char_boundary(cut) {
        cut -= 1;
    }
    let numbers = [VERSION, word(Counter::COUNT), std::process::id(), word(cut)];
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(&MAGIC);
    for (at, number) in numbers.iter().enumerate() {
        bytes[8 + 4 * at..12 + 4 * at].copy_from_slice(&number.to_le_bytes());
    }
    bytes[24..24 + cut].copy_from_slice(&name.as_bytes()[..cut]);
    bytes
}

fn parse_header(bytes: &[u8; HEADER]) -> Option<(u32, String, usize)> {
    let number = |at: usize| {
        bytes[8 + 4 * at..].first_chunk().map_or(0, |chunk: &[u8; 4]| u32::from_le_bytes(*chunk))
    };
    if bytes[..8] != MAGIC || number(0) != VERSION {
        return None;
    }
    let name = bytes[24..].get(..number(3) as usize)?;
    Some((number(2), String::from_utf8_lossy(name).into_owned(), number(1) as usize))
}

#[expect(clippy::cast_possible_truncation, reason = "a few hundred at most")]
const fn word(n: usize) -> u32 {
    n as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("syncom-counters-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_reader_sees_what_the_writer_counts_and_after_it_is_gone() {
        let path = scratch("live");
        let counters = Counters::create(&path, "satellite-1").unwrap();
        let reader = CountersReader::open(&path).unwrap();
        counters.add(Counter::RxFrames, 2);
        counters.add(Counter::RxFrames, 3);
        counters.set(Counter::ALL[Counter::COUNT - 1], 9);
        assert_eq!(reader.get(Counter::RxFrames), 5);
        drop(counters);
        let after = CountersReader::open(&path).unwrap();
        assert_eq!(after.iter().map(|(_, value)| value).sum::<u64>(), 14);
        assert_eq!((after.pid(), after.name()), (std::process::id(), "satellite-1"));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_new_process_starts_from_zero_and_leaves_old_readers_alone() {
        let path = scratch("anew");
        Counters::create(&path, "a").unwrap().add(Counter::TxBytes, 1);
        let old = CountersReader::open(&path).unwrap();
        let new = Counters::create(&path, &"ä".repeat(40)).unwrap();
        assert_eq!((old.get(Counter::TxBytes), new.get(Counter::TxBytes)), (1, 0));
        assert_eq!(CountersReader::open(&path).unwrap().name(), "ä".repeat(32));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_is_not_a_counters_file_is_named() {
        let path = scratch("foreign");
        for content in [&b"short"[..], &[7; SIZE], &header("cut")] {
            std::fs::write(&path, content).unwrap();
            let error = CountersReader::open(&path).unwrap_err();
            assert!(error.to_string().contains("not a counters file"), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(CountersReader::open(&path), Err(CountersError::Io(..))));
    }
}
