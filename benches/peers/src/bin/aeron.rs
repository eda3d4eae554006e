//! Aeron's C driver and client over UDP on the loopback, in the configuration that is fastest here.
//!
//! The driver runs inside the process (invoker mode) and is driven by the same spinning thread as
//! the client: with one core for each end, every other arrangement has threads waiting for a core.
//! Messages go in by `try_claim` on an exclusive publication and come out by `poll`, both called
//! directly, without the wrappers of the crate.

use rusteron_media_driver::bindings;
use rusteron_media_driver::{
    Aeron, AeronAsyncAddExclusivePublication, AeronAsyncAddSubscription, AeronContext, AeronDriver,
    AeronDriverContext, AeronExclusivePublication, AeronSubscription, Handlers,
};
use std::ffi::{CString, c_void};
use std::{ptr, slice};
use syncom_peers::{FINAL, Failure, Plan, Role, Tally, Trips, WARM_UP, cpu_ns, now_ns, say_ready};

/// Bytes of one third of the log of a stream.
const TERM_B: usize = 16 << 20;
/// Bytes that a receiver lets be on the way: more than the default, which slows large datagrams.
const WINDOW_B: usize = 2 << 20;
/// Bytes of the buffers of a socket.
const SOCKET_B: usize = 4 << 20;
/// Bytes that are offered between two turns of the driver, and datagrams at least.
const BURST_B: usize = 32 << 10;
const BURST_DATAGRAMS: usize = 2;
/// Datagrams that the driver sends and receives by one call, the most it takes; the default is 2.
const CALL_DATAGRAMS: u32 = 16;
/// Fragments that a poll may take.
const FRAGMENTS: usize = 256;
/// Bytes of the header of a frame.
const HEADER_B: usize = 32;
/// Turns of the driver between two of the client's conductor.
const CONDUCTOR_TURNS: u64 = 64;
/// Waiting longer than this for the other end is a failure.
const PATIENCE_NS: u64 = 10_000_000_000;
/// The last acknowledgements have left by then.
const LINGER_NS: u64 = 50_000_000;
const STREAM: i32 = 10;

fn main() -> std::process::ExitCode {
    syncom_peers::run(|plan| {
        if plan.size_b + HEADER_B > plan.mtu_b {
            return Err("messages must fit a datagram with its header".into());
        }
        match plan.role {
            Role::Sender => sender(plan),
            Role::Receiver => receiver(plan),
            Role::Ping => ping(plan),
            Role::Pong => pong(plan),
        }
    })
}

/// A driver, its client, and their turns.
struct Node {
    client: Aeron,
    driver: AeronDriver,
    turns: u64,
    yields: bool,
}

impl Node {
    fn open(plan: &Plan) -> Result<Self, Failure> {
        let dir = CString::new(format!("/dev/shm/syncom-peer-{}", std::process::id()))?;
        let context = AeronDriverContext::new()?;
        context.set_dir(&dir)?;
        context.set_dir_delete_on_start(true)?;
        context.set_dir_delete_on_shutdown(true)?;
        let invoker = bindings::aeron_threading_mode_enum::AERON_THREADING_MODE_INVOKER;
        context.set_threading_mode(invoker)?;
        context.set_mtu_length(plan.mtu_b)?;
        context.set_term_buffer_length(TERM_B)?;
        context.set_rcv_initial_window_length(WINDOW_B)?;
        context.set_socket_so_rcvbuf(SOCKET_B)?;
        context.set_socket_so_sndbuf(SOCKET_B)?;
        context.set_sender_io_vector_capacity(CALL_DATAGRAMS)?;
        context.set_receiver_io_vector_capacity(CALL_DATAGRAMS)?;
        context.set_network_publication_max_messages_per_send(CALL_DATAGRAMS)?;
        let driver = AeronDriver::new(&context)?;
        driver.start(true)?;
        driver.main_do_work()?;
        let context = AeronContext::new()?;
        context.set_dir(&dir)?;
        context.set_use_conductor_agent_invoker(true)?;
        let client = Aeron::new(&context)?;
        client.start()?;
        Ok(Self { client, driver, turns: 0, yields: plan.receivers > 0 })
    }

    /// One turn of the driver, and of the client now and then. Where processes share a core, it is
    /// given away when there is nothing to do.
    #[inline]
    fn turn(&mut self) -> Result<(), Failure> {
        let work = self.driver.main_do_work()?;
        if self.yields && work <= 0 {
            std::thread::yield_now();
        }
        self.turns += 1;
        if self.turns.is_multiple_of(CONDUCTOR_TURNS) {
            self.client.main_do_work()?;
        }
        Ok(())
    }

    /// Takes turns until there is what `ready` looks for.
    fn until<T>(
        &mut self,
        what: &str,
        mut ready: impl FnMut() -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        let until_ns = now_ns() + PATIENCE_NS;
        while now_ns() < until_ns {
            self.turn()?;
            if let Some(found) = ready()? {
                return Ok(found);
            }
        }
        Err(format!("waited in vain for {what}").into())
    }

    fn publication(&mut self, uri: &str) -> Result<AeronExclusivePublication, Failure> {
        let uri = CString::new(uri)?;
        let adding = AeronAsyncAddExclusivePublication::new(&self.client, &uri, STREAM)?;
        self.until("a publication", || Ok(adding.poll()?))
    }

    fn subscription(&mut self, uri: &str) -> Result<AeronSubscription, Failure> {
        let (none, uri) = (Handlers::NONE, CString::new(uri)?);
        let adding = AeronAsyncAddSubscription::new(&self.client, &uri, STREAM, none, none)?;
        self.until("a subscription", || Ok(adding.poll()?))
    }

    fn connected(&mut self, publication: &AeronExclusivePublication) -> Result<(), Failure> {
        self.until("the other end", || Ok(publication.is_connected().then_some(())))
    }

    /// Takes turns until what has been sent is acknowledged.
    fn linger(&mut self) -> Result<(), Failure> {
        let until_ns = now_ns() + LINGER_NS;
        while now_ns() < until_ns {
            self.turn()?;
        }
        Ok(())
    }
}

/// Where a stream goes: to a port of this host, or to a group of so many that are all waited for.
fn channel(port: u16, receivers: usize) -> String {
    match receivers {
        0 => format!("aeron:udp?endpoint=127.0.0.1:{port}"),
        count => {
            format!("aeron:udp?endpoint=239.77.1.5:{port}|interface=127.0.0.1|fc=min,g:/{count}")
        }
    }
}

/// Publishes a numbered message of `size_b` bytes; says whether there was room.
#[inline]
fn publish(to: &AeronExclusivePublication, size_b: usize, number: u64) -> Result<bool, Failure> {
    let mut claim = bindings::aeron_buffer_claim_t {
        frame_header: ptr::null_mut(),
        data: ptr::null_mut(),
        length: 0,
    };
    // SAFETY: the publication is open as long as `to` lives, and `claim` outlives the call, which
    // writes to nothing else of ours.
    let position = unsafe {
        bindings::aeron_exclusive_publication_try_claim(to.get_inner(), size_b, &raw mut claim)
    };
    if position < 0 {
        let code = i32::try_from(position)?;
        let transient = [
            bindings::AERON_PUBLICATION_BACK_PRESSURED,
            bindings::AERON_PUBLICATION_ADMIN_ACTION,
            bindings::AERON_PUBLICATION_NOT_CONNECTED,
        ];
        let waits = transient.contains(&code);
        return if waits { Ok(false) } else { Err(format!("publication: {code}").into()) };
    }
    // SAFETY: the claim succeeded, so `data` points to `size_b` bytes, 8 at least, of the log that
    // are ours until the commit; nothing here keeps a reference beyond it.
    unsafe {
        claim.data.cast::<[u8; 8]>().write_unaligned(number.to_le_bytes());
        slice::from_raw_parts_mut(claim.data.add(8), size_b - 8).fill(7);
        bindings::aeron_buffer_claim_commit(&raw mut claim);
    }
    Ok(true)
}

/// Hands every fragment that waits to `handler`; returns how many.
#[inline]
fn poll<H: FnMut(&[u8])>(from: &AeronSubscription, handler: &mut H) -> Result<i32, Failure> {
    unsafe extern "C-unwind" fn call<H: FnMut(&[u8])>(
        handler: *mut c_void,
        data: *const u8,
        len: usize,
        _header: *mut bindings::aeron_header_t,
    ) {
        // SAFETY: `handler` is the `&mut H` given to the poll below, which is on the stack and used
        // by nobody else meanwhile; `data` are `len` bytes of the log, unchanged during the call.
        unsafe { (*handler.cast::<H>())(slice::from_raw_parts(data, len)) }
    }
    let handler: *mut H = handler;
    // SAFETY: the subscription is open as long as `from` lives; `call` fits the handler that it is
    // given, which outlives the call.
    let count = unsafe {
        bindings::aeron_subscription_poll(
            from.get_inner(),
            Some(call::<H>),
            handler.cast(),
            FRAGMENTS,
        )
    };
    if count < 0 { Err("poll failed".into()) } else { Ok(count) }
}

fn sender(plan: &Plan) -> Result<(), Failure> {
    let mut node = Node::open(plan)?;
    let publication = node.publication(&channel(plan.port, plan.receivers))?;
    node.connected(&publication)?;
    let burst_b = BURST_B.max(BURST_DATAGRAMS * plan.mtu_b);
    let burst = (burst_b / (plan.size_b + HEADER_B)).max(1);
    let until_ns = now_ns() + plan.duration_ms * 1_000_000;
    let (mut number, mut last) = (0_u64, false);
    while !last {
        last = now_ns() >= until_ns;
        for _ in 0..burst {
            if !publish(&publication, plan.size_b, number)? {
                break;
            }
            number += 1;
        }
        node.turn()?;
    }
    while !publish(&publication, plan.size_b, number | FINAL)? {
        node.turn()?;
    }
    println!("result messages={} cpu_ns={}", number + 1, cpu_ns());
    // The receiver may still want something repeated.
    (0..6).try_for_each(|_| node.linger())
}

fn receiver(plan: &Plan) -> Result<(), Failure> {
    let mut node = Node::open(plan)?;
    let subscription = node.subscription(&channel(plan.port, plan.receivers))?;
    say_ready();
    let (mut tally, mut ended) = (Tally::default(), false);
    while !ended {
        node.turn()?;
        poll(&subscription, &mut |message| ended |= tally.take(message))?;
    }
    tally.report(0);
    node.linger()
}

fn ping(plan: &Plan) -> Result<(), Failure> {
    let mut node = Node::open(plan)?;
    let subscription = node.subscription(&channel(plan.port + 1, 0))?;
    let publication = node.publication(&channel(plan.port, 0))?;
    node.connected(&publication)?;
    node.until("an answering end", || Ok(subscription.is_connected().then_some(())))?;
    let mut trips = Trips::default();
    for trip in 0..WARM_UP + plan.trips {
        let last = if trip + 1 == WARM_UP + plan.trips { FINAL } else { 0 };
        let began_ns = now_ns();
        while !publish(&publication, plan.size_b, trip | last)? {
            node.turn()?;
        }
        let mut back = false;
        while !back {
            node.turn()?;
            poll(&subscription, &mut |_| back = true)?;
        }
        if trip >= WARM_UP {
            trips.add(now_ns() - began_ns);
        }
    }
    trips.report();
    Ok(())
}

fn pong(plan: &Plan) -> Result<(), Failure> {
    let mut node = Node::open(plan)?;
    let subscription = node.subscription(&channel(plan.port, 0))?;
    let publication = node.publication(&channel(plan.port + 1, 0))?;
    say_ready();
    let (mut tally, mut ended, mut number) = (Tally::default(), false, None);
    while !ended {
        node.turn()?;
        poll(&subscription, &mut |message| {
            number = message.first_chunk().map(|number| u64::from_le_bytes(*number));
            ended |= tally.take(message);
        })?;
        if let Some(number) = number.take() {
            while !publish(&publication, plan.size_b, number)? {
                node.turn()?;
            }
        }
    }
    node.linger()?;
    tally.report(0);
    node.linger()
}
