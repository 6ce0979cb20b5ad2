//! Data directories: the commands that create one, its contents, and its permissions.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::app::data;
use crate::process::Process;

fn likeness(data_directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_likeness"));
    command.arg("--data-dir").arg(data_directory).args(arguments).output().unwrap()
}

/// Returns the names and contents of all files in a folder.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let file = |path: &Path| {
        (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())
    };
    let mut files: Vec<_> = entries.map(|path| file(&path)).collect();
    files.sort();
    files
}

#[test]
fn commands_on_existing_data_refuse_a_folder_without_data() {
    let place = tempfile::tempdir().unwrap();
    let (missing, empty) = (place.path().join("missing"), place.path().join("empty"));
    fs::create_dir(&empty).unwrap();
    let staff = place.path().join("staff.csv");
    fs::write(&staff, "employee_id,photo\ne-1,\n").unwrap();
    for folder in [&missing, &empty] {
        for arguments in [
            &["audit", "verify"][..],
            &["audit", "export"],
            &["backup", "--data-archive", "a", "--key-archive", "b"],
            &["doctor"],
            &["export", "e-1"],
            &["keys", "add", "door", "--role", "terminal"],
            &["keys", "list"],
            &["keys", "revoke", "door"],
            &["keys", "rotate-master"],
            &["lookalikes"],
            &["model", "switch"],
            &["sync", staff.to_str().unwrap(), "--yes"],
        ] {
            let refused = likeness(folder, arguments);
            let said = String::from_utf8(refused.stderr).unwrap();
            assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {said}");
            assert!(said.contains(folder.to_str().unwrap()), "{arguments:?}: {said}");
            assert!(!missing.exists(), "{arguments:?}");
            assert_eq!(contents(&empty), [], "{arguments:?}");
        }
    }
}

#[test]
fn first_key_and_import_create_a_private_data_directory() {
    let place = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let people = data("people");
    for (name, arguments) in [
        ("by-keys", &["keys", "add", "--first"][..]),
        ("by-import", &["import", people.to_str().unwrap(), "--dry-run"]),
    ] {
        let folder = place.path().join(name);
        likeness(&folder, arguments);
        assert_eq!(mode(&folder), 0o700, "{name}");
        assert!(folder.join("likeness.db").exists(), "{name}");
    }
    let folder = place.path().join("by-serve");
    let parent_mode = mode(place.path());
    fs::create_dir(&folder).unwrap();
    let _service = Process::start(&folder);
    assert_eq!(mode(place.path()), parent_mode);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let expected = if path.ends_with("log") { mode(&path) } else { 0o600 };
        assert_eq!(mode(&path), expected, "{}", path.display());
    }
}

/// From systemd 254 on, a credential has mode 0440, with an access control list for the service's
/// user.
#[test]
fn group_readable_master_key_is_accepted_as_a_systemd_credential_only() {
    let place = tempfile::tempdir().unwrap();
    let key = place.path().join("master.key");
    fs::write(&key, [7; 32]).unwrap();
    let started = |folder: &str, mode, credentials: &Path| {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_likeness"));
        command.env("CREDENTIALS_DIRECTORY", credentials).arg("--master-key-file").arg(&key);
        command.arg("--data-dir").arg(place.path().join(folder));
        let output = command.args(["keys", "add", "--first"]).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (elsewhere, credentials) = (place.path().join("elsewhere"), place.path());
    for (folder, mode, directory) in [("a", 0o440, &*elsewhere), ("b", 0o444, credentials)] {
        let (started, said) = started(folder, mode, directory);
        assert!(!started && said.contains("accessible to other users"), "{folder}: {said}");
    }
    let (started, said) = started("c", 0o440, credentials);
    assert!(started, "{said}");
}

#[test]
fn missing_master_key_over_existing_data_is_refused_and_nothing_is_created() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("data");
    let made = likeness(&folder, &["keys", "add", "--first"]);
    assert!(made.status.success(), "{made:?}");
    fs::rename(folder.join("master.key"), place.path().join("elsewhere")).unwrap();
    let before = contents(&folder);
    for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["keys", "list"], &["doctor"]] {
        let refused = likeness(&folder, arguments);
        let said = String::from_utf8([refused.stdout, refused.stderr].concat()).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("master.key") && said.contains("missing"), "{arguments:?}: {said}");
        let after = contents(&folder);
        let locks = |files: &[(String, Vec<u8>)]| {
            files.iter().filter(|(name, _)| name != "lock").cloned().collect::<Vec<_>>()
        };
        assert_eq!(locks(&after), locks(&before), "{arguments:?}");
    }
}
