//! ZeroMQ: push and pull over TCP on the loopback, its fastest way between two processes.

use syncom_peers::{FINAL, Failure, Plan, Role, Tally, Trips, WARM_UP, cpu_ns, now_ns, say_ready};
use zmq::{Context, DONTWAIT, Socket, SocketType};

/// Messages that a queue inside ZeroMQ holds.
const HIGH_WATER: i32 = 100_000;
/// Messages between two looks at the clock.
const BURST: u64 = 64;

fn main() -> std::process::ExitCode {
    syncom_peers::run(|plan| match plan.role {
        Role::Sender => sender(plan),
        Role::Receiver => receiver(plan),
        Role::Ping => ping(plan),
        Role::Pong => pong(plan),
    })
}

fn open(kind: SocketType) -> Result<Socket, Failure> {
    let socket = Context::new().socket(kind)?;
    socket.set_sndhwm(HIGH_WATER)?;
    socket.set_rcvhwm(HIGH_WATER)?;
    Ok(socket)
}

fn endpoint(port: u16) -> String {
    format!("tcp://127.0.0.1:{port}")
}

fn sender(plan: &Plan) -> Result<(), Failure> {
    let socket = open(zmq::PUSH)?;
    socket.connect(&endpoint(plan.port))?;
    let mut message = vec![7_u8; plan.size_b];
    let until_ns = now_ns() + plan.duration_ms * 1_000_000;
    let mut number = 0_u64;
    loop {
        let last = number.is_multiple_of(BURST) && now_ns() >= until_ns;
        let mark = if last { number | FINAL } else { number };
        message[..8].copy_from_slice(&mark.to_le_bytes());
        socket.send(&message, 0)?;
        number += 1;
        if last {
            println!("result messages={number} cpu_ns={}", cpu_ns());
            // Dropping the socket and its context waits until everything has left.
            return Ok(());
        }
    }
}

fn receiver(plan: &Plan) -> Result<(), Failure> {
    let socket = open(zmq::PULL)?;
    socket.bind(&endpoint(plan.port))?;
    say_ready();
    let (mut tally, mut message) = (Tally::default(), zmq::Message::new());
    loop {
        socket.recv(&mut message, 0)?;
        if tally.take(&message) {
            tally.report(0);
            return Ok(());
        }
    }
}

fn ping(plan: &Plan) -> Result<(), Failure> {
    let socket = open(zmq::PAIR)?;
    socket.connect(&endpoint(plan.port))?;
    let (mut message, mut trips) = (vec![7_u8; plan.size_b], Trips::default());
    for trip in 0..WARM_UP + plan.trips {
        let last = if trip + 1 == WARM_UP + plan.trips { FINAL } else { 0 };
        message[..8].copy_from_slice(&(trip | last).to_le_bytes());
        let began_ns = now_ns();
        socket.send(&message, 0)?;
        await_message(&socket, &mut message)?;
        if trip >= WARM_UP {
            trips.add(now_ns() - began_ns);
        }
    }
    trips.report();
    Ok(())
}

fn pong(plan: &Plan) -> Result<(), Failure> {
    let socket = open(zmq::PAIR)?;
    socket.bind(&endpoint(plan.port))?;
    say_ready();
    let (mut message, mut tally) = (vec![0_u8; plan.size_b], Tally::default());
    loop {
        await_message(&socket, &mut message)?;
        socket.send(&message, 0)?;
        if tally.take(&message) {
            tally.report(0);
            return Ok(());
        }
    }
}

/// Spins until a message is there: quicker than sleeping, where the core is ours.
fn await_message(socket: &Socket, message: &mut [u8]) -> Result<(), Failure> {
    loop {
        match socket.recv_into(message, DONTWAIT) {
            Ok(_) => return Ok(()),
            Err(zmq::Error::EAGAIN) => std::hint::spin_loop(),
            Err(error) => return Err(error.into()),
        }
    }
}
