//! Why bytes are not a photo that can be used: sentences of our own, since what a decoder says helps no sender.

/// Why bytes are not a photo that can be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PhotoError {
    /// An image of a known format, coded in a way that is not read.
    #[error(
        "{0} are not read; save the photo as an ordinary JPEG (baseline or progressive, 8 bits), as PNG or as WebP"
    )]
    ForeignCoding(&'static str),
    /// An image of a kind that is recognised but not read.
    #[error("{0} photos are not read; convert it to JPEG, PNG or WebP first")]
    ForeignFormat(&'static str),
    /// More pixels, a longer side or more memory than allowed.
    #[error(
        "the photo is too large ({width} x {height} pixels); send at most {max_pixels} pixels, and at most {max_side} a side"
    )]
    TooManyPixels {
        /// Stored width, in pixels.
        width: u32,
        /// Stored height, in pixels.
        height: u32,
        /// How many pixels a photo of this kind may have.
        max_pixels: u64,
        /// How many pixels its longer side may have.
        max_side: u32,
    },
    /// Too small to hold a face.
    #[error("the photo is too small to hold a face ({width} x {height} pixels)")]
    TooSmall {
        /// Stored width, in pixels.
        width: u32,
        /// Stored height, in pixels.
        height: u32,
    },
    /// Nothing that looks like an image.
    #[error("this is not a JPEG, PNG or WebP image")]
    UnknownFormat,
    /// An image of a known kind that is empty, damaged or cut off.
    #[error("the photo cannot be read: {0}")]
    Unreadable(Damage),
}

/// What is wrong with an image of a known kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Damage {
    /// No bytes at all.
    #[error("it is empty")]
    Empty,
    /// Bytes are missing at the end.
    #[error("it is cut off before its end; send the whole file")]
    CutOff,
    /// The file ends as it should, but much of the image is not in it.
    #[error("a part of its image data is missing or damaged; send the original file")]
    Incomplete,
    /// The parts of the file do not fit together.
    #[error("it is damaged; open it in an image editor, save it anew and send that")]
    Inconsistent,
    /// A frame of a WebP has another size than the file.
    #[error("a frame in it has another size than its header says")]
    FrameSize,
    /// More scans than any program writes, each of which costs time.
    #[error("it has more scans than any program writes; save it anew as an ordinary JPEG")]
    Scans,
    /// Texts or colour profiles beyond all measure.
    #[error("its texts and colour profile take too much memory; save it without them")]
    Metadata,
}

impl From<Damage> for PhotoError {
    fn from(damage: Damage) -> Self {
        Self::Unreadable(damage)
    }
}

impl From<image::ImageError> for PhotoError {
    fn from(error: image::ImageError) -> Self {
        match error {
            image::ImageError::Unsupported(_) => Self::ForeignCoding("images of this coding"),
            image::ImageError::Limits(_) => Damage::Metadata.into(),
            _ => Damage::Inconsistent.into(),
        }
    }
}
