//! `likeness evaluate`: the real binary on a folder of photos, and a service that starts with the
//! calibration it wrote.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use reqwest::multipart::Form;
use toml::{Table, Value};

use crate::app::{data, file, photo, send};
use crate::process::Process;

fn likeness(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_likeness")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// Writes the people of `tests/data`, one of them under a name that contains HTML, two photos that
/// are refused, and a file that is not a photo.
pub(crate) fn lay_out(dir: &Path) {
    for person in 1..=20 {
        let folder = if person == 1 { "<b>p01&".to_owned() } else { format!("p{person:02}") };
        fs::create_dir_all(dir.join(&folder)).unwrap();
        for (view, ending) in [("a", "jpg"), ("b", "JPG"), ("c", "jpeg")] {
            let from = data(&format!("people/p{person:02}-{view}.jpg"));
            fs::copy(from, dir.join(&folder).join(format!("{view}.{ending}"))).unwrap();
        }
    }
    fs::copy(data("odd/no-face.jpg"), dir.join("p02/wall.jpg")).unwrap();
    fs::copy(data("odd/two-faces.jpg"), dir.join("p03/party.jpg")).unwrap();
    fs::write(dir.join("p04/notes.txt"), "mine").unwrap();
}

#[tokio::test]
async fn evaluation_writes_summary_report_and_calibration() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (photos, report, calibration) = (at("photos"), at("report.html"), at("calibration.toml"));
    lay_out(Path::new(&photos));
    let evaluated =
        likeness(&["evaluate", &photos, "--report", &report, "--calibration-out", &calibration]);
    let summary = text(&evaluated.stdout);
    assert!(evaluated.status.success(), "{}", text(&evaluated.stderr));
    for expected in [
        "60 photos of 20 people; 60 genuine and 1,710 impostor comparisons",
        "2 of 62 photos gave no embedding (failure to acquire, FTA 3.2 %)",
        "no face found",
        "several faces",
        "p04/notes.txt",
        "Current threshold of the service: score ",
        "These photos do not support FMR 1e-4",
        "Strictest supported threshold, FMR ",
        "--verify-fmr ",
    ] {
        assert!(summary.contains(expected), "{expected} is not in\n{summary}");
    }

    let page = fs::read_to_string(&report).unwrap();
    assert_eq!(page.matches("<svg ").count(), 3);
    assert_eq!(page.matches("role=\"img\"><title>").count(), 3);
    assert!(page.contains("&lt;b&gt;p01&amp;/") && page.contains("p03/party.jpg"));
    for absent in ["<b>p01", "<script", "http:", "https:", "src=", "NaN", "inf"] {
        assert!(!page.contains(absent), "{absent}");
    }

    let written = fs::read_to_string(&calibration).unwrap();
    assert!(written.contains("60 photos of 20 people"), "{written}");
    let rows = written.parse::<Table>().unwrap()["error_rate"].as_array().unwrap().clone();
    for row in &rows {
        let score = row["score"].as_float().unwrap();
        let interval: Vec<f64> =
            row["interval"].as_array().unwrap().iter().filter_map(Value::as_float).collect();
        assert!(row["pairs"].as_integer().unwrap() >= 10, "{row}");
        assert!((interval[0]..=interval[1]).contains(&score), "{row}");
    }
    let strictest = rows.last().unwrap();
    served(&calibration, &strictest["fmr"].to_string(), &strictest["score"]).await;
    refused(folder.path(), &calibration, &written);
}

/// Checks that the service decides at the calibration's strictest score.
async fn served(calibration: &str, fmr: &str, score: &Value) {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--calibration", calibration, "--verify-fmr", fmr];
    let service = Process::start_with(folder.path(), &arguments);
    let part = |name: &str| file(photo(&format!("people/{name}.jpg")));
    let form = Form::new().part("photo_a", part("p05-a")).part("photo_b", part("p05-b"));
    let answer =
        send(service.client.post(format!("{}/compare", service.url)).multipart(form)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["threshold"]["score"].as_f64(), score.as_float(), "{answer:?}");
    assert_eq!(answer.body["match"], true, "{answer:?}");
}

/// Checks that the service does not start with an unsupported FMR, another encoder's calibration, or
/// a missing file.
fn refused(folder: &Path, calibration: &str, written: &str) {
    let data_dir = folder.join("data").to_str().unwrap().to_owned();
    let start = |calibration: &str| {
        let ended = likeness(&[
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            &data_dir,
            "--calibration",
            calibration,
        ]);
        assert!(!ended.status.success());
        text(&ended.stderr).to_owned()
    };
    let error = start(calibration);
    assert!(error.contains("stricter than the error rates of this model support"), "{error}");
    let other = folder.join("other.toml");
    let (before, after) = written.split_once("model = \"").unwrap();
    fs::write(&other, format!("{before}model = \"{}{}", "0".repeat(64), &after[64..])).unwrap();
    let error = start(other.to_str().unwrap());
    assert!(error.contains("other.toml: it was made with the encoder 0000"), "{error}");
    let error = start(folder.join("missing.toml").to_str().unwrap());
    assert!(error.contains("missing.toml: it cannot be read"), "{error}");
}

#[test]
fn folder_with_one_person_is_refused_before_reading_photos() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("ada")).unwrap();
    fs::write(folder.path().join("ada/1.jpg"), b"never read").unwrap();
    let ended = likeness(&["evaluate", folder.path().to_str().unwrap()]);
    assert!(!ended.status.success());
    let error = text(&ended.stderr);
    assert!(
        error.contains("photos of ada only; photos of at least two people are required"),
        "{error}"
    );
}

#[test]
fn evaluation_fails_if_no_photo_gives_an_embedding() {
    let folder = tempfile::tempdir().unwrap();
    for person in ["ada", "bob"] {
        fs::create_dir(folder.path().join(person)).unwrap();
        for photo in ["1.jpg", "2.jpg"] {
            fs::copy(data("odd/no-face.jpg"), folder.path().join(person).join(photo)).unwrap();
        }
    }
    let ended = likeness(&["evaluate", folder.path().to_str().unwrap()]);
    assert!(!ended.status.success());
    let error = text(&ended.stderr);
    assert!(
        error.contains("4 of 4 photos gave no embedding") && error.contains("two people"),
        "{error}"
    );
}
