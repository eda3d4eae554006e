//! Counting what is allocated, to prove that the hot paths allocate nothing.
//!
//! A program that makes [`Counting`] its global allocator can ask [`on_this_thread`] how often this
//! thread has asked for memory. It costs one addition to a cell of the thread per request, so a
//! program that allocates nothing per message pays nothing per message.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counting per thread.
#[derive(Clone, Copy, Debug)]
pub struct Counting;

thread_local! {
    static REQUESTS: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread has asked for memory, growth of what it had included. Stays 0 in a program
/// whose allocator is another one: see [`is_counted`].
#[must_use]
pub fn on_this_thread() -> u64 {
    REQUESTS.get()
}

/// Whether this program counts at all.
#[must_use]
pub fn is_counted() -> bool {
    let before = on_this_thread();
    drop(std::hint::black_box(Box::new(0_u64)));
    on_this_thread() > before
}

fn note() {
    // Never panics, since a panic allocates: it wraps, and the cell has no destructor to run before.
    REQUESTS.set(REQUESTS.get().wrapping_add(1));
}

// SAFETY: every call is passed on to the system's allocator as it came; counting touches only a
// thread-local cell that needs neither allocation nor destruction.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller keeps `alloc`'s conditions, which are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the memory came from the system's allocator, with this layout; the caller keeps
        // the other conditions.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the memory came from the system's allocator, with this layout.
        unsafe { System.dealloc(memory, layout) }
    }
}
