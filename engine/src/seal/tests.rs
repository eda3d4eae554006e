use super::*;
use syncom_seam::{Time, WallTime};

const BODY: &[u8] = b"a frame or two";
const CLOCK: u64 = 1_800_000_000 * SECOND;

fn now() -> Now {
    later(0)
}

fn later(ns: u64) -> Now {
    Now { at: Time(SECOND + ns), wall: WallTime(CLOCK + ns) }
}

fn keys() -> ClusterKeys {
    ClusterKeys::new("lab", &[7; 32], 1)
}

fn sealer(peer: PeerId, boot: u64) -> Sealer {
    Sealer::new(keys(), peer, Boot(CLOCK + boot), 0, 4).unwrap()
}

/// As [`sender`], of another cluster or with another key.
fn stranger(cluster: &str, secret: u8, epoch: u16) -> Sealer {
    let keys = ClusterKeys::new(cluster, &[secret; 32], epoch);
    Sealer::new(keys, PeerId::satellite(1), Boot(CLOCK), 0, 4).unwrap()
}

/// One that seals nothing.
fn off(number: u16) -> Sealer {
    Sealer::off(keys(), PeerId::satellite(number), Boot(CLOCK), 0, 4)
}

/// Sealing long bodies widely, whatever this CPU is quick at.
fn sender() -> Sealer {
    Sealer { is_wide: true, ..sealer(PeerId::satellite(1), 0) }
}

fn receiver() -> Sealer {
    sealer(PeerId::satellite(2), 0)
}

fn sealed(by: &mut Sealer, to: Option<PeerId>) -> Vec<u8> {
    let mut slot = vec![0; Header::OVERHEAD + BODY.len() + 9];
    slot[Header::SIZE..Header::SIZE + BODY.len()].copy_from_slice(BODY);
    let len = by.seal(&mut slot, BODY.len(), to).unwrap();
    slot.truncate(len);
    slot
}

fn open(by: &mut Sealer, datagram: &[u8]) -> Result<Vec<u8>, Counter> {
    open_at(by, datagram, now())
}

fn open_at(by: &mut Sealer, datagram: &[u8], now: Now) -> Result<Vec<u8>, Counter> {
    by.open(&mut datagram.to_vec(), now).map(|opened| opened.body.to_vec())
}

fn flipped(datagram: &[u8], bit: usize) -> Vec<u8> {
    let mut bent = datagram.to_vec();
    bent[bit / 8] ^= 1 << (bit % 8);
    bent
}

/// That a datagram opens once, to this body, and before that with none of these bits flipped.
fn opens_unchanged_only(
    to: &mut Sealer,
    datagram: &[u8],
    body: &[u8],
    bits: impl Iterator<Item = usize>,
) {
    for bit in bits {
        assert!(open(to, &flipped(datagram, bit)).is_err(), "bit {bit}");
    }
    assert_eq!(open(to, datagram).as_deref(), Ok(body));
    assert_eq!(open(to, datagram), Err(Counter::DropReplay));
}

/// That a datagram is known as the sealer's own, whole and unchanged, as often as it comes.
fn is_known_as_own(by: &Sealer, datagram: &[u8], is_brief: bool) {
    for at in 0..datagram.len() {
        assert!(by.open_own(&mut flipped(datagram, at * 8)).is_none(), "byte {at}");
        assert!(by.open_own(&mut datagram.to_vec()[..at]).is_none(), "cut at {at}");
    }
    for _ in 0..2 {
        let mut datagram = datagram.to_vec();
        let own = by.open_own(&mut datagram).map(|own| (own.is_brief, own.body));
        assert_eq!(own, Some((is_brief, BODY)));
    }
}

#[test]
fn what_is_sealed_opens_and_cannot_be_read_on_the_way() {
    let (mut from, mut to) = (sender(), receiver());
    let mut datagram = sealed(&mut from, Some(to.peer()));
    assert!(!datagram.windows(BODY.len()).any(|window| window == BODY));
    let opened = to.open(&mut datagram, now()).unwrap();
    assert_eq!((opened.peer, opened.boot), (from.peer(), Boot(CLOCK)));
    assert_eq!((opened.body, opened.first), (BODY, true));
    let mut datagram = sealed(&mut from, None);
    assert!(!to.open(&mut datagram, now()).unwrap().first);
}

#[test]
fn every_flipped_bit_is_refused_and_leaves_no_trace() {
    let (mut from, mut to) = (sender(), receiver());
    let datagram = sealed(&mut from, None);
    opens_unchanged_only(&mut to, &datagram, BODY, 0..datagram.len() * 8);
}

#[test]
fn each_kind_of_stranger_is_counted_by_its_reason() {
    let mut to = receiver();
    let mut by = |mut from: Sealer| open(&mut to, &sealed(&mut from, None));
    assert_eq!(by(stranger("prod", 7, 1)), Err(Counter::DropForeign));
    assert_eq!(by(stranger("lab", 7, 2)), Err(Counter::DropEpoch));
    assert_eq!(by(stranger("lab", 8, 1)), Err(Counter::DropTag));
    let datagram = sealed(&mut sender(), None);
    assert_eq!(open(&mut to, &datagram[..47]), Err(Counter::DropShort));
    let mut other_version = datagram.clone();
    other_version[0] = 2;
    assert_eq!(open(&mut to, &other_version), Err(Counter::DropVersion));
    let mut high_shard = datagram;
    high_shard[11] = 1;
    assert_eq!(open(&mut to, &high_shard), Err(Counter::DropSender));
}

#[test]
fn a_datagram_for_another_is_refused() {
    let (mut from, mut to) = (sender(), receiver());
    let datagram = sealed(&mut from, Some(PeerId::satellite(3)));
    assert_eq!(open(&mut to, &datagram), Err(Counter::DropTag));
}

#[test]
fn what_we_sent_ourselves_is_refused() {
    let mut from = sender();
    let datagram = sealed(&mut from, None);
    assert_eq!(open(&mut from, &datagram), Err(Counter::DropReplay));
}

#[test]
fn a_datagram_opens_once_in_any_order_within_the_window() {
    let (mut from, mut to) = (sender(), receiver());
    let all: Vec<_> = (0..500).map(|_| sealed(&mut from, None)).collect();
    assert!(open(&mut to, &all[0]).is_ok());
    for datagram in all[200..].iter().rev() {
        assert!(open(&mut to, datagram).is_ok());
    }
    assert!(open(&mut to, &all[150]).is_ok(), "350 behind is late, not old");
    for datagram in [&all[0], &all[150], &all[300], &all[100]] {
        assert_eq!(open(&mut to, datagram), Err(Counter::DropReplay));
    }
}

#[test]
fn whoever_listens_late_is_not_told_the_past() {
    let (mut from, mut to) = (sender(), receiver());
    let old = sealed(&mut from, None);
    let new = sealed(&mut from, None);
    assert!(open(&mut to, &new).is_ok());
    assert_eq!(open(&mut to, &old), Err(Counter::DropReplay));
}

#[test]
fn a_new_life_ends_the_old_one_on_every_shard() {
    let peer = PeerId::satellite(1);
    let mut to = receiver();
    let mut old = sender();
    assert!(open(&mut to, &sealed(&mut old, None)).is_ok());
    let mut old_other_shard = Sealer::new(keys(), peer, Boot(CLOCK), 3, 4).unwrap();
    assert!(open(&mut to, &sealed(&mut old_other_shard, None)).is_ok());
    let mut new = sealer(peer, 5);
    assert!(open(&mut to, &sealed(&mut new, None)).is_ok());
    assert_eq!(open(&mut to, &sealed(&mut old, None)), Err(Counter::DropStale));
    assert_eq!(open(&mut to, &sealed(&mut old_other_shard, None)), Err(Counter::DropStale));
    assert!(open(&mut to, &sealed(&mut new, None)).is_ok());
}

#[test]
fn a_boot_far_in_the_future_is_not_fresh() {
    let mut from = sealer(PeerId::satellite(1), Sealer::BOOT_AHEAD_MAX_NS + 1);
    assert_eq!(open(&mut receiver(), &sealed(&mut from, None)), Err(Counter::DropNotFresh));
}

#[test]
fn a_full_table_gives_the_place_of_a_quiet_client_first() {
    let mut to = receiver();
    let mut members: Vec<_> = (10..13).map(|n| sealer(PeerId::satellite(n), 0)).collect();
    for member in &mut members {
        assert!(open(&mut to, &sealed(member, None)).is_ok());
    }
    let mut client = sealer(PeerId::client(1), 0);
    assert!(open_at(&mut to, &sealed(&mut client, None), later(SECOND)).is_ok());
    let mut next = sealer(PeerId::client(2), 0);
    let refused = open_at(&mut to, &sealed(&mut next, None), later(2 * SECOND));
    assert_eq!(refused, Err(Counter::DropSender), "nobody is quiet yet");
    assert!(open_at(&mut to, &sealed(&mut next, None), later(12 * SECOND)).is_ok());
    for member in &mut members {
        let mut datagram = sealed(member, None);
        assert!(!to.open(&mut datagram, now()).unwrap().first, "members kept their places");
    }
}

#[test]
fn the_name_changes_without_repeating_a_nonce() {
    let (mut from, mut to) = (sealer(PeerId::client(9), 0), receiver());
    let names = [PeerId::client(9), PeerId::agent(syncom_wire::Slot(4)), PeerId::client(9)];
    let mut counters = Vec::new();
    for name in names {
        from.identify(name);
        let datagram = sealed(&mut from, None);
        counters.push(Header::parse(&datagram).unwrap().counter);
        assert_eq!(to.open(&mut datagram.clone(), now()).unwrap().peer, name);
    }
    assert_eq!(counters, [1, 2, 3]);
}

#[test]
fn sealing_ends_before_a_counter_could_repeat() {
    let mut from = sender();
    from.counter = Sealer::COUNTER_MAX;
    let refused = from.seal(&mut [0; 100], 4, None);
    assert_eq!(refused, Err(SealError::Exhausted));
}

#[test]
fn sealed_and_unsealed_members_do_not_hear_each_other() {
    let clear = sealed(&mut off(1), None);
    assert!(clear.windows(BODY.len()).any(|window| window == BODY));
    assert_eq!(open(&mut off(2), &clear).as_deref(), Ok(BODY));
    assert_eq!(open(&mut receiver(), &clear), Err(Counter::DropTag));
    assert_eq!(open(&mut off(2), &sealed(&mut sender(), None)), Err(Counter::DropTag));
}

fn body_of(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// A datagram of `body`, given in two parts that meet at `cut`.
fn sealed_parts(by: &mut Sealer, body: &[u8], cut: usize) -> Vec<u8> {
    let mut slot = vec![0xee; body.len() + Header::OVERHEAD + 9];
    let (front, rest) = body.split_at(cut);
    let len = by.seal_parts(&mut slot, [front, rest], None).unwrap();
    slot.truncate(len);
    slot
}

#[test]
fn parts_open_as_one_body_and_long_ones_are_wide() {
    let (mut from, mut to) = (sender(), receiver());
    let (wide, pass) = (Sealer::WIDE_MIN, Sealer::PASS_MIN);
    for len in [44, wide - 1, wide, wide + 1, pass - 1, pass, pass + 1, 65_424] {
        let body = body_of(len);
        let datagram = sealed_parts(&mut from, &body, 44);
        assert_eq!(datagram.len(), len + Header::OVERHEAD);
        let is_wide = datagram[1] & Header::WIDE != 0;
        assert_eq!(is_wide, len >= wide, "{len} B");
        assert_eq!(open(&mut to, &datagram), Ok(body), "{len} B");
    }
}

#[test]
fn a_cpu_that_is_slow_at_wide_seals_makes_none_and_opens_them() {
    let mut slow = Sealer { is_wide: false, ..receiver() };
    let body = body_of(Sealer::PASS_MIN);
    assert_eq!(sealed_parts(&mut slow, &body, 44)[1] & Header::WIDE, 0);
    assert_eq!(open(&mut slow, &sealed_parts(&mut sender(), &body, 44)), Ok(body));
}

#[test]
fn sealing_on_the_way_yields_the_same_bytes_as_copying_first() {
    let key = keys().session(PeerId::satellite(1), Boot(CLOCK));
    let header = sender().header(Cipher::Wide, None).unwrap();
    for (len, cut) in [(0, 0), (300, 0), (1_000, 44), (70_000, 44), (4_096, 129), (513, 513)] {
        let (image, body) = ([7; Header::SIZE], body_of(len));
        let (mut near, mut far) = (body.clone(), vec![0; len]);
        let tag = Cipher::Wide.seal(&key, &header, &image, PeerId::ANY, &mut near);
        let parts = body.split_at(cut).into();
        let other = cipher::seal_across(&key, &header, &image, PeerId::ANY, parts, &mut far);
        assert!(near == far && tag == other, "{len} B cut at {cut}");
    }
}

#[test]
fn a_wide_datagram_is_proof_against_every_kind_of_change() {
    let (mut from, mut to) = (sender(), receiver());
    let body = body_of(Sealer::WIDE_MIN);
    let datagram = sealed_parts(&mut from, &body, 44);
    let bits = (0..Header::OVERHEAD * 8).chain((0..datagram.len()).map(|at| at * 8 + at % 8));
    assert_eq!(open(&mut to, &datagram[..datagram.len() - 1]), Err(Counter::DropTag));
    opens_unchanged_only(&mut to, &datagram, &body, bits);
}

#[test]
fn a_datagram_that_names_the_other_cipher_is_refused() {
    let (mut from, mut to) = (sender(), receiver());
    let long = body_of(2 * Sealer::WIDE_MIN);
    let mut slot = vec![0; long.len() + Header::OVERHEAD];
    slot[Header::SIZE..][..long.len()].copy_from_slice(&long);
    let len = from.seal(&mut slot, long.len(), None).unwrap();
    for mut datagram in [slot[..len].to_vec(), sealed_parts(&mut from, &long, 44)] {
        datagram[1] ^= Header::WIDE;
        assert_eq!(open(&mut to, &datagram), Err(Counter::DropTag));
        datagram[1] ^= Header::WIDE;
        assert_eq!(open(&mut to, &datagram).as_deref(), Ok(&long[..]));
    }
}

#[test]
fn where_nothing_is_sealed_nothing_is_wide() {
    let body = body_of(Sealer::PASS_MIN);
    let mut datagram = sealed_parts(&mut off(1), &body, 44);
    assert_eq!(open(&mut off(2), &datagram), Ok(body));
    datagram[1] |= Header::WIDE;
    assert_eq!(open(&mut off(2), &datagram), Err(Counter::DropTag));
}

/// The bytes on the wire never change by accident: header and tag of one datagram of each cipher.
#[test]
fn the_seals_of_known_datagrams_are_as_recorded() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut from = sender();
    let narrow = sealed_parts(&mut from, &body_of(100), 44);
    let wide = sealed_parts(&mut from, &body_of(Sealer::WIDE_MIN), 44);
    let across = sealed_parts(&mut from, &body_of(Sealer::PASS_MIN), 44);
    let seals = [narrow, wide, across].map(|datagram| {
        let (front, tag) = datagram.split_at(datagram.len() - Header::TAG);
        format!("{} {}", hex(&front[..Header::SIZE]), hex(tag))
    });
    let recorded = [
        "010100006b180fa4010000000100feff0000b49376e2fa180100000000000000 \
         3b703e48550be4720d2af3af9726b207",
        "010300006b180fa4010000000100feff0000b49376e2fa180200000000000000 \
         acb35de0d65d1f800fd013aaa2707c76",
        "010300006b180fa4010000000100feff0000b49376e2fa180300000000000000 \
         487b13dfc68482256641a11a705b43d3",
    ];
    assert_eq!(seals, recorded);
}

#[test]
fn what_comes_back_is_known_by_its_own_seal() {
    let mut from = sender();
    let own = sealed(&mut from, None);
    is_known_as_own(&from, &own, false);
    let others = sealed(&mut receiver(), None);
    assert!(from.open_own(&mut others.clone()).is_none());
    let mut earlier = sealer(PeerId::satellite(1), 0);
    let ahead = (0..3).map(|_| sealed(&mut earlier, None)).last().unwrap();
    assert!(from.open_own(&mut ahead.clone()).is_none(), "not sent yet");
    let mut earlier = sealer(PeerId::satellite(1), 1);
    let of_another_life = sealed(&mut earlier, None);
    assert!(from.open_own(&mut of_another_life.clone()).is_none());
}

/// A datagram with the short header.
fn brief(by: &mut Sealer) -> Vec<u8> {
    let mut slot = vec![0; Brief::OVERHEAD + BODY.len() + 9];
    slot[Brief::SIZE..Brief::SIZE + BODY.len()].copy_from_slice(BODY);
    let len = by.seal_brief(&mut slot, BODY.len()).unwrap();
    assert_eq!(len, Brief::OVERHEAD + BODY.len());
    slot.truncate(len);
    slot
}

#[test]
fn the_short_header_opens_where_the_life_is_known_and_nowhere_else() {
    let (mut from, mut to) = (sender(), receiver());
    let mut early = brief(&mut from);
    assert_eq!(open(&mut to, &early), Err(Counter::DropBrief));
    assert!(open(&mut to, &sealed(&mut from, None)).is_ok());
    let datagram = brief(&mut from);
    assert!(!datagram.windows(BODY.len()).any(|window| window == BODY));
    let opened = to.open(&mut datagram.clone(), now()).map(|opened| {
        (opened.peer, opened.boot, opened.first, opened.is_brief, opened.body.to_vec())
    });
    assert_eq!(opened, Ok((from.peer(), Boot(CLOCK), false, true, BODY.to_vec())));
    assert_eq!(open(&mut to, &datagram), Err(Counter::DropReplay), "it opens once");
    assert!(open(&mut to, &early).is_err(), "from before it was known");
    early.truncate(31);
    assert_eq!(open(&mut to, &early), Err(Counter::DropShort));
    // Another life is not known because this one is; an earlier one never again.
    let mut later = sealer(from.peer(), 1);
    let of_later = brief(&mut later);
    assert_eq!(open(&mut to, &of_later), Err(Counter::DropBrief));
    assert!(open(&mut to, &sealed(&mut later, None)).is_ok());
    assert!(open(&mut to, &of_later).is_err(), "from before it was known");
    assert!(open(&mut to, &brief(&mut later)).is_ok());
    assert_eq!(open(&mut to, &brief(&mut from)), Err(Counter::DropBrief));
}

#[test]
fn every_flipped_bit_under_the_short_header_is_refused_too() {
    let (mut from, mut to) = (sender(), receiver());
    assert!(open(&mut to, &sealed(&mut from, None)).is_ok());
    let datagram = brief(&mut from);
    opens_unchanged_only(&mut to, &datagram, BODY, 0..datagram.len() * 8);
}

#[test]
fn strangers_with_the_short_header_are_counted_by_their_reason() {
    let mut to = receiver();
    assert!(open(&mut to, &sealed(&mut sender(), None)).is_ok());
    let mut by = |from| open(&mut to, &brief(&mut Sealer { counter: 9, ..from }));
    assert_eq!(by(stranger("prod", 7, 1)), Err(Counter::DropForeign));
    assert_eq!(by(stranger("lab", 7, 2)), Err(Counter::DropBrief));
    assert_eq!(by(stranger("lab", 8, 1)), Err(Counter::DropTag));
    let mut from = sender();
    let datagram = brief(&mut from);
    assert_eq!(open(&mut from, &datagram), Err(Counter::DropReplay), "what we sent ourselves");
    let mut high_shard = datagram;
    high_shard[1] = 16;
    assert_eq!(open(&mut to, &high_shard), Err(Counter::DropSender));
}

#[test]
fn both_headers_share_one_counter_and_its_high_half_is_remembered() {
    let (mut from, mut to) = (sender(), receiver());
    from.counter = (1 << 33) - 3;
    assert!(open(&mut to, &sealed(&mut from, None)).is_ok());
    // The low half begins anew in between, and what comes late is of the half before.
    let all: Vec<_> = (0..8).map(|_| brief(&mut from)).collect();
    for datagram in all.iter().rev() {
        assert!(open(&mut to, datagram).is_ok());
        assert_eq!(open(&mut to, datagram), Err(Counter::DropReplay));
    }
    assert!(open(&mut to, &sealed(&mut from, None)).is_ok());
}

#[test]
fn what_came_back_under_the_short_header_is_known_as_our_own() {
    let mut from = sender();
    let own = brief(&mut from);
    is_known_as_own(&from, &own, true);
    let mut another_life = sealer(from.peer(), 1);
    another_life.counter = from.counter;
    assert!(another_life.open_own(&mut own.clone()).is_none());
}
