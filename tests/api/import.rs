//! Bulk enrollment: `likeness import` and `likeness sync`.

use std::fs;
use std::path::Path;
use std::process::Command;

use reqwest::multipart::Form;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tempfile::TempDir;

use crate::app::{App, ENGINE, data, file, photo};

/// Runs a command; returns whether it succeeded, and its output.
fn likeness(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_likeness"));
    let output = command.args(arguments).arg("--data-dir").arg(folder).output().unwrap();
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// Creates a folder of photos, each named by an employee.
fn photos(named: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (employee, name) in named {
        fs::copy(data(name), folder.path().join(format!("{employee}.jpg"))).unwrap();
    }
    folder
}

async fn enrolled(folder: TempDir) -> (TempDir, Vec<String>) {
    let app = App::on(folder).await.restarted(&ENGINE).await;
    let list = app.get("/employees").await.body;
    let names = list["employees"].as_array().unwrap().iter();
    let names = names.map(|e| e["employee_id"].as_str().unwrap().to_owned()).collect();
    app.store.close().await;
    (app.folder, names)
}

#[tokio::test]
async fn import_enrolls_a_folder_and_reports_refusals() {
    let source = photos(&[
        ("e-1", "people/p01-a.jpg"),
        ("e-2", "people/p02-a.jpg"),
        ("e-3", "odd/no-face.jpg"),
        ("e-4", "people/p02-b.jpg"),
    ]);
    let from = source.path().to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (well, said) = likeness(folder.path(), &["import", from, "--dry-run"]);
    assert!(
        !well && said.contains("2 would be enrolled, 0 already enrolled, 2 would be"),
        "{said}"
    );
    let (folder, names) = enrolled(folder).await;
    assert!(names.is_empty(), "{names:?}");
    let (well, said) = likeness(folder.path(), &["import", from]);
    assert!(!well && said.contains("2 enrolled, 0 already enrolled, 2 refused"), "{said}");
    assert!(said.contains("e-3.jpg\tno_face\t"), "{said}");
    assert!(said.contains("\tlooks_like_another\t"), "{said}");
    let (well, again) = likeness(folder.path(), &["import", from]);
    assert!(!well && again.contains("0 enrolled, 2 already enrolled, 2 refused"), "{again}");
    let (_folder, names) = enrolled(folder).await;
    assert_eq!(names.len(), 2);
}

#[tokio::test]
async fn sync_enrolls_joiners_and_erases_leavers() {
    let source = photos(&[("a", "people/p01-a.jpg"), ("b", "people/p02-a.jpg")]);
    let folder = tempfile::tempdir().unwrap();
    let from = source.path().to_str().unwrap();
    assert!(likeness(folder.path(), &["import", from]).0);
    fs::copy(data("people/p03-a.jpg"), source.path().join("c.jpg")).unwrap();
    let table = source.path().join("staff.csv");
    let sync = |more: &[&str]| {
        likeness(folder.path(), &[&["sync", table.to_str().unwrap()], more].concat())
    };
    for (text, told) in
        [("", "no column"), ("employee_id\n", "is empty"), ("employee_id\nb b\n", "line 2")]
    {
        fs::write(&table, text).unwrap();
        let (well, said) = sync(&["--yes", "--allow-erase", "9"]);
        assert!(!well && said.contains(told), "{said}");
    }
    fs::write(&table, "employee_id,photo\nb,\nc,c.jpg\nd,\n").unwrap();
    let (well, said) = sync(&["--yes"]);
    assert!(!well && said.contains("--allow-erase 1"), "{said}");
    assert!(
        said.contains("enroll\tc\t") && said.contains("erase\ta\n") && said.contains("no photo\td")
    );
    let (well, said) = sync(&["--allow-erase", "1"]);
    assert!(!well && said.contains("nothing was changed"), "{said}");
    assert!(sync(&["--allow-erase", "1", "--dry-run"]).0);
    let (well, said) = sync(&["--allow-erase", "1", "--yes"]);
    assert!(well, "{said}");
    let (_folder, names) = enrolled(folder).await;
    assert_eq!(names, ["b", "c"]);
}

/// Writes photos of the people p01, p02, … as e-1.jpg, e-2.jpg, …
fn staff(count: usize) -> TempDir {
    let named: Vec<_> =
        (1..=count).map(|n| (format!("e-{n}"), format!("people/p{n:02}-a.jpg"))).collect();
    photos(&named.iter().map(|(e, name)| (e.as_str(), name.as_str())).collect::<Vec<_>>())
}

/// Returns the events of the trail, and the expiry of an enrollment, as JSON.
fn held(folder: &Path, employee: &str) -> (String, serde_json::Value) {
    let (_, trail) = likeness(folder, &["audit", "export"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_likeness"));
    let command = command.args(["export", employee, "--data-dir"]).arg(folder);
    let exported = command.output().unwrap().stdout;
    let exported: serde_json::Value = serde_json::from_slice(&exported).unwrap();
    (trail, exported["expires_at"].clone())
}

#[test]
fn sync_plans_and_applies_changed_expiry() {
    let (source, folder) = (staff(3), tempfile::tempdir().unwrap());
    let table = source.path().join("staff.csv");
    let sync = |text: &str, more: &[&str]| {
        fs::write(&table, text).unwrap();
        likeness(folder.path(), &[&["sync", table.to_str().unwrap()], more].concat())
    };
    let header = "employee_id,photo,expires_at\n";
    let first =
        format!("{header}e-1,e-1.jpg,2031-01-31T00:00:00Z\ne-2,e-2.jpg,\ne-3,e-3.jpg,2031-01-31\n");
    fs::write(&table, &first).unwrap();
    assert!(likeness(folder.path(), &["import", table.to_str().unwrap()]).0);
    let second =
        format!("{header}e-1,e-1.jpg,2032-01-31\ne-2,e-2.jpg,2031-03-01T00:00:00Z\ne-3,e-3.jpg,\n");
    let (well, said) = sync(&second, &["--dry-run"]);
    assert!(
        well && said.contains("expires\te-1\t2031-01-31T00:00:00Z -> 2032-02-01T00:00:00Z"),
        "{said}"
    );
    assert!(said.contains("expires\te-2\tnever -> 2031-03-01T00:00:00Z"), "{said}");
    assert!(said.contains("expires\te-3\t2031-02-01T00:00:00Z -> never"), "{said}");
    assert!(said.contains("3 with a new expiry"), "{said}");
    assert_eq!(held(folder.path(), "e-2").1, serde_json::Value::Null);
    assert!(sync(&second, &["--yes"]).0);
    let (trail, end) = held(folder.path(), "e-1");
    assert_eq!(end, "2032-02-01T00:00:00Z");
    assert_eq!(trail.matches("change_expiry").count(), 3, "{trail}");
    assert_eq!(held(folder.path(), "e-2").1, "2031-03-01T00:00:00Z");
    assert_eq!(held(folder.path(), "e-3").1, serde_json::Value::Null);
    // Without the column, no expiry changes.
    let (well, said) = sync("employee_id\ne-1\ne-2\ne-3\n", &["--yes"]);
    assert!(well && !said.contains("expires\t"), "{said}");
    assert!(likeness(folder.path(), &["audit", "verify"]).0);
}

#[test]
fn sync_reports_a_changed_photo() {
    let (source, folder) = (staff(3), tempfile::tempdir().unwrap());
    let table = source.path().join("staff.csv");
    fs::write(&table, "employee_id,photo\ne-1,e-1.jpg\ne-2,e-2.jpg\ne-3,e-3.jpg\n").unwrap();
    let sync = || likeness(folder.path(), &["sync", table.to_str().unwrap(), "--yes"]);
    assert!(likeness(folder.path(), &["import", table.to_str().unwrap()]).0);
    // The same photo rewritten; another photo of the same person; no face.
    for (employee, name) in
        [("e-1", "people/p01-a.jpg"), ("e-2", "people/p02-b.jpg"), ("e-3", "odd/no-face.jpg")]
    {
        fs::copy(data(name), source.path().join(format!("{employee}.jpg"))).unwrap();
    }
    let (well, said) = sync();
    assert!(well && said.contains("2 with a photo that differs from the enrolled one"), "{said}");
    for (employee, is_told) in [("e-1", false), ("e-2", true), ("e-3", true)] {
        assert_eq!(said.contains(&format!("photo changed\t{employee}\t")), is_told, "{said}");
    }
}

#[tokio::test]
async fn missing_photo_is_reported_before_erasures() {
    let source = staff(4);
    fs::create_dir(source.path().join("folder.jpg")).unwrap();
    let table = source.path().join("staff.csv");
    let rows = "e-2,gone.jpg\ne-3,e-3.jpg\ne-5,folder.jpg\ne-6,a\\gone.jpg\ne-7,\n";
    fs::write(&table, format!("employee_id,photo\ne-1,.\\e-1.jpg\n{rows}")).unwrap();
    let path = table.to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (dry_run, summary) in [(true, "2 would be enrolled"), (false, "2 enrolled")] {
        let more: &[&str] = if dry_run { &["--dry-run"] } else { &[] };
        let (well, said) = likeness(folder.path(), &[&["import", path], more].concat());
        assert!(!well && said.contains(summary) && said.contains(" refused"), "{said}");
        for (employee, reason) in [
            ("e-2", "the file does not exist"),
            ("e-5", "this is a folder"),
            ("e-6", "the file does not exist"),
            ("e-7", "the photo is missing"),
        ] {
            let line =
                said.lines().find(|line| line.starts_with(&format!("{employee}\t"))).unwrap();
            assert!(line.contains("unreadable_photo") && line.contains(reason), "{line}");
        }
    }
    // e-1 leaves; one of the joiners has no file.
    fs::write(&table, "employee_id,photo\ne-2,gone.jpg\ne-3,\ne-4,e-4.jpg\n").unwrap();
    let sync = |more: &str| likeness(folder.path(), &["sync", path, "--allow-erase", "1", more]);
    let (well, said) = sync("--dry-run");
    assert!(!well && said.contains("e-2\t") && said.contains("the file does not exist"), "{said}");
    let (well, said) = sync("--yes");
    assert!(!well && said.contains("1 enrolled, 0 already enrolled, 1 refused"), "{said}");
    let (_folder, names) = enrolled(folder).await;
    assert_eq!(names, ["e-3", "e-4"]);
}

#[cfg(unix)]
#[test]
fn every_folder_entry_is_enrolled_refused_or_listed_as_skipped() {
    let source = staff(2);
    let at = |name: &str| source.path().join(name);
    fs::rename(at("e-2.jpg"), at("e-2.jfif")).unwrap();
    fs::write(at("e-3.heic"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").unwrap();
    fs::write(at("e-4.bmp"), b"BM\x10\0\0\0\0\0\0\0\x36\0\0\0").unwrap();
    std::os::unix::fs::symlink("nowhere.jpg", at("e-5.jpg")).unwrap();
    fs::copy(at("e-1.jpg"), at("e-1.png")).unwrap();
    fs::copy(at("e-1.jpg"), at("Ada Lovelace.jpg")).unwrap();
    fs::create_dir(at("sales")).unwrap();
    fs::copy(at("e-1.jpg"), at("sales/e-6.jpg")).unwrap();
    fs::write(at(".DS_Store"), b"").unwrap();
    // Beside a readable photo, and before it in the order of names.
    fs::write(at("e-1.cr2"), b"II*\0").unwrap();
    // Pipes and devices are not read.
    std::os::unix::fs::symlink("/dev/zero", at("e-7.jpg")).unwrap();
    assert!(Command::new("mkfifo").arg(at("e-8.jpg")).status().unwrap().success());
    let folder = tempfile::tempdir().unwrap();
    let (well, said) = likeness(folder.path(), &["import", source.path().to_str().unwrap()]);
    assert!(
        !well && said.contains("2 enrolled, 0 already enrolled, 7 refused, 3 skipped"),
        "{said}"
    );
    for (name, reason) in [
        ("e-3.heic\tunsupported_format", "HEIC photos are not supported"),
        ("e-4.bmp\tunsupported_format", "BMP photos are not supported"),
        ("e-5.jpg\tunreadable_photo", "the file does not exist"),
        ("e-1.cr2 (there is", "another photo of this employee"),
        ("e-7.jpg\tunreadable_photo", "no regular file"),
        ("e-8.jpg\tunreadable_photo", "no regular file"),
        ("e-1.png\talready_enrolled", "another photo of this employee"),
        ("Ada Lovelace.jpg\tmalformed", "1 to 64 characters"),
        ("sales (a folder", "subfolders are not read"),
        (".DS_Store (not", "a photo by its file extension"),
    ] {
        let line = said.lines().find(|line| line.contains(name));
        assert!(line.is_some_and(|line| line.contains(reason)), "{name}: {said}");
    }
}

#[tokio::test]
async fn sync_does_not_extend_expired_enrollments() {
    let (source, folder) = (staff(1), tempfile::tempdir().unwrap());
    let (table, data) = (source.path().join("staff.csv"), folder.path());
    fs::write(&table, "employee_id,photo,expires_at\ne-1,e-1.jpg,2030-01-31\n").unwrap();
    let sync = |more: &str| likeness(data, &["sync", table.to_str().unwrap(), more]);
    likeness(data, &["import", table.to_str().unwrap()]);
    let options = SqliteConnectOptions::new().filename(data.join("likeness.db"));
    let database = SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("update employee set expires_at = 1000").execute(&database).await.unwrap();
    let audit_id = async || {
        let id = sqlx::query_scalar::<_, Vec<u8>>("select audit_id from employee");
        id.fetch_one(&database).await.unwrap()
    };
    let ended = audit_id().await;
    let (well, said) = sync("--dry-run");
    assert!(well && said.contains("enroll") && !said.contains("expires "), "{said}");
    let (well, said) = sync("--yes");
    assert!(well, "{said}");
    assert_ne!(audit_id().await, ended, "erased, and enrolled anew");
}

#[tokio::test]
async fn expires_at_follows_one_rule_over_http_and_in_tables() {
    let app = App::spawn().await;
    let source = staff(1);
    let (table, folder) = (source.path().join("staff.csv"), tempfile::tempdir().unwrap());
    for (text, reason) in [
        ("2020-01-01", "be in the future"),
        ("2020-01-01T00:00:00Z", "be in the future"),
        ("9999-12-31", "at most 100 years ahead"),
        ("2030-12-31T18:00:00", "RFC 3339 timestamp"),
        ("31.12.2030", "RFC 3339 timestamp"),
    ] {
        let form = Form::new().text("employee_id", "e-1").text("expires_at", text);
        let form = form.part("photo", file(photo("people/p01-a.jpg")));
        let answer = app.post("/enroll", form).await;
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(answer.status == 400 && detail.contains(reason), "{answer:?}");
        fs::write(&table, format!("employee_id,photo,expires_at\ne-1,e-1.jpg,{text}\n")).unwrap();
        for command in ["import", "sync"] {
            let (well, said) = likeness(folder.path(), &[command, table.to_str().unwrap()]);
            assert!(!well && said.contains(detail), "{command} {text}: {said}");
        }
    }
    let form = Form::new().text("employee_id", "e-1").text("expires_at", "2030-12-31");
    let answer = app.post("/enroll", form.part("photo", file(photo("people/p01-a.jpg")))).await;
    assert_eq!(answer.body["expires_at"], "2031-01-01T00:00:00Z", "{answer:?}");
}
