//! The pcap file format with ns timestamps (draft-ietf-opsawg-pcap, section 4 and 5), link type
//! RAW: each packet starts with its IP header.

use std::io;
use std::net::Ipv6Addr;
use syncom_seam::{SECOND, WallTime};
use syncom_wire::Addr;

/// Magic number of pcap with timestamps in ns.
const MAGIC_NS: u32 = 0xA1B2_3C4D;
/// Longest packet in a trace.
const SNAP_LEN: u32 = 1 << 18;
/// LINKTYPE_RAW: IPv4 or IPv6, told apart by the version.
const LINK_TYPE_RAW: u32 = 101;
const UDP: u8 = 17;
const HOP_LIMIT: u8 = 64;
const UDP_HEADER: usize = 8;
const HEADERS_MAX: usize = 40 + UDP_HEADER;

/// Writes datagrams as packets.
#[derive(Debug)]
pub struct PcapWriter<W: io::Write> {
    out: W,
}

impl<W: io::Write> PcapWriter<W> {
    /// Writes the head of the file.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(mut out: W) -> io::Result<Self> {
        let words = [MAGIC_NS, 2 | 4 << 16, 0, 0, SNAP_LEN, LINK_TYPE_RAW];
        out.write_all(words.map(u32::to_le_bytes).as_flattened())?;
        Ok(Self { out })
    }

    /// Writes one datagram. Payloads beyond what IP can carry are cut.
    ///
    /// # Errors
    /// Those of `out`; the file may then end in the middle of a packet.
    pub fn write(&mut self, at: WallTime, from: Addr, to: Addr, payload: &[u8]) -> io::Result<()> {
        let payload = &payload[..payload.len().min(usize::from(u16::MAX) - HEADERS_MAX)];
        let mut headers = [0; HEADERS_MAX];
        let headers = match (v4(from), v4(to)) {
            (Some(source), Some(target)) => {
                udp(&mut headers[20..28], from.port, to.port, payload.len());
                ipv4(&mut headers[..20], source, target, payload.len());
                &headers[..28]
            }
            _ => {
                udp(&mut headers[40..], from.port, to.port, payload.len());
                ipv6(&mut headers[..40], from, to, payload.len());
                let sum = udp6_checksum(&headers, payload);
                headers[46..48].copy_from_slice(&sum.to_be_bytes());
                &headers[..]
            }
        };
        let len = u32::from(narrow(headers.len() + payload.len()));
        let seconds = u32::try_from(at.0 / SECOND).unwrap_or(u32::MAX);
        let ns = u32::try_from(at.0 % SECOND).unwrap_or(0);
        self.out.write_all([seconds, ns, len, len].map(u32::to_le_bytes).as_flattened())?;
        self.out.write_all(headers)?;
        self.out.write_all(payload)
    }
}

fn v4(addr: Addr) -> Option<[u8; 4]> {
    Ipv6Addr::from(addr.ip).to_ipv4_mapped().map(|ip| ip.octets())
}

fn udp(out: &mut [u8], from: u16, to: u16, payload: usize) {
    out[..2].copy_from_slice(&from.to_be_bytes());
    out[2..4].copy_from_slice(&to.to_be_bytes());
    out[4..6].copy_from_slice(&narrow(UDP_HEADER + payload).to_be_bytes());
}

fn ipv4(out: &mut [u8], from: [u8; 4], to: [u8; 4], payload: usize) {
    out[0] = 0x45;
    out[2..4].copy_from_slice(&narrow(20 + UDP_HEADER + payload).to_be_bytes());
    out[8] = HOP_LIMIT;
    out[9] = UDP;
    out[12..16].copy_from_slice(&from);
    out[16..20].copy_from_slice(&to);
    let sum = fold(sum(out));
    out[10..12].copy_from_slice(&sum.to_be_bytes());
}

fn ipv6(out: &mut [u8], from: Addr, to: Addr, payload: usize) {
    out[0] = 0x60;
    out[4..6].copy_from_slice(&narrow(UDP_HEADER + payload).to_be_bytes());
    out[6] = UDP;
    out[7] = HOP_LIMIT;
    out[8..24].copy_from_slice(&from.ip);
    out[24..40].copy_from_slice(&to.ip);
}

/// RFC 8200, section 8.1: over both addresses, length, protocol, UDP header and payload.
fn udp6_checksum(headers: &[u8; HEADERS_MAX], payload: &[u8]) -> u16 {
    let length = u64::from(u16::from_be_bytes([headers[44], headers[45]]));
    let total = sum(&headers[8..]) + sum(payload) + length + u64::from(UDP);
    match fold(total) {
        0 => u16::MAX,
        sum => sum,
    }
}

/// Sum of big-endian 16-bit words (RFC 1071); an odd last byte is the high half of a word.
fn sum(bytes: &[u8]) -> u64 {
    bytes
        .chunks(2)
        .map(|pair| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0)))
        .sum()
}

#[expect(clippy::cast_possible_truncation, reason = "folded to 16 bits")]
const fn fold(mut sum: u64) -> u16 {
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

/// Lengths within an IP packet.
#[expect(clippy::cast_possible_truncation, reason = "payloads are cut to fit a packet")]
const fn narrow(len: usize) -> u16 {
    len as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(from: Addr, to: Addr, payload: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut pcap = PcapWriter::new(&mut file).unwrap();
        pcap.write(WallTime(3 * SECOND + 5), from, to, payload).unwrap();
        file
    }

    #[test]
    fn the_file_is_the_golden_one() {
        let file = trace(Addr::v4([10, 0, 0, 1], 7000), Addr::v4([10, 0, 0, 2], 7001), b"abc");
        #[rustfmt::skip]
        let golden = [
            0x4D, 0x3C, 0xB2, 0xA1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 101, 0, 0, 0,
            3, 0, 0, 0, 5, 0, 0, 0, 31, 0, 0, 0, 31, 0, 0, 0,
            0x45, 0, 0, 31, 0, 0, 0, 0, 64, 17, 0x66, 0xCC, 10, 0, 0, 1, 10, 0, 0, 2,
            0x1B, 0x58, 0x1B, 0x59, 0, 11, 0, 0,
            b'a', b'b', b'c',
        ];
        assert_eq!(file, golden);
    }

    #[test]
    fn checksums_verify() {
        let v4 = trace(Addr::v4([1, 2, 3, 4], 1), Addr::v4([5, 6, 7, 8], 2), b"odd");
        assert_eq!(fold(sum(&v4[40..60])), 0);
        let to = Addr { ip: Ipv6Addr::LOCALHOST.octets(), port: 2 };
        let v6 = trace(Addr::v4([1, 2, 3, 4], 1), to, b"odd");
        assert_eq!(v6[40] >> 4, 6);
        assert_eq!(fold(sum(&v6[48..]) + 11 + u64::from(UDP)), 0);
    }

    #[test]
    fn a_payload_that_no_packet_can_carry_is_cut() {
        let addr = Addr::v4([1, 2, 3, 4], 1);
        assert_eq!(trace(addr, addr, &vec![0; 70_000]).len(), 24 + 16 + 28 + 65_535 - 48);
    }
}
