//! The files under the log library: ours, so that failures are told instead of fatal.
//!
//! raft-engine's own files end the process when a flush fails, and are readable by everybody. These
//! keep the first failed flush in a [`Ledger`], which the store asks before it believes a batch to
//! be durable; they count flushes and bytes, and remember where recovery cut a file short, so that
//! a lost tail can be named.

use crate::fault;
#[cfg(test)]
use crate::journal::{self, Op};
use raft_engine::env::{FileSystem, Handle, Permission, WriteExt};
use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use syncom_seam::DiskFault;

/// What happened to the files so far.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    syncs: AtomicU64,
    bytes: AtomicU64,
    /// The first flush that failed.
    failed: Mutex<Option<DiskFault>>,
    /// Where a file was last cut short, and to which length.
    cut: Mutex<Option<(PathBuf, usize)>>,
    /// Bytes that may be written before the disk is full, and flushes before it fails.
    #[cfg(test)]
    pub(crate) room: Mutex<(Option<u64>, Option<u64>)>,
}

impl Ledger {
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The first flush that failed: nothing since the last success is durable.
    pub(crate) fn check(&self) -> std::result::Result<(), DiskFault> {
        held(&self.failed).clone().map_or(Ok(()), Err)
    }

    /// Where recovery cut the log, in words.
    pub(crate) fn cut(&self) -> String {
        match held(&self.cut).take() {
            Some((path, length)) => {
                format!(" (unreadable from byte {length} of {})", path.display())
            }
            None => String::new(),
        }
    }

    #[cfg(not(test))]
    fn allow_write(&self, _length: usize) -> Result<()> {
        Ok(())
    }

    #[cfg(not(test))]
    fn allow_sync(&self) -> Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn allow_write(&self, length: usize) -> Result<()> {
        match &mut held(&self.room).0 {
            Some(room) if *room < length as u64 => Err(Error::from_raw_os_error(28)),
            Some(room) => {
                *room -= length as u64;
                Ok(())
            }
            None => Ok(()),
        }
    }

    #[cfg(test)]
    fn allow_sync(&self) -> Result<()> {
        match &mut held(&self.room).1 {
            Some(0) => Err(Error::from_raw_os_error(5)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// What was there stays true even if another thread died holding it.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The files of one log.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) ledger: Arc<Ledger>,
}

impl FileSystem for Files {
    type Handle = LogFile;
    type Reader = Cursor;
    type Writer = Cursor;

    fn create<P: AsRef<Path>>(&self, path: P) -> Result<LogFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        #[cfg(test)]
        journal::note(path.as_ref(), Op::Create);
        self.file(path.as_ref(), &options)
    }

    fn open<P: AsRef<Path>>(&self, path: P, permission: Permission) -> Result<LogFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(permission == Permission::ReadWrite);
        self.file(path.as_ref(), &options)
    }

    fn delete<P: AsRef<Path>>(&self, path: P) -> Result<()> {
        #[cfg(test)]
        journal::note(path.as_ref(), Op::Remove);
        fs::remove_file(path)
    }

    fn rename<P: AsRef<Path>>(&self, from: P, to: P) -> Result<()> {
        #[cfg(test)]
        journal::note(to.as_ref(), |to| Op::Rename(from.as_ref().to_path_buf(), to));
        fs::rename(from, to)
    }

    fn new_reader(&self, file: Arc<LogFile>) -> Result<Cursor> {
        Ok(Cursor { file, offset: 0 })
    }

    fn new_writer(&self, file: Arc<LogFile>) -> Result<Cursor> {
        Ok(Cursor { file, offset: 0 })
    }
}

impl Files {
    fn file(&self, path: &Path, options: &OpenOptions) -> Result<LogFile> {
        let file = options.open(path)?;
        Ok(LogFile { path: path.to_path_buf(), file, ledger: Arc::clone(&self.ledger) })
    }
}

/// One file of the log.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
    ledger: Arc<Ledger>,
}

impl Handle for LogFile {
    fn truncate(&self, length: usize) -> Result<()> {
        *held(&self.ledger.cut) = Some((self.path.clone(), length));
        #[cfg(test)]
        journal::note(&self.path, |path| Op::Resize(path, length as u64));
        self.file.set_len(length as u64)
    }

    fn file_size(&self) -> Result<usize> {
        usize::try_from(self.file.metadata()?.len()).map_err(Error::other)
    }

    /// Says yes even if it failed, since the library would end the process: the ledger knows.
    fn sync(&self) -> Result<()> {
        let synced = self.ledger.allow_sync().and_then(|()| self.file.sync_data());
        match synced {
            Ok(()) => {
                #[cfg(test)]
                journal::note(&self.path, Op::Sync);
                self.ledger.syncs.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                held(&self.ledger.failed).get_or_insert_with(|| fault::io(&self.path, &error));
            }
        }
        Ok(())
    }
}

/// A place in a file of the log, to read or write from.
#[derive(Debug)]
pub(crate) struct Cursor {
    file: Arc<LogFile>,
    offset: u64,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let length = self.file.file.read_at(buffer, self.offset)?;
        self.offset += length as u64;
        Ok(length)
    }
}

impl Write for Cursor {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let ledger = &self.file.ledger;
        let written = ledger
            .allow_write(bytes.len())
            .and_then(|()| self.file.file.write_at(bytes, self.offset));
        // The library knows a full disk by this word, and then tries a file that it has in reserve.
        let length = written.map_err(|error| match error.kind() {
            ErrorKind::StorageFull => Error::new(ErrorKind::StorageFull, "nospace"),
            _ => error,
        })?;
        ledger.bytes.fetch_add(length as u64, Ordering::Relaxed);
        #[cfg(test)]
        journal::note(&self.file.path, |path| {
            Op::Write(path, self.offset, bytes.get(..length).unwrap_or(bytes).to_vec())
        });
        self.offset += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(by) => self.offset.checked_add_signed(by),
            SeekFrom::End(by) => self.file.file.metadata()?.len().checked_add_signed(by),
        };
        self.offset = place.ok_or(ErrorKind::InvalidInput)?;
        Ok(self.offset)
    }
}

impl WriteExt for Cursor {
    fn truncate(&mut self, length: usize) -> Result<()> {
        #[cfg(test)]
        journal::note(&self.file.path, |path| Op::Resize(path, length as u64));
        self.file.file.set_len(length as u64)?;
        self.offset = length as u64;
        Ok(())
    }

    /// Nothing: files that matter are filled with zeros before, which is faster than `fallocate`.
    fn allocate(&mut self, _offset: usize, _length: usize) -> Result<()> {
        Ok(())
    }
}
