//! Being asked to stop: SIGINT and SIGTERM as something to wait for.
//!
//! The handler does the two things a handler may: it sets a flag and writes to an eventfd, which
//! wakes whoever waits. A second signal does what it does by default, so a process that hangs on
//! its way out can still be interrupted.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

static REQUESTED: AtomicBool = AtomicBool::new(false);
static WAKE_FD: AtomicI32 = AtomicI32::new(-1);

/// Ends another process at once (SIGKILL), as `kill -9` does.
///
/// # Errors
/// What the kernel says; `InvalidInput` for a number that means more than one process.
pub fn kill(pid: u32) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 1);
    let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the call takes integers and touches no memory of ours.
    match unsafe { libc::kill(pid, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits for SIGINT or SIGTERM. There is one per process.
#[derive(Debug)]
pub struct StopSignals {
    wake: OwnedFd,
}

impl StopSignals {
    /// Takes over SIGINT and SIGTERM.
    ///
    /// # Errors
    /// What the kernel says; signals then do what they did before, or `AlreadyExists` when they
    /// were taken over before.
    pub fn install() -> io::Result<Self> {
        // SAFETY: the call takes no pointers; its result is checked.
        let raw = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and belongs to nobody else.
        let wake = unsafe { OwnedFd::from_raw_fd(raw) };
        if WAKE_FD.compare_exchange(-1, raw, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        for signal in [libc::SIGINT, libc::SIGTERM] {
            handle(signal)?;
        }
        Ok(Self { wake })
    }

    /// Whether one of the signals has come.
    #[must_use]
    pub fn requested(&self) -> bool {
        REQUESTED.load(Ordering::SeqCst)
    }

    /// Waits until one of the signals comes, or for `timeout`; says whether it came.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let mut poll = libc::pollfd { fd: self.wake.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        if !self.requested() {
            // SAFETY: the pointer is to one live `pollfd`, as the count says. An interrupted call
            // is as good as one that timed out: the flag decides.
            unsafe {
                libc::poll(&raw mut poll, 1, timeout_ms);
            }
        }
        self.requested()
    }
}

impl Drop for StopSignals {
    fn drop(&mut self) {
        WAKE_FD.store(-1, Ordering::SeqCst);
    }
}

fn handle(signal: i32) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid `sigaction`: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as extern "C" fn(i32) as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART | libc::SA_RESETHAND;
    // SAFETY: the struct is initialised; the handler calls only what is async-signal-safe.
    if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Lets a closed pipe end the process quietly, as it ends other programs of a pipeline. Rust programs
/// start with the signal ignored, and printing then panics.
///
/// For commands that only print; whoever owns state handles the error of each write instead.
///
/// # Errors
/// What the kernel says; writes to closed pipes then fail as before.
pub fn end_at_closed_pipe() -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid `sigaction`: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = libc::SIG_DFL;
    // SAFETY: the struct is initialised and names no handler.
    if unsafe { libc::sigaction(libc::SIGPIPE, &raw const action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

extern "C" fn on_signal(_signal: i32) {
    REQUESTED.store(true, Ordering::SeqCst);
    let fd = WAKE_FD.load(Ordering::SeqCst);
    let one = 1_u64.to_ne_bytes();
    // SAFETY: `write` is async-signal-safe; the buffer lives here. A descriptor that is gone gives
    // an error, which is ignored: the flag is set.
    unsafe {
        libc::write(fd, one.as_ptr().cast(), one.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_ends_the_wait_and_a_second_owner_is_refused() {
        let signals = StopSignals::install().unwrap();
        assert!(StopSignals::install().is_err());
        assert!(!signals.wait(Duration::ZERO));
        // SAFETY: the handler for SIGTERM is installed; raising it runs that and nothing else.
        unsafe {
            libc::raise(libc::SIGTERM);
        }
        assert!(signals.wait(Duration::from_secs(10)));
    }
}
