//! Bare UDP with segmentation offload both ways: the floor that a stream over the kernel stands on.
//!
//! Messages are packed into datagrams without any header, datagrams are sent in bursts that the
//! kernel cuts (`UDP_SEGMENT`) and receives glued together (`UDP_GRO`). The receiver answers with
//! the number of bytes it has got, and the sender stays within a window of that, so nothing is lost
//! on a loopback; nothing is repaired either.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, SockaddrIn, bind, connect, recv,
    send, sendmsg, setsockopt, socket, sockopt,
};
use std::hint;
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};
use syncom_peers::{FINAL, Failure, Plan, Role, Tally, Trips, WARM_UP, cpu_ns, now_ns, say_ready};

/// Bytes on the way at most.
const WINDOW_B: u64 = 1 << 20;
/// Bytes after which the receiver says how far it is.
const CREDIT_B: u64 = WINDOW_B / 8;
/// The largest burst that UDP carries, and the most datagrams in it.
const BURST_B: usize = 65_507;
const BURST_DATAGRAMS: usize = 64;
/// A sender that hears nothing for so long takes what is on the way for lost.
const PATIENCE_NS: u64 = 300_000_000;

fn main() -> std::process::ExitCode {
    syncom_peers::run(|plan| match plan.role {
        Role::Sender => sender(plan),
        Role::Receiver => receiver(plan),
        Role::Ping => ping(plan),
        Role::Pong => pong(plan),
    })
}

/// A socket from one port to another, on the loopback, that never blocks.
fn open(from: u16, to: u16) -> Result<OwnedFd, Failure> {
    let at = |port| SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
    let fd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_NONBLOCK, None)?;
    setsockopt(&fd, sockopt::RcvBuf, &(8 << 20))?;
    bind(fd.as_raw_fd(), &at(from))?;
    connect(fd.as_raw_fd(), &at(to))?;
    Ok(fd)
}

/// What a call that does not block gave, if it did not have to.
fn done(result: Result<usize, Errno>) -> Result<Option<usize>, Failure> {
    match result {
        Ok(count) => Ok(Some(count)),
        // A refusal tells of an earlier datagram to an end that was not there yet.
        Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ECONNREFUSED) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn sender(plan: &Plan) -> Result<(), Failure> {
    let fd = open(plan.port, plan.port + 1)?;
    let datagram_b = plan.mtu_b.min(BURST_B) / plan.size_b * plan.size_b;
    let datagrams = (BURST_B / datagram_b).min(BURST_DATAGRAMS);
    let mut burst = vec![7_u8; datagram_b * datagrams];
    let segment = [ControlMessage::UdpGsoSegments(&u16::try_from(datagram_b)?)];
    let until_ns = now_ns() + plan.duration_ms * 1_000_000;
    let (mut sent_b, mut credit_b, mut number) = (0, 0, 0_u64);
    let mut heard_ns = now_ns();
    loop {
        let now = now_ns();
        let last = now >= until_ns;
        for message in burst.chunks_exact_mut(plan.size_b) {
            message[..8].copy_from_slice(&number.to_le_bytes());
            number += 1;
        }
        if last {
            let at = burst.len() - plan.size_b;
            burst[at..at + 8].copy_from_slice(&((number - 1) | FINAL).to_le_bytes());
        }
        while sent_b - credit_b > WINDOW_B {
            let mut credit = [0; 8];
            match done(recv(fd.as_raw_fd(), &mut credit, MsgFlags::empty()))? {
                Some(8) => (credit_b, heard_ns) = (u64::from_le_bytes(credit), now_ns()),
                _ if now_ns() > heard_ns + PATIENCE_NS => credit_b = sent_b,
                _ => hint::spin_loop(),
            }
        }
        let parts = [IoSlice::new(&burst)];
        let flags = MsgFlags::empty();
        while done(sendmsg::<SockaddrIn>(fd.as_raw_fd(), &parts, &segment, flags, None))?.is_none()
        {
        }
        sent_b += burst.len() as u64;
        if last {
            println!("result messages={number} cpu_ns={}", cpu_ns());
            return Ok(());
        }
    }
}

fn receiver(plan: &Plan) -> Result<(), Failure> {
    let fd = open(plan.port + 1, plan.port)?;
    setsockopt(&fd, sockopt::UdpGroSegment, &true)?;
    let (mut tally, mut buffer) = (Tally::default(), vec![0_u8; 1 << 16]);
    let (mut received_b, mut told_b) = (0_u64, 0);
    say_ready();
    loop {
        let Some(count) = done(recv(fd.as_raw_fd(), &mut buffer, MsgFlags::empty()))? else {
            hint::spin_loop();
            continue;
        };
        received_b += count as u64;
        if received_b - told_b >= CREDIT_B {
            told_b = received_b;
            done(send(fd.as_raw_fd(), &received_b.to_le_bytes(), MsgFlags::empty()))?;
        }
        if buffer[..count].chunks_exact(plan.size_b).any(|message| tally.take(message)) {
            tally.report(0);
            return Ok(());
        }
    }
}

fn ping(plan: &Plan) -> Result<(), Failure> {
    let fd = open(plan.port, plan.port + 1)?;
    let (mut message, mut trips) = (vec![7_u8; plan.size_b], Trips::default());
    for trip in 0..WARM_UP + plan.trips {
        let last = if trip + 1 == WARM_UP + plan.trips { FINAL } else { 0 };
        message[..8].copy_from_slice(&(trip | last).to_le_bytes());
        let began_ns = now_ns();
        while done(send(fd.as_raw_fd(), &message, MsgFlags::empty()))?.is_none() {}
        while done(recv(fd.as_raw_fd(), &mut message, MsgFlags::empty()))?.is_none() {}
        if trip >= WARM_UP {
            trips.add(now_ns() - began_ns);
        }
    }
    trips.report();
    Ok(())
}

fn pong(plan: &Plan) -> Result<(), Failure> {
    let fd = open(plan.port + 1, plan.port)?;
    let (mut message, mut tally) = (vec![0_u8; plan.size_b], Tally::default());
    say_ready();
    loop {
        let Some(count) = done(recv(fd.as_raw_fd(), &mut message, MsgFlags::empty()))? else {
            continue;
        };
        while done(send(fd.as_raw_fd(), &message[..count], MsgFlags::empty()))?.is_none() {}
        if tally.take(&message[..count]) {
            tally.report(0);
            return Ok(());
        }
    }
}
