//! JPEGs as cameras and programs write them, but image's encoder does not. Each pixel of an image
//! becomes a block of 8 x 8, so that only the first coefficient of each block is written.

use image::RgbImage;

/// The coding of a JPEG.
#[derive(Clone)]
pub(crate) struct Writing {
    /// Sampling factors of Y, Cb and Cr, in each direction.
    pub sampling: [(u32, u32); 3],
    /// The components of each scan.
    pub scans: Vec<Vec<usize>>,
    /// Whether the JPEG is progressive: first coefficients in these scans, the others in one scan
    /// for each component.
    pub progressive: bool,
    /// Whether the Huffman tables are in the file; Motion JPEG omits them.
    pub tables: bool,
}

impl Writing {
    /// A single scan of all components, 4:2:0.
    pub(crate) fn usual() -> Self {
        Self { sampling: S420, scans: vec![vec![0, 1, 2]], progressive: false, tables: true }
    }
}

pub(crate) const S420: [(u32, u32); 3] = [(2, 2), (1, 1), (1, 1)];
pub(crate) const S422: [(u32, u32); 3] = [(2, 1), (1, 1), (1, 1)];
pub(crate) const S440: [(u32, u32); 3] = [(1, 2), (1, 1), (1, 1)];
pub(crate) const S444: [(u32, u32); 3] = [(1, 1), (1, 1), (1, 1)];

/// Codes for the sizes of differences (ITU-T T.81, table K.3), as text.
const SIZES: [&str; 9] = ["00", "010", "011", "100", "101", "110", "1110", "11110", "111110"];

/// The end-of-block code (table K.5), as text.
const END_OF_BLOCK: &str = "1010";

/// Returns a JPEG of eight times the width and height of the image.
pub(crate) fn mosaic(image: &RgbImage, writing: &Writing) -> Vec<u8> {
    let mut bytes = vec![0xFF, 0xD8];
    segment(&mut bytes, 0xDB, &[vec![0], vec![8; 64]].concat());
    let frame = if writing.progressive { 0xC2 } else { 0xC0 };
    let [width, height] =
        [image.width(), image.height()].map(|side| (8 * side as u16).to_be_bytes());
    let mut header = [&[8][..], &height, &width, &[3]].concat();
    for (id, (h, v)) in (1..).zip(writing.sampling) {
        header.extend([id, (h << 4 | v) as u8, 0]);
    }
    segment(&mut bytes, frame, &header);
    if writing.tables {
        // Table K.3, and the codes of up to four bits of K.5 with the end-of-block code.
        let dc = [
            &[0][..],
            &[0, 1, 5, 1, 1, 1, 1, 1, 1],
            &[0; 7],
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        ];
        segment(&mut bytes, 0xC4, &dc.concat());
        let ac = [&[0x10][..], &[0, 0, 0, 11], &[0; 12], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0]];
        segment(&mut bytes, 0xC4, &ac.concat());
    }
    let planes = [0, 1, 2].map(|component| Plane::of(image, writing.sampling, component));
    for components in &writing.scans {
        scan(
            &mut bytes,
            writing,
            &planes,
            components,
            if writing.progressive { [0, 0] } else { [0, 63] },
        );
    }
    if writing.progressive {
        (0..3).for_each(|component| scan(&mut bytes, writing, &planes, &[component], [1, 63]));
    }
    bytes.extend([0xFF, 0xD9]);
    bytes
}

fn segment(bytes: &mut Vec<u8>, marker: u8, body: &[u8]) {
    bytes.extend([0xFF, marker]);
    bytes.extend((body.len() as u16 + 2).to_be_bytes());
    bytes.extend(body);
}

/// The blocks of a component.
struct Plane {
    columns: u32,
    rows: u32,
    levels: Vec<i32>,
}

impl Plane {
    fn of(image: &RgbImage, sampling: [(u32, u32); 3], component: usize) -> Self {
        let most = [sampling.map(|s| s.0), sampling.map(|s| s.1)].map(|s| *s.iter().max().unwrap());
        let (h, v) = sampling[component];
        let (wide, high) = (most[0] / h, most[1] / v);
        let (columns, rows) = (image.width().div_ceil(wide), image.height().div_ceil(high));
        let level = |block: u32| {
            let x = (block % columns * wide).min(image.width() - 1);
            let y = (block / columns * high).min(image.height() - 1);
            let [r, g, b] = image.get_pixel(x, y).0.map(f64::from);
            let level = match component {
                0 => 0.299 * r + 0.587 * g + 0.114 * b - 128.0,
                1 => -0.1687 * r - 0.3313 * g + 0.5 * b,
                _ => 0.5 * r - 0.4187 * g - 0.0813 * b,
            };
            level.round().clamp(-128.0, 127.0) as i32
        };
        Self { columns, rows, levels: (0..columns * rows).map(level).collect() }
    }

    /// Returns a block; beyond the edge, the last one before it.
    fn level(&self, x: u32, y: u32) -> i32 {
        self.levels[(y.min(self.rows - 1) * self.columns + x.min(self.columns - 1)) as usize]
    }
}

fn scan(
    bytes: &mut Vec<u8>,
    writing: &Writing,
    planes: &[Plane; 3],
    components: &[usize],
    [first, last]: [u8; 2],
) {
    let mut header = vec![components.len() as u8];
    for component in components {
        header.extend([*component as u8 + 1, 0]);
    }
    header.extend([first, last, 0]);
    segment(bytes, 0xDA, &header);
    let mut bits = Bits { bytes, next: 0, count: 0 };
    let mut former = [0; 3];
    let mut block = |component: usize, x: u32, y: u32| {
        if first == 0 {
            let level = planes[component].level(x, y);
            bits.difference(level - former[component]);
            former[component] = level;
        }
        if last > 0 {
            bits.write(END_OF_BLOCK);
        }
    };
    let Plane { columns, rows, .. } = planes[components[0]];
    // With a single component, each MCU is a block.
    let of_mcu = |component: usize| match components {
        [_] => (1, 1),
        _ => writing.sampling[component],
    };
    let (h, v) = of_mcu(components[0]);
    for (row, column) in places(rows.div_ceil(v), columns.div_ceil(h)) {
        for &component in components {
            let (h, v) = of_mcu(component);
            for (y, x) in places(v, h) {
                block(component, column * h + x, row * v + y);
            }
        }
    }
    bits.end();
}

/// Returns positions row by row.
fn places(rows: u32, columns: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..rows).flat_map(move |y| (0..columns).map(move |x| (y, x)))
}

/// A writer of entropy-coded data.
struct Bits<'a> {
    bytes: &'a mut Vec<u8>,
    next: u8,
    count: u32,
}

impl Bits<'_> {
    fn difference(&mut self, difference: i32) {
        let size = i32::BITS - difference.unsigned_abs().leading_zeros();
        self.write(SIZES[size as usize]);
        let number = if difference < 0 { difference - 1 } else { difference };
        (0..size).rev().for_each(|k| self.push((number >> k & 1) as u8));
    }

    fn write(&mut self, word: &str) {
        word.bytes().for_each(|bit| self.push(bit - b'0'));
    }

    fn push(&mut self, bit: u8) {
        (self.next, self.count) = (self.next << 1 | bit, self.count + 1);
        if self.count == 8 {
            self.bytes.push(self.next);
            if self.next == 0xFF {
                self.bytes.push(0);
            }
            (self.next, self.count) = (0, 0);
        }
    }

    fn end(&mut self) {
        while self.count > 0 {
            self.push(1);
        }
    }
}
