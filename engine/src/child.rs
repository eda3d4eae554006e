//! Child processes: started in a group of their own, watched by pidfd, never waited for.
//!
//! Everything about a child is an event of the loop's one poll: its end (the pidfd turns readable),
//! room in its stdin, bytes on its output. Stdout and stderr share one pipe, so that what a person
//! reads stands in the order in which it was written.

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::collections::BTreeMap;
use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use syncom_seam::{Exit, Spawn};

/// Tokens from here on belong to children.
const TOKENS: usize = 1 << 32;
/// Bytes read at a time.
const CHUNK: usize = 16 * 1024;
/// Chunks read from one child before others have their turn.
const CHUNKS_MAX: usize = 16;
/// What a shell says when it cannot start a command.
const NOT_STARTED: i32 = 127;

/// The end of a child: whose it was, its token, and how it ended.
pub type Ended = (usize, u64, Exit);

/// All children of the members of one host.
#[derive(Debug)]
pub struct Children {
    registry: Registry,
    running: BTreeMap<usize, Running>,
    next: usize,
    /// Children that had more to say when their turn was over.
    busy: Vec<usize>,
}

impl Children {
    /// No children; events go to `registry`'s poll.
    #[must_use]
    pub const fn new(registry: Registry) -> Self {
        Self { registry, running: BTreeMap::new(), next: 0, busy: Vec::new() }
    }

    /// Starts a child for a member.
    ///
    /// # Errors
    /// The exit (127, with the reason as its output) of a child that could not be started.
    pub fn spawn(&mut self, member: usize, spawn: Spawn) -> Result<(), Exit> {
        let program = spawn.argv.first().cloned().unwrap_or_default();
        let running =
            Running::start(member, spawn).map_err(|error| not_started(&program, &error))?;
        let id = self.next;
        if let Err(error) = running.register(&self.registry, Token(TOKENS + id)) {
            return Err(not_started(&program, &error));
        }
        self.next += 1;
        self.running.insert(id, running);
        Ok(())
    }

    /// Sends a signal to the process group of a member's child, if it still runs.
    pub fn kill(&self, member: usize, token: u64, signal: i32) {
        let of_token = |child: &&Running| child.member == member && child.token == token;
        for child in self.running.values().filter(of_token) {
            child.signal_group(signal);
        }
    }

    /// Kills and forgets all children of a member that is gone.
    pub fn abandon(&mut self, member: usize) {
        // Dropping a child kills its group.
        self.running.retain(|_, child| child.member != member);
    }

    /// Whether an event is about a child.
    #[must_use]
    pub const fn owns(token: Token) -> bool {
        token.0 >= TOKENS
    }

    /// Attends to the child that an event is about; tells its end, if it has ended.
    pub fn on_event(&mut self, token: Token) -> Option<Ended> {
        let id = token.0.checked_sub(TOKENS)?;
        // One that writes without end has its turn when all such have.
        if self.busy.contains(&id) { None } else { self.attend(id) }
    }

    /// Attends to the children that had more to say; tells the ends of those that have ended.
    pub fn on_turn(&mut self, mut ended: impl FnMut(Ended)) {
        for id in std::mem::take(&mut self.busy) {
            if let Some(end) = self.attend(id) {
                ended(end);
            }
        }
    }

    /// Whether [`Self::on_turn`] has something to do at once.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    fn attend(&mut self, id: usize) -> Option<Ended> {
        let child = self.running.get_mut(&id)?;
        child.feed();
        // Whether it has ended is asked before reading, so that its last words are not missed.
        let status = child.process.try_wait().ok().flatten();
        let has_more = child.listen();
        let Some(status) = status else {
            if has_more && !self.busy.contains(&id) {
                self.busy.push(id);
            }
            return None;
        };
        let mut child = self.running.remove(&id)?;
        child.is_reaped = true;
        let output = std::mem::take(&mut child.output);
        let exit = Exit { code: code(status), output, output_total: child.output_total };
        Some((child.member, child.token, exit))
    }
}

#[derive(Debug)]
struct Running {
    member: usize,
    token: u64,
    process: Child,
    pidfd: OwnedFd,
    stdin: Option<ChildStdin>,
    /// What is still to be written to its stdin, from `fed` on.
    food: Vec<u8>,
    fed: usize,
    pipe: Option<PipeReader>,
    output: Vec<u8>,
    output_max: usize,
    output_total: u64,
    is_reaped: bool,
}

impl Running {
    fn start(member: usize, spawn: Spawn) -> io::Result<Self> {
        let Some((program, arguments)) = spawn.argv.split_first() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no command given"));
        };
        let (pipe, writer) = io::pipe()?;
        set_nonblocking(&pipe)?;
        let stdin = if spawn.stdin.is_empty() { Stdio::null() } else { Stdio::piped() };
        let mut process = Command::new(program)
            .args(arguments)
            .stdin(stdin)
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .spawn()?;
        let stdin = process.stdin.take();
        let pidfd = match open_pidfd(&process) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                let _ = process.kill().and_then(|()| process.wait());
                return Err(error);
            }
        };
        let child = Self {
            member,
            token: spawn.token,
            process,
            pidfd,
            stdin,
            food: spawn.stdin,
            fed: 0,
            pipe: Some(pipe),
            output: Vec::new(),
            output_max: spawn.output_max,
            output_total: 0,
            is_reaped: false,
        };
        if let Some(stdin) = &child.stdin {
            set_nonblocking(stdin)?;
        }
        Ok(child)
    }

    fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        let register = |fd: i32, interest| registry.register(&mut SourceFd(&fd), token, interest);
        register(self.pidfd.as_raw_fd(), Interest::READABLE)?;
        if let Some(pipe) = &self.pipe {
            register(pipe.as_raw_fd(), Interest::READABLE)?;
        }
        if let Some(stdin) = &self.stdin {
            register(stdin.as_raw_fd(), Interest::WRITABLE)?;
        }
        Ok(())
    }

    /// Writes what its stdin takes; closes it when all is written or the child does not care.
    fn feed(&mut self) {
        while let Some(stdin) = &mut self.stdin {
            match stdin.write(self.food.get(self.fed..).unwrap_or_default()) {
                Ok(written) => self.fed += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => self.fed = self.food.len(),
            }
            if self.fed >= self.food.len() {
                self.stdin = None;
            }
        }
    }

    /// Reads what it has written; says whether there may be more.
    fn listen(&mut self) -> bool {
        let mut chunk = [0; CHUNK];
        for _ in 0..CHUNKS_MAX {
            let Some(pipe) = &mut self.pipe else { return false };
            match pipe.read(&mut chunk) {
                Ok(0) => self.pipe = None,
                Ok(count) => {
                    let room = self.output_max.saturating_sub(self.output.len());
                    self.output.extend_from_slice(&chunk[..count.min(room)]);
                    self.output_total += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => self.pipe = None,
            }
        }
        true
    }

    fn signal_group(&self, signal: i32) {
        let Ok(group) = libc::pid_t::try_from(self.process.id()) else { return };
        // SAFETY: the call takes no pointers. The child has not been reaped, so its number, which
        // is also its group's, belongs to nobody else.
        unsafe {
            libc::kill(-group, signal);
        }
    }
}

impl Drop for Running {
    /// A child that nobody will hear of any more must not go on.
    fn drop(&mut self) {
        if !self.is_reaped {
            self.signal_group(libc::SIGKILL);
            let _ = self.process.wait();
        }
    }
}

fn not_started(program: &str, error: &io::Error) -> Exit {
    let output = format!("cannot start {program:?}: {error}").into_bytes();
    Exit { code: NOT_STARTED, output_total: output.len() as u64, output }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn open_pidfd(process: &Child) -> io::Result<OwnedFd> {
    // SAFETY: the call takes a process id and flags, no pointers; the result is checked.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, process.id(), 0) };
    match i32::try_from(fd) {
        // SAFETY: the descriptor was just made and belongs to nobody else.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        Ok(_) | Err(_) => Err(io::Error::last_os_error()),
    }
}

fn set_nonblocking(pipe: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: the descriptor is open as long as `pipe` is borrowed; the command takes an integer.
    let failed = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } != 0;
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}
