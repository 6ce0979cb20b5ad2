//! Faces, the rule of prominence, and the square that an encoder sees of a face.
//!
//! A [`Face`] is what the detector found, in pixels of the upright photo as it was sent; one rule
//! ([`prominent`]) tells the prominent faces from bystanders; [`align`] turns, scales and samples it. Only
//! `align` and [`align_square`] make an [`AlignedFace`], so whatever reaches the encoder has been aligned.

mod alignment;
mod similarity;
mod yaw;

pub use self::alignment::{AlignedFace, align, align_square};
use self::similarity::{Similarity, TEMPLATE};
pub(crate) use self::yaw::SyntheticYaw;
use crate::photo::Photo;

/// A second face counts from this share of the first one's prominence on.
const COMPARABLE: f64 = 0.6;

/// How near to the centre counts at the photo's corners; at the centre it is 1.
const NEARNESS_AT_CORNER: f64 = 0.25;

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

/// Why a photo has no single prominent face.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoProminentFace {
    /// No face was found.
    #[error("no face was found in the photo; it must show one upright face in good light")]
    None,
    /// Two faces or more are about equally prominent.
    #[error("the photo shows several equally prominent faces; send a photo of one person")]
    Several,
}

/// The prominent faces of a photo, at least one, in descending order of prominence.
#[derive(Clone, Debug, PartialEq)]
pub struct ProminentFaces {
    first: Face,
    others: Vec<Face>,
}

impl ProminentFaces {
    /// Returns the only prominent face.
    ///
    /// # Errors
    /// [`NoProminentFace::Several`] if there are others.
    pub fn sole(self) -> Result<Face, NoProminentFace> {
        if self.others.is_empty() { Ok(self.first) } else { Err(NoProminentFace::Several) }
    }

    /// Returns the number of prominent faces, at least 1.
    pub fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// Returns the most prominent face and the next ones.
    pub fn into_ranked(self) -> (Face, Vec<Face>) {
        (self.first, self.others)
    }
}

/// Selects the prominent faces: the one of greatest area times nearness to the center of the photo, and each of at
/// least 0.6 of its prominence. Smaller or less central faces are bystanders.
///
/// # Errors
/// [`NoProminentFace::None`] if there is no face.
pub fn prominent(mut faces: Vec<Face>, photo: &Photo) -> Result<ProminentFaces, NoProminentFace> {
    let (width, height) = (f64::from(photo.width()), f64::from(photo.height()));
    let prominence = |face: &Face| face.prominence(width, height);
    faces.sort_by(|a, b| prominence(b).total_cmp(&prominence(a)));
    let mut faces = faces.into_iter();
    let first = faces.next().ok_or(NoProminentFace::None)?;
    let least = COMPARABLE * prominence(&first);
    let others = faces.take_while(|face| prominence(face) >= least).collect();
    Ok(ProminentFaces { first, others })
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::similarity::TEMPLATE_SIDE;
    use super::*;

    pub(super) fn photo(width: u32, height: u32) -> Photo {
        Photo::from_working(RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([(x / 2) as u8, (y / 2) as u8, 90])
        }))
    }

    pub(super) fn face_at(x: f64, y: f64, side: f64) -> Face {
        let landmarks = TEMPLATE.map(|p| Point {
            x: x + p.x * side / TEMPLATE_SIDE,
            y: y + p.y * side / TEMPLATE_SIDE,
        });
        Face::new(Bounds { x, y, width: side, height: side }, landmarks, 0.9).unwrap()
    }

    #[test]
    fn bystander_is_not_prominent() {
        let (central, bystander) = (face_at(150.0, 150.0, 100.0), face_at(0.0, 0.0, 60.0));
        let found = prominent(vec![bystander, central.clone()], &photo(400, 400)).unwrap();
        assert_eq!(found.sole(), Ok(central));
    }

    #[test]
    fn comparable_faces_are_ranked_and_none_of_them_is_sole() {
        let (central, beside) = (face_at(150.0, 150.0, 100.0), face_at(280.0, 150.0, 100.0));
        let bystander = face_at(0.0, 0.0, 60.0);
        let faces = vec![beside.clone(), bystander, central.clone()];
        let found = prominent(faces, &photo(400, 400)).unwrap();
        assert_eq!(found.count(), 2);
        assert_eq!(found.clone().into_ranked(), (central, vec![beside]));
        assert_eq!(found.sole(), Err(NoProminentFace::Several));
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
}
