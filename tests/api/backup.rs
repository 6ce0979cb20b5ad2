//! Backup and restore: restored and erased employees, and the data archive without keys.

use std::path::Path;
use std::process::{Command, Output};

use likeness::seal::MasterKeyId;
use tempfile::TempDir;

use crate::app::{App, ENGINE, photo};

struct Archives(TempDir);

impl Archives {
    fn paths(&self, name: &str) -> [String; 2] {
        ["data", "keys"]
            .map(|kind| self.0.path().join(format!("{name}-{kind}")).display().to_string())
    }

    /// Runs `likeness backup` on a folder.
    fn back_up(&self, folder: &Path, name: &str) {
        let [data, keys] = self.paths(name);
        let done = likeness("backup", folder, &data, &keys);
        assert!(done.status.success(), "{}", said(&done));
    }
}

fn likeness(command: &str, folder: &Path, data: &str, keys: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_likeness"))
        .args([command, "--data-archive", data, "--key-archive", keys, "--data-dir"])
        .arg(folder)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Creates a data directory with the master key, as on a new machine.
fn machine(app: &App) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(app.folder.path().join("master.key"), folder.path().join("master.key")).unwrap();
    folder
}

fn nothing_in_place(folder: &Path) -> bool {
    !folder.join("likeness.db").exists() && !folder.join("data-keys.db").exists()
}

async fn two_people() -> (App, Archives) {
    let app = App::spawn().await;
    for (employee, name) in [("e-1", "people/p01-a.jpg"), ("e-2", "people/p02-a.jpg")] {
        assert_eq!(app.enroll(employee, photo(name)).await.status, 201);
    }
    let archives = Archives(tempfile::tempdir().unwrap());
    archives.back_up(app.folder.path(), "first");
    (app, archives)
}

#[tokio::test]
async fn restore_omits_employees_erased_after_the_backup() {
    let (app, archives) = two_people().await;
    assert_eq!(app.delete("/employees/e-1").await.status, 200);
    archives.back_up(app.folder.path(), "second");
    let ([data, old_keys], [_, keys]) = (archives.paths("first"), archives.paths("second"));
    std::fs::remove_file(old_keys).unwrap();
    let machine = machine(&app);
    let restored = likeness("restore", machine.path(), &data, &keys);
    assert!(restored.status.success(), "{}", said(&restored));
    assert!(said(&restored).contains("1 employees restored; 1 erased"), "{}", said(&restored));
    let app = App::on(machine).await.restarted(&ENGINE).await;
    assert_eq!(app.get("/employees/e-1").await.status, 404);
    let found = app.identify(photo("people/p02-b.jpg")).await;
    assert_eq!(found.body["match"]["employee_id"], "e-2");
    let strangers = app.identify(photo("people/p01-b.jpg")).await;
    assert!(strangers.body["match"].is_null());
    app.store.verify_events(None).await.unwrap().unwrap();
    assert_eq!(app.enroll("e-1", photo("people/p01-a.jpg")).await.status, 201);
}

#[tokio::test]
async fn data_archive_cannot_be_opened_without_the_key_archive() {
    let (app, archives) = two_people().await;
    let [data, keys] = archives.paths("first");
    let nobodys = MasterKeyId::from_bytes([0; 8]);
    let wrapped = app.store.data_keys_not_of(nobodys, 100).await.unwrap();
    let holds = |path: &str, bytes: &[u8]| {
        std::fs::read(path).unwrap().windows(bytes.len()).any(|window| window == bytes)
    };
    assert_eq!(wrapped.len(), 3);
    for key in wrapped {
        assert!(holds(&keys, key.wrapped.as_bytes()) && !holds(&data, key.wrapped.as_bytes()));
    }
    // An unrelated key archive, and none.
    let strangers = App::spawn().await;
    archives.back_up(strangers.folder.path(), "strangers");
    let [_, other_keys] = archives.paths("strangers");
    let none = archives.0.path().join("none");
    std::fs::write(&none, b"").unwrap();
    for keys in [other_keys.as_str(), none.to_str().unwrap()] {
        let machine = machine(&app);
        let refused = likeness("restore", machine.path(), &data, keys);
        assert!(!refused.status.success() && nothing_in_place(machine.path()));
        assert!(said(&refused).contains("the key of the audit trail"), "{}", said(&refused));
    }
}

#[tokio::test]
async fn failed_restore_changes_nothing() {
    let (app, archives) = two_people().await;
    let [data, keys] = archives.paths("first");
    let over = likeness("restore", app.folder.path(), &data, &keys);
    assert!(
        said(&over).contains("another likeness process is using")
            || said(&over).contains("already exists")
    );
    assert_eq!(app.get("/readyz").await.body["gallery_size"], 2);
    let again = likeness("backup", app.folder.path(), &data, &keys);
    assert!(!again.status.success(), "an archive is never overwritten");

    let without_key = tempfile::tempdir().unwrap();
    let refused = likeness("restore", without_key.path(), &data, &keys);
    assert!(
        said(&refused).contains("the master key of the archives is missing"),
        "{}",
        said(&refused)
    );
    assert!(nothing_in_place(without_key.path()));

    let mut bytes = std::fs::read(&data).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle - 3000..middle + 3000].fill(0x5A);
    let damaged = archives.0.path().join("damaged");
    std::fs::write(&damaged, bytes).unwrap();
    let machine = machine(&app);
    let refused = likeness("restore", machine.path(), damaged.to_str().unwrap(), &keys);
    assert!(!refused.status.success() && nothing_in_place(machine.path()), "{}", said(&refused));
    // The intact archive is still restored, in spite of remains of the failed attempt.
    assert!(likeness("restore", machine.path(), &data, &keys).status.success());
}

#[tokio::test]
async fn restore_resumes_after_a_kill_between_its_two_files() {
    let (app, archives) = two_people().await;
    let [data, keys] = archives.paths("first");
    let machine = machine(&app);
    let place = |name: &str| machine.path().join(name);
    assert!(likeness("restore", machine.path(), &data, &keys).status.success());
    // Simulates the kill.
    std::fs::create_dir(place("restoring")).unwrap();
    std::fs::rename(place("likeness.db"), place("restoring/likeness.db")).unwrap();
    assert!(likeness("restore", machine.path(), &data, &keys).status.success());
    assert!(!place("restoring").exists());
    let app = App::on(machine).await.restarted(&ENGINE).await;
    assert_eq!(app.get("/readyz").await.body["gallery_size"], 2);
}
