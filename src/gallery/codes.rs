//! References in 8 bits, for a first pass over all: a search is bound by memory bandwidth, and these take a quarter of
//! it. The codes bound each cosine with a known error, so that only references that cannot be among the nearest are
//! skipped.

use std::ops::Range;

use super::integer_dot::{LANES, Probe};
use super::matrix::Matrix;

/// The largest code; -128 is not used, so that a code and its negative both are one.
const LARGEST: f32 = 127.0;

/// What rounding in 32-bit arithmetic may add to the error of a cosine, with room to spare.
const ROUNDING: f32 = 1e-5;

/// Each reference as `step * codes + remainder`.
pub(super) struct Codes {
    rows: Matrix<i8>,
    steps: Matrix<f32>,
    /// The length of the longest remainder that was ever held.
    remainder: f32,
}

/// A probe in codes of up to 16 bits: its own remainder counts for little.
pub(super) struct CodedProbe {
    codes: Probe,
    step: f32,
    remainder: f32,
}

/// Codes, their step, and the length of what they leave.
fn quantize(values: &[f32], largest: f32) -> (impl Iterator<Item = f32>, f32, f32) {
    let peak = values.iter().fold(0.0_f32, |peak, value| peak.max(value.abs()));
    let step = if peak > 0.0 { peak / largest } else { 1.0 };
    let codes = values.iter().map(move |value| (value / step).round());
    let left = values.iter().zip(codes.clone()).map(|(value, code)| value - step * code);
    (codes, step, left.map(|left| left * left).sum::<f32>().sqrt())
}

fn padded(width: usize) -> usize {
    width.next_multiple_of(LANES)
}

impl Codes {
    /// Creates an empty list of references of `width` values each.
    pub(super) fn new(width: usize) -> Self {
        Self { rows: Matrix::new(padded(width)), steps: Matrix::new(1), remainder: 0.0 }
    }

    pub(super) fn push(&mut self, reference: &[f32]) {
        let (codes, step) = self.encode(reference);
        self.rows.push(&codes);
        self.steps.push(&[step]);
    }

    pub(super) fn set(&mut self, row: usize, reference: &[f32]) {
        let (codes, step) = self.encode(reference);
        self.rows.set(row, &codes);
        self.steps.set(row, &[step]);
    }

    pub(super) fn swap_remove(&mut self, row: usize) {
        self.rows.swap_remove(row);
        self.steps.swap_remove(row);
    }

    fn encode(&mut self, reference: &[f32]) -> (Vec<i8>, f32) {
        let (codes, step, remainder) = quantize(reference, LARGEST);
        let mut codes: Vec<i8> = codes.map(|code| code as i8).collect();
        codes.resize(padded(reference.len()), 0);
        self.remainder = self.remainder.max(remainder);
        (codes, step)
    }

    /// Returns the maximum error of an estimate of the cosine with this probe: with r = r' + e and p = p' + d,
    /// `|r p - r' p'| <= |e| |p| + |d| |r'|`, where p has length 1 and r' at most `1 + |e|`.
    pub(super) fn error(&self, probe: &CodedProbe) -> f32 {
        self.remainder + probe.remainder * (1.0 + self.remainder) + ROUNDING
    }

    /// Estimates the cosines of a probe with a block of rows.
    pub(super) fn estimate(&self, rows: Range<usize>, probe: &CodedProbe, into: &mut Estimates) {
        into.dots.resize(rows.len(), 0);
        probe.codes.dots(self.rows.rows(rows.clone()), &mut into.dots);
        let steps = self.steps.rows(rows).iter().zip(&into.dots);
        into.cosines.clear();
        into.cosines.extend(steps.map(|(step, dot)| *dot as f32 * (step * probe.step)));
    }
}

/// The estimates of one block, and room to make them in.
#[derive(Default)]
pub(super) struct Estimates {
    dots: Vec<i32>,
    pub(super) cosines: Vec<f32>,
}

impl CodedProbe {
    pub(super) fn new(probe: &[f32]) -> Self {
        // So that no sum of products leaves 32 bits.
        let largest = (i32::MAX as f32 / (LARGEST * padded(probe.len()) as f32)).min(32_000.0);
        let (codes, step, remainder) = quantize(probe, largest.floor());
        let mut codes: Vec<i16> = codes.map(|code| code as i16).collect();
        codes.resize(padded(probe.len()), 0);
        Self { codes: Probe::new(codes), step, remainder }
    }
}
