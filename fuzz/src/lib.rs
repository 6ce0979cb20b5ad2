//! The service's parsers of untrusted input, included from its source files without the rest of the
//! service: no network is loaded, so no inference engine is built.
//!
//! Nothing here is a copy. If a parser begins to depend on more of the service, this crate doesn't
//! build.

#![expect(dead_code, unused_imports, reason = "the service uses what the parsers do not")]

#[path = "../../src/comparison.rs"]
mod comparison;
#[path = "../../src/embedding.rs"]
pub mod embedding;
#[path = "../../src/employee.rs"]
pub mod employee;
mod engine;
#[path = "../../src/face/mod.rs"]
mod face;
mod heap;
mod http;
#[path = "../../src/photo/mod.rs"]
pub mod photo;
#[path = "../../src/presentation/mod.rs"]
mod presentation;
#[path = "../../src/quality.rs"]
mod quality;
#[path = "../../src/random.rs"]
mod random;
#[path = "../../src/seal/mod.rs"]
pub mod seal;

pub use engine::read_manifest;
pub use heap::Heap;
pub use http::read_form;
