//! Keeping the C allocator from holding memory that is not used.

/// Makes every block above `bytes` a mapping of its own, which goes back to the kernel when it is freed.
///
/// Without this the allocator raises its threshold with each large block that is freed, and keeps the next one.
pub fn map_blocks_above(bytes: i32) {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes plain numbers, and refuses values that it does not know.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, bytes);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = bytes;
}

/// Gives pages that hold nothing any more back to the kernel.
pub fn release_unused() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim only releases memory that is not allocated.
    unsafe {
        libc::malloc_trim(0);
    }
}
