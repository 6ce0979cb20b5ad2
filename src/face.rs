//! From a found face to the square that an encoder sees.
//!
//! A [`Face`] is what the detector found, in pixels of the upright photo as it was sent; one rule
//! ([`prominent`]) says which of several is meant; [`align`] turns, scales and samples it. Only
//! `align` makes an [`AlignedFace`], so whatever reaches the encoder has been aligned.

use std::array;

use image::RgbImage;

use crate::photo::{Photo, shrink_part};

/// A second face counts from this share of the first one's prominence on.
const COMPARABLE: f64 = 0.6;

/// How near to the centre counts at the photo's corners; at the centre it is 1.
const NEARNESS_AT_CORNER: f64 = 0.25;

/// Where the five landmarks come to lie in a 112 x 112 face: right eye, left eye, nose, right and
/// left corner of the mouth. The template of `ArcFace` (Deng et al. 2019), which SFace shares.
const TEMPLATE: [Point; 5] = [
    Point { x: 38.2946, y: 51.6963 },
    Point { x: 73.5318, y: 51.5014 },
    Point { x: 56.0252, y: 71.7366 },
    Point { x: 41.5493, y: 92.3655 },
    Point { x: 70.7299, y: 92.2041 },
];

/// The side, in pixels, of the square that the template is given for.
const TEMPLATE_SIDE: f64 = 112.0;

/// Samples lie at most this many photo pixels apart; bilinear sampling then skips none.
const SAMPLE_SPACING: f64 = 1.5;

/// A large face is sampled from a shrunk copy in which its pixels still lie so far apart: the copy takes most of
/// the average at a fraction of the cost.
const SPACING_IN_COPY: f64 = 2.0;

/// A place in the upright photo, in pixels from its top left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// To the right.
    pub x: f64,
    /// Downwards.
    pub y: f64,
}

/// A rectangle in the upright photo, in pixels; it may reach beyond the photo's edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width, above 0.
    pub width: f64,
    /// Height, above 0.
    pub height: f64,
}

impl Bounds {
    fn area(&self) -> f64 {
        self.width * self.height
    }

    /// Intersection over union with another rectangle, 0..=1.
    pub(crate) fn overlap(&self, other: &Self) -> f64 {
        let shared = |a: f64, a_length: f64, b: f64, b_length: f64| {
            ((a + a_length).min(b + b_length) - a.max(b)).max(0.0)
        };
        let intersection = shared(self.x, self.width, other.x, other.width)
            * shared(self.y, self.height, other.y, other.height);
        intersection / (self.area() + other.area() - intersection)
    }
}

/// A face that the detector found.
#[derive(Clone, Debug, PartialEq)]
pub struct Face {
    bounds: Bounds,
    landmarks: [Point; 5],
    confidence: f64,
}

impl Face {
    /// A face, unless its numbers are not finite, its box has no area or its landmarks coincide:
    /// then there is nothing that could be aligned.
    pub(crate) fn new(bounds: Bounds, landmarks: [Point; 5], confidence: f64) -> Option<Self> {
        let finite = [bounds.x, bounds.y, bounds.width, bounds.height, confidence]
            .into_iter()
            .chain(landmarks.iter().flat_map(|p| [p.x, p.y]))
            .all(f64::is_finite);
        let scale = Similarity::fit(&landmarks, &TEMPLATE).scale();
        let alignable = finite && bounds.area() > 0.0 && scale.is_finite() && scale > 1e-4;
        alignable.then_some(Self { bounds, landmarks, confidence })
    }

    /// The box around the face.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Right eye, left eye, nose, right and left corner of the mouth, as the person has them.
    pub fn landmarks(&self) -> &[Point; 5] {
        &self.landmarks
    }

    /// How sure the detector is, 0..=1; not calibrated.
    pub fn confidence(&self) -> f64 {
        self.confidence
    }

    /// Area times nearness to the centre of a photo of the given size.
    fn prominence(&self, width: f64, height: f64) -> f64 {
        let from_centre = f64::hypot(
            self.bounds.x + (self.bounds.width - width) / 2.0,
            self.bounds.y + (self.bounds.height - height) / 2.0,
        );
        let distance = (from_centre / (f64::hypot(width, height) / 2.0)).min(1.0);
        self.bounds.area() * (1.0 - (1.0 - NEARNESS_AT_CORNER) * distance)
    }
}

/// Why a photo does not say whose face is meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoProminentFace {
    /// No face was found.
    #[error("no face was found in the photo; it should show one face, upright and in good light")]
    None,
    /// Two faces or more are about equally prominent.
    #[error("several faces are about equally prominent; send a photo of one person")]
    Several,
}

/// The face that is meant: the one of greatest area times nearness to the centre, provided that
/// no other comes near it.
///
/// # Errors
/// [`NoProminentFace`] where there is no face, or a second one of at least 0.6 of its prominence.
pub fn prominent(mut faces: Vec<Face>, photo: &Photo) -> Result<Face, NoProminentFace> {
    let (width, height) = (f64::from(photo.width()), f64::from(photo.height()));
    let prominence = |face: &Face| face.prominence(width, height);
    faces.sort_by(|a, b| prominence(b).total_cmp(&prominence(a)));
    let mut faces = faces.into_iter();
    let first = faces.next().ok_or(NoProminentFace::None)?;
    match faces.next() {
        Some(second) if prominence(&second) >= COMPARABLE * prominence(&first) => {
            Err(NoProminentFace::Several)
        }
        _ => Ok(first),
    }
}

/// A face turned upright and scaled so that its landmarks lie where the encoder expects them.
pub struct AlignedFace {
    pixels: RgbImage,
    onto_photo: Similarity,
    photo: (u32, u32),
}

impl AlignedFace {
    /// Pixels that somebody else has aligned.
    #[cfg(test)]
    pub(crate) fn from_pixels(pixels: RgbImage) -> Self {
        let photo = pixels.dimensions();
        let here = Similarity { a: Point { x: 1.0, y: 0.0 }, b: Point { x: 0.0, y: 0.0 } };
        Self { pixels, onto_photo: here, photo }
    }

    /// The RGB pixels, of the size that was asked for.
    pub(crate) fn pixels(&self) -> &RgbImage {
        &self.pixels
    }

    /// Whether a pixel was sampled from the photo alone, nothing of it from beyond the edge.
    pub(crate) fn covers(&self, x: u32, y: u32) -> bool {
        let at = self.onto_photo.apply(Point { x: f64::from(x), y: f64::from(y) });
        let margin = self.onto_photo.scale() / 2.0;
        let within =
            |value: f64, length: u32| value >= margin && value <= f64::from(length) - 1.0 - margin;
        within(at.x, self.photo.0) && within(at.y, self.photo.1)
    }
}

impl std::fmt::Debug for AlignedFace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedFace({} x {})", self.pixels.width(), self.pixels.height())
    }
}

/// Samples the face from the photo's working pixels at `width` x `height`, without aliasing.
///
/// What lies outside the photo is black.
pub fn align(photo: &Photo, face: &Face, width: u32, height: u32) -> AlignedFace {
    let to_working = photo.scale();
    let landmarks = face.landmarks.map(|p| Point { x: p.x * to_working, y: p.y * to_working });
    let target = TEMPLATE.map(|p| Point {
        x: p.x * f64::from(width) / TEMPLATE_SIDE,
        y: p.y * f64::from(height) / TEMPLATE_SIDE,
    });
    let onto_photo = Similarity::fit(&landmarks, &target).inverse();
    let working = photo.working();
    let cell = (onto_photo.scale() / SPACING_IN_COPY) as u32;
    let pixels = match shrunk(working, &onto_photo, (width, height), cell) {
        Some((copy, onto_copy)) => sample(&copy, &onto_copy, width, height),
        None => sample(working, &onto_photo, width, height),
    };
    AlignedFace { pixels, onto_photo, photo: working.dimensions() }
}

/// A copy of the part of an image that the face lies in, `cell` times smaller, and the way onto it; `None` where
/// there is nothing to shrink.
fn shrunk(
    image: &RgbImage,
    onto_image: &Similarity,
    (width, height): (u32, u32),
    cell: u32,
) -> Option<(RgbImage, Similarity)> {
    if cell < 2 {
        return None;
    }
    let (right, bottom) = (f64::from(width), f64::from(height));
    let corners = [(0.0, 0.0), (right, 0.0), (0.0, bottom), (right, bottom)]
        .map(|(x, y)| onto_image.apply(Point { x, y }));
    // Where cells begin along one side of the image, and how many; a cell more on each side for what lies between two.
    let cells = |at: fn(&Point) -> f64, length: u32| {
        let first = corners.iter().map(at).fold(f64::INFINITY, f64::min) / f64::from(cell) - 1.0;
        let last = corners.iter().map(at).fold(f64::NEG_INFINITY, f64::max) / f64::from(cell) + 1.0;
        // A cast saturates, so nothing begins before the image.
        let first = first as u32;
        let count = (last.ceil() as u32).min(length / cell).checked_sub(first)?;
        (count > 0).then_some((first * cell, count))
    };
    let (left, columns) = cells(|p| p.x, image.width())?;
    let (top, rows) = cells(|p| p.y, image.height())?;
    let copy = shrink_part(image, (left, top), (columns, rows), cell);
    Some((copy, onto_image.onto(Point { x: f64::from(left), y: f64::from(top) }, f64::from(cell))))
}

/// `width` x `height` pixels, each the mean of a small grid of samples as wide as the pixel.
fn sample(image: &RgbImage, onto_image: &Similarity, width: u32, height: u32) -> RgbImage {
    let per_side = (onto_image.scale() / SAMPLE_SPACING).ceil().clamp(1.0, 12.0);
    let offsets: Vec<f64> =
        (0..per_side as u32).map(|k| (f64::from(k) + 0.5) / per_side - 0.5).collect();
    let share = 1.0 / (per_side * per_side) as f32;
    RgbImage::from_fn(width, height, |x, y| {
        let mut sum = [0.0_f32; 3];
        for dy in &offsets {
            for dx in &offsets {
                let at = Point { x: f64::from(x) + dx, y: f64::from(y) + dy };
                let sample = bilinear(image, onto_image.apply(at));
                sum = array::from_fn(|c| sum[c] + sample[c]);
            }
        }
        image::Rgb(sum.map(|c| (c * share + 0.5) as u8))
    })
}

/// The colour at a place between pixels, 0..=255 a channel; black outside the image.
fn bilinear(image: &RgbImage, at: Point) -> [f32; 3] {
    // A cast towards zero is one instruction where `floor` is a call.
    let floor = |v: f64| v as i64 - i64::from(v < 0.0);
    let (left, top) = (floor(at.x), floor(at.y));
    let (right_share, bottom_share) = ((at.x - left as f64) as f32, (at.y - top as f64) as f32);
    let (width, height) = (i64::from(image.width()), i64::from(image.height()));
    let pixel = |x: i64, y: i64| {
        let inside = (0..width).contains(&x) && (0..height).contains(&y);
        if !inside {
            return [0.0; 3];
        }
        let at = 3 * (y * width + x) as usize;
        let found = image.as_raw().get(at..at + 3);
        found.map_or([0.0; 3], |p| array::from_fn(|c| f32::from(p[c])))
    };
    let mix = |a: [f32; 3], b: [f32; 3], share: f32| -> [f32; 3] {
        array::from_fn(|c| a[c] + (b[c] - a[c]) * share)
    };
    let above = mix(pixel(left, top), pixel(left + 1, top), right_share);
    let below = mix(pixel(left, top + 1), pixel(left + 1, top + 1), right_share);
    mix(above, below, bottom_share)
}

/// A turn, a scaling and a shift of the plane: z -> a z + b in complex numbers.
#[derive(Clone, Copy, Debug)]
struct Similarity {
    a: Point,
    b: Point,
}

impl Similarity {
    /// The least-squares similarity that takes `from` to `to`: Umeyama 1991 without reflection,
    /// which in the plane is the quotient of two complex inner products.
    fn fit(from: &[Point; 5], to: &[Point; 5]) -> Self {
        let mean = |points: &[Point; 5]| Point {
            x: points.iter().map(|p| p.x).sum::<f64>() / 5.0,
            y: points.iter().map(|p| p.y).sum::<f64>() / 5.0,
        };
        let (from_mean, to_mean) = (mean(from), mean(to));
        let (mut real, mut imaginary, mut spread) = (0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(to) {
            let (px, py) = (p.x - from_mean.x, p.y - from_mean.y);
            let (qx, qy) = (q.x - to_mean.x, q.y - to_mean.y);
            real += px * qx + py * qy;
            imaginary += px * qy - py * qx;
            spread += px * px + py * py;
        }
        let a = Point { x: real / spread, y: imaginary / spread };
        let turned = Self { a, b: Point { x: 0.0, y: 0.0 } }.apply(from_mean);
        Self { a, b: Point { x: to_mean.x - turned.x, y: to_mean.y - turned.y } }
    }

    fn scale(&self) -> f64 {
        f64::hypot(self.a.x, self.a.y)
    }

    fn apply(&self, p: Point) -> Point {
        Point {
            x: self.a.x * p.x - self.a.y * p.y + self.b.x,
            y: self.a.y * p.x + self.a.x * p.y + self.b.y,
        }
    }

    /// The same onto a copy that begins at `origin` and has a pixel for each `cell` x `cell`. A pixel's coordinates
    /// are its middle's, half a pixel from its edge in both.
    fn onto(&self, origin: Point, cell: f64) -> Self {
        let within = |at: f64, from: f64| (at + 0.5 - from) / cell - 0.5;
        Self {
            a: Point { x: self.a.x / cell, y: self.a.y / cell },
            b: Point { x: within(self.b.x, origin.x), y: within(self.b.y, origin.y) },
        }
    }

    fn inverse(&self) -> Self {
        let square = self.a.x * self.a.x + self.a.y * self.a.y;
        let a = Point { x: self.a.x / square, y: -self.a.y / square };
        let shifted = Self { a, b: Point { x: 0.0, y: 0.0 } }.apply(self.b);
        Self { a, b: Point { x: -shifted.x, y: -shifted.y } }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn photo(width: u32, height: u32) -> Photo {
        Photo::from_working(RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([(x / 2) as u8, (y / 2) as u8, 90])
        }))
    }

    fn face_at(x: f64, y: f64, side: f64) -> Face {
        let landmarks = TEMPLATE.map(|p| Point {
            x: x + p.x * side / TEMPLATE_SIDE,
            y: y + p.y * side / TEMPLATE_SIDE,
        });
        Face::new(Bounds { x, y, width: side, height: side }, landmarks, 0.9).unwrap()
    }

    #[test]
    fn the_central_face_is_meant_and_a_bystander_does_not_count() {
        let (meant, bystander) = (face_at(150.0, 150.0, 100.0), face_at(0.0, 0.0, 60.0));
        let chosen = prominent(vec![bystander, meant.clone()], &photo(400, 400)).unwrap();
        assert_eq!(chosen, meant);
    }

    #[test]
    fn two_comparable_faces_are_refused() {
        let faces = vec![face_at(60.0, 150.0, 100.0), face_at(240.0, 150.0, 100.0)];
        assert_eq!(prominent(faces, &photo(400, 400)), Err(NoProminentFace::Several));
        assert_eq!(prominent(Vec::new(), &photo(400, 400)), Err(NoProminentFace::None));
    }

    #[test]
    fn coinciding_or_infinite_landmarks_are_no_face() {
        let bounds = Bounds { x: 0.0, y: 0.0, width: 9.0, height: 9.0 };
        assert!(Face::new(bounds, [Point { x: 4.0, y: 4.0 }; 5], 0.9).is_none());
        let mut landmarks = TEMPLATE;
        landmarks[2].x = f64::NAN;
        assert!(Face::new(bounds, landmarks, 0.9).is_none());
    }

    #[test]
    fn a_face_already_in_place_is_copied_pixel_by_pixel() {
        let photo = photo(112, 112);
        let aligned = align(&photo, &face_at(0.0, 0.0, 112.0), 112, 112);
        assert_eq!(aligned.pixels(), photo.working());
    }

    #[test]
    fn a_large_face_is_averaged_not_skipped_through() {
        // Stripes one pixel wide become an even grey at a sixth of the size.
        let stripes = RgbImage::from_fn(672, 672, |x, _| image::Rgb([(x % 2 * 255) as u8; 3]));
        let aligned = align(&Photo::from_working(stripes), &face_at(0.0, 0.0, 672.0), 112, 112);
        let inner = aligned
            .pixels()
            .enumerate_pixels()
            .filter(|(x, y, _)| (4..108).contains(x) && (4..108).contains(y));
        for (x, y, pixel) in inner {
            assert!(pixel.0[0].abs_diff(127) < 20, "{pixel:?} at {x}, {y}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_large_face_looks_the_same_in_a_shrunk_copy(
            angle in -3.1_f64..3.1, scale in 4.0_f64..9.0, dx in -300.0_f64..900.0, dy in -300.0_f64..900.0,
        ) {
            let wave = |at: u32, length: f64| 100.0 * (f64::from(at) / length).sin();
            let photo = RgbImage::from_fn(901, 757, |x, y| {
                image::Rgb([128.0 + wave(x, 37.0), 128.0 + wave(y, 53.0), 128.0 + wave(x + y, 71.0)].map(|v| v as u8))
            });
            let onto_photo = Similarity {
                a: Point { x: scale * angle.cos(), y: scale * angle.sin() },
                b: Point { x: dx, y: dy },
            };
            let cell = (scale / SPACING_IN_COPY) as u32;
            let seen = shrunk(&photo, &onto_photo, (112, 112), cell);
            let direct = sample(&photo, &onto_photo, 112, 112);
            let aligned = AlignedFace { pixels: direct, onto_photo, photo: photo.dimensions() };
            let inner = (1..111).flat_map(|y| (1..111).map(move |x| (x, y))).filter(|&(x, y)| {
                [(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)].iter().all(|&(x, y)| aligned.covers(x, y))
            });
            let copied = seen.map(|(copy, onto_copy)| sample(&copy, &onto_copy, 112, 112));
            for (x, y) in inner {
                let (direct, copied) = (aligned.pixels.get_pixel(x, y), copied.as_ref().unwrap().get_pixel(x, y));
                for (a, b) in direct.0.iter().zip(copied.0) {
                    prop_assert!(a.abs_diff(b) <= 4, "{direct:?} {copied:?} at {x}, {y}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn alignment_undoes_any_similarity_of_the_landmarks(
            angle in -3.1_f64..3.1, scale in 0.1_f64..20.0, dx in -500.0_f64..500.0, dy in -500.0_f64..500.0,
        ) {
            let moved = Similarity {
                a: Point { x: scale * angle.cos(), y: scale * angle.sin() },
                b: Point { x: dx, y: dy },
            };
            let back = Similarity::fit(&TEMPLATE.map(|p| moved.apply(p)), &TEMPLATE);
            for p in TEMPLATE {
                let q = back.apply(moved.apply(p));
                prop_assert!((p.x - q.x).abs() < 1e-6 && (p.y - q.y).abs() < 1e-6);
                let r = moved.inverse().apply(moved.apply(p));
                prop_assert!((p.x - r.x).abs() < 1e-6 && (p.y - r.y).abs() < 1e-6);
            }
        }
    }
}
