//! The link `xdp` against the barest loop over the same rings, on wires of its own (`veth`).
//!
//! Bare, link and sealed link take turns, each between two namespaces of its own.

use super::trip::{self, End, LinkEnd, SealedEnd, Times};
use crate::measure::{Bench, Scale};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use syncom_engine::link::xdp::bare::Bare;
use syncom_engine::link::xdp::lab::{INTERFACE, Lab};
use syncom_engine::link::xdp::{Config, Mode};
use syncom_engine::link::{self, Kind, Options};
use syncom_wire::limits::MTU;
use syncom_wire::{Addr, Header};

const PORT: u16 = 4000;
/// A body that, sealed, fills the longest datagram that is sent without being asked for. With one of
/// 1,400 B a sealed packet over `veth` in native mode takes the kernel markedly longer than a bare
/// one: with room in front and behind it exceeds 2 KB, which is probably why.
const LONG: usize = MTU - Header::OVERHEAD;

/// Runs all cases in both modes.
pub(crate) fn run(scale: Scale) -> io::Result<Vec<Bench>> {
    let mut benches = Vec::new();
    for (name, mode) in [("native", Mode::Native), ("generic", Mode::Generic)] {
        for len in [64, LONG] {
            let labs = [lab()?, lab()?, lab()?];
            let mut bare = ends(&labs[0], |local, to| open_bare(mode, local, to, len))?;
            let mut link = ends(&labs[1], |local, to| open_link(mode, local, to, len, false))?;
            let mut sealed = ends(&labs[2], |local, to| open_sealed(mode, local, to, len))?;
            let mut times = [const { Times::new() }; 3];
            for _ in 0..scale.rounds * trip::TURNS {
                times[0].take(&mut bare)?;
                times[1].take(&mut link)?;
                times[2].take(&mut sealed)?;
            }
            trip::tell(&format!("{name} {len} B"), &times, &mut benches);
        }
    }
    Ok(benches)
}

fn lab() -> io::Result<Lab> {
    let lab = Lab::pair()?;
    lab.introduce()?;
    Ok(lab)
}

/// Opens both ends of a wire.
fn ends<E: End>(
    lab: &Lab,
    open: impl Fn(Addr, Addr) -> io::Result<E> + Sync,
) -> io::Result<[E; 2]> {
    let [near, far] =
        [1, 2].map(|number| Addr::from(SocketAddr::from((Ipv4Addr::new(10, 77, 0, number), PORT))));
    let [near_seat, far_seat] = lab.seats.as_slice() else {
        return Err(io::ErrorKind::NotFound.into());
    };
    Ok([near_seat.enter(|| open(near, far))?, far_seat.enter(|| open(far, near))?])
}

fn config(mode: Mode) -> Config {
    Config { mode, ..Config::new(INTERFACE) }
}

fn open_bare(mode: Mode, local: Addr, to: Addr, len: usize) -> io::Result<Bare> {
    Bare::open(&config(mode), local, to, len)
}

impl End for Bare {
    fn send(&mut self, count: u32) -> io::Result<()> {
        Self::send(self, count)
    }

    fn receive(&mut self) -> io::Result<u32> {
        Ok(Self::receive(self))
    }
}

fn open_link(
    mode: Mode,
    local: Addr,
    to: Addr,
    len: usize,
    is_proved: bool,
) -> io::Result<LinkEnd> {
    let options = Options { is_proved, ..Options::LARGE };
    let link = link::open(&Kind::Xdp(config(mode)), local, &options);
    let link = link.map_err(io::Error::other)?;
    Ok(LinkEnd::new(link, to, len))
}

/// An end that seals bodies of `len` bytes.
fn open_sealed(mode: Mode, local: Addr, to: Addr, len: usize) -> io::Result<SealedEnd> {
    let [.., number] = local.ip;
    SealedEnd::new(open_link(mode, local, to, len + Header::OVERHEAD, true)?, number, len)
}
