//! Pairs of links that reach each other.

use crate::args::LinkName;
use crate::exit::Failure;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use syncom_engine::link::mem::Hub;
use syncom_engine::link::xdp::lab::{INTERFACE, Lab};
use syncom_engine::link::xdp::{Config, Mode};
use syncom_engine::link::{self, Kind, Link, Options};
use syncom_wire::Addr;

/// A speaker's link and a listener's.
pub(super) type Pair = [Box<dyn Link>; 2];

/// A kind of link, and how to get two of them.
pub(super) struct Candidate {
    pub(super) name: &'static str,
    pub(super) open: Box<dyn Fn() -> Result<Pair, Failure>>,
}

/// All kinds, or the one that was asked for.
pub(super) fn candidates(only: Option<LinkName>) -> Vec<Candidate> {
    let candidate = |link: LinkName, name, open: Box<dyn Fn() -> Result<Pair, Failure>>| {
        let is_wanted = only.is_none_or(|only| only == LinkName::Auto || only == link);
        is_wanted.then_some(Candidate { name, open })
    };
    let all = [
        candidate(LinkName::Mem, "mem", Box::new(|| sockets(&Kind::Mem(Hub::new())))),
        candidate(LinkName::Mmsg, "mmsg", Box::new(|| sockets(&Kind::Mmsg))),
        candidate(LinkName::Uring, "uring", Box::new(|| sockets(&Kind::Uring))),
        candidate(LinkName::Xdp, "xdp native", Box::new(|| wire(Mode::Native))),
        candidate(LinkName::Xdp, "xdp generic", Box::new(|| wire(Mode::Generic))),
    ];
    all.into_iter().flatten().collect()
}

fn sockets(kind: &Kind) -> Result<Pair, Failure> {
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into();
    let open = || {
        link::open(kind, here, &Options::LARGE).map_err(|error| Failure::failed(error.to_string()))
    };
    Ok([open()?, open()?])
}

/// Two namespaces of their own with a wire between them.
fn wire(mode: Mode) -> Result<Pair, Failure> {
    let make = || -> io::Result<Pair> {
        let lab = Lab::pair()?;
        lab.introduce()?;
        let [near, far] = lab.seats.as_slice() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let open = |number: u8| {
            let kind = Kind::Xdp(Config { mode, ..Config::new(INTERFACE) });
            let here = Addr::v4([10, 77, 0, number], 4000);
            link::open(&kind, here, &Options::LARGE).map_err(io::Error::other)
        };
        Ok([near.enter(|| open(1))?, far.enter(|| open(2))?])
    };
    make().map_err(|error| Failure::failed(format!("needs root, `ip` and veth: {error}")))
}
