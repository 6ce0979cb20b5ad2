//! Memory of the process after its models are loaded.

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

/// Other allocators return freed memory themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn release_freed() {}
