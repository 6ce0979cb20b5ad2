//! Crops around a face's box, for networks that read the surroundings of a face too.

use image::RgbImage;
use serde::Deserialize;

use crate::face::Bounds;
use crate::photo::{Photo, resize_part};

/// The largest size of a crop, as a multiple of the box.
const LARGEST: f64 = 8.0;

/// What a crop is enlarged from.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Shape {
    /// The detector's box; the crop is resized to a square without its aspect ratio.
    Rectangle,
    /// A square of the longer side of the box.
    Square,
}

/// What happens at the edge of the photo.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Border {
    /// The crop is shrunk to fit into the photo, and moved inside.
    Inside,
    /// The photo is continued by its mirror image, without repeating the pixels at the edge.
    Mirror,
}

/// A crop of the size of the box times a factor, about the center of the box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Crop {
    factor: f64,
    shape: Shape,
    border: Border,
    antialiased: bool,
}

/// One side of a crop in whole pixels of the photo, from the first to the one after the last; it may reach beyond the
/// photo.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    from: i64,
    to: i64,
}

impl Crop {
    /// Creates a crop; `None` unless the factor is from 0.5 to 8.
    pub(super) fn new(factor: f64, shape: Shape, border: Border) -> Option<Self> {
        let crop = Self { factor, shape, border, antialiased: true };
        (0.5..=LARGEST).contains(&factor).then_some(crop)
    }

    /// Sets whether a crop is resized over the area of each pixel, as by default.
    pub(super) fn antialiased(self, antialiased: bool) -> Self {
        Self { antialiased, ..self }
    }

    /// Returns the crop of a face, resized bilinearly to a square.
    pub(super) fn of(&self, photo: &Photo, bounds: &Bounds, side: u32) -> RgbImage {
        let working = photo.working();
        let (width, height) = (f64::from(working.width()), f64::from(working.height()));
        let [x, y, box_width, box_height] =
            [bounds.x, bounds.y, bounds.width, bounds.height].map(|length| length * photo.scale());
        let longer = box_width.max(box_height);
        let [cropped_width, cropped_height] = match self.shape {
            Shape::Rectangle => [box_width, box_height],
            Shape::Square => [longer, longer],
        };
        let fitting = ((width - 1.0) / cropped_width).min((height - 1.0) / cropped_height);
        let factor = match self.border {
            Border::Inside => self.factor.min(fitting),
            Border::Mirror => self.factor,
        };
        let across = self.span(x + box_width / 2.0, cropped_width * factor, working.width());
        let down = self.span(y + box_height / 2.0, cropped_height * factor, working.height());
        resized(working, across, down, (side, self.antialiased))
    }

    /// Returns the span of one side, of this length about a center, in a photo of `size` pixels.
    fn span(&self, center: f64, length: f64, size: u32) -> Span {
        let (start, size) = (center - length / 2.0, f64::from(size));
        let start = match self.border {
            Border::Inside => start.clamp(0.0, (size - length).max(0.0)),
            Border::Mirror => start,
        };
        let span = Span { from: start.floor() as i64, to: (start + length).ceil() as i64 };
        match self.border {
            Border::Inside => Span { to: span.to.clamp(span.from + 1, size as i64), ..span },
            Border::Mirror => span,
        }
    }
}

/// Resizes a part of an image to a square. What lies beyond the image is mirrored at the resolution of the square, so
/// that the memory does not depend on the size of the part.
fn resized(
    image: &RgbImage,
    across: Span,
    down: Span,
    (side, antialiased): (u32, bool),
) -> RgbImage {
    let [(left, width), (top, height)] =
        [(across, image.width()), (down, image.height())].map(|(span, size)| {
            // A box beyond the photo leaves the pixels at the edge.
            let from = span.from.clamp(0, i64::from(size) - 1);
            (from, span.to.clamp(from + 1, i64::from(size)) - from)
        });
    let [across, down] = [(across, left, width), (down, top, height)]
        .map(|(span, from, length)| Placed::of(span, from, length, side));
    let (from, size) = ((left as u32, top as u32), (across.length, down.length));
    let inner = resize_part(image, from, (width as u32, height as u32), size, antialiased);
    if size == (side, side) {
        return inner;
    }
    RgbImage::from_fn(side, side, |x, y| *inner.get_pixel(across.mirrored(x), down.mirrored(y)))
}

/// Where the part inside the image lies in one side of the square, in pixels of the square.
struct Placed {
    first: i64,
    length: u32,
}

impl Placed {
    /// Places the pixels `from..from + length` of a span.
    fn of(span: Span, from: i64, length: i64, side: u32) -> Self {
        let scale = f64::from(side) / (span.to - span.from).max(1) as f64;
        let first = ((from - span.from) as f64 * scale).round() as i64;
        let last = ((from + length - span.from) as f64 * scale).round() as i64;
        Self { first, length: (last - first).clamp(1, i64::from(side)) as u32 }
    }

    /// Returns the pixel of the part that is seen at a pixel of the square.
    fn mirrored(&self, at: u32) -> u32 {
        let period = (2 * i64::from(self.length) - 2).max(1);
        let within = (i64::from(at) - self.first).rem_euclid(period);
        within.min(period - within).min(i64::from(self.length) - 1) as u32
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    /// A photo whose red is the column and whose green is the row.
    fn ramp(width: u32, height: u32) -> Photo {
        Photo::from_working(RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 0])))
    }

    fn bounds(x: f64, y: f64, width: f64, height: f64) -> Bounds {
        Bounds { x, y, width, height }
    }

    fn corners(crop: &RgbImage) -> [[u8; 2]; 2] {
        let last = crop.width() - 1;
        [crop.get_pixel(0, 0), crop.get_pixel(last, last)].map(|pixel| [pixel.0[0], pixel.0[1]])
    }

    #[test]
    fn a_crop_inside_the_photo_is_its_pixels() {
        for border in [Border::Inside, Border::Mirror] {
            let crop = Crop::new(2.0, Shape::Rectangle, border).unwrap();
            let seen = crop.of(&ramp(200, 200), &bounds(80.0, 90.0, 20.0, 20.0), 40);
            assert_eq!(corners(&seen), [[70, 80], [109, 119]], "{border:?}");
        }
    }

    #[test]
    fn a_crop_at_the_edge_is_moved_inside_or_mirrored() {
        let near_edge = bounds(0.0, 90.0, 20.0, 20.0);
        let of = |border| {
            Crop::new(2.0, Shape::Rectangle, border).unwrap().of(&ramp(200, 200), &near_edge, 40)
        };
        assert_eq!(corners(&of(Border::Inside)), [[0, 80], [39, 119]]);
        let mirrored = of(Border::Mirror);
        let row: Vec<_> = (0..14).map(|x| mirrored.get_pixel(x, 0).0[0]).collect();
        assert_eq!(row, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3]);
    }

    #[test]
    fn a_crop_that_is_not_antialiased_takes_the_nearest_pixels() {
        let stripes = RgbImage::from_fn(64, 64, |x, _| Rgb([255 * u8::from(x % 4 == 1); 3]));
        let crop = Crop::new(1.0, Shape::Square, Border::Mirror).unwrap();
        let of = |antialiased| {
            let photo = Photo::from_working(stripes.clone());
            let seen = crop.antialiased(antialiased).of(&photo, &bounds(0.0, 0.0, 64.0, 64.0), 16);
            seen.get_pixel(8, 8).0[0]
        };
        // Of columns 32 to 35 the center lies between 33, which is white, and 34.
        assert!((127..=128).contains(&of(false)), "{}", of(false));
        assert!(of(true) < 100, "{}", of(true));
    }

    #[test]
    fn a_crop_larger_than_the_photo_is_shrunk_about_the_same_place() {
        let crop = Crop::new(4.0, Shape::Square, Border::Inside).unwrap();
        let seen = crop.of(&ramp(100, 60), &bounds(20.0, 10.0, 30.0, 40.0), 59);
        assert_eq!(seen.dimensions(), (59, 59));
        let [[left, top], [right, bottom]] = corners(&seen);
        assert!(left < 10 && top < 3 && right < 70 && bottom > 55, "{left} {top} {right} {bottom}");
    }

    #[test]
    fn a_box_of_any_size_and_place_gives_a_crop() {
        let photo = ramp(33, 7);
        for border in [Border::Inside, Border::Mirror] {
            for shape in [Shape::Rectangle, Shape::Square] {
                let crop = Crop::new(8.0, shape, border).unwrap();
                for at in [-1e4, -5.0, 0.0, 6.5, 1e4] {
                    for length in [0.01, 1.0, 40.0, 1e4] {
                        let seen = crop.of(&photo, &bounds(at, at, length, length / 2.0), 16);
                        assert_eq!(seen.dimensions(), (16, 16));
                    }
                }
            }
        }
        assert!(Crop::new(f64::NAN, Shape::Square, Border::Inside).is_none());
    }
}
