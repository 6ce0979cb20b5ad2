//! Direct convolutions of feature maps for inference: 8-bit on every processor, 32-bit float on
//! `x86_64` with AVX2 or AVX-512.
//!
//! A [`bytes::Convolution`] or `floats::Convolution` selects the fastest kernel of the processor
//! and lays its weights out once; `run` computes one image. Maps are in CHW order (channels, rows,
//! columns). The crate's README states kernels, accuracy and speed.

#![expect(
    clippy::inline_always,
    reason = "a function must be inlined to be compiled with its caller's target features"
)]

pub mod bytes;
#[cfg(target_arch = "x86_64")]
pub mod floats;
mod shape;

pub use shape::Shape;

/// Runs the README's example as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
