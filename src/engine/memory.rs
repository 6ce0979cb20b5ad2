//! What glibc keeps of the memory that the process has freed.

/// Returns freed memory to the system. Loading a network frees several times the size of its
/// weights, which glibc keeps for later: 44 of 104 MB with `SFace` in 8 bits.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn release_freed() {
    #[expect(unsafe_code, reason = "glibc's declaration; it changes no memory that is in use")]
    unsafe extern "C" {
        safe fn malloc_trim(pad: usize) -> i32;
    }
    malloc_trim(0);
}

/// Bounds the arenas, each of which keeps what its threads have freed, to the number of workers: photos pass through
/// many threads of the runtime, but only as many at once. After a hundred photos of 12 megapixels and small ones, two
/// workers held 97 instead of 206 MB, and 193 instead of 280 at most.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn bound_arenas(workers: usize) {
    /// `M_ARENA_MAX` of malloc.h.
    const ARENA_MAX: i32 = -8;
    #[expect(unsafe_code, reason = "glibc's declaration; it sets a number")]
    unsafe extern "C" {
        safe fn mallopt(parameter: i32, value: i32) -> i32;
    }
    mallopt(ARENA_MAX, i32::try_from(workers.max(1)).unwrap_or(i32::MAX));
}

/// Other allocators return freed memory themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn release_freed() {}

/// Other allocators have no such bound.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn bound_arenas(_: usize) {}
