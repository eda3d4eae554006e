//! A UDP socket that wakes nobody for heartbeats.
//!
//! A watcher is sent forty heartbeats a second and judges them by when the kernel received them, so
//! nothing is lost by reading them when it wakes up anyhow, and forty wake-ups are saved. Here two
//! sockets share one port. A program of seven instructions tells the kernel which datagrams can wait:
//! those of two lengths, from senders whose number is below a bound. They go to the second socket,
//! which nobody waits on and every turn drains; everything else is as prompt as ever.
//!
//! The header of a datagram is clear but not yet proved when the kernel looks at it. Whoever forges
//! it decides which of two buffers it is thrown away from, and nothing else.

use super::mmsg::{MmsgLink, Sharing, socket};
use super::{Link, OpenError, Options, RxBurst};
use std::io;
use std::os::fd::RawFd;
use syncom_wire::Addr;

/// Which datagrams can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unhurried {
    /// Lengths of such datagrams, seal included.
    pub lens: [u32; 2],
    /// Where its sender's number begins, as four bytes, lowest first.
    pub sender_at: u32,
    /// The highest byte of the numbers of its senders is below this.
    pub below: u8,
}

/// Two sockets at one address, one of which wakes nobody.
#[derive(Debug)]
pub struct UnhurriedLink {
    prompt: MmsgLink,
    patient: MmsgLink,
}

impl UnhurriedLink {
    /// Opens both sockets at `bind`.
    ///
    /// # Errors
    /// See [`super::open`]; nothing is left open. Where the kernel cannot tell datagrams apart, a
    /// plain link does everything but save wake-ups.
    pub fn open(bind: Addr, options: &Options, which: Unhurried) -> Result<Self, OpenError> {
        // The first one takes the port for itself alone, and shares it only then.
        let prompt = MmsgLink::open(bind, options)?;
        let step = |step: &'static str| move |error| OpenError::Os(step, error);
        share(&prompt).map_err(step("SO_REUSEPORT"))?;
        let patient = MmsgLink::open_with(prompt.local_addr(), options, &Sharing::Port)?;
        attach(&prompt, which).map_err(step("SO_ATTACH_REUSEPORT_CBPF"))?;
        Ok(Self { prompt, patient })
    }
}

impl Link for UnhurriedLink {
    fn rx_burst(&mut self, burst: &mut RxBurst) -> io::Result<usize> {
        self.prompt.rx_burst(burst)?;
        if !burst.is_full() {
            self.patient.rx_more(burst)?;
        }
        Ok(burst.len())
    }

    fn tx_claim(&mut self, to: Addr, len: usize) -> Option<&mut [u8]> {
        self.prompt.tx_claim(to, len)
    }

    fn tx_commit(&mut self, len: usize) {
        self.prompt.tx_commit(len);
    }

    fn tx_again(&mut self, to: Addr) -> bool {
        self.prompt.tx_again(to)
    }

    fn tx_flush(&mut self) -> io::Result<usize> {
        self.prompt.tx_flush()
    }

    fn tx_pending(&self) -> usize {
        self.prompt.tx_pending()
    }

    fn local_addr(&self) -> Addr {
        self.prompt.local_addr()
    }

    fn source(&self) -> Option<RawFd> {
        self.prompt.source()
    }

    fn is_patient(&self) -> bool {
        true
    }

    fn overflow(&mut self) -> u64 {
        self.prompt.overflow() + self.patient.overflow()
    }

    fn refused(&mut self) -> u64 {
        self.prompt.refused()
    }

    // The kernel puts what comes back to either of the two.
    fn returned(&mut self, room: &mut [u8]) -> Option<(Addr, usize)> {
        self.prompt.returned(room).or_else(|| self.patient.returned(room))
    }

    fn shortcomings(&self) -> Vec<String> {
        self.prompt.shortcomings()
    }
}

/// Lets a second socket of ours have the same port.
fn share(link: &MmsgLink) -> io::Result<()> {
    socket::set(&link.descriptor(), libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)
}

/// Tells the kernel which of the two sockets a datagram is for: 0, the one that had the port first,
/// or 1. What is too short to be told apart counts as 0.
fn attach(link: &MmsgLink, which: Unhurried) -> io::Result<()> {
    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap_or(0),
        jt,
        jf,
        k,
    };
    let program = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, 0, which.lens[0]),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 2, which.lens[1]),
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, which.sender_at + 3),
        step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, u32::from(which.below)),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, 1),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap_or(0),
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the descriptor belongs to `link`. The kernel reads a `sock_fprog`, and through it as
    // many instructions as it says; both are initialised, outlive the call and are not written to.
    let result = unsafe {
        libc::setsockopt(
            link.descriptor(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            super::mmsg::address::length::<libc::sock_fprog>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests;
