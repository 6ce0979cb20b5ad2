//! Self-hosted face verification and identification for organizations.
//!
//! Data flows in one direction. Each arrow is one function, and its input can be created in no other way:
//!
//! `bytes -> Photo -> Face -> AlignedFace -> Embedding -> (Template | Gallery) -> Score -> Decision`
//!
//! - [`photo`] detects the format, applies the limits and decodes; [`face`] selects the prominent face and aligns it;
//!   [`quality`] assesses whether it is suitable as a reference, [`presentation`] whether it is live; [`engine`] runs the networks, with bounded concurrency.
//! - An [`embedding`] is the output of the encoder for a face. It leaves memory only as a sealed template ([`seal`]) for
//!   the [`store`], and is compared ([`comparison`]) with the references in the [`gallery`].
//! - [`recognizer`] combines these into use cases; [`http`] and [`cli`] are its interfaces. [`access`] authorizes callers,
//!   [`audit`] records events. [`evaluation`] measures error rates on an organization's own photos, and [`report`] renders
//!   them.
//!
//! Deliberately absent: photos are never stored; embeddings are never returned, logged or compared across models; nothing
//! is downloaded.

pub mod photo;

pub mod face;

pub mod quality;

pub mod presentation;

pub mod embedding;

pub mod comparison;

pub mod employee;

pub mod gallery;

pub mod evaluation;

pub mod report;

pub mod timings;

pub mod engine;

mod random;

pub mod seal;

pub mod audit;

pub mod store;

pub mod recognizer;

pub mod access;

pub mod http;

pub mod config;

pub mod telemetry;

pub mod cli;
