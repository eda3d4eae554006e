//! Streams over a wire whose other end drops one datagram in ten, both ways, by nftables.
//!
//! Segmentation offload would hand the filter 64 KB at a time, to be dropped as a whole; the wire is
//! told to carry each datagram by itself, as a network does. Needs root, `ip` and `nft`.

use std::io;
use std::net::SocketAddr;
use std::process::Command;
use syncom_engine::channel::{Channel, Phase};
use syncom_engine::clock;
use syncom_engine::link::xdp::lab::{INTERFACE, Lab, Namespace};
use syncom_engine::link::{self, Kind, Link, Options};
use syncom_seam::{Counter, SECOND};
use syncom_wire::Addr;

const MESSAGES: u64 = 20_000;
const FILTER: &str = "add table inet test; \
    add chain inet test arriving { type filter hook input priority 0; }; \
    add rule inet test arriving meta l4proto udp numgen random mod 10 < 1 drop";

/// Makes a namespace lose a tenth of what arrives, and send each datagram by itself.
fn spoil(seat: &Namespace) -> io::Result<()> {
    seat.ip(&format!("link set {INTERFACE} gso_max_segs 1\n"))?;
    seat.enter(|| match Command::new("nft").arg(FILTER).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(io::Error::other(format!("nft: {status}"))),
        Err(error) => Err(io::Error::other(format!("nft: {error}"))),
    })
}

fn open(seat: &Namespace, number: u8) -> io::Result<Box<dyn Link>> {
    let here = Addr::v4([10, 77, 0, number], 4000);
    seat.enter(|| link::open(&Kind::Mmsg, here, &Options::LARGE).map_err(io::Error::other))
}

fn ends() -> io::Result<[Box<dyn Link>; 2]> {
    let lab = Lab::pair()?;
    let [near, far] = lab.seats.as_slice() else { return Err(io::ErrorKind::NotFound.into()) };
    spoil(near)?;
    spoil(far)?;
    Ok([open(near, 1)?, open(far, 2)?])
}

#[test]
fn everything_arrives_in_order_when_a_tenth_of_all_datagrams_is_dropped_both_ways() {
    let [near, far] = match ends() {
        Ok(ends) => ends,
        Err(error) => return eprintln!("cannot run here: {error}"),
    };
    let uri = format!("udp://{}?window=512k", SocketAddr::from(far.local_addr()));
    let builder = |link| Channel::builder(&uri).unwrap().secret("lab", &[7; 32]).opened(link);
    let mut listener = builder(far).subscription().unwrap();
    let mut speaker = builder(near).publication().unwrap();
    let deadline = clock::now().after(60 * SECOND);
    let (mut sent, mut heard, mut message) = (0, 0, [7; 300]);
    while speaker.phase() != Phase::Ended {
        assert!(clock::now() < deadline, "{heard} of {sent} heard");
        while sent < MESSAGES {
            message[..8].copy_from_slice(&sent.to_le_bytes());
            if speaker.offer(&message).is_err() {
                break;
            }
            sent += 1;
        }
        if sent == MESSAGES {
            speaker.end();
        }
        speaker.poll().unwrap();
        let hear = |_: &_, message: &[u8]| {
            assert_eq!(message[..8], u64::to_le_bytes(heard));
            heard += 1;
        };
        listener.poll(64, hear).unwrap();
    }
    assert_eq!(heard, MESSAGES);
    // A tenth of some four thousand datagrams: far more than chance could spare.
    assert!(speaker.channel().counter(Counter::StreamResent) > 100);
}
