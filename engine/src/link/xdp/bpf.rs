//! The system call `bpf(2)`, as far as it is needed here: maps, programs, links.
//!
//! Everything is a descriptor and goes away with it: when the process dies, the kernel detaches the
//! program from the interface by itself.

use super::assembler::Instruction;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Kinds of maps (`enum bpf_map_type`).
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(super) enum MapKind {
    Array = 2,
    /// Sockets of `AF_XDP` by number.
    Sockets = 17,
}

/// Kinds of programs (`enum bpf_prog_type`).
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(super) enum ProgramKind {
    SocketFilter = 1,
    Xdp = 6,
}

/// The map's values can be mapped into memory (`BPF_F_MMAPABLE`).
pub(super) const MAPPABLE: u32 = 1 << 10;

const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE: libc::c_int = 2;
const MAP_DELETE: libc::c_int = 3;
const PROGRAM_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;
/// Where a program may be attached (`BPF_XDP` of `enum bpf_attach_type`).
const ATTACH_XDP: u32 = 37;
const LOG_BYTES: usize = 64 * 1024;
/// Names the program's owner in `bpftool prog`.
const NAME: [u8; 16] = *b"syncom\0\0\0\0\0\0\0\0\0\0";

#[derive(Default)]
#[repr(C)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    entries_max: u32,
    flags: u32,
    inner: u32,
    node: u32,
    name: [u8; 16],
}

#[derive(Default)]
#[repr(C)]
struct MapChange {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[derive(Default)]
#[repr(C)]
struct ProgramLoad {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

#[derive(Default)]
#[repr(C)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

/// Calls the kernel with a command's part of `union bpf_attr`.
///
/// # Safety
/// `T` must be what the kernel reads and writes for `command`, without padding, and every address
/// in it must be valid for what the command does with it.
pub(super) unsafe fn call<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the caller vouches for the content; the size is that of the structure, which outlives
    // the call.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// As [`call`], for commands that return a new descriptor.
///
/// # Safety
/// As for [`call`]; the command must return a descriptor.
unsafe fn open<T>(command: libc::c_int, attributes: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: the caller vouches for the attributes.
    let fd = unsafe { call(command, attributes) }?;
    let fd = RawFd::try_from(fd).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel just made this descriptor for us, and closes it on exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A map with 32-bit keys from 0 to `entries_max` - 1.
#[derive(Debug)]
pub(super) struct Map {
    fd: OwnedFd,
    value_size: usize,
}

impl Map {
    pub(super) fn new(
        kind: MapKind,
        value_size: u32,
        entries_max: u32,
        flags: u32,
    ) -> io::Result<Self> {
        let mut attributes = MapCreate {
            kind: kind as u32,
            key_size: 4,
            value_size,
            entries_max,
            flags,
            name: NAME,
            ..MapCreate::default()
        };
        // SAFETY: these are the attributes of MAP_CREATE, without addresses.
        let fd = unsafe { open(MAP_CREATE, &mut attributes) }?;
        Ok(Self { fd, value_size: value_size as usize })
    }

    /// Sets the value at `key`.
    ///
    /// # Panics
    /// When `value` is not as long as the values of this map: a bug.
    pub(super) fn set(&self, key: u32, value: &[u8]) -> io::Result<()> {
        assert_eq!(value.len(), self.value_size, "the value of another map");
        let mut change = self.change(&key);
        change.value = address(value.as_ptr());
        // SAFETY: these are the attributes of MAP_UPDATE. The kernel reads the four bytes of the
        // key and the `value_size` bytes of the value, as just asserted; both outlive the call.
        unsafe { call(MAP_UPDATE, &mut change) }.map(|_| ())
    }

    /// Takes the value at `key` away.
    pub(super) fn remove(&self, key: u32) -> io::Result<()> {
        let mut change = self.change(&key);
        // SAFETY: these are the attributes of MAP_DELETE. The kernel reads the four bytes of the
        // key, which outlives the call.
        unsafe { call(MAP_DELETE, &mut change) }.map(|_| ())
    }

    /// The descriptor, for a program's source.
    pub(super) fn descriptor(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    fn change(&self, key: &u32) -> MapChange {
        let key = address(std::ptr::from_ref(key));
        MapChange { map: number(&self.fd), key, ..MapChange::default() }
    }
}

/// A program in the kernel.
#[derive(Debug)]
pub(super) struct Program(OwnedFd);

impl Program {
    /// Has the kernel verify and keep `code`.
    ///
    /// # Errors
    /// The kernel's error, with what its verifier said last.
    pub(super) fn load(kind: ProgramKind, code: &[Instruction]) -> io::Result<Self> {
        // Without a log first: it costs time, and a log that is too small is an error of its own.
        let error = match Self::try_load(kind, code, &mut []) {
            Err(error) if error.raw_os_error() != Some(libc::EPERM) => error,
            result => return result,
        };
        let mut log = vec![0; LOG_BYTES];
        let _ = Self::try_load(kind, code, &mut log);
        let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
        let log = String::from_utf8_lossy(&log[..end]).into_owned();
        if log.is_empty() {
            return Err(error);
        }
        Err(io::Error::new(error.kind(), format!("{error}; the verifier says: {}", log.trim_end())))
    }

    fn try_load(kind: ProgramKind, code: &[Instruction], log: &mut [u8]) -> io::Result<Self> {
        let license = c"Apache-2.0";
        let mut attributes = ProgramLoad {
            kind: kind as u32,
            instruction_count: u32::try_from(code.len())
                .map_err(|_| io::ErrorKind::InvalidInput)?,
            instructions: address(code.as_ptr()),
            license: address(license.as_ptr()),
            name: NAME,
            ..ProgramLoad::default()
        };
        if !log.is_empty() {
            attributes.log_level = 1;
            attributes.log_size = u32::try_from(log.len()).unwrap_or(0);
            attributes.log = address(log.as_mut_ptr());
        }
        // SAFETY: these are the attributes of PROGRAM_LOAD, without padding. The kernel reads
        // `instruction_count` instructions and the terminated license, and writes at most
        // `log_size` bytes of log; all of them outlive the call.
        unsafe { open(PROGRAM_LOAD, &mut attributes) }.map(Self)
    }

    /// Attaches this program to an interface, in the mode of `flags`, until the result is dropped.
    pub(super) fn attach(&self, interface: u32, flags: u32) -> io::Result<OwnedFd> {
        let program = number(&self.0);
        let mut attributes = LinkCreate { program, interface, attach_type: ATTACH_XDP, flags };
        // SAFETY: these are the attributes of LINK_CREATE, without addresses.
        unsafe { open(LINK_CREATE, &mut attributes) }
    }

    /// The descriptor, for a socket that this program shall filter.
    pub(super) fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// A descriptor as the kernel's structures hold it.
fn number(fd: &OwnedFd) -> u32 {
    u32::try_from(fd.as_raw_fd()).unwrap_or(u32::MAX)
}

/// An address as the kernel's structures hold it.
fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

#[cfg(test)]
pub(super) mod test_run;
