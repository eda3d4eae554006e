//! Two endpoints and a bad network between them, in virtual time.

use crate::{Config, Delivery, Key, Streams};
use std::collections::BTreeMap;
use std::vec::Vec;
use syncom_seam::{Action, MS, Origin, Recorder, Rng, SECOND, Time, Timer, US};
use syncom_wire::{Addr, Boot, Frames, PeerId};

pub(super) const A: usize = 0;
pub(super) const B: usize = 1;
pub(super) const LANE: u8 = 3;

/// One life of an endpoint.
pub(super) struct Node {
    pub(super) streams: Streams,
    pub(super) out: Recorder,
    pub(super) boot: Boot,
    pub(super) takes: bool,
    pub(super) messages: Vec<Vec<u8>>,
    /// Deliveries other than messages, and before which message they came.
    pub(super) told: Vec<(usize, Delivery)>,
    timers: Vec<(Time, Timer)>,
}

impl Node {
    fn new(boot: u64) -> Self {
        Self {
            streams: Streams::new(Config::default()),
            out: Recorder::default(),
            boot: Boot(boot),
            takes: true,
            messages: Vec::new(),
            told: Vec::new(),
            timers: Vec::new(),
        }
    }
}

struct Packet {
    from: usize,
    boot: Boot,
    bytes: Vec<u8>,
}

/// What the network does to datagrams.
#[derive(Clone, Copy)]
pub(super) struct Weather {
    pub(super) loss_percent: u64,
    pub(super) twice_percent: u64,
    pub(super) delay_ns: u64,
    /// Delays vary by up to this much: what is sent later may overtake.
    pub(super) jitter_ns: u64,
}

pub(super) const CALM: Weather =
    Weather { loss_percent: 0, twice_percent: 0, delay_ns: 100 * US, jitter_ns: 0 };

/// The two endpoints, what is under way, and the clock.
pub(super) struct Net {
    pub(super) nodes: [Node; 2],
    pub(super) now: Time,
    pub(super) rng: Rng,
    pub(super) weather: Weather,
    /// Timers armed so far.
    pub(super) armed: u64,
    under_way: BTreeMap<(Time, u64), Packet>,
    pub(super) sent: u64,
}

pub(super) fn peer(node: usize) -> PeerId {
    PeerId::station(u16::try_from(node).unwrap() + 1)
}

pub(super) fn addr(node: usize) -> Addr {
    Addr::v4([10, 0, 0, 1], u16::try_from(node).unwrap() + 1)
}

/// The stream from the other node or to it, as `node` names it.
pub(super) fn key(node: usize) -> Key {
    Key { peer: peer(1 - node), lane: LANE }
}

impl Net {
    pub(super) fn new(seed: u64, weather: Weather) -> Self {
        let mut net = Self {
            nodes: [Node::new(1), Node::new(1)],
            now: Time(SECOND),
            rng: Rng::new(seed),
            weather,
            armed: 0,
            under_way: BTreeMap::new(),
            sent: 0,
        };
        net.nodes[A].streams.connect(peer(B), addr(B), LANE).unwrap();
        net
    }

    /// Ends one life of `node` and begins the next; what was under way stays so.
    pub(super) fn restart(&mut self, node: usize) {
        self.nodes[node] = Node::new(self.nodes[node].boot.0 + 1);
        if node == A {
            self.nodes[A].streams.connect(peer(B), addr(B), LANE).unwrap();
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), crate::Refusal> {
        let node = &mut self.nodes[A];
        let result = node.streams.send_bytes(self.now, key(A), bytes, &mut node.out);
        self.collect(A);
        result
    }

    /// Lets `node` take what is there and ends its burst.
    pub(super) fn end_burst(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let mut buffer = Vec::new();
        while node.takes
            && let Some(delivery) = node.streams.take(&mut buffer)
        {
            match delivery {
                Delivery::Message(_) => node.messages.push(buffer.clone()),
                Delivery::Reset(..) | Delivery::Writable(_) => {
                    node.told.push((node.messages.len(), delivery));
                }
            }
        }
        node.streams.on_burst_end(self.now, &mut node.out);
        self.collect(at);
    }

    /// Plays everything that happens up to `until`.
    pub(super) fn run_until(&mut self, until: Time) {
        while let Some(at) = self.next_event().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            for node in [A, B] {
                self.burst(node);
            }
        }
        self.now = self.now.max(until);
    }

    /// Plays until nothing is under way and no timer is armed.
    pub(super) fn run_until_quiet(&mut self) {
        self.run_until(self.now.after(600 * SECOND));
        assert_eq!(self.next_event(), None, "something goes on for ever");
    }

    fn next_event(&self) -> Option<Time> {
        let timers = self.nodes.iter().flat_map(|node| node.timers.iter().map(|timer| timer.0));
        timers.chain(self.under_way.keys().map(|key| key.0)).min()
    }

    fn burst(&mut self, to: usize) {
        let node = &mut self.nodes[to];
        let is_due = |key: &(Time, u64), packet: &Packet| key.0 <= self.now && packet.from != to;
        let due = self.under_way.extract_if(.., |key, packet| is_due(key, packet));
        for (_, packet) in due.collect::<Vec<_>>() {
            let origin = Origin {
                peer: peer(packet.from),
                boot: packet.boot,
                addr: addr(packet.from),
                heard: self.now,
            };
            for frame in Frames::new(&packet.bytes) {
                let frame = frame.unwrap();
                assert!(node.streams.on_frame(self.now, &origin, &frame, &mut node.out));
            }
        }
        let (due, later) = node.timers.iter().partition::<Vec<_>, _>(|timer| timer.0 <= self.now);
        node.timers = later;
        for (_, timer) in due {
            assert!(node.streams.on_timer(self.now, timer, &mut node.out));
        }
        self.end_burst(to);
    }

    /// Turns what a node asked for into packets and timers.
    fn collect(&mut self, from: usize) {
        for action in self.nodes[from].out.take() {
            match action {
                Action::Arm(timer, at) => {
                    self.armed += 1;
                    self.nodes[from].timers.push((at, timer));
                }
                Action::Send(to, bytes) => {
                    assert_eq!(to, addr(1 - from));
                    assert!(
                        bytes.len() + syncom_wire::Header::OVERHEAD <= syncom_wire::limits::MTU
                    );
                    let copies = 1 + u64::from(self.rng.chance(self.weather.twice_percent, 100));
                    for _ in 0..copies {
                        self.post(from, bytes.clone());
                    }
                }
                other => panic!("streams have no business with {other:?}"),
            }
        }
    }

    fn post(&mut self, from: usize, bytes: Vec<u8>) {
        if self.rng.chance(self.weather.loss_percent, 100) {
            return;
        }
        let delay = self.weather.delay_ns + self.rng.below(self.weather.jitter_ns + 1);
        self.sent += 1;
        let packet = Packet { from, boot: self.nodes[from].boot, bytes };
        self.under_way.insert((self.now.after(delay), self.sent), packet);
    }
}

/// A network that is as bad as `seed` says: up to 30 % loss, a tenth twice, in any order.
pub(super) fn storm(seed: u64) -> Weather {
    Weather {
        loss_percent: seed % 4 * 10,
        twice_percent: seed % 3 * 5,
        delay_ns: 50 * US + seed % 5 * MS,
        jitter_ns: seed % 7 * 200 * US,
    }
}
