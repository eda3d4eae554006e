//! Every bound of the roles, in one place, with its reason and its relation to the others.
//! Bounds that both ends must agree on are in [`syncom_wire::limits`].

use syncom_wire::limits::{NEIGHBOURS_MAX, OBSERVERS_MAX, SATELLITES_MAX};

/// Neighbours an agent can watch: as many as one list of neighbours names. A node has K observers
/// and as many subjects on average; with the skip rule never seen above 2K, and up to 22 for a node
/// that is one of few in its failure domain.
pub const SUBJECTS_MAX: usize = NEIGHBOURS_MAX;

/// Reports of its own that an agent keeps until they are committed. Beyond it the local caller is
/// refused.
pub const REPORTS_PENDING_MAX: usize = 256;

/// Orders whose results an agent remembers, to answer again instead of executing again.
pub const ORDERS_REMEMBERED_MAX: usize = 256;

/// Orders that an agent executes at the same time; more are answered `busy`.
pub const ORDERS_RUNNING_MAX: usize = 16;

/// Managed services of one agent.
pub const SERVICES_MAX: usize = 32;

/// Bytes of output kept from one command.
pub const OUTPUT_MAX: usize = syncom_wire::limits::OUTPUT_MAX;

/// Evidence records of one transponder shard.
pub const EVIDENCE_MAX: usize = 65_536;

/// Orders in flight at one satellite.
pub const SHARDS_MAX: usize = 64;

/// Destinations under way per order and satellite at a time; the rest wait their turn.
pub const DELIVERIES_MAX: usize = 4_096;

/// Members of a cluster.
pub const MEMBERS_MAX: usize = syncom_wire::limits::NODES_MAX + SATELLITES_MAX;

/// Committed events that replicas keep for `syncom events`; older ones are gone.
pub const EVENTS_KEPT_MAX: usize = 65_536;

/// Events waiting for the recovery manager. When full, reports get a negative ack; a tenth is kept
/// for deaths.
pub const QUEUE_MAX: usize = 16_384;

/// Part of [`QUEUE_MAX`] reserved for deaths.
pub const QUEUE_RESERVED: usize = QUEUE_MAX / 10;

/// Orders that the station holds, finished ones included; the oldest finished one makes room.
pub const ORDERS_MAX: usize = 1_024;

/// Decisions of the recovery manager that replicas keep; older ones are gone.
pub const DECISIONS_KEPT_MAX: usize = 16_384;

/// Bytes of outcomes that one finished order keeps; further outputs are cut.
pub const OUTCOMES_MAX: usize = 256 * 1024;

/// Bytes of outcomes that all finished orders keep together; the oldest orders make room.
pub const OUTCOMES_KEPT_MAX: usize = 64 * OUTCOMES_MAX;

const _: () =
    assert!(OUTCOMES_MAX < syncom_wire::limits::MESSAGE_MAX / 2, "one entry carries them");
const _: () = assert!(SUBJECTS_MAX <= 64, "observer bitmaps are u64");
const _: () = assert!(SUBJECTS_MAX >= 2 * OBSERVERS_MAX);
const _: () = assert!(QUEUE_RESERVED * 2 < QUEUE_MAX);
const _: () = assert!(ORDERS_RUNNING_MAX < ORDERS_REMEMBERED_MAX);
