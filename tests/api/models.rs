//! Two encoders at once, while an organization changes its encoder; encoders from elsewhere.

use std::path::{Path, PathBuf};
use std::process::Command;

use likeness::embedding::ModelId;
use likeness::engine::{Encoder, Engine, EngineOptions, ModelSource, Role};
use reqwest::multipart::Form;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::app::{App, OPEN, data, file, photo};

const DEFAULT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/encoder.onnx");

/// Returns the default network with another identity and a calibration that halves its scores.
fn twin(folder: &TempDir) -> PathBuf {
    let onnx = folder.path().join("twin.onnx");
    let mut bytes = std::fs::read(DEFAULT).unwrap();
    let own_digest = hex(&bytes);
    bytes.extend([0x32, 1, b'x']); // ModelProto.doc_string = "x"
    let manifest = std::fs::read_to_string(DEFAULT.replace(".onnx", ".toml")).unwrap();
    let mut manifest: toml::Table = manifest.replace(&own_digest, &hex(&bytes)).parse().unwrap();
    manifest["model"]["name"] = "twin".into();
    let halve = |value: &mut toml::Value| *value = (value.as_float().unwrap() / 2.0).into();
    halve(&mut manifest["comparison"]["scale"]);
    halve(&mut manifest["comparison"]["offset"]);
    manifest.remove("profile_error_rate");
    for row in manifest["error_rate"].as_array_mut().unwrap() {
        halve(&mut row["score"]);
        row.as_table_mut().unwrap().remove("interval");
    }
    std::fs::write(&onnx, bytes).unwrap();
    std::fs::write(onnx.with_extension("toml"), manifest.to_string()).unwrap();
    onnx
}

fn hex(bytes: &[u8]) -> String {
    ModelId::from_digest(Sha256::digest(bytes).into()).to_string()
}

fn engine(encoder: ModelSource, former_encoder: Option<ModelSource>) -> Engine {
    let options = EngineOptions { encoder, former_encoder, ..EngineOptions::embedded(2, 64) };
    Engine::load(&options).unwrap()
}

/// Asserts that scores are halved, up to rounding of the embedding.
fn is_half(half: &Value, whole: &Value) -> bool {
    (2.0 * half.as_f64().unwrap() - whole.as_f64().unwrap()).abs() < 1e-3
}

#[tokio::test]
async fn both_encoders_serve_until_all_employees_are_reenrolled() {
    let folder = tempfile::tempdir().unwrap();
    let former = || ModelSource::read(&twin(&folder)).unwrap();
    let old = App::spawn_with(&engine(former(), None), OPEN).await;
    for (employee, name) in [("e-1", "people/p01-a.jpg"), ("e-2", "people/p02-a.jpg")] {
        assert_eq!(old.enroll(employee, photo(name)).await.status, 201);
    }
    let by_twin = old.verify("e-1", photo("people/p01-b.jpg")).await.body;

    // Without the former encoder, they are enrolled but not recognized.
    let embedded = ModelSource::embedded_encoder;
    let alone = old.restarted(&engine(embedded(), None)).await;
    let refused = alone.verify("e-1", photo("people/p01-b.jpg")).await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("other_model")));
    assert_eq!(alone.identify(photo("people/p01-b.jpg")).await.body["gallery_size"], 0);

    // With it, they are compared by the encoder that they are enrolled with.
    let both = alone.restarted(&engine(embedded(), Some(former()))).await;
    let ready = both.get("/readyz").await.body;
    assert_eq!((&ready["gallery_size"], &ready["former"]["gallery_size"]), (&json!(2), &json!(2)));
    let verified = both.verify("e-1", photo("people/p01-b.jpg")).await.body;
    assert_eq!((&verified["model"]["name"], &verified["match"]), (&json!("twin"), &json!(true)));
    assert_eq!(verified["score"], by_twin["score"]);

    // Re-enrolled employees are compared by the current encoder, the others by the former one.
    let again = Form::new().text("employee_id", "e-1").text("replace", "true");
    let again = both.post("/enroll", again.part("photo", file(photo("people/p01-a.jpg")))).await;
    assert_eq!(again.status, 200);
    let verified = both.verify("e-1", photo("people/p01-b.jpg")).await.body;
    assert_eq!(verified["model"], ready["model"]);
    assert!(is_half(&by_twin["score"], &verified["score"]), "{by_twin} {verified}");
    for (name, employee, is_former) in [("p01-b", "e-1", false), ("p02-b", "e-2", true)] {
        let found = both.identify(photo(&format!("people/{name}.jpg"))).await.body;
        assert_eq!(found["match"]["employee_id"], employee);
        assert_eq!(found["match"]["model"]["name"] == "twin", is_former);
        assert_eq!(found["gallery_size"], 2);
        assert_eq!(found["candidates"].as_array().unwrap().len(), 2);
    }
    // A second enrollment under another id is refused, whichever encoder the first one has.
    let double = both.enroll("e-3", photo("people/p02-b.jpg")).await;
    assert_eq!((double.status, &double.body["code"]), (409, &json!("looks_like_another")));
    assert_eq!(both.enroll("e-2", photo("people/p02-b.jpg")).await.status, 409);

    let waiting = switch(&both, Some(&folder.path().join("twin.onnx")));
    assert!(waiting.contains("  e-2  enrolled ") && !waiting.contains("  e-1  "), "{waiting}");
    assert!(waiting.contains("1  twin, former, used until"), "{waiting}");
    assert!(switch(&both, None).contains("1  twin, not loaded"));

    // An erased employee is gone from both galleries.
    assert_eq!(both.delete("/employees/e-2").await.status, 200);
    assert_eq!(both.identify(photo("people/p02-b.jpg")).await.body["match"], Value::Null);
    assert_eq!(both.get("/readyz").await.body["former"]["gallery_size"], 0);
    assert!(switch(&both, None).contains("All employees are enrolled with the current encoder"));
}

/// Returns the output of `likeness model switch` on a service's data.
fn switch(app: &App, former: Option<&Path>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_likeness"));
    command.args(["model", "switch", "--data-dir"]).arg(app.folder.path());
    if let Some(former) = former {
        command.arg("--former-encoder").arg(former);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn former_encoder_equal_to_current_is_refused() {
    let refused = Command::new(env!("CARGO_BIN_EXE_likeness"))
        .args(["--former-encoder", "embedded", "--data-dir"])
        .arg(tempfile::tempdir().unwrap().path())
        .args(["serve", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("is the one that serves already"), "{said}");
}

/// Runs `likeness model check`; returns whether it succeeded, and its output.
fn check(onnx: &Path, more: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_likeness"));
    let output = command.args(["model", "check"]).arg(onnx).args(more).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn encoder_without_manifest_gets_a_draft_that_passes_the_self_test() {
    let folder = tempfile::tempdir().unwrap();
    let onnx = folder.path().join("mine.onnx");
    std::fs::copy(DEFAULT, &onnx).unwrap();
    let (good, said) = check(&onnx, &[]);
    assert!(
        good && said.contains("draft written") && said.contains("error rates are unknown"),
        "{said}"
    );
    let path = onnx.with_extension("toml");
    let manifest: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
    assert_eq!(manifest["model"]["name"].as_str(), Some("mine"));
    assert_eq!(manifest["output"]["length"].as_integer(), Some(128));
    // If the owner corrects the pixel convention, the golden output is measured again.
    let mut corrected = manifest.clone();
    corrected["input"]["scale"] = 0.007_812_5.into();
    std::fs::write(&path, corrected.to_string()).unwrap();
    let (good, said) = check(&onnx, &[]);
    assert!(!good && said.contains("golden"), "{said}");
    corrected.remove("golden");
    std::fs::write(&path, corrected.to_string()).unwrap();
    let (good, said) = check(&onnx, &[]);
    assert!(good && said.contains("golden output added"), "{said}");
    // Without a calibration it decides nothing.
    let refused = Command::new(env!("CARGO_BIN_EXE_likeness"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path())
        .arg("--encoder")
        .arg(&onnx)
        .output();
    let said = String::from_utf8(refused.unwrap().stderr).unwrap();
    assert!(said.contains("has no error rates"), "{said}");
}

#[test]
fn unusable_encoder_file_is_refused_with_reason() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.onnx");
    std::fs::write(&text, "\u{ff}not a network").unwrap();
    let (good, said) = check(&text, &[]);
    assert!(!good && said.contains("not an ONNX file"), "{said}");
    let detector = folder.path().join("detector.onnx");
    std::fs::copy(DEFAULT.replace("encoder", "detector"), &detector).unwrap();
    let (good, said) = check(&detector, &[]);
    assert!(!good && said.contains("not one vector"), "{said}");
    assert!(!detector.with_extension("toml").exists(), "nothing is drafted for it");
}

#[test]
fn pixel_convention_is_selected_and_calibrated_on_labeled_photos() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    crate::evaluate::lay_out(&photos);
    let onnx = folder.path().join("mine.onnx");
    std::fs::copy(DEFAULT, &onnx).unwrap();
    let (good, said) = check(&onnx, &["--calibrate", photos.to_str().unwrap()]);
    assert!(good && said.contains("selected      -1 to 1, RGB"), "{said}");
    let manifest = std::fs::read_to_string(onnx.with_extension("toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    assert!(manifest["comparison"]["scale"].as_float().unwrap() > 2.0);
    assert!(!manifest["error_rate"].as_array().unwrap().is_empty());
    let (good, said) = check(&onnx, &[]);
    assert!(good && said.contains("usable        with --encoder"), "{said}");
}

#[test]
fn calibration_measures_the_ranges_for_8_bits() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    crate::evaluate::lay_out(&photos);
    let onnx = folder.path().join("koch.onnx");
    for ending in ["onnx", "toml"] {
        let own = data("koch/encoder.onnx").with_extension(ending);
        std::fs::copy(own, onnx.with_extension(ending)).unwrap();
    }
    let (good, said) = check(&onnx, &["--precision", "bytes"]);
    assert!(!good && said.contains("no [quantization]"), "{said}");
    let calibrate = ["--calibrate", photos.to_str().unwrap()];
    let (good, said) = check(&onnx, &[calibrate[0], calibrate[1], "--precision", "float"]);
    assert!(good && !said.contains("8 bits"), "{said}");
    let path = onnx.with_extension("toml");
    let manifest = || std::fs::read_to_string(&path).unwrap().parse::<toml::Table>().unwrap();
    assert!(!manifest().contains_key("quantization"));

    let (good, said) = check(&onnx, &calibrate);
    assert!(good && said.contains("cosine of the embeddings"), "{said}");
    assert!(said.contains("koch-siamese-1\n") && said.contains("koch-siamese-1 (8-bit)"), "{said}");
    let ranges = manifest()["quantization"].as_table().unwrap().clone();
    assert!(ranges.len() > 3, "{ranges:?}");
    let (good, said) = check(&onnx, &[]);
    assert!(good && said.contains("precision     8 bits"), "{said}");
    let (good, said) = check(&onnx, &["--precision", "float"]);
    assert!(good && said.contains("precision     floats"), "{said}");
    // Ranges that are there stay.
    let (good, said) = check(&onnx, &calibrate);
    assert!(good && !said.contains("selected"), "{said}");
    assert_eq!(&ranges, manifest()["quantization"].as_table().unwrap());
}

#[tokio::test]
async fn encoder_of_a_keras_siamese_network_serves() {
    let koch = Path::new(DEFAULT).parent().unwrap().with_file_name("tests/data/koch/encoder.onnx");
    let engine = engine(ModelSource::read(&koch).unwrap(), None);
    let app = App::spawn_with(&engine, OPEN).await;
    let enrolled = app.enroll("e-1", photo("people/p01-a.jpg")).await;
    assert_eq!((enrolled.status, &enrolled.body["model"]["name"]), (201, &json!("koch-siamese-1")));
    // The same two photos give the same score in each call, whether or not the embedding was
    // sealed.
    let verified = app.verify("e-1", photo("people/p01-b.jpg")).await.body;
    let found = app.identify(photo("people/p01-b.jpg")).await.body;
    let form = Form::new().part("photo_a", file(photo("people/p01-a.jpg")));
    let form = form.part("photo_b", file(photo("people/p01-b.jpg")));
    let compared = app.post("/compare", form).await.body;
    let reference = photo("people/p01-a.jpg").into();
    let probe = photo("people/p01-b.jpg").into();
    let asked = |role| vec![(engine.encoder().clone(), role)];
    let permit = engine.permit().unwrap();
    let a = engine.extract(&permit, reference, asked(Role::Reference)).await.unwrap();
    let b = engine.extract(&permit, probe, asked(Role::Probe)).await.unwrap();
    let direct = engine.encoder().comparator().compare(&a.embeddings[0], &b.embeddings[0]);
    for score in [&verified["score"], &found["candidates"][0]["score"], &compared["score"]] {
        assert!((score.as_f64().unwrap() - direct.value()).abs() < 1e-9);
    }
}

/// The encoder of `tests/data/nan` passes its self-test and gives NaN for every photo.
#[tokio::test]
async fn nan_embedding_neither_matches_nor_enrolls() {
    let onnx = data("nan/encoder.onnx");
    let manifest = std::fs::read_to_string(onnx.with_extension("toml")).unwrap();
    let head =
        manifest.replace("\"cosine\"", "\"weighted_l1\"\nweights = [1.0, 1.0, 1.0]\nbias = 9.0");
    for manifest in [manifest, head] {
        let source = ModelSource::new("nan".to_owned(), std::fs::read(&onnx).unwrap(), manifest);
        let app = App::spawn_with(&engine(source, None), OPEN).await;
        let face = || photo("people/p01-a.jpg");
        let form = Form::new().part("photo_a", file(face())).part("photo_b", file(face()));
        for answer in [
            app.enroll("e-1", face()).await,
            app.identify(face()).await,
            app.post("/compare", form).await,
        ] {
            assert_eq!((answer.status, &answer.body["code"]), (500, &json!("internal")));
        }
        assert_eq!(app.get("/employees/e-1").await.status, 404);
    }
}

#[test]
fn encoder_with_nan_weight_does_not_start() {
    let koch = data("koch/encoder.onnx");
    let manifest = std::fs::read_to_string(koch.with_extension("toml")).unwrap();
    let whole = std::fs::read(&koch).unwrap();
    let (middle, own_digest) = (whole.len() / 2 / 4 * 4, hex(&whole));
    for (number, reason) in [(f32::NAN, "contains NaN"), (f32::INFINITY, "golden")] {
        // The weights may begin at any byte of a file.
        let said = [0, 1, 2, 3].map(|shift| {
            let mut bytes = whole.clone();
            bytes[middle + shift..][..64].copy_from_slice(&number.to_le_bytes().repeat(16));
            let manifest = manifest.replace(&own_digest, &hex(&bytes));
            let refused = Encoder::load(&ModelSource::new("koch".to_owned(), bytes, manifest));
            refused.unwrap_err().to_string()
        });
        assert!(said.iter().any(|said| said.contains(reason)), "{said:?}");
    }
}
