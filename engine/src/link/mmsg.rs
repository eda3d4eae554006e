//! A UDP socket moved by `recvmmsg` and `sendmmsg`: the link that works everywhere.
//!
//! One system call moves many datagrams. A run of equally long datagrams to one destination leaves
//! as a single message that the kernel or the card cuts up (`UDP_SEGMENT`), and runs that the
//! kernel coalesced on arrival (`UDP_GRO`) are split here. Nothing blocks.

pub(super) mod address;
pub mod bare;
pub(super) mod cmsg;
pub(super) mod errors;
mod group;
mod receive;
pub(super) mod send;
pub(super) mod socket;

use super::{Link, OpenError, Options, RxBurst, TxBatch};
use errors::Refusals;
pub use group::{Group, Interface};
use receive::Receiver;
use send::Sender;
use socket::Opened;
pub(super) use socket::Sharing;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use syncom_wire::Addr;

/// A UDP socket.
#[derive(Debug)]
pub struct MmsgLink {
    socket: OwnedFd,
    local: Addr,
    batch: TxBatch,
    sender: Sender,
    receiver: Receiver,
    /// The kernel's own count of drops, which wraps.
    drops_seen: u32,
    overflow: u64,
    refusals: Refusals,
    shortcomings: Vec<String>,
}

impl MmsgLink {
    /// Opens a socket bound to `bind`.
    ///
    /// # Errors
    /// See [`super::open`].
    pub fn open(bind: Addr, options: &Options) -> Result<Self, OpenError> {
        Ok(Self::of(socket::open(bind, options)?, options))
    }

    /// Opens a socket bound to `bind`, perhaps together with others.
    ///
    /// # Errors
    /// See [`super::open`].
    pub(super) fn open_with(
        bind: Addr,
        options: &Options,
        sharing: &Sharing,
    ) -> Result<Self, OpenError> {
        Ok(Self::of(socket::open_with(bind, options, sharing)?, options))
    }

    /// Opens a socket that listens to a multicast group, together with others on this host, if
    /// `listens`; else one that sends to it, and is answered by its members.
    ///
    /// # Errors
    /// See [`super::open`].
    pub fn group(group: &Group, listens: bool, options: &Options) -> Result<Self, OpenError> {
        Ok(Self::of(group.open(listens, options)?, options))
    }

    fn of(opened: Opened, options: &Options) -> Self {
        let mut sender = Sender::new(opened.family, opened.segments);
        sender.hear_refusals(options.hears_refusals);
        Self {
            socket: opened.socket,
            local: opened.local,
            batch: TxBatch::new(options.tx_bytes, options.tx_datagrams),
            sender,
            receiver: Receiver::new(!options.takes_runs && !options.is_stamped),
            drops_seen: 0,
            overflow: 0,
            refusals: Refusals::new(options.hears_refusals),
            shortcomings: opened.shortcomings,
        }
    }

    /// Fills `burst` behind what is in it already, until it is full or the socket is drained.
    pub(super) fn rx_more(&mut self, burst: &mut RxBurst) -> io::Result<()> {
        let drops = self.receiver.fill(self.socket.as_raw_fd(), burst)?;
        self.note(drops, burst);
        Ok(())
    }

    /// Counts what was lost on the way into `burst`.
    fn note(&mut self, drops: Option<u32>, burst: &mut RxBurst) {
        // A count that came with a datagram may be older than one that was asked for.
        let lost = drops.map_or(0, |drops| drops.wrapping_sub(self.drops_seen));
        if lost <= u32::MAX / 2 {
            self.overflow += u64::from(lost);
            self.drops_seen = self.drops_seen.wrapping_add(lost);
        }
        self.overflow += burst.take_lost();
    }

    /// The socket.
    pub(super) fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Link for MmsgLink {
    fn rx_burst(&mut self, burst: &mut RxBurst) -> io::Result<usize> {
        burst.clear();
        let drops = self.receiver.fill_some(self.socket.as_raw_fd(), burst)?;
        self.note(drops, burst);
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
        self.sender.flush(self.socket.as_raw_fd(), &mut self.batch)
    }

    fn tx_pending(&self) -> usize {
        self.batch.pending()
    }

    fn local_addr(&self) -> Addr {
        self.local
    }

    fn source(&self) -> Option<RawFd> {
        Some(self.socket.as_raw_fd())
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

    fn connect(&mut self, to: Addr) -> io::Result<bool> {
        self.sender.connect(&self.socket, to)?;
        self.receiver.on_connected(to);
        self.local = socket::local(&self.socket)?;
        Ok(true)
    }

    fn shortcomings(&self) -> Vec<String> {
        self.shortcomings.iter().cloned().chain(self.sender.shortcoming()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connected_link_hears_its_peer_alone_and_still_sends_to_others() {
        let bind = Addr::v4([127, 0, 0, 1], 0);
        let open =
            || MmsgLink::open(bind, &Options { is_stamped: false, ..Options::SMALL }).unwrap();
        let (mut near, mut peer, mut other) = (open(), open(), open());
        let send = |from: &mut MmsgLink, to: Addr, byte: u8| {
            from.tx_claim(to, 9).unwrap().fill(byte);
            from.tx_commit(9);
            assert_eq!(from.tx_flush().unwrap(), 1);
        };
        assert!(near.connect(peer.local).unwrap());
        let here = near.local;
        send(&mut other, here, 1);
        for byte in 2..4 {
            send(&mut peer, here, byte);
        }
        let deadline = crate::clock::patience();
        let (mut burst, mut heard) = (RxBurst::new(2), Vec::new());
        while heard.len() < 2 {
            assert!(crate::clock::now() < deadline);
            near.rx_burst(&mut burst).unwrap();
            for at in 0..burst.len() {
                let datagram = burst.datagram(at).unwrap();
                assert!(datagram.stamp.is_none() && datagram.from == peer.local);
                heard.push(datagram.bytes[0]);
            }
        }
        assert_eq!(heard, [2, 3]);
        for (link, byte) in [(&mut other, 4), (&mut peer, 5)] {
            send(&mut near, link.local, byte);
            while link.rx_burst(&mut burst).unwrap() == 0 {
                assert!(crate::clock::now() < deadline);
            }
            assert_eq!((burst.bytes(0).unwrap()[0], burst.datagram(0).unwrap().from), (byte, here));
        }
        assert!(near.connect(Addr { ip: [0x20; 16], port: 9 }).is_err(), "another family");
        send(&mut near, peer.local, 6);
    }

    #[test]
    fn a_connected_link_for_single_datagrams_knows_strangers_that_came_before() {
        let bind = Addr::v4([127, 0, 0, 1], 0);
        let options = Options { is_stamped: false, takes_runs: false, ..Options::SMALL };
        let open = || MmsgLink::open(bind, &options).unwrap();
        let (mut near, mut peer, mut other) = (open(), open(), open());
        let here = near.local;
        let send = |from: &mut MmsgLink, len: usize| {
            from.tx_claim(here, len).unwrap().fill(7);
            from.tx_commit(len);
            assert_eq!(from.tx_flush().unwrap(), 1);
        };
        send(&mut other, 5);
        assert!(near.connect(peer.local).unwrap());
        assert_eq!(near.local, here);
        let (mut burst, mut heard) = (RxBurst::new(4), Vec::new());
        let deadline = crate::clock::patience();
        // Strangers first; then one by one; then several at once, too long for nobody.
        for lengths in [&[9][..], &[10], &[11], &[12, 13, 14, 20_000]] {
            lengths.iter().for_each(|len| send(&mut peer, *len));
            let want = heard.len() + lengths.len() + usize::from(heard.is_empty());
            while heard.len() < want {
                assert!(crate::clock::now() < deadline, "{heard:?}");
                near.rx_burst(&mut burst).unwrap();
                for at in 0..burst.len() {
                    let datagram = burst.datagram(at).unwrap();
                    assert!(!datagram.truncated);
                    heard.push((datagram.from == peer.local, datagram.bytes.len()));
                }
            }
            // Drained: the peer alone is heard from here on.
            while near.rx_burst(&mut burst).unwrap() > 0 {}
        }
        let of_peer = [9, 10, 11, 12, 13, 14, 20_000].map(|len| (true, len));
        assert_eq!(heard, [&[(false, 5)][..], &of_peer].concat());
    }

    #[test]
    fn a_run_travels_as_one_message_where_the_kernel_segments() {
        let bind = Addr::v4([127, 0, 0, 1], 0);
        let mut near = MmsgLink::open(bind, &Options::LARGE).unwrap();
        let mut far = MmsgLink::open(bind, &Options::LARGE).unwrap();
        if !near.shortcomings().iter().all(|line| line.contains("buffer is")) {
            eprintln!("cannot run here: {:?}", near.shortcomings());
            return;
        }
        for _ in 0..40 {
            near.tx_claim(far.local, 100).unwrap().fill(7);
            near.tx_commit(100);
        }
        assert_eq!(near.tx_flush().unwrap(), 40);
        let deadline = crate::clock::patience();
        let mut burst = RxBurst::new(8);
        while far.rx_burst(&mut burst).unwrap() == 0 {
            assert!(crate::clock::now() < deadline);
        }
        assert_eq!((burst.len(), burst.used()), (40, 1));
    }
}
