//! `likeness evaluate --pad`: measures presentation attack detection on an organization's own photos.
//!
//! The photos of live people set the threshold; photos of attacks, where there are any, tell what passes it. Each photo
//! goes through the serving pipeline. The output contains rates, scores and names, never a photo.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use super::photo_files::{EXTENSIONS, entries, extension, file_name};
use crate::config::{Config, EvaluateArgs};
use crate::engine::{AttackDetector, Engine, EngineOptions, PadCalibration, PadOptions};
use crate::evaluation::{Rate, presentation_error_rate};
use crate::presentation::{Decision, LiveScore, Presentation, Row, Thresholds};

/// The BPCERs that thresholds are fitted for, if there are enough photos.
const RATES: [f64; 6] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2];

/// A photo of the folder and what became of it.
struct Shown {
    path: PathBuf,
    /// The number of its person: of its subfolder or, outside of one, of the photo.
    person: usize,
    /// `None` if no face could be judged.
    presentation: Option<Presentation>,
}

/// Photos of one kind: live people, or attacks with one instrument.
struct Species {
    name: String,
    photos: Vec<Shown>,
}

/// Measures presentation attack detection, prints the rates, and writes scores and calibration.
///
/// # Errors
/// If the folder has no photos of live people, a file cannot be read or written, a model fails, or a calibration is
/// requested that the photos do not support.
pub(super) async fn run(config: &Config, args: &EvaluateArgs) -> anyhow::Result<()> {
    let (mut live, mut attacks) = read(&args.dir)?;
    let pad = PadOptions { bpcer: None, ..config.pad.networks(&config.data_dir)? };
    let engine = Engine::load(&EngineOptions { pad: Some(pad), ..config.engine_options()? })?;
    let detector = engine.attack_detector().context("the engine judges presentations")?;
    for species in [&mut live].into_iter().chain(&mut attacks) {
        species.judge(&engine).await?;
    }
    if let Some(path) = &args.pad_scores {
        write_scores(path, &live, &attacks)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    let fitted = Thresholds::fit(live.scores(), &RATES);
    let target = config.pad.pad_bpcer;
    say(&live.coverage());
    if let Some(row) = detector.thresholds().and_then(|table| table.at(target).ok()) {
        report("the threshold of --pad", row, &live, &attacks);
    }
    match fitted.as_ref().map(|table| table.at(target)) {
        Some(Ok(row)) => report("a threshold fitted to these photos", row, &live, &attacks),
        _ => say(&format!(
            "These photos support no threshold for a BPCER of {}: that takes {} judged photos of live people.",
            percent(target),
            (1.0 / target).ceil()
        )),
    }
    if let Some(path) = &args.calibration_out {
        let Some(thresholds) = fitted else {
            bail!("no calibration was written: these photos support no threshold (see above)");
        };
        let calibration = calibration(detector, live.scores().len(), thresholds);
        fs::write(path, calibration.to_toml())
            .with_context(|| format!("writing {}", path.display()))?;
        say(&format!(
            "Calibration written to {0}. To use it: --pad-calibration {0}",
            path.display()
        ));
    }
    Ok(())
}

/// Returns the scores of all photos of a folder that can be judged.
///
/// # Errors
/// If the folder has no photos of live people, a file cannot be read, or a model fails.
pub(super) async fn scores(engine: &Engine, dir: &Path) -> anyhow::Result<Vec<f64>> {
    let (live, mut species) = read(dir)?;
    species.push(live);
    let mut scores = Vec::new();
    for species in &mut species {
        species.judge(engine).await?;
        scores.extend(species.judged().map(|(_, shown)| shown.score.value()));
    }
    Ok(scores)
}

/// Lists `DIR/live` and `DIR/attack/<instrument>`.
fn read(dir: &Path) -> anyhow::Result<(Species, Vec<Species>)> {
    let expected = || {
        format!(
            "{}: photos of live people are expected at DIR/live/*.jpg or DIR/live/PERSON/*.jpg, and those of attacks at \
             DIR/attack/INSTRUMENT/*.jpg or DIR/attack/INSTRUMENT/PERSON/*.jpg",
            dir.display()
        )
    };
    let live = Species::read(&dir.join("live")).with_context(expected)?;
    ensure!(!live.photos.is_empty(), "no photos of live people found. {}", expected());
    let attack = dir.join("attack");
    let instruments = if attack.is_dir() { entries(&attack)? } else { Vec::new() };
    let instruments = instruments.iter().filter(|path| path.is_dir());
    let attacks = instruments.map(|path| Species::read(path)).collect::<anyhow::Result<_>>()?;
    Ok((live, attacks))
}

impl Species {
    fn read(folder: &Path) -> anyhow::Result<Self> {
        let is_photo = |path: &PathBuf| EXTENSIONS.contains(&extension(path).as_str());
        let (mut photos, mut people) = (Vec::new(), 0);
        for entry in entries(folder)? {
            let found = if entry.is_dir() { entries(&entry)? } else { vec![entry] };
            let found = found.into_iter().filter(|path| path.is_file() && is_photo(path));
            let shown = |path| Shown { path, person: people, presentation: None };
            photos.extend(found.map(shown));
            people += 1;
        }
        Ok(Self { name: file_name(folder), photos })
    }

    /// Runs the serving pipeline on each photo.
    async fn judge(&mut self, engine: &Engine) -> anyhow::Result<()> {
        let paths: Vec<_> = self.photos.iter().map(|shown| &shown.path).collect();
        let found = super::photos::extract(engine, &[], &paths).await?;
        for (shown, found) in self.photos.iter_mut().zip(found) {
            shown.presentation = found.ok().and_then(|extraction| extraction.presentation);
        }
        Ok(())
    }

    fn judged(&self) -> impl Iterator<Item = (usize, &Presentation)> {
        self.photos.iter().filter_map(|shown| Some((shown.person, shown.presentation.as_ref()?)))
    }

    /// Returns the scores of the photos that are not uncertain.
    fn scores(&self) -> Vec<LiveScore> {
        let certain = self.judged().filter(|(_, shown)| shown.decision != Decision::Uncertain);
        certain.map(|(_, shown)| shown.score).collect()
    }

    /// Returns the share of judged photos for which `is_error` holds.
    fn rate(&self, is_error: impl Fn(&Presentation) -> bool) -> Option<Rate> {
        let errors: Vec<_> =
            self.judged().map(|(person, shown)| (person, is_error(shown))).collect();
        presentation_error_rate(&errors)
    }

    /// Describes how many photos could be judged, and why others are uncertain.
    fn coverage(&self) -> String {
        let (all, judged) = (self.photos.len(), self.judged().count());
        let mut text =
            format!("{}: {all} photos, {} without a single face", self.name, all - judged);
        let mut reasons = BTreeMap::<_, usize>::new();
        for reason in self.judged().flat_map(|(_, shown)| &shown.reasons) {
            *reasons.entry(reason.code()).or_default() += 1;
        }
        for (reason, count) in reasons {
            let _ = write!(text, ", {count} {reason}");
        }
        text
    }
}

/// Prints the error rates at a threshold.
fn report(whose: &str, row: Row, live: &Species, attacks: &[Species]) {
    let passes =
        |shown: &Presentation| shown.decision != Decision::Uncertain && shown.score >= row.score;
    say(&format!("\nAt {whose} (score {:.3}, BPCER {}):", row.score.value(), percent(row.bpcer)));
    say(&line("live people rejected (BPCER)", live.rate(|shown| !passes(shown))));
    let uncertain = live.rate(|shown| shown.decision == Decision::Uncertain);
    say(&line("  of them uncertain", uncertain));
    for species in attacks {
        let name = format!("{} accepted (APCER)", species.name);
        let unseen = species.photos.len() - species.judged().count();
        let unseen =
            if unseen > 0 { format!("; {unseen} without a single face") } else { String::new() };
        say(&(line(&name, species.rate(passes)) + &unseen));
    }
    let rates = attacks.iter().filter_map(|species| Some((species, species.rate(passes)?)));
    let worst = rates.max_by(|(_, a), (_, b)| a.value.total_cmp(&b.value));
    if let Some((species, rate)) = worst.filter(|_| attacks.len() > 1) {
        say(&format!("The highest APCER is {}, with {}.", percent(rate.value), species.name));
    }
}

fn line(what: &str, rate: Option<Rate>) -> String {
    match rate {
        Some(Rate { value, interval: [low, high], errors, comparisons, .. }) => format!(
            "  {what:<38} {:>7} ({} to {}), {errors} of {comparisons}",
            percent(value),
            percent(low),
            percent(high)
        ),
        None => format!("  {what:<38} no photo could be judged"),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn calibration(
    detector: &AttackDetector,
    live_photos: usize,
    thresholds: Thresholds,
) -> PadCalibration {
    let models = detector.models().map(|model| model.id).collect();
    PadCalibration { models, live_photos, thresholds }
}

/// Writes a CSV row for each photo: path, instrument (empty for live people), score (empty if not judged), decision.
fn write_scores(path: &Path, live: &Species, attacks: &[Species]) -> anyhow::Result<()> {
    let mut table = csv::Writer::from_path(path)?;
    table.write_record(["path", "instrument", "score", "uncertain"])?;
    for species in [live].into_iter().chain(attacks) {
        let instrument = if std::ptr::eq(species, live) { "" } else { &species.name };
        for shown in &species.photos {
            let judged = shown.presentation.as_ref();
            let score = judged.map(|judged| judged.score.value().to_string()).unwrap_or_default();
            let uncertain = judged.is_some_and(|judged| judged.decision == Decision::Uncertain);
            let path = shown.path.to_string_lossy();
            table.write_record([&path, instrument, &score, &uncertain.to_string()])?;
        }
    }
    Ok(table.flush()?)
}

#[expect(clippy::print_stdout, reason = "the command's output")]
fn say(line: &str) {
    println!("{line}");
}
