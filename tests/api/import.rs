//! Whole companies at once: `likeness import` and `likeness sync`.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::app::{App, ENGINE, data};

/// Whether all went well, and what was said.
fn likeness(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_likeness"));
    let output = command.args(arguments).arg("--data-dir").arg(folder).output().unwrap();
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// A folder of photos, each under an employee's name.
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
async fn a_folder_is_enrolled_and_whoever_is_refused_is_told_why() {
    let source = photos(&[
        ("e-1", "people/p01-a.jpg"),
        ("e-2", "people/p02-a.jpg"),
        ("e-3", "odd/no-face.jpg"),
        ("e-4", "people/p02-b.jpg"),
    ]);
    let from = source.path().to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (well, said) = likeness(folder.path(), &["import", from, "--dry-run"]);
    assert!(!well && said.contains("2 would be enrolled, 0 were already, 2 would be"), "{said}");
    let (folder, names) = enrolled(folder).await;
    assert!(names.is_empty(), "{names:?}");
    let (well, said) = likeness(folder.path(), &["import", from]);
    assert!(!well && said.contains("2 enrolled, 0 were already, 2 refused"), "{said}");
    assert!(said.contains("e-3.jpg\tno_face\t"), "{said}");
    assert!(said.contains("\tlooks_like_another\t"), "{said}");
    let (well, again) = likeness(folder.path(), &["import", from]);
    assert!(!well && again.contains("0 enrolled, 2 were already, 2 refused"), "{again}");
    let (_folder, names) = enrolled(folder).await;
    assert_eq!(names.len(), 2);
}

#[tokio::test]
async fn joiners_come_and_leavers_go() {
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
        said.contains("enrol\tc\t") && said.contains("erase\ta\n") && said.contains("no photo\td")
    );
    let (well, said) = sync(&["--allow-erase", "1"]);
    assert!(!well && said.contains("nothing was done"), "{said}");
    assert!(sync(&["--allow-erase", "1", "--dry-run"]).0);
    let (well, said) = sync(&["--allow-erase", "1", "--yes"]);
    assert!(well, "{said}");
    let (_folder, names) = enrolled(folder).await;
    assert_eq!(names, ["b", "c"]);
}
