//! NATS: core publish and subscribe through its server, over TCP on the loopback.
//!
//! The receiving end starts the server and ends it. The client is a few lines, since the protocol
//! is: it writes many messages at once, reads as much as there is, and copies nothing out. Core
//! NATS cuts off a subscriber that falls behind, so the receiver says how far it is and the sender
//! stays within a window of that; nothing else is waited for.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use syncom_peers::{FINAL, Failure, Plan, Role, Tally, Trips, WARM_UP, cpu_ns, now_ns, say_ready};

/// Bytes on the way at most, far below what the server holds for a subscriber (64 MB).
const WINDOW_B: u64 = 16 << 20;
/// Bytes after which the receiver says how far it is.
const CREDIT_B: u64 = WINDOW_B / 8;
/// Bytes written at a time, and read.
const WRITE_B: usize = 64 << 10;
const READ_B: usize = 256 << 10;

fn main() -> std::process::ExitCode {
    syncom_peers::run(|plan| match plan.role {
        Role::Sender => sender(plan),
        Role::Receiver => receiver(plan),
        Role::Ping => ping(plan),
        Role::Pong => pong(plan),
    })
}

fn sender(plan: &Plan) -> Result<(), Failure> {
    let mut client = Client::connect(plan.port)?;
    client.subscribe("credit")?;
    let (mut message, mut out) = (vec![7_u8; plan.size_b], Vec::with_capacity(2 * WRITE_B));
    let until_ns = now_ns() + plan.duration_ms * 1_000_000;
    let (mut number, mut credit_b) = (0_u64, 0);
    loop {
        let last = now_ns() >= until_ns;
        while out.len() < WRITE_B {
            message[..8].copy_from_slice(&number.to_le_bytes());
            put(&mut out, "stream", &message);
            number += 1;
        }
        if last {
            message[..8].copy_from_slice(&(number | FINAL).to_le_bytes());
            put(&mut out, "stream", &message);
            number += 1;
        }
        client.stream.write_all(&out)?;
        out.clear();
        if last {
            // Closed with something unread, the connection would take with it what is on the way.
            client.flush()?;
            println!("result messages={number} cpu_ns={}", cpu_ns());
            return Ok(());
        }
        while number * plan.size_b as u64 - credit_b > WINDOW_B {
            let told = client.message()?;
            let told = client.bytes(told).first_chunk().copied().unwrap_or_default();
            credit_b = u64::from_le_bytes(told);
        }
    }
}

fn receiver(plan: &Plan) -> Result<(), Failure> {
    let server = Server::start(plan.port)?;
    let mut client = Client::connect(plan.port)?;
    client.subscribe("stream")?;
    say_ready();
    let (mut tally, mut out) = (Tally::default(), Vec::new());
    let (mut received_b, mut told_b) = (0_u64, 0);
    loop {
        let message = client.message()?;
        received_b += message.len() as u64;
        let last = tally.take(client.bytes(message));
        if received_b - told_b >= CREDIT_B {
            told_b = received_b;
            out.clear();
            put(&mut out, "credit", &received_b.to_le_bytes());
            client.stream.write_all(&out)?;
        }
        if last {
            tally.report(server.cpu_ns());
            return Ok(());
        }
    }
}

fn ping(plan: &Plan) -> Result<(), Failure> {
    let mut client = Client::connect(plan.port)?;
    client.subscribe("back")?;
    let (mut message, mut out) = (vec![7_u8; plan.size_b], Vec::new());
    let mut trips = Trips::default();
    for trip in 0..WARM_UP + plan.trips {
        let last = if trip + 1 == WARM_UP + plan.trips { FINAL } else { 0 };
        message[..8].copy_from_slice(&(trip | last).to_le_bytes());
        let began_ns = now_ns();
        out.clear();
        put(&mut out, "there", &message);
        client.stream.write_all(&out)?;
        client.message()?;
        if trip >= WARM_UP {
            trips.add(now_ns() - began_ns);
        }
    }
    trips.report();
    Ok(())
}

fn pong(plan: &Plan) -> Result<(), Failure> {
    let server = Server::start(plan.port)?;
    let mut client = Client::connect(plan.port)?;
    client.subscribe("there")?;
    say_ready();
    let (mut tally, mut out) = (Tally::default(), Vec::new());
    loop {
        let message = client.message()?;
        let message = client.bytes(message);
        out.clear();
        put(&mut out, "back", message);
        let last = tally.take(message);
        client.stream.write_all(&out)?;
        if last {
            tally.report(server.cpu_ns());
            return Ok(());
        }
    }
}

/// Appends a message to what is to be written.
fn put(out: &mut Vec<u8>, subject: &str, message: &[u8]) {
    // Writing to memory cannot fail.
    let _ = write!(out, "PUB {subject} {}\r\n", message.len());
    out.extend_from_slice(message);
    out.extend_from_slice(b"\r\n");
}

/// A connection to the server.
struct Client {
    stream: TcpStream,
    inbox: Vec<u8>,
    /// What of it has been read and not been looked at.
    unread: Range<usize>,
}

impl Client {
    fn connect(port: u16) -> Result<Self, Failure> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream, inbox: vec![0; READ_B], unread: 0..0 };
        client.stream.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n")?;
        Ok(client)
    }

    /// Subscribes, and waits until the server has heard of it.
    fn subscribe(&mut self, subject: &str) -> Result<(), Failure> {
        self.stream.write_all(format!("SUB {subject} 1\r\n").as_bytes())?;
        self.flush()
    }

    /// Waits until the server has read everything. Messages that come meanwhile are passed over,
    /// line by line: none is made of the word that is waited for.
    fn flush(&mut self) -> Result<(), Failure> {
        self.stream.write_all(b"PING\r\n")?;
        loop {
            let line = self.line()?;
            if self.bytes(line) == b"PONG" {
                return Ok(());
            }
        }
    }

    /// The next message, until the next call.
    fn message(&mut self) -> Result<Range<usize>, Failure> {
        loop {
            let line = self.line()?;
            let words = self.bytes(line);
            if words == b"PING" {
                self.stream.write_all(b"PONG\r\n")?;
            } else if words.starts_with(b"-ERR") {
                return Err(String::from_utf8_lossy(words).into());
            } else if words.starts_with(b"MSG ") {
                let len = words.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
                let len: usize = std::str::from_utf8(len)?.parse()?;
                while self.unread.len() < len + 2 {
                    self.read()?;
                }
                let start = self.unread.start;
                self.unread.start += len + 2;
                return Ok(start..start + len);
            }
        }
    }

    fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.inbox.get(range).unwrap_or_default()
    }

    /// The next line, without its end.
    fn line(&mut self) -> Result<Range<usize>, Failure> {
        loop {
            let start = self.unread.start;
            let unread = &self.inbox[self.unread.clone()];
            if let Some(len) = unread.windows(2).position(|end| end == b"\r\n") {
                self.unread.start += len + 2;
                return Ok(start..start + len);
            }
            self.read()?;
        }
    }

    /// Reads more, to the front of the inbox if there is no room behind.
    fn read(&mut self) -> Result<(), Failure> {
        if self.unread.is_empty() || self.unread.end == self.inbox.len() {
            if self.unread.len() == self.inbox.len() {
                return Err("a message is longer than the inbox".into());
            }
            self.inbox.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        let count = self.stream.read(&mut self.inbox[self.unread.end..])?;
        if count == 0 {
            return Err("the server hung up: its subscriber was too slow, or it has ended".into());
        }
        self.unread.end += count;
        Ok(())
    }
}

/// The server, which ends with this process, whatever ends that: a shell waits for the end of a
/// pipe that this process holds.
struct Server {
    shell: Child,
    pid: u32,
    /// Closed, the first line that the server logs would end it.
    _log: BufReader<ChildStderr>,
}

const SCRIPT: &str = "\"$0\" \"$@\" & echo $!; read -r end; kill -9 $!; wait";

impl Server {
    fn start(port: u16) -> Result<Self, Failure> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT]).arg(program()).args(["-a", "127.0.0.1"]);
        command.args(["-p", &port.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut shell = command.spawn()?;
        let (Some(out), Some(log)) = (shell.stdout.take(), shell.stderr.take()) else {
            return Err("the server's output cannot be read".into());
        };
        let (mut pid, mut log) = (String::new(), BufReader::new(log));
        BufReader::new(out).read_line(&mut pid)?;
        let mut line = String::new();
        while !line.contains("Server is ready") {
            line.clear();
            if log.read_line(&mut line)? == 0 || line.contains("[FTL]") {
                return Err(format!("nats-server did not start: {line}").into());
            }
        }
        Ok(Self { shell, pid: pid.trim().parse()?, _log: log })
    }

    /// Time that the server has spent on cores, in ns; the kernel counts in hundredths of a second.
    fn cpu_ns(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let (_, fields) = stat.rsplit_once(") ").unwrap_or_default();
        let ticks = fields.split(' ').skip(11).take(2);
        ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10_000_000
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// The server's program: the one that was unpacked beside the peers, else that of the machine.
fn program() -> PathBuf {
    let beside = std::env::current_exe().ok().and_then(|here| {
        let unpacked = here.parent()?.parent()?.join("nats-server/usr/sbin/nats-server");
        unpacked.exists().then_some(unpacked)
    });
    beside.unwrap_or_else(|| "nats-server".into())
}
