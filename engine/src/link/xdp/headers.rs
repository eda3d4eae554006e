//! What lies around a UDP payload on the wire: Ethernet, IPv4 or IPv6, UDP.
//!
//! [`parse`] reads a received frame: pure, total, and without trust in anything a length says.
//! [`Headers`] are those of one destination, written once and copied in front of every payload.
//!
//! Received checksums are verified, with one exception: a frame that never left this host may carry
//! the unfinished checksum that the sending kernel left to a card which is not there
//! (`CHECKSUM_PARTIAL`). It holds the sum of the pseudo-header, which is recognised.

use super::checksum::Sum;
use std::net::Ipv6Addr;
use std::ops::Range;
use syncom_wire::Addr;

/// An Ethernet address.
pub(super) type Mac = [u8; 6];

const ETHERNET: usize = 14;
const VLAN_TAG: usize = 4;
const V4: usize = 20;
const V6: usize = 40;
const UDP: usize = 8;
/// Bytes in front of the payload that [`Headers`] may need.
pub(super) const ROOM: usize = ETHERNET + V6 + UDP;
/// Bytes of a frame that do not count for the interface's MTU.
pub(super) const FRAME_OVERHEAD: usize = ETHERNET;

const TYPE_V4: [u8; 2] = [0x08, 0x00];
const TYPE_V6: [u8; 2] = [0x86, 0xdd];
const TYPE_VLAN: [u8; 2] = [0x81, 0x00];
const PROTOCOL_UDP: u8 = 17;
const V4_WITHOUT_OPTIONS: u8 = 0x45;
const DO_NOT_FRAGMENT: u8 = 0x40;
/// Any bit that makes a datagram a fragment: more of them, or an offset.
const FRAGMENT: [u8; 2] = [0x3f, 0xff];
const HOPS_UNICAST: u8 = 64;

/// Why a frame is no datagram for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// It ends within its headers.
    Short,
    /// Neither IPv4 nor IPv6, at most one VLAN tag deep.
    NotIp,
    /// A version, options, a fragment, an extension header or a protocol other than UDP.
    NotPlainUdp,
    /// A length that exceeds the frame or is below its own header.
    Length,
    /// A checksum that does not fit.
    Checksum,
}

/// Where a frame's datagram came from, where it goes, and where in the frame its payload lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Who sent it.
    pub from: Addr,
    /// To whom.
    pub to: Addr,
    /// The payload's place in the frame.
    pub payload: Range<usize>,
}

/// Reads a frame.
///
/// # Errors
/// [`Foreign`] says why it is none of ours.
pub fn parse(frame: &[u8]) -> Result<Parsed, Foreign> {
    parse_as(frame, false)
}

/// As [`parse`], but UDP's checksum is not looked at where something else proves the payload.
#[inline]
pub(super) fn parse_as(frame: &[u8], is_proved: bool) -> Result<Parsed, Foreign> {
    let (mut kind, mut at) = (array::<2>(frame, 12)?, ETHERNET);
    if kind == TYPE_VLAN {
        kind = array(frame, ETHERNET + 2)?;
        at += VLAN_TAG;
    }
    let packet = frame.get(at..).ok_or(Foreign::Short)?;
    let (ip, from, to) = match kind {
        TYPE_V4 => parse_v4(packet)?,
        TYPE_V6 => parse_v6(packet)?,
        _ => return Err(Foreign::NotIp),
    };
    let datagram = packet.get(ip.clone()).ok_or(Foreign::Length)?;
    let [p, q, r, s] = array::<4>(datagram, 0)?;
    let len = usize::from(u16::from_be_bytes(array(datagram, 4)?));
    if len < UDP {
        return Err(Foreign::Length);
    }
    let datagram = datagram.get(..len).ok_or(Foreign::Length)?;
    if !is_proved {
        let pseudo = pseudo_header(&from, &to, kind == TYPE_V4, len);
        check_udp(datagram, pseudo, kind == TYPE_V4)?;
    }
    let start = at + ip.start;
    Ok(Parsed {
        from: Addr { ip: from, port: u16::from_be_bytes([p, q]) },
        to: Addr { ip: to, port: u16::from_be_bytes([r, s]) },
        payload: start + UDP..start + len,
    })
}

/// Where the UDP datagram lies in an IP packet, and the addresses.
type Packet = (Range<usize>, [u8; 16], [u8; 16]);

#[inline]
fn parse_v4(packet: &[u8]) -> Result<Packet, Foreign> {
    let header: [u8; V4] = array(packet, 0)?;
    let [version, _, l0, l1, _, _, f0, f1, _, protocol, ..] = header;
    let is_fragment = f0 & FRAGMENT[0] != 0 || f1 & FRAGMENT[1] != 0;
    if version != V4_WITHOUT_OPTIONS || is_fragment || protocol != PROTOCOL_UDP {
        return Err(Foreign::NotPlainUdp);
    }
    if !Sum::of(&header).is_whole() {
        return Err(Foreign::Checksum);
    }
    let end = usize::from(u16::from_be_bytes([l0, l1]));
    if end < V4 {
        return Err(Foreign::Length);
    }
    let from = Addr::v4(array(&header, 12)?, 0).ip;
    let to = Addr::v4(array(&header, 16)?, 0).ip;
    Ok((V4..end, from, to))
}

#[inline]
fn parse_v6(packet: &[u8]) -> Result<Packet, Foreign> {
    let header: [u8; V6] = array(packet, 0)?;
    let [version, _, _, _, l0, l1, next, ..] = header;
    if version & 0xf0 != 0x60 || next != PROTOCOL_UDP {
        return Err(Foreign::NotPlainUdp);
    }
    let end = V6 + usize::from(u16::from_be_bytes([l0, l1]));
    Ok((V6..end, array(&header, 8)?, array(&header, 24)?))
}

#[inline]
fn check_udp(datagram: &[u8], pseudo: Sum, is_v4: bool) -> Result<(), Foreign> {
    let checksum: [u8; 2] = array(datagram, 6)?;
    let is_whole = match checksum {
        // IPv4 may go without (RFC 768), IPv6 may not (RFC 8200, section 8.1).
        [0, 0] => is_v4,
        sum if sum == pseudo.folded().to_ne_bytes() => true,
        _ => pseudo.and(Sum::of(datagram)).is_whole(),
    };
    if is_whole { Ok(()) } else { Err(Foreign::Checksum) }
}

#[inline]
fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Foreign> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().ok_or(Foreign::Short)
}

/// The sum of what UDP's checksum covers beside the datagram itself.
#[inline]
fn pseudo_header(from: &[u8; 16], to: &[u8; 16], is_v4: bool, len: usize) -> Sum {
    // The mapped form of an IPv4 address would add its 0xffff.
    let skip = if is_v4 { 12 } else { 0 };
    Sum::of(&from[skip..]).and(Sum::of(&to[skip..])).and(constants(len))
}

#[inline]
fn constants(len: usize) -> Sum {
    Sum::word(u16::from(PROTOCOL_UDP)).and(Sum::word(length(len)))
}

/// A length that fits a packet, since payloads are limited by the slots.
#[inline]
fn length(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// The headers in front of everything that goes to one destination.
#[derive(Clone, Debug)]
pub(super) struct Headers {
    /// Ends where the payload begins.
    image: [u8; ROOM],
    len: u8,
    /// The sum of the IPv4 header without its length; 0 for IPv6.
    ip_sum: Sum,
    /// The sum of the pseudo-header without the length, and of the source port.
    udp_sum: Sum,
}

impl Headers {
    /// From `from`, over `from_mac` and `to_mac`, to the address `to`; `None` when the addresses
    /// are of different families. A multicast group is reached over up to `ttl` networks. The
    /// destination port is given when they are written.
    pub(super) fn new(
        from: Addr,
        from_mac: Mac,
        to: [u8; 16],
        to_mac: Mac,
        ttl: u8,
    ) -> Option<Self> {
        let (from_v4, to_v4) = (mapped(from.ip), mapped(to));
        if from_v4.is_some() != to_v4.is_some() {
            return None;
        }
        let (kind, ip) = if to_v4.is_some() { (TYPE_V4, V4) } else { (TYPE_V6, V6) };
        let mut image = [0; ROOM];
        let start = ROOM - (ETHERNET + ip + UDP);
        let (ethernet, rest) = image[start..].split_at_mut(ETHERNET);
        put(ethernet, &[&to_mac, &from_mac, &kind]);
        let (packet, udp) = rest.split_at_mut(ip);
        let ip_sum = if let (Some(from), Some(to)) = (from_v4, to_v4) {
            let hops = if to[0] & 0xf0 == 0xe0 { ttl } else { HOPS_UNICAST };
            let begin = [V4_WITHOUT_OPTIONS, 0, 0, 0, 0, 0, DO_NOT_FRAGMENT, 0, hops];
            put(packet, &[&begin, &[PROTOCOL_UDP, 0, 0], &from, &to]);
            Sum::of(packet)
        } else {
            let hops = if to[0] == 0xff { ttl } else { HOPS_UNICAST };
            put(packet, &[&[0x60, 0, 0, 0, 0, 0, PROTOCOL_UDP, hops], &from.ip, &to]);
            Sum::default()
        };
        put(udp, &[&from.port.to_be_bytes()]);
        let pseudo = pseudo_header(&from.ip, &to, to_v4.is_some(), 0);
        let udp_sum = pseudo.and(Sum::word(from.port));
        let len = u8::try_from(ROOM - start).ok()?;
        Some(Self { image, len, ip_sum, udp_sum })
    }

    /// Writes them to the end of `room`, all but what depends on the payload.
    #[inline]
    pub(super) fn begin(&self, room: &mut [u8; ROOM], to_port: u16) -> Begun {
        *room = self.image;
        put(&mut room[ROOM - 6..], &[&to_port.to_be_bytes()]);
        let udp_sum = self.udp_sum.and(Sum::word(to_port));
        Begun { len: self.len, ip_sum: self.ip_sum, udp_sum }
    }
}

/// Headers that were written and lack what depends on the payload: lengths and checksums.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    len: u8,
    ip_sum: Sum,
    udp_sum: Sum,
}

impl Begun {
    /// How many bytes they are.
    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.len as usize
    }

    /// Completes them in `room`, for a payload of `len` bytes with the sum `payload`.
    #[inline]
    pub(super) fn complete(&self, room: &mut [u8; ROOM], len: usize, payload: Sum) {
        let udp_len = length(UDP + len);
        // UDP's length is summed twice: in the pseudo-header and as a field.
        let sum = self.udp_sum.and(payload).and(Sum::word(udp_len)).and(Sum::word(udp_len));
        put(&mut room[ROOM - 4..], &[&udp_len.to_be_bytes(), &sum.udp_checksum()]);
        if self.len() == ETHERNET + V4 + UDP {
            let ip_len = length(V4 + UDP + len);
            let checksum = self.ip_sum.and(Sum::word(ip_len)).checksum();
            let packet = &mut room[ROOM - UDP - V4..];
            packet[2..4].copy_from_slice(&ip_len.to_be_bytes());
            packet[10..12].copy_from_slice(&checksum);
        } else {
            let packet = &mut room[ROOM - UDP - V6..];
            packet[4..6].copy_from_slice(&udp_len.to_be_bytes());
        }
    }
}

/// Writes one piece after the other.
fn put(mut room: &mut [u8], pieces: &[&[u8]]) {
    for piece in pieces {
        let (to, rest) = room.split_at_mut(piece.len());
        to.copy_from_slice(piece);
        room = rest;
    }
}

/// The IPv4 address in its mapped form.
pub(super) fn mapped(ip: [u8; 16]) -> Option<[u8; 4]> {
    Ipv6Addr::from(ip).to_ipv4_mapped().map(|v4| v4.octets())
}

/// The Ethernet address of a multicast group (RFC 1112 section 6.4, RFC 2464 section 7); `None` for
/// any other address.
pub(super) fn multicast_mac(ip: [u8; 16]) -> Option<Mac> {
    match mapped(ip) {
        Some([a, b, c, d]) => (a & 0xf0 == 0xe0).then_some([1, 0, 0x5e, b & 0x7f, c, d]),
        None => {
            let [first, .., w, x, y, z] = ip;
            (first == 0xff).then_some([0x33, 0x33, w, x, y, z])
        }
    }
}

#[cfg(test)]
mod tests;
