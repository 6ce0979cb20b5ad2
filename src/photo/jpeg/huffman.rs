//! Huffman codes of a JPEG, to skip entropy-coded data.

/// Maximum length of codes that are looked up in one step, in bits.
const LOOKAHEAD: u32 = 9;

/// The error at the end of the data before the next marker, or for an invalid code.
#[derive(Debug)]
pub(super) struct Lost;

/// A Huffman table in a file (ITU-T T.81, B.2.4.2).
#[derive(Clone, Debug)]
pub(super) struct Specification {
    /// Numbers of codes of 1 to 16 bits.
    counts: [u8; 16],
    symbols: Vec<u8>,
}

impl Specification {
    /// Reads a table; returns it with the bytes after it.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (counts, rest) = bytes.split_first_chunk::<16>()?;
        let length = counts.iter().map(|count| usize::from(*count)).sum::<usize>();
        let (symbols, rest) = rest.split_at_checked(length)?;
        (length <= 256).then(|| (Self { counts: *counts, symbols: symbols.to_vec() }, rest))
    }

    pub(super) fn table(&self) -> Table {
        let mut table =
            Table { short: [0; 1 << LOOKAHEAD], ends: [0; 17], symbols: [0; 256], firsts: [0; 17] };
        let (mut code, mut at) = (0_u32, 0_usize);
        for (length, count) in (1..).zip(self.counts) {
            table.firsts[length as usize] = at as i32 - code.cast_signed();
            for _ in 0..count {
                let Some(&symbol) = self.symbols.get(at) else { break };
                table.symbols[at] = symbol;
                if length <= LOOKAHEAD {
                    let first = (code << (LOOKAHEAD - length)) as usize;
                    let codes = table.short.iter_mut().skip(first).take(1 << (LOOKAHEAD - length));
                    codes.for_each(|short| *short = (length as u16) << 8 | u16::from(symbol));
                }
                (code, at) = (code + 1, at + 1);
            }
            table.ends[length as usize] = code << (16 - length);
            code <<= 1;
        }
        table
    }
}

/// A table for decoding.
pub(super) struct Table {
    /// Length and symbol of the code that the next bits begin with; 0 if it is longer.
    short: [u16; 1 << LOOKAHEAD],
    /// The end of the codes of each length, in 16 bits.
    ends: [u32; 17],
    /// Offset from a code of each length to the index of its symbol.
    firsts: [i32; 17],
    symbols: [u8; 256],
}

/// A reader of the bits of entropy-coded data.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, from the highest bit on.
    next: u64,
    /// The number of these bits.
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, next: 0, count: 0 }
    }

    /// Returns the position after the bits that were read, at most that of the next marker.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Reads the symbol of the next code.
    #[inline]
    pub(super) fn symbol(&mut self, table: &Table) -> Result<u8, Lost> {
        self.fill();
        let short = table.short[(self.next >> (64 - LOOKAHEAD)) as usize];
        if short != 0 {
            self.take(u32::from(short >> 8))?;
            return Ok(short as u8);
        }
        let code = (self.next >> 48) as u32;
        let length =
            (LOOKAHEAD as usize + 1..=16).find(|length| code < table.ends[*length]).ok_or(Lost)?;
        let at = (code >> (16 - length)).cast_signed() + table.firsts[length];
        self.take(length as u32)?;
        usize::try_from(at).ok().and_then(|at| table.symbols.get(at)).copied().ok_or(Lost)
    }

    /// Reads a number of at most 16 bits.
    #[inline]
    pub(super) fn number(&mut self, bits: u32) -> Result<u32, Lost> {
        if bits == 0 {
            return Ok(0);
        }
        self.fill();
        let number = (self.next >> (64 - bits)) as u32;
        self.take(bits)?;
        Ok(number)
    }

    /// Skips to the end of the next restart marker; `false` if another marker or the end comes
    /// first.
    pub(super) fn restart(&mut self) -> bool {
        (self.next, self.count) = (0, 0);
        while let Some([first, second]) = self.bytes.get(self.at..self.at + 2) {
            match (first, second) {
                (0xFF, 0xD0..=0xD7) => {
                    self.at += 2;
                    return true;
                }
                (0xFF, 0x01..=0xFE) => return false,
                _ => self.at += 1,
            }
        }
        false
    }

    #[inline]
    fn take(&mut self, bits: u32) -> Result<(), Lost> {
        self.count = self.count.checked_sub(bits).ok_or(Lost)?;
        self.next <<= bits;
        Ok(())
    }

    /// Reads until there are more than 32 bits or a marker follows.
    #[inline]
    fn fill(&mut self) {
        if self.count > 32 {
            return;
        }
        if let Some(four) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<4>)
            && !four.contains(&0xFF)
        {
            self.next |= u64::from(u32::from_be_bytes(*four)) << (32 - self.count);
            self.count += 32;
            self.at += 4;
            return;
        }
        self.fill_by_bytes();
    }

    fn fill_by_bytes(&mut self) {
        while self.count <= 56 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            // A byte 0xFF that is not a marker is followed by 0x00 (T.81, B.1.1.5).
            let length = match (byte, self.bytes.get(self.at + 1)) {
                (0xFF, Some(0)) => 2,
                (0xFF, _) => return,
                _ => 1,
            };
            self.next |= u64::from(byte) << (56 - self.count);
            self.count += 8;
            self.at += length;
        }
    }
}
