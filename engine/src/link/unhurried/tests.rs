use super::*;
use crate::clock;

const WHICH: Unhurried = Unhurried { lens: [100, 48], sender_at: 12, below: 0x80 };
const LOOPBACK: Addr = Addr::v4([127, 0, 0, 1], 0);

/// A datagram of `len` bytes from the sender with this number.
fn send(from: &mut MmsgLink, to: Addr, len: usize, sender: u32) {
    let slot = from.tx_claim(to, len).unwrap();
    slot.fill(0);
    if let Some(place) = slot.get_mut(12..16) {
        place.copy_from_slice(&sender.to_le_bytes());
    }
    from.tx_commit(len);
    assert_eq!(from.tx_flush().unwrap(), 1);
}

/// Whether whoever waits on the link is woken within a moment.
fn wakes(link: &UnhurriedLink, timeout_ms: i32) -> bool {
    let fd = link.source().unwrap();
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: the pointer is to one live `pollfd`, as the count says.
    (unsafe { libc::poll(&raw mut poll, 1, timeout_ms) }) == 1
}

fn receive(link: &mut UnhurriedLink, count: usize) -> Vec<usize> {
    let (mut burst, mut lengths) = (RxBurst::new(8), Vec::new());
    let deadline = clock::patience();
    while lengths.len() < count {
        assert!(clock::now() < deadline, "{lengths:?}");
        link.rx_burst(&mut burst).unwrap();
        lengths.extend((0..burst.len()).map(|at| burst.datagram(at).unwrap().bytes.len()));
    }
    lengths
}

#[test]
fn what_can_wait_wakes_nobody_and_is_heard_with_what_cannot() {
    let mut link = UnhurriedLink::open(LOOPBACK, &Options::SMALL, WHICH).unwrap();
    let mut other = MmsgLink::open(LOOPBACK, &Options::SMALL).unwrap();
    let to = link.local_addr();
    for (len, sender) in [(100, 0), (48, 7), (100, 0x7fff_ffff)] {
        send(&mut other, to, len, sender);
    }
    assert!(!wakes(&link, 20));
    // Another length, another kind of sender, too short to have a sender: each wakes.
    let others =
        [(101, 7), (99, 7), (49, 7), (100, 0x8000_0000), (48, 0x8000_0000), (100, !0), (10, 0)];
    for (len, sender) in others {
        send(&mut other, to, len, sender);
        assert!(wakes(&link, 10_000), "{len} from {sender}");
        let want = if len == 101 { 4 } else { 1 };
        assert!(receive(&mut link, want).contains(&len));
    }
    assert!(!wakes(&link, 0));
    send(&mut other, to, 100, 7);
    assert_eq!(receive(&mut link, 1), [100], "asked for, it is there");
}

#[test]
fn the_port_is_refused_while_somebody_has_it() {
    let link = UnhurriedLink::open(LOOPBACK, &Options::SMALL, WHICH).unwrap();
    let again = UnhurriedLink::open(link.local_addr(), &Options::SMALL, WHICH).unwrap_err();
    assert!(matches!(again, OpenError::InUse(_)), "{again}");
    let plain = MmsgLink::open(link.local_addr(), &Options::SMALL).unwrap_err();
    assert!(matches!(plain, OpenError::InUse(_)), "{plain}");
}
