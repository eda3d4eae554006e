//! Network namespaces joined by wires: where tests and benches use interfaces of their own.
//!
//! Namespaces have no names. They live as long as somebody holds them, an open socket included, so
//! nothing is left behind however a process ends. Needs CAP_SYS_ADMIN and the command `ip`.

use crate::clock;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::thread;
use syncom_seam::SECOND;

/// How long a wire may take to carry, in ns.
const WIRES_NS: u64 = 60 * SECOND;

/// The interface that every namespace of a lab has.
pub const INTERFACE: &str = "eth0";

/// A network namespace.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// An empty one.
    ///
    /// # Errors
    /// When this process may not make one.
    pub fn new() -> io::Result<Self> {
        on_thread(|| {
            // SAFETY: takes an integer, and changes this thread alone.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            File::open("/proc/thread-self/ns/net").map(Self)
        })
    }

    /// Does `work` on a thread inside. What it opens can be used anywhere.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the work's own.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_thread(|| {
            // SAFETY: the descriptor is open; the call changes this thread alone.
            if unsafe { libc::setns(self.0.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            work()
        })
    }

    /// Runs commands of `ip`, one per line, inside.
    ///
    /// # Errors
    /// When there is no `ip`, or a command fails.
    pub fn ip(&self, commands: &str) -> io::Result<()> {
        self.ip_says(&[], commands).map(drop)
    }

    /// Waits until every wire here carries, and every port of a switch passes frames on: the kernel takes
    /// its time for that, up to a second when links come and go elsewhere.
    fn await_wires(&self) -> io::Result<()> {
        let deadline = clock::now().after(WIRES_NS);
        while clock::now() < deadline {
            let links = self.ip_says(&["-details", "-oneline"], "link show type veth\n")?;
            let is_up = |link: &str| {
                let is_open = !link.contains("bridge_slave") || link.contains("state forwarding");
                link.contains("state UP") && is_open
            };
            if links.lines().all(is_up) {
                return Ok(());
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "a wire between namespaces does not carry"))
    }

    fn ip_says(&self, options: &[&str], commands: &str) -> io::Result<String> {
        self.enter(|| {
            let mut ip = Command::new("ip");
            ip.args(options).args(["-batch", "-"]);
            ip.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let why = |error| io::Error::other(format!("the command `ip`: {error}"));
            let mut child = ip.spawn().map_err(why)?;
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(commands.as_bytes())?;
            }
            let output = child.wait_with_output()?;
            if output.status.success() {
                return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
            }
            Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
        })
    }

    /// How `ip` finds this namespace.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

fn on_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let joined = thread::scope(|scope| scope.spawn(work).join());
    joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Namespaces with an interface each, at one Ethernet.
///
/// The namespace at index `i` has the addresses `10.77.0.(i+1)` and `fd77::(i+1)`.
#[derive(Debug)]
pub struct Lab {
    /// The namespaces.
    pub seats: Vec<Namespace>,
    /// Where the switch is, if there are more than two.
    switch: Option<Namespace>,
}

impl Lab {
    /// Two namespaces with a wire between them.
    ///
    /// # Errors
    /// When something is missing here.
    pub fn pair() -> io::Result<Self> {
        let seats = vec![Namespace::new()?, Namespace::new()?];
        let far = seats[1].path();
        seats[0]
            .ip(&format!("link add {INTERFACE} type veth peer name {INTERFACE} netns {far}\n"))?;
        Self { seats, switch: None }.address()
    }

    /// So many namespaces, each with a wire to a switch.
    ///
    /// # Errors
    /// When something is missing here.
    pub fn star(count: u8) -> io::Result<Self> {
        let switch = Namespace::new()?;
        let seats = (0..count).map(|_| Namespace::new()).collect::<io::Result<Vec<_>>>()?;
        let mut script = "link add hub type bridge mcast_snooping 0\nlink set hub up\n".to_owned();
        for (number, seat) in seats.iter().enumerate() {
            let path = seat.path();
            // Writing to a string cannot fail.
            let _ = writeln!(
                script,
                "link add port{number} type veth peer name {INTERFACE} netns {path}\n\
                 link set port{number} master hub up"
            );
        }
        switch.ip(&script)?;
        Self { seats, switch: Some(switch) }.address()
    }

    /// Gives every interface its addresses and sets it up.
    fn address(self) -> io::Result<Self> {
        for (number, seat) in (1..).zip(&self.seats) {
            seat.ip(&format!(
                "link set lo up\n\
                 link set {INTERFACE} address {}\n\
                 address add 10.77.0.{number}/24 dev {INTERFACE}\n\
                 address add fd77::{number:x}/64 dev {INTERFACE} nodad\n\
                 link set {INTERFACE} up\n",
                mac(number)
            ))?;
        }
        self.seats.iter().chain(&self.switch).try_for_each(Namespace::await_wires)?;
        Ok(self)
    }

    /// Tells every namespace where all others are, so that nobody has to ask.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn introduce(&self) -> io::Result<()> {
        for (own, seat) in (1..).zip(&self.seats) {
            let mut script = String::new();
            for other in (1..).take(self.seats.len()).filter(|other| *other != own) {
                let mac: String = mac(other);
                let _ = writeln!(
                    script,
                    "neighbour replace 10.77.0.{other} lladdr {mac} dev {INTERFACE} nud permanent\n\
                     neighbour replace fd77::{other:x} lladdr {mac} dev {INTERFACE} nud permanent"
                );
            }
            seat.ip(&script)?;
        }
        Ok(())
    }
}

fn mac(number: usize) -> String {
    format!("02:00:00:00:77:{number:02x}")
}
