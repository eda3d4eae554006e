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

fn sender() -> Sealer {
    sealer(PeerId::satellite(1), 0)
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
    for bit in 0..datagram.len() * 8 {
        let mut bent = datagram.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&mut to, &bent).is_err(), "bit {bit}");
    }
    assert_eq!(open(&mut to, &datagram).as_deref(), Ok(BODY));
}

#[test]
fn each_kind_of_stranger_is_counted_by_its_reason() {
    let mut to = receiver();
    let boot = Boot(CLOCK);
    let mut by = |keys: ClusterKeys| {
        let mut from = Sealer::new(keys, PeerId::satellite(1), boot, 0, 4).unwrap();
        open(&mut to, &sealed(&mut from, None))
    };
    assert_eq!(by(ClusterKeys::new("prod", &[7; 32], 1)), Err(Counter::DropForeign));
    assert_eq!(by(ClusterKeys::new("lab", &[7; 32], 2)), Err(Counter::DropEpoch));
    assert_eq!(by(ClusterKeys::new("lab", &[8; 32], 1)), Err(Counter::DropTag));
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
    let off = |n| Sealer::off(keys(), PeerId::satellite(n), Boot(CLOCK), 0, 4);
    let clear = sealed(&mut off(1), None);
    assert!(clear.windows(BODY.len()).any(|window| window == BODY));
    assert_eq!(open(&mut off(2), &clear).as_deref(), Ok(BODY));
    assert_eq!(open(&mut receiver(), &clear), Err(Counter::DropTag));
    assert_eq!(open(&mut off(2), &sealed(&mut sender(), None)), Err(Counter::DropTag));
}
