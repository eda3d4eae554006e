//! What happens to every datagram and frame, whatever is in them.

use super::{Done, Path};
use syncom_engine::link::mem::Hub;
use syncom_engine::link::{self, Kind, Link, Options, RxBurst};
use syncom_engine::queue;
use syncom_engine::seal::{ClusterKeys, Sealer};
use syncom_seam::{Now, SECOND, Time, WallTime};
use syncom_wire::heartbeat::Heartbeat;
use syncom_wire::ids::mix;
use syncom_wire::idset::{self, IdSet};
use syncom_wire::stream::{StreamData, StreamDataHead};
use syncom_wire::{
    Addr, Boot, Fixed as _, Frame, FrameHeader, Frames, Header, PeerId, Slot, frame,
};

const OPERATIONS: u64 = 1_000;
/// Datagrams of a burst.
const BURST: u64 = 32;
/// Wall clock, in ns since 1970: fixed, so that the same bytes come out.
const WALL_NS: u64 = 1_800_000_000 * SECOND;
const NOW: Now = Now { at: Time(SECOND), wall: WallTime(WALL_NS) };

pub(super) fn paths() -> Vec<Path> {
    let mut paths = vec![heartbeat_frame(), stream_frame()];
    paths.extend([64, 1360].into_iter().flat_map(sealing));
    paths.extend([idset_encode(), idset_contains(), spsc(), mpsc(), mem_link()]);
    paths
}

fn heartbeat_frame() -> Path {
    let mut buffer = [0; FrameHeader::SIZE + Heartbeat::SIZE];
    let beat = Heartbeat::read(&[0; Heartbeat::SIZE]);
    Path::repeated("frame: emit+parse heartbeat", OPERATIONS, move |number| {
        let Some(mut beat) = beat else { return 0 };
        (beat.seq, beat.interval_us) = (number, 200_000);
        let _ = frame::emit(&beat, &mut buffer);
        match Frames::new(&buffer).next() {
            Some(Ok(Frame::Heartbeat(beat))) => beat.seq,
            _ => 0,
        }
    })
}

fn stream_frame() -> Path {
    let (mut buffer, payload) = (vec![0; 1408], [7; 1300]);
    Path::repeated("frame: emit+parse stream data", OPERATIONS, move |number| {
        let head = StreamDataHead {
            lane: 1,
            first: 0,
            session: 7,
            position: number,
            oldest: 0,
            stamp_us: 1,
            pace: 1,
        };
        let written = frame::emit(&StreamData { head, payload: &payload }, &mut buffer);
        match Frames::new(&buffer[..written.unwrap_or(0)]).next() {
            Some(Ok(Frame::StreamData(data))) => data.head.position + data.payload.len() as u64,
            _ => 0,
        }
    })
}

fn sealer(number: u16) -> Option<Sealer> {
    let keys = ClusterKeys::new("bench", &[7; 32], ClusterKeys::FIRST_EPOCH);
    Sealer::new(keys, PeerId::satellite(number), Boot(WALL_NS), 0, 4).ok()
}

/// Sealing datagrams, and opening those that were sealed.
fn sealing(body_len: usize) -> Vec<Path> {
    let (Some(mut from), Some(mut to)) = (sealer(1), sealer(2)) else { return Vec::new() };
    let Some(mut far) = sealer(1) else { return Vec::new() };
    let is_short = body_len < 100;
    let receiver = to.peer();
    let mut slot = vec![0; Header::OVERHEAD + body_len];
    let seal = if is_short { "seal 64 B" } else { "seal 1360 B" };
    let seal = Path::repeated(seal, OPERATIONS, move |number| {
        slot[Header::SIZE..Header::SIZE + 8].copy_from_slice(&number.to_le_bytes());
        let sealed = from.seal(&mut slot, body_len, Some(receiver)).unwrap_or(0);
        slot[..sealed].last_chunk().map_or(0, |tag| u64::from_le_bytes(*tag))
    });
    // A datagram opens once, so there are as many as will be opened.
    let sealed = (0..2 * OPERATIONS).map(|number| {
        let mut slot = vec![0; Header::OVERHEAD + body_len];
        slot[Header::SIZE..Header::SIZE + 8].copy_from_slice(&number.to_le_bytes());
        let _ = far.seal(&mut slot, body_len, Some(receiver));
        slot
    });
    let mut sealed: Vec<_> = sealed.collect();
    let open = if is_short { "open 64 B" } else { "open 1360 B" };
    let open = Path::repeated(open, OPERATIONS, move |number| {
        let slot = usize::try_from(number).ok().and_then(|at| sealed.get_mut(at));
        let opened = slot.and_then(|slot| to.open(slot, NOW).ok());
        opened.and_then(|opened| opened.body.first_chunk().copied()).map_or(0, u64::from_le_bytes)
    });
    vec![seal, open]
}

/// Every third of a thousand slots, and a range.
fn slots() -> impl Iterator<Item = (u32, u32)> + Clone {
    (0..1_000).step_by(3).map(|slot| (slot, slot + 1)).chain([(2_000, 2_400)])
}

fn idset_encode() -> Path {
    let mut image = vec![0; 4096];
    Path::new("idset: encode 335 ranges", move || {
        let written = idset::encode(slots(), &mut image);
        let written = written.unwrap_or(0);
        let hash = image[..written].iter().fold(0, |hash, byte| mix(hash ^ u64::from(*byte)));
        Done { operations: 1, hash }
    })
}

fn idset_contains() -> Path {
    let mut image = vec![0; 4096];
    let written = idset::encode(slots(), &mut image).unwrap_or(0);
    image.truncate(written);
    Path::repeated("idset: contains", OPERATIONS, move |number| {
        let slot = Slot(u32::try_from(mix(number) % 2_500).unwrap_or(0));
        IdSet::parse(&image).map_or(0, |set| u64::from(set.contains(slot)))
    })
}

fn spsc() -> Path {
    let (mut producer, mut consumer) = queue::spsc::<[u64; 8]>(1024);
    Path::repeated("queue: spsc push+pop 64 B", OPERATIONS, move |number| {
        let _ = producer.push([number; 8]);
        consumer.pop().map_or(0, |item| item[7])
    })
}

fn mpsc() -> Path {
    let (mut producer, mut consumer) = queue::mpsc::<[u64; 8]>(1024);
    Path::repeated("queue: mpsc push+pop 64 B", OPERATIONS, move |number| {
        let _ = producer.push([number; 8]);
        consumer.pop().map_or(0, |item| item[7])
    })
}

/// Bursts of datagrams from one link to another: claim, commit, flush, receive, look at each.
fn mem_link() -> Path {
    let hub = Hub::new();
    let open = |last| {
        link::open(&Kind::Mem(hub.clone()), Addr::v4([10, 0, 0, last], 9), &Options::LARGE).ok()
    };
    let (mut near, mut far, mut burst) = (open(1), open(2), RxBurst::new(8));
    Path::new("link: mem, datagram there", move || {
        let (Some(near), Some(far)) = (&mut near, &mut far) else {
            return Done { operations: 1, hash: 0 };
        };
        let hash = moved(&mut **near, &mut **far, &mut burst);
        Done { operations: BURST, hash }
    })
}

fn moved(near: &mut dyn Link, far: &mut dyn Link, burst: &mut RxBurst) -> u64 {
    let to = far.local_addr();
    for number in 0..BURST {
        if let Some(slot) = near.tx_claim(to, 1408) {
            slot[..8].copy_from_slice(&number.to_le_bytes());
            near.tx_commit(1408);
        }
    }
    let sent = near.tx_flush().unwrap_or(0);
    let received = far.rx_burst(burst).unwrap_or(0);
    (0..received).fold(sent as u64, |hash, at| {
        let first = burst.datagram(at).and_then(|datagram| datagram.bytes.first().copied());
        mix(hash ^ u64::from(first.unwrap_or(255)))
    })
}
