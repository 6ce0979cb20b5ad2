//! Any text, as the manifest of an encoder and of a detector and as a calibration.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| likeness_fuzz::read_manifest(text));
