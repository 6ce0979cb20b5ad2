//! Memory for bytes that arrive in pieces. What is large lies in pages of its own, which go back to the system with it:
//! an allocator would keep what a burst of large bodies took.

use std::io;

use bytes::{Bytes, BytesMut};
use memmap2::MmapMut;

/// Up to here the allocator is quicker.
const SMALL: usize = 1024 * 1024;

/// Bytes so far, and how many there may be.
#[derive(Debug)]
pub(super) struct Buffer {
    small: BytesMut,
    /// In place of the small one once that is full.
    large: Option<MmapMut>,
    length: usize,
    most: usize,
}

impl Buffer {
    /// An empty one for at most so many bytes.
    pub(super) fn new(most: usize) -> Self {
        Self { small: BytesMut::new(), large: None, length: 0, most }
    }

    /// Appends a piece; `false` where it does not fit, and then nothing is appended.
    ///
    /// # Errors
    /// Where the system has no more memory.
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

    /// What was appended.
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
