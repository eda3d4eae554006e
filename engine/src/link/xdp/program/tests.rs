use super::super::bpf::{Map, MapKind, Program, ProgramKind};
use super::super::checksum::Sum;
use super::super::headers::{Headers, ROOM};
use super::*;

const V4: Addr = Addr::v4([10, 0, 0, 1], 4000);
const V6: Addr = Addr { ip: [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], port: 4000 };
const GROUP_V4: Addr = Addr::v4([239, 1, 2, 3], 4000);
const GROUP_V6: Addr = Addr { ip: [0xff, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9], port: 4000 };

/// A frame with some payload, as this link's own headers make it.
fn frame(to: Addr) -> Vec<u8> {
    let mut from = if Filter::new(to, 0).flags & WANTS_V4 == 0 { V6 } else { V4 };
    from.ip[15] = 77;
    let headers = Headers::new(from, [2; 6], to.ip, [4; 6], 1).unwrap();
    let mut room = [0; ROOM];
    let begun = headers.begin(&mut room, to.port);
    begun.complete(&mut room, 40, Sum::of(&[7; 40]));
    let mut frame = room[ROOM - begun.len()..].to_vec();
    frame.extend([7; 40]);
    frame
}

fn tagged(mut frame: Vec<u8>) -> Vec<u8> {
    frame.splice(12..12, [0x81, 0x00, 0x00, 0x05]);
    frame
}

fn changed(mut frame: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
    frame[at] = byte;
    frame
}

/// The program with one socket at queue 0; `None` when this process may not load one.
struct Loaded {
    filters: Map,
    _sockets: Map,
    _socket: std::os::fd::OwnedFd,
    program: Program,
}

fn load() -> Option<Loaded> {
    let filters = match Map::new(MapKind::Array, 32, QUEUES_MAX, 0) {
        Ok(filters) => filters,
        Err(error) => {
            eprintln!("programs cannot be tested here: {error}");
            return None;
        }
    };
    let sockets = Map::new(MapKind::Sockets, 4, QUEUES_MAX, 0).unwrap();
    let socket = super::super::socket::create().unwrap();
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&socket);
    sockets.set(0, &descriptor.to_ne_bytes()).unwrap();
    let code = redirect(filters.descriptor(), sockets.descriptor());
    let program = Program::load(ProgramKind::Xdp, &code).unwrap();
    Some(Loaded { filters, _sockets: sockets, _socket: socket, program })
}

impl Loaded {
    fn wants(&self, to: Addr, frame: &[u8]) -> bool {
        self.passes(Filter::new(to, 1514), frame)
    }

    /// Whether a frame gets through a filter, to the socket.
    fn passes(&self, filter: Filter, frame: &[u8]) -> bool {
        self.filters.set(0, &filter.image()).unwrap();
        match self.program.answer(frame).unwrap() {
            REDIRECT => true,
            answer => {
                assert_eq!(i32::try_from(answer), Ok(PASS));
                false
            }
        }
    }
}

#[test]
fn what_is_sent_to_the_socket_is_redirected_with_or_without_a_vlan_tag() {
    let Some(loaded) = load() else { return };
    let any_v4 = Addr::v4([0; 4], 4000);
    let any = Addr { ip: [0; 16], port: 4000 };
    for (bound, to) in [
        (V4, V4),
        (V4, GROUP_V4),
        (V6, V6),
        (V6, GROUP_V6),
        (any_v4, V4),
        (any_v4, GROUP_V4),
        (any, V4),
        (any, V6),
        (any, GROUP_V4),
        (any, GROUP_V6),
    ] {
        assert!(loaded.wants(bound, &frame(to)), "{to} for {bound}");
        assert!(loaded.wants(bound, &tagged(frame(to))), "{to} for {bound}, tagged");
    }
}

#[test]
fn what_is_sent_elsewhere_is_passed() {
    let Some(loaded) = load() else { return };
    let other_port = |to: Addr| Addr { port: 4001, ..to };
    let other_v4 = Addr::v4([10, 0, 0, 2], 4000);
    let other_v6 = Addr {
        ip: {
            let mut ip = V6.ip;
            ip[3] = 1;
            ip
        },
        port: 4000,
    };
    let any_v4 = Addr::v4([0; 4], 4000);
    for (bound, to) in [
        (V4, other_port(V4)),
        (V4, other_v4),
        (V4, other_port(GROUP_V4)),
        (V4, V6),
        (V4, GROUP_V6),
        (V6, other_port(V6)),
        (V6, other_v6),
        (V6, V4),
        (any_v4, V6),
        (any_v4, GROUP_V6),
        (Addr { port: 0, ..V4 }, V4),
    ] {
        assert!(!loaded.wants(bound, &frame(to)), "{to} for {bound}");
    }
}

#[test]
fn a_socket_at_a_group_wants_that_group_alone() {
    let Some(loaded) = load() else { return };
    let other = |mut group: Addr| {
        group.ip[15] ^= 1;
        group
    };
    for (group, host) in [(GROUP_V4, V4), (GROUP_V6, V6)] {
        assert!(loaded.wants(group, &frame(group)));
        assert!(!loaded.wants(group, &frame(other(group))));
        assert!(!loaded.wants(group, &frame(host)));
    }
}

#[test]
fn what_may_be_a_burst_that_a_sender_left_to_a_card_is_passed_on_request() {
    let Some(loaded) = load() else { return };
    for (to, udp, addresses) in [(V4, 34, 26..34), (V6, 54, 22..54)] {
        let whole = frame(to);
        // What a sending kernel leaves there: the sum of the pseudo-header.
        let length = Sum::of(&whole[udp + 4..udp + 6]);
        let sum = Sum::of(&whole[addresses]).and(length).and(Sum::word(17));
        let mut unfinished = whole.clone();
        unfinished[udp + 6..udp + 8].copy_from_slice(&sum.folded().to_ne_bytes());
        for is_strict in [false, true] {
            let filter = Filter::new(to, 1514).finished(is_strict);
            assert!(loaded.passes(filter, &whole), "{to}");
            assert!(loaded.passes(filter, &tagged(whole.clone())), "{to}, tagged");
            assert_eq!(loaded.passes(filter, &unfinished), !is_strict, "{to}");
            assert_eq!(loaded.passes(filter, &tagged(unfinished.clone())), !is_strict, "{to}");
        }
    }
}

#[test]
fn what_is_not_plain_udp_is_passed() {
    let Some(loaded) = load() else { return };
    let (v4, v6) = (frame(V4), frame(V6));
    let foreign = [
        ("ARP", changed(v4.clone(), 13, 0x06)),
        ("more fragments", changed(v4.clone(), 20, 0x20)),
        ("a later fragment", changed(v4.clone(), 21, 1)),
        ("IP options", changed(v4.clone(), 14, 0x46)),
        ("version 6 in 4", changed(v4.clone(), 14, 0x65)),
        ("TCP", changed(v4.clone(), 23, 6)),
        ("ICMP", changed(v4.clone(), 23, 1)),
        ("two VLAN tags", tagged(tagged(v4.clone()))),
    ];
    for (name, frame) in foreign {
        assert!(!loaded.wants(V4, &frame), "{name}");
    }
    for (name, frame) in [
        ("a fragment", changed(v6.clone(), 20, 44)),
        ("TCP", changed(v6.clone(), 20, 6)),
        ("version 4 in 6", changed(v6.clone(), 14, 0x45)),
    ] {
        assert!(!loaded.wants(V6, &frame), "{name} over IPv6");
    }
}

#[test]
fn what_ends_within_its_headers_or_exceeds_a_slot_is_passed() {
    let Some(loaded) = load() else { return };
    for (to, headers) in [(V4, 42), (V6, 62)] {
        // The kernel runs no program on less than an Ethernet header.
        for len in 14..headers {
            assert!(!loaded.wants(to, &frame(to)[..len]), "{len} bytes");
            assert!(!loaded.wants(to, &tagged(frame(to))[..len + 4]), "{len} bytes, tagged");
        }
        assert!(loaded.wants(to, &frame(to)[..headers]));
        let mut long = frame(to);
        long.resize(1514, 0);
        assert!(loaded.wants(to, &long));
        long.push(0);
        assert!(!loaded.wants(to, &long));
    }
}

#[test]
fn a_program_that_is_refused_is_explained_by_the_verifier() {
    if load().is_none() {
        return;
    }
    let mut asm = Assembler::new();
    asm.load(Size::Word, R0, R9, 0);
    asm.exit();
    let error = Program::load(ProgramKind::Xdp, &asm.finish()).unwrap_err();
    assert!(error.to_string().contains("R9 !read_ok"), "{error}");
}
