//! A buffer for bytes that arrive in pieces. A large buffer is memory-mapped, so that its pages
//! return to the system: an allocator would keep the memory of a burst of large bodies.

use std::io;

use bytes::{Bytes, BytesMut};
use memmap2::MmapMut;

/// Size up to which the allocator is used, since it is faster.
const SMALL: usize = 1024 * 1024;

/// A buffer with a maximum size.
#[derive(Debug)]
pub(super) struct Buffer {
    small: BytesMut,
    /// Replaces the small buffer once that is full.
    large: Option<MmapMut>,
    length: usize,
    most: usize,
}

impl Buffer {
    /// Creates an empty buffer for at most this number of bytes.
    pub(super) fn new(most: usize) -> Self {
        Self { small: BytesMut::new(), large: None, length: 0, most }
    }

    /// Appends a piece. Returns `false` and appends nothing if it does not fit.
    ///
    /// # Errors
    /// If the system has no more memory.
    pub(super) fn append(&mut self, piece: &[u8]) -> io::Result<bool> {
        let end = self.length + piece.len();
        if end > self.most {
            return Ok(false);
        }
        if self.large.is_none() && end > SMALL {
            let mut pages = MmapMut::map_anon(self.most)?;
            pages[..self.length].copy_from_slice(&self.small);
            (self.small, self.large) = (BytesMut::new(), Some(pages));
        }
        match &mut self.large {
            Some(pages) => pages[self.length..end].copy_from_slice(piece),
            None => self.small.extend_from_slice(piece),
        }
        self.length = end;
        Ok(true)
    }

    /// Returns the appended bytes.
    pub(super) fn into_bytes(self) -> Bytes {
        match self.large {
            Some(pages) => Bytes::from_owner(pages).slice(..self.length),
            None => self.small.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_appended_up_to_the_bound() {
        for (most, length) in [(10, 4), (3 * SMALL, SMALL / 2)] {
            let mut buffer = Buffer::new(most);
            let mut expected = Vec::new();
            for number in 0.. {
                let piece = vec![number; length];
                if !buffer.append(&piece).unwrap() {
                    break;
                }
                expected.extend(piece);
            }
            assert_eq!(expected.len(), most / length * length);
            assert_eq!(buffer.into_bytes(), expected);
        }
    }
}
