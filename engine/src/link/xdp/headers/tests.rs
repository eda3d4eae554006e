use super::*;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

const A: Addr = Addr::v4([10, 0, 0, 1], 4000);
const B: Addr = Addr::v4([10, 0, 0, 2], 4001);
const A6: Addr = Addr { ip: [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], port: 4000 };
const B6: Addr = Addr { ip: [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2], port: 4001 };

fn frame(from: Addr, to: Addr, payload: &[u8]) -> Vec<u8> {
    let headers = Headers::new(from, [2; 6], to.ip, [4; 6], 1).unwrap();
    let mut room = [0; ROOM];
    let begun = headers.begin(&mut room, to.port);
    begun.complete(&mut room, payload.len(), Sum::of(payload));
    let mut frame = room[ROOM - begun.len()..].to_vec();
    frame.extend(payload);
    frame
}

/// Writes a checksum of the IPv4 header that fits again.
fn sealed(mut frame: Vec<u8>) -> Vec<u8> {
    frame[24..26].fill(0);
    let checksum = Sum::of(&frame[14..34]).checksum();
    frame[24..26].copy_from_slice(&checksum);
    frame
}

#[test]
fn a_frame_is_byte_for_byte_what_the_kernel_would_send() {
    // Laid out by RFC 791 and RFC 768; the checksums were computed apart, word by word.
    let expected = [
        4, 4, 4, 4, 4, 4, 2, 2, 2, 2, 2, 2, 0x08, 0x00, // Ethernet
        0x45, 0, 0, 31, 0, 0, 0x40, 0, 64, 17, 0x26, 0xcc, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
        0x0f, 0xa0, 0x0f, 0xa1, 0, 11, 0x08, 0x32, // UDP
        b'a', b'b', b'c',
    ];
    assert_eq!(frame(A, B, b"abc"), expected);
}

#[test]
fn a_frame_on_a_vlan_is_read() {
    for (from, to) in [(A, B), (A6, B6)] {
        let mut frame = frame(from, to, b"hello");
        let plain = parse(&frame).unwrap();
        frame.splice(12..12, [0x81, 0, 0, 9]);
        let tagged = parse(&frame).unwrap();
        assert_eq!((tagged.from, tagged.to), (plain.from, plain.to));
        assert_eq!(&frame[tagged.payload], b"hello");
    }
}

#[test]
fn padding_behind_the_datagram_is_not_payload() {
    let mut frame = frame(A, B, b"x");
    frame.resize(60, 0xee);
    assert_eq!(parse(&frame).unwrap().payload, 42..43);
}

#[test]
fn lengths_that_lie_are_refused() {
    let good = frame(A, B, &[1; 20]);
    for (at, value) in [(39, 29), (38, 1), (39, 7), (17, 27)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert_eq!(parse(&sealed(bad)), Err(Foreign::Length), "{value} at {at}");
    }
    for len in 0..good.len() {
        assert!(parse(&good[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn a_missing_checksum_is_good_in_v4_only_and_an_unfinished_one_everywhere() {
    for (from, to) in [(A, B), (A6, B6)] {
        let good = frame(from, to, &[1; 20]);
        let is_v4 = mapped(to.ip).is_some();
        let udp = good.len() - 28;
        let mut none = good.clone();
        none[udp + 6..udp + 8].fill(0);
        assert_eq!(parse(&none).is_ok(), is_v4);
        let mut unfinished = good.clone();
        let pseudo = pseudo_header(&from.ip, &to.ip, is_v4, 28).folded();
        unfinished[udp + 6..udp + 8].copy_from_slice(&pseudo.to_ne_bytes());
        assert!(parse(&unfinished).is_ok());
        unfinished[udp + 7] ^= 1;
        assert_eq!(parse(&unfinished), Err(Foreign::Checksum));
    }
}

#[test]
fn a_proved_payload_is_not_summed_and_everything_else_is_checked_as_ever() {
    for (from, to) in [(A, B), (A6, B6)] {
        let good = frame(from, to, &[1; 20]);
        let udp = good.len() - 28;
        let mut spoilt = good.clone();
        spoilt[udp + 8] ^= 1;
        assert_eq!(parse(&spoilt), Err(Foreign::Checksum));
        assert_eq!(parse_as(&spoilt, true), parse(&good));
        spoilt[udp + 5] = 7;
        assert_eq!(parse_as(&spoilt, true), Err(Foreign::Length));
    }
}

#[test]
fn groups_have_their_own_ethernet_addresses_and_reach_one_hop() {
    let v4 = Addr::v4([239, 129, 2, 3], 9);
    let v6 = Addr { ip: [0xff, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], port: 9 };
    assert_eq!(multicast_mac(v4.ip), Some([1, 0, 0x5e, 1, 2, 3]));
    assert_eq!(multicast_mac(v6.ip), Some([0x33, 0x33, 1, 2, 3, 4]));
    assert_eq!((multicast_mac(A.ip), multicast_mac(A6.ip)), (None, None));
    assert_eq!((frame(A, v4, b"")[22], frame(A, B, b"")[22]), (1, 64));
    assert_eq!((frame(A6, v6, b"")[21], frame(A6, B6, b"")[21]), (1, 64));
}

#[test]
fn families_do_not_mix() {
    assert!(Headers::new(A, [0; 6], B6.ip, [0; 6], 1).is_none());
    assert!(Headers::new(A6, [0; 6], B.ip, [0; 6], 1).is_none());
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        payload: Vec<u8>, from: [u8; 4], to: [u8; 4], from6: [u8; 16], to6: [u8; 16],
        ports: (u16, u16), flip in any::<proptest::sample::Index>(), bit in 0..8_u8,
    ) {
        let v4 = (Addr::v4(from, ports.0), Addr::v4(to, ports.1));
        let v6 = (Addr { ip: from6, port: ports.0 }, Addr { ip: to6, port: ports.1 });
        for (from, to) in [v4, v6] {
            let mut frame = frame(from, to, &payload);
            let read = parse(&frame).unwrap();
            prop_assert_eq!((read.from, read.to), (from, to));
            prop_assert_eq!(&frame[read.payload], &payload[..]);
            // What is protected and changes is noticed; Ethernet and a hop count are not.
            let at = flip.index(frame.len());
            frame[at] ^= 1_u8 << bit;
            if let Ok(read) = parse(&frame) {
                let same = (read.from, read.to) == (from, to) && frame[read.payload] == payload[..];
                prop_assert!(same);
            }
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, kind in 0..3_usize) {
        let begin: [&[u8]; 3] = [&[], &frame(A, B, b"")[..23], &frame(A6, B6, b"")[..20]];
        let frame: Vec<u8> = begin[kind].iter().chain(&bytes).copied().collect();
        if let Ok(parsed) = parse(&frame) {
            prop_assert!(frame.get(parsed.payload).is_some());
        }
    }
}
