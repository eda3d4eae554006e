//! A stream at full speed, both ends in one thread: what a message costs each of them.
//!
//! Run it with `cargo run --release -p syncom-engine --example streaming [BYTES] [KEY=VALUE...]`,
//! such as `streaming 256 mtu=8192 seal=off`. Between two processes: `syncom bench stream`.

use std::error::Error;
use std::net::SocketAddr;
use syncom_engine::channel::{Channel, Phase, Refused};
use syncom_engine::clock;

const MESSAGES: u64 = 20_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1).peekable();
    let size = words.next_if(|word| !word.contains('=')).map_or(Ok(64), |word| word.parse())?;
    let query = words.collect::<Vec<_>>().join("&");

    let mut listener = Channel::builder(&format!("udp://127.0.0.1:0?{query}"))?
        .secret("streaming", &[42; 32])
        .subscription()?;
    let address: SocketAddr = listener.channel().local_addr().into();
    let mut speaker = Channel::builder(&format!("udp://{address}?{query}"))?
        .secret("streaming", &[42; 32])
        .publication()?;

    let message = vec![7; size];
    let (mut sent, mut heard, mut bytes) = (0, 0, 0);
    let (mut sending_ns, mut receiving_ns) = (0, 0);
    let mut at = clock::cpu_ns();
    while speaker.phase() != Phase::Ended {
        while sent < MESSAGES {
            match speaker.offer(&message) {
                Ok(_) => sent += 1,
                // A window is under way: time to read it.
                Err(Refused::Full) => break,
                Err(refused) => return Err(refused.into()),
            }
        }
        if sent == MESSAGES {
            speaker.end();
        }
        speaker.poll()?;
        let now = clock::cpu_ns();
        sending_ns += now - at;
        loop {
            let count = listener.poll(4096, |_, message| bytes += message.len() as u64)?;
            heard += count as u64;
            if count == 0 {
                break;
            }
        }
        at = clock::cpu_ns();
        receiving_ns += at - now;
    }
    assert_eq!((heard, bytes), (MESSAGES, MESSAGES * size as u64));
    let per_message = |ns: u64| ns as f64 / MESSAGES as f64;
    println!(
        "{heard} messages of {size} B: {:.2} ns to send, {:.2} ns to receive each",
        per_message(sending_ns),
        per_message(receiving_ns)
    );
    Ok(())
}
