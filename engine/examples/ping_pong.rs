//! Two channels on this machine: one asks, the other answers, as fast as one thread can turn.
//!
//! Run it with `cargo run --release -p syncom-engine --example ping_pong`. In real use the two are
//! in different processes, each on a core of its own; `syncom bench rtt` measures that.

use std::error::Error;
use std::net::SocketAddr;
use syncom_engine::channel::{Channel, ChannelError};
use syncom_engine::clock;

const ROUNDS: u64 = 100_000;
const STREAM: u16 = 1;

fn main() -> Result<(), Box<dyn Error>> {
    // Random in real life, and known to the two ends only.
    let secret = [42; 32];
    let open = || -> Result<(Channel, SocketAddr), ChannelError> {
        let mut channel =
            Channel::builder("udp://127.0.0.1:0")?.secret("ping-pong", &secret).open()?;
        channel.subscribe(STREAM)?;
        let address = channel.local_addr().into();
        Ok((channel, address))
    };
    let ((mut alice, alice_at), (mut bob, bob_at)) = (open()?, open()?);
    let ask = alice.publish(bob_at, STREAM)?;
    let answer = bob.publish(alice_at, STREAM)?;

    let began = clock::now();
    for round in 0..ROUNDS {
        alice.offer(ask, &round.to_le_bytes())?;
        alice.flush()?;

        // What arrives is lent for the call: a copy is taken to answer with.
        let mut heard = None;
        while heard.is_none() {
            bob.poll(1, |_, message| heard = message.first_chunk::<8>().copied())?;
        }
        bob.offer(answer, &heard.unwrap_or_default())?;
        bob.flush()?;

        let mut echo = None;
        while echo.is_none() {
            alice.poll(1, |_, message| echo = message.first_chunk::<8>().copied())?;
        }
        assert_eq!(echo, Some(round.to_le_bytes()));
    }
    let each_ns = clock::now().since(began) / ROUNDS;
    println!("{ROUNDS} round trips, {each_ns} ns each");
    Ok(())
}
