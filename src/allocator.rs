//! Settings of the system's allocator.

/// Blocks from this size on are mapped one by one, and so returned to the system when they are freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED: libc::c_int = 2 << 20;

/// Free memory at the end of a heap that is kept for reuse.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: libc::c_int = 4 << 20;

/// Lets glibc return the memory of large bodies and photos. By default its threshold for mapping grows with every large
/// block that is freed, up to 32 MiB, and the heaps below it keep what a burst of requests took. Other C libraries map
/// large blocks anyway.
pub(crate) fn return_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(
        unsafe_code,
        reason = "mallopt(3) is a C function, and there is no other way to set these"
    )]
    // SAFETY: it sets two numbers of the allocator, before there is another thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
    }
}
