//! likeness knows a colleague by their face.
//!
//! One question is answered: do two photos show the same person? The way from a photo to a
//! decision runs in one direction, each arrow is one function, and what it takes can be made in no
//! other way:
//!
//! `bytes -> Photo -> Face -> AlignedFace -> Embedding -> (Template | Gallery) -> Score -> Decision`
//!
//! - [`photo`] sniffs, limits, decodes and turns upright; [`face`] says whose face is meant and
//!   aligns it; [`quality`] says whether it can serve as a reference; [`engine`] runs the networks
//!   between them and bounds how much happens at once.
//! - [`embedding`] is what a network makes of a face. It leaves memory only as a sealed template
//!   ([`seal`]) on its way to the [`store`], and is compared ([`comparison`]) with those in the
//!   [`gallery`].
//! - [`recognizer`] strings this together into use cases, [`http`] and [`cli`] offer them; [`access`]
//!   says who may call, [`audit`] keeps who did what, [`evaluation`] tells what an organisation's own photos say about all this.
//!
//! What is deliberately absent: photos are never stored; embeddings are never returned, logged or
//! compared across models; nothing is fetched from anywhere; whether a real person stood before the
//! camera (presentation-attack detection) is not judged.

pub mod photo;

pub mod face;

pub mod quality;

pub mod embedding;

pub mod comparison;

pub mod employee;

pub mod gallery;

pub mod evaluation;

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
