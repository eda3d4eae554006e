use super::*;
use crate::link::mem::Hub;
use syncom_wire::control::{Ask, AskHead, Line};

const SECRET: [u8; 32] = [7; 32];
const PATIENCE: Duration = Duration::from_secs(60);

fn loopback() -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))
}

fn open(kind: link::Kind) -> Endpoint {
    let builder = Endpoint::builder("lab", &SECRET).bind(loopback());
    builder.link(kind, link::Options::LARGE).open().unwrap()
}

fn ask(argument: &[u8]) -> Ask<'_> {
    let head = AskHead { request: 1, verb: 1, freshness: Ask::STALE, reserved: [0; 5], cursor: 0 };
    Ask { head, argument }
}

fn exchange(kind: &link::Kind) {
    let (mut from, mut to) = (open(kind.clone()), open(kind.clone()));
    let large = vec![3; 50_000];
    from.send(to.local_addr(), &Line { text: "one" }).unwrap();
    from.send(to.local_addr(), &Line { text: "two" }).unwrap();
    from.send(to.local_addr(), &ask(&large)).unwrap();
    from.flush().unwrap();
    let deadline = to.deadline(PATIENCE);
    let mut small = to.recv(deadline).unwrap().unwrap();
    assert_eq!(small.from.addr, from.local_addr());
    assert_eq!(small.next(), Some(Frame::Line(Line { text: "one" })));
    assert_eq!(small.next(), Some(Frame::Line(Line { text: "two" })), "they share a datagram");
    assert_eq!(small.next(), None);
    let mut large_back = to.recv(deadline).unwrap().unwrap();
    assert_eq!(large_back.next(), Some(Frame::Ask(ask(&large))));
    assert_eq!(to.counter(Counter::RxDatagrams), 2);
}

#[test]
fn small_frames_share_a_datagram_and_large_ones_travel_alone() {
    exchange(&link::Kind::Mmsg);
    exchange(&link::Kind::Mem(Hub::new()));
}

#[test]
fn nothing_comes_of_a_stranger_and_the_deadline_ends_the_wait() {
    let hub = link::Kind::Mem(Hub::new());
    let mut to = open(hub.clone());
    let stranger = Endpoint::builder("lab", &[8; 32]).bind(loopback());
    let mut stranger = stranger.link(hub, link::Options::SMALL).open().unwrap();
    stranger.send(to.local_addr(), &Line { text: "let me in" }).unwrap();
    stranger.flush().unwrap();
    let deadline = to.deadline(Duration::from_millis(3));
    assert!(to.recv(deadline).unwrap().is_none());
    assert_eq!(to.counter(Counter::DropTag), 1);
    assert!(clock::now() >= deadline);
}

#[test]
fn a_frame_that_fits_no_datagram_is_refused() {
    let mut from = open(link::Kind::Mem(Hub::new()));
    let refused = from.send(from.local_addr(), &ask(&[0; 60_000]));
    assert!(matches!(refused, Err(EndpointError::Oversize)));
}
