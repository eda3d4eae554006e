//! etcd: three members on the loopback, durable, written to by clients that wait for their answers.
//!
//! Clients speak gRPC to the leader, over several connections when there are many of them: a put of
//! a key of their own. The few bytes of protobuf are laid out here. Unlike the other peers this
//! program runs the whole case: `peer-etcd etcd=PROGRAM dir=DIR clients=N size=B ms=N`.

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use syncom_peers::{Failure, cpu_ns, now_ns};
use tokio::net::TcpStream;

/// The first of the ports: two per member.
const PORT: u16 = 47_200;
const MEMBERS: u16 = 3;
/// Clients of one connection.
const PER_CONNECTION: usize = 16;
const PUT: &str = "/etcdserverpb.KV/Put";
const STATUS: &str = "/etcdserverpb.Maintenance/Status";
/// Work before that which counts, in ms.
const WARM_UP_MS: u64 = 1_000;

fn main() -> std::process::ExitCode {
    let plan = Plan::parse(std::env::args().skip(1));
    let result = plan.and_then(|plan| {
        let members = Members::start(&plan)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(measure(&plan, &members))
    });
    match result {
        Ok(line) => {
            println!("{line}");
            std::process::ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            std::process::ExitCode::FAILURE
        }
    }
}

struct Plan {
    program: String,
    dir: String,
    clients: usize,
    size_b: usize,
    duration_ms: u64,
}

impl Plan {
    fn parse(words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let pairs: BTreeMap<String, String> = words
            .filter_map(|word| Some(word.split_once('=')?).map(|(k, v)| (k.into(), v.into())))
            .collect();
        let text = |key: &str| pairs.get(key).cloned().ok_or_else(|| format!("{key}= is missing"));
        Ok(Self {
            program: text("etcd")?,
            dir: text("dir")?,
            clients: text("clients")?.parse()?,
            size_b: text("size")?.parse()?,
            duration_ms: text("ms")?.parse()?,
        })
    }
}

/// The members; they end when this is dropped.
struct Members(Vec<Child>);

impl Members {
    fn start(plan: &Plan) -> Result<Self, Failure> {
        let peer = |n: u16| format!("http://127.0.0.1:{}", PORT + 2 * n + 1);
        let cluster: Vec<String> = (0..MEMBERS).map(|n| format!("m{n}={}", peer(n))).collect();
        let mut members = Self(Vec::new());
        for n in 0..MEMBERS {
            let data = Path::new(&plan.dir).join(format!("m{n}"));
            let _ = std::fs::remove_dir_all(&data);
            let client = format!("http://127.0.0.1:{}", PORT + 2 * n);
            let child = Command::new(&plan.program)
                .args(["--name", &format!("m{n}"), "--log-level", "error"])
                .arg("--data-dir")
                .arg(&data)
                .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
                .args(["--listen-peer-urls", &peer(n), "--initial-advertise-peer-urls", &peer(n)])
                .args(["--initial-cluster", &cluster.join(","), "--initial-cluster-state", "new"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            members.0.push(child);
        }
        Ok(members)
    }

    /// CPU time of all members, in ns.
    fn cpu_ns(&self) -> u64 {
        let of = |child: &Child| {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).ok()?;
            let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
            let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
            Some(ticks * 10_000_000)
        };
        self.0.iter().filter_map(of).sum()
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

async fn connect(member: u16) -> Result<SendRequest<Bytes>, Failure> {
    let tcp = TcpStream::connect(("127.0.0.1", PORT + 2 * member)).await?;
    tcp.set_nodelay(true)?;
    let (sender, connection) = h2::client::handshake(tcp).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// One call: a message there, a message back.
async fn call(
    sender: &SendRequest<Bytes>,
    path: &str,
    message: Bytes,
) -> Result<Vec<u8>, Failure> {
    let mut sender = sender.clone().ready().await?;
    let request = Request::post(format!("http://127.0.0.1{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (response, mut body) = sender.send_request(request, false)?;
    body.send_data(message, true)?;
    let mut answer = response.await?.into_body();
    let mut bytes = Vec::new();
    while let Some(part) = answer.data().await {
        let part = part?;
        answer.flow_control().release_capacity(part.len())?;
        bytes.extend_from_slice(&part);
    }
    let trailers = answer.trailers().await?;
    let status = trailers.as_ref().and_then(|all| all.get("grpc-status"));
    match status.map(|status| status.as_bytes()) {
        Some(b"0") => Ok(bytes),
        status => Err(format!("etcd answers with gRPC status {status:?}").into()),
    }
}

fn varint(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

/// A gRPC message around protobuf: not compressed, its length, its bytes.
fn framed(message: &[u8]) -> Bytes {
    let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut out = vec![0];
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(message);
    out.into()
}

/// A PutRequest: field 1 the key, field 2 the value.
fn put(key: &[u8], value: &[u8]) -> Bytes {
    let mut message = Vec::new();
    for (tag, field) in [(0x0a, key), (0x12, value)] {
        message.push(tag);
        varint(field.len(), &mut message);
        message.extend_from_slice(field);
    }
    framed(&message)
}

/// The number in a field of a protobuf message, of the first message in a field when `inside`.
fn number(mut bytes: &[u8], path: &[u64]) -> Option<u64> {
    let (&wanted, inside) = path.split_first()?;
    while !bytes.is_empty() {
        let key = take(&mut bytes)?;
        let value = take(&mut bytes)?;
        let body = if key & 7 == 2 {
            let (body, rest) = bytes.split_at_checked(usize::try_from(value).ok()?)?;
            bytes = rest;
            body
        } else {
            &[]
        };
        if key >> 3 == wanted {
            return if inside.is_empty() { Some(value) } else { number(body, inside) };
        }
    }
    None
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// The member that leads, once there is one.
async fn leader() -> Result<u16, Failure> {
    for _ in 0..200 {
        for member in 0..MEMBERS {
            let Ok(sender) = connect(member).await else { continue };
            let Ok(answer) = call(&sender, STATUS, framed(&[])).await else { continue };
            let Some(message) = answer.get(5..) else { continue };
            // StatusResponse: header (1) with member_id (2); leader (4).
            let (own, leads) = (number(message, &[1, 2]), number(message, &[4]));
            if own.is_some() && own == leads {
                return Ok(member);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("etcd has no leader after 20 s".into())
}

async fn measure(plan: &Plan, members: &Members) -> Result<String, Failure> {
    let leader = leader().await?;
    let count = plan.clients.div_ceil(PER_CONNECTION);
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(connect(leader).await?);
    }
    let from_ns = now_ns() + WARM_UP_MS * 1_000_000;
    let until_ns = from_ns + plan.duration_ms * 1_000_000;
    let latencies: Arc<Mutex<Vec<u64>>> = Arc::default();
    let value = vec![b'x'; plan.size_b];
    let mut tasks = Vec::new();
    for client in 0..plan.clients {
        let sender = connections[client % count].clone();
        let message = put(format!("client-{client}").as_bytes(), &value);
        let latencies = Arc::clone(&latencies);
        tasks.push(tokio::spawn(async move {
            let mut own = Vec::new();
            loop {
                let began_ns = now_ns();
                if began_ns >= until_ns {
                    break;
                }
                call(&sender, PUT, message.clone()).await.map_err(|error| error.to_string())?;
                if began_ns >= from_ns {
                    own.push(now_ns() - began_ns);
                }
            }
            latencies.lock().unwrap_or_else(PoisonError::into_inner).append(&mut own);
            Ok::<(), String>(())
        }));
    }
    tokio::time::sleep(Duration::from_millis(WARM_UP_MS)).await;
    let cpu_before = cpu_ns() + members.cpu_ns();
    for task in tasks {
        task.await??;
    }
    let cpu_ns = (cpu_ns() + members.cpu_ns()).saturating_sub(cpu_before);
    let mut all = std::mem::take(&mut *latencies.lock().unwrap_or_else(PoisonError::into_inner));
    all.sort_unstable();
    let at = |per_mille: usize| all.get(all.len() * per_mille / 1_000).copied().unwrap_or(0);
    let (p50, p99) = (at(500), at(990));
    let (count, ns) = (all.len(), plan.duration_ms * 1_000_000);
    Ok(format!("result messages={count} ns={ns} p50_ns={p50} p99_ns={p99} cpu_ns={cpu_ns}"))
}
