//! The service's own source files for what strangers' bytes reach, without the service around them: no
//! network is loaded, so no inference engine is built.
//!
//! Nothing here is a copy. A file that needs more of the service than stands here doesn't build, which says
//! that a parser has begun to know more than it should.

#![expect(dead_code, reason = "the service uses what the parsers do not")]

#[path = "../../src/comparison.rs"]
mod comparison;
#[path = "../../src/embedding.rs"]
pub mod embedding;
#[path = "../../src/employee.rs"]
pub mod employee;
mod engine;
mod heap;
mod http;
#[path = "../../src/photo/mod.rs"]
pub mod photo;
#[path = "../../src/seal/mod.rs"]
pub mod seal;

pub use engine::read_manifest;
pub use heap::Heap;
pub use http::read_form;
