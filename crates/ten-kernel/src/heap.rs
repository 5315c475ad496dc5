//! The heap of this process, and how little of it is left to one that only waits.
//!
//! ```text
//! ten serve   the C library's heap ──fork──► init   begin_anew ──► `Small`: a page or two
//!                 └── front, keeper, `ten ps` …: the C library's for life
//! ```
//!
//! A fork has its own copy of every page that either side writes to. An init is one of very many,
//! and its launcher goes on working: page by page, nearly all of the launcher's heap would become
//! the init's own, for a few lines that it still needs. So it moves house: it copies those lines
//! into pages of its own and gives the rest back to the kernel, with the tables that map it.
//!
//! No policy is here: who begins anew, and with what, is decided by the caller.

mod small;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use self::small::Small;
use crate::procfs;

#[global_allocator]
static HEAP: Heap = Heap { anew: AtomicBool::new(false), small: Small::new() };

/// What is asked of the kernel beforehand.
static KNOWN: OnceLock<Known> = OnceLock::new();

struct Known {
    /// Where the C library's heap begins (proc_pid_stat(5), field 47), if it can be told.
    start: Option<usize>,
    /// The size of a page: before Linux 6.4 it is read from /proc, where an init is not let.
    page: usize,
}

/// As much of the stack below is given back: more than any step of a launch takes.
const STACK: usize = 256 * 1024;

/// What all Rust code of the process allocates from. C code goes to the C library by itself.
struct Heap {
    anew: AtomicBool,
    small: Small,
}

// SAFETY: each call is passed on as it came, to the one of two allocators that the block is from:
// `begin_anew` sees to it that no block of the first is used once the second is there.
//
// Never inlined: the choice at each of ten thousand places makes the binary an eighth larger.
unsafe impl GlobalAlloc for Heap {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe {
            match self.anew.load(Ordering::Relaxed) {
                false => System.alloc(layout),
                true => self.small.alloc(layout),
            }
        }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe {
            match self.anew.load(Ordering::Relaxed) {
                false => System.dealloc(block, layout),
                true => self.small.dealloc(block, layout),
            }
        }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe {
            match self.anew.load(Ordering::Relaxed) {
                false => System.alloc_zeroed(layout),
                true => self.small.alloc_zeroed(layout),
            }
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe {
            match self.anew.load(Ordering::Relaxed) {
                false => System.realloc(block, layout, size),
                true => self.small.realloc(block, layout, size),
            }
        }
    }
}

/// Finds out what [`begin_anew`] must know, while this process still sees /proc. What was found is
/// inherited by forks.
pub(crate) fn prepare() {
    KNOWN.get_or_init(|| {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let start = procfs::field(&stat, 47).and_then(|start| start.parse().ok());
        Known { start: start.filter(|start| *start != 0), page: rustix::param::page_size() }
    });
}

/// Gives up the heap that this process was born with, but for a copy of `kept`; the part of the
/// stack that was used below the caller, too.
///
/// # Safety
///
/// This process has one thread, and starts none from here on. What is on its heap now is never
/// used again: not by Rust code, and not by C code, so nothing of the C library is called that
/// allocates (opendir(3), realpath(3), fopen(3) …). A clone of `kept` shares nothing with it.
pub(crate) unsafe fn begin_anew<T: Clone>(kept: &T) -> T {
    HEAP.anew.store(true, Ordering::Relaxed);
    let kept = kept.clone();
    let Some(known) = KNOWN.get() else { return kept };
    if let Some(start) = known.start {
        // SAFETY: takes an address, and no pointer; everything from there on that brk(2) had
        // given is unmapped, and nobody uses it, as the caller promises. Not through libc, which
        // would believe that it may go on from there.
        unsafe { libc::syscall(libc::SYS_brk, start) };
    }
    give_back_stack(known.page);
    kept
}

/// What earlier calls have left below the frames that are in use.
#[inline(never)]
fn give_back_stack(page: usize) {
    let here = 0u8;
    // A page lower than where we are, for what is called from here.
    let top = ((&raw const here).addr() & !(page - 1)) - page;
    let bottom = std::ptr::without_provenance_mut(top - STACK);
    // SAFETY: the stack grows downwards, so all that is in use is above `top`. Below the stack the
    // kernel keeps a megabyte free of other mappings (stack_guard_gap). The answer does not matter:
    // where a part is not mapped, ENOMEM, the rest was given back all the same (madvise(2)).
    unsafe { libc::madvise(bottom, STACK, libc::MADV_DONTNEED) };
}

/// Gives pages of the heap that nobody uses back to the kernel.
///
/// The allocator keeps what was freed for what comes next. Where little comes, as after a start,
/// that is memory for nothing; and a fork has its own copy of every page that either side writes
/// to. Costs some microseconds for each free block.
pub fn give_back_free_heap() {
    // SAFETY: malloc_trim(3) takes no pointer, is safe in any thread, and touches only memory that
    // is free.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
