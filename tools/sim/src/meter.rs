//! What members send, by role: the price of a cluster at rest.

use crate::scenario::Options;

/// Bytes that Ethernet, IPv4 and UDP put around a datagram, the checksum of the frame included.
pub(crate) const FRAMING: u64 = 14 + 20 + 8 + 4;

/// Datagrams and bytes of one role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) datagrams: u64,
    /// Sealed datagrams as they are handed to the kernel.
    pub(crate) bytes: u64,
}

impl Sent {
    /// Bytes on a cable.
    pub(crate) const fn on_cable(self) -> u64 {
        self.bytes + self.datagrams * FRAMING
    }

    pub(crate) const fn since(self, before: Self) -> Self {
        Self { datagrams: self.datagrams - before.datagrams, bytes: self.bytes - before.bytes }
    }
}

/// Everything sent since the beginning.
#[derive(Debug)]
pub(crate) struct Meter {
    first_node: usize,
    /// By nodes, whether or not it arrived.
    pub(crate) nodes: Sent,
    /// By satellites and replicas.
    pub(crate) servers: Sent,
}

impl Meter {
    pub(crate) fn new(options: &Options) -> Self {
        let first_node = options.replicas + options.satellites;
        Self { first_node, nodes: Sent::default(), servers: Sent::default() }
    }

    /// A datagram of so many bytes, header and tag included.
    pub(crate) fn note(&mut self, from: usize, sealed: usize) {
        let sent = if from < self.first_node { &mut self.servers } else { &mut self.nodes };
        sent.datagrams += 1;
        sent.bytes += sealed as u64;
    }
}
