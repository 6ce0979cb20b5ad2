//! A line for the Content-Type header, and what follows as the body of a request.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let body = data.get(end + 1..).unwrap_or_default();
    likeness_fuzz::read_form(&data[..end], body);
});
