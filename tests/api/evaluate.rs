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

/// Writes a table of the people of [`lay_out`]: two teams, everybody, and few people.
fn write_groups(file: &Path) {
    let mut rows = vec!["person,team,everybody,few".to_owned()];
    for person in 1..=19 {
        let name = if person == 1 { "<b>p01&".to_owned() } else { format!("p{person:02}") };
        let team = if person <= 10 { "<i>A" } else { "B" };
        let few = ["one", "two", "two", "two"].get(person - 1).unwrap_or(&"");
        rows.push(format!("{name},{team},everyone,{few}"));
    }
    rows.push("zoe,B,everyone,".to_owned());
    fs::write(file, rows.join("\n")).unwrap();
}

/// Returns the points of a DET file, with grouping and group.
fn det(file: &str) -> Vec<(String, [f64; 3])> {
    let text = fs::read_to_string(file).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("grouping,group,score,fmr,fnmr"));
    let point = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let [score, fmr, fnmr] = [2, 3, 4].map(|at| fields[at].parse().unwrap());
        (fields[..2].join(","), [score, fmr, fnmr])
    };
    lines.map(point).collect()
}

#[test]
fn groups_are_measured_in_summary_report_and_det_points() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (photos, groups, report) = (at("photos"), at("groups.csv"), at("report.html"));
    lay_out(Path::new(&photos));
    write_groups(Path::new(&groups));
    let flags = ["--verify-fmr", "1e-2", "--report", &report, "--det", &at("det.csv")];
    let ended = likeness(&[&["evaluate", &photos, "--groups", &groups], flags.as_slice()].concat());
    let (summary, warnings) = (text(&ended.stdout), text(&ended.stderr));
    assert!(ended.status.success(), "{warnings}");
    assert!(warnings.contains("1 people without photos in the folder: zoe"), "{warnings}");
    assert!(warnings.contains("1 people of the folder are missing"), "{warnings}");
    let row = |name: &str| {
        let line = summary.lines().find(|line| line.trim_start().starts_with(name));
        line.unwrap_or_else(|| panic!("{name} is not in\n{summary}")).split_whitespace().collect()
    };
    // People, photos, FTE, FTA: two of 62 photos give no embedding, those of p02 and p03.
    let acquired: [(&str, [&str; 2]); 5] = [
        ("<i>A", ["10", "32"]),
        ("B", ["9", "27"]),
        ("everyone ", ["19", "59"]),
        ("two", ["3", "11"]),
        ("one", ["1", "3"]),
    ];
    for (name, counts) in acquired {
        let row: Vec<&str> = row(name);
        assert_eq!(row[1..3], counts, "{row:?}");
    }
    let whole: Vec<&str> = row("all people");
    assert_eq!(whole[2..4], ["20", "62"], "{whole:?}");
    for expected in [
        "Groups at the current threshold, score 1.5483",
        "(failure to enroll, FTE ",
        "no embedding",
        "FNMR: no false non-match in any group.",
        "too few to say, the group has fewer than 20 people.",
        "too few people)",
    ] {
        assert!(summary.contains(expected), "{expected} is not in\n{summary}");
    }

    let page = fs::read_to_string(&report).unwrap();
    assert_eq!(page.matches("<svg ").count(), 4);
    assert!(page.contains("team: &lt;i&gt;A</text>") && page.contains("<h2 id=\"groups\">"));
    for absent in ["<i>A", "NaN", "inf"] {
        assert!(!page.contains(absent), "{absent}");
    }

    let points = det(&at("det.csv"));
    let curve = |of: &str| {
        let points = points.iter().filter(|(group, _)| group == of);
        points.map(|(_, point)| *point).collect::<Vec<_>>()
    };
    for group in [",", "team,<i>A", "team,B", "everybody,everyone", "few,two"] {
        let curve = curve(group);
        assert!(curve.len() > 5, "{group}");
        assert!(
            curve.is_sorted_by(|[a, b, c], [d, e, f]| a < d && b >= e && c <= f),
            "{group}: {curve:?}"
        );
    }
    assert!(curve("few,one").is_empty(), "one person has no impostor comparison");
}

#[test]
fn invalid_group_table_is_refused_before_reading_photos() {
    let folder = tempfile::tempdir().unwrap();
    for photo in ["ada/1.jpg", "ada/2.jpg", "bob/1.jpg"] {
        let path = folder.path().join("photos").join(photo);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"never read").unwrap();
    }
    let (photos, table) = (folder.path().join("photos"), folder.path().join("groups.csv"));
    for (text_of_table, told) in [
        (b"person,sex\nada,F\nada,M\n".as_slice(), "line 3: duplicate person ada"),
        (b"person\nada\n", "no grouping"),
        (b"person,site\nada,K\xF6ln\n", "not UTF-8"),
    ] {
        fs::write(&table, text_of_table).unwrap();
        let ended =
            likeness(&["evaluate", photos.to_str().unwrap(), "--groups", table.to_str().unwrap()]);
        assert!(!ended.status.success());
        let error = text(&ended.stderr);
        assert!(error.contains("groups.csv") && error.contains(told), "{error}");
    }
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
