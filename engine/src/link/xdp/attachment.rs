//! The redirect program on an interface, shared by all links of this process that use it.
//!
//! An interface has room for one program, so the first link attaches it and the last one takes it
//! away. Each link enters the socket and the filter of its own queue.

use super::Mode;
use super::bpf::{Map, MapKind, Program, ProgramKind};
use super::program::{Filter, QUEUES_MAX, redirect};
use std::fs;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

const GENERIC: u32 = 1 << 1;
const NATIVE: u32 = 1 << 2;
/// Bytes of a socket's descriptor and of a filter, as values of the maps.
const DESCRIPTOR_BYTES: u32 = 4;
const FILTER_BYTES: u32 = 32;

/// An interface: of which network namespace, by which index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    namespace: u64,
    interface: u32,
}

/// What is attached, as long as a link holds it.
static ATTACHED: Mutex<Vec<(Place, Weak<Attachment>)>> = Mutex::new(Vec::new());

/// The program, attached.
#[derive(Debug)]
pub(super) struct Attachment {
    filters: Map,
    sockets: Map,
    /// Why not in native mode, if not.
    pub(super) generic: Option<String>,
    /// Detaches the program when it is closed.
    _link: OwnedFd,
}

impl Attachment {
    /// The program on the interface of that index in this thread's namespace: the one that is
    /// there, or else a new one.
    ///
    /// # Errors
    /// The kernel's, with the step that failed.
    pub(super) fn at(interface: u32, mode: Mode) -> Result<Arc<Self>, (&'static str, io::Error)> {
        let namespace = fs::metadata("/proc/thread-self/ns/net").map_or(0, |meta| meta.ino());
        let place = Place { namespace, interface };
        let mut attached = ATTACHED.lock().unwrap_or_else(PoisonError::into_inner);
        attached.retain(|(_, attachment)| attachment.strong_count() > 0);
        let found = attached.iter().find(|(other, _)| *other == place);
        if let Some(attachment) = found.and_then(|(_, attachment)| attachment.upgrade()) {
            return Ok(attachment);
        }
        let attachment = Arc::new(Self::attach(interface, mode)?);
        attached.push((place, Arc::downgrade(&attachment)));
        Ok(attachment)
    }

    fn attach(interface: u32, mode: Mode) -> Result<Self, (&'static str, io::Error)> {
        let maps = || {
            let filters = Map::new(MapKind::Array, FILTER_BYTES, QUEUES_MAX, 0)?;
            Ok((filters, Map::new(MapKind::Sockets, DESCRIPTOR_BYTES, QUEUES_MAX, 0)?))
        };
        let (filters, sockets) = maps().map_err(|error| ("BPF_MAP_CREATE", error))?;
        let code = redirect(filters.descriptor(), sockets.descriptor());
        let program =
            Program::load(ProgramKind::Xdp, &code).map_err(|error| ("BPF_PROG_LOAD", error))?;
        let mut generic = match mode {
            Mode::Native | Mode::Best => None,
            Mode::Generic => Some("as asked for".to_owned()),
        };
        if generic.is_none() {
            match program.attach(interface, NATIVE) {
                Ok(link) => return Ok(Self { filters, sockets, generic, _link: link }),
                Err(error) if mode == Mode::Native || is_taken(&error) => {
                    return Err(("BPF_LINK_CREATE in native mode", error));
                }
                Err(error) => generic = Some(error.to_string()),
            }
        }
        let link = program
            .attach(interface, GENERIC)
            .map_err(|error| ("BPF_LINK_CREATE in generic mode", error))?;
        Ok(Self { filters, sockets, generic, _link: link })
    }

    /// Sends what passes `filter` at `queue` to a socket that is bound there.
    pub(super) fn admit(&self, queue: u32, filter: &Filter, socket: RawFd) -> io::Result<()> {
        self.sockets.set(queue, &socket.to_ne_bytes())?;
        self.filters.set(queue, &filter.image())
    }

    /// Lets everything at `queue` pass into the kernel.
    pub(super) fn expel(&self, queue: u32) {
        // Neither can fail for a queue that was admitted; if it did, the kernel would take the
        // socket out of its map by itself.
        let _ = self.filters.set(queue, &Filter::default().image());
        let _ = self.sockets.remove(queue);
    }
}

/// Whether another program has the interface.
pub(super) fn is_taken(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST))
}
