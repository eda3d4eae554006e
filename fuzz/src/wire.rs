//! Parsers of what two members agree on.

use syncom_wire::{
    Boot, Brief, Emit, Fixed as _, Frame, FrameHeader, Frames, Header, Overflow, Slot, frame,
    idset::IdSet, limits::NODES_MAX,
};

/// The clear header of a datagram, whole or short: what is accepted is written back as it was.
pub fn header(data: &[u8]) {
    brief(data);
    if let Ok(header) = Header::parse(data) {
        let mut image = [0; Header::SIZE];
        assert_eq!(header.write(&mut image), Ok(()));
        assert_eq!(image, data[..Header::SIZE]);
    }
}

/// The short header, and the one frame behind it: what is accepted is written back as it was.
fn brief(data: &[u8]) {
    let Ok(header) = Brief::parse(data) else { return };
    let mut image = [0; Brief::SIZE];
    assert_eq!(header.write(&mut image), Ok(()));
    assert_eq!(image, data[..Brief::SIZE]);
    let whole = header.whole(Boot(0), 0, u64::from(header.counter));
    assert_eq!(Brief::of(&whole).map(|again| again.counter), Some(header.counter));
    let mut frames = Frames::brief(&data[Brief::SIZE..data.len() - Header::TAG]);
    if let Some(Ok(frame)) = frames.next() {
        assert!(matches!(frame, Frame::Beat(_)), "{frame:?}");
    }
    assert_eq!(frames.next(), None);
}

/// Frames of an opened datagram: what is accepted is written back with the same body, and what is
/// written is read as the same frame.
pub fn frames(data: &[u8]) {
    let mut rest = data;
    for frame in Frames::new(data) {
        let Ok(frame) = frame else { return };
        let Ok((head, body)) = FrameHeader::split(rest) else {
            panic!("a frame without header or body: {frame:?}");
        };
        rest = &rest[FrameHeader::SIZE + body.len()..];
        walk(&frame);
        if let Some(written) = written(&frame) {
            assert_eq!(Frames::new(&written).collect::<Vec<_>>(), [Ok(frame)]);
            if head.version == written[1] {
                assert_eq!(&written[FrameHeader::SIZE..], body, "{frame:?}");
            }
        }
    }
    assert!(rest.is_empty(), "{} bytes that belong to no frame", rest.len());
}

/// Walks what a frame holds nested.
fn walk(frame: &Frame<'_>) {
    match frame {
        Frame::Batch(batch) => assert!(batch.iter().count() <= batch.items.len()),
        Frame::ViewDelta(delta) => assert!(delta.iter().count() <= delta.members.len()),
        Frame::Shard(shard) => slots(shard.to),
        Frame::Submit(submit) => slots(submit.to),
        Frame::Outcome(outcome) => slots(outcome.nodes),
        Frame::Drain(drain) => slots(drain.nodes),
        Frame::Policy(policy) => {
            assert_eq!(policy.thresholds().count(), usize::from(policy.head.thresholds));
            assert_eq!(policy.rules().count(), usize::from(policy.head.rules));
        }
        Frame::Rule(rule) => assert_eq!(rule.steps().count(), usize::from(rule.head.steps)),
        _ => {}
    }
}

fn slots(set: IdSet<'_>) {
    assert!(set.iter().all(|slot| (slot.0 as usize) < NODES_MAX));
}

macro_rules! write_any {
    ($frame:expr, $($kind:ident)*) => {
        match $frame {
            $( Frame::$kind(inner) => Some(write(inner)), )*
            Frame::Unknown(_) => None,
        }
    };
}

/// The bytes of a frame; `None` when this version does not know its kind.
fn written(frame: &Frame<'_>) -> Option<Vec<u8>> {
    let result = write_any!(frame,
        Beat Heartbeat HomeAnswer Opinion Probe ProbeAnswer Report ReportAck Join Welcome JoinRefused RosterAsk
        Roster Neighbours Leave Order Receipt ReceiptAck StreamData StreamNak StreamStatus
        StreamReset Raft SnapshotAsk SnapshotChunk Batch BatchAck Record HomeStats ViewDelta Member
        Shard ShardProgress Outcome Attach Ask Reply Status OrderState NodeDetail Line Event
        Evidence Decision Submit CpVersion Policy Threshold Rule Step Drain
        ReplicaHello ReplicaWord Replace Watch Case);
    result.map(|bytes| bytes.unwrap_or_else(|_| panic!("cannot be written: {frame:?}")))
}

fn write<E: Emit>(inner: &E) -> Result<Vec<u8>, Overflow> {
    let mut out = vec![0; FrameHeader::SIZE + inner.size()];
    let len = frame::emit(inner, &mut out)?;
    assert_eq!(len, out.len(), "the announced size is not the written one");
    Ok(out)
}

/// Images of sets: the two forms tell the same slots, and every set survives being written.
pub fn idset(data: &[u8]) {
    let Ok(set) = IdSet::parse(data) else { return };
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for (from, to) in set.ranges() {
        assert!(from < to && to as usize <= NODES_MAX, "range {from}..{to}");
        match ranges.last_mut() {
            Some((_, end)) if *end == from => *end = to,
            last => {
                assert!(last.is_none_or(|(_, end)| *end < from), "ranges out of order");
                ranges.push((from, to));
            }
        }
    }
    let count: u32 = ranges.iter().map(|(from, to)| to - from).sum();
    assert_eq!((set.len(), set.is_empty()), (count as usize, count == 0));
    if let (Some((first, _)), Some((_, end))) = (ranges.first(), ranges.last()) {
        assert!(set.contains(Slot(*first)) && set.contains(Slot(end - 1)));
        assert!(!set.contains(Slot(*end)));
    }
    let mut image = vec![0; syncom_wire::limits::IDSET_MAX];
    let len = syncom_wire::idset::encode(ranges.iter().copied(), &mut image).unwrap_or_default();
    let again = IdSet::parse(&image[..len]).map(|set| set.ranges().collect());
    assert_eq!(again.as_ref(), Ok(&ranges));
}
