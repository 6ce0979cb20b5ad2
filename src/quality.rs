//! Whether a photo can serve as a reference, in reasons that a person can act on.
//!
//! [`assess`] measures and [`Quality::reasons`] decides, so that measures can be printed and limits
//! judged apart. Measures are those of ISO/IEC 29794-5 and its reference implementation, OFIQ, where
//! five landmarks and an aligned face suffice for them, and something simpler where they don't. The
//! limits were chosen on CFP's folds 1 to 5 by `models/train/evaluation/quality.py`, which reports on
//! folds 6 to 10 what they do.

use std::collections::BTreeSet;

use crate::face::{AlignedFace, Face, Point};

/// The part of the square that is looked at, for a side of 112: left, top, right and bottom of the
/// inner face, which holds the eyes, nose and mouth and nothing of hair and background.
const INNER_FACE: [u32; 4] = [30, 44, 82, 100];

/// The side, in pixels, of the square that [`INNER_FACE`] is given for.
const SIDE: u32 = 112;

/// How far the tip of the nose lies before the plane of eyes and mouth, in inter-eye distances:
/// about 29 mm of 64 in grown-ups. It only sets the scale of [`Quality::yaw`].
const NOSE_DEPTH: f64 = 0.45;

/// Beyond this yaw, in degrees, the landmarks no longer tell the inter-eye distance.
const MOST_YAW: f64 = 60.0;

/// From here on luma counts as overexposed: OFIQ's luminance of 247 in 255, which it takes in linear
/// light, is 251 in the values of an sRGB photo.
const OVEREXPOSED: usize = 251;

/// Why a photo should not be a reference, in the order in which they are told.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reason {
    /// The face has too few pixels.
    TooSmall,
    /// The face is out of focus, moved, or was enlarged from a small one.
    TooBlurred,
    /// There is too little light on the face.
    TooDark,
    /// Too much of the face is white.
    TooBright,
    /// The head is turned to the side.
    TurnedAway,
    /// Part of the inner face is beyond the photo's edge.
    CutOff,
    /// Something covers the eyes, the mouth or the forehead, so that the face cannot be told from others covered alike.
    Covered,
    /// The face does not show enough of the person's identity, for no reason that has a name here: it is upside down,
    /// distorted, drawn, inverted, full of noise.
    Unusual,
}

impl Reason {
    /// Every reason there is.
    pub const ALL: [Self; 8] = [
        Self::TooSmall,
        Self::TooBlurred,
        Self::TooDark,
        Self::TooBright,
        Self::TurnedAway,
        Self::CutOff,
        Self::Covered,
        Self::Unusual,
    ];

    /// A word that stays.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooSmall => "too_small",
            Self::TooBlurred => "too_blurred",
            Self::TooDark => "too_dark",
            Self::TooBright => "too_bright",
            Self::TurnedAway => "turned_away",
            Self::CutOff => "cut_off",
            Self::Covered => "covered",
            Self::Unusual => "unusual",
        }
    }

    /// What is wrong and what to do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::TooSmall => "the face is too small: move closer, or send the photo in full size",
            Self::TooBlurred => "the face is blurred: hold still and let the camera focus",
            Self::TooDark => "the face is too dark: turn toward the light",
            Self::TooBright => "the face is overexposed: avoid direct light",
            Self::TurnedAway => "the head is turned away: look straight into the camera",
            Self::CutOff => "the face is cut off: get the whole face into the photo",
            Self::Covered => "the face is covered: take off mask, sunglasses, hat or scarf",
            Self::Unusual => {
                "the face cannot be told from others reliably: send an upright, natural photo"
            }
        }
    }
}

/// How a face was photographed. Nothing in here says whose face it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Quality {
    /// Inter-eye distance, in pixels of the photo as sent, divided by the cosine of the yaw, of 60
    /// degrees at most (ISO/IEC 29794-5, *inter-eye distance*).
    pub inter_eye_distance: f64,
    /// Sharpness of the aligned face, whatever its size was: mean squared difference of luma one
    /// pixel apart over that four pixels apart, across or down, whichever is less. 1/16 where all
    /// is smooth, about 1 for noise. The ratio of the structure function leaves the contrast out,
    /// and taking the lesser sees a motion that blurs in one direction only.
    pub sharpness: f64,
    /// The luma (BT.601, 0..=255) that 95 % of the inner face stay below. OFIQ's *under-exposure
    /// prevention*, the share of dark pixels, would take dark skin for darkness; highlights tell
    /// light from skin.
    pub highlights: f64,
    /// The share of the inner face that is overexposed, 0..=1 (ISO/IEC 29794-5, *over-exposure
    /// prevention*).
    pub overexposure: f64,
    /// How far the head is turned to the side, in degrees, positive to the person's left
    /// (ISO/IEC 29794-5, *head pose*); estimated from where the nose lies between eyes and mouth.
    pub yaw: f64,
    /// The share of the inner face beyond the photo's edge, 0..=1 (ISO/IEC 29794-5 measures the
    /// margins around the face instead, *crop of the face image*).
    pub cropping: f64,
    /// How much of the person's identity the face shows (ISO/IEC 29794-5, *unified quality score*).
    pub recognizability: Recognizability,
}

/// The output of the quality network for an aligned face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recognizability {
    /// The cosine to expect between the embeddings of this photo and of one without its defects, 0..=1.
    agreement: f64,
    /// The probability that something covers the face, 0..=1.
    covered: f64,
}

impl Recognizability {
    /// The expected cosine below which a face is refused. Chosen on CFP's folds 1 to 5, so that it and the check of the
    /// reference's embedding refuse at most 1 % of the undegraded frontal photos; `models/measured/recognizability.md`
    /// has the figures.
    const LEAST: f64 = 0.7;

    /// Values out of range are clamped; what is no number counts as not recognizable.
    pub(crate) fn new(agreement: f32, covered: f32) -> Self {
        let share =
            |value: f32| if value.is_nan() { 0.0 } else { f64::from(value.clamp(0.0, 1.0)) };
        Self { agreement: share(agreement), covered: share(covered) }
    }
}

impl Quality {
    /// The measures' names, in the order of the reasons that they decide.
    pub const MEASURES: [&'static str; 8] = [
        "inter_eye_distance",
        "sharpness",
        "highlights",
        "overexposure",
        "yaw",
        "cropping",
        "covered",
        "recognizability",
    ];

    /// The measures' values, in the same order.
    pub fn measures(&self) -> [f64; 8] {
        let Self { inter_eye_distance, sharpness, highlights, overexposure, yaw, cropping, .. } =
            *self;
        let Recognizability { agreement, covered } = self.recognizability;
        [inter_eye_distance, sharpness, highlights, overexposure, yaw, cropping, covered, agreement]
    }

    /// Restores a quality from its [`measures`](Self::measures).
    pub(crate) fn from_measures(measures: [f64; 8]) -> Self {
        let [inter_eye_distance, sharpness, highlights, overexposure, yaw, cropping, rest @ ..] =
            measures;
        let [covered, agreement] = rest;
        let recognizability = Recognizability { agreement, covered };
        Self {
            inter_eye_distance,
            sharpness,
            highlights,
            overexposure,
            yaw,
            cropping,
            recognizability,
        }
    }

    /// The unified quality score, 0..=100: a hundred times the expected cosine between the embeddings of this photo and
    /// of one without its defects.
    pub fn unified_score(&self) -> u8 {
        (100.0 * self.recognizability.agreement).round() as u8
    }

    /// Whether the face shows enough of the person's identity. Without that, a reference would be matched by strangers.
    pub fn is_recognizable(&self) -> bool {
        self.recognizability.agreement >= Recognizability::LEAST
    }

    /// Why the photo should not be a reference; empty where it may.
    ///
    /// Each limit lies where references begin to fail, far from where undegraded portraits lie, so
    /// that it holds for any encoder; `models/notes/quality.md` has the figures.
    pub fn reasons(&self) -> BTreeSet<Reason> {
        let holds = |reason: &Reason| match reason {
            Reason::TooSmall => self.inter_eye_distance < 9.0,
            Reason::TooBlurred => self.sharpness < 0.073,
            Reason::TooDark => self.highlights < 24.0,
            Reason::TooBright => self.overexposure > 0.6,
            Reason::TurnedAway => self.yaw.abs() > 35.0,
            Reason::CutOff => self.cropping > 0.27,
            Reason::Covered | Reason::Unusual => false,
        };
        let mut reasons: BTreeSet<_> = Reason::ALL.into_iter().filter(holds).collect();
        if reasons.is_empty() && !self.is_recognizable() {
            let covered = self.recognizability.covered > 0.5;
            reasons.insert(if covered { Reason::Covered } else { Reason::Unusual });
        }
        reasons
    }
}

/// Measures a face in its photo and as the encoder will see it.
pub fn assess(face: &Face, aligned: &AlignedFace, recognizability: Recognizability) -> Quality {
    let yaw = yaw(face.landmarks());
    let [right_eye, left_eye, ..] = face.landmarks();
    let eyes = f64::hypot(left_eye.x - right_eye.x, left_eye.y - right_eye.y);
    let inner = InnerFace::of(aligned);
    let histogram = inner.histogram();
    let seen: u32 = histogram.iter().sum();
    let share = |count: u32, of: u32| f64::from(count) / f64::from(of.max(1));
    Quality {
        inter_eye_distance: eyes / yaw.abs().min(MOST_YAW).to_radians().cos(),
        sharpness: f64::min(inner.sharpness(1, 0), inner.sharpness(0, 1)),
        highlights: quantile(&histogram, 0.95),
        overexposure: share(histogram[OVEREXPOSED..].iter().sum(), seen),
        yaw,
        cropping: 1.0 - share(seen, inner.luma.len() as u32),
        recognizability,
    }
}

/// The angle whose tangent is the nose's way to the side over its depth. The way is measured along
/// the line of the eyes, from half way between eyes and mouth, where no nod or smile moves it much.
pub(crate) fn yaw([right_eye, left_eye, nose, right_mouth, left_mouth]: &[Point; 5]) -> f64 {
    let (dx, dy) = (left_eye.x - right_eye.x, left_eye.y - right_eye.y);
    let along = |p: &Point| p.x * dx + p.y * dy;
    let centre =
        [right_eye, left_eye, right_mouth, left_mouth].map(along).iter().sum::<f64>() / 4.0;
    (along(nose) - centre).atan2(NOSE_DEPTH * (dx * dx + dy * dy)).to_degrees()
}

/// The value that this share of the counted ones does not exceed.
fn quantile(histogram: &[u32; 256], share: f64) -> f64 {
    let enough = share * f64::from(histogram.iter().sum::<u32>());
    let mut below = 0;
    let reached = histogram.iter().position(|count| {
        below += count;
        f64::from(below) >= enough
    });
    reached.unwrap_or(0) as f64
}

/// The luma of the inner face.
struct InnerFace {
    /// Row by row, 0..=255, not rounded: in a blurred face neighbours differ by less than one.
    /// `None` beyond the photo's edge.
    luma: Vec<Option<f32>>,
    width: usize,
    /// How many pixels make one of a square of 112, whatever the encoder takes.
    step: usize,
}

impl InnerFace {
    fn of(face: &AlignedFace) -> Self {
        let (width, height) = face.pixels().dimensions();
        let [left, top, right, bottom] = INNER_FACE;
        let columns = left * width / SIDE..right * width / SIDE;
        let rows = top * height / SIDE..bottom * height / SIDE;
        let places = rows.flat_map(|y| columns.clone().map(move |x| (x, y)));
        let luma = places.map(|(x, y)| {
            let [r, g, b] = face.pixels().get_pixel(x, y).0.map(f32::from);
            face.covers(x, y).then_some(0.299 * r + 0.587 * g + 0.114 * b)
        });
        Self {
            luma: luma.collect(),
            width: columns.len(),
            step: ((width + SIDE / 2) / SIDE).max(1) as usize,
        }
    }

    fn histogram(&self) -> [u32; 256] {
        let mut counts = [0; 256];
        for &value in self.luma.iter().flatten() {
            counts[usize::from((value + 0.5) as u8)] += 1;
        }
        counts
    }

    /// The ratio of [`Quality::sharpness`] in one direction; 0 where nothing differs.
    fn sharpness(&self, across: usize, down: usize) -> f64 {
        let near = self.difference(across * self.step, down * self.step);
        let far = self.difference(4 * across * self.step, 4 * down * self.step);
        if far > 0.0 { near / far } else { 0.0 }
    }

    /// The mean squared difference of luma between pixels that lie so far apart.
    fn difference(&self, across: usize, down: usize) -> f64 {
        let (mut sum, mut count) = (0.0, 0_u32);
        for (row, others) in
            self.luma.chunks(self.width).zip(self.luma.chunks(self.width).skip(down))
        {
            for (value, other) in row.iter().zip(others.iter().skip(across)) {
                if let (Some(value), Some(other)) = (value, other) {
                    sum += f64::from(value - other).powi(2);
                    count += 1;
                }
            }
        }
        sum / f64::from(count.max(1))
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};
    use proptest::prelude::*;

    use super::*;
    use crate::face::{Bounds, align};
    use crate::photo::Photo;

    /// Where the landmarks of a head lie whose eyes are 2 apart, in a photo from afar; the last
    /// column is how far they stand out.
    const HEAD: [[f64; 3]; 5] = [
        [-1.0, 0.0, 0.0],
        [1.0, 0.0, 0.0],
        [0.0, 1.2, 2.0 * NOSE_DEPTH],
        [-0.8, 2.3, 0.0],
        [0.8, 2.3, 0.0],
    ];

    /// The head turned by an angle in degrees to the person's left, `eyes` pixels from eye to eye
    /// while it looks straight, its right eye's height and side given.
    fn head(yaw: f64, eyes: f64, x: f64, y: f64) -> Face {
        let (sin, cos) = yaw.to_radians().sin_cos();
        let landmarks = HEAD.map(|[right, down, out]| Point {
            x: x + eyes / 2.0 * (1.0 + right * cos + out * sin),
            y: y + eyes / 2.0 * down,
        });
        let bounds = Bounds { x, y, width: eyes, height: eyes };
        Face::new(bounds, landmarks, 0.9).unwrap()
    }

    fn assess_in(pixels: RgbImage, face: &Face) -> Quality {
        let aligned = align(&Photo::from_working(pixels), face, 112, 112);
        assess(face, &aligned, Recognizability::new(1.0, 0.0))
    }

    #[test]
    fn an_unrecognizable_face_is_covered_or_unusual_unless_another_reason_says_more() {
        let good = assess_in(noise(0.6, 1.0), &head(0.0, 35.0, 60.0, 60.0));
        let reasons = |agreement, covered, overexposure| {
            let recognizability = Recognizability::new(agreement, covered);
            let reasons = Quality { overexposure, recognizability, ..good.clone() }.reasons();
            reasons.into_iter().map(Reason::code).collect::<Vec<_>>()
        };
        assert!(reasons(0.9, 0.9, 0.0).is_empty());
        assert_eq!(reasons(0.4, 0.9, 0.0), ["covered"]);
        assert_eq!(reasons(0.4, 0.1, 0.0), ["unusual"]);
        assert_eq!(reasons(0.4, 0.1, 0.9), ["too_bright"]);
        assert_eq!(reasons(f32::NAN, f32::NAN, 0.0), ["unusual"]);
        let score = |agreement| {
            let recognizability = Recognizability::new(agreement, 0.0);
            Quality { recognizability, ..good.clone() }.unified_score()
        };
        assert_eq!([score(0.954), score(1.2), score(-0.3)], [95, 100, 0]);
    }

    /// Random values in the middle of the range, blurred.
    fn noise(sigma: f32, contrast: f32) -> RgbImage {
        let mut state = 1_u32;
        let noise = RgbImage::from_fn(160, 160, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Rgb([(state >> 24) as u8; 3])
        });
        let mut blurred = image::imageops::blur(&noise, sigma);
        blurred.iter_mut().for_each(|v| *v = (128.0 + (f32::from(*v) - 128.0) * contrast) as u8);
        blurred
    }

    #[test]
    fn blur_lowers_sharpness_in_whichever_direction_and_contrast_does_not() {
        let face = head(0.0, 35.0, 60.0, 60.0);
        let sharpness = |pixels| assess_in(pixels, &face).sharpness;
        let (sharp, soft, softer) =
            (sharpness(noise(0.6, 1.0)), sharpness(noise(1.5, 1.0)), sharpness(noise(3.0, 1.0)));
        assert!(sharp > 2.0 * soft && soft > 1.3 * softer, "{sharp} {soft} {softer}");
        assert!((sharpness(noise(1.5, 0.5)) / soft - 1.0).abs() < 0.05);
        let still = noise(0.6, 1.0);
        let moved = RgbImage::from_fn(150, 160, |x, y| {
            let passed = (x..x + 10).map(|x| u32::from(still.get_pixel(x, y).0[0]));
            Rgb([(passed.sum::<u32>() / 10) as u8; 3])
        });
        let motion = sharpness(moved);
        assert!(motion < 0.5 * sharp, "{motion}");
    }

    #[test]
    fn light_is_told_by_the_brightest_and_the_white_pixels() {
        let face = head(0.0, 35.0, 60.0, 60.0);
        let halves = |left, right| {
            RgbImage::from_fn(160, 160, |x, _| Rgb([if x < 77 { left } else { right }; 3]))
        };
        let quality = assess_in(halves(20, 90), &face);
        assert!((quality.highlights - 90.0).abs() < 1.0, "{quality:?}");
        assert!(quality.overexposure < 1e-9, "{quality:?}");
        let quality = assess_in(halves(20, 255), &face);
        assert!((quality.overexposure - 0.5).abs() < 0.05, "{quality:?}");
    }

    #[test]
    fn what_is_beyond_the_edge_is_cropped_and_not_measured() {
        // The inner face is 52 of 35 x 112 / 35.24 pixels wide, about its middle between the eyes.
        let face = head(0.0, 35.0, -17.5, 60.0);
        let quality = assess_in(RgbImage::from_pixel(160, 160, Rgb([200; 3])), &face);
        assert!((quality.cropping - 0.5).abs() < 0.03, "{quality:?}");
        assert!((quality.highlights - 200.0).abs() < 1.0, "{quality:?}");
        let nothing =
            assess_in(RgbImage::from_pixel(160, 160, Rgb([200; 3])), &head(0.0, 35.0, 900.0, 60.0));
        assert!((nothing.cropping - 1.0).abs() < 1e-9, "{nothing:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_turned_head_shows_its_yaw_and_keeps_its_inter_eye_distance(
            angle in -59.0_f64..59.0, eyes in 5.0_f64..50.0,
        ) {
            let quality = assess_in(RgbImage::new(400, 400), &head(angle, eyes, 40.0, 40.0));
            prop_assert!((quality.yaw - angle).abs() < 1e-6, "{quality:?}");
            prop_assert!((quality.inter_eye_distance / eyes - 1.0).abs() < 1e-6, "{quality:?}");
        }
    }
}
