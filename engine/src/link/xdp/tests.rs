use super::lab::{INTERFACE, Lab};
use super::*;
use crate::channel::{Channel, Phase, Publication, Subscription};
use crate::clock;
use crate::link::mmsg::{Group, Interface};
use crate::link::xdp::bare::Bare;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Enough for the test that opens most links and some others beside it.
const SEATS: u8 = 36;

/// A lab for links of one mode: an interface has one program.
pub(in crate::link) fn star(mode: Mode) -> Result<&'static Lab, &'static str> {
    static LABS: [OnceLock<Result<Lab, String>>; 2] = [OnceLock::new(), OnceLock::new()];
    let make = || {
        let lab = Lab::star(SEATS).map_err(|error| error.to_string())?;
        lab.introduce().map_err(|error| error.to_string())?;
        Ok(lab)
    };
    let lab = LABS[usize::from(mode == Mode::Generic)].get_or_init(make);
    lab.as_ref().map_err(String::as_str)
}

/// Opens a link at the next seat whose interface nobody has.
pub(in crate::link) fn open_somewhere(
    lab: &'static Lab,
    mode: Mode,
    options: &Options,
) -> Box<dyn Link> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let deadline = clock::patience();
    loop {
        let seat = NEXT.fetch_add(1, Ordering::Relaxed) % lab.seats.len();
        match open_at(lab, seat, mode, options) {
            Ok(link) => return Box::new(link),
            Err(error) => assert!(clock::now() < deadline, "no seat is free: {error}"),
        }
    }
}

fn address(seat: usize) -> Addr {
    Addr::v4([10, 77, 0, u8::try_from(seat + 1).unwrap()], 0)
}

fn open_at(lab: &Lab, seat: usize, mode: Mode, options: &Options) -> io::Result<XdpLink> {
    open_as(lab, seat, mode, address(seat), options)
}

fn open_as(
    lab: &Lab,
    seat: usize,
    mode: Mode,
    bind: Addr,
    options: &Options,
) -> io::Result<XdpLink> {
    let config = Config { mode, ..Config::new(INTERFACE) };
    let open = || XdpLink::open(&config, bind, options).map_err(io::Error::other);
    lab.seats[seat].enter(open)
}

/// As [`open_at`]; the kernel lets go of a queue a moment after its last socket was closed.
fn open_soon(lab: &Lab, seat: usize, mode: Mode) -> XdpLink {
    let deadline = clock::patience();
    loop {
        match open_at(lab, seat, mode, &Options::SMALL) {
            Ok(link) => break link,
            Err(error) => assert!(clock::now() < deadline, "{error}"),
        }
    }
}

/// Two namespaces and a wire, or why not.
fn pair() -> Option<Lab> {
    Lab::pair().map_err(|error| eprintln!("xdp cannot run here: {error}")).ok()
}

fn post(link: &mut XdpLink, to: Addr, bytes: &[u8]) -> Way {
    link.tx_claim(to, bytes.len()).unwrap().copy_from_slice(bytes);
    link.tx_commit(bytes.len());
    let way = link.way;
    link.tx_flush().unwrap();
    way
}

fn next(link: &mut XdpLink) -> (Addr, Vec<u8>) {
    let deadline = clock::patience();
    let mut burst = RxBurst::new(1);
    while link.rx_burst(&mut burst).unwrap() == 0 {
        assert!(clock::now() < deadline, "nothing arrives");
    }
    let datagram = burst.datagram(0).unwrap();
    (datagram.from, datagram.bytes.to_vec())
}

#[test]
fn a_neighbour_is_found_by_the_kernel_and_then_reached_past_it() {
    let Some(lab) = pair() else { return };
    for mode in [Mode::Native, Mode::Generic] {
        for v6 in [false, true] {
            let bind = |seat: usize| {
                let mut ip = [0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                ip[15] = u8::try_from(seat + 1).unwrap();
                if v6 { Addr { ip, port: 0 } } else { address(seat) }
            };
            lab.seats[0].ip(&format!("neighbour flush dev {INTERFACE}\n")).unwrap();
            let mut near = open_as(&lab, 0, mode, bind(0), &Options::SMALL).unwrap();
            let mut far = open_as(&lab, 1, mode, bind(1), &Options::SMALL).unwrap();
            let to = far.local_addr();
            let deadline = clock::patience();
            assert_eq!(post(&mut near, to, b"who are you?"), Way::Plain);
            assert_eq!(next(&mut far), (near.local_addr(), b"who are you?".to_vec()));
            while post(&mut near, to, b"hello") == Way::Plain {
                assert!(clock::now() < deadline, "the neighbour is not found");
                next(&mut far);
            }
            assert_eq!(next(&mut far), (near.local_addr(), b"hello".to_vec()));
        }
    }
}

#[test]
fn what_comes_another_way_comes_by_the_plain_socket() {
    let Some(lab) = pair() else { return };
    lab.introduce().unwrap();
    let any = Addr::v4([0; 4], 0);
    let mut near = open_at(&lab, 0, Mode::Best, &Options::SMALL).unwrap();
    let mut far = open_as(&lab, 1, Mode::Best, any, &Options::SMALL).unwrap();
    let port = far.local_addr().port;
    let to = Addr { port, ..address(1) };
    // Longer than the MTU: in fragments.
    assert_eq!(post(&mut near, to, &[5; 5000]), Way::Plain);
    assert_eq!(next(&mut far).1, [5; 5000]);
    // As long as the MTU allows, and one byte more.
    assert_eq!(post(&mut near, to, &[6; 1472]), Way::Fast);
    assert_eq!(next(&mut far).1, [6; 1472]);
    assert_eq!(post(&mut near, to, &[7; 1473]), Way::Plain);
    assert_eq!(next(&mut far).1, [7; 1473]);
    // From the same host, over the loopback.
    let own = || crate::link::open(&crate::link::Kind::Mmsg, any, &Options::SMALL);
    let mut local = lab.seats[1].enter(|| own().map_err(io::Error::other)).unwrap();
    local.tx_claim(to, 5).unwrap().copy_from_slice(b"local");
    local.tx_commit(5);
    local.tx_flush().unwrap();
    assert_eq!(next(&mut far).1, b"local");
    // And back: an answer from a wildcard has the address that the route gives it.
    assert_eq!(post(&mut far, near.local_addr(), b"back"), Way::Fast);
    assert_eq!(next(&mut near), (to, b"back".to_vec()));
}

#[test]
fn a_group_is_reached_at_its_own_ethernet_address() {
    let Some(lab) = pair() else { return };
    let group = [239, 77, 0, 1];
    let mut near = open_at(&lab, 0, Mode::Best, &Options::SMALL).unwrap();
    let mut far = open_as(&lab, 1, Mode::Best, address(1), &Options::SMALL).unwrap();
    let to = Addr::v4(group, far.local_addr().port);
    assert_eq!(post(&mut near, to, b"all"), Way::Fast);
    assert_eq!(next(&mut far), (near.local_addr(), b"all".to_vec()));
}

#[test]
fn a_link_beside_a_socket_that_joined_a_group_hears_that_group_alone() {
    let Some(lab) = pair() else { return };
    let config = Config::new(INTERFACE);
    let group = Group {
        address: Addr::v4([239, 77, 0, 1], 4077),
        interface: Some(Interface::Address([10, 77, 0, 2].into())),
        ttl: 1,
    };
    let mut far = lab.seats[1]
        .enter(|| {
            let plain = MmsgLink::group(&group, true, &Options::SMALL).map_err(io::Error::other)?;
            XdpLink::beside(&config, plain, &Options::SMALL)
                .map_err(|refused| io::Error::other(refused.1))
        })
        .unwrap();
    lab.introduce().unwrap();
    let mut near = open_at(&lab, 0, Mode::Best, &Options::SMALL).unwrap();
    assert_eq!(far.local_addr(), Addr::v4([239, 77, 0, 1], 4077));
    // Neither another group at this port nor the host's own address is listened to.
    for to in [Addr::v4([239, 77, 0, 2], 4077), Addr { port: 4077, ..address(1) }] {
        assert_eq!(post(&mut near, to, b"others"), Way::Fast);
    }
    assert_eq!(post(&mut near, far.local_addr(), b"ours"), Way::Fast);
    assert_eq!(next(&mut far), (near.local_addr(), b"ours".to_vec()));
    // Answers come from an address of the host, not from the group.
    assert_eq!(post(&mut far, near.local_addr(), b"heard"), Way::Fast);
    assert_eq!(next(&mut near), (Addr { port: 4077, ..address(1) }, b"heard".to_vec()));
}

#[test]
fn bursts_that_a_sender_left_to_a_card_arrive_as_the_datagrams_they_are() {
    let Some(lab) = pair() else { return };
    lab.introduce().unwrap();
    for mode in [Mode::Generic, Mode::Native] {
        let any = Addr::v4([0; 4], 0);
        let own = || crate::link::open(&crate::link::Kind::Mmsg, any, &Options::SMALL);
        let mut near = lab.seats[0].enter(|| own().map_err(io::Error::other)).unwrap();
        let mut far = open_soon(&lab, 1, mode);
        for number in 0..10 {
            near.tx_claim(far.local_addr(), 100).unwrap().fill(number);
            near.tx_commit(100);
        }
        near.tx_flush().unwrap();
        let (mut numbers, mut burst) = (Vec::new(), RxBurst::new(16));
        let deadline = clock::patience();
        while numbers.len() < 10 {
            assert!(clock::now() < deadline, "{numbers:?} arrived in mode {mode:?}");
            for at in 0..far.rx_burst(&mut burst).unwrap() {
                let datagram = burst.datagram(at).unwrap();
                assert_eq!(datagram.bytes.len(), 100, "{mode:?}");
                numbers.push(datagram.bytes[0]);
            }
        }
        assert_eq!(numbers, (0..10).collect::<Vec<_>>(), "{mode:?}");
    }
}

/// Both ends of a channel between the seats of a lab.
fn channel(lab: &Lab, near: &str, far: &str) -> (Publication, Subscription) {
    let builder = |uri: &str| {
        let builder = Channel::builder(uri).map_err(io::Error::other)?;
        Ok::<_, io::Error>(builder.secret("lab", &[7; 32]))
    };
    let subscribe = || builder(far)?.subscription().map_err(io::Error::other);
    let subscription = lab.seats[1].enter(subscribe).unwrap();
    let publish = || builder(near)?.publication().map_err(io::Error::other);
    (lab.seats[0].enter(publish).unwrap(), subscription)
}

/// Sends messages through a channel until it has ended, and sees that all come in order.
fn stream(publication: &mut Publication, subscription: &mut Subscription) {
    let (mut sent, mut heard) = (0_u32, 0_u32);
    let deadline = clock::patience();
    while publication.phase() != Phase::Ended {
        assert!(clock::now() < deadline, "{heard} of {sent}");
        let is_heard = publication.listeners() > 0;
        while sent < if is_heard { 20_000 } else { 1 } {
            if publication.offer(&[&sent.to_be_bytes()[..], &[7; 500]].concat()).is_err() {
                break;
            }
            sent += 1;
        }
        if sent == 20_000 {
            publication.end();
        }
        publication.poll().unwrap();
        let look = |_: &crate::channel::Source, bytes: &[u8]| {
            assert_eq!(bytes[..4], heard.to_be_bytes());
            heard += 1;
        };
        subscription.poll(64, look).unwrap();
    }
    assert_eq!(heard, 20_000);
}

#[test]
fn a_channel_goes_past_the_kernel_at_both_ends_to_one_and_to_many() {
    let Some(lab) = pair() else { return };
    lab.introduce().unwrap();
    for [near, far] in [
        ["udp://10.77.0.2:9000?link=xdp"; 2],
        [
            "udp://239.77.0.9:9001?link=xdp&interface=10.77.0.1",
            "udp://239.77.0.9:9001?link=xdp&interface=10.77.0.2",
        ],
    ] {
        let deadline = clock::patience();
        // The kernel lets go of a queue a moment after its socket was closed.
        let (mut publication, mut subscription) = loop {
            let ends = channel(&lab, near, far);
            let told = [ends.0.channel().shortcomings(), ends.1.channel().shortcomings()].concat();
            let standing_in: Vec<_> =
                told.iter().filter(|line| line.contains("stands in")).collect();
            if standing_in.is_empty() {
                break ends;
            }
            assert!(clock::now() < deadline, "{standing_in:?}");
        };
        stream(&mut publication, &mut subscription);
    }
}

#[test]
fn a_channel_that_cannot_go_past_the_kernel_says_why_and_works() {
    let uri = "udp://127.0.0.1:0?link=xdp";
    let builder = |uri: &str| Channel::builder(uri).unwrap().secret("lab", &[7; 32]);
    let mut subscription = builder(uri).subscription().unwrap();
    let told = subscription.channel().shortcomings();
    assert!(told[0].contains("mmsg stands in: XDP cannot speed up the loopback"), "{told:?}");
    let address = std::net::SocketAddr::from(subscription.channel().local_addr());
    let mut publication = builder(&format!("udp://{address}?link=xdp")).publication().unwrap();
    stream(&mut publication, &mut subscription);
}

#[test]
fn an_interface_is_as_before_when_its_last_link_is_dropped() {
    let Some(lab) = pair() else { return };
    lab.introduce().unwrap();
    for mode in [Mode::Native, Mode::Generic, Mode::Native] {
        let link = open_soon(&lab, 0, mode);
        let is_generic = link.shortcomings().iter().any(|line| line.contains("generic mode"));
        assert_eq!(is_generic, mode == Mode::Generic);
        let error = open_at(&lab, 0, mode, &Options::SMALL).unwrap_err();
        assert!(error.to_string().contains("queue 0 of eth0 has a socket"), "{error}");
    }
}

#[test]
fn a_link_that_cannot_be_opened_says_what_is_missing() {
    let Some(lab) = pair() else { return };
    let open = |config: Config| {
        let bind = address(0);
        lab.seats[0]
            .enter(|| XdpLink::open(&config, bind, &Options::SMALL).map_err(io::Error::other))
    };
    let error = open(Config::new("eth9")).unwrap_err().to_string();
    assert!(error.contains("there is no interface eth9"), "{error}");
    let error = open(Config { queue: 7, ..Config::new(INTERFACE) }).unwrap_err().to_string();
    assert!(error.contains("eth0 may have no queue 7"), "{error}");
    let error = open(Config { queue: 999, ..Config::new(INTERFACE) }).unwrap_err().to_string();
    assert!(error.contains("queues go up to 255"), "{error}");
}

#[test]
fn parts_that_are_kept_do_not_stop_the_link() {
    let Some(lab) = pair() else { return };
    lab.introduce().unwrap();
    let mut near = open_at(&lab, 0, Mode::Best, &Options::SMALL).unwrap();
    let mut far = open_at(&lab, 1, Mode::Best, &Options::SMALL).unwrap();
    let to = far.local_addr();
    let (mut kept, mut burst) = (Vec::new(), RxBurst::new(4));
    // More than the link has slots: it lends what it can spare and copies from then on.
    for number in 0..2000_u32 {
        post(&mut near, to, &number.to_be_bytes());
        let deadline = clock::patience();
        while far.rx_burst(&mut burst).unwrap() == 0 {
            assert!(clock::now() < deadline, "nothing arrives after {number}");
        }
        kept.push(burst.share(0, 0..4).unwrap());
    }
    drop(far);
    for (number, bytes) in (0_u32..).zip(&kept) {
        assert_eq!(bytes[..], number.to_be_bytes());
    }
}

#[test]
fn the_bare_loop_moves_frames() {
    let Some(lab) = pair() else { return };
    lab.introduce().unwrap();
    let config = Config::new(INTERFACE);
    let port = |seat| Addr { port: 4000, ..address(seat) };
    let open = |seat: usize| {
        let open = || Bare::open(&config, port(seat), port(1 - seat), 64);
        lab.seats[seat].enter(open).unwrap()
    };
    let (mut near, mut far) = (open(0), open(1));
    let (mut received, deadline) = (0, clock::patience());
    near.send(100).unwrap();
    while received < 100 {
        received += far.receive();
        assert!(clock::now() < deadline, "{received} of 100");
    }
}
