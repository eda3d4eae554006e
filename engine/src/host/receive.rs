//! What arrives: from the links, through the seal, to the roles.

use super::Host;
use syncom_seam::{Counter, Loss, Notice, Now, Role, Time, hand_over};

/// Bursts taken in one turn beyond one per ready link. More than the kernel's buffer of one link
/// holds, so that only a flood goes on arriving after it; the rest is taken in the next turn.
const EXTRA_BURSTS_MAX: usize = 256;
/// Datagrams that came back, looked at for each burst of a link; the rest is looked at in the next
/// turn.
const RETURNED_MAX: usize = 64;

impl<R: Role> Host<R> {
    /// Drains all links that may have something, in turn, one burst each.
    pub(super) fn receive(&mut self, now: Now) {
        for at in 0..self.watched.len() {
            self.mark_ready(self.watched[at]);
        }
        for at in 0..self.patient.len() {
            self.mark_ready(self.patient[at]);
        }
        let bursts_max = self.ready.len() + EXTRA_BURSTS_MAX;
        for _ in 0..bursts_max {
            let Some(index) = self.ready.pop_front() else { return };
            let Some(Some(seat)) = self.seats.get_mut(index) else { continue };
            seat.is_ready = false;
            seat.link_wake = seat.port.link.advance(now.at);
            if let Err(error) = seat.port.link.rx_burst(&mut self.burst) {
                let why = format!("the network link failed: {error}");
                (self.shared.sink)(index, Notice::Fatal(&why));
                self.shared.ended.push(index);
                continue;
            }
            let lost = self.burst.take_lost() + seat.port.link.overflow();
            seat.port.counters.add(Counter::RxOverflow, lost);
            if seat.link_wake != Time::NEVER {
                self.watch(index);
            }
            if lost > 0 {
                self.call(index, now, |role, out| role.on_loss(now, Loss::Unheard(lost), out));
            }
            self.take_returned(index, now);
            // Without frames the call only starts a member that is new.
            if self.burst.is_empty() {
                self.start(index, now);
                continue;
            }
            self.hand_over(index, now);
            if self.burst.is_full() {
                self.mark_ready(index);
            }
        }
    }

    /// Tells the role what came back to its link.
    fn take_returned(&mut self, index: usize, now: Now) {
        let mut room = std::mem::take(&mut self.returned);
        let mut is_empty = false;
        for _ in 0..RETURNED_MAX {
            let Some(Some(seat)) = self.seats.get_mut(index) else { break };
            match seat.port.returned(&mut room) {
                Ok(Some((to, frames))) => {
                    for frame in frames.flatten() {
                        self.call(index, now, |role, out| role.on_returned(now, to, &frame, out));
                    }
                }
                Ok(None) => {
                    is_empty = true;
                    break;
                }
                Err(_) => {}
            }
        }
        self.returned = room;
        if !is_empty {
            self.mark_ready(index);
        }
    }

    fn start(&mut self, index: usize, now: Now) {
        let is_new = |seat: &super::Seat<R>| !seat.is_started;
        if self.seats.get(index).and_then(Option::as_ref).is_some_and(is_new) {
            self.call(index, now, |_, _| {});
        }
    }

    /// Opens the datagrams of the burst and hands their frames to the role.
    fn hand_over(&mut self, index: usize, now: Now) {
        self.start(index, now);
        self.gather_for(index);
        let Some(Some(seat)) = self.seats.get_mut(index) else { return };
        if !std::mem::replace(&mut seat.is_touched, true) {
            self.touched.push(index);
        }
        for at in 0..self.burst.len() {
            let Some(datagram) = self.burst.datagram(at) else { continue };
            let Some((from, frames)) = seat.port.open_frames(datagram, &self.clock) else {
                continue;
            };
            let mut out = super::HostOutbox {
                member: index,
                port: &mut seat.port,
                disk: &mut seat.disk,
                shared: &mut self.shared,
            };
            let (count, fault) = hand_over(&mut seat.role, now, &from, frames, &mut out);
            seat.port.count_frames(count, fault.is_some());
        }
    }

    /// Keeps the list of links that must be looked at every turn: those that cannot be waited for,
    /// those that hold something back, and those that have not sent all they had.
    pub(super) fn watch(&mut self, index: usize) {
        let Some(Some(seat)) = self.seats.get_mut(index) else { return };
        let must = seat.source.is_none()
            || seat.link_wake != Time::NEVER
            || seat.port.link.tx_pending() > 0;
        if must && !std::mem::replace(&mut seat.is_watched, true) {
            self.watched.push(index);
        }
        if !must && std::mem::replace(&mut seat.is_watched, false) {
            self.watched.retain(|other| *other != index);
        }
    }
}
