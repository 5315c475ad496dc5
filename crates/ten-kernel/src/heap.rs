//! The heap of this process, as far as the kernel counts it.

/// Gives pages of the heap that nobody uses back to the kernel.
///
/// The allocator keeps what was freed for what comes next. Where little comes, as after a start or
/// in an init that only waits, that is memory for nothing; and a fork has its own copy of every
/// page that either side writes to. Costs some microseconds for each free block.
pub fn give_back_free_heap() {
    // SAFETY: malloc_trim(3) takes no pointer, is safe in any thread, and touches only memory that
    // is free.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
