//! Channels over real sockets, and over the in-process link where the network must be bad.

use super::{Builder, Channel, ChannelError, Event, Phase, Publication, Refused, Subscription};
use crate::clock;
use crate::link::fault::{FaultLink, Faults};
use crate::link::mem::Hub;
use crate::link::{self, Kind, Options};
use std::net::SocketAddr;
use syncom_seam::{Counter, Time};

mod multicast;

const SECRET: [u8; 32] = [7; 32];

fn builder(uri: &str) -> Builder {
    Channel::builder(uri).unwrap().secret("lab", &SECRET)
}

fn subscription(query: &str) -> (Subscription, SocketAddr) {
    let subscription = builder(&format!("udp://127.0.0.1:0?{query}")).subscription().unwrap();
    let address = subscription.channel().local_addr().into();
    (subscription, address)
}

fn publication(to: SocketAddr, query: &str) -> Publication {
    builder(&format!("udp://{to}?{query}")).publication().unwrap()
}

fn lossy(to: SocketAddr, query: &str, faults: Faults) -> Publication {
    let here = SocketAddr::from(([127, 0, 0, 1], 0)).into();
    let inner = link::open(&Kind::Mmsg, here, &Options::LARGE).unwrap();
    let link = Box::new(FaultLink::new(inner, faults, 7, &Options::LARGE));
    builder(&format!("udp://{to}?{query}")).opened(link).publication().unwrap()
}

/// A message whose length and content follow from its number.
fn message(n: u64) -> Vec<u8> {
    let len = (n.wrapping_mul(2_654_435_761) >> 7) % 3_000;
    let mut bytes = n.to_le_bytes().to_vec();
    bytes.resize(8 + usize::try_from(len).unwrap(), n.to_le_bytes()[0]);
    bytes
}

struct Patience(Time);

impl Patience {
    fn new() -> Self {
        Self(clock::patience())
    }

    fn check(&self, what: &str) {
        assert!(clock::now() < self.0, "no progress: {what}");
    }
}

/// Sends messages `0..count`, reads them, ends the stream, and sees that all came in order.
fn run(count: u64, publication: &mut Publication, subscription: &mut Subscription) {
    let patience = Patience::new();
    let (mut sent, mut heard) = (0, 0);
    while publication.phase() != Phase::Ended {
        patience.check(&format!("{heard} of {sent} heard"));
        while sent < count {
            match publication.offer(&message(sent)) {
                Ok(_) => sent += 1,
                Err(refused) => {
                    assert_eq!(refused, Refused::Full);
                    break;
                }
            }
        }
        if sent == count {
            publication.end();
        }
        publication.poll().unwrap();
        let look = |_: &super::Source, bytes: &[u8]| {
            assert!(bytes == message(heard), "message {heard} is another one");
            heard += 1;
        };
        subscription.poll(100, look).unwrap();
    }
    assert_eq!((sent, heard), (count, count));
    let events: Vec<_> = std::iter::from_fn(|| subscription.take_event()).collect();
    assert!(matches!(events[..], [Event::Joined(_, 0), Event::Ended(_)]), "{events:?}");
}

#[test]
fn who_only_offers_hears_receivers_when_bursts_have_left() {
    let (mut subscription, address) = subscription("window=2m");
    let mut publication = publication(address, "window=2m&cc=static");
    let patience = Patience::new();
    publication.offer(&[7; 1000]).unwrap();
    while publication.acknowledged() == 0 {
        patience.check("the first message");
        publication.poll().unwrap();
        subscription.poll(100, |_, _| {}).unwrap();
    }
    let known = publication.acknowledged();
    // From here on it is not polled, and its window is not used up.
    for _ in 0..4 {
        (0..400).for_each(|_| assert!(publication.offer(&[7; 1000]).is_ok()));
        (0..20).for_each(|_| assert!(subscription.poll(1_000, |_, _| {}).is_ok()));
    }
    assert!(publication.acknowledged() > known);
}

#[test]
fn who_speaks_with_one_receiver_alone_hears_it_at_every_size_of_datagram() {
    for query in ["", "mtu=65472&window=4m"] {
        let (mut subscription, to) = subscription(query);
        let mut publication = publication(to, query);
        assert!(publication.connect(to).unwrap());
        run(20_000, &mut publication, &mut subscription);
    }
}

#[test]
fn everything_arrives_in_order_at_every_size_of_datagram() {
    for query in ["", "seal=off", "mtu=512&window=64k", "mtu=8192&cc=static", "mtu=65472&window=4m"]
    {
        let (mut subscription, to) = subscription(query);
        run(20_000, &mut publication(to, query), &mut subscription);
    }
}

#[test]
fn short_messages_of_every_length_arrive_whole_among_long_ones() {
    let len = |n: u64| if n.is_multiple_of(999) { 4_000 } else { (n % 140).max(8) };
    let (mut subscription, to) = subscription("window=64k");
    let mut publication = publication(to, "window=64k");
    let (patience, mut sent, mut heard) = (Patience::new(), 0_u64, 0_u64);
    while heard < 50_000 {
        patience.check(&format!("{heard} of {sent} heard"));
        while sent < 50_000 {
            let mut bytes = vec![sent.to_le_bytes()[0]; usize::try_from(len(sent)).unwrap()];
            bytes[..8].copy_from_slice(&sent.to_le_bytes());
            if publication.offer(&bytes).is_err() {
                break;
            }
            sent += 1;
        }
        publication.poll().unwrap();
        let look = |_: &super::Source, bytes: &[u8]| {
            assert_eq!(bytes.first_chunk(), Some(&heard.to_le_bytes()));
            assert!(bytes[8..].iter().all(|byte| *byte == heard.to_le_bytes()[0]));
            assert_eq!(bytes.len() as u64, len(heard));
            heard += 1;
        };
        subscription.poll(1_000, look).unwrap();
    }
}

#[test]
fn everything_arrives_in_order_over_io_uring() {
    for query in ["link=uring", "link=uring&mtu=8192&cc=static", "link=uring&mtu=60000&window=4m"] {
        let mut subscription = match builder(&format!("udp://127.0.0.1:0?{query}")).subscription() {
            Ok(subscription) => subscription,
            Err(error) => return eprintln!("cannot run here: {error}"),
        };
        let to = subscription.channel().local_addr().into();
        run(20_000, &mut publication(to, query), &mut subscription);
    }
}

#[test]
fn everything_arrives_in_order_over_a_network_that_loses_doubles_and_reorders() {
    for (loss_ppm, cc) in [(10_000, "cubic"), (100_000, "cubic"), (100_000, "static")] {
        let faults = Faults {
            loss_ppm,
            duplicate_ppm: 10_000,
            reorder_ppm: 10_000,
            reorder_ns: 200_000,
            ..Faults::default()
        };
        let query = format!("cc={cc}&window=256k");
        let (mut subscription, to) = subscription(&query);
        let mut publication = lossy(to, &query, faults);
        run(20_000, &mut publication, &mut subscription);
        assert!(publication.channel().counter(Counter::StreamResent) > 0);
    }
}

#[test]
fn the_smallest_and_the_largest_message_pass_and_a_larger_one_is_refused() {
    let (mut subscription, to) = subscription("window=4m");
    let mut publication = publication(to, "window=4m");
    let largest: Vec<u8> = (0..16_u32 << 20).map(|n| ((n * 31) >> 3).to_le_bytes()[0]).collect();
    publication.offer(&[]).unwrap();
    assert_eq!(publication.offer(&vec![0; (16 << 20) + 1]), Err(Refused::TooLong));
    let (patience, mut heard) = (Patience::new(), vec![]);
    let mut waiting = vec![&largest[..], &[], &largest[..7]];
    while heard.len() < 4 {
        patience.check("the largest message");
        if let Some(next) = waiting.first()
            && publication.offer(next).is_ok()
        {
            waiting.remove(0);
        }
        publication.poll().unwrap();
        subscription.poll(9, |_, bytes| heard.push(bytes.to_vec())).unwrap();
    }
    assert!(heard == [&[], &largest[..], &[], &largest[..7]]);
}

#[test]
fn a_claim_is_sent_when_it_is_committed_and_never_was_when_it_is_dropped() {
    let (mut subscription, to) = subscription("");
    let mut publication = publication(to, "");
    for n in 0..10_u8 {
        let mut claim = publication.claim(3).unwrap();
        claim.fill(n);
        if n % 2 == 0 {
            let _ = claim.commit();
        }
    }
    assert_eq!(publication.claim(70_000).err(), Some(Refused::TooLong));
    let (patience, mut heard) = (Patience::new(), vec![]);
    while heard.len() < 5 {
        patience.check("claims");
        publication.poll().unwrap();
        subscription.poll(9, |_, bytes| heard.push(bytes.to_vec())).unwrap();
    }
    assert_eq!(heard, [[0; 3], [2; 3], [4; 3], [6; 3], [8; 3]]);
}

#[test]
fn a_limit_is_kept_and_the_rest_comes_with_the_next_call() {
    let (mut subscription, to) = subscription("");
    let mut publication = publication(to, "");
    for n in 0..1000_u64 {
        publication.offer(&n.to_le_bytes()).unwrap();
    }
    let (patience, mut heard) = (Patience::new(), 0_u64);
    while heard < 1000 {
        patience.check("limits");
        publication.poll().unwrap();
        let limit = usize::try_from(heard % 7 + 1).unwrap();
        let look = |_: &super::Source, bytes: &[u8]| {
            assert_eq!(bytes, heard.to_le_bytes());
            heard += 1;
        };
        assert!(subscription.poll(limit, look).unwrap() <= limit);
    }
}

#[test]
fn a_slow_reader_slows_the_writer_and_loses_nothing() {
    let (mut subscription, to) = subscription("window=64k");
    let mut publication = publication(to, "window=64k");
    let (patience, mut sent) = (Patience::new(), 0_u64);
    // Whatever the sender does, an unread window and its own line is all that it can put down.
    for _ in 0..2_000 {
        while publication.offer(&[7; 1000]).is_ok() {
            sent += 1;
        }
        publication.poll().unwrap();
    }
    assert!(sent * 1004 < 1 << 20, "{sent} messages are taken");
    let mut heard = 0;
    while heard < sent {
        patience.check("the backlog");
        publication.poll().unwrap();
        heard += subscription.poll(10, |_, bytes| assert_eq!(bytes, [7; 1000])).unwrap() as u64;
    }
}

#[test]
fn who_comes_late_or_returns_begins_at_the_present_and_is_told() {
    let hub = Hub::new();
    let open = |uri: &str| builder(uri).link(Kind::Mem(hub.clone()));
    let at = "udp://10.0.0.1:9000?link=mem";
    let mut publication = open(at).publication().unwrap();
    let patience = Patience::new();
    let (mut next, mut position, mut lives) = (0_u64, 0, vec![]);
    for life in 0..3 {
        let mut subscription = open(at).subscription().unwrap();
        let mut heard = vec![];
        // What nobody has acknowledged is said again to whoever listens by then.
        while heard.len() < 500 || publication.acknowledged() < position {
            patience.check(&format!("life {life}: {} heard", heard.len()));
            if heard.len() < 500
                && let Ok(behind) = publication.offer(&next.to_le_bytes())
            {
                (next, position) = (next + 1, behind);
            }
            publication.poll().unwrap();
            let look = |_: &super::Source, bytes: &[u8]| {
                heard.push(u64::from_le_bytes(bytes.try_into().unwrap()));
            };
            subscription.poll(100, look).unwrap();
        }
        assert!(heard.windows(2).all(|pair| pair[1] == pair[0] + 1), "life {life} has a hole");
        let joined = subscription.take_event();
        assert!(matches!(joined, Some(Event::Joined(_, at)) if (at == 0) == (life == 0)));
        lives.push((heard[0], *heard.last().unwrap()));
    }
    assert_eq!(lives[0].0, 0);
    assert!(lives.windows(2).all(|pair| pair[1].0 > pair[0].1), "{lives:?}");
}

#[test]
fn many_streams_share_a_link_both_ways() {
    let open = || {
        let mut channel = builder("udp://127.0.0.1:0").open().unwrap();
        (0..8).for_each(|stream| channel.subscribe(stream).unwrap());
        let address: SocketAddr = channel.local_addr().into();
        (channel, address)
    };
    let ((mut near, near_at), (mut far, far_at)) = (open(), open());
    let there: Vec<_> = (0..8).map(|stream| near.publish(far_at, stream).unwrap()).collect();
    let back: Vec<_> = (0..8).map(|stream| far.publish(near_at, stream).unwrap()).collect();
    for n in 0..100_u8 {
        for (there, back) in there.iter().zip(&back) {
            near.offer(*there, &[n]).unwrap();
            far.offer(*back, &[n, n]).unwrap();
        }
    }
    let patience = Patience::new();
    let (mut at_near, mut at_far) = ([0_u8; 8], [0_u8; 8]);
    while at_near != [100; 8] || at_far != [100; 8] {
        patience.check(&format!("{at_near:?} {at_far:?}"));
        let far_look = |from: &super::Source, bytes: &[u8]| {
            let next = &mut at_far[usize::from(from.lane)];
            assert_eq!(bytes, [*next]);
            *next += 1;
        };
        far.poll(50, far_look).unwrap();
        let near_look = |from: &super::Source, bytes: &[u8]| {
            let next = &mut at_near[usize::from(from.lane)];
            assert_eq!(bytes, [*next, *next]);
            *next += 1;
        };
        near.poll(50, near_look).unwrap();
    }
}

#[test]
fn two_channels_that_speak_with_each_other_alone_exchange_messages_both_ways() {
    let patience = Patience::new();
    let mut ends = [(); 2].map(|()| builder("udp://127.0.0.1:0?stream=1").open().unwrap());
    let addresses = [0, 1].map(|at: usize| SocketAddr::from(ends[at].local_addr()));
    let ids = [0, 1].map(|at: usize| {
        let other = addresses[1 - at];
        ends[at].subscribe(1).unwrap();
        assert!(ends[at].connect(other).unwrap());
        ends[at].publish(other, 1).unwrap()
    });
    for n in 0..200 {
        let (from, to) = (n % 2, 1 - n % 2);
        let sent = message(n as u64);
        ends[from].offer(ids[from], &sent).unwrap();
        ends[from].flush().unwrap();
        let mut heard = Vec::new();
        while heard.is_empty() {
            patience.check("the answer");
            ends[to].poll(1, |_, message| heard = message.to_vec()).unwrap();
            ends[from].poll(1, |_, _| panic!("nobody has sent anything")).unwrap();
        }
        assert_eq!(heard, sent);
    }
}

#[test]
fn strangers_and_the_unsealed_are_not_heard() {
    let (mut subscription, to) = subscription("");
    let uri = format!("udp://{to}");
    let mut stranger =
        Channel::builder(&uri).unwrap().secret("lab", &[8; 32]).publication().unwrap();
    let mut naked = publication(to, "seal=off");
    let mut friend = publication(to, "");
    stranger.offer(b"let me in").unwrap();
    naked.offer(b"let me in").unwrap();
    stranger.flush().unwrap();
    naked.flush().unwrap();
    friend.offer(b"it is me").unwrap();
    let (patience, mut heard) = (Patience::new(), vec![]);
    while heard.is_empty() {
        patience.check("the friend");
        friend.poll().unwrap();
        subscription.poll(9, |_, bytes| heard.push(bytes.to_vec())).unwrap();
    }
    assert_eq!(heard, [b"it is me"]);
    assert!(subscription.channel().counter(Counter::DropTag) >= 2);
}

#[test]
fn a_sealed_channel_without_a_secret_is_refused_with_the_remedy() {
    let error = Channel::builder("udp://127.0.0.1:0").unwrap().open().unwrap_err();
    assert!(matches!(error, ChannelError::NoSecret));
    assert!(error.to_string().contains("`secret`"));
}

#[test]
fn who_listens_is_counted_and_acknowledges_what_it_has() {
    let (mut subscription, to) = subscription("");
    let mut publication = publication(to, "");
    assert_eq!(publication.listeners(), 0);
    publication.offer(b"hello").unwrap();
    let patience = Patience::new();
    while publication.acknowledged() == 0 {
        patience.check("a listener");
        publication.poll().unwrap();
        subscription.poll(9, |_, _| {}).unwrap();
    }
    assert_eq!((publication.listeners(), publication.acknowledged()), (1, 9));
}
