//! One stream to many, over real sockets: here, between namespaces, over both families and links.
//!
//! Everybody lingers long: a machine that stands still for seconds makes no laggards here.

use super::{Patience, builder, message};
use crate::channel::{Channel, Event, Phase, Publication, Source, Subscription};
use crate::link::uring::UringLink;
use crate::link::xdp::lab::Lab;
use crate::link::{self, Kind, Link, Options};
use std::io;
use syncom_seam::Counter;
use syncom_wire::Addr;

/// A receiver, and what it has seen.
struct Listener {
    subscription: Subscription,
    /// The number of the first message, and of the next one.
    first: Option<u64>,
    next: u64,
    events: Vec<Event>,
}

impl Listener {
    fn new(subscription: Subscription) -> Self {
        Self { subscription, first: None, next: 0, events: vec![] }
    }

    fn poll(&mut self) {
        let (first, next) = (&mut self.first, &mut self.next);
        let look = |_: &Source, bytes: &[u8]| {
            let n = u64::from_le_bytes(*bytes.first_chunk().unwrap());
            assert!(bytes == message(n), "message {n} is spoilt");
            assert!(first.is_none() || n == *next, "{n} instead of {next}");
            first.get_or_insert(n);
            *next = n + 1;
        };
        self.subscription.poll(100, look).unwrap();
        self.events.extend(std::iter::from_fn(|| self.subscription.take_event()));
    }

    fn has_ended(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Ended(_)))
    }
}

/// Its port is a group's that no other run of these tests on this host is given.
fn own_port() -> Box<dyn Link> {
    link::open(&Kind::Mmsg, Addr::v4([127, 0, 0, 1], 0), &Options::SMALL).unwrap()
}

/// Sends messages `0..count` to all who listen, and ends. Half way, `halfway` may bring somebody.
fn run(
    publication: &mut Publication,
    listeners: &mut Vec<Listener>,
    count: u64,
    halfway: impl FnOnce() -> Option<Subscription>,
) {
    let (patience, all, mut sent) = (Patience::new(), listeners.len(), 0);
    let mut halfway = Some(halfway);
    while publication.phase() != Phase::Ended {
        patience.check(&format!("{sent} sent, {} listen", publication.listeners()));
        // The first message makes them known.
        while sent < count && (sent == 0 || publication.listeners() >= all) {
            if publication.offer(&message(sent)).is_err() {
                break;
            }
            sent += 1;
            if sent == count / 2 {
                let late = halfway.take().and_then(|halfway| halfway());
                listeners.extend(late.map(Listener::new));
            }
        }
        if sent == count {
            publication.end();
        }
        publication.poll().unwrap();
        listeners.iter_mut().for_each(Listener::poll);
    }
    for listener in &mut listeners[..all] {
        assert_eq!((listener.first, listener.next), (Some(0), count));
        assert!(listener.has_ended(), "{:?}", listener.events);
        assert!(matches!(listener.events[0], Event::Joined(_, 0)));
    }
}

#[test]
fn a_stream_reaches_all_who_listen_once_and_in_order_and_ends_for_all() {
    let port = own_port();
    let at = format!(
        "udp://239.77.1.9:{}?interface=127.0.0.1&window=256k&linger=60s",
        port.local_addr().port
    );
    let open = || builder(&at).subscription().unwrap();
    let mut listeners = (0..3).map(|_| Listener::new(open())).collect();
    let mut publication = builder(&at).publication().unwrap();
    run(&mut publication, &mut listeners, 5_000, || None);
    assert_eq!(publication.channel().counter(Counter::StreamLaggards), 0);
}

#[test]
fn who_comes_late_begins_where_a_message_begins_and_hears_the_end() {
    let port = own_port();
    let at =
        format!("udp://239.77.1.9:{}?interface=lo&window=64k&linger=60s", port.local_addr().port);
    let open = || builder(&at).subscription().unwrap();
    let mut listeners = (0..2).map(|_| Listener::new(open())).collect();
    let mut publication = builder(&at).publication().unwrap();
    run(&mut publication, &mut listeners, 8_000, || Some(open()));
    let late = &listeners[2];
    assert!(late.first.is_some_and(|first| first >= 3_000), "{:?}", late.first);
    assert_eq!(late.next, 8_000);
    assert!(late.has_ended(), "{:?}", late.events);
}

#[test]
fn io_uring_carries_a_stream_to_many_as_well() {
    let any = Addr::v4([127, 0, 0, 1], 0);
    if let Err(error) = UringLink::open(any, &Options::SMALL) {
        eprintln!("cannot run here: {error}");
        return;
    }
    let port = own_port();
    let group = format!("udp://239.77.1.9:{}", port.local_addr().port);
    let at = |link: &str| format!("{group}?interface=127.0.0.1&window=256k&linger=60s&link={link}");
    let open = |link: &str| builder(&at(link)).subscription().unwrap();
    let mut listeners = ["uring", "mmsg", "uring"].map(|link| Listener::new(open(link))).into();
    let mut publication = builder(&at("uring")).publication().unwrap();
    run(&mut publication, &mut listeners, 5_000, || None);
}

/// Three hosts, one of which speaks.
fn between_hosts(at: &str) {
    let lab = match Lab::star(3) {
        Ok(lab) => lab,
        Err(error) => return eprintln!("cannot run here: {error}"),
    };
    let listen = |seat: usize| {
        let opened = lab.seats[seat].enter(|| Ok(builder(at).subscription().unwrap()));
        Listener::new(opened.unwrap())
    };
    let mut listeners = vec![listen(1), listen(2)];
    let publication: io::Result<_> = lab.seats[0].enter(|| Ok(builder(at).publication().unwrap()));
    run(&mut publication.unwrap(), &mut listeners, 3_000, || None);
}

#[test]
fn a_stream_to_many_travels_between_hosts_over_ipv4() {
    between_hosts("udp://239.77.1.9:40980?interface=eth0&linger=60s");
}

#[test]
fn a_stream_to_many_travels_between_hosts_over_ipv6() {
    between_hosts("udp://[ff05::77:9%eth0]:40980?linger=60s");
    between_hosts("udp://[ff02::77:9]:40980?interface=eth0&linger=60s");
}

#[test]
fn a_group_without_its_interface_is_refused_with_the_remedy() {
    let refused = |uri: &str| builder(uri).subscription().unwrap_err().to_string();
    assert!(refused("udp://[ff02::77:9]:1024?interface=127.0.0.1").contains("%eth0"));
    let error = Channel::builder("udp://239.77.1.9:1?interface=no-such-if0").unwrap_err();
    assert!(error.to_string().contains("name or an IPv4 address"), "{error}");
    let foreign = refused("udp://239.77.1.9:1024?interface=192.0.2.1");
    assert!(foreign.contains("is there such an interface"), "{foreign}");
}
