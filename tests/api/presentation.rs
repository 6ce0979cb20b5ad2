//! Presentation attack detection, by a network that takes a face for live if it is redder than blue.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};

use image::{ImageFormat, RgbImage, imageops};
use jiff::{SignedDuration, Timestamp};
use likeness::audit::CanonicalEvent;
use likeness::engine::{CalibrationSource, Engine, EngineOptions, ModelSource, PadOptions};
use likeness::recognizer::{Policy, PresentationMode};
use reqwest::multipart::Form;
use serde_json::{Value, json};

use crate::app::{Answer, App, NOW, OPEN, POLICY, data, file, photo, send};
use crate::keys::keys;
use crate::process::Process;

const REQUIRE: Policy = Policy { presentation: PresentationMode::Require, ..POLICY };

pub(crate) static JUDGING: LazyLock<Engine> = LazyLock::new(|| {
    let pad = Some(options());
    Engine::load(&EngineOptions { pad, ..EngineOptions::embedded(2, 64) }).unwrap()
});

/// The models that the binary carries, with that for presentation attack detection.
pub(crate) fn embedded() -> Engine {
    let networks = vec![ModelSource::embedded_pad()];
    let pad = Some(PadOptions { networks, ..options() });
    Engine::load(&EngineOptions { pad, ..EngineOptions::embedded(2, 64) }).unwrap()
}

fn options() -> PadOptions {
    let networks = vec![ModelSource::read(&data("pad/warmth.onnx")).unwrap()];
    PadOptions { networks, calibration: None, bpcer: Some(0.05), measures_ranges: false }
}

async fn app(policy: Policy) -> App {
    let (app, state) = App::spawn_starting(OPEN).await;
    app.start(&JUDGING, &state, policy).await;
    app
}

fn changed(name: &str, change: impl Fn([u8; 3]) -> [u8; 3]) -> Vec<u8> {
    let mut pixels = decoded(&photo(name));
    for pixel in pixels.pixels_mut() {
        pixel.0 = change(pixel.0);
    }
    png(&pixels)
}

fn decoded(photo: &[u8]) -> RgbImage {
    let format = image::guess_format(photo).unwrap();
    image::load_from_memory_with_format(photo, format).unwrap().into_rgb8()
}

fn png(pixels: &RgbImage) -> Vec<u8> {
    let mut png = std::io::Cursor::new(Vec::new());
    pixels.write_to(&mut png, ImageFormat::Png).unwrap();
    png.into_inner()
}

/// A photo that the network takes for an attack: red and blue are exchanged.
pub(crate) fn attack(name: &str) -> Vec<u8> {
    changed(name, |[r, g, b]| [b, g, r])
}

pub(crate) fn dark(name: &str) -> Vec<u8> {
    changed(name, |pixel| pixel.map(|value| value / 5))
}

async fn enrolled(policy: Policy) -> App {
    let app = app(policy).await;
    let enrolled = app.enroll("p01", photo("people/p01-a.jpg")).await;
    assert_eq!(enrolled.status, 201, "{enrolled:?}");
    assert_eq!(enrolled.body["presentation"]["decision"], "live");
    app
}

async fn events(app: &App) -> Vec<CanonicalEvent> {
    app.store.events(1).await.unwrap().into_iter().map(|entry| entry.event).collect()
}

fn decisions(answer: &Answer) -> (&Value, &Value) {
    (&answer.body["match"], &answer.body["presentation"]["decision"])
}

#[tokio::test]
async fn report_mode_states_the_presentation_and_decides_as_before() {
    let app = enrolled(POLICY).await;
    for (probe, decision) in [
        (photo("people/p01-b.jpg"), "live"),
        (attack("people/p01-b.jpg"), "attack"),
        (dark("people/p01-b.jpg"), "uncertain"),
    ] {
        let verified = app.verify("p01", probe.clone()).await;
        assert_eq!(decisions(&verified), (&json!(true), &json!(decision)), "{verified:?}");
        let withheld = verified.body["reasons"].to_string().contains("presentation");
        assert!(!withheld, "{verified:?}");
        let identified = app.identify(probe.clone()).await.body;
        assert_eq!(identified["match"]["employee_id"], "p01");
        assert_eq!(identified["presentation"]["decision"], decision);
        let checked = app.post("/check", Form::new().part("photo", file(probe))).await.body;
        assert_eq!(checked["presentation"]["decision"], decision);
    }
    let reasons = app.verify("p01", dark("people/p01-b.jpg")).await.body["presentation"].take();
    assert_eq!(reasons["reasons"], json!(["too_dark"]));
}

#[tokio::test]
async fn require_mode_lets_only_live_faces_match() {
    let app = enrolled(REQUIRE).await;
    let live = app.verify("p01", photo("people/p01-b.jpg")).await;
    assert_eq!(decisions(&live), (&json!(true), &json!("live")), "{live:?}");
    for (probe, decision, reason) in [
        (attack("people/p01-b.jpg"), "attack", "presentation_attack"),
        (dark("people/p01-b.jpg"), "uncertain", "presentation_uncertain"),
    ] {
        let verified = app.verify("p01", probe.clone()).await;
        assert_eq!(verified.status, 200);
        assert_eq!(decisions(&verified), (&json!(false), &json!(decision)), "{verified:?}");
        assert!(verified.body["reasons"].as_array().unwrap().contains(&json!(reason)));
        let identified = app.identify(probe).await;
        assert_eq!(decisions(&identified), (&Value::Null, &json!(decision)), "{identified:?}");
        assert!(identified.body["reasons"].as_array().unwrap().contains(&json!(reason)));
    }
    let outcomes: Vec<_> = events(&app).await.into_iter().map(|event| event.outcome).collect();
    let expected = [
        "done",
        "match",
        "non_match; presentation=attack",
        "non_match; presentation=attack",
        "non_match; presentation=uncertain",
        "non_match; presentation=uncertain",
    ];
    assert_eq!(outcomes, expected);
}

#[tokio::test]
async fn enrollment_is_not_refused_for_an_attack() {
    let app = app(REQUIRE).await;
    let enrolled = app.enroll("p01", attack("people/p01-a.jpg")).await;
    assert_eq!(enrolled.status, 201, "{enrolled:?}");
    assert_eq!(enrolled.body["presentation"]["decision"], "attack");
}

#[tokio::test]
async fn live_person_beside_a_photo_of_the_claimed_one_is_no_match() {
    let app = enrolled(REQUIRE).await;
    let side_by_side = |left: Vec<u8>, right: Vec<u8>| {
        let [left, right] = [left, right].map(|photo| decoded(&photo));
        let height = left.height().max(right.height());
        let mut both = RgbImage::new(left.width() + right.width(), height);
        imageops::overlay(&mut both, &left, 0, 0);
        imageops::overlay(&mut both, &right, i64::from(left.width()), 0);
        png(&both)
    };
    let stranger_with_photo = side_by_side(photo("people/p02-b.jpg"), attack("people/p01-b.jpg"));
    let refused = app.verify("p01", stranger_with_photo).await;
    assert_eq!(decisions(&refused), (&json!(false), &json!("attack")), "{refused:?}");
    assert_eq!(refused.body["faces"].as_array().unwrap().len(), 2);
    // The person with a photo of themselves, as on a badge, is live.
    let with_badge = side_by_side(attack("people/p01-b.jpg"), photo("people/p01-b.jpg"));
    let passed = app.verify("p01", with_badge).await;
    assert_eq!(decisions(&passed), (&json!(true), &json!("live")), "{passed:?}");
}

#[tokio::test]
async fn only_admins_see_the_score() {
    let app = enrolled(POLICY).await;
    let seen = app.verify("p01", photo("people/p01-b.jpg")).await.body["presentation"].take();
    assert!(seen["score"].as_f64().unwrap() > 0.0, "{seen}");
    assert_eq!(seen["threshold"], 0.0);
    assert_eq!(seen["models"][0]["name"], "warmth");
    keys(&app, &["add", "--first"]).await;
    for role in ["terminal", "enroller"] {
        let key = keys(&app, &["add", role, "--role", role]).await;
        let form =
            Form::new().text("employee_id", "p01").part("photo", file(photo("people/p01-b.jpg")));
        let request =
            reqwest::Client::new().post(app.at("/verify")).bearer_auth(key).multipart(form);
        let seen = send(request).await.body["presentation"].take();
        assert_eq!(seen, json!({"decision": "live", "reasons": []}), "{role}");
    }
}

/// Shows five attacks on an employee, and then the employee.
pub(crate) async fn too_many_attacks() -> Answer {
    let app = enrolled(REQUIRE).await;
    for _ in 0..5 {
        app.verify("p01", attack("people/p01-b.jpg")).await;
    }
    app.verify("p01", photo("people/p01-b.jpg")).await
}

/// Seconds after [`NOW`].
static ELAPSED: AtomicI64 = AtomicI64::new(0);

fn clock() -> Timestamp {
    let start: Timestamp = NOW.parse().unwrap();
    start + SignedDuration::from_secs(ELAPSED.load(Ordering::Relaxed))
}

#[tokio::test]
async fn five_attacks_on_an_employee_stop_their_verification_for_three_minutes() {
    let folder = tempfile::tempdir().unwrap();
    let (app, state) = App::spawn_clocked(folder, OPEN, clock).await;
    app.start(&JUDGING, &state, REQUIRE).await;
    for (employee, name) in [("p01", "people/p01-a.jpg"), ("p02", "people/p02-a.jpg")] {
        assert_eq!(app.enroll(employee, photo(name)).await.status, 201);
    }
    for _ in 0..5 {
        assert_eq!(app.verify("p01", attack("people/p01-b.jpg")).await.status, 200);
        ELAPSED.fetch_add(10, Ordering::Relaxed);
    }
    let refused = app.verify("p01", photo("people/p01-b.jpg")).await;
    assert_eq!((refused.status, &refused.body["code"]), (429, &json!("too_many_attacks")));
    let wait: i64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert_eq!(wait, 131);
    assert_eq!(app.verify("p02", photo("people/p02-b.jpg")).await.body["match"], true);
    ELAPSED.fetch_add(wait, Ordering::Relaxed);
    assert_eq!(app.verify("p01", photo("people/p01-b.jpg")).await.body["match"], true);
    let events = events(&app).await;
    let repeated: Vec<_> =
        events.iter().filter(|event| event.action == "repeated_attacks").collect();
    assert_eq!(repeated.len(), 1);
    assert_eq!(repeated[0].actor, "local");
    let page = app.client.get(app.at("/metrics")).send().await.unwrap().text().await.unwrap();
    for line in [
        "likeness_presentations_total{operation=\"verify\",decision=\"attack\"} 5",
        "likeness_presentations_total{operation=\"verify\",decision=\"live\"} 2",
        "likeness_repeated_attacks_total 1",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
}

#[test]
fn networks_without_thresholds_or_of_another_manifest_are_refused() {
    let onnx = std::fs::read(data("pad/warmth.onnx")).unwrap();
    let manifest = std::fs::read_to_string(data("pad/warmth.toml")).unwrap();
    let load = |networks: Vec<ModelSource>, calibration, bpcer| {
        let pad =
            Some(PadOptions { networks, calibration, bpcer: Some(bpcer), measures_ranges: false });
        let options = EngineOptions { pad, ..EngineOptions::embedded(1, 1) };
        Engine::load(&options).map(drop).map_err(|error| error.to_string())
    };
    let with = |word: &str, other: &str| {
        assert!(manifest.contains(word), "{word}");
        ModelSource::new("test".to_owned(), onnx.clone(), manifest.replacen(word, other, 1))
    };
    let own = || with("warmth", "warmth");
    for (word, other, reason) in [
        ("sha256 = \"", "sha256 = \"0", "its manifest says"),
        ("\"rgb\"", "\"bgr\"", "golden"),
        ("scale = 0.0039", "scale = 0.0078", "golden"),
        ("sizes = [1.0, 1.5]", "sizes = [1.0]", "input"),
        ("sizes = [1.0, 1.5]", "sizes = [1.0, 99.0]", "0.5 to 8"),
        ("live = 1", "live = 2", "values"),
        ("bpcer = 0.05", "bpcer = 0.001", "bpcer"),
        ("score = 0.0", "score = nan", "not a number"),
        ("[golden]\n", "[gilded]\n", "its manifest"),
    ] {
        let refused = load(vec![with(word, other)], None, 0.05).unwrap_err();
        assert!(refused.contains(reason), "{word}: {refused}");
    }
    assert!(load(vec![own()], None, 0.001).unwrap_err().contains("lowest BPCER"));
    assert!(load(vec![own(), own()], None, 0.05).unwrap_err().contains("no thresholds"));
    let digest = manifest.split('"').nth(3).unwrap();
    let calibration = |digest: &str| {
        let text = format!(
            "models = [\"{digest}\"]\nlive_photos = 20\n[[threshold]]\nbpcer = 0.05\nscore = 0.5\n"
        );
        Some(CalibrationSource::new("test".to_owned(), text))
    };
    assert_eq!(load(vec![own()], calibration(digest), 0.05), Ok(()));
    assert!(
        load(vec![own()], calibration(&"0".repeat(64)), 0.05).unwrap_err().contains("other models")
    );
}

fn likeness(arguments: &[&str]) -> std::process::Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_likeness")).args(arguments).output().unwrap()
}

/// Writes photos of 20 live people, and of 20 attacks of each of two instruments; one of them passes.
fn lay_out(dir: &std::path::Path) {
    for person in 1..=20 {
        let live = photo(&format!("people/p{person:02}-a.jpg"));
        let attack = attack(&format!("people/p{person:02}-b.jpg"));
        let passing = photo("people/p07-b.jpg");
        for (path, photo) in [
            (format!("live/p{person:02}/a.jpg"), &live),
            (format!("attack/print/{person}.png"), &attack),
            (format!("attack/phone/{person}.png"), if person == 7 { &passing } else { &attack }),
        ] {
            let path = dir.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, photo).unwrap();
        }
    }
    std::fs::copy(data("odd/no-face.jpg"), dir.join("attack/print/wall.jpg")).unwrap();
}

#[tokio::test]
async fn evaluation_fits_a_threshold_to_live_photos_which_the_service_then_uses() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (photos, scores, data_dir) = (at("photos"), at("scores.csv"), at("data"));
    std::fs::create_dir(&data_dir).unwrap();
    let calibration = format!("{data_dir}/pad-calibration.toml");
    lay_out(photos.as_ref());
    let network = data("pad/warmth.onnx");
    let network = network.to_str().unwrap();
    let evaluated = likeness(&[
        "evaluate",
        "--pad",
        &photos,
        "--pad-networks",
        network,
        "--pad-scores",
        &scores,
        "--calibration-out",
        &calibration,
    ]);
    let printed = String::from_utf8(evaluated.stdout).unwrap();
    assert!(evaluated.status.success(), "{}", String::from_utf8_lossy(&evaluated.stderr));
    for expected in [
        "live: 20 photos, 0 without a single face",
        "At the threshold of --pad (score 0.000, BPCER 5.0 %)",
        "At a threshold fitted to these photos (score ",
        "live people rejected (BPCER)             5.0 %",
        "phone accepted (APCER)                   5.0 %",
        "1 of 20",
        "1 without a single face",
        "The highest APCER is 5.0 %, with phone.",
        "--pad-calibration",
    ] {
        assert!(printed.contains(expected), "{expected} is not in\n{printed}");
    }
    let rows = std::fs::read_to_string(&scores).unwrap();
    assert_eq!(rows.lines().count(), 1 + 20 + 21 + 20);
    assert!(rows.contains("wall.jpg,print,,false"), "{rows}");

    // A calibration in the data directory is used without a flag.
    let arguments = ["--pad", network, "--pad-mode", "require"];
    let service = Process::start_with(data_dir.as_ref(), &arguments);
    let form = Form::new().part("photo", file(photo("people/p03-a.jpg")));
    let seen =
        send(service.client.post(format!("{}/check", service.url)).multipart(form)).await.body;
    let threshold = seen["presentation"]["threshold"].as_f64().unwrap();
    let written = std::fs::read_to_string(&calibration).unwrap();
    assert!(written.contains(&format!("score = {threshold}")), "{threshold} {written}");
}

#[test]
fn evaluation_of_attacks_alone_or_with_too_few_live_photos_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let network = data("pad/warmth.onnx");
    let evaluate =
        || likeness(&["evaluate", "--pad", dir, "--pad-networks", network.to_str().unwrap()]);
    let said = |output: std::process::Output| {
        String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap()
    };
    let missing = evaluate();
    assert!(!missing.status.success());
    assert!(said(missing).contains("DIR/live/"));
    std::fs::create_dir_all(folder.path().join("live")).unwrap();
    std::fs::copy(data("people/p01-a.jpg"), folder.path().join("live/a.jpg")).unwrap();
    let few = evaluate();
    assert!(few.status.success());
    assert!(said(few).contains("takes 20 judged photos of live people"));
}

#[test]
fn service_whose_pad_fails_does_not_start() {
    let broken = tempfile::tempdir().unwrap();
    let network = broken.path().join("warmth.onnx");
    std::fs::copy(data("pad/warmth.onnx"), &network).unwrap();
    let manifest = std::fs::read_to_string(data("pad/warmth.toml")).unwrap();
    let manifest = manifest.replace("colour = \"rgb\"", "colour = \"bgr\"");
    std::fs::write(network.with_extension("toml"), manifest).unwrap();
    let data_dir = broken.path().join("data");
    let start = |arguments: &[&str]| {
        let base = ["--listen", "127.0.0.1:0", "--data-dir", data_dir.to_str().unwrap()];
        let output = likeness(&[&base[..], arguments].concat());
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let network = network.to_str().unwrap();
    for mode in ["report", "require"] {
        assert!(start(&["--pad", network, "--pad-mode", mode]).contains("golden output"), "{mode}");
        assert!(start(&["--pad", "absent.onnx", "--pad-mode", mode]).contains("cannot be read"));
    }
}

#[test]
fn model_check_measures_the_ranges_by_which_a_network_runs_in_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    lay_out(&photos);
    let network = folder.path().join("mine.onnx");
    std::fs::copy(data("pad/warmth.onnx"), &network).unwrap();
    std::fs::copy(data("pad/warmth.toml"), network.with_extension("toml")).unwrap();
    let (network, photos) = (network.to_str().unwrap(), photos.to_str().unwrap());
    let checked = likeness(&["model", "check", "--pad", network, "--calibrate", photos]);
    let printed = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assert!(printed.contains("60 judged photos"), "{printed}");
    assert!(printed.contains("8 bits, by the ranges"), "{printed}");
    let manifest = std::fs::read_to_string(folder.path().join("mine.toml")).unwrap();
    assert!(manifest.contains("[quantization]") && manifest.contains("bytes = ["), "{manifest}");
    let judged = likeness(&["evaluate", "--pad", photos, "--pad-networks", network]);
    let judged = String::from_utf8(judged.stdout).unwrap();
    assert!(judged.contains("phone accepted (APCER)                   5.0 %"), "{judged}");
}

#[test]
fn model_check_drafts_the_manifest_of_a_network_that_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let network = folder.path().join("mine.onnx");
    std::fs::copy(data("pad/warmth.onnx"), &network).unwrap();
    let checked = likeness(&["model", "check", "--pad", network.to_str().unwrap()]);
    let printed = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    for expected in
        ["draft written; review it", "golden output is reproduced", "not yet: it has no thresholds"]
    {
        assert!(printed.contains(expected), "{expected} is not in\n{printed}");
    }
    let manifest = std::fs::read_to_string(network.with_extension("toml")).unwrap();
    assert!(manifest.contains("sizes = [2.7, 4.0]") && manifest.contains("live = 1"), "{manifest}");
    let encoder =
        likeness(&["model", "check", "--pad", data("koch/encoder.onnx").to_str().unwrap()]);
    assert!(!encoder.status.success());
    let known = data("pad/warmth.onnx");
    let known = likeness(&["model", "check", "--pad", known.to_str().unwrap()]);
    assert!(String::from_utf8(known.stdout).unwrap().contains("BPCER 0.01 at -1.00, 0.05 at 0.00"));
}
