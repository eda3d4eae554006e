//! Children of members.

use super::*;
use syncom_seam::Spawn;

fn shell(script: &str) -> Spawn {
    let argv = ["/bin/sh", "-c", script].map(String::from).to_vec();
    Spawn { token: 5, argv, output_max: 100, stdin: Vec::new() }
}

fn end_of(spawn: Spawn) -> String {
    let mut host = host();
    host.add(member(1, &mem(), Script::Spawn(spawn))).unwrap();
    turn_until(&mut host, |host| toy(host, 0).count("done") == 1);
    toy(&host, 0).heard.iter().find(|line| line.starts_with("done")).unwrap().clone()
}

#[test]
fn a_child_reads_its_stdin_and_both_its_outputs_are_kept_in_order() {
    let spawn = Spawn { stdin: b"in\n".to_vec(), ..shell("cat; echo err >&2; echo out; exit 3") };
    let text = b"in\nerr\nout\n".to_vec();
    let end = end_of(spawn);
    assert!(end.contains("token: 5") && end.contains("code: 3"), "{end}");
    assert!(end.contains(&format!("output: {text:?}, output_total: 11")), "{end}");
}

#[test]
fn more_output_than_is_kept_is_read_counted_and_dropped() {
    let end = end_of(shell("head -c 1000000 /dev/zero"));
    let kept = format!("code: 0, output: {:?}, output_total: 1000000", [0; 100]);
    assert!(end.contains(&kept), "{end}");
}

#[test]
fn more_input_than_a_pipe_holds_arrives_whole() {
    let end = end_of(Spawn { stdin: vec![b'x'; 500_000], ..shell("wc -c") });
    assert!(end.contains(&format!("{:?}", b"500000\n")), "{end}");
}

#[test]
fn a_command_that_cannot_be_started_ends_with_127_and_the_reason() {
    let argv = vec!["/nonexistent/command".to_string()];
    let end = end_of(Spawn { token: 5, argv, output_max: 100, stdin: Vec::new() });
    assert!(end.contains("code: 127"), "{end}");
    let end = end_of(Spawn { argv: Vec::new(), ..shell("") });
    assert!(end.contains("code: 127"), "{end}");
}

#[test]
fn a_signal_reaches_the_whole_group() {
    let mut host = host();
    // The grandchild holds the output open: only its death lets the pipe end.
    let spawn = shell("sleep 1000 & wait");
    let member = member(1, &mem(), Script::Spawn(spawn));
    let counters = member.counters.clone();
    host.add(member).unwrap();
    turn_until(&mut host, |_| counters.get(Counter::ChildrenStarted) == 1);
    let now = host.clock.sample();
    let timer = Timer { kind: 1, generation: 1, key: 1 };
    host.shared.timers.arm(0, timer, now.at);
    turn_until(&mut host, |host| toy(host, 0).count("done") == 1);
    assert!(toy(&host, 0).heard.iter().any(|line| line.contains("code: 137")));
    assert_eq!(counters.get(Counter::ChildrenEnded), 1);
}

#[test]
fn children_of_a_killed_member_are_killed_with_it() {
    let mut host = host();
    let path = std::env::temp_dir().join(format!("syncom-child-{}", std::process::id()));
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", path.display());
    host.add(member(1, &mem(), Script::Spawn(shell(&script)))).unwrap();
    turn_until(&mut host, |_| path.exists());
    let pid: i32 = std::fs::read_to_string(&path).unwrap().trim().parse().unwrap();
    std::fs::remove_file(&path).unwrap();
    host.handle().kill(0);
    turn_until(&mut host, |host| host.role(0).is_none());
    let gone = !std::path::Path::new(&format!("/proc/{pid}")).exists();
    assert!(gone, "killed and reaped");
}
