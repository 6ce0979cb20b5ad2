//! Benchmarks of each stage, without HTTP: `cargo bench`. Photos are one generated face at three
//! sizes; galleries are random.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]

mod noise;

use std::hint::black_box;
use std::io::Cursor;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use image::imageops::{self, FilterType};
use jiff::Timestamp;
use likeness::comparison::{Calibration, Comparator, Measure};
use likeness::embedding::Embedding;
use likeness::employee::{AuditId, EmployeeId};
use likeness::engine::{Encoder, Engine, EngineOptions, ModelSource, Role};
use likeness::gallery::{Enrolled, Gallery, Query};
use likeness::photo::{EncodedPhoto, PhotoLimits};

use self::noise::noise;
use likeness::seal::DataKeyId;

const WIDTH: usize = 128;

/// Returns a JPEG of a generated face at this size, with sensor noise.
fn photo(width: u32, height: u32) -> Bytes {
    let face = Bytes::from_static(include_bytes!("../tests/data/people/p01-a.jpg"));
    let face = EncodedPhoto::inspect(face, &PhotoLimits::default()).unwrap().decode().unwrap();
    let mut photo = imageops::resize(face.working(), width, height, FilterType::Triangle);
    for (value, noise) in photo.iter_mut().zip(noise(3)) {
        *value = (f32::from(*value) + 5.0 * noise) as u8;
    }
    let mut jpeg = Cursor::new(Vec::new());
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 92).encode_image(&photo).unwrap();
    jpeg.into_inner().into()
}

fn photos() -> [(&'static str, Bytes); 3] {
    [("250", photo(250, 250)), ("1344", photo(1344, 1008)), ("12MP", photo(4032, 3024))]
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    let limits = PhotoLimits::default();
    for (name, jpeg) in photos() {
        group.bench_function(name, |b| {
            b.iter(|| EncodedPhoto::inspect(jpeg.clone(), &limits).unwrap().decode().unwrap());
        });
    }
}

fn extract(c: &mut Criterion) {
    let options = EngineOptions::embedded(1, 1);
    let engine = Engine::load(&options).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    // Once without an encoder, once with: the difference is the encoder's.
    for (name, asked) in [
        ("photo to face", vec![]),
        ("photo to embedding", vec![(engine.encoder().clone(), Role::Probe)]),
    ] {
        let mut group = c.benchmark_group(name);
        for (name, jpeg) in photos() {
            group.bench_function(name, |b| {
                let permit = engine.permit().unwrap();
                let extraction = || engine.extract(&permit, jpeg.clone(), asked.clone());
                b.iter(|| runtime.block_on(extraction()).unwrap());
            });
        }
    }
}

fn load(c: &mut Criterion) {
    let source = ModelSource::embedded_encoder();
    c.bench_function("load the encoder", |b| b.iter(|| Encoder::load(&source).unwrap()));
}

fn search(c: &mut Criterion) {
    let comparator =
        Comparator { measure: Measure::Cosine, calibration: Calibration::new(10.0, 3.0).unwrap() };
    let mut values = noise(7);
    let mut face = || Embedding::normalize(values.by_ref().take(WIDTH).collect()).unwrap();
    let mut group = c.benchmark_group("search");
    group.sample_size(20);
    let gallery = Gallery::new(WIDTH);
    for people in [10_000, 100_000, 1_000_000] {
        for who in gallery.len()..people {
            let employee = EmployeeId::parse(&who.to_string()).unwrap();
            let (audit_id, key) = (AuditId::from_bytes([0; 16]), DataKeyId::AUDIT);
            gallery.insert(
                Enrolled { employee, audit_id, expires_at: None, recognizable: true, key },
                &face(),
            );
        }
        for at_once in [1, 32] {
            let query = || Query { probe: face(), top: 5, now: Timestamp::UNIX_EPOCH };
            let queries: Vec<_> = std::iter::repeat_with(query).take(at_once).collect();
            group.bench_function(format!("{people} people, {at_once} at once"), |b| {
                b.iter(|| gallery.search(black_box(&queries), &comparator));
            });
        }
    }
}

criterion_group!(stages, decode, extract, load, search);
criterion_main!(stages);
