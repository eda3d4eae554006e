//! A host's handle for other threads.

use crossbeam::channel::Sender;
use mio::Waker;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Stops a host, or one of its members, from any thread. Cloning gives another handle.
#[derive(Clone)]
pub struct HostHandle {
    pub(super) waker: Arc<Waker>,
    pub(super) is_stopped: Arc<AtomicBool>,
    pub(super) is_leaving: Arc<AtomicBool>,
    pub(super) kills: Sender<usize>,
}

impl HostHandle {
    /// Makes [`super::Host::run`] return after the turn under way.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        self.wake();
    }

    /// Tells all members to go in good order; [`super::Host::run`] returns when they have.
    pub fn leave(&self) {
        self.is_leaving.store(true, Ordering::Release);
        self.wake();
    }

    /// Ends one member as if its process had been killed: it says nothing more to anyone. Its
    /// children are killed with it.
    pub fn kill(&self, member: usize) {
        // A host that is gone has no members.
        let _ = self.kills.send(member);
        self.wake();
    }

    fn wake(&self) {
        // Fails only when the host's poll is gone, and then nobody sleeps.
        let _ = self.waker.wake();
    }
}

impl fmt::Debug for HostHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostHandle")
    }
}
