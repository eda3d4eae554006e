//! Sending: all messages of a flush as entries of one submission.
//!
//! Every entry says that it must not wait, so the kernel has copied or refused all messages when
//! the submission returns, and the memory they lie in may be used again.

use super::ring::Ring;
use crate::link::mmsg::address::SockAddr;
use crate::link::mmsg::cmsg::{self, Control};
use crate::link::mmsg::send::Sender;
use crate::link::{OpenError, TxBatch};
use io_uring::{opcode, types};
use std::io;
use std::os::fd::RawFd;

/// Messages of one submission at most.
const MESSAGES_MAX: usize = 64;

/// Carries the messages of a [`Sender`].
#[derive(Debug)]
pub(super) struct Carrier {
    ring: Ring,
    socket: RawFd,
    messages: Box<[Entry]>,
}

/// What the kernel reads about one message, and what it answers.
struct Entry {
    name: SockAddr,
    iovec: libc::iovec,
    header: libc::msghdr,
    control: Control,
    /// Datagrams in it.
    run: usize,
    /// Bytes sent, or a negative error number.
    result: i32,
}

// SAFETY: the pointers in it are set before each submission and not followed after it.
unsafe impl Send for Entry {}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} datagrams: {}", self.run, self.result)
    }
}

impl Carrier {
    /// Sends through `socket`, which must outlive it; up to `datagrams` are queued between flushes.
    pub(super) fn open(socket: RawFd, datagrams: usize) -> Result<Self, OpenError> {
        let count = datagrams.clamp(1, MESSAGES_MAX);
        let empty = || Entry {
            name: SockAddr::empty(),
            // SAFETY: iovec and msghdr consist of integers and pointers; zero is valid for them.
            iovec: unsafe { std::mem::zeroed() },
            // SAFETY: as above.
            header: unsafe { std::mem::zeroed() },
            control: Control::empty(),
            run: 0,
            result: 0,
        };
        let messages = (0..count).map(|_| empty()).collect();
        let entries = u32::try_from(count.next_power_of_two()).unwrap_or(1);
        Ok(Self { ring: Ring::new(entries, 2 * entries)?, socket, messages })
    }

    /// Sends messages from the head of `batch`. Returns how many datagrams at the head were sent
    /// and how many behind them, which are out of the batch already.
    ///
    /// # Errors
    /// Why the message at the head was not sent; or the ring is of no use any more.
    pub(super) fn carry(
        &mut self,
        sender: &Sender,
        batch: &mut TxBatch,
    ) -> io::Result<(usize, usize)> {
        let count = self.prepare(sender, batch);
        self.ring.enable()?;
        self.submit(count)?;
        let messages = &self.messages[..count];
        let good = messages.iter().take_while(|message| message.result >= 0).count();
        let sent = messages[..good].iter().map(|message| message.run).sum();
        let Some(failed) = messages.get(good) else { return Ok((sent, 0)) };
        let early = forget_sent(&messages[good..], sent, batch);
        if good == 0 && early == 0 {
            return Err(io::Error::from_raw_os_error(-failed.result));
        }
        Ok((sent, early))
    }

    /// Describes messages from the head of `batch` on; returns how many.
    fn prepare(&mut self, sender: &Sender, batch: &TxBatch) -> usize {
        let mut count = 0;
        for (entry, message) in self.messages.iter_mut().zip(sender.messages(batch)) {
            entry.name = message.name;
            entry.iovec = message.iovec();
            entry.run = message.run;
            // Until the kernel has answered, the message counts as not sent.
            entry.result = -libc::EAGAIN;
            let header = &mut entry.header;
            header.msg_name = (&raw mut entry.name).cast();
            header.msg_namelen = message.name_len;
            header.msg_iov = &raw mut entry.iovec;
            header.msg_iovlen = 1;
            header.msg_control = std::ptr::null_mut();
            header.msg_controllen = 0;
            if let Some(segment) = message.segment {
                cmsg::put_segment(header, &mut entry.control, segment);
            }
            count += 1;
        }
        count
    }

    /// Submits the first `count` messages and takes the kernel's answers to all of them.
    fn submit(&mut self, count: usize) -> io::Result<()> {
        for (at, entry) in self.messages[..count].iter().enumerate() {
            let request = opcode::SendMsg::new(types::Fd(self.socket), &raw const entry.header)
                .flags(libc::MSG_DONTWAIT.unsigned_abs())
                .build()
                .user_data(at as u64);
            // SAFETY: the entry points at a header, and that at a name, an iovec and a control
            // room, all in the boxed array, and at bytes of the batch that the caller borrows. None
            // of them is touched before all answers are in, which ends this function; if it ends
            // with an error, the ring is of no use and is not entered again.
            let pushed = unsafe { self.ring.push(&request) };
            debug_assert!(pushed, "the ring has an entry for each message");
        }
        self.ring.enter(0)?;
        let mut missing = count;
        while missing > 0 {
            let Some(completion) = self.ring.pop() else {
                self.ring.enter(missing)?;
                continue;
            };
            let at = usize::try_from(completion.user_data()).unwrap_or(usize::MAX);
            if let Some(entry) = self.messages.get_mut(at) {
                entry.result = completion.result();
            }
            missing -= 1;
        }
        Ok(())
    }
}

/// Takes the messages that were sent although the first of `messages`, which begins at the
/// datagram at `start`, was not, out of the batch. Returns how many datagrams.
fn forget_sent(messages: &[Entry], start: usize, batch: &mut TxBatch) -> usize {
    let (mut at, mut early) = (start, 0);
    for message in messages {
        if message.result >= 0 {
            batch.sent_early(at, message.run);
            early += message.run;
        } else {
            at += message.run;
        }
    }
    early
}
