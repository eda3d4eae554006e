//! One suite for every link: whatever the backend and whatever is wrapped around it, it behaves
//! like this. Real sockets use the loopback interface.

use super::fault::{FaultLink, Faults};
use super::mem::Hub;
use super::mmsg::MmsgLink;
use super::tap::TapLink;
use super::unhurried::{Unhurried, UnhurriedLink};
use super::xdp::{self, Mode};
use super::{Kind, Link, Options, RxBurst, open};
use crate::clock::{self, Clock};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::net::Ipv6Addr;
use std::time::Duration;
use syncom_wire::Addr;
use syncom_wire::limits::{DATAGRAM_MAX, MTU};

const V4: Addr = Addr::v4([127, 0, 0, 1], 0);
const V6: Addr = Addr { ip: Ipv6Addr::LOCALHOST.octets(), port: 0 };

/// Opens links of one kind that can reach one another.
struct Maker {
    name: &'static str,
    make: Box<Make>,
}

type Make = dyn Fn(&Options) -> Box<dyn Link>;

fn maker(name: &'static str, make: impl Fn(&Options) -> Box<dyn Link> + 'static) -> Maker {
    Maker { name, make: Box::new(make) }
}

/// Kinds of socket links that this host can open at `bind`. One that it cannot says why.
fn sockets(bind: Addr) -> Vec<Kind> {
    let can = |kind: &Kind| {
        let why = open(kind, bind, &Options::SMALL).err();
        why.map(|error| eprintln!("{kind:?} cannot run here at {bind}: {error}")).is_none()
    };
    [Kind::Mmsg, Kind::Uring].into_iter().filter(can).collect()
}

/// Every link that this host can open.
fn makers() -> Vec<Maker> {
    let hub = Kind::Mem(Hub::new());
    let wrapped = hub.clone();
    let mut makers = vec![
        maker("mem", move |options| open(&hub, V4, options).unwrap()),
        maker("fault around mmsg", |options| {
            let inner = open(&Kind::Mmsg, V4, options).unwrap();
            Box::new(FaultLink::new(inner, Faults::default(), 1, options))
        }),
        maker("unhurried", |options| {
            // Half of what the tests send can wait.
            let which = Unhurried { lens: [100, 48], sender_at: 12, below: 0x80 };
            Box::new(UnhurriedLink::open(V4, options, which).unwrap())
        }),
        maker("tap around mem", move |options| {
            let inner = open(&wrapped, V4, options).unwrap();
            Box::new(TapLink::new(inner, std::io::sink(), options).unwrap())
        }),
        maker("tap around fault around mmsg", |options| {
            let inner = open(&Kind::Mmsg, V4, options).unwrap();
            let fault = FaultLink::new(inner, Faults::default(), 1, options);
            Box::new(TapLink::new(fault, std::io::sink(), options).unwrap())
        }),
    ];
    for (bind, names) in [(V4, ["mmsg v4", "uring v4"]), (V6, ["mmsg v6", "uring v6"])] {
        for kind in sockets(bind) {
            let name = names[usize::from(matches!(kind, Kind::Uring))];
            makers.push(maker(name, move |options| open(&kind, bind, options).unwrap()));
        }
    }
    for (name, mode) in [("xdp native", Mode::Native), ("xdp generic", Mode::Generic)] {
        match xdp::tests::star(mode) {
            Ok(lab) => {
                makers.push(maker(name, move |options| {
                    xdp::tests::open_somewhere(lab, mode, options)
                }));
            }
            Err(error) => eprintln!("{name} cannot run here: {error}"),
        }
    }
    makers
}

/// Runs `test` on two links of every kind.
fn for_pairs(options: Options, test: impl Fn(&str, &mut dyn Link, &mut dyn Link)) {
    for Maker { name, make } in makers() {
        test(name, &mut *make(&options), &mut *make(&options));
    }
}

/// Beside `addr`, a port at which nobody listens and that no test beside this one is given: that of
/// a socket that hears itself alone.
pub(crate) fn deaf(addr: Addr) -> MmsgLink {
    let mut link = MmsgLink::open(Addr { port: 0, ..addr }, &Options::SMALL).unwrap();
    link.connect(link.local_addr()).unwrap();
    link
}

fn queue(link: &mut dyn Link, to: Addr, bytes: &[u8]) -> bool {
    let Some(room) = link.tx_claim(to, bytes.len()) else { return false };
    room.copy_from_slice(bytes);
    link.tx_commit(bytes.len());
    true
}

/// Flushes until nothing is pending.
fn flush(link: &mut dyn Link) -> usize {
    let deadline = clock::patience();
    let mut sent = 0;
    while link.tx_pending() > 0 {
        assert!(clock::now() < deadline, "the link keeps {} datagrams", link.tx_pending());
        sent += link.tx_flush().unwrap();
    }
    sent
}

/// Calls `see` for every burst until it has seen `count` datagrams.
fn receive(
    link: &mut dyn Link,
    burst: &mut RxBurst,
    count: usize,
    mut see: impl FnMut(&mut RxBurst),
) {
    let deadline = clock::patience();
    let mut seen = 0;
    while seen < count {
        assert!(clock::now() < deadline, "{seen} of {count} datagrams arrived");
        seen += link.rx_burst(burst).unwrap();
        see(burst);
        std::thread::yield_now();
    }
    assert_eq!(seen, count, "more datagrams than were sent");
}

/// Receives until a burst is not full.
fn drain(link: &mut dyn Link, burst: &mut RxBurst) -> usize {
    let mut arrived = 0;
    loop {
        arrived += link.rx_burst(burst).unwrap();
        if !burst.is_full() {
            return arrived;
        }
    }
}

fn receive_all(link: &mut dyn Link, count: usize) -> Vec<(Addr, Vec<u8>)> {
    let mut all = Vec::new();
    receive(link, &mut RxBurst::new(8), count, |burst| {
        for index in 0..burst.len() {
            let datagram = burst.datagram(index).unwrap();
            assert!(!datagram.truncated);
            all.push((datagram.from, datagram.bytes.to_vec()));
        }
    });
    all
}

/// Bytes of a given length that no other number has.
fn content(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((number * 31 + at * 7) % 251).unwrap()).collect()
}

fn exchange(name: &str, near: &mut dyn Link, far: &mut dyn Link, sizes: &[usize]) {
    let to = far.local_addr();
    for (number, size) in sizes.iter().enumerate() {
        assert!(queue(near, to, &content(number, *size)), "{name}: full at {number}");
    }
    assert_eq!(flush(near), sizes.len(), "{name}");
    let arrived = receive_all(far, sizes.len());
    // What exceeds the MTU of an interface goes by the socket beside it, and comes after the rest.
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|number| name.contains("xdp") && sizes[*number] > MTU + 1);
    for (number, (from, bytes)) in order.into_iter().zip(&arrived) {
        assert_eq!(*from, near.local_addr(), "{name}");
        assert!(*bytes == content(number, sizes[number]), "{name}: datagram {number}");
    }
    assert_eq!((near.refused(), far.overflow()), (0, 0), "{name}");
}

#[test]
fn datagrams_of_every_size_arrive_whole() {
    for_pairs(Options::LARGE, |name, near, far| {
        exchange(name, near, far, &[1, 16, 100, MTU - 1, MTU, MTU + 1, 9_000, DATAGRAM_MAX]);
        exchange(name, near, far, &[DATAGRAM_MAX, 1, DATAGRAM_MAX]);
    });
}

#[test]
fn an_empty_datagram_arrives_as_one() {
    for_pairs(Options::SMALL, |name, near, far| exchange(name, near, far, &[5, 0, 5, 0, 0]));
}

#[test]
fn runs_of_equal_datagrams_arrive_in_order_and_apart() {
    for_pairs(Options::LARGE, |name, near, far| {
        exchange(name, near, far, &[100; 300]);
        exchange(name, near, far, &[MTU; 90]);
        exchange(name, near, far, &[1; 200]);
    });
}

#[test]
fn a_burst_that_is_not_full_has_drained_the_link() {
    for_pairs(Options::LARGE, |name, near, far| {
        let (mut sent, mut arrived) = (0, 0);
        for len in [1, 2, 3, 700, 800, 900] {
            (0..100).for_each(|n| assert!(queue(near, far.local_addr(), &content(n, len))));
            sent += flush(near);
        }
        let mut burst = RxBurst::new(2);
        // Loopback delivers before the sender returns, so everything is there. A busy kernel may
        // leave what crosses a cable to another thread.
        let deadline = clock::patience();
        loop {
            arrived += drain(far, &mut burst);
            if arrived == sent || !name.starts_with("xdp") || clock::now() >= deadline {
                break;
            }
            std::thread::yield_now();
        }
        assert_eq!(arrived, sent, "{name}");
    });
}

#[test]
fn mixed_sizes_arrive_in_order_and_apart() {
    let sizes: Vec<usize> = (0..300).map(|n| [200, 200, 200, 80, 900, 900, 1][n % 7]).collect();
    for_pairs(Options::LARGE, |name, near, far| exchange(name, near, far, &sizes));
}

#[test]
fn one_datagram_goes_to_many_destinations() {
    for Maker { name, make } in makers() {
        let mut near = make(&Options::SMALL);
        let mut others: Vec<_> = (0..20).map(|_| make(&Options::SMALL)).collect();
        assert!(!near.tx_again(V4), "{name}: there is nothing to send again");
        assert!(queue(&mut *near, others[0].local_addr(), b"for all"));
        assert!(others[1..].iter().all(|other| near.tx_again(other.local_addr())), "{name}");
        assert_eq!(flush(&mut *near), others.len(), "{name}");
        for other in &mut others {
            assert_eq!(receive_all(&mut **other, 1), [(near.local_addr(), b"for all".to_vec())]);
        }
    }
}

#[test]
fn a_full_link_refuses_and_takes_more_after_a_flush() {
    for_pairs(Options { tx_datagrams: 8, ..Options::SMALL }, |name, near, far| {
        let to = far.local_addr();
        for round in 0..3 {
            let taken = (0..100).take_while(|_| queue(near, to, b"x")).count();
            assert_eq!(taken, near.tx_pending(), "{name}");
            assert!((8..100).contains(&taken), "{name}, round {round}: {taken}");
            assert!(!near.tx_again(to), "{name}");
            flush(near);
            receive_all(far, taken);
        }
        assert!(near.tx_claim(to, Options::SMALL.tx_bytes + 1).is_none(), "{name}");
    });
}

#[test]
fn a_claim_may_be_shortened_or_dropped() {
    for_pairs(Options::SMALL, |name, near, far| {
        let to = far.local_addr();
        near.tx_claim(to, 9).unwrap().copy_from_slice(b"forgotten");
        near.tx_claim(to, 9).unwrap().copy_from_slice(b"shortened");
        near.tx_commit(5);
        assert!(near.tx_claim(to, 100).is_some());
        assert_eq!(flush(near), 1, "{name}");
        assert_eq!(receive_all(far, 1)[0].1, b"short", "{name}");
    });
}

#[test]
fn a_datagram_longer_than_the_slot_is_marked_and_harms_no_other() {
    for_pairs(Options::SMALL, |name, near, far| {
        let to = far.local_addr();
        for len in [300, 50] {
            assert!(queue(near, to, &content(1, len)));
            flush(near);
        }
        let mut arrived = Vec::new();
        receive(far, &mut RxBurst::with_slot_size(4, 100), 2, |burst| {
            for index in 0..burst.len() {
                let datagram = burst.datagram(index).unwrap();
                arrived.push((datagram.truncated, datagram.bytes.len()));
            }
        });
        // A link that lends slots of its own has room for it.
        let is_marked_or_whole = [(true, 100), (false, 300)].contains(&arrived[0]);
        assert!(is_marked_or_whole && arrived[1] == (false, 50), "{name}: {arrived:?}");
    });
}

#[test]
fn timestamps_lie_between_sending_and_reading() {
    for_pairs(Options::SMALL, |name, near, far| {
        let mut clock = Clock::new();
        let before = clock::now();
        assert!(queue(near, far.local_addr(), b"now"));
        flush(near);
        let mut stamps = Vec::new();
        receive(far, &mut RxBurst::new(1), 1, |burst| {
            stamps.extend(burst.datagram(0).map(|datagram| datagram.stamp));
        });
        let now = clock.sample();
        let heard = clock.heard(stamps[0]);
        // Both clocks are read one after the other: whatever interrupted that lay in this span.
        let span_ns = clock::now().since(before);
        assert!(heard.after(span_ns) >= before && heard <= now.at, "{name}");
        let has_kernel_stamps = !name.contains("mem") && !name.contains("xdp");
        assert_eq!(stamps[0].is_some(), has_kernel_stamps, "{name}");
    });
}

#[test]
fn what_overflows_is_counted() {
    for_pairs(Options { rx_buffer: 4096, ..Options::SMALL }, |name, near, far| {
        let to = far.local_addr();
        let (mut sent, mut burst) = (0, RxBurst::new(64));
        let (mut arrived, mut lost) = (0, 0);
        let deadline = clock::patience();
        // Once is enough, unless a busy kernel brings what crosses a cable while it is read already.
        // A cable holds 256, and what that loses no link can count.
        while lost < 100 {
            for _ in 0..10 {
                // Each longer than the one before, so no two travel as one.
                (0..20).for_each(|n| assert!(queue(near, to, &content(n, 1000 + n))));
                sent += flush(near) as u64;
            }
            while arrived + lost < sent {
                assert!(clock::now() < deadline, "{name}: {arrived} + {lost} of {sent}");
                arrived += far.rx_burst(&mut burst).unwrap() as u64;
                lost += far.overflow();
                // The kernel tells a socket the count with the next datagram that it accepts.
                if burst.is_empty() && !name.starts_with("xdp") {
                    assert!(queue(near, to, b"and now?"));
                    sent += flush(near) as u64;
                }
            }
        }
        assert!(arrived > 0, "{name}: {lost} lost");
        assert_eq!(arrived + lost, sent, "{name}");
        assert!(queue(near, to, b"once more"));
        flush(near);
        receive_all(far, 1);
        assert_eq!(far.overflow(), 0, "{name}: counted twice");
    });
}

#[test]
fn a_destination_that_nobody_listens_at_does_not_disturb_the_others() {
    for Maker { name, make } in makers() {
        let (mut near, mut far) = (make(&Options::SMALL), make(&Options::SMALL));
        let is_socket = !["mem", "xdp"].iter().any(|kind| name.contains(kind));
        let deaf = is_socket.then(|| deaf(near.local_addr()));
        let gone =
            deaf.as_ref().map_or_else(|| make(&Options::SMALL).local_addr(), Link::local_addr);
        for round in 0..5 {
            assert!(queue(&mut *near, gone, b"anybody?"));
            assert!(queue(&mut *near, far.local_addr(), b"hello"));
            flush(&mut *near);
            assert_eq!(receive_all(&mut *far, 1)[0].1, b"hello", "{name}, round {round}");
        }
    }
}

#[test]
fn what_the_network_refuses_is_counted_and_the_rest_goes() {
    for kind in sockets(V4) {
        let mut near = open(&kind, V4, &Options::LARGE).unwrap();
        let mut far = open(&kind, V4, &Options::LARGE).unwrap();
        let to = far.local_addr();
        // Another family, no port, more than IP can carry: one after another, each among good ones.
        assert!(queue(&mut *near, to, b"first"));
        assert!(queue(&mut *near, Addr { port: 9, ..V6 }, b"v6"));
        assert!(queue(&mut *near, to, b"second"));
        assert!(queue(&mut *near, V4, b"no port"));
        assert!(queue(&mut *near, to, &content(3, 65_508)));
        assert!(queue(&mut *near, to, b"third"));
        assert_eq!((flush(&mut *near), near.refused(), near.refused()), (3, 3, 0), "{kind:?}");
        let arrived: Vec<_> =
            receive_all(&mut *far, 3).into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(arrived, [&b"first"[..], b"second", b"third"], "{kind:?}");
    }
}

#[test]
fn the_v6_wildcard_speaks_both_families() {
    let any = Addr { ip: Ipv6Addr::UNSPECIFIED.octets(), port: 0 };
    for kind in sockets(any) {
        let mut both = open(&kind, any, &Options::SMALL).unwrap();
        let port = both.local_addr().port;
        let mut old = open(&kind, V4, &Options::SMALL).unwrap();
        assert!(queue(&mut *old, Addr { port, ..V4 }, b"to both"));
        flush(&mut *old);
        assert_eq!(receive_all(&mut *both, 1), [(old.local_addr(), b"to both".to_vec())]);
        assert!(queue(&mut *both, old.local_addr(), b"to v4"));
        flush(&mut *both);
        assert_eq!(receive_all(&mut *old, 1), [(Addr { port, ..V4 }, b"to v4".to_vec())]);
    }
}

/// Waits until the kernel says that something has come.
fn await_readiness(poll: &mut Poll, name: &str) {
    let mut events = Events::with_capacity(4);
    let deadline = clock::patience();
    while events.is_empty() {
        assert!(clock::now() < deadline, "{name}: nobody says that a datagram has come");
        poll.poll(&mut events, Some(Duration::from_millis(100))).unwrap();
    }
}

#[test]
fn a_drained_link_says_when_something_comes() {
    for Maker { name, make } in makers() {
        let mut burst = RxBurst::new(2);
        let mut sides = [(); 2].map(|()| (make(&Options::SMALL), Poll::new().unwrap()));
        for (link, poll) in &mut sides {
            let Some(source) = link.source() else { continue };
            poll.registry().register(&mut SourceFd(&source), Token(0), Interest::READABLE).unwrap();
            assert_eq!(link.rx_burst(&mut burst).unwrap(), 0, "{name}");
        }
        if sides[0].0.source().is_none() {
            continue;
        }
        for round in 1..50 {
            let [(from, _), (to, poll)] = &mut sides;
            let addr = to.local_addr();
            // No two travel as one.
            (0..round).for_each(|n| assert!(queue(&mut **from, addr, &content(1, n + 1))));
            flush(&mut **from);
            // Readiness is said at edges: what comes after a drain is said once more.
            let mut arrived = 0;
            while arrived < round {
                await_readiness(poll, name);
                arrived += drain(&mut **to, &mut burst);
            }
            assert_eq!(arrived, round, "{name}");
            sides.reverse();
        }
    }
}

#[test]
fn parts_that_are_kept_for_ever_do_not_stop_a_link() {
    for_pairs(Options::SMALL, |name, near, far| {
        let (to, mut burst) = (far.local_addr(), RxBurst::new(4));
        let mut kept = Vec::new();
        for number in 0..100 {
            assert!(queue(near, to, &content(number, 40)));
            flush(near);
            receive(far, &mut burst, 1, |burst| {
                kept.extend((0..burst.len()).map(|at| burst.share(at, 0..40).unwrap()));
            });
        }
        for (number, bytes) in kept.iter().enumerate() {
            assert_eq!(bytes, &content(number, 40), "{name}");
        }
    });
}

#[test]
fn an_address_is_free_again_when_its_link_is_dropped() {
    for kind in sockets(V4).into_iter().chain([Kind::Mem(Hub::new())]) {
        let mut first = open(&kind, V4, &Options::SMALL).unwrap();
        assert_eq!(first.rx_burst(&mut RxBurst::new(1)).unwrap(), 0);
        let addr = first.local_addr();
        assert!(open(&kind, addr, &Options::SMALL).is_err());
        drop(first);
        assert!(open(&kind, addr, &Options::SMALL).is_ok());
    }
}
