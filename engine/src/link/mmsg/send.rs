//! Sending: a queue of datagrams out with as few system calls and copies as possible.

use super::address::{Family, SockAddr};
use super::cmsg::{self, Control};
use crate::link::TxBatch;
use crate::link::tx::Queued;
use std::io;
use std::os::fd::RawFd;
use syncom_wire::limits::MTU;

/// Messages per system call; see the same bound for receiving.
const BATCH: usize = 32;
/// Datagrams in one message (`UDP_MAX_SEGMENTS` of all kernels that know it).
const SEGMENTS_MAX: usize = 64;
/// Bytes in one message: an IP packet's 65,535 without the largest headers.
const MESSAGE_BYTES_MAX: usize = 65_000;
/// Errors about earlier datagrams that one flush steps over before it blames the datagram at hand.
const ERRORS_MAX: u32 = 16;

/// Whether the kernel cuts runs of datagrams for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segments {
    /// It does.
    Kernel,
    /// It does not, and why.
    Off(String),
}

/// Sends from a batch.
#[derive(Debug)]
pub(super) struct Sender {
    family: Family,
    segments: Segments,
    /// Datagrams at the head that go one by one, because they were refused as a run.
    singles: usize,
    /// Longest datagrams that are sent as a run: the path refuses runs of longer ones.
    segment_max: usize,
    refused: u64,
}

/// What to do after an error about the message at the head.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Call again.
    Retry,
    /// The kernel has no room now.
    Later,
    /// Send this run one by one.
    Split,
    /// Send all runs one by one from now on.
    SplitAlways,
    /// Drop it.
    Refuse,
    /// The socket is of no use.
    Fatal,
}

impl Sender {
    pub(super) const fn new(family: Family, segments: Segments) -> Self {
        Self { family, segments, singles: 0, segment_max: MESSAGE_BYTES_MAX, refused: 0 }
    }

    /// Datagrams refused since the last call.
    pub(super) fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// Why runs are not segmented by the kernel, if they are not.
    pub(super) fn shortcoming(&self) -> Option<String> {
        match &self.segments {
            Segments::Kernel => None,
            Segments::Off(why) => Some(format!("no segmentation offload (UDP_SEGMENT): {why}")),
        }
    }

    /// Sends all that `batch` holds, or as much as the kernel has room for; returns how many
    /// datagrams were sent.
    pub(super) fn flush(&mut self, socket: RawFd, batch: &mut TxBatch) -> io::Result<usize> {
        let mut sent = 0;
        let mut errors = 0;
        while let Some(head) = batch.pending().first() {
            if SockAddr::of(head.to, self.family).is_none() {
                self.refuse(batch);
                continue;
            }
            let run = self.run(batch.pending(), 0);
            let error = match self.send(socket, batch) {
                Ok(count) => {
                    sent += count;
                    self.consume(batch, count);
                    continue;
                }
                Err(error) => error,
            };
            match judge(&error, run, errors) {
                Verdict::Retry => errors += 1,
                Verdict::Later => break,
                Verdict::Split => {
                    self.singles = run;
                    self.segment_max = self.segment_max.min(MTU);
                }
                Verdict::SplitAlways => self.segments = Segments::Off(error.to_string()),
                Verdict::Refuse => self.refuse(batch),
                Verdict::Fatal => return Err(error),
            }
        }
        Ok(sent)
    }

    fn refuse(&mut self, batch: &mut TxBatch) {
        self.refused += 1;
        self.consume(batch, 1);
    }

    fn consume(&mut self, batch: &mut TxBatch, count: usize) {
        self.singles = self.singles.saturating_sub(count);
        batch.sent(count);
    }

    /// How many of the pending datagrams from `at` on make one message.
    fn run(&self, pending: &[Queued], at: usize) -> usize {
        if self.segments != Segments::Kernel || at < self.singles {
            return 1;
        }
        run_length(&pending[at..], self.segment_max)
    }

    /// One system call; how many datagrams it sent.
    fn send(&self, socket: RawFd, batch: &TxBatch) -> io::Result<usize> {
        let mut names = [SockAddr::empty(); BATCH];
        let mut controls = [Control::empty(); BATCH];
        let mut runs = [0; BATCH];
        // SAFETY: iovec and mmsghdr consist of integers and pointers, for which zero is valid.
        let (mut iovecs, mut headers): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };

        let pending = batch.pending();
        let (mut messages, mut at) = (0, 0);
        while messages < BATCH
            && let Some(first) = pending.get(at)
            && let Some((name, name_len)) = SockAddr::of(first.to, self.family)
        {
            let run = self.run(pending, at);
            let start = first.range().start;
            let end = pending[at + run - 1].range().end;
            let Some(bytes) = batch.bytes().get(start..end) else { break };
            names[messages] = name;
            iovecs[messages] =
                libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
            let header = &mut headers[messages].msg_hdr;
            header.msg_name = (&raw mut names[messages]).cast();
            header.msg_namelen = name_len;
            header.msg_iov = &raw mut iovecs[messages];
            header.msg_iovlen = 1;
            if run > 1 {
                let segment = u16::try_from(first.range().len()).unwrap_or(u16::MAX);
                cmsg::put_segment(header, &mut controls[messages], segment);
            }
            runs[messages] = run;
            messages += 1;
            at += run;
        }
        let count = u32::try_from(messages).unwrap_or(0);
        // SAFETY: the first `count` headers point at names, iovecs, control rooms and bytes that
        // are as long as they say and outlive the call: the first three are locals, the bytes
        // belong to `batch`, which is borrowed. The kernel only reads them, and writes `msg_len`.
        let sent =
            unsafe { libc::sendmmsg(socket, headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
        let sent = usize::try_from(sent).map_err(|_| io::Error::last_os_error())?;
        Ok(runs[..sent.min(messages)].iter().sum())
    }
}

/// How many datagrams at the front lie one after another, go to the same destination, and are all
/// as long as the first, the last one perhaps shorter: what one segmented message can carry.
fn run_length(pending: &[Queued], segment_max: usize) -> usize {
    let Some(first) = pending.first() else { return 0 };
    let segment = first.range().len();
    if segment == 0 || segment > segment_max {
        return 1;
    }
    let (mut count, mut bytes, mut end) = (1, segment, first.range().end);
    for next in pending.iter().take(SEGMENTS_MAX).skip(1) {
        let len = next.range().len();
        let fits = next.to == first.to && next.range().start == end && (1..=segment).contains(&len);
        if !fits || bytes + len > MESSAGE_BYTES_MAX {
            break;
        }
        count += 1;
        bytes += len;
        end = next.range().end;
        if len < segment {
            break;
        }
    }
    count
}

/// What an error says about the message at the head, which carries `run` datagrams.
fn judge(error: &io::Error, run: usize, errors: u32) -> Verdict {
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => Verdict::Later,
        Some(libc::EBADF | libc::ENOTSOCK | libc::EFAULT) | None => Verdict::Fatal,
        Some(libc::EINTR) => Verdict::Retry,
        // An ICMP error about something sent earlier; telling us cleared it.
        Some(libc::ECONNREFUSED) if errors < ERRORS_MAX => Verdict::Retry,
        // The way out has no checksum offload, or the kernel no UDP_SEGMENT.
        Some(libc::EIO | libc::ENOPROTOOPT | libc::EOPNOTSUPP) if run > 1 => Verdict::SplitAlways,
        // A segment exceeds the path's MTU, or one of the datagrams' own errors.
        Some(_) if run > 1 => Verdict::Split,
        Some(_) => Verdict::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncom_wire::Addr;

    const A: Addr = Addr::v4([10, 0, 0, 1], 1);
    const B: Addr = Addr::v4([10, 0, 0, 2], 1);

    fn run(datagrams: &[(Addr, usize)]) -> usize {
        let mut batch = TxBatch::new(1 << 20, 1000);
        for (to, len) in datagrams {
            let _ = batch.claim(*to, *len).unwrap();
            batch.commit(*len);
        }
        run_length(batch.pending(), MTU)
    }

    #[test]
    fn a_run_ends_at_another_destination_a_longer_datagram_or_after_a_shorter_one() {
        assert_eq!(run(&[(A, 9), (A, 9), (B, 9)]), 2);
        assert_eq!(run(&[(A, 9), (A, 10)]), 1);
        assert_eq!(run(&[(A, 9), (A, 9), (A, 5), (A, 9)]), 3);
        assert_eq!(run(&[(A, 9), (A, 0), (A, 9)]), 1);
        assert_eq!(run(&[]), 0);
    }

    #[test]
    fn a_run_stays_within_what_one_message_can_carry() {
        assert_eq!(run(&[(A, 1); 100]), SEGMENTS_MAX);
        assert_eq!(run(&[(A, MTU); 100]), MESSAGE_BYTES_MAX / MTU);
        assert_eq!(run(&[(A, MTU + 1); 2]), 1);
    }

    #[test]
    fn the_same_bytes_to_the_same_destination_are_no_run() {
        let mut batch = TxBatch::new(100, 10);
        let _ = batch.claim(A, 9).unwrap();
        batch.commit(9);
        assert!(batch.again(A));
        assert_eq!(run_length(batch.pending(), MTU), 1);
    }

    #[test]
    fn errors_of_the_network_never_end_the_link() {
        let verdict = |code, run| judge(&io::Error::from_raw_os_error(code), run, 0);
        assert_eq!(verdict(libc::EAGAIN, 1), Verdict::Later);
        assert_eq!(verdict(libc::ECONNREFUSED, 1), Verdict::Retry);
        assert_eq!(verdict(libc::EIO, 2), Verdict::SplitAlways);
        assert_eq!(verdict(libc::EMSGSIZE, 2), Verdict::Split);
        for code in [libc::EMSGSIZE, libc::EPERM, libc::ENETUNREACH, libc::EHOSTUNREACH] {
            assert_eq!(verdict(code, 1), Verdict::Refuse);
        }
        assert_eq!(verdict(libc::EBADF, 1), Verdict::Fatal);
    }
}
