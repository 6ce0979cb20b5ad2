//! Rows of one width, contiguous in memory and overwritten on removal.

use std::ops::Range;

use zeroize::{DefaultIsZeroes, Zeroize};

/// Rows that are overwritten when they are removed or moved.
pub(super) struct Matrix<T: DefaultIsZeroes> {
    width: usize,
    values: Vec<T>,
}

impl<T: DefaultIsZeroes> Matrix<T> {
    /// Creates a matrix without rows.
    pub(super) fn new(width: usize) -> Self {
        Self { width, values: Vec::new() }
    }

    pub(super) fn row(&self, row: usize) -> &[T] {
        self.rows(row..row + 1)
    }

    pub(super) fn rows(&self, rows: Range<usize>) -> &[T] {
        &self.values[rows.start * self.width..rows.end * self.width]
    }

    pub(super) fn set(&mut self, row: usize, values: &[T]) {
        self.values[row * self.width..][..self.width].copy_from_slice(values);
    }

    /// Adds a row of `width` values.
    pub(super) fn push(&mut self, values: &[T]) {
        self.make_room();
        self.values.extend_from_slice(values);
    }

    /// Removes a row and moves the last one to its index.
    pub(super) fn swap_remove(&mut self, row: usize) {
        let last = self.values.len() - self.width;
        self.values.copy_within(last.., row * self.width);
        self.values[last..].zeroize();
        self.values.truncate(last);
    }

    /// Grows explicitly, so that the old memory is overwritten.
    fn make_room(&mut self) {
        if self.values.capacity() - self.values.len() >= self.width {
            return;
        }
        let mut larger = Vec::with_capacity((2 * self.values.len()).max(64 * self.width));
        larger.extend_from_slice(&self.values);
        std::mem::replace(&mut self.values, larger).zeroize();
    }
}

impl<T: DefaultIsZeroes> Drop for Matrix<T> {
    fn drop(&mut self) {
        self.values.zeroize();
    }
}
