//! Which cores there are, and keeping a thread on one of them.

use std::io;

/// Cores that this process may run on, in ascending order: what affinity masks, cgroups and
/// `taskset` left of the machine.
///
/// # Errors
/// When the kernel refuses, for example because it has more cores than the mask can name (1024).
pub fn cores() -> io::Result<Vec<usize>> {
    let mut set = empty();
    // SAFETY: `set` is a valid cpu_set_t and its true size is passed; 0 means this thread.
    let result = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((0..CORES_MAX).filter(|core| is_set(&set, *core)).collect())
}

/// Keeps the calling thread on `core` from now on.
///
/// # Errors
/// When there is no such core or this process may not use it; the thread stays where it was.
pub fn pin(core: usize) -> io::Result<()> {
    if core >= CORES_MAX {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut set = empty();
    // SAFETY: `core` is below CPU_SETSIZE, so the bit lies inside `set`.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: `set` is a valid cpu_set_t and its true size is passed; 0 means this thread.
    let result =
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const CORES_MAX: usize = libc::CPU_SETSIZE as usize;

fn empty() -> libc::cpu_set_t {
    // SAFETY: cpu_set_t is an array of integers; all zeroes is the empty set.
    unsafe { std::mem::zeroed() }
}

fn is_set(set: &libc::cpu_set_t, core: usize) -> bool {
    // SAFETY: callers pass cores below CPU_SETSIZE, so the bit lies inside `set`.
    unsafe { libc::CPU_ISSET(core, set) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_sees_only_its_core() {
        let last = *cores().unwrap().last().unwrap();
        let seen = std::thread::spawn(move || pin(last).and_then(|()| cores())).join().unwrap();
        assert_eq!(seen.unwrap(), [last]);
        assert!(cores().unwrap().contains(&last));
    }

    #[test]
    fn a_core_that_does_not_exist_is_refused() {
        assert!(pin(CORES_MAX).is_err());
        assert!(std::thread::spawn(|| pin(CORES_MAX - 1)).join().unwrap().is_err());
    }
}
