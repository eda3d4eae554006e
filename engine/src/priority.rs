//! Being heard when everybody else computes.
//!
//! A heartbeat that is late looks like a death. Two things make a healthy process late: others that
//! take all cores, and its own memory being read back from disk. Where the system allows it, a thread
//! that sends and judges heartbeats therefore runs before all ordinary ones (`SCHED_FIFO`, at the
//! lowest real-time priority: whatever else is real-time here goes first), and what it has touched
//! stays in memory. It needs so little time that nobody notices; a thread gone wild is held to its
//! share by the kernel (`sched_rt_runtime_us`). Threads and programs that it starts are ordinary.

use std::fs;
use std::io;

/// The lowest real-time priority.
const PRIORITY: libc::c_int = 1;
/// Number of `CAP_IPC_LOCK` in masks of capabilities.
const CAP_IPC_LOCK: u32 = 14;

/// Lets the calling thread run before all ordinary ones from now on. Threads that it starts later,
/// and programs, are ordinary.
///
/// # Errors
/// When the system does not permit it (`CAP_SYS_NICE` or a limit of real-time priority does);
/// nothing has changed.
pub fn rise() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: PRIORITY };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: `parameters` is a valid sched_param that outlives the call, and the kernel only reads
    // it; 0 means this thread.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Keeps every page of this process in memory once it was touched, from now on. What was never
/// touched takes none.
///
/// # Errors
/// When the system permits less than all of it: with a limit, some later allocation would fail.
pub fn stay_in_memory() -> io::Result<()> {
    if !may_lock_all()? {
        return Err(io::Error::from(io::ErrorKind::PermissionDenied));
    }
    let all = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    // SAFETY: mlockall takes flags alone and changes no memory that we can see.
    let result = unsafe { libc::mlockall(all) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether this process may lock as much memory as it likes.
fn may_lock_all() -> io::Result<bool> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that outlives the call; the kernel writes nothing else.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur == libc::RLIM_INFINITY || has_capability(CAP_IPC_LOCK))
}

fn has_capability(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    mask >> number & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn policy() -> libc::c_int {
        // SAFETY: sched_getscheduler takes an integer alone; 0 means this thread.
        unsafe { libc::sched_getscheduler(0) }
    }

    #[test]
    fn a_thread_that_rises_goes_alone_and_one_that_may_not_stays_as_it_is() {
        let seen = thread::spawn(|| {
            let before = policy();
            let risen = rise();
            (before, risen, policy(), thread::spawn(policy).join().unwrap())
        });
        let (before, risen, after, child) = seen.join().unwrap();
        match risen {
            Ok(()) => assert_eq!(after, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
                assert_eq!(after, before);
            }
        }
        assert_eq!(child, libc::SCHED_OTHER);
    }

    #[test]
    fn memory_is_kept_only_where_all_of_it_may_be() {
        assert_eq!(stay_in_memory().is_ok(), may_lock_all().unwrap());
        // Whatever was permitted, memory can be had as before.
        assert_eq!(
            vec![1_u8; 64 << 20].iter().step_by(4_096).map(|byte| u64::from(*byte)).sum::<u64>(),
            16_384
        );
    }
}
