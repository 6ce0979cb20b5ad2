//! `likeness evaluate`: measures the encoder and its threshold on an organization's own photos.
//!
//! Each photo goes through the serving pipeline and is compared with all others, the first of two as
//! the reference. The output contains rates and names, never a photo or an embedding.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::slice;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::groups;
use super::labeled_folder::LabeledFolder;
use super::photo_files::file_name;
use super::photos::Sides;
use crate::comparison::{Threshold, dot};
use crate::config::{Config, EvaluateArgs};
use crate::embedding::Embedding;
use crate::engine::{Encoder, Engine, ExtractError, Extraction};
use crate::face::NoProminentFace;
use crate::photo::PhotoError;
use crate::quality::Reason;
use crate::recognizer::Policy;
use crate::report::{Attempt, Conditions, Grouping, Photos, Report};

/// Evaluates a folder of photos, prints the summary, and writes the report, the DET points and the calibration.
///
/// # Errors
/// If the folder has too few photos, a file cannot be read or written, a model fails, or a
/// calibration is requested that the photos do not support.
pub async fn run(config: &Config, args: &EvaluateArgs) -> anyhow::Result<()> {
    if args.presentations {
        return super::presentations::run(config, args).await;
    }
    let folder = LabeledFolder::read(&args.dir)?;
    let groups = args.groups.as_deref();
    let groupings = groups.map(|file| groups::groupings(file, &folder.people)).transpose()?;
    let options = config.engine_options()?;
    let engine = Engine::load(&options)?;
    let encoder = engine.encoder();
    let mut photos = LabeledPhotos::of_folder(&engine, slice::from_ref(encoder), folder).await?;
    photos.groupings = groupings.unwrap_or_default();
    let report = photos.report(encoder, config.policy(), args.target_fmr)?;
    say(report.summary().trim_end());
    if let Some(path) = &args.report {
        write(path, &report.html())?;
        say(&format!("Report written to {}.", path.display()));
    }
    if let Some(path) = &args.det {
        write_det(path, &report).with_context(|| format!("writing {}", path.display()))?;
        say(&format!("DET points written to {}.", path.display()));
    }
    if let Some(path) = &args.calibration_out {
        let Some(recalibration) = report.recalibration() else {
            bail!(
                "no calibration was written: these photos support no threshold (see above); add people or photos"
            );
        };
        write(path, &recalibration.to_toml(&report.recalibration_comment()))?;
        say(&format!("Calibration written to {}. To use it:", path.display()));
        say(&format!("  {}", report.serve_command(path)));
    }
    Ok(())
}

/// Labeled photos with their embeddings.
pub(super) struct LabeledPhotos {
    folder: LabeledFolder,
    extractions: Vec<Result<Extraction, ExtractError>>,
    /// Groupings of the folder's people to report by.
    groupings: Vec<Grouping>,
}

impl LabeledPhotos {
    /// Encodes each photo of a folder with each encoder.
    pub(super) async fn extract(
        engine: &Engine,
        encoders: &[Arc<Encoder>],
        dir: &Path,
    ) -> anyhow::Result<Self> {
        Self::of_folder(engine, encoders, LabeledFolder::read(dir)?).await
    }

    async fn of_folder(
        engine: &Engine,
        encoders: &[Arc<Encoder>],
        folder: LabeledFolder,
    ) -> anyhow::Result<Self> {
        let paths: Vec<_> = folder.photos.iter().map(|(_, path)| path).collect();
        let extractions = super::photos::extract(engine, encoders, &paths).await?;
        Ok(Self { folder, extractions, groupings: Vec::new() })
    }

    /// Returns the cosine between the embeddings of the last two encoders for each photo, as a reference.
    pub(super) fn cosines(&self) -> Vec<f32> {
        let references = |found: &Extraction| match &found.embeddings[..] {
            [.., a, _, b, _] => Some(cosine(a, b)),
            _ => None,
        };
        self.extractions.iter().flatten().filter_map(references).collect()
    }

    /// Reports on the last encoder whose embeddings are left, and removes them.
    pub(super) fn report(
        &mut self,
        encoder: &Encoder,
        policy: Policy,
        target: f64,
    ) -> anyhow::Result<Report> {
        let (photos, sides) = self.pop();
        let comparator = encoder.comparator();
        let compare =
            |a: usize, b: usize| comparator.compare(&sides[a].reference, &sides[b].probe).value();
        let conditions = Conditions {
            now: super::wall_clock(),
            model: encoder.model().clone(),
            calibration: comparator.calibration,
            present: present(encoder, policy),
            target,
        };
        let (failed, found) = (photos.failures.photos.len(), photos.found());
        let report = Report::new(conditions, photos, compare);
        report.with_context(|| format!("{failed} of {found} photos gave no embedding"))
    }

    /// Removes the embeddings of the last encoder; people with a usable photo are numbered from 0.
    fn pop(&mut self) -> (Photos, Vec<Sides>) {
        let (mut photos, mut all_sides) = (Photos::default(), Vec::new());
        let skipped = self.folder.skipped.iter().map(|path| path.display().to_string());
        photos.skipped = skipped.collect();
        photos.groupings.clone_from(&self.groupings);
        let (mut last, mut people) = (None, 0);
        for ((person, path), extraction) in self.folder.photos.iter().zip(&mut self.extractions) {
            let photo = format!("{}/{}", self.folder.people[*person], file_name(path));
            match extraction {
                Ok(extraction) => {
                    if last != Some(person) {
                        people += 1;
                        last = Some(person);
                    }
                    let reasons = extraction.quality.reasons();
                    photos.person_of.push(people - 1);
                    photos.names.push(photo);
                    photos.attempts.push(attempt(*person, Some(&reasons)));
                    for reason in reasons {
                        *photos.defects.entry(reason.code()).or_default() += 1;
                    }
                    all_sides.push(Sides::pop(extraction));
                }
                Err(error) => {
                    photos.attempts.push(attempt(*person, None));
                    *photos.failures.counts.entry(kind(error)).or_default() += 1;
                    photos.failures.photos.push((photo, error.to_string()));
                }
            }
        }
        (photos, all_sides)
    }
}

fn cosine(a: &Embedding, b: &Embedding) -> f32 {
    let (a, b) = (a.values(), b.values());
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Returns what a photo is good for; without reasons it gave no embedding.
fn attempt(person: usize, reasons: Option<&BTreeSet<Reason>>) -> Attempt {
    Attempt {
        person,
        is_acquired: reasons.is_some(),
        is_enrollable: reasons.is_some_and(BTreeSet::is_empty),
    }
}

/// Returns the service's verification threshold, or the reason why it has none.
fn present(encoder: &Encoder, policy: Policy) -> Result<Threshold, String> {
    let rates = encoder.error_rates().ok_or("the encoder's manifest has no error rates")?;
    rates.for_verification(policy.verify_fmr).map_err(|error| error.to_string())
}

/// Returns the kind of a failure, for counting.
fn kind(error: &ExtractError) -> &'static str {
    match error {
        ExtractError::Busy | ExtractError::Engine(_) => "model failure",
        ExtractError::Face(NoProminentFace::None) => "no face found",
        ExtractError::Face(NoProminentFace::Several) => "several faces",
        ExtractError::Photo(
            PhotoError::ForeignCoding(_) | PhotoError::ForeignFormat(_) | PhotoError::UnknownFormat,
        ) => "not a JPEG, PNG or WebP",
        ExtractError::Photo(PhotoError::TooManyPixels { .. }) => "too large",
        ExtractError::Photo(PhotoError::TooSmall { .. }) => "too small",
        ExtractError::Photo(PhotoError::Unreadable(_)) => "corrupt",
    }
}

/// Writes the points of the DET curves as CSV; the columns of the grouping and the group are empty for
/// all people.
fn write_det(path: &Path, report: &Report) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_path(path)?;
    writer.write_record(["grouping", "group", "score", "fmr", "fnmr"])?;
    for (grouping, group, point) in report.det() {
        let [score, fmr, fnmr] = [point.score, point.fmr, point.fnmr].map(|n| n.to_string());
        writer.write_record([grouping, group, &score, &fmr, &fnmr])?;
    }
    Ok(writer.flush()?)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[expect(clippy::print_stdout, reason = "the command's output")]
fn say(line: &str) {
    println!("{line}");
}
