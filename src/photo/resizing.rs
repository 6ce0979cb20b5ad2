//! Downscaling without aliasing.

use std::borrow::Cow;

use fast_image_resize as fir;
use image::RgbImage;

/// Shrinks an image by bilinear convolution over the area of each pixel, so that the longer side is
/// at most `side`. A smaller image is returned unchanged.
pub(crate) fn shrink_to_fit(image: &RgbImage, side: u32) -> Cow<'_, RgbImage> {
    let (width, height) = image.dimensions();
    let longer = width.max(height);
    if longer <= side {
        return Cow::Borrowed(image);
    }
    let shrunk = |length: u32| {
        let exact = f64::from(length) * f64::from(side) / f64::from(longer);
        (exact.round() as u32).max(1)
    };
    let filter = fir::ResizeAlg::Convolution(fir::FilterType::Bilinear);
    let options = fir::ResizeOptions::new().resize_alg(filter);
    Cow::Owned(resize(image, (shrunk(width), shrunk(height)), &options))
}

/// Shrinks a part of an image: each pixel is the mean of `cell` x `cell` pixels. The part starts at
/// `left` and `top`, is inside the image, and has `width` x `height` cells, at least one.
pub(crate) fn shrink_part(
    image: &RgbImage,
    (left, top): (u32, u32),
    (width, height): (u32, u32),
    cell: u32,
) -> RgbImage {
    let filter = fir::ResizeAlg::Convolution(fir::FilterType::Box);
    let [left, top, wide, high] = [left, top, width * cell, height * cell].map(f64::from);
    let options = fir::ResizeOptions::new().resize_alg(filter).crop(left, top, wide, high);
    resize(image, (width, height), &options)
}

/// Resizes a part of an image bilinearly: by convolution over the area of each pixel or, if it is not `antialiased`,
/// between the four nearest pixels, as OpenCV's `INTER_LINEAR`. The part starts at `left` and `top` and is inside the
/// image, at least one pixel wide and high.
pub(crate) fn resize_part(
    image: &RgbImage,
    (left, top): (u32, u32),
    (width, height): (u32, u32),
    target: (u32, u32),
    antialiased: bool,
) -> RgbImage {
    let filter = if antialiased {
        fir::ResizeAlg::Convolution(fir::FilterType::Bilinear)
    } else {
        fir::ResizeAlg::Interpolation(fir::FilterType::Bilinear)
    };
    let [left, top, width, height] = [left, top, width, height].map(f64::from);
    let options = fir::ResizeOptions::new().resize_alg(filter).crop(left, top, width, height);
    resize(image, target, &options)
}

fn resize(image: &RgbImage, (width, height): (u32, u32), options: &fir::ResizeOptions) -> RgbImage {
    const PIXELS: fir::PixelType = fir::PixelType::U8x3;
    let mut small = RgbImage::new(width, height);
    let from = fir::images::ImageRef::new(image.width(), image.height(), image, PIXELS);
    let to = fir::images::Image::from_slice_u8(width, height, &mut small, PIXELS);
    from.map_err(drop)
        .and_then(|from| {
            let mut to = to.map_err(drop)?;
            fir::Resizer::new().resize(&from, &mut to, options).map_err(drop)
        })
        .expect("both buffers have three bytes a pixel, since RgbImage made them, and what is cropped lies within");
    small
}
