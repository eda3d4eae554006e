//! The program that runs in the kernel for every frame that an interface receives.
//!
//! It knows, for each receive queue, which datagrams the socket at that queue wants: a [`Filter`].
//! Frames that carry such a datagram, whole and plain, go to that socket. Everything else goes on
//! into the kernel as if there were no program: what is fragmented, has IP options or extension
//! headers, is longer than a slot, or is none of ours. So whatever the program does not understand
//! still arrives, at the plain socket that the link keeps at the same port.

use super::assembler::Operand::{Is, Of};
use super::assembler::Register::{R0, R1, R2, R3, R6, R7, R8, R9, R10};
use super::assembler::{Assembler, Helper, If, Instruction, Label, Operand, Size};
use super::headers::multicast_mac;
use std::net::Ipv6Addr;
use std::ops::Range;
use syncom_wire::Addr;

/// Answer of the program: into the kernel.
pub(super) const PASS: i32 = 2;
/// Answer of the program: to the socket.
#[cfg(test)]
pub(super) const REDIRECT: u32 = 4;

/// Receive queues of an interface that can have a socket.
pub(super) const QUEUES_MAX: u32 = 256;

/// The datagrams that the socket at a queue wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Filter {
    /// Destination port, in network order; 0 wants nothing.
    port: [u8; 2],
    /// Which families, and whether any address will do.
    flags: u16,
    /// Longest frame that fits a slot.
    frame_bytes_max: u32,
    /// Destination address, if it is IPv4.
    v4: [u8; 4],
    padding: [u8; 4],
    /// Destination address, if it is IPv6.
    v6: [u8; 16],
}

const _: () = assert!(size_of::<Filter>() == 32);

// Where the program finds the fields of a filter, and its flags.
const PORT: i16 = 0;
const FLAGS: i16 = 2;
const FRAME_BYTES_MAX: i16 = 4;
const ADDRESS_V4: i16 = 8;
const ADDRESS_V6: i16 = 16;
const WANTS_V4: u16 = 1;
const WANTS_V6: u16 = 2;
const WANTS_ANY_ADDRESS: u16 = 4;
const WANTS_ANY_GROUP: u16 = 8;
const WANTS_FINISHED: u16 = 16;

impl Filter {
    /// Wants what is sent to `to`, in frames of up to `frame_bytes_max` bytes. Unless that is a
    /// multicast group, datagrams to groups are wanted, too, whichever: the interface takes in
    /// joined ones only.
    pub(super) fn new(to: Addr, frame_bytes_max: u32) -> Self {
        let ip = Ipv6Addr::from(to.ip);
        let (flags, v4) = match ip.to_ipv4_mapped() {
            Some(v4) if v4.is_unspecified() => (WANTS_V4 | WANTS_ANY_ADDRESS, [0; 4]),
            Some(v4) => (WANTS_V4, v4.octets()),
            None if ip.is_unspecified() => (WANTS_V4 | WANTS_V6 | WANTS_ANY_ADDRESS, [0; 4]),
            None => (WANTS_V6, [0; 4]),
        };
        let is_group = multicast_mac(to.ip).is_some();
        let flags = if is_group { flags } else { flags | WANTS_ANY_GROUP };
        let port = to.port.to_be_bytes();
        Self { port, flags, frame_bytes_max, v4, padding: [0; 4], v6: to.ip }
    }

    /// Wants only datagrams whose checksum is finished, if `is_strict`.
    ///
    /// A sender on the same host may leave checksum and segmentation to a card that is never
    /// reached: then what looks like one datagram is a burst of them. The kernel can tell, we
    /// cannot.
    pub(super) fn finished(mut self, is_strict: bool) -> Self {
        self.flags |= if is_strict { WANTS_FINISHED } else { 0 };
        self
    }

    /// The bytes that the program sees.
    pub(super) fn image(&self) -> [u8; 32] {
        let mut image = [0; 32];
        let fields: [&[u8]; 6] = [
            &self.port,
            &self.flags.to_ne_bytes(),
            &self.frame_bytes_max.to_ne_bytes(),
            &self.v4,
            &self.padding,
            &self.v6,
        ];
        for (to, from) in image.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        image
    }
}

// `struct xdp_md`, the context of the program.
const DATA: i16 = 0;
const DATA_END: i16 = 4;
const QUEUE: i16 = 16;

// Where things are in a frame, behind a VLAN tag that was skipped.
const ETHERNET: i16 = 14;
const ETHERTYPE: i16 = 12;
const VLAN_TAG: i32 = 4;
const V4_FRAGMENT: i16 = ETHERNET + 6;
const V4_PROTOCOL: i16 = ETHERNET + 9;
const V4_FROM: i16 = ETHERNET + 12;
const V4_TO: i16 = ETHERNET + 16;
const V4_UDP: i16 = ETHERNET + 20;
const V4_HEADERS: i16 = ETHERNET + 20 + 8;
const V6_NEXT_HEADER: i16 = ETHERNET + 6;
const V6_FROM: i16 = ETHERNET + 8;
const V6_TO: i16 = ETHERNET + 24;
const V6_UDP: i16 = ETHERNET + 40;
const V6_HEADERS: i16 = ETHERNET + 40 + 8;
const UDP_PROTOCOL: u16 = 17;
// Where things are in a UDP header.
const PORT_TO: i16 = 2;
const LENGTH: i16 = 4;
const CHECKSUM: i16 = 6;

/// A number in network order, as a load in this machine's order sees it.
const fn network(number: u16) -> Operand {
    Is(number.to_be() as i32)
}

/// The redirect program, over a map of filters and a map of sockets, both by queue.
///
/// Throughout, R6 is the context, R7 where the frame starts (less a VLAN tag), R8 where it ends,
/// R9 the filter.
pub(super) fn redirect(filters: i32, sockets: i32) -> Vec<Instruction> {
    let mut asm = Assembler::new();
    let [tagged, v4, v6, ours_v4, ours_v6, deliver, pass] = std::array::from_fn(|_| asm.label());

    asm.set(R6, Of(R1));
    asm.load(Size::Word, R7, R6, DATA);
    asm.load(Size::Word, R8, R6, DATA_END);
    find_filter(&mut asm, filters, pass);
    asm.set(R9, Of(R0));

    asm.set(R1, Of(R8));
    asm.subtract(R1, Of(R7));
    asm.load(Size::Word, R2, R9, FRAME_BYTES_MAX);
    asm.jump_if(R1, If::Above, Of(R2), pass);

    need(&mut asm, ETHERNET, pass);
    asm.load(Size::Half, R2, R7, ETHERTYPE);
    asm.jump_if(R2, If::Equal, network(0x8100), tagged);
    asm.jump_if(R2, If::Equal, network(0x0800), v4);
    asm.jump_if(R2, If::Equal, network(0x86dd), v6);
    asm.jump(pass);

    asm.place(tagged);
    asm.add(R7, Is(VLAN_TAG));
    need(&mut asm, ETHERNET, pass);
    asm.load(Size::Half, R2, R7, ETHERTYPE);
    asm.jump_if(R2, If::Equal, network(0x86dd), v6);
    asm.jump_if(R2, If::Differ, network(0x0800), pass);

    asm.place(v4);
    match_v4(&mut asm, ours_v4, pass);
    asm.place(v6);
    match_v6(&mut asm, ours_v6, pass);

    asm.place(ours_v6);
    need_finished(&mut asm, V6_FROM..V6_UDP, deliver, pass);
    asm.place(ours_v4);
    need_finished(&mut asm, V4_FROM..V4_UDP, deliver, pass);

    asm.place(deliver);
    asm.map(R1, sockets);
    asm.load(Size::Word, R2, R6, QUEUE);
    asm.set(R3, Is(PASS));
    asm.call(Helper::Redirect);
    asm.exit();

    asm.place(pass);
    asm.set(R0, Is(PASS));
    asm.exit();
    asm.finish()
}

/// R0 becomes the filter of the queue that the frame came in by.
fn find_filter(asm: &mut Assembler, filters: i32, pass: Label) {
    asm.load(Size::Word, R1, R6, QUEUE);
    asm.store(Size::Word, R10, -4, R1);
    asm.map(R1, filters);
    asm.set(R2, Of(R10));
    asm.add(R2, Is(-4));
    asm.call(Helper::Lookup);
    asm.jump_if(R0, If::Equal, Is(0), pass);
}

/// Goes on only if the frame has `bytes` bytes from R7 on.
fn need(asm: &mut Assembler, bytes: i16, pass: Label) {
    asm.set(R1, Of(R7));
    asm.add(R1, Is(i32::from(bytes)));
    asm.jump_if(R1, If::Above, Of(R8), pass);
}

/// Goes on only if the filter has all of `flags`.
fn need_flag(asm: &mut Assembler, flag: u16, pass: Label) {
    let wanted = asm.label();
    asm.load(Size::Half, R1, R9, FLAGS);
    asm.jump_if(R1, If::Any, Is(i32::from(flag)), wanted);
    asm.jump(pass);
    asm.place(wanted);
}

/// Goes to `deliver` unless the filter wants finished checksums only and this one is not: it holds
/// the sum of the pseudo-header, which begins with the `addresses` in front of the UDP header.
fn need_finished(asm: &mut Assembler, addresses: Range<i16>, deliver: Label, pass: Label) {
    let check = asm.label();
    let udp = addresses.end;
    asm.load(Size::Half, R1, R9, FLAGS);
    asm.jump_if(R1, If::Any, Is(i32::from(WANTS_FINISHED)), check);
    asm.jump(deliver);
    asm.place(check);
    asm.load(Size::Half, R1, R7, udp + LENGTH);
    asm.add(R1, network(UDP_PROTOCOL));
    for word in addresses.step_by(4) {
        asm.load(Size::Word, R2, R7, word);
        asm.add(R1, Of(R2));
    }
    // The sum of ten words folds in three steps.
    for _ in 0..3 {
        asm.set(R2, Of(R1));
        asm.shift_right(R2, 16);
        asm.and(R1, Is(0xffff));
        asm.add(R1, Of(R2));
    }
    asm.load(Size::Half, R2, R7, udp + CHECKSUM);
    asm.jump_if(R1, If::Equal, Of(R2), pass);
    asm.jump(deliver);
}

fn match_v4(asm: &mut Assembler, ours: Label, pass: Label) {
    need_flag(asm, WANTS_V4, pass);
    need(asm, V4_HEADERS, pass);
    // Version 4, five words of header: no options.
    asm.load(Size::Byte, R1, R7, ETHERNET);
    asm.jump_if(R1, If::Differ, Is(0x45), pass);
    // More fragments, or not the first one.
    asm.load(Size::Half, R1, R7, V4_FRAGMENT);
    asm.jump_if(R1, If::Any, network(0x3fff), pass);
    match_transport(asm, V4_PROTOCOL, V4_UDP, pass);

    asm.load(Size::Half, R1, R9, FLAGS);
    asm.jump_if(R1, If::Any, Is(i32::from(WANTS_ANY_ADDRESS)), ours);
    let exactly = asm.label();
    asm.load(Size::Half, R1, R9, FLAGS);
    asm.and(R1, Is(i32::from(WANTS_ANY_GROUP)));
    asm.jump_if(R1, If::Equal, Is(0), exactly);
    asm.load(Size::Byte, R1, R7, V4_TO);
    asm.and(R1, Is(0xf0));
    asm.jump_if(R1, If::Equal, Is(0xe0), ours);
    asm.place(exactly);
    asm.load(Size::Word, R1, R7, V4_TO);
    asm.load(Size::Word, R2, R9, ADDRESS_V4);
    asm.jump_if(R1, If::Differ, Of(R2), pass);
    asm.jump(ours);
}

fn match_v6(asm: &mut Assembler, ours: Label, pass: Label) {
    need_flag(asm, WANTS_V6, pass);
    need(asm, V6_HEADERS, pass);
    asm.load(Size::Byte, R1, R7, ETHERNET);
    asm.and(R1, Is(0xf0));
    asm.jump_if(R1, If::Differ, Is(0x60), pass);
    match_transport(asm, V6_NEXT_HEADER, V6_UDP, pass);

    asm.load(Size::Half, R1, R9, FLAGS);
    asm.jump_if(R1, If::Any, Is(i32::from(WANTS_ANY_ADDRESS)), ours);
    let exactly = asm.label();
    asm.load(Size::Half, R1, R9, FLAGS);
    asm.and(R1, Is(i32::from(WANTS_ANY_GROUP)));
    asm.jump_if(R1, If::Equal, Is(0), exactly);
    asm.load(Size::Byte, R1, R7, V6_TO);
    asm.jump_if(R1, If::Equal, Is(0xff), ours);
    asm.place(exactly);
    for word in [0, 4, 8, 12] {
        asm.load(Size::Word, R1, R7, V6_TO + word);
        asm.load(Size::Word, R2, R9, ADDRESS_V6 + word);
        asm.jump_if(R1, If::Differ, Of(R2), pass);
    }
}

/// Goes on only with UDP to the filter's port.
fn match_transport(asm: &mut Assembler, protocol: i16, udp: i16, pass: Label) {
    asm.load(Size::Byte, R1, R7, protocol);
    asm.jump_if(R1, If::Differ, Is(i32::from(UDP_PROTOCOL)), pass);
    asm.load(Size::Half, R1, R7, udp + PORT_TO);
    asm.load(Size::Half, R2, R9, PORT);
    asm.jump_if(R1, If::Differ, Of(R2), pass);
}

/// A program for a plain socket that counts, at the only key of `counts`, what is delivered to it,
/// and lets all of it through.
pub(super) fn count(counts: i32) -> Vec<Instruction> {
    let mut asm = Assembler::new();
    let done = asm.label();
    asm.set(R1, Is(0));
    asm.store(Size::Word, R10, -4, R1);
    asm.map(R1, counts);
    asm.set(R2, Of(R10));
    asm.add(R2, Is(-4));
    asm.call(Helper::Lookup);
    asm.jump_if(R0, If::Equal, Is(0), done);
    asm.set(R1, Is(1));
    asm.store_add(R0, 0, R1);
    asm.place(done);
    // How many bytes to keep: all.
    asm.set(R0, Is(i32::MAX));
    asm.exit();
    asm.finish()
}

#[cfg(test)]
mod tests;
