//! The disk writer: a thread of its own, so that no flush ever stops a loop.
//!
//! It takes every record that is queued, hands all of them to the store, and flushes once for the
//! lot (group commit): the slower the device, the larger the lot. A fault is final: it is said
//! once, and nothing is written or acknowledged after it.

use crate::counters::Counters;
use crate::host::DoneSender;
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use std::collections::VecDeque;
use std::io;
use std::thread::{Builder, JoinHandle};
use syncom_seam::{Counter, DiskFault, Done, Durable, Record};

/// Records between the loop and the writer; more wait at the loop, in order.
const QUEUE_DEPTH: usize = 256;

/// A loop's end of a disk writer.
#[derive(Debug)]
pub struct Disk {
    queue: Option<Sender<Record>>,
    /// Records for which the queue had no room. A role bounds what it has under way.
    backlog: VecDeque<Record>,
    thread: Option<JoinHandle<()>>,
}

impl Disk {
    /// Starts a writer for `store`. It answers through `done` and counts in `counters`, where
    /// nobody else may write the disk's counters.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        store: Box<dyn Durable>,
        done: DoneSender,
        counters: Counters,
    ) -> io::Result<Self> {
        let (queue, records) = bounded(QUEUE_DEPTH);
        let writer = Writer { store, records, done, counters };
        let thread = Builder::new().name("disk".into()).spawn(move || writer.run())?;
        Ok(Self { queue: Some(queue), backlog: VecDeque::new(), thread: Some(thread) })
    }

    /// Hands a record to the writer, behind all earlier ones. Never blocks.
    pub fn persist(&mut self, record: Record) {
        self.backlog.push_back(record);
        self.push();
    }

    /// Hands over what has been waiting for room.
    pub fn push(&mut self) {
        let Some(queue) = &self.queue else { return };
        while let Some(record) = self.backlog.pop_front() {
            match queue.try_send(record) {
                Ok(()) => {}
                Err(TrySendError::Full(record)) => {
                    self.backlog.push_front(record);
                    return;
                }
                // The writer has reported a fault and gone.
                Err(TrySendError::Disconnected(_)) => self.backlog.clear(),
            }
        }
    }

    /// Lets the writer finish what it was handed, without waiting for it.
    pub fn abandon(mut self) {
        self.thread = None;
    }
}

impl Drop for Disk {
    /// Lets the writer finish what it has and waits for it.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Writer {
    store: Box<dyn Durable>,
    records: Receiver<Record>,
    done: DoneSender,
    counters: Counters,
}

impl Writer {
    fn run(mut self) {
        while let Ok(first) = self.records.recv() {
            let answer = match self.commit(first) {
                Ok(ticket) => Done::Durable { ticket },
                Err(fault) => Done::DiskFailed(fault),
            };
            let is_fatal = matches!(answer, Done::DiskFailed(_));
            if !self.done.send(answer) || is_fatal {
                return;
            }
        }
    }

    /// Makes `first` and everything queued behind it durable; returns the last ticket.
    fn commit(&mut self, first: Record) -> Result<u64, DiskFault> {
        let (mut taken, mut ticket) = (0, 0);
        for record in std::iter::once(first).chain(self.records.try_iter().take(QUEUE_DEPTH)) {
            ticket = record.ticket();
            self.store.append(record)?;
            taken += 1;
        }
        self.store.sync()?;
        self.counters.add(Counter::DiskSyncs, 1);
        self.counters.add(Counter::DiskRecords, taken);
        Ok(ticket)
    }
}
