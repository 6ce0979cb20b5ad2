//! Computes the memory of the prefix codes of lossless WebP data, before anything is decoded.
//!
//! There may be 65,536 groups of five codes, even for few pixels, and the decoder builds a table
//! for each. A bound by the number of bytes alone would have to assume the worst case for each. So
//! the codes are read here as the decoder reads them, but without tables, and the parts of the
//! image before them are skipped. The format is the WebP Lossless Bitstream Specification (RFC
//! 9649, section 3); table sizes are those of image-webp 0.2.

/// Number of symbols of the code for green without a color cache: levels, and lengths of copies.
const GREEN: usize = 256 + 24;

/// Numbers of symbols of the other codes: red, blue, alpha, and distances of copies.
const OTHERS: [usize; 4] = [256, 256, 256, 40];

/// The order of the lengths in a code for code lengths.
const ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Memory of a group besides its tables, in bytes: five codes, in a vector that doubles and is
/// copied.
const GROUP: u64 = 5 * 64 * 3;

/// Overhead of the allocator for each table or tree, in bytes.
const ALLOCATION: u64 = 32;

/// Maximum length of codes in a table, in bits.
const TABLE_BITS: usize = 10;

/// Size of a node in the tree of longer codes, in bytes.
const NODE: u64 = 16;

/// Returns the memory of the tables for an image of this size, in bytes. Data that cannot be read
/// here are not read by the decoder either.
pub(super) fn table_bytes(data: &[u8], size: (u32, u32), has_header: bool) -> u64 {
    let mut walk = Walk { bits: Bits { data, at: 0 }, tables: 0 };
    // The decoder also stops at the end of the data, with the memory counted up to there.
    let _ = walk.image(size, has_header);
    walk.tables
}

/// A reader of bits, from the lowest bit of each byte on.
struct Bits<'a> {
    data: &'a [u8],
    /// The position, in bits.
    at: usize,
}

impl Bits<'_> {
    fn number(&mut self, bits: usize) -> Option<usize> {
        let number = self.next() & ((1 << bits) - 1);
        self.skip(bits)?;
        Some(number)
    }

    /// Returns at least the next 24 bits; zeros after the end.
    fn next(&self) -> usize {
        let bytes = self.data.get(self.at / 8..).unwrap_or_default();
        let four = bytes.first_chunk().copied().unwrap_or_else(|| {
            let mut four = [0; 4];
            four.iter_mut().zip(bytes).for_each(|(four, byte)| *four = *byte);
            four
        });
        (u32::from_le_bytes(four) >> (self.at % 8)) as usize
    }

    fn skip(&mut self, bits: usize) -> Option<()> {
        self.at += bits;
        (self.at <= 8 * self.data.len()).then_some(())
    }
}

/// A prefix code.
enum Code {
    /// A single symbol, which takes no bits.
    Single(usize),
    /// Length and symbol of the code that the next bits begin with.
    Table(Vec<(u8, u16)>),
}

impl Code {
    /// Builds the code with these lengths, by symbol; `None` if it is not complete.
    fn of(lengths: &[u8]) -> Option<Self> {
        let mut used = lengths.iter().enumerate().filter(|(_, length)| **length > 0);
        let first = used.next()?.0;
        if used.next().is_none() {
            return Some(Self::Single(first));
        }
        let longest = lengths.iter().max().map_or(0, |length| usize::from(*length));
        let mut table = vec![(0, 0); 1 << longest];
        let (mut word, mut filled) = (0_u32, 0_usize);
        for length in 1..=longest {
            for (value, _) in lengths.iter().enumerate().filter(|(_, l)| usize::from(**l) == length)
            {
                let first = (word.reverse_bits() >> (32 - length)) as usize;
                let places = table.iter_mut().skip(first).step_by(1 << length);
                places.for_each(|place| *place = (length as u8, value as u16));
                (word, filled) = (word + 1, filled + (1 << (longest - length)));
            }
            if filled > table.len() {
                return None;
            }
            word <<= 1;
        }
        (filled == table.len()).then_some(Self::Table(table))
    }

    fn value(&self, bits: &mut Bits<'_>) -> Option<usize> {
        match self {
            Self::Single(value) => Some(*value),
            Self::Table(table) => {
                let (length, value) = table[bits.next() & (table.len() - 1)];
                bits.skip(length.into())?;
                Some(value.into())
            }
        }
    }
}

/// The code lengths by symbol, and the memory of the decoder's table.
struct Lengths(Vec<u8>);

impl Lengths {
    fn bytes(&self) -> u64 {
        let used = self.0.iter().filter(|length| **length > 0).count();
        if used < 2 {
            return 0;
        }
        let longest = self.0.iter().max().map_or(0, |length| usize::from(*length));
        let beyond =
            self.0.iter().filter(|length| usize::from(**length) > TABLE_BITS).count() as u64;
        (4 << longest.min(TABLE_BITS)) + 2 * NODE * beyond.max(2) + 2 * ALLOCATION
    }
}

struct Walk<'a> {
    bits: Bits<'a>,
    tables: u64,
}

impl Walk<'_> {
    fn image(&mut self, (width, height): (u32, u32), has_header: bool) -> Option<()> {
        if has_header {
            // Signature, size, alpha and version, which the decoder checks.
            self.bits.skip(8 + 2 * 14 + 1 + 3)?;
        }
        let width = self.transforms(width, height)?;
        let cache = self.cache_size()?;
        let mut groups = 1;
        if self.bits.number(1)? == 1 {
            let side = self.bits.number(3)? + 2;
            groups = 1 + self.pass(width.div_ceil(1 << side), height.div_ceil(1 << side))?;
        }
        for _ in 0..groups {
            self.tables += GROUP;
            for values in [GREEN + cache].into_iter().chain(OTHERS) {
                self.tables += self.lengths(values)?.bytes();
            }
        }
        Some(())
    }

    /// Skips the transforms; returns the width of the transformed image.
    fn transforms(&mut self, mut width: u32, height: u32) -> Option<u32> {
        let mut seen = [false; 4];
        while self.bits.number(1)? == 1 {
            let kind = self.bits.number(2)?;
            if std::mem::replace(&mut seen[kind], true) {
                return None;
            }
            match kind {
                0 | 1 => {
                    let side = self.bits.number(3)? + 2;
                    self.pass(width.div_ceil(1 << side), height.div_ceil(1 << side))?;
                }
                3 => {
                    let colors = self.bits.number(8)? as u32 + 1;
                    self.pass(colors, 1)?;
                    // Number of pixels in a byte.
                    let shared = [(2, 8), (4, 4), (16, 2)];
                    let shared = shared.iter().find(|(most, _)| colors <= *most);
                    width = width.div_ceil(shared.map_or(1, |(_, pixels)| *pixels));
                }
                _ => {}
            }
        }
        Some(width)
    }

    fn cache_size(&mut self) -> Option<usize> {
        if self.bits.number(1)? == 0 {
            return Some(0);
        }
        let bits = self.bits.number(4)?;
        (1..=11).contains(&bits).then_some(1 << bits)
    }

    /// Skips an image with one group of codes; returns the greatest number in the red and green of
    /// a pixel, which in an image of group numbers is the last group. Copies repeat earlier pixels.
    fn pass(&mut self, width: u32, height: u32) -> Option<usize> {
        let cache = self.cache_size()?;
        let mut codes = Vec::with_capacity(5);
        for values in [GREEN + cache].into_iter().chain(OTHERS) {
            codes.push(Code::of(&self.lengths(values)?.0)?);
        }
        let [green, red, blue, alpha, distance] = codes.as_slice() else { return None };
        let pixels = width as usize * height as usize;
        let (mut at, mut greatest) = (0, 0);
        while at < pixels {
            let value = green.value(&mut self.bits)?;
            if value < 256 {
                greatest = greatest.max(red.value(&mut self.bits)? << 8 | value);
                blue.value(&mut self.bits)?;
                alpha.value(&mut self.bits)?;
                at += 1;
            } else if value < GREEN {
                at += self.copied(value - 256)?;
                let distance = distance.value(&mut self.bits)?;
                self.copied(distance)?;
            } else {
                at += 1;
            }
        }
        Some(greatest)
    }

    /// Reads the number that a prefix and the bits after it encode.
    fn copied(&mut self, prefix: usize) -> Option<usize> {
        if prefix < 4 {
            return Some(prefix + 1);
        }
        let more = (prefix - 2) >> 1;
        Some(((2 + (prefix & 1)) << more) + self.bits.number(more)? + 1)
    }

    /// Reads the code lengths of a prefix code.
    fn lengths(&mut self, values: usize) -> Option<Lengths> {
        let mut lengths = vec![0; values];
        if self.bits.number(1)? == 1 {
            let two = self.bits.number(1)? == 1;
            let bits = if self.bits.number(1)? == 1 { 8 } else { 1 };
            *lengths.get_mut(self.bits.number(bits)?)? = 1;
            if two {
                *lengths.get_mut(self.bits.number(8)?)? = 1;
            }
            return Some(Lengths(lengths));
        }
        let mut of_lengths = [0; ORDER.len()];
        let count = 4 + self.bits.number(4)?;
        for place in ORDER.iter().take(count) {
            of_lengths[*place] = self.bits.number(3)? as u8;
        }
        let code = Code::of(&of_lengths)?;
        let mut left = values;
        if self.bits.number(1)? == 1 {
            let bits = 2 + 2 * self.bits.number(3)?;
            left = 2 + self.bits.number(bits)?;
        }
        self.fill(&mut lengths, &code, left)?;
        Some(Lengths(lengths))
    }

    /// Reads code lengths by their own code, at most this number of its symbols.
    fn fill(&mut self, lengths: &mut [u8], code: &Code, mut left: usize) -> Option<()> {
        let (mut at, mut former) = (0, 8);
        while at < lengths.len() && left > 0 {
            left -= 1;
            let (length, times) = match code.value(&mut self.bits)? {
                16 => (former, 3 + self.bits.number(2)?),
                17 => (0, 3 + self.bits.number(3)?),
                18 => (0, 11 + self.bits.number(7)?),
                length => (length as u8, 1),
            };
            lengths.get_mut(at..at + times)?.fill(length);
            at += times;
            if length != 0 {
                former = length;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes numbers as bits, each with its width.
    fn data(numbers: &[(usize, usize)]) -> Vec<u8> {
        let bits =
            numbers.iter().flat_map(|(number, bits)| (0..*bits).map(move |k| number >> k & 1));
        let bits: Vec<_> = bits.collect();
        bits.chunks(8)
            .map(|byte| byte.iter().rev().fold(0, |all, bit| all << 1 | *bit as u8))
            .collect()
    }

    /// Returns a code of one symbol, 0 or 1.
    const SINGLE: [(usize, usize); 4] = [(1, 1), (0, 1), (0, 1), (0, 1)];

    /// Returns a code of symbols 0 to 11 with 1 to 10, 11 and 11 bits: a code for lengths with 11
    /// symbols of 3 and 4 bits, then those lengths.
    fn long_code() -> Vec<(usize, usize)> {
        let mut numbers = vec![(0, 1), (15, 4)];
        // The first 5 of 16 lengths have codes of 3 bits, the next 6 of 4 bits, in the order of
        // ORDER.
        let word_length = |length: usize| match length {
            1..=5 => 3,
            6..=11 => 4,
            _ => 0,
        };
        numbers.extend(ORDER.iter().map(|&length| (word_length(length), 3)));
        // Twelve lengths follow: 2 + 10, in 4 bits.
        numbers.extend([(1, 1), (1, 3), (10, 4)]);
        for length in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11] {
            let (word, bits) = if length <= 5 { (length - 1, 3) } else { (10 + length - 6, 4) };
            numbers.extend((0..bits).rev().map(|k| (word >> k & 1, 1)));
        }
        numbers
    }

    /// Returns an image without transforms, whose groups have one long code each, for green.
    fn image(groups: usize) -> Vec<u8> {
        let mut numbers = vec![(0x2F, 8), (63, 14), (63, 14), (0, 4), (0, 1), (0, 1)];
        if groups > 1 {
            // Blocks of 4 x 4, and their image, in which all pixels name the last group.
            numbers.extend([(1, 1), (0, 3), (0, 1)]);
            let last = groups - 1;
            numbers.extend([(1, 1), (0, 1), (1, 1), (last & 255, 8)]);
            numbers.extend([(1, 1), (0, 1), (1, 1), (last >> 8, 8)]);
            numbers.extend([SINGLE; 3].as_flattened());
        } else {
            numbers.push((0, 1));
        }
        for _ in 0..groups {
            numbers.extend(long_code());
            numbers.extend([SINGLE; 4].as_flattened());
        }
        data(&numbers)
    }

    #[test]
    fn tables_of_each_group_are_counted() {
        let one = table_bytes(&image(1), (64, 64), true);
        assert_eq!(one, GROUP + (4 << 10) + 2 * 2 * NODE + 2 * ALLOCATION);
        assert_eq!(table_bytes(&image(1000), (64, 64), true), 1000 * one);
    }

    #[test]
    fn truncated_data_are_counted_up_to_their_end() {
        let whole = image(1000);
        let half = table_bytes(&whole[..whole.len() / 2], (64, 64), true);
        let all = table_bytes(&whole, (64, 64), true);
        assert!((0.4..0.6).contains(&(half as f64 / all as f64)), "{half} of {all}");
        for bytes in [vec![], vec![0; 100], vec![0xFF; 100], vec![0x2F; 3]] {
            assert!(table_bytes(&bytes, (16_383, 16_383), true) < 10_000);
        }
    }
}
