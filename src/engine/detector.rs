//! The detector: an upright photo becomes the faces in it.
//!
//! Networks of the YuNet family (Wu, Peng and Yu 2023) answer on grids of stride 8, 16 and 32; each
//! cell says whether a face is centered near it, where exactly, and where its landmarks are.

use std::array;
use std::borrow::Cow;
use std::sync::OnceLock;

use anyhow::bail;
use image::{GenericImage, RgbImage};
use tract_onnx::prelude::*;

use super::error::EngineError;
use super::landmarks::LandmarkRefiner;
use super::manifest::{DetectorManifest, Golden};
use super::model::{ModelError, ModelSource};
use super::network::{Network, Plan, tensor};
use super::pixels::{PixelFormat, test_pattern};
use crate::face::{Bounds, Face, Point};
use crate::photo::{Photo, shrink_to_fit};

const STRIDES: [u32; 3] = [8, 16, 32];

/// The twelve outputs, kind by kind, and how many values a cell has in each kind.
const KINDS: [(&str, usize); 4] = [("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)];

/// Height of a face, in pixels of a pyramid level, that stops the search: its landmarks are exact, and another face about
/// as prominent would be found too.
const LARGE_ENOUGH: f64 = 32.0;

/// Maximum number of faces in a photo.
const MOST_FACES: usize = 64;

/// A detector that reproduced the golden output of its manifest.
#[derive(Debug)]
pub(super) struct Detector {
    network: Network,
    /// The image pyramid, the smallest copy first.
    levels: Vec<Level>,
    pixels: PixelFormat,
    /// For `KINDS` by `STRIDES`, which of the network's outputs it is.
    outputs: [[usize; 3]; 4],
    score: f32,
    nms_iou: f64,
    /// Refines the landmarks of each face; without it the detector's own are used.
    refiner: Option<LandmarkRefiner>,
}

/// A level of the image pyramid.
#[derive(Debug)]
struct Level {
    /// The longer side of the photo's copy, in pixels.
    side: u32,
    /// For small, landscape, portrait and square copies: a plan runs at one input size only, and the square one would
    /// spend a fifth of its time on empty pixels of most photos.
    canvases: [Canvas; 4],
}

/// The detections of one level.
struct Detections {
    faces: Vec<Face>,
    /// [`LARGE_ENOUGH`], in pixels of the photo.
    large: f64,
    /// Whether no larger level shows more.
    is_all: bool,
}

#[derive(Debug)]
struct Canvas {
    width: u32,
    height: u32,
    /// Created on first use: most services do not receive every kind.
    plan: OnceLock<Plan>,
}

impl Detector {
    /// Loads the networks and runs each on the test pattern.
    pub(super) fn load(
        source: &ModelSource,
        landmarks: Option<&ModelSource>,
    ) -> Result<Self, ModelError> {
        let DetectorManifest { about, pixels, sizes, score, nms_iou, golden } =
            DetectorManifest::of(source)?;
        let (network, _) = Network::read(source, &about)?;
        let names = network.outputs();
        let find = |kind: &str, stride: u32| {
            let wanted = format!("{kind}_{stride}");
            let found = names.iter().position(|name| *name == wanted);
            found.ok_or_else(|| source.error(format!("it has no output named {wanted}")))
        };
        let mut outputs = [[0; 3]; 4];
        for (of_kind, (kind, _)) in outputs.iter_mut().zip(KINDS) {
            for (output, stride) in of_kind.iter_mut().zip(STRIDES) {
                *output = find(kind, stride)?;
            }
        }
        let levels = sizes.into_iter().map(Level::new).collect();
        let refiner = landmarks.map(LandmarkRefiner::load).transpose()?;
        let detector = Self { network, levels, pixels, outputs, score, nms_iou, refiner };
        detector.self_test(&golden).map_err(|e| source.error(format!("{e:#}")))?;
        Ok(detector)
    }

    /// Compares the output of the first level's square canvas for the test pattern with the golden output.
    fn self_test(&self, golden: &Golden) -> TractResult<()> {
        let [.., square] = &self.levels[0].canvases;
        let maps = self.run(square, &test_pattern(square.width, square.height))?;
        let means = maps.iter().flatten().map(|map| map.iter().sum::<f32>() / map.len() as f32);
        Ok(golden.check(&means.collect::<Vec<_>>())?)
    }

    /// Returns the plan of a canvas. Two threads that need a new one at once may both create it.
    fn plan<'a>(&self, canvas: &'a Canvas) -> TractResult<&'a Plan> {
        if let Some(plan) = canvas.plan.get() {
            return Ok(plan);
        }
        let plan = self.network.plan(&self.pixels.shape(canvas.width, canvas.height))?;
        Ok(canvas.plan.get_or_init(|| plan))
    }

    /// Finds the faces of a photo in a small copy or, if that shows none or only small ones, in a larger one. Returns the
    /// faces of the last level that the refiner confirms.
    pub(super) fn detect(&self, photo: &Photo) -> Result<Vec<Face>, EngineError> {
        for (number, level) in self.levels.iter().enumerate() {
            let mut found = self.pass(level, photo)?;
            found.is_all |= number + 1 == self.levels.len();
            // Faces that a larger level shows better are not worth refining.
            if let Some(refiner) = self.refiner.as_ref().filter(|_| found.suffices()) {
                found.faces = refiner.refine(photo, &found.faces)?;
            }
            if found.suffices() {
                return Ok(found.faces);
            }
        }
        Ok(Vec::new())
    }

    /// Runs the detector on one level.
    fn pass(&self, level: &Level, photo: &Photo) -> Result<Detections, EngineError> {
        let copy = shrink_to_fit(photo.working(), level.side);
        let to_photo = f64::from(photo.width().max(photo.height()))
            / f64::from(copy.width().max(copy.height()));
        let canvas = level.canvas_for(copy.width(), copy.height());
        let mut image = RgbImage::new(canvas.width, canvas.height);
        image.copy_from(copy.as_ref(), 0, 0).map_err(EngineError::run)?;
        let maps = self.run(canvas, &image).map_err(EngineError::run)?;
        Ok(Detections {
            faces: suppress(self.read(&maps, canvas.width, to_photo), self.nms_iou),
            large: LARGE_ENOUGH * to_photo,
            is_all: matches!(copy, Cow::Borrowed(_)),
        })
    }

    /// Returns the twelve outputs for an image of the canvas's size, by kind and stride.
    fn run(&self, canvas: &Canvas, image: &RgbImage) -> TractResult<[[Vec<f32>; 3]; 4]> {
        let outputs = self.plan(canvas)?.run(tvec!(tensor(&self.pixels, image)?.into_tvalue()))?;
        let mut maps: [[Vec<f32>; 3]; 4] = array::from_fn(|_| array::from_fn(|_| Vec::new()));
        for (kind, (name, values)) in KINDS.into_iter().enumerate() {
            for (level, stride) in STRIDES.into_iter().enumerate() {
                let view = outputs[self.outputs[kind][level]].to_plain_array_view::<f32>()?;
                let cells = (canvas.width / stride * (canvas.height / stride)) as usize;
                if view.len() != cells * values {
                    bail!("{name}_{stride} has {} values, not {values} per cell", view.len());
                }
                maps[kind][level] = view.iter().copied().collect();
            }
        }
        Ok(maps)
    }

    /// Returns every cell above the score as a face, in pixels of the photo.
    fn read(&self, maps: &[[Vec<f32>; 3]; 4], width: u32, to_photo: f64) -> Vec<Face> {
        let [cls, obj, bbox, kps] = maps;
        let mut faces = Vec::new();
        for (level, stride) in STRIDES.into_iter().enumerate() {
            let columns = (width / stride) as usize;
            let step = f64::from(stride) * to_photo;
            for (cell, (cls, obj)) in cls[level].iter().zip(&obj[level]).enumerate() {
                let score = (cls.clamp(0.0, 1.0) * obj.clamp(0.0, 1.0)).sqrt();
                if score.is_nan() || score < self.score {
                    continue;
                }
                let (column, row) = ((cell % columns) as f64, (cell / columns) as f64);
                let edge = |i: usize| f64::from(bbox[level][cell * 4 + i]);
                let (width, height) = (edge(2).exp() * step, edge(3).exp() * step);
                let bounds = Bounds {
                    x: (column + edge(0)) * step - width / 2.0,
                    y: (row + edge(1)) * step - height / 2.0,
                    width,
                    height,
                };
                let place = |i: usize| f64::from(kps[level][cell * 10 + i]);
                let landmarks = array::from_fn(|k| Point {
                    x: (column + place(2 * k)) * step,
                    y: (row + place(2 * k + 1)) * step,
                });
                faces.extend(Face::new(bounds, landmarks, f64::from(score)));
            }
        }
        faces
    }
}

impl Detections {
    /// Returns whether no larger level is needed.
    fn suffices(&self) -> bool {
        self.is_all || self.faces.iter().any(|face| face.bounds().height >= self.large)
    }
}

impl Level {
    fn new(side: u32) -> Self {
        let shorter = (side * 3 / 4).next_multiple_of(32);
        let sizes = [(shorter, shorter), (side, shorter), (shorter, side), (side, side)];
        let canvas = |(width, height)| Canvas { width, height, plan: OnceLock::new() };
        Self { side, canvases: sizes.map(canvas) }
    }

    /// Returns the smallest canvas that holds a copy of this size.
    fn canvas_for(&self, width: u32, height: u32) -> &Canvas {
        let [smaller @ .., square] = &self.canvases;
        let holds = |canvas: &&Canvas| canvas.width >= width && canvas.height >= height;
        smaller.iter().find(holds).unwrap_or(square)
    }
}

/// Non-maximum suppression: keeps the most confident of overlapping faces.
fn suppress(mut faces: Vec<Face>, most_overlap: f64) -> Vec<Face> {
    faces.sort_by(|a, b| b.confidence().total_cmp(&a.confidence()));
    let mut kept: Vec<Face> = Vec::new();
    for face in faces {
        let covered = kept.iter().any(|k| k.bounds().overlap(face.bounds()) > most_overlap);
        if !covered && kept.len() < MOST_FACES {
            kept.push(face);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::ImageFormat;
    use image::imageops::{self, FilterType};

    use super::*;
    use crate::photo::{EncodedPhoto, PhotoLimits};

    fn face(x: f64, confidence: f64) -> Face {
        let bounds = Bounds { x, y: 0.0, width: 10.0, height: 10.0 };
        let at = |dx: f64, y: f64| Point { x: x + dx, y };
        let landmarks = [at(3.0, 4.0), at(7.0, 4.0), at(5.0, 6.0), at(3.5, 8.0), at(6.5, 8.0)];
        Face::new(bounds, landmarks, confidence).unwrap()
    }

    #[test]
    fn of_overlapping_faces_the_most_confident_stays() {
        let kept = suppress(vec![face(0.0, 0.7), face(2.0, 0.9), face(30.0, 0.6)], 0.3);
        assert_eq!(kept, vec![face(2.0, 0.9), face(30.0, 0.6)]);
    }

    /// A test person's photo, so many pixels wide and high, in the last corner of a grey one.
    fn photo(side: u32, within: u32) -> Photo {
        let inspect = |bytes: Vec<u8>| EncodedPhoto::inspect(bytes.into(), &PhotoLimits::default());
        let person = include_bytes!("../../tests/data/people/p01-a.jpg").to_vec();
        let person = inspect(person).unwrap().decode().unwrap();
        let person = imageops::resize(person.working(), side, side, FilterType::Triangle);
        let mut whole = RgbImage::from_pixel(within, within, image::Rgb([120; 3]));
        imageops::replace(&mut whole, &person, (within - side).into(), (within - side).into());
        let mut png = Cursor::new(Vec::new());
        whole.write_to(&mut png, ImageFormat::Png).unwrap();
        inspect(png.into_inner()).unwrap().decode().unwrap()
    }

    #[test]
    fn a_face_too_small_in_one_copy_is_found_in_a_larger_one() {
        let detector = Detector::load(&ModelSource::embedded_detector(), None).unwrap();
        let [large] = detector.detect(&photo(240, 240)).unwrap().try_into().unwrap();
        // In the first copy it is some ten pixels high, in the second some twenty.
        let [small] = detector.detect(&photo(240, 1600)).unwrap().try_into().unwrap();
        let size = large.bounds().height;
        for (a, b) in large.landmarks().iter().zip(small.landmarks()) {
            let apart = f64::hypot(b.x - a.x - 1360.0, b.y - a.y - 1360.0);
            assert!(apart < 0.05 * size, "{apart} of {size}");
        }
    }

    #[test]
    fn refiner_corrects_landmarks_and_rejects_non_faces() {
        let landmarks = ModelSource::embedded_landmarks();
        let detector = Detector::load(&ModelSource::embedded_detector(), Some(&landmarks)).unwrap();
        let refiner = detector.refiner.as_ref().unwrap();
        let photo = photo(240, 480);
        let [exact] = detector.detect(&photo).unwrap().try_into().unwrap();
        let moved = |by: f64| {
            let landmarks = exact.landmarks().map(|p| Point { x: p.x - by, y: p.y - by });
            Face::new(*exact.bounds(), landmarks, exact.confidence()).unwrap()
        };
        let [back] = refiner.refine(&photo, &[moved(5.0)]).unwrap().try_into().unwrap();
        for (a, b) in exact.landmarks().iter().zip(back.landmarks()) {
            let apart = f64::hypot(a.x - b.x, a.y - b.y);
            assert!(apart < 2.5, "{apart} pixels");
        }
        assert_eq!(refiner.refine(&photo, &[moved(240.0)]).unwrap(), []);
    }
}
