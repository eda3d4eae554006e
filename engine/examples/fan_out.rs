//! A market and its readers: one multicast stream of small quotes, three who listen, and one who
//! comes late and begins at the present.
//!
//! Run it with `cargo run --release -p syncom-engine --example fan_out`.

use std::error::Error;
use syncom_engine::channel::{Channel, ChannelError, Event, Phase, Refused, Subscription};

const AT: &str = "udp://239.77.1.7:40777?interface=127.0.0.1&flow=min";
const QUOTES: u64 = 1_000_000;

/// What one reader has seen.
struct Reader {
    quotes: Subscription,
    count: u64,
    last: u64,
    has_ended: bool,
}

impl Reader {
    fn open(secret: &[u8; 32]) -> Result<Self, ChannelError> {
        let quotes = Channel::builder(AT)?.secret("market", secret).subscription()?;
        Ok(Self { quotes, count: 0, last: 0, has_ended: false })
    }

    fn read(&mut self) -> Result<(), ChannelError> {
        let (count, last) = (&mut self.count, &mut self.last);
        self.quotes.poll(4096, |_, quote| {
            let number = quote.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            assert!(*count == 0 || number == *last + 1, "a quote is missing");
            (*count, *last) = (*count + 1, number);
        })?;
        while let Some(event) = self.quotes.take_event() {
            match event {
                Event::Joined(_, 0) => println!("a reader hears the stream from its beginning"),
                Event::Joined(_, at) => println!("a reader hears the stream from position {at}"),
                Event::Ended(_) => self.has_ended = true,
                Event::Lost(_) | Event::Missed(..) | Event::Heard(_) | Event::Behind(_) => {}
            }
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // Random in real life, and known to the market and its readers only.
    let secret = [42; 32];
    let mut readers = vec![Reader::open(&secret)?, Reader::open(&secret)?, Reader::open(&secret)?];
    let mut market = Channel::builder(AT)?.secret("market", &secret).publication()?;

    let mut number = 0;
    while market.phase() != Phase::Ended {
        // The first quote makes the readers known; then as many as they take.
        while number < QUOTES && (number == 0 || market.listeners() >= 3) {
            let mut quote = match market.claim(24) {
                Ok(quote) => quote,
                Err(Refused::Full) => break,
                Err(refused) => return Err(refused.into()),
            };
            quote[..8].copy_from_slice(&number.to_le_bytes());
            quote[8..].copy_from_slice(b"ACME bid 42.0000");
            let _ = quote.commit();
            number += 1;
        }
        if number > QUOTES / 2 && readers.len() == 3 {
            readers.push(Reader::open(&secret)?);
        }
        if number == QUOTES {
            market.end();
        }
        market.poll()?;
        readers.iter_mut().try_for_each(Reader::read)?;
    }
    for (at, reader) in readers.iter().enumerate() {
        println!("reader {at}: {} quotes, the last {}", reader.count, reader.last);
    }
    assert!(readers[..3].iter().all(|reader| reader.count == QUOTES && reader.has_ended));
    Ok(())
}
