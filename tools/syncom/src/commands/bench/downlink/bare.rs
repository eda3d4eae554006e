//! Bare sockets in the same layout: one for each satellite, which sends and receives in batches
//! (`sendmmsg`, `recvmmsg`), and one for each destination, which has one datagram at a time and answers
//! it. Nothing is sealed, looked at or remembered. Two threads: one has the satellites' sockets, one the
//! destinations', and each goes round its sockets, so that nobody has to be told what is ready.

use crate::args::downlink::Downlink;
use crate::assemble;
use crate::exit::Failure;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use syncom_engine::clock;
use syncom_engine::link::{Link, Options, RxBurst};
use syncom_seam::SECOND;
use syncom_wire::Addr;

/// Datagrams in one call.
const BATCH: usize = 64;
/// Destinations of one satellite that are sent to and have not answered: as many as a satellite begins
/// with.
const WINDOW: usize = 512;
/// How long a round may take, in ns.
const ROUND_MAX_NS: u64 = 20 * SECOND;

/// One satellite's socket and whom it sends to.
struct Side {
    link: Box<dyn Link>,
    to: Vec<Addr>,
    sent: usize,
    answered: usize,
}

/// See the module.
pub(super) struct Bare {
    satellites: Vec<Side>,
    burst: RxBurst,
    order_b: usize,
    /// Begins a round at the destinations; dropped, it ends their thread.
    rounds: Option<Sender<()>>,
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Bare {
    /// Opens all sockets.
    pub(super) fn open(args: &Downlink, [order_b, receipt_b]: [usize; 2]) -> Result<Self, Failure> {
        let sockets = (0..args.nodes).map(|_| socket()).collect::<std::io::Result<Vec<_>>>();
        let sockets = sockets.map_err(failed)?;
        let addrs = sockets.iter().map(UdpSocket::local_addr).collect::<std::io::Result<Vec<_>>>();
        let addrs: Vec<Addr> = addrs.map_err(failed)?.into_iter().map(Addr::from).collect();
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // The barest that the link has: no time stamps, no runs, no errors.
        let options = Options { is_stamped: false, takes_runs: false, ..Options::LARGE };
        let share = addrs.len().div_ceil(usize::from(args.satellites));
        let open = |to: &[Addr]| {
            let link = assemble::open_link("mmsg", listen, &options)?;
            Ok(Side { link, to: to.to_vec(), sent: 0, answered: 0 })
        };
        let satellites = addrs.chunks(share).map(open).collect::<Result<Vec<_>, Failure>>()?;
        let (rounds, begun) = channel();
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || {
            let mut room = [0; 2048];
            let answer = vec![7; receipt_b];
            while begun.recv().is_ok() && serve(&sockets, &mut room, &answer).is_ok() {
                let _ = end.send(());
            }
        });
        Ok(Self {
            satellites,
            burst: RxBurst::new(64),
            order_b,
            rounds: Some(rounds),
            ended,
            thread: Some(thread),
        })
    }

    /// One datagram to each destination and one back; how long that takes, in ns.
    pub(super) fn round(&mut self) -> Result<u64, Failure> {
        for one in &mut self.satellites {
            (one.sent, one.answered) = (0, 0);
        }
        let began = clock::now();
        let lost = || Failure::failed("the bare sockets broke or lost a datagram");
        self.rounds.as_ref().and_then(|rounds| rounds.send(()).ok()).ok_or_else(lost)?;
        while self.satellites.iter().any(|one| one.answered < one.to.len()) {
            for one in &mut self.satellites {
                one.turn(self.order_b, &mut self.burst).map_err(failed)?;
            }
            if clock::now().since(began) > ROUND_MAX_NS {
                return Err(lost());
            }
        }
        let took_ns = clock::now().since(began);
        self.ended.recv().map_err(|_| lost())?;
        Ok(took_ns)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.rounds = None;
        // One that waits for a datagram that was lost is left behind.
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            let _ = thread.join();
        }
    }
}

impl Side {
    /// Sends a batch as far as the window goes, and takes in what has come.
    fn turn(&mut self, len: usize, burst: &mut RxBurst) -> std::io::Result<()> {
        let room = (self.answered + WINDOW).min(self.to.len()) - self.sent;
        for _ in 0..room.min(BATCH) {
            if let Some(slot) = self.link.tx_claim(self.to[self.sent], len) {
                slot.fill(7);
                self.link.tx_commit(len);
                self.sent += 1;
            }
        }
        if self.link.tx_pending() > 0 {
            self.link.tx_flush()?;
        }
        self.answered += self.link.rx_burst(burst)?;
        Ok(())
    }
}

/// Takes one datagram from each socket in turn and answers it.
fn serve(sockets: &[UdpSocket], room: &mut [u8], answer: &[u8]) -> std::io::Result<()> {
    let until = clock::now().after(ROUND_MAX_NS);
    for socket in sockets {
        let mut looks = 0_u32;
        let from = loop {
            match socket.recv_from(room) {
                Ok((_, from)) => break from,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    looks = looks.wrapping_add(1);
                    if looks.is_multiple_of(1_024) && clock::now() > until {
                        return Err(error);
                    }
                    std::thread::yield_now();
                }
                Err(error) => return Err(error),
            }
        };
        socket.send_to(answer, from)?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the floor under the engine's links")]
fn socket() -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: std::io::Error) -> Failure {
    Failure::failed(format!("the bare sockets failed: {error}"))
}
