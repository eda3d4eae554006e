use crate::door::VISITORS_MAX;
use crate::{Console, Source};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use syncom_seam::Counter;

/// Longer than anything here takes: a test that waits so long has failed.
const DEADLINE: Duration = Duration::from_secs(20);

struct Fixed(Result<(), String>);

impl Source for Fixed {
    fn counters(&self) -> Vec<(String, Vec<u64>)> {
        vec![("node1".into(), vec![42; Counter::COUNT])]
    }
    fn status(&self) -> String {
        r#"{"alive":200}"#.into()
    }
    fn health(&self) -> Result<(), String> {
        self.0.clone()
    }
}

fn console(health: Result<(), String>, stay: Duration) -> Console {
    let here = "127.0.0.1:0".parse().unwrap();
    Console::start_with(here, Box::new(Fixed(health)), stay).unwrap()
}

fn connect(console: &Console) -> TcpStream {
    let stream = TcpStream::connect_timeout(&console.local_addr(), DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Head and body of the answer to one request.
fn ask(console: &Console, request: &str) -> (String, String) {
    try_ask(console, request).unwrap()
}

/// As [`ask`]; none for a visitor who was shown out first.
fn try_ask(console: &Console, request: &str) -> Option<(String, String)> {
    let mut stream = connect(console);
    let head = format!("{request} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.to_lowercase(), body.into()))
}

#[test]
fn each_path_answers_what_the_source_says() {
    let console = console(Ok(()), DEADLINE);
    let (head, body) = ask(&console, "GET /healthz");
    assert!(head.starts_with("http/1.1 200 ") && body == "ok\n", "{head}");
    let (head, body) = ask(&console, "GET /metrics");
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.contains("\nsyncom_rx_datagrams_total{member=\"node1\"} 42\n"));
    let (head, body) = ask(&console, "GET /status");
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(body, r#"{"alive":200}"#);
}

#[test]
fn a_sick_process_says_why() {
    let console = console(Err("the disk is full".into()), DEADLINE);
    let (head, body) = ask(&console, "GET /healthz");
    assert!(head.starts_with("http/1.1 503 ") && body == "the disk is full\n", "{head}");
}

#[test]
fn nothing_but_reading_is_answered() {
    let console = console(Ok(()), DEADLINE);
    assert!(ask(&console, "POST /status").0.starts_with("http/1.1 405 "));
    assert!(ask(&console, "GET /nodes").0.starts_with("http/1.1 404 "));
    assert!(ask(&console, "nonsense").0.starts_with("http/1.1 400 "));
}

#[test]
fn who_stalls_is_shown_out_and_makes_room() {
    let console = console(Ok(()), Duration::from_millis(50));
    let mut idlers: Vec<_> = (0..VISITORS_MAX).map(|_| connect(&console)).collect();
    for idler in &mut idlers {
        idler.write_all(b"GET /status HT").unwrap();
    }
    // On a machine that stands still, whoever asks at once may stay too long as well.
    let answer = (0..100).find_map(|_| try_ask(&console, "GET /healthz"));
    assert!(answer.is_some_and(|(head, _)| head.starts_with("http/1.1 200 ")));
    for idler in &mut idlers {
        let mut rest = Vec::new();
        let ended = idler.read_to_end(&mut rest);
        assert!(ended.is_ok() || ended.is_err_and(|e| e.kind() != std::io::ErrorKind::WouldBlock));
    }
}

#[test]
fn dropping_it_stops_it_even_with_visitors_inside() {
    let console = console(Ok(()), DEADLINE);
    let addr = console.local_addr();
    let mut idler = connect(&console);
    idler.write_all(b"GET /status HT").unwrap();
    drop(console);
    assert!(TcpStream::connect_timeout(&addr, DEADLINE).is_err());
}

#[test]
fn a_taken_port_is_an_error_and_no_panic() {
    let first = console(Ok(()), DEADLINE);
    let second = Console::start(first.local_addr(), Box::new(Fixed(Ok(()))));
    assert_eq!(second.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}
