//! A link inside this process: datagrams travel between links of one [`Hub`].
//!
//! For tests, simulation beside real links, and members that live in one process. It behaves like
//! a network with a bounded receive buffer: what does not fit is lost and counted at the receiver,
//! what nobody listens for is refused at the sender.

use super::{Link, OpenError, Options, RxBurst, TxBatch};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use syncom_seam::bounded::BoundedQueue;
use syncom_wire::Addr;
use syncom_wire::limits::CHANNEL_DATAGRAM_MAX;

/// Datagrams that one link's inbox holds at most.
const INBOX_DATAGRAMS: usize = 4096;
/// Ports that the hub chooses itself start here.
const FIRST_FREE_PORT: u16 = 32_768;

/// A network of links by address. Cloning gives another handle to the same one.
#[derive(Clone, Default)]
pub struct Hub {
    inboxes: Arc<Mutex<BTreeMap<Addr, Arc<Mutex<Inbox>>>>>,
}

impl Hub {
    /// A network with nobody on it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Attaches a link at `bind`; port 0 lets the hub choose. Its inbox holds
    /// [`Options::rx_buffer`] bytes.
    ///
    /// # Errors
    /// [`OpenError::InUse`] when the address is taken.
    pub fn open(&self, bind: Addr, options: &Options) -> Result<MemLink, OpenError> {
        let mut inboxes = lock(&self.inboxes);
        let addr = if bind.port == 0 {
            (FIRST_FREE_PORT..=u16::MAX)
                .map(|port| Addr { port, ..bind })
                .find(|addr| !inboxes.contains_key(addr))
                .ok_or(OpenError::InUse(bind))?
        } else {
            bind
        };
        if inboxes.contains_key(&addr) {
            return Err(OpenError::InUse(addr));
        }
        let inbox = Arc::new(Mutex::new(Inbox::new(options.rx_buffer)));
        inboxes.insert(addr, Arc::clone(&inbox));
        let batch = TxBatch::new(options.tx_bytes, options.tx_datagrams);
        Ok(MemLink { hub: self.clone(), addr, inbox, batch, refused: 0 })
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(lock(&self.inboxes).keys().map(ToString::to_string)).finish()
    }
}

/// What waits at one address.
#[derive(Debug)]
struct Inbox {
    waiting: BoundedQueue<(Addr, usize)>,
    bytes: VecDeque<u8>,
    bytes_max: usize,
    overflow: u64,
}

impl Inbox {
    fn new(bytes_max: usize) -> Self {
        let waiting = BoundedQueue::new(INBOX_DATAGRAMS);
        Self { waiting, bytes: VecDeque::with_capacity(bytes_max), bytes_max, overflow: 0 }
    }

    fn push(&mut self, from: Addr, datagram: &[u8]) {
        let fits = self.bytes.len() + datagram.len() <= self.bytes_max;
        if fits && self.waiting.push((from, datagram.len())).is_ok() {
            self.bytes.extend(datagram);
        } else {
            self.overflow += 1;
        }
    }

    fn pop_into(&mut self, burst: &mut RxBurst) -> bool {
        let Some(&(from, len)) = self.waiting.front() else { return false };
        let (head, tail) = self.bytes.as_slices();
        let cut = len.min(head.len());
        let parts = [&head[..cut], tail.get(..len - cut).unwrap_or_default()];
        if !burst.put(from, None, parts) {
            return false;
        }
        self.waiting.pop();
        self.bytes.drain(..len);
        true
    }
}

/// A link of a [`Hub`]. Dropping it frees its address.
#[derive(Debug)]
pub struct MemLink {
    hub: Hub,
    addr: Addr,
    inbox: Arc<Mutex<Inbox>>,
    batch: TxBatch,
    refused: u64,
}

impl Link for MemLink {
    fn rx_burst(&mut self, burst: &mut RxBurst) -> io::Result<usize> {
        burst.clear();
        let mut inbox = lock(&self.inbox);
        while inbox.pop_into(burst) {}
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
        let mut sent = 0;
        let inboxes = lock(&self.hub.inboxes);
        for queued in self.batch.iter() {
            let datagram = self.batch.of(&queued);
            match inboxes.get(&queued.to) {
                Some(inbox) if datagram.len() <= CHANNEL_DATAGRAM_MAX => {
                    lock(inbox).push(self.addr, datagram);
                    sent += 1;
                }
                Some(_) | None => self.refused += 1,
            }
        }
        drop(inboxes);
        self.batch.sent(usize::MAX);
        Ok(sent)
    }

    fn tx_pending(&self) -> usize {
        self.batch.pending()
    }

    fn local_addr(&self) -> Addr {
        self.addr
    }

    fn source(&self) -> Option<RawFd> {
        None
    }

    fn overflow(&mut self) -> u64 {
        std::mem::take(&mut lock(&self.inbox).overflow)
    }

    fn refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }
}

impl Drop for MemLink {
    fn drop(&mut self) {
        lock(&self.hub.inboxes).remove(&self.addr);
    }
}

/// A panic elsewhere leaves nothing half-done here: every change under a lock is complete.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
