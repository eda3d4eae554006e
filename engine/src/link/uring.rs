//! A UDP socket moved by io_uring: datagrams arrive in memory of this link without being asked for.
//!
//! One request, submitted once, receives for ever: the kernel takes a buffer from a ring that it
//! shares with us, fills it and says so in another. The buffer is a slot of this link's own; it is
//! lent to the burst, and the kernel gets another one. So nothing is copied beyond the kernel's one
//! copy, and a turn without datagrams costs two reads of memory and no system call. What arrives
//! while all slots are lent waits in the socket.
//!
//! A flush is one submission with one entry per message, segmented as in [`super::mmsg`], with
//! which this link shares how a socket is opened, what makes a message, and what an error means.
//!
//! What was measured and left out: `SENDMSG_ZC` took 1.4 times as long for runs of 64 B and 1.5
//! times for runs of 1400 B as a copy does, through the loopback, which copies in any case, so there
//! are no registered buffers either, which serve nothing else here. A kernel thread that polls for
//! submissions wants a core of its own. Where there is a choice, [`super::mmsg`] takes less time per
//! message in both directions; this link is for those who would rather not ask: without traffic it
//! costs no system call, whatever the number of turns.
//!
//! There are two rings, since a ring that also completed sends would wake its sleeper for each of
//! them. Both belong to the thread that uses the link first: the kernel then leaves all its work
//! for that thread to be done when it enters ("deferred task running"), and interrupts nobody. A
//! thread that sleeps meanwhile is woken through an eventfd, which exists once somebody has asked
//! what to wait on: to signal it costs whoever sends, and who spins needs none.

pub mod bare;
mod buffers;
mod receive;
mod ring;
mod send;

use super::mmsg::Group;
use super::mmsg::errors::Refusals;
use super::mmsg::send::Sender;
use super::mmsg::socket::{self, Opened};
use super::{Link, OpenError, Options, RxBurst, TxBatch};
use receive::Receiver;
use send::Carrier;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use syncom_wire::Addr;

/// A UDP socket with two rings. It works on one thread only, the one that uses it first.
#[derive(Debug)]
pub struct UringLink {
    // The rings go before the socket that they use.
    receiver: Receiver,
    carrier: Carrier,
    socket: OwnedFd,
    local: Addr,
    batch: TxBatch,
    sender: Sender,
    /// The kernel's own count of drops, which wraps.
    drops_seen: u32,
    overflow: u64,
    refusals: Refusals,
    shortcomings: Vec<String>,
}

impl UringLink {
    /// Opens a socket bound to `bind`.
    ///
    /// # Errors
    /// See [`super::open`]; and when the kernel has no io_uring for us, which the error explains.
    pub fn open(bind: Addr, options: &Options) -> Result<Self, OpenError> {
        Self::of(socket::open(bind, options)?, options)
    }

    /// Opens a socket for a multicast group: see [`super::mmsg::MmsgLink::group`].
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn group(group: &Group, listens: bool, options: &Options) -> Result<Self, OpenError> {
        Self::of(group.open(listens, options)?, options)
    }

    fn of(opened: Opened, options: &Options) -> Result<Self, OpenError> {
        block(&opened.socket).map_err(|error| OpenError::Os("fcntl", error))?;
        let fd = opened.socket.as_raw_fd();
        let mut sender = Sender::new(opened.family, opened.segments);
        sender.hear_refusals(options.hears_refusals);
        Ok(Self {
            receiver: Receiver::open(fd, options.rx_buffer)?,
            carrier: Carrier::open(fd, options.tx_datagrams)?,
            socket: opened.socket,
            local: opened.local,
            batch: TxBatch::new(options.tx_bytes, options.tx_datagrams),
            sender,
            drops_seen: 0,
            overflow: 0,
            refusals: Refusals::new(options.hears_refusals),
            shortcomings: opened.shortcomings,
        })
    }
}

/// Lets requests on the socket wait in the kernel: on a non-blocking one they would fail instead.
fn block(socket: &OwnedFd) -> io::Result<()> {
    // SAFETY: the descriptor is open; the call touches no memory.
    let result = unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl Link for UringLink {
    fn rx_burst(&mut self, burst: &mut RxBurst) -> io::Result<usize> {
        if let Some(drops) = self.receiver.fill(burst)? {
            self.overflow += u64::from(drops.wrapping_sub(self.drops_seen));
            self.drops_seen = drops;
        }
        self.overflow += burst.take_lost();
        Ok(burst.len())
    }

    fn tx_claim(&mut self, to: Addr, len: usize) -> Option<&mut [u8]> {
        self.batch.claim(to, len)
    }

    fn tx_commit(&mut self, len: usize) {
        self.batch.commit(len);
    }

    fn tx_again(&mut self, to: Addr) -> bool {
        self.batch.again(to)
    }

    fn tx_flush(&mut self) -> io::Result<usize> {
        let (carrier, mut early) = (&mut self.carrier, 0);
        let sent = self.sender.flush_by(&mut self.batch, |sender, batch| {
            let (first, behind) = carrier.carry(sender, batch)?;
            early += behind;
            Ok(first)
        })?;
        Ok(sent + early)
    }

    fn tx_pending(&self) -> usize {
        self.batch.pending()
    }

    fn local_addr(&self) -> Addr {
        self.local
    }

    fn source(&self) -> Option<RawFd> {
        self.receiver.source()
    }

    fn overflow(&mut self) -> u64 {
        std::mem::take(&mut self.overflow)
    }

    fn refused(&mut self) -> u64 {
        self.sender.take_refused()
    }

    fn returned(&mut self, room: &mut [u8]) -> Option<(Addr, usize)> {
        let failed = self.receiver.take_failed() | self.sender.take_failed();
        self.refusals.next(failed, self.socket.as_raw_fd(), room)
    }

    fn shortcomings(&self) -> Vec<String> {
        self.shortcomings.iter().cloned().chain(self.sender.shortcoming()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIND: Addr = Addr::v4([127, 0, 0, 1], 0);

    fn link() -> Option<UringLink> {
        let opened = UringLink::open(BIND, &Options::SMALL);
        opened.inspect_err(|error| eprintln!("cannot run here: {error}")).ok()
    }

    fn queue(link: &mut UringLink, to: Addr, len: usize) {
        link.tx_claim(to, len).unwrap().fill(7);
        link.tx_commit(len);
    }

    #[test]
    fn a_link_opened_here_works_there_and_nowhere_else() {
        let Some(mut link) = link() else { return };
        let mut burst = RxBurst::new(1);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| link.rx_burst(&mut burst).unwrap());
            assert_eq!(first.join().unwrap(), 0);
        });
        queue(&mut link, BIND, 1);
        assert!(link.tx_flush().is_ok_and(|sent| sent == 0) && link.refused() == 1);
        let error = loop {
            let to = link.local_addr();
            queue(&mut link, to, 1);
            link.tx_flush().unwrap();
            if let Err(error) = link.rx_burst(&mut burst) {
                break error;
            }
        };
        assert!(error.to_string().contains("thread"), "{error}");
    }

    #[test]
    fn what_is_sent_behind_a_refused_datagram_is_not_sent_twice() {
        let (Some(mut near), Some(mut far)) = (link(), link()) else { return };
        // Port 0 is refused; all others go in the same submission.
        for port in [0, far.local.port, 0, 0, far.local.port, far.local.port, 0] {
            queue(&mut near, Addr { port, ..BIND }, 9);
            queue(&mut near, Addr { port, ..BIND }, 10);
        }
        assert_eq!((near.tx_flush().unwrap(), near.refused(), near.tx_pending()), (6, 8, 0));
        let (mut burst, mut arrived) = (RxBurst::new(16), 0);
        let deadline = crate::clock::patience();
        while arrived < 6 {
            assert!(crate::clock::now() < deadline);
            arrived += far.rx_burst(&mut burst).unwrap();
        }
        assert_eq!((arrived, far.rx_burst(&mut burst).unwrap()), (6, 0));
    }
}
