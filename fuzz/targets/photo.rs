//! Any bytes, as a photo: refused, or within the limits in pixels and in memory.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use likeness_fuzz::Heap;
use likeness_fuzz::photo::{EncodedPhoto, PhotoLimits};

/// Beside the pixels and the file itself: metadata, tables, the copy that later steps sample, and room for the one
/// partition of a WebP, of at most 16 MB by its header, that turns out not to be there.
const BESIDE: usize = 32_000_000;

/// Larger photos are inspected and not decoded: they take the same ways, only longer.
const WORTH_DECODING: u64 = 4_000_000;

#[global_allocator]
static HEAP: Heap = Heap::new();

fuzz_target!(|data: &[u8]| {
    let (bytes, limits) = (Bytes::copy_from_slice(data), PhotoLimits::default());
    let (photo, peak) = HEAP.peak_of(|| EncodedPhoto::inspect(bytes, &limits));
    assert!(peak <= BESIDE + 4 * data.len(), "{peak} bytes to inspect {}", data.len());
    let Ok(photo) = photo else { return };
    let counted = photo.decoded_bytes();
    assert!(counted <= limits.max_decoded_bytes);
    if counted > WORTH_DECODING {
        return;
    }
    let (photo, peak) = HEAP.peak_of(|| photo.decode());
    assert!(
        peak <= counted as usize + BESIDE + 4 * data.len(),
        "{peak} bytes where {counted} count"
    );
    let Ok(photo) = photo else { return };
    let (width, height) = (photo.width(), photo.height());
    assert!(u64::from(width) * u64::from(height) <= limits.max_pixels);
    assert!(width.max(height) <= limits.max_side && width.min(height) >= limits.min_side);
    let (small_width, small_height) = photo.working().dimensions();
    assert!(small_width <= width.min(1344) && small_height <= height.min(1344));
    assert!(photo.scale() > 0.0 && photo.scale() <= 1.0);
});
