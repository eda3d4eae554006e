//! Frames between members, and what is not a frame.

use super::*;
use crate::link::Link as _;
use crate::link::fault::{FaultLink, Faults};
use syncom_seam::Rng;
use syncom_wire::{Emit as _, FrameHeader, Header, Slot};

fn rally_over(kind: &link::Kind) {
    let mut host = host();
    let quiet = member(2, kind, Script::Rally { first_to: None, until: usize::MAX });
    let first_to = Some(quiet.link.local_addr());
    let eager = member(1, kind, Script::Rally { first_to, until: 100 });
    let counters = eager.counters.clone();
    host.add(eager).unwrap();
    host.add(quiet).unwrap();
    turn_until(&mut host, |host| toy(host, 0).count("frame") == 100);
    assert_eq!(toy(&host, 0).heard[0], "start");
    assert!(toy(&host, 0).heard.iter().any(|line| line == "frame 55 from satellite 2"));
    assert_eq!(counters.get(Counter::RxDatagrams), 100);
    assert_eq!(counters.get(Counter::TxFrames), 100);
    assert!(counters.get(Counter::RxBytes) > 100 * 48);
    assert!(counters.get(Counter::LoopMaxNs) > 0);
}

#[test]
fn two_members_exchange_frames_in_memory_and_over_the_loopback() {
    rally_over(&mem());
    rally_over(&link::Kind::Mmsg);
}

#[test]
fn a_beat_takes_48_bytes_and_is_heard_by_those_who_know_its_sender() {
    let (kind, mut host) = (mem(), host());
    let listener = member(2, &kind, Script::Listen);
    let speaker = member(1, &kind, Script::Live(listener.link.local_addr()));
    let (sent, heard) = (speaker.counters.clone(), listener.counters.clone());
    host.add(listener).unwrap();
    host.add(speaker).unwrap();
    turn_until(&mut host, |host| toy(host, 0).count("frame") == 2);
    let frames: Vec<_> =
        toy(&host, 0).heard.iter().filter(|line| line.starts_with("frame")).collect();
    assert_eq!(frames, ["frame 55 from satellite 1", "frame 17 from satellite 1"]);
    assert_eq!(heard.get(Counter::DropBrief), 1, "who is he?");
    let line = (Header::OVERHEAD + FrameHeader::SIZE + LINE.size()) as u64;
    assert_eq!((sent.get(Counter::TxDatagrams), sent.get(Counter::TxBytes)), (3, line + 2 * 48));
}

#[test]
fn delayed_datagrams_leave_when_due_and_their_doubles_are_refused() {
    let kind = mem();
    let slow = |number, script| {
        let faults = Faults { delay_ns: 2_000_000, duplicate_ppm: 1_000_000, ..Faults::default() };
        let Member { role, link, sealer, counters, store } = member(number, &kind, script);
        let link = Box::new(FaultLink::new(link, faults, 1, &link::Options::SMALL));
        Member { role, link, sealer, counters, store }
    };
    let mut host = host();
    let quiet = slow(2, Script::Rally { first_to: None, until: usize::MAX });
    let first_to = Some(quiet.link.local_addr());
    let eager = slow(1, Script::Rally { first_to, until: 10 });
    let counters = eager.counters.clone();
    host.add(eager).unwrap();
    host.add(quiet).unwrap();
    turn_until(&mut host, |_| counters.get(Counter::DropReplay) == 10);
    assert_eq!(toy(&host, 0).count("frame"), 10);
}

#[test]
fn two_hosts_exchange_frames_across_threads_and_stop_when_told() {
    let (mut one, mut two) = (host(), host());
    let quiet = member(2, &link::Kind::Mmsg, Script::Rally { first_to: None, until: usize::MAX });
    let to = quiet.link.local_addr();
    two.add(quiet).unwrap();
    two.wait_by(crate::idle::Strategy::BACK_OFF).unwrap();
    let first_to = Some(to);
    one.add(member(1, &link::Kind::Mmsg, Script::Rally { first_to, until: 50 })).unwrap();
    let handle = two.handle();
    let thread = std::thread::spawn(move || two.run().map(|()| two));
    turn_until(&mut one, |host| toy(host, 0).count("frame") == 50);
    handle.stop();
    let two = thread.join().unwrap().unwrap();
    assert!(toy(&two, 0).count("frame") >= 50);
}

#[test]
fn a_host_that_never_parks_hears_links_and_children_and_may_park_again() {
    for parks_at_last in [false, true] {
        let mut host = host();
        let quiet =
            member(2, &link::Kind::Mmsg, Script::Rally { first_to: None, until: usize::MAX });
        let first_to = Some(quiet.link.local_addr());
        host.add(quiet).unwrap();
        host.wait_by(crate::idle::Strategy::SPIN).unwrap();
        let eager = member(1, &link::Kind::Mmsg, Script::Rally { first_to, until: 20 });
        host.add(eager).unwrap();
        if parks_at_last {
            turn_until(&mut host, |host| toy(host, 1).count("frame") > 0);
            host.wait_by(crate::idle::Strategy::PARK).unwrap();
        }
        turn_until(&mut host, |host| toy(host, 1).count("frame") == 20);
    }
}

#[test]
fn one_frame_to_many_reaches_all_of_them_although_the_queue_is_short() {
    let kind = link::Kind::Mmsg;
    let mut host = host();
    let listeners: Vec<_> = (10..15).map(|n| member(n, &kind, Script::Listen)).collect();
    let mut to: Vec<_> = listeners.iter().map(|member| member.link.local_addr()).collect();
    // More destinations than a small link can queue: it is flushed and goes on.
    to = to.iter().copied().cycle().take(200).collect();
    for listener in listeners {
        host.add(listener).unwrap();
    }
    host.add(member(1, &kind, Script::Shout(to))).unwrap();
    // The same sealed bytes: each listener takes them once more only after a new seal.
    turn_until(&mut host, |host| (0..5).all(|n| toy(host, n).count("frame") >= 1));
}

#[test]
fn a_member_with_a_new_name_is_heard_under_both() {
    let kind = mem();
    let mut host = host();
    let listener = member(2, &kind, Script::Listen);
    let to = listener.link.local_addr();
    host.add(listener).unwrap();
    host.add(member(1, &kind, Script::Identify(PeerId::agent(Slot(7)), to))).unwrap();
    turn_until(&mut host, |host| toy(host, 0).count("frame") == 2);
    let heard = &toy(&host, 0).heard;
    assert!(heard.contains(&"frame 55 from satellite 1".into()));
    assert!(heard.contains(&"frame 55 from slot 7".into()));
}

#[test]
fn ten_thousand_datagrams_of_garbage_move_counters_and_nothing_else() {
    let hub = Hub::new();
    let kind = link::Kind::Mem(hub.clone());
    let mut host = host();
    let target = member(2, &kind, Script::Listen);
    let (to, counters) = (target.link.local_addr(), target.counters.clone());
    host.add(target).unwrap();
    let mut attacker = link::open(&kind, local(), &link::Options::LARGE).unwrap();
    let mut genuine = vec![0; 300];
    let len = sealer(PeerId::satellite(1)).seal(&mut genuine, 100, None).unwrap();
    genuine.truncate(len);
    let mut rng = Rng::new(1);
    let mut answer = link::RxBurst::new(4);
    for _ in 0..100 {
        for _ in 0..100 {
            let datagram = garbage(&mut rng, &genuine);
            attacker.tx_claim(to, datagram.len()).unwrap().copy_from_slice(&datagram);
            attacker.tx_commit(datagram.len());
        }
        attacker.tx_flush().unwrap();
        host.turn(Duration::ZERO).unwrap();
        assert_eq!(attacker.rx_burst(&mut answer).unwrap(), 0, "no answer to strangers");
    }
    turn_until(&mut host, |_| drops(&counters) == 10_000);
    assert_eq!(counters.get(Counter::RxDatagrams), 0);
    assert!(toy(&host, 0).heard.iter().all(|line| line == "start" || line == "end"));
}

/// Random bytes, or a genuine datagram cut short or with one bit bent.
fn garbage(rng: &mut Rng, genuine: &[u8]) -> Vec<u8> {
    let below = |rng: &mut Rng, bound: usize| usize::try_from(rng.below(bound as u64)).unwrap();
    if rng.chance(1, 2) {
        let len = below(rng, 200);
        return (0..len).map(|_| rng.next_u64().to_le_bytes()[0]).collect();
    }
    let mut bent = genuine.to_vec();
    if rng.chance(1, 4) {
        bent.truncate(below(rng, genuine.len()));
    } else {
        let bit = below(rng, genuine.len() * 8);
        bent[bit / 8] ^= 1 << (bit % 8);
    }
    bent
}

fn drops(counters: &Counters) -> u64 {
    let is_drop = |(counter, _): &(Counter, u64)| counter.name().starts_with("drop_");
    counters.iter().filter(is_drop).map(|(_, value)| value).sum()
}

#[test]
fn what_arrived_while_a_thread_stood_still_is_heard_before_timers_expire() {
    let mut host = host();
    let listener = member(1, &link::Kind::Mmsg, Script::Arm(vec![(1, 1_000_000)]));
    let to = listener.link.local_addr();
    host.add(listener).unwrap();
    host.turn(Duration::ZERO).unwrap();
    assert_eq!(toy(&host, 0).count("start"), 1);
    let mut other = super::host();
    other.add(member(2, &link::Kind::Mmsg, Script::Shout(vec![to]))).unwrap();
    // The poll has told nothing, as when it is interrupted; the thread goes on only now.
    host.tokens.clear();
    turn_until(&mut other, |other| toy(other, 0).count("end") > 0);
    let due = host.shared.timers.next();
    while clock::now() < due {
        std::hint::spin_loop();
    }
    host.work().unwrap();
    let heard = &toy(&host, 0).heard;
    let at = |what: &str| heard.iter().position(|line| line.starts_with(what));
    assert!(at("frame") < at("timer") && at("frame").is_some(), "{heard:?}");
}

#[test]
fn a_frame_to_a_port_where_nobody_listens_comes_back_to_its_role() {
    for kind in [link::Kind::Mmsg, link::Kind::Uring] {
        let options = link::Options { hears_refusals: true, ..link::Options::SMALL };
        let Ok(link) = link::open(&kind, local(), &options) else { continue };
        let deaf = link::tests::deaf(local());
        let gone = deaf.local_addr();
        let quiet = member(2, &kind, Script::Listen);
        let shout = Script::Shout(vec![gone, quiet.link.local_addr()]);
        let Member { role, sealer, counters, store, .. } = member(1, &kind, shout);
        let counted = counters.clone();
        let mut host = host();
        host.add(Member { role, link, sealer, counters, store }).unwrap();
        host.add(quiet).unwrap();
        turn_until(&mut host, |host| {
            toy(host, 0).count("returned") == 1 && toy(host, 1).count("frame") == 1
        });
        let line = format!("returned {} from {gone}", syncom_wire::Kind::Line as u8);
        assert!(toy(&host, 0).heard.contains(&line), "{:?}", toy(&host, 0).heard);
        assert_eq!((counted.get(Counter::Returned), counted.get(Counter::DropReturned)), (1, 0));
        assert_eq!(counted.get(Counter::TxRefused), 0);
    }
}

#[test]
fn who_lost_datagrams_is_told_before_any_timer_expires() {
    let mut listener = member(1, &link::Kind::Mmsg, Script::Arm(vec![(1, 0)]));
    let options = link::Options { rx_buffer: 16 * 1024, ..link::Options::SMALL };
    listener.link = link::open(&link::Kind::Mmsg, local(), &options).unwrap();
    let to = listener.link.local_addr();
    let mut host = host();
    host.add(listener).unwrap();
    let mut flood = link::open(&link::Kind::Mmsg, local(), &link::Options::SMALL).unwrap();
    for len in 100..400 {
        // Each of another length, so no two travel as one. Nothing comes after the last one lost.
        flood.tx_claim(to, len).unwrap().fill(1);
        flood.tx_commit(len);
        flood.tx_flush().unwrap();
    }
    turn_until(&mut host, |host| toy(host, 0).count("timer") == 1);
    let heard = &toy(&host, 0).heard;
    let lost = heard.iter().position(|line| line.starts_with("unheard")).unwrap();
    let timer = heard.iter().position(|line| line.starts_with("timer")).unwrap();
    assert!(lost < timer, "{heard:?}");
    assert_eq!(toy(&host, 0).count("unheard"), 1, "{heard:?}");
}

#[test]
fn who_has_no_room_to_send_is_told_once() {
    let kind = mem();
    let to = vec![member(9, &kind, Script::Listen).link.local_addr(); 20_000];
    let mut host = host();
    host.add(member(1, &kind, Script::Shout(to))).unwrap();
    let turns = std::cell::Cell::new(0);
    turn_until(&mut host, |_| turns.replace(turns.get() + 1) == 5);
    assert!(toy(&host, 0).count("unsent") <= 1, "{:?}", toy(&host, 0).heard);
}
