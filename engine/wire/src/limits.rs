//! Bounds that both ends of a wire must agree on.

/// Nodes in a cluster: what slots, bitmaps and rosters are sized for.
pub const NODES_MAX: usize = 131_072;
/// Satellites in a cluster.
pub const SATELLITES_MAX: usize = 256;
/// Station replicas.
pub const REPLICAS_MAX: usize = 9;
/// Distinct observers of one node (K).
pub const OBSERVERS_MAX: usize = 8;
/// Entries of one list of neighbours: observers or subjects, both epochs of a hand-over included.
pub const NEIGHBOURS_MAX: usize = 32;
/// Home satellites of a node.
pub const HOMES: usize = 2;

/// Bytes of a member's, service's or subject's name.
pub const NAME_MAX: usize = 64;
/// Bytes of a failure domain's label.
pub const DOMAIN_MAX: usize = 32;
/// Bytes of the name of an event kind.
pub const KIND_MAX: usize = 32;
/// Bytes of an event's detail.
pub const DETAIL_MAX: usize = 512;
/// Bytes of output kept from one command.
pub const OUTPUT_MAX: usize = 16 * 1024;
/// Bytes of an order's payload.
pub const PAYLOAD_MAX: usize = 8 * 1024;
/// Rules of a policy.
pub const RULES_MAX: usize = 128;
/// Thresholds of a policy.
pub const THRESHOLDS_MAX: usize = 128;
/// Steps of a rule.
pub const STEPS_MAX: usize = 8;
/// Terms of a selector.
pub const TERMS_MAX: usize = 16;
/// Bytes of an encoded selector.
pub const SELECTOR_MAX: usize = TERMS_MAX * (3 + NAME_MAX);
/// Services that a node announces when it joins: all that it may have.
pub const ANNOUNCED_MAX: usize = 32;
/// Bytes of what a node announces: with the rest of its join they fit a datagram that no network
/// fragments.
pub const ANNOUNCEMENT_MAX: usize = 768;
/// Bytes of the command of a step: with what is told to it, it fits an order.
pub const COMMAND_MAX: usize = PAYLOAD_MAX / 4;
/// Bytes of an encoded policy: it fits a question, an answer and an entry of the log.
pub const POLICY_MAX: usize = 32 * 1024;
/// Nodes that a policy may let be drained or fenced within its window.
pub const GUARD_NODES_MAX: u32 = 1_000;
/// Bytes of an encoded set of slots: a full bitmap and its header.
pub const IDSET_MAX: usize = NODES_MAX / 8 + 16;

/// Bytes of a datagram that is not allowed to be fragmented by the network (header and tag
/// included): fits Ethernet's 1500 with room for tunnels.
pub const MTU: usize = 1408;
/// Bytes of the largest datagram: questions, answers and receipts may be fragmented by IP.
pub const DATAGRAM_MAX: usize = 60_000;
/// Bytes of the largest datagram of a channel: what UDP over IPv4 carries (65,507), in whole cache
/// lines.
pub const CHANNEL_DATAGRAM_MAX: usize = 65_472;
/// Bytes of the largest message on a stream.
pub const MESSAGE_MAX: usize = 1 << 20;
/// Bytes of frames in one batch of records, hence in one Raft proposal of a satellite.
pub const BATCH_MAX: usize = 8 * 1024;
/// Bytes of one chunk of a snapshot.
pub const SNAPSHOT_CHUNK: usize = 64 * 1024;
/// Reports named as contributors in one record; further ones are only counted.
pub const CONTRIBUTORS_MAX: usize = 16;
/// Items of one acknowledgement.
pub const ACKS_MAX: usize = 256;

const _: () = assert!(NODES_MAX.is_multiple_of(64));
const _: () = assert!(SNAPSHOT_CHUNK < MESSAGE_MAX && BATCH_MAX < MESSAGE_MAX);
const _: () = assert!(OUTPUT_MAX + 256 < DATAGRAM_MAX && IDSET_MAX + PAYLOAD_MAX < DATAGRAM_MAX);
const _: () = assert!(POLICY_MAX + 1_024 < DATAGRAM_MAX);
const _: () = assert!(2 * OBSERVERS_MAX <= NEIGHBOURS_MAX);
