//! The one table of counters, shared by roles and engine.
//!
//! Names are what people and scripts see; the order is the layout of the counters file, so new
//! ones go to the end. `cargo x tidy` checks that each is used somewhere.

macro_rules! counters {
    ($( $(#[$meta:meta])* $variant:ident = $name:literal, $kind:ident, $help:literal; )*) => {
        /// A counter or gauge.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Counter {
            $( #[doc = $help] $variant, )*
        }

        impl Counter {
            /// All of them, in table order.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// Name as people see it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            /// What it counts.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $( Self::$variant => $help, )* }
            }

            /// Whether it can fall.
            #[must_use]
            pub const fn is_gauge(self) -> bool {
                match self { $( Self::$variant => counters!(@ $kind), )* }
            }
        }
    };
    (@ gauge) => { true };
    (@ count) => { false };
}

counters! {
    RxDatagrams = "rx_datagrams", count, "Datagrams received and opened.";
    RxBytes = "rx_bytes", count, "Bytes received, tags and headers included.";
    RxFrames = "rx_frames", count, "Frames handed to the role.";
    TxDatagrams = "tx_datagrams", count, "Datagrams handed to the link.";
    TxBytes = "tx_bytes", count, "Bytes handed to the link, tags and headers included.";
    TxFrames = "tx_frames", count, "Frames sealed for sending.";
    TxDropped = "tx_dropped", count, "Datagrams that the link had no room for.";
    TxOversize = "tx_oversize", count, "Frames too large for any datagram.";
    RxOverflow = "rx_overflow", count, "Datagrams that the kernel dropped because our buffer was full.";
    DropShort = "drop_short", count, "Datagrams shorter than header and tag.";
    DropOversize = "drop_oversize", count, "Datagrams cut short because they exceed the slot.";
    DropVersion = "drop_bad_version", count, "Datagrams of an unknown version or with reserved bits set.";
    DropForeign = "drop_foreign_cluster", count, "Datagrams of another cluster.";
    DropEpoch = "drop_unknown_epoch", count, "Datagrams under a key epoch that is not live.";
    DropSender = "drop_unknown_sender", count, "Datagrams of senders for which there is no room.";
    DropReplay = "drop_replay", count, "Datagrams seen before or too old to tell.";
    DropTag = "drop_bad_tag", count, "Datagrams whose seal does not match.";
    DropStale = "drop_stale_boot", count, "Datagrams of an earlier life of their sender.";
    DropNotFresh = "drop_not_fresh", count, "First datagrams of a new sender whose clock is too far from ours.";
    DropMalformed = "drop_malformed", count, "Authentic datagrams with a frame that cannot be parsed.";
    DropRole = "drop_wrong_role", count, "Authentic frames that this sender or receiver has no business with.";
    TimersFired = "timers_fired", count, "Timers delivered to the role.";
    TimersLate = "timers_late", count, "Timers delivered more than 10 ms late.";
    LoopMaxNs = "loop_max_ns", gauge, "Longest duty cycle of the loop so far.";
    LoopOverThreshold = "loop_over_threshold", count, "Duty cycles longer than 10 ms.";
    DiskSyncs = "disk_syncs", count, "Flushes of the log to the device.";
    DiskRecords = "disk_records", count, "Records made durable.";
    ChildrenStarted = "children_started", count, "Child processes started.";
    ChildrenEnded = "children_ended", count, "Child processes that ended.";
    StreamSent = "stream_sent", count, "Stream fragments sent for the first time.";
    StreamResent = "stream_resent", count, "Stream fragments sent again.";
    StreamNaks = "stream_naks", count, "Gaps reported to senders of streams.";
    StreamResets = "stream_resets", count, "Streams that began anew because an end restarted or gave up.";
    StreamDelivered = "stream_delivered", count, "Stream messages handed to the role.";
    HeartbeatsSent = "heartbeats_sent", count, "Heartbeats sent, to observers and homes.";
    HeartbeatsHeard = "heartbeats_heard", count, "Heartbeats heard from watched members.";
    Accusations = "accusations", count, "Subjects reported silent.";
    Retractions = "retractions", count, "Accusations withdrawn because the subject was heard again.";
    SelfSuspicions = "self_suspicions", count, "Times that so many subjects were late at once that we suspected ourselves.";
    Pauses = "pauses", count, "Times that this process was stopped or starved longer than a tick.";
    ReportsSent = "reports_sent", count, "Reports sent, resends included.";
    ReportsCommitted = "reports_committed", count, "Own reports acknowledged as committed.";
    ReportsRefused = "reports_refused", count, "Own reports refused because too many are pending.";
    OrdersExecuted = "orders_executed", count, "Orders executed.";
    OrdersRepeated = "orders_repeated", count, "Orders answered again without executing again.";
    OrdersRefused = "orders_refused", count, "Orders refused: stale term, expired, or busy.";
    ServicesDied = "services_died", count, "Managed services that ended without being told to.";
    UplinkReports = "uplink_reports", count, "Reports taken by this satellite.";
    UplinkDuplicates = "uplink_duplicates", count, "Reports that changed nothing.";
    UplinkSuppressed = "uplink_suppressed", count, "Reports of an event that is already known.";
    UplinkNoise = "uplink_noise", count, "Evidence dropped below the threshold.";
    UplinkBatches = "uplink_batches", count, "Batches sent to the station.";
    UplinkRecords = "uplink_records", count, "Records in those batches.";
    UplinkShed = "uplink_shed", count, "Records shed under back-pressure.";
    ProbesSent = "probes_sent", count, "Probes sent to accused nodes.";
    ObserversAsked = "observers_asked", count, "Questions to observers that do not accuse an accused node.";
    OpinionsSent = "opinions_sent", count, "What one home of a node told the other of it.";
    Vetoes = "vetoes", count, "Accusations refuted by an answer or a fresher heartbeat.";
    EvidenceLive = "evidence_live", gauge, "Evidence records held.";
    OrdersDelivered = "orders_delivered", count, "Order frames sent to nodes, retries included.";
    ReceiptsHeard = "receipts_heard", count, "Receipts of nodes.";
    MembersKnown = "members_known", gauge, "Members in the roster held here.";
    RaftProposals = "raft_proposals", count, "Batches proposed.";
    RaftApplied = "raft_applied", gauge, "Index of the last applied entry.";
    RaftTerm = "raft_term", gauge, "Current term.";
    RaftRefused = "raft_refused", count, "Raft messages refused by the validator.";
    RaftElections = "raft_elections", count, "Times that this replica became leader.";
    RaftSnapshots = "raft_snapshots", count, "Snapshots taken or installed.";
    EventsCommitted = "events_committed", count, "Events committed.";
    EventsDuplicate = "events_duplicate", count, "Records that repeated a known event.";
    QueueLen = "queue_len", gauge, "Events waiting for the recovery manager.";
    QueueFull = "queue_full", count, "Records refused because the queue is full.";
    OrdersIssued = "orders_issued", count, "Orders issued by the recovery manager or an operator.";
    ControlAsked = "control_asked", count, "Questions of clients.";
    TxRefused = "tx_refused", count, "Datagrams that the network refused: unreachable, forbidden or too long.";
    StreamCopiedOut = "stream_copied_out", count, "Bytes of streams copied into datagrams, repairs included.";
    StreamCopiedIn = "stream_copied_in", count, "Bytes of streams gathered because a message straddled datagrams or came before its turn.";
    StreamLaggards = "stream_laggards", count, "Receivers that a stream to many no longer waited for.";
    Returned = "returned", count, "Own datagrams that came back because nobody listens where they went.";
    DropReturned = "drop_bad_return", count, "Datagrams said to come back that this life never sealed.";
    StreamMissed = "stream_missed_bytes", count, "Bytes of streams that came too late to be repaired and were given up.";
    DropBrief = "drop_unknown_life", count, "Datagrams with the short header of a life that is not known here.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_indexes_match_the_table() {
        for (index, counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(*counter as usize, index);
            let same = Counter::ALL.iter().filter(|other| other.name() == counter.name());
            assert_eq!(same.count(), 1, "{}", counter.name());
        }
    }
}
