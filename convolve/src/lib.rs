//! Convolutions of feature maps, in bytes and in floats, as quickly as the processor at hand computes them; in floats on
//! `x86_64` only.

#![expect(
    clippy::inline_always,
    reason = "what is inlined is compiled for the processor that its caller is for"
)]

pub mod bytes;
#[cfg(target_arch = "x86_64")]
pub mod floats;
mod shape;

pub use shape::Shape;
