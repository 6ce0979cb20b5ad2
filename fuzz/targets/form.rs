//! A line for the Content-Type header, and what follows as the body of a request.

#![no_main]

use libfuzzer_sys::fuzz_target;
use likeness_fuzz::Heap;

#[global_allocator]
static HEAP: Heap = Heap::new();

/// The body is held twice, whole and in pieces; each is read into fields and written again.
const MOST_BYTES_A_BYTE: usize = 16;

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let body = data.get(end + 1..).unwrap_or_default();
    let ((), peak) = HEAP.peak_of(|| likeness_fuzz::read_form(&data[..end], body));
    assert!(peak < MOST_BYTES_A_BYTE * body.len() + (1 << 20), "{peak} bytes for {}", body.len());
});
