//! Sending: a queue of datagrams out with as few system calls and copies as possible.

use super::address::{Family, SockAddr};
use super::cmsg::{self, Control};
use super::socket::connect;
use crate::link::TxBatch;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use syncom_wire::Addr;

/// Messages per system call; see the same bound for receiving.
const BATCH: usize = 32;
/// Errors about earlier datagrams that one flush steps over before it blames the datagram at hand.
const ERRORS_MAX: u32 = 16;

/// Whether the kernel cuts runs of datagrams for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::link) enum Segments {
    /// It does.
    Kernel,
    /// It does not, and why.
    Off(String),
}

/// Sends from a batch.
#[derive(Debug)]
pub(in crate::link) struct Sender {
    family: Family,
    segments: Segments,
    /// Datagrams at the head that go one by one, because they were refused as a run.
    singles: usize,
    refused: u64,
    /// Errors of the network about earlier datagrams are told by whatever call comes next.
    hears_refusals: bool,
    /// A call failed, perhaps by such an error.
    failed: bool,
    /// Whom the socket speaks with alone: it need not be told where to send then.
    peer: Option<Addr>,
}

/// What one system call entry carries: a datagram, or a run of them for the kernel to cut up.
pub(in crate::link) struct Message<'a> {
    pub(in crate::link) name: SockAddr,
    /// 0: the socket knows where it goes.
    pub(in crate::link) name_len: libc::socklen_t,
    pub(in crate::link) bytes: &'a [u8],
    /// Bytes of each datagram, when there are several.
    pub(in crate::link) segment: Option<u16>,
    /// How many datagrams it carries.
    pub(in crate::link) run: usize,
}

impl Message<'_> {
    /// Its bytes for the kernel, which only reads them.
    pub(in crate::link) const fn iovec(&self) -> libc::iovec {
        let (base, len) = (self.bytes.as_ptr(), self.bytes.len());
        libc::iovec { iov_base: base.cast_mut().cast(), iov_len: len }
    }
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
    pub(in crate::link) const fn new(family: Family, segments: Segments) -> Self {
        let (hears_refusals, failed) = (false, false);
        Self { family, segments, singles: 0, refused: 0, hears_refusals, failed, peer: None }
    }

    /// The socket tells errors about earlier datagrams from now on, see [`super::errors`].
    pub(in crate::link) const fn hear_refusals(&mut self, hears: bool) {
        self.hears_refusals = hears;
    }

    /// Whether a call has failed since the last time that this was asked.
    pub(in crate::link) fn take_failed(&mut self) -> bool {
        std::mem::take(&mut self.failed)
    }

    /// Has `socket` speak with `to` alone.
    pub(super) fn connect(&mut self, socket: &OwnedFd, to: Addr) -> io::Result<()> {
        connect(socket, to, self.family)?;
        self.peer = Some(to);
        Ok(())
    }

    /// Datagrams refused since the last call.
    pub(in crate::link) fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// Why runs are not segmented by the kernel, if they are not.
    pub(in crate::link) fn shortcoming(&self) -> Option<String> {
        match &self.segments {
            Segments::Kernel => None,
            Segments::Off(why) => Some(format!("no segmentation offload (UDP_SEGMENT): {why}")),
        }
    }

    /// Sends all that `batch` holds, or as much as the kernel has room for; returns how many
    /// datagrams were sent.
    pub(in crate::link) fn flush(
        &mut self,
        socket: RawFd,
        batch: &mut TxBatch,
    ) -> io::Result<usize> {
        // What a ping-pong sends: the message, and nothing to be said about it.
        if let Some(bytes) = self.peer.and_then(|peer| batch.lone(peer)) {
            if send_bytes(socket, bytes) {
                batch.sent(1);
                return Ok(1);
            }
            // What was told may be about an earlier datagram; what is wrong with this one is told again.
            self.failed = true;
        }
        self.flush_by(batch, |sender, batch| sender.send(socket, batch))
    }

    /// As [`Self::flush`], by other system calls. `carry` sends messages from the head on and
    /// returns how many datagrams at the head were sent, or why the message there was not.
    pub(in crate::link) fn flush_by(
        &mut self,
        batch: &mut TxBatch,
        mut carry: impl FnMut(&Self, &mut TxBatch) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut sent = 0;
        let mut errors = 0;
        // The message at the head has not been tried since an error was told.
        let mut is_fresh = true;
        while let Some(head) = batch.first_message(self.singles()) {
            if SockAddr::of(head.to, self.family).is_none() {
                self.refuse(batch);
                continue;
            }
            let run = head.count();
            let error = match carry(self, batch) {
                Ok(count) => {
                    sent += count;
                    self.consume(batch, count);
                    is_fresh = true;
                    // An error that ended a call which had sent something is told to nobody.
                    self.failed |= self.hears_refusals && batch.pending() > 0;
                    continue;
                }
                Err(error) => error,
            };
            self.failed = true;
            if self.hears_refusals && std::mem::take(&mut is_fresh) && is_told_late(&error) {
                continue;
            }
            match judge(&error, run, errors) {
                Verdict::Retry => errors += 1,
                Verdict::Later => break,
                Verdict::Split => {
                    self.singles = run;
                    batch.limit_segments(head.segment());
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

    /// Datagrams at the head that do not go as runs.
    const fn singles(&self) -> usize {
        match self.segments {
            Segments::Kernel => self.singles,
            Segments::Off(_) => usize::MAX,
        }
    }

    /// The messages to be sent, in order, up to one that this socket cannot address.
    pub(in crate::link) fn messages<'a>(
        &self,
        batch: &'a TxBatch,
    ) -> impl Iterator<Item = Message<'a>> {
        let (family, peer) = (self.family, self.peer);
        batch.messages(self.singles()).map_while(move |run| {
            let (name, name_len) = match peer {
                Some(peer) if peer == run.to => (SockAddr::empty(), 0),
                Some(_) | None => SockAddr::of(run.to, family)?,
            };
            let bytes = batch.bytes().get(run.range())?;
            let segment = u16::try_from(run.segment()).unwrap_or(u16::MAX);
            let segment = (run.count() > 1).then_some(segment);
            Some(Message { name, name_len, bytes, segment, run: run.count() })
        })
    }

    /// One system call; how many datagrams it sent.
    fn send(&self, socket: RawFd, batch: &TxBatch) -> io::Result<usize> {
        let mut messages = self.messages(batch);
        match (messages.next(), messages.next()) {
            (Some(only), None) => send_one(socket, &only),
            (first, second) => send_many(socket, first.into_iter().chain(second).chain(messages)),
        }
    }
}

/// A datagram to the only one whom the socket speaks with; whether it was sent.
fn send_bytes(socket: RawFd, bytes: &[u8]) -> bool {
    let (start, len) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: `bytes` are as long as they say and outlive the call; the kernel only reads them.
    unsafe { libc::send(socket, start, len, libc::MSG_DONTWAIT) >= 0 }
}

/// One message, the way in which a single datagram costs the least.
fn send_one(socket: RawFd, message: &Message<'_>) -> io::Result<usize> {
    let mut name = message.name;
    let (name, name_len) = ((&raw mut name).cast::<libc::sockaddr>(), message.name_len);
    let name = if name_len == 0 { std::ptr::null_mut() } else { name };
    let sent = if let Some(segment) = message.segment {
        let (mut iovec, mut control) = (message.iovec(), Control::empty());
        // SAFETY: msghdr consists of integers and pointers, for which all zeroes is valid.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_name = name.cast();
        header.msg_namelen = name_len;
        header.msg_iov = &raw mut iovec;
        header.msg_iovlen = 1;
        cmsg::put_segment(&mut header, &mut control, segment);
        // SAFETY: the header points at a name, control room, iovec and bytes that are as long as
        // they say and outlive the call; the kernel only reads them.
        unsafe { libc::sendmsg(socket, &raw const header, libc::MSG_DONTWAIT) }
    } else {
        let (bytes, len) = (message.bytes.as_ptr().cast(), message.bytes.len());
        // SAFETY: `bytes` and `name` are as long as they say and outlive the call; the kernel only
        // reads them.
        unsafe { libc::sendto(socket, bytes, len, libc::MSG_DONTWAIT, name, name_len) }
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(message.run) }
}

/// As many messages as go with one call; how many datagrams were sent.
fn send_many<'a>(socket: RawFd, waiting: impl Iterator<Item = Message<'a>>) -> io::Result<usize> {
    let mut names = [SockAddr::empty(); BATCH];
    let mut controls = [Control::empty(); BATCH];
    let mut runs = [0; BATCH];
    // SAFETY: iovec and mmsghdr consist of integers and pointers, for which zero is valid.
    let (mut iovecs, mut headers): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };

    let mut messages = 0;
    for message in waiting.take(BATCH) {
        names[messages] = message.name;
        iovecs[messages] = message.iovec();
        let header = &mut headers[messages].msg_hdr;
        header.msg_name = (&raw mut names[messages]).cast();
        header.msg_namelen = message.name_len;
        header.msg_iov = &raw mut iovecs[messages];
        header.msg_iovlen = 1;
        if let Some(segment) = message.segment {
            cmsg::put_segment(header, &mut controls[messages], segment);
        }
        runs[messages] = message.run;
        messages += 1;
    }
    let count = u32::try_from(messages).unwrap_or(0);
    // SAFETY: the first `count` headers point at names, iovecs, control rooms and bytes that
    // are as long as they say and outlive the call: the first three are locals, the bytes are
    // borrowed. The kernel only reads them, and writes `msg_len`.
    let sent = unsafe { libc::sendmmsg(socket, headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
    let sent = usize::try_from(sent).map_err(|_| io::Error::last_os_error())?;
    Ok(runs[..sent.min(messages)].iter().sum())
}

/// Whether an error may be about an earlier datagram; telling it has cleared it.
fn is_told_late(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::EMSGSIZE
        )
    )
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
