//! Two endpoints on this machine: one sends a user's payload, the other receives it and answers.
//!
//! Run it with `cargo run -p syncom-engine --example hello`. In real use the two are different
//! processes on different machines that hold the same cluster name and secret.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;
use syncom_engine::Endpoint;
use syncom_wire::Frame;
use syncom_wire::control::Line;

fn main() -> Result<(), Box<dyn Error>> {
    // Random in real life, and known to the members of the cluster only.
    let secret = [42; 32];
    let anywhere: SocketAddr = "127.0.0.1:0".parse()?;
    let mut alice = Endpoint::builder("hello", &secret).bind(anywhere).open()?;
    let mut bob = Endpoint::builder("hello", &secret).bind(anywhere).open()?;

    // Frames to one address share a datagram; it is sealed and sent by `flush`.
    alice.send(bob.local_addr(), &Line { text: "how do you do?" })?;
    alice.send(bob.local_addr(), &Line { text: "nice weather." })?;
    alice.flush()?;

    // What does not open (strangers, twin clusters, replays) never gets here: it is counted.
    let deadline = bob.deadline(Duration::from_secs(5));
    let mut received = bob.recv(deadline)?.ok_or("nothing came within 5 s")?;
    let sender = received.from;
    for frame in &mut received {
        if let Frame::Line(line) = frame {
            println!("bob heard {} ({}) say: {}", sender.peer, sender.addr, line.text);
        }
    }

    bob.send(sender.addr, &Line { text: "very well, thank you." })?;
    bob.flush()?;
    let deadline = alice.deadline(Duration::from_secs(5));
    for frame in alice.recv(deadline)?.ok_or("no answer within 5 s")? {
        println!("alice heard: {frame:?}");
    }
    Ok(())
}
