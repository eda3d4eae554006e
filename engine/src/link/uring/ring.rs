//! One submission and completion ring, set up as this link wants it.

use crate::link::OpenError;
use io_uring::{IoUring, cqueue, squeue};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};

/// How often the kernel may be asked again when it was interrupted or short of memory.
const RETRIES_MAX: u32 = 64;

/// A ring that belongs to the thread that first uses it.
pub(super) struct Ring {
    uring: IoUring,
    is_enabled: bool,
}

impl Ring {
    /// A ring of `entries` submissions and `completions` completions.
    ///
    /// It is made disabled, since the kernel ties a ring to the thread that enables it, and a link
    /// is often opened on another thread than it works on.
    ///
    /// # Errors
    /// [`OpenError::Os`] with a reason for people.
    pub(super) fn new(entries: u32, completions: u32) -> Result<Self, OpenError> {
        let mut builder = IoUring::builder();
        builder.setup_r_disabled().setup_single_issuer().setup_defer_taskrun();
        builder.setup_taskrun_flag().setup_submit_all().setup_clamp();
        builder.setup_cqsize(completions).dontfork();
        let uring = builder.build(entries).map_err(|error| explain(&error))?;
        Ok(Self { uring, is_enabled: false })
    }

    /// A descriptor that becomes readable when the kernel has something to do that it does only
    /// when the ring is entered. The ring's own descriptor tells of completions, too late: without
    /// being entered there are none. It is readable at first, since something may wait already. Its
    /// count is never read, each change of it is news.
    pub(super) fn alarm(&self) -> io::Result<OwnedFd> {
        // SAFETY: eventfd takes integers and touches no memory of ours.
        let fd = unsafe { libc::eventfd(1, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor and nobody else has it.
        let alarm = unsafe { OwnedFd::from_raw_fd(fd) };
        self.uring.submitter().register_eventfd(fd)?;
        Ok(alarm)
    }

    /// Has the kernel finish what is ready, without telling of it: who enters looks himself. Look
    /// again afterwards whether it [needs entering](Self::needs_entering).
    pub(super) fn enter_quietly(&mut self) -> io::Result<()> {
        self.uring.completion().disable_eventfd();
        let result = self.enter(0);
        self.uring.completion().enable_eventfd();
        // The alarm is on before the next look: what the look misses, the alarm tells.
        fence(Ordering::SeqCst);
        result
    }

    pub(super) const fn kernel(&self) -> &IoUring {
        &self.uring
    }

    /// Makes this thread the ring's, unless one has it.
    pub(super) fn enable(&mut self) -> io::Result<()> {
        if !self.is_enabled {
            self.uring.submitter().register_enable_rings()?;
            self.is_enabled = true;
        }
        Ok(())
    }

    /// Queues an entry; false when there is no room.
    ///
    /// # Safety
    /// What the entry points to must be valid until it has completed.
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: the caller's condition is the callee's.
        unsafe { self.uring.submission().push(entry) }.is_ok()
    }

    /// Whether the kernel has something to do that it does only when it is entered.
    pub(super) fn needs_entering(&mut self) -> bool {
        let queue = self.uring.submission();
        queue.taskrun() || !queue.is_empty() || queue.cq_overflow()
    }

    /// Submits what is queued, has the kernel finish what is ready, and waits for `want`
    /// completions.
    ///
    /// # Errors
    /// When the ring is of no use: it belongs to another thread, or the kernel is out of memory for
    /// good.
    pub(super) fn enter(&mut self, want: usize) -> io::Result<()> {
        for _ in 0..RETRIES_MAX {
            let error = match self.uring.submit_and_wait(want) {
                Ok(_) if self.uring.submission().is_empty() => return Ok(()),
                Ok(_) => continue,
                Err(error) => error,
            };
            match error.raw_os_error() {
                Some(libc::EINTR | libc::EAGAIN | libc::EBUSY) => {}
                Some(libc::EEXIST) => return Err(io::Error::other(STRANGER)),
                // No number: it says nothing about a datagram.
                Some(_) | None => return Err(io::Error::other(format!("io_uring_enter: {error}"))),
            }
        }
        Err(io::Error::other("the kernel takes no more submissions"))
    }

    /// Whether there is no completion.
    pub(super) fn is_drained(&mut self) -> bool {
        self.uring.completion().is_empty()
    }

    /// The next completion.
    pub(super) fn pop(&mut self) -> Option<cqueue::Entry> {
        self.uring.completion().next()
    }
}

const STRANGER: &str = "an io_uring link works only on the thread that used it first";

/// Why there is no io_uring here.
fn explain(error: &io::Error) -> OpenError {
    let why = match error.raw_os_error() {
        Some(libc::ENOSYS) => "this kernel was built without io_uring, or a filter hides it",
        Some(libc::EPERM | libc::EACCES) => {
            "it is forbidden here, by the sysctl kernel.io_uring_disabled or by a seccomp filter as \
             containers have"
        }
        Some(libc::EINVAL) => "this kernel is older than Linux 6.1",
        Some(libc::EMFILE | libc::ENFILE) => return OpenError::TooManyFiles,
        Some(libc::ENOMEM) => "no memory may be locked for it; raise `ulimit -l`",
        Some(_) | None => {
            return OpenError::Os("io_uring_setup", io::Error::other(error.to_string()));
        }
    };
    OpenError::Os("io_uring", io::Error::other(format!("{why}; use the link mmsg")))
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ring {}", self.uring.as_raw_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_forbids_rings_is_explained() {
        for (code, word) in [
            (libc::EPERM, "io_uring_disabled"),
            (libc::ENOSYS, "without io_uring"),
            (libc::EINVAL, "older"),
            (libc::ENOMEM, "ulimit"),
        ] {
            let text = explain(&io::Error::from_raw_os_error(code)).to_string();
            assert!(text.contains(word) && text.contains("mmsg"), "{text}");
        }
        let error = explain(&io::Error::from_raw_os_error(libc::EMFILE));
        assert!(matches!(error, OpenError::TooManyFiles));
    }
}
