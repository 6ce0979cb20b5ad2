//! The errors of photos. The messages are written for the sender; those of decoders are not
//! helpful.

/// The reason why bytes cannot be used as a photo.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PhotoError {
    /// A supported format with an unsupported coding.
    #[error(
        "{0} are not supported; save the photo as baseline or progressive JPEG with 8 bits, as PNG or as WebP"
    )]
    ForeignCoding(&'static str),
    /// A recognized but unsupported format.
    #[error("{0} photos are not supported; convert the photo to JPEG, PNG or WebP")]
    ForeignFormat(&'static str),
    /// More pixels, a longer side or more memory than allowed.
    #[error(
        "the photo has too many pixels ({width} x {height}); the limit is {max_pixels} pixels, and {max_side} per side"
    )]
    TooManyPixels {
        /// Stored width, in pixels.
        width: u32,
        /// Stored height, in pixels.
        height: u32,
        /// Maximum number of pixels of a photo of this kind.
        max_pixels: u64,
        /// Maximum length of the longer side, in pixels.
        max_side: u32,
    },
    /// Too small to hold a face.
    #[error("the photo is too small to show a face ({width} x {height} pixels)")]
    TooSmall {
        /// Stored width, in pixels.
        width: u32,
        /// Stored height, in pixels.
        height: u32,
    },
    /// Not a recognized image format.
    #[error("this is not a JPEG, PNG or WebP image")]
    UnknownFormat,
    /// A supported format that is empty, damaged or truncated.
    #[error("the photo cannot be decoded: {0}")]
    Unreadable(Damage),
}

/// The damage of an image.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Damage {
    /// The file is empty.
    #[error("it is empty")]
    Empty,
    /// Bytes are missing at the end.
    #[error("it is truncated; send the whole file")]
    CutOff,
    /// The file ends correctly, but lacks much of the image data.
    #[error("part of its image data is missing or corrupt; send the original file")]
    Incomplete,
    /// The structure of the file is inconsistent.
    #[error("it is corrupt; open it in an image editor and save it again")]
    Inconsistent,
    /// The size of a WebP frame differs from the header.
    #[error("the size of a frame differs from its header")]
    FrameSize,
    /// More scans than programs write; each costs time.
    #[error("it has too many scans; save it again as a baseline JPEG")]
    Scans,
    /// Texts or color profiles are too large.
    #[error("its metadata and color profile are too large; save it without them")]
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
            image::ImageError::Unsupported(_) => Self::ForeignCoding("images with this coding"),
            image::ImageError::Limits(_) => Damage::Metadata.into(),
            _ => Damage::Inconsistent.into(),
        }
    }
}
