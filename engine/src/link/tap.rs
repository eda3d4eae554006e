//! A trace of what passes through a link, as a pcap file that Wireshark and tcpdump read.
//!
//! Links know addresses and payloads only; IP and UDP headers are made up around them. Sealed
//! bodies stay sealed.

mod pcap;

pub use pcap::PcapWriter;

use super::{Datagram, Link, Options, RxBurst, TxBatch};
use crate::clock;
use std::io;
use std::os::fd::RawFd;
use syncom_seam::Time;
use syncom_wire::Addr;

/// Any link, with everything it receives and sends written to `W`. Wrap files in a
/// [`io::BufWriter`].
///
/// The trace never disturbs the traffic: when it cannot be written, it ends, and
/// [`Link::shortcomings`] says why.
#[derive(Debug)]
pub struct TapLink<L, W: io::Write> {
    inner: L,
    batch: TxBatch,
    trace: Option<PcapWriter<W>>,
    ended: Option<io::Error>,
}

impl<L: Link, W: io::Write> TapLink<L, W> {
    /// Wraps `inner`, writing the head of the trace to `out`.
    ///
    /// # Errors
    /// When the head cannot be written.
    pub fn new(inner: L, out: W, options: &Options) -> io::Result<Self> {
        let batch = TxBatch::new(options.tx_bytes, options.tx_datagrams);
        Ok(Self { inner, batch, trace: Some(PcapWriter::new(out)?), ended: None })
    }
}

/// Runs `write` on the trace unless it has ended; ends it on an error.
fn record<W: io::Write>(
    trace: &mut Option<PcapWriter<W>>,
    ended: &mut Option<io::Error>,
    write: impl FnOnce(&mut PcapWriter<W>) -> io::Result<()>,
) {
    if let Some(Err(error)) = trace.as_mut().map(write) {
        *trace = None;
        *ended = Some(error);
    }
}

impl<L, W> Link for TapLink<L, W>
where
    L: Link,
    W: io::Write + Send + std::fmt::Debug,
{
    fn rx_burst(&mut self, burst: &mut RxBurst) -> io::Result<usize> {
        let count = self.inner.rx_burst(burst)?;
        if count > 0 {
            let (now, to) = (clock::read().wall, self.inner.local_addr());
            record(&mut self.trace, &mut self.ended, |trace| {
                for index in 0..count {
                    if let Some(Datagram { from, stamp, bytes, .. }) = burst.datagram(index) {
                        trace.write(stamp.unwrap_or(now), from, to, bytes)?;
                    }
                }
                Ok(())
            });
        }
        Ok(count)
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
        let from = self.inner.local_addr();
        let mut moved = 0;
        while let Some(queued) = self.batch.first() {
            if !self.batch.copy_to(&queued, &mut self.inner)? {
                break;
            }
            record(&mut self.trace, &mut self.ended, |trace| {
                trace.write(clock::read().wall, from, queued.to, self.batch.of(&queued))
            });
            self.batch.sent(1);
            moved += 1;
        }
        self.inner.tx_flush()?;
        Ok(moved)
    }

    fn tx_pending(&self) -> usize {
        self.batch.pending() + self.inner.tx_pending()
    }

    fn local_addr(&self) -> Addr {
        self.inner.local_addr()
    }

    fn source(&self) -> Option<RawFd> {
        self.inner.source()
    }

    fn is_patient(&self) -> bool {
        self.inner.is_patient()
    }

    fn overflow(&mut self) -> u64 {
        self.inner.overflow()
    }

    fn refused(&mut self) -> u64 {
        self.inner.refused()
    }

    fn returned(&mut self, room: &mut [u8]) -> Option<(Addr, usize)> {
        self.inner.returned(room)
    }

    fn advance(&mut self, now: Time) -> Time {
        self.inner.advance(now)
    }

    fn connect(&mut self, to: Addr) -> io::Result<bool> {
        self.inner.connect(to)
    }

    fn shortcomings(&self) -> Vec<String> {
        let ended = self.ended.iter().map(|error| format!("the trace ended: {error}"));
        self.inner.shortcomings().into_iter().chain(ended).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::mem::Hub;
    use std::sync::{Arc, Mutex};

    /// A disk of a given size.
    #[derive(Clone, Debug)]
    struct Disk(Arc<Mutex<Vec<u8>>>, usize);

    impl io::Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut file = self.0.lock().unwrap();
            if file.len() + bytes.len() > self.1 {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            file.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn exchange(disk: &Disk) -> (usize, Vec<String>) {
        let hub = Hub::new();
        let open = |host| hub.open(Addr::v4([10, 0, 0, host], 7000), &Options::SMALL).unwrap();
        let (near, mut far) = (open(1), open(2));
        let mut near = TapLink::new(near, disk.clone(), &Options::SMALL).unwrap();
        let mut burst = RxBurst::new(1);
        near.tx_claim(far.local_addr(), 4).unwrap().copy_from_slice(b"ping");
        near.tx_commit(4);
        near.tx_flush().unwrap();
        far.rx_burst(&mut burst).unwrap();
        far.tx_claim(near.local_addr(), 4).unwrap().copy_from_slice(b"pong");
        far.tx_commit(4);
        far.tx_flush().unwrap();
        (near.rx_burst(&mut burst).unwrap(), near.shortcomings())
    }

    #[test]
    fn both_directions_are_in_the_trace() {
        let disk = Disk(Arc::default(), usize::MAX);
        assert_eq!(exchange(&disk), (1, vec![]));
        let file = disk.0.lock().unwrap();
        assert_eq!(file.len(), 24 + 2 * (16 + 20 + 8 + 4));
        assert!(file[..72].ends_with(b"ping") && file.ends_with(b"pong"));
    }

    #[test]
    fn a_full_disk_ends_the_trace_and_not_the_traffic() {
        let (received, shortcomings) = exchange(&Disk(Arc::default(), 30));
        assert_eq!((received, shortcomings.len()), (1, 1));
        assert!(shortcomings[0].starts_with("the trace ended"));
    }
}
