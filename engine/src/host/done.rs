//! What has been done for the members elsewhere: disk, children, kills.

use super::{CHILDREN_NS, FIRST_LINK, Host, WAKER};
use crate::child::{Children, Ended};
use crossbeam::channel::Sender;
use mio::Waker;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use syncom_seam::{Counter, Done, Now, Role};

/// Puts what was done for one member where its host finds it. For other threads.
#[derive(Clone)]
pub struct DoneSender {
    member: usize,
    queue: Sender<(usize, Done)>,
    waker: Arc<Waker>,
}

impl DoneSender {
    pub(super) const fn new(
        member: usize,
        queue: Sender<(usize, Done)>,
        waker: Arc<Waker>,
    ) -> Self {
        Self { member, queue, waker }
    }

    /// Waits for room, puts `done` in and wakes the host; false when the host is gone.
    #[must_use]
    pub fn send(&self, done: Done) -> bool {
        self.queue.send((self.member, done)).is_ok() && self.waker.wake().is_ok()
    }
}

impl fmt::Debug for DoneSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DoneSender({})", self.member)
    }
}

impl<R: Role> Host<R> {
    /// Sorts the events of the poll, and hands over what was done.
    pub(super) fn finish(&mut self, now: Now) {
        while let Ok(member) = self.kills.1.try_recv() {
            self.remove(member);
        }
        if self.is_leaving.swap(false, Ordering::AcqRel) {
            for member in 0..self.seats.len() {
                self.call(member, now, |role, out| role.on_leave(now, out));
            }
        }
        while let Some((member, done)) = self.shared.later.pop_front() {
            self.call(member, now, |role, out| role.on_done(now, done, out));
        }
        for at in 0..self.tokens.len() {
            let token = self.tokens[at];
            if Children::owns(token) {
                let ended = self.shared.children.on_event(token);
                self.finish_child(now, ended);
            } else if token != WAKER {
                self.mark_ready(token.0 - FIRST_LINK);
            }
        }
        let mut ended = Vec::new();
        if now.at >= self.shared.children_at {
            self.shared.children.on_turn(|end| ended.push(end));
            if self.shared.children.is_busy() {
                self.shared.children_at = now.at.after(CHILDREN_NS);
            }
        }
        for end in ended {
            self.finish_child(now, Some(end));
        }
        // As many as there were: a busy disk must not keep us from the network.
        for _ in 0..self.done.1.len() {
            let Ok((member, done)) = self.done.1.try_recv() else { break };
            self.call(member, now, |role, out| role.on_done(now, done, out));
            if let Some(Some(seat)) = self.seats.get_mut(member)
                && let Some(disk) = &mut seat.disk
            {
                disk.push();
                self.shared.is_near = true;
            }
        }
    }

    fn finish_child(&mut self, now: Now, ended: Option<Ended>) {
        let Some((member, token, exit)) = ended else { return };
        if let Some(Some(seat)) = self.seats.get(member) {
            seat.port.counters.add(Counter::ChildrenEnded, 1);
        }
        self.call(member, now, |role, out| role.on_done(now, Done::Exited { token, exit }, out));
    }
}
