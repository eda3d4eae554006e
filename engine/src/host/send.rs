//! What roles ask for: the host's outbox.

use super::Shared;
use crate::disk::Disk;
use crate::port::Port;
use syncom_seam::{Counter, DiskFault, Done, Notice, Outbox, Record, Spawn, Time, Timer};
use syncom_wire::{Addr, Emit, PeerId};

/// Carries out what one member's role asks for, at once or when the burst ends.
pub(super) struct HostOutbox<'a> {
    pub(super) member: usize,
    pub(super) port: &'a mut Port,
    pub(super) disk: &'a mut Option<Disk>,
    pub(super) shared: &'a mut Shared,
}

impl Outbox for HostOutbox<'_> {
    fn send<E: Emit>(&mut self, to: Addr, frame: &E) {
        // A frame that fits no datagram has been counted.
        let _ = self.port.send(&mut self.shared.gather, to, frame);
    }

    fn send_all<E: Emit>(&mut self, to: &[Addr], frame: &E) {
        self.port.send_all(to, frame);
    }

    fn arm(&mut self, timer: Timer, at: Time) {
        self.shared.timers.arm(self.member, timer, at);
    }

    fn persist(&mut self, record: Record) {
        if let Some(disk) = self.disk {
            disk.persist(record);
            self.shared.is_near = true;
        } else {
            let fault = DiskFault::Io("this member was given no disk".into());
            self.shared.later.push_back((self.member, Done::DiskFailed(fault)));
        }
    }

    fn spawn(&mut self, spawn: Spawn) {
        let token = spawn.token;
        match self.shared.children.spawn(self.member, spawn) {
            Ok(()) => self.port.counters.add(Counter::ChildrenStarted, 1),
            Err(exit) => self.shared.later.push_back((self.member, Done::Exited { token, exit })),
        }
    }

    fn kill(&mut self, token: u64, signal: i32) {
        self.shared.children.kill(self.member, token, signal);
    }

    fn count(&mut self, counter: Counter, by: u64) {
        self.port.counters.add(counter, by);
    }

    fn gauge(&mut self, counter: Counter, value: u64) {
        self.port.counters.set(counter, value);
    }

    fn identify(&mut self, peer: PeerId) {
        if peer != self.port.sealer.peer() {
            // What was said before is sealed in the old name.
            self.shared.gather.close_all(self.port);
            self.port.sealer.identify(peer);
        }
    }

    fn notify(&mut self, notice: Notice<'_>) {
        if matches!(notice, Notice::Fatal(_) | Notice::Gone) {
            self.shared.ended.push(self.member);
        }
        (self.shared.sink)(self.member, notice);
    }
}
