//! The order of calls, and the ends of members.

use super::*;

#[test]
fn timers_come_in_order_of_their_moments_and_the_burst_ends_after_them() {
    let mut host = host();
    let timers = vec![(3, 3_000_000), (1, 1_000_000), (2, 1_000_000)];
    let member = member(1, &mem(), Script::Arm(timers));
    let counters = member.counters.clone();
    host.add(member).unwrap();
    turn_until(&mut host, |host| toy(host, 0).count("timer") == 3);
    let heard = &toy(&host, 0).heard;
    assert_eq!(heard[..2], ["start", "end"]);
    let timers: Vec<_> = heard.iter().filter(|line| line.starts_with("timer")).collect();
    assert_eq!(timers, ["timer 1", "timer 2", "timer 3"]);
    assert_eq!(heard.last().unwrap(), "end");
    assert_eq!(counters.get(Counter::TimersFired), 3);
}

#[test]
fn what_had_arrived_is_heard_before_a_timer_expires() {
    let kind = link::Kind::Mmsg;
    let mut host = host();
    let judge = member(1, &kind, Script::Arm(vec![(1, 1)]));
    let to = judge.link.local_addr();
    host.add(judge).unwrap();
    host.turn(Duration::ZERO).unwrap();
    // The judge sleeps; meanwhile 100 frames arrive and its timer becomes due.
    let mut other = super::host();
    other.add(member(2, &kind, Script::Shout(vec![to]))).unwrap();
    for n in 3..103 {
        other.add(member(n, &kind, Script::Shout(vec![to]))).unwrap();
    }
    other.turn(Duration::ZERO).unwrap();
    turn_until(&mut host, |host| toy(host, 0).count("timer") == 1);
    let heard = &toy(&host, 0).heard;
    let timer_at = heard.iter().position(|line| line.starts_with("timer")).unwrap();
    assert_eq!(heard[..timer_at].iter().filter(|line| line.starts_with("frame")).count(), 101);
}

#[test]
fn a_killed_member_falls_silent_and_its_neighbours_go_on() {
    let mut host = host();
    let timers = || Script::Arm((0..200).map(|n| (n, n * 1_000_000)).collect());
    host.add(member(1, &mem(), timers())).unwrap();
    host.add(member(2, &mem(), timers())).unwrap();
    turn_until(&mut host, |host| toy(host, 0).count("timer") > 2);
    host.handle().kill(0);
    turn_until(&mut host, |host| host.role(0).is_none());
    turn_until(&mut host, |host| toy(host, 1).count("timer") == 200);
}

#[test]
fn a_member_that_cannot_go_on_says_so_and_is_ended() {
    let said = Arc::new(Mutex::new(Vec::new()));
    let ears = Arc::clone(&said);
    let mut host = Host::new(Box::new(move |member, notice| {
        ears.lock().unwrap().push(format!("{member}: {notice:?}"));
    }))
    .unwrap();
    host.add(member(1, &mem(), Script::Listen)).unwrap();
    host.add(member(2, &mem(), Script::GiveUp)).unwrap();
    turn_until(&mut host, |host| host.role(1).is_none());
    assert_eq!(*said.lock().unwrap(), ["1: Fatal(\"no more\")"]);
    assert!(host.role(0).is_some());
}

#[test]
fn a_host_without_members_returns() {
    let mut host = host();
    host.add(member(1, &mem(), Script::GiveUp)).unwrap();
    host.run().unwrap();
    assert!(host.role(0).is_none());
}
