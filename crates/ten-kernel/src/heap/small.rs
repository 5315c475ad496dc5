//! The heap of a process that allocates little, seldom, and in one thread: blocks of a few sizes,
//! cut one after the other from fresh pages, so that few pages are touched.
//!
//! ```text
//! 1..=16 B  17..=32 B  …  1025..=2048 B     a list of free blocks for each size
//! more                                      pages from the kernel, given back at once
//! ```
//!
//! A free block serves its own size again and is never joined with others: the process does the
//! same few things again and again.

use std::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    ptr,
};

/// The smallest block is of this many bytes; it must hold a pointer.
const SMALLEST: usize = 16;
/// Sizes of blocks, each twice the one before.
const SIZES: usize = 8;
/// The largest block; what is larger has pages of its own.
const LARGEST: usize = SMALLEST << (SIZES - 1);
/// Taken from the kernel at once to be cut up. What is not touched costs nothing.
const FRESH: usize = 64 * 1024;
/// Most alignment that pages have by themselves, on every machine.
const PAGE: usize = 4096;

#[derive(Debug)]
pub(super) struct Small(UnsafeCell<Blocks>);

#[derive(Debug)]
struct Blocks {
    /// By size: the first free block. Each holds the address of the next.
    free: [*mut u8; SIZES],
    /// Not cut up yet.
    fresh: *mut u8,
    left: usize,
}

// SAFETY: it is used by processes of one thread only (`begin_anew`).
unsafe impl Sync for Small {}

impl Small {
    pub(super) const fn new() -> Self {
        let free = [ptr::null_mut(); SIZES];
        Self(UnsafeCell::new(Blocks { free, fresh: ptr::null_mut(), left: 0 }))
    }
}

// SAFETY: a block has at least the size and the alignment that were asked for, belongs to one
// owner until that gives it back, and none of this unwinds.
unsafe impl GlobalAlloc for Small {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(size) = size(layout) else { return pages(layout) };
        // SAFETY: one thread (see above), and nothing in here allocates, so this is the only
        // reference.
        let blocks = unsafe { &mut *self.0.get() };
        let free = &mut blocks.free[size];
        if free.is_null() {
            return blocks.cut(SMALLEST << size);
        }
        let block = *free;
        // SAFETY: a free block holds the address of the next, written by `dealloc`.
        *free = unsafe { block.cast::<*mut u8>().read() };
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(size) = size(layout) else {
            // SAFETY: `pages` has made it, with this layout, and nobody uses it any more. It
            // cannot fail for what was mapped as a whole.
            unsafe { libc::munmap(block.cast(), layout.size()) };
            return;
        };
        // SAFETY: as in `alloc`.
        let blocks = unsafe { &mut *self.0.get() };
        // SAFETY: the block is nobody's now, and large and aligned enough for a pointer.
        unsafe { block.cast::<*mut u8>().write(blocks.free[size]) };
        blocks.free[size] = block;
    }
}

impl Blocks {
    /// A new block from the fresh pages. What an old row of them has left over, is left.
    fn cut(&mut self, bytes: usize) -> *mut u8 {
        // Blocks are aligned to their own size.
        let gap = self.fresh.align_offset(bytes);
        if self.left < gap + bytes {
            self.fresh = map(FRESH);
            self.left = if self.fresh.is_null() { 0 } else { FRESH };
            return if self.left == 0 { ptr::null_mut() } else { self.cut(bytes) };
        }
        // SAFETY: both are within the `left` bytes.
        let block = unsafe { self.fresh.add(gap) };
        // SAFETY: the same.
        self.fresh = unsafe { block.add(bytes) };
        self.left -= gap + bytes;
        block
    }
}

/// Which of the sizes; `None` where it is none of them.
fn size(layout: Layout) -> Option<usize> {
    let bytes = layout.size().max(layout.align()).max(SMALLEST).next_power_of_two();
    (bytes <= LARGEST).then(|| (bytes / SMALLEST).trailing_zeros() as usize)
}

fn pages(layout: Layout) -> *mut u8 {
    // Nothing of ten's asks for such an alignment.
    if layout.align() > PAGE { ptr::null_mut() } else { map(layout.size()) }
}

/// New pages, full of zeros; null where there are none.
fn map(bytes: usize) -> *mut u8 {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: asks for new memory at a place of the kernel's choice.
    let mapped = unsafe { libc::mmap(ptr::null_mut(), bytes, access, kind, -1, 0) };
    if mapped == libc::MAP_FAILED { ptr::null_mut() } else { mapped.cast() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(small: &Small, layout: Layout, with: u8) -> *mut u8 {
        // SAFETY: the layout is not of size 0, and the block is as large as it says.
        unsafe {
            let block = small.alloc(layout);
            assert!(!block.is_null() && block.addr().is_multiple_of(layout.align()));
            block.write_bytes(with, layout.size());
            block
        }
    }

    fn holds(block: *mut u8, layout: Layout, what: u8) -> bool {
        // SAFETY: the block was filled.
        unsafe { std::slice::from_raw_parts(block, layout.size()) }.iter().all(|byte| *byte == what)
    }

    #[test]
    fn no_block_has_two_owners_and_free_ones_serve_again() {
        let small = Small::new();
        let mut owned: Vec<(*mut u8, Layout, u8)> = Vec::new();
        let mut random = 1u32;
        let mut next = |below: usize| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) as usize % below
        };
        for round in 0..20_000 {
            if next(2) == 0 || owned.is_empty() {
                let most = 1 << next(14);
                let bytes = 1 + next(most);
                let layout = Layout::from_size_align(bytes, 1 << next(8)).unwrap();
                let with = round as u8;
                owned.push((filled(&small, layout, with), layout, with));
            } else {
                let (block, layout, with) = owned.swap_remove(next(owned.len()));
                assert!(holds(block, layout, with), "{layout:?}");
                // SAFETY: it is from there, and used no more.
                unsafe { small.dealloc(block, layout) };
            }
        }
        assert!(owned.iter().all(|(block, layout, with)| holds(*block, *layout, *with)));
    }

    #[test]
    fn what_is_asked_for_again_and_again_takes_no_new_pages() {
        let small = Small::new();
        let layout = Layout::new::<[u64; 9]>();
        let first = filled(&small, layout, 1);
        for _ in 0..FRESH {
            // SAFETY: it is from there, and used no more.
            unsafe { small.dealloc(first, layout) };
            assert_eq!(filled(&small, layout, 2), first);
        }
    }

    #[test]
    fn a_vector_grows_in_it_from_a_block_to_pages() {
        let small = Small::new();
        let layout = |bytes| Layout::from_size_align(bytes, 1).unwrap();
        let block = filled(&small, layout(10), 7);
        // SAFETY: it is from there with that layout, and the old one is used no more.
        let grown = unsafe { small.realloc(block, layout(10), 100_000) };
        assert!(holds(grown, layout(10), 7));
        // SAFETY: as above.
        let zeros = unsafe { small.alloc_zeroed(layout(10)) };
        assert_eq!((zeros, holds(zeros, layout(10), 0)), (block, true));
        // SAFETY: as above.
        unsafe { small.dealloc(grown, layout(100_000)) };
    }

    #[test]
    fn an_alignment_that_nobody_needs_is_refused() {
        let layout = Layout::from_size_align(1, 2 * PAGE).unwrap();
        // SAFETY: the layout is not of size 0.
        assert!(unsafe { Small::new().alloc(layout) }.is_null());
    }
}
