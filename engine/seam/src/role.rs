//! The contract of a role.

use crate::child::Exit;
use crate::disk::DiskFault;
use crate::outbox::{Notice, Outbox};
use crate::time::{Time, Timer, WallTime};
use syncom_wire::{Addr, Boot, Frame, Frames, Malformed, PeerId};

/// The present, as the driver sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic: what all timers and deadlines are made of. Never goes back.
    pub at: Time,
    /// Wall clock: what people are shown. May jump either way.
    pub wall: WallTime,
}

/// Where a frame came from. Everything in it was authenticated when the datagram was opened,
/// except `addr`, which is where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Who sealed the datagram.
    pub peer: PeerId,
    /// Which life of that process.
    pub boot: Boot,
    /// Source address of the datagram.
    pub addr: Addr,
    /// When the kernel received it; never later than `now`, possibly much earlier.
    pub heard: Time,
}

/// Something the driver did for the role, finished.
#[derive(Debug)]
pub enum Done {
    /// All records up to and including `ticket` are durable.
    Durable {
        /// The ticket of the last durable record.
        ticket: u64,
    },
    /// The disk failed. Nothing after the last `Durable` may be believed; the role must stop
    /// acknowledging.
    DiskFailed(DiskFault),
    /// A child process ended, or could not be started.
    Exited {
        /// The token of its [`crate::Spawn`].
        token: u64,
        /// How it ended.
        exit: Exit,
    },
}

/// Datagrams that this host lost, as its kernel and its link tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// So many that had arrived were dropped, because our buffer was full. Heartbeats may have been
    /// among them: for a watcher this is like having been stopped.
    Unheard(u64),
    /// So many of ours were never sent, for want of room.
    Unsent(u64),
}

/// A pure state machine: agent, transponder or station.
///
/// **Order of calls.** `on_start` once; then, per burst, all frames in order of arrival, then timers
/// due in order of their moments, then `on_burst_end` once. `on_done` comes between bursts. Calls
/// never overlap.
///
/// **Drain before judging.** A driver hands over every frame that had arrived before it lets a
/// timer expire, so a role that was stopped for a while first hears what it missed.
///
/// **Time rule.** `now.at` never decreases from call to call. `now.wall` may do anything.
///
/// **Effects** go through `out` only. A role must not allocate per frame once it is warm; the
/// station, which holds Raft, is exempt.
pub trait Role {
    /// The process has started; arm the first timers, say hello.
    fn on_start<O: Outbox>(&mut self, now: Now, out: &mut O);

    /// An authenticated, well-formed frame arrived.
    fn on_frame<O: Outbox>(&mut self, now: Now, from: &Origin, frame: &Frame<'_>, out: &mut O);

    /// Frames of an authenticated datagram are about to be read. A role that needs less of some than all
    /// that they say takes as many off the front as it likes and returns how many bytes and frames these
    /// were; whatever it takes is well-formed.
    #[inline]
    fn on_front<O: Outbox>(
        &mut self,
        _now: Now,
        _from: &Origin,
        _frames: &[u8],
        _out: &mut O,
    ) -> (usize, u64) {
        (0, 0)
    }

    /// A timer that this role armed is due.
    fn on_timer<O: Outbox>(&mut self, now: Now, timer: Timer, out: &mut O);

    /// Something asked for earlier is finished.
    fn on_done<O: Outbox>(&mut self, now: Now, done: Done, out: &mut O);

    /// A frame that this role sent to `to` came back: the host there says that nobody listens at that
    /// port (ICMP port unreachable). It is as authentic as the frame, which nobody else could have
    /// sealed, and no more: whoever saw the datagram go by can send it back. Comes like a frame, and
    /// only where the link hears such things.
    fn on_returned<O: Outbox>(&mut self, _now: Now, _to: Addr, _frame: &Frame<'_>, _out: &mut O) {}

    /// A burst of frames and timers has been handled: flush what was gathered.
    fn on_burst_end<O: Outbox>(&mut self, now: Now, out: &mut O);

    /// Datagrams were lost on this host. Told after the frames that did arrive and before any timer
    /// expires, so that nobody is accused of what we lost ourselves.
    fn on_loss<O: Outbox>(&mut self, _now: Now, _loss: Loss, _out: &mut O) {}

    /// The program wants this member to go in good order. When it has said so to whom it may
    /// concern, it tells the driver with [`Notice::Gone`].
    fn on_leave<O: Outbox>(&mut self, _now: Now, out: &mut O) {
        out.notify(Notice::Gone);
    }
}

/// Hands the frames of a datagram to a role, as every driver does. Returns how many there were, and what
/// is wrong with the rest.
#[inline]
pub fn hand_over<R: Role, O: Outbox>(
    role: &mut R,
    now: Now,
    from: &Origin,
    mut frames: Frames<'_>,
    out: &mut O,
) -> (u64, Option<Malformed>) {
    let mut count = 0;
    loop {
        let (bytes, taken) = role.on_front(now, from, frames.rest(), out);
        frames.pass(bytes);
        count += taken;
        match frames.next() {
            None => return (count, None),
            Some(Ok(frame)) => role.on_frame(now, from, &frame, out),
            Some(Err(fault)) => return (count, Some(fault)),
        }
        count += 1;
    }
}
