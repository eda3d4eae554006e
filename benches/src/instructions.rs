//! The hot paths, each a fixed piece of work, to be counted in instructions.
//!
//! Wall time moves by tens of per cent on a shared machine; the number of instructions that the same
//! work takes does not. `cargo x instructions` runs this program under callgrind, which collects only
//! inside of [`collected`], path by path, and compares the counts with `benches/instructions.txt`. Nothing here reads a clock or a random source, so nothing varies but the
//! code. Run without callgrind it only shows that the paths work.

mod datapath;
mod roles;
mod streams;

use std::hint::black_box;
use syncom_wire::ids::mix;

/// What a path has done.
#[derive(Clone, Copy, Debug)]
struct Done {
    /// Operations: what the instructions are divided by.
    operations: u64,
    /// Of everything that was computed.
    hash: u64,
}

/// A path and what has to be done once to be able to walk it.
struct Path {
    name: &'static str,
    walk: Box<dyn FnMut() -> Done>,
}

impl Path {
    fn new(name: &'static str, walk: impl FnMut() -> Done + 'static) -> Self {
        Self { name, walk: Box::new(walk) }
    }

    /// A path of equal operations, each told its number and returning something of what it did.
    fn repeated(
        name: &'static str,
        operations: u64,
        mut operation: impl FnMut(u64) -> u64 + 'static,
    ) -> Self {
        let mut next = 0;
        Self::new(name, move || {
            let mut hash = 0;
            for number in next..next + operations {
                hash = mix(hash ^ operation(number));
            }
            next += operations;
            Done { operations, hash }
        })
    }
}

/// Walks every path, or the one at `only`, twice: first to warm up, then to be counted. Prints a line
/// for each: its name, its operations and a hash of what it computed.
pub(crate) fn run(only: Option<usize>) {
    let paths = [datapath::paths(), streams::paths(), roles::paths()];
    let is_wanted = |at: usize| only.is_none_or(|only| only == at);
    for (at, mut path) in paths.into_iter().flatten().enumerate() {
        if is_wanted(at) {
            (path.walk)();
            let Done { operations, hash } = collected(&mut *path.walk);
            println!("{}\t{operations}\t{hash:016x}", path.name);
        }
    }
}

/// What callgrind counts. `cargo x instructions` knows it by this name.
#[inline(never)]
fn collected(walk: &mut dyn FnMut() -> Done) -> Done {
    // Were the call the last thing that happens, it would be a jump, and nothing would return here.
    black_box(walk())
}
