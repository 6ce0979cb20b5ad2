//! Manifests and calibrations.

#[path = "../../src/engine/calibration.rs"]
mod calibration;
#[path = "../../src/engine/crop.rs"]
mod crop;
#[path = "../../src/engine/manifest.rs"]
mod manifest;
#[path = "../../src/engine/model.rs"]
mod model;
#[path = "../../src/engine/pad_calibration.rs"]
mod pad_calibration;
#[path = "../../src/engine/pad_manifest.rs"]
mod pad_manifest;
#[path = "../../src/engine/pixels.rs"]
mod pixels;
#[path = "../../src/engine/quantization.rs"]
mod quantization;
#[path = "../../src/engine/reference_check.rs"]
mod reference_check;

use image::RgbImage;

use self::calibration::CalibrationSource;
use self::manifest::{DetectorManifest, EncoderManifest, LandmarksManifest};
use self::model::ModelSource;
use self::pad_calibration::PadCalibration;
use self::pad_manifest::PadManifest;
use crate::comparison::{Comparator, Decision, ErrorRates};
use crate::embedding::ModelId;

/// Reads a text as each kind of file that an operator may lay beside a model, and holds what comes of it to
/// what the rest of the service builds upon.
pub fn read_manifest(text: &str) {
    let source = ModelSource::new("fuzz".to_owned(), Vec::new(), text.to_owned());
    if let Ok(encoder) = EncoderManifest::of(&source) {
        assert!((16..=1024).contains(&encoder.width) && (16..=1024).contains(&encoder.height));
        let grey = RgbImage::new(encoder.width, encoder.height);
        let shape = encoder.pixels.shape(encoder.width, encoder.height);
        assert_eq!(encoder.pixels.values(&grey).len(), shape.iter().product::<usize>());
        for rates in encoder.error_rates.iter().chain(&encoder.profile_error_rates) {
            check_rates(rates);
        }
        check_scores(&encoder.comparator, encoder.length);
        if let Some(golden) = encoder.golden {
            let zeros = vec![0.0; golden.output.len()];
            assert!(golden.check(&vec![f32::NAN; zeros.len()]).is_err() || zeros.is_empty());
            assert!(golden.check(&vec![f32::INFINITY; zeros.len()]).is_err() || zeros.is_empty());
        }
    }
    if let Ok(detector) = DetectorManifest::of(&source) {
        assert!((0.0..=1.0).contains(&detector.score) && (0.0..=1.0).contains(&detector.nms_iou));
        assert!(!detector.sizes.is_empty());
        for size in detector.sizes {
            assert!(detector.pixels.shape(size, size).iter().product::<usize>() <= 3 * 1280 * 1280);
        }
    }
    if let Ok(landmarks) = LandmarksManifest::of(&source) {
        assert!((0.0..=1.0).contains(&landmarks.score));
        let side = landmarks.side;
        assert!(landmarks.pixels.shape(side, side).iter().product::<usize>() <= 3 * 1024 * 1024);
    }
    if let Ok(pad) = PadManifest::of(&source) {
        let squares = pad.input.crops.iter().map(|_| RgbImage::new(pad.input.side, pad.input.side));
        let values = pad.input.values(squares);
        assert_eq!(values.len(), pad.input.shape().iter().product::<usize>());
        // A score is a number or refused, whatever the network gives.
        let _ = pad.output.log_odds(&[f32::NAN, 0.0, f32::INFINITY]);
    }
    check_calibration(text);
    check_pad_calibration(text);
}

/// A calibration reads back as what was read.
fn check_calibration(text: &str) {
    let model = ModelId::from_digest([0xAB; 32]);
    let read = |text: &str| CalibrationSource::new("fuzz".to_owned(), text.to_owned()).of(model);
    if let Ok(calibration) = read(text) {
        check_rates(&calibration.error_rates);
        let again = read(&calibration.to_toml("a comment\nof two lines"));
        assert_eq!(again.expect("what was written can be read"), calibration);
    }
}

/// Thresholds of presentation attack detection read back as what was read.
fn check_pad_calibration(text: &str) {
    let models = vec![ModelId::from_digest([0xAB; 32])];
    let read = |text: &str| {
        CalibrationSource::new("fuzz".to_owned(), text.to_owned()).thresholds_of(&models)
    };
    if let Ok(thresholds) = read(text) {
        let written = PadCalibration { models: models.clone(), live_photos: 1, thresholds };
        assert_eq!(
            read(&written.to_toml()).expect("what was written can be read"),
            written.thresholds
        );
    }
}

/// Thresholds are finite, rise with the gallery, and nothing that is no number reaches one.
fn check_rates(rates: &ErrorRates) {
    let [few, many] = [1, 1_000_000].map(|people| rates.for_identification(1e-2, people));
    assert!(few.score <= many.score && many.score.value().is_finite());
    assert_eq!(few.decide(crate::comparison::Score::new(f64::NAN)), Decision::NonMatch);
}

/// Whatever two embeddings are, their score is a number.
fn check_scores(comparator: &Comparator, length: usize) {
    let embed = |value: f32| comparator.measure.embedding(vec![value; length]);
    for (a, b) in [(1.0, -1.0), (f32::MAX, f32::MIN), (1e15, -1e15), (f32::MIN_POSITIVE, 1.0)] {
        if let (Ok(a), Ok(b)) = (embed(a), embed(b)) {
            assert!(comparator.compare(&a, &b).value().is_finite());
        }
    }
}
