//! Receiving: one request that never ends, into slots that are lent as they are filled.

use super::buffers::{Buffers, GROUP};
use super::ring::Ring;
use crate::link::mmsg::address::SockAddr;
use crate::link::mmsg::cmsg::{self, Control, Told};
use crate::link::rx::Received;
use crate::link::{OpenError, RxBurst, SLOT_SIZE};
use crate::slots::{Pool, Slot};
use io_uring::{cqueue, opcode, types};
use std::cell::OnceCell;
use std::io;
use std::mem::offset_of;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Bytes of a slot: what the kernel says about a message, and the longest message, in whole pages.
pub(super) const BUFFER_BYTES: u32 = 17 * 4096;
/// Buffers that the kernel has, and as many again that can be lent. Few, for the kernel fills one
/// after another, and those that went round lately are in the cache.
const BUFFERS_MAX: usize = 16;
const BUFFERS_MIN: usize = 4;
/// Requests that may fail in one fill before the socket counts as of no use.
const ERRORS_MAX: u32 = 16;
/// Names the request in its completions.
const RECEIVE: u64 = 1;
const CANCEL: u64 = 2;
/// Completions awaited when the request is ended, more than there can be.
const COMPLETIONS_MAX: usize = 8 * BUFFERS_MAX;

/// What the kernel writes in front of a message.
#[repr(C)]
struct Head {
    name_len: u32,
    control_len: u32,
    payload_len: u32,
    flags: i32,
    name: SockAddr,
    control: Control,
}

const _: () = assert!(HEAD_BYTES + SLOT_SIZE <= BUFFER_BYTES as usize);
/// Where in a slot the message begins.
pub(super) const HEAD_BYTES: usize = size_of::<Head>();
/// Room for the name, with what aligns the control messages behind it.
const NAME_BYTES: usize = offset_of!(Head, control) - offset_of!(Head, name);

/// Receives into a pool of its own.
#[derive(Debug)]
pub(super) struct Receiver {
    ring: Ring,
    /// Made when it is asked for: each message costs its sender a signal then.
    alarm: OnceCell<OwnedFd>,
    buffers: Buffers,
    pool: Pool,
    socket: RawFd,
    /// How much room there is for name and control messages. The kernel has its own copy.
    layout: Box<Layout>,
    is_armed: bool,
    /// The kernel's count of drops on the socket, as it told last.
    drops: Option<u32>,
    /// The request ended by an error about something sent earlier, or was interrupted.
    failed: bool,
}

struct Layout(libc::msghdr);

// SAFETY: all pointers in it are null.
unsafe impl Send for Layout {}

impl std::fmt::Debug for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("layout")
    }
}

/// How the handling of a completion went.
enum Step {
    /// Go on.
    On,
    /// The burst takes no more.
    Full,
    /// The request ended with an error.
    Failed(io::Error),
}

impl Receiver {
    /// Receives from `socket`, which must not be non-blocking, or no request would ever wait, and
    /// must outlive the receiver. `rx_buffer` is what the kernel may hold back meanwhile.
    pub(super) fn open(socket: RawFd, rx_buffer: usize) -> Result<Self, OpenError> {
        let count = (rx_buffer / SLOT_SIZE).clamp(BUFFERS_MIN, BUFFERS_MAX).next_power_of_two();
        let count = u16::try_from(count).unwrap_or(1);
        let ring = Ring::new(4, 4 * u32::from(count))?;
        let buffers = Buffers::register(ring.kernel(), count)
            .map_err(|error| OpenError::Os("io_uring buffer ring", error))?;
        let mut receiver = Self {
            ring,
            alarm: OnceCell::new(),
            buffers,
            pool: Pool::new(2 * u32::from(count), BUFFER_BYTES as usize),
            socket,
            layout: Box::new(Layout(layout())),
            is_armed: false,
            drops: None,
            failed: false,
        };
        for _ in 0..count {
            if let Some(slot) = receiver.pool.take() {
                receiver.offer(slot);
            }
        }
        receiver.buffers.publish();
        Ok(receiver)
    }

    /// What becomes readable when something arrives; it is at first, for something may have. `None`
    /// when the kernel would not make it, as on another thread than the ring's.
    pub(super) fn source(&self) -> Option<RawFd> {
        if self.alarm.get().is_none() {
            let _ = self.alarm.set(self.ring.alarm().ok()?);
        }
        self.alarm.get().map(AsRawFd::as_raw_fd)
    }

    /// Whether the request has failed since the last time that this was asked.
    pub(super) fn take_failed(&mut self) -> bool {
        std::mem::take(&mut self.failed)
    }

    /// Clears `burst` and lends it what has arrived, until it is full or nothing is left. Returns
    /// the kernel's count of drops, if it told.
    ///
    /// # Errors
    /// Only when the socket or the ring is of no use any more.
    pub(super) fn fill(&mut self, burst: &mut RxBurst) -> io::Result<Option<u32>> {
        burst.clear_into(&mut self.pool);
        self.drops = None;
        let mut errors = 0;
        loop {
            let is_entered = !self.is_armed || self.ring.needs_entering();
            if is_entered {
                self.arm()?;
                self.buffers.publish();
                match self.alarm.get() {
                    Some(_) => self.ring.enter_quietly()?,
                    None => self.ring.enter(0)?,
                }
            }
            match self.reap(burst) {
                // Whatever came since then sets the flag to enter, or a completion.
                Step::On if !is_entered => break,
                Step::On => {}
                Step::Full => break,
                // All buffers were full. They are back, and what waits in the socket comes next.
                Step::Failed(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                // Interrupted, or an error about something sent earlier, which is told once.
                // After many of them the rest is for the next call: others may make them at will.
                Step::Failed(error) if !is_fatal(&error) => {
                    errors += 1;
                    self.failed = true;
                    if errors > ERRORS_MAX {
                        burst.stop();
                        break;
                    }
                }
                Step::Failed(error) => return Err(error),
            }
        }
        self.buffers.publish();
        Ok(self.drops)
    }

    /// Starts the request that each message completes, unless it runs.
    fn arm(&mut self) -> io::Result<()> {
        self.ring.enable()?;
        if self.is_armed {
            return Ok(());
        }
        let socket = types::Fd(self.socket);
        let entry = opcode::RecvMsgMulti::new(socket, &raw const self.layout.0, GROUP)
            .build()
            .user_data(RECEIVE);
        // SAFETY: the layout is boxed and lives as long as the ring, and is never written.
        self.is_armed = unsafe { self.ring.push(&entry) };
        Ok(())
    }

    /// Handles completions until there are none or the burst is full.
    fn reap(&mut self, burst: &mut RxBurst) -> Step {
        loop {
            if !burst.is_full() && !self.pool.has_some() && !self.ring.is_drained() {
                // What this burst has borrowed comes back when it is cleared.
                burst.stop_if_lent();
            }
            if burst.is_full() {
                return Step::Full;
            }
            let Some(completion) = self.ring.pop() else { return Step::On };
            match self.on_completion(&completion, burst) {
                Step::On => {}
                other => return other,
            }
        }
    }

    fn on_completion(&mut self, completion: &cqueue::Entry, burst: &mut RxBurst) -> Step {
        let flags = completion.flags();
        if !cqueue::more(flags) {
            self.is_armed = false;
        }
        let slot = cqueue::buffer_select(flags).and_then(|id| self.pool.from_device(id.into()));
        let Ok(len) = usize::try_from(completion.result()) else {
            if let Some(slot) = slot {
                self.offer(slot);
            }
            return Step::Failed(io::Error::from_raw_os_error(-completion.result()));
        };
        let Some(slot) = slot else { return Step::On };
        let Some((what, told, range)) = slot.bytes(0..len).and_then(read) else {
            self.offer(slot);
            return Step::On;
        };
        self.drops = told.drops.or(self.drops);
        self.hand_over(slot, range, told.segment, what, burst)
    }

    /// Lends the slot to the burst and gives the kernel another one. When all others are shared
    /// and kept, copies, so that the kernel always has all its buffers.
    fn hand_over(
        &mut self,
        slot: Slot,
        range: Range<usize>,
        segment: usize,
        what: Received,
        burst: &mut RxBurst,
    ) -> Step {
        let Some(other) = self.pool.take() else {
            copy(slot.bytes(range).unwrap_or_default(), segment, what, burst);
            self.offer(slot);
            return Step::On;
        };
        self.offer(other);
        if let Err(slot) = burst.lend(slot, range, segment, what) {
            // There is room for as many datagrams as the kernel coalesces, in each slot.
            debug_assert!(false, "a burst refused a slot");
            self.pool.give(slot);
        }
        Step::On
    }

    /// Gives a slot to the kernel.
    fn offer(&mut self, slot: Slot) {
        // A slot that is shared is never offered: it comes from the pool, or was not lent.
        let Ok(index) = self.pool.to_device(slot) else { return };
        let Ok(id) = u16::try_from(index) else { return };
        let arena = self.pool.arena();
        // SAFETY: an index of the arena's own, so the address lies within it.
        let base = unsafe { arena.base().add(index as usize * arena.slot_size()).as_ptr() };
        // SAFETY: the pool keeps the slot, so nobody else touches it, until a completion names it;
        // `drop` ends the request or leaves the memory to it. Of the slots at most as many are
        // offered as at first: another one only for each that came back.
        unsafe { self.buffers.push(base, BUFFER_BYTES, id) };
    }

    /// Ends the request and waits until the kernel lets go of socket and memory. False when that
    /// could not be done, as on another thread than the ring's.
    fn disarm(&mut self) -> bool {
        let entry = opcode::AsyncCancel::new(RECEIVE).build().user_data(CANCEL);
        // SAFETY: the entry points to nothing.
        if !self.is_armed || !unsafe { self.ring.push(&entry) } {
            return !self.is_armed;
        }
        for _ in 0..COMPLETIONS_MAX {
            let Some(completion) = self.ring.pop() else {
                if self.ring.enter(1).is_err() {
                    return false;
                }
                continue;
            };
            if completion.user_data() == RECEIVE && !cqueue::more(completion.flags()) {
                self.is_armed = false;
                return true;
            }
        }
        false
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if !self.disarm() {
            // The kernel ends the request when it gets to it, and might write until then.
            std::mem::forget(self.pool.arena().clone());
        }
    }
}

/// How much room there is in front of a message.
pub(super) fn layout() -> libc::msghdr {
    // SAFETY: msghdr consists of integers and pointers, for which all zeroes is valid.
    let mut layout: libc::msghdr = unsafe { std::mem::zeroed() };
    layout.msg_namelen = u32::try_from(NAME_BYTES).unwrap_or(0);
    layout.msg_controllen = Control::size();
    layout
}

/// What the kernel wrote about a message at the start of a slot, and where in it the message lies.
/// `bytes` are those that it wrote.
pub(super) fn read(bytes: &[u8]) -> Option<(Received, Told, Range<usize>)> {
    let is_whole = bytes.len() >= HEAD_BYTES && bytes.as_ptr().cast::<Head>().is_aligned();
    // SAFETY: there are enough bytes, as aligned as the head, and borrowed, so nobody writes them.
    // The head consists of integers and bytes, valid whatever they are.
    let head = is_whole.then(|| unsafe { &*bytes.as_ptr().cast::<Head>() })?;
    // SAFETY: msghdr consists of integers and pointers, for which all zeroes is valid.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_control = (&raw const head.control).cast_mut().cast();
    header.msg_controllen = Control::size().min(head.control_len as usize);
    // SAFETY: the control room is 8-aligned, initialised, and as long as said or longer.
    let told = unsafe { cmsg::read(&header) };
    let start = HEAD_BYTES;
    let truncated = head.flags & libc::MSG_TRUNC != 0;
    let what = Received { from: head.name.to_addr(), stamp: told.stamp, truncated };
    Some((what, told, start..bytes.len()))
}

/// Whether an error that ended the request says that the next one will end the same way.
fn is_fatal(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EBADF | libc::ENOTSOCK | libc::EFAULT | libc::EINVAL) | None
    )
}

/// Copies a message into a slot of the burst's own.
fn copy(bytes: &[u8], segment: usize, what: Received, burst: &mut RxBurst) {
    let at = burst.used();
    let Some(room) = burst.unused_mut().next() else { return };
    let len = room.len().min(bytes.len());
    room[..len].copy_from_slice(&bytes[..len]);
    let truncated = what.truncated || len < bytes.len();
    burst.received(at, len, segment, Received { truncated, ..what });
}
