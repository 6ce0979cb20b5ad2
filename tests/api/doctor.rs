//! `likeness doctor`: each fault is reported with advice.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::app::{App, photo};
use crate::process::Process;

/// Runs the command; returns whether it succeeded, and its output.
fn doctor(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_likeness"));
    let output =
        command.arg("doctor").args(arguments).arg("--data-dir").arg(folder).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn doctor_passes_on_a_sound_service() {
    let app = App::spawn().await;
    app.enroll("e-1", photo("people/p01-a.jpg")).await;
    let (sound, said) = doctor(app.folder.path(), &[]);
    assert!(sound, "{said}");
    assert!(
        said.contains("1 employee can be recognized") && said.contains("up to event 1"),
        "{said}"
    );
    assert!(said.contains("warn  the master key is stored with the data"), "{said}");
    assert!(said.contains("ok    at an FMR of 1e-4 (measured on All-Age-Faces"), "{said}");
    let (_, said) = doctor(app.folder.path(), &["--verify-fmr", "1e-2"]);
    assert!(said.contains("it misses 4.0 % of genuine pairs"), "{said}");
}

#[tokio::test]
async fn files_that_others_can_read_are_reported() {
    let app = App::spawn().await;
    let folder = app.folder.path();
    fs::set_permissions(folder, Permissions::from_mode(0o700)).unwrap();
    let (_, said) = doctor(folder, &[]);
    assert!(said.contains("ok    the data directory and its files are private"), "{said}");
    for (path, mode) in [(folder.to_owned(), 0o755), (folder.join("data-keys.db"), 0o640)] {
        let private = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let (sound, said) = doctor(folder, &[]);
        let fault = format!("warn  {} is accessible to other users", path.display());
        assert!(sound && said.contains(&fault), "{said}");
        fs::set_permissions(&path, private).unwrap();
    }
}

#[tokio::test]
async fn doctor_reports_each_fault() {
    let app = App::spawn().await;
    app.enroll("e-1", photo("people/p01-a.jpg")).await;
    let folder = app.folder.path();
    let found = |arguments: &[&str], fault: &str| {
        let (sound, said) = doctor(folder, arguments);
        assert!(!sound && said.contains("FAIL") && said.contains(fault), "{said}");
    };
    found(&["--listen", "0.0.0.0:8080"], "has no API key");
    found(&["--encoder", "/nowhere.onnx"], "/nowhere.onnx");
    found(&["--verify-fmr", "1e-12"], "");
    let (cert, key) = (folder.join("c.pem"), folder.join("k.pem"));
    fs::write(&cert, "x").unwrap();
    fs::write(&key, "x").unwrap();
    let tls = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    found(&tls, "the TLS certificate or its key is invalid");

    let options = SqliteConnectOptions::new().filename(folder.join("likeness.db"));
    let files = SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("update audit_event set actor = 'key somebody'").execute(&files).await.unwrap();
    found(&[], "event 1 was changed");
    sqlx::query("update template set sealed = zeroblob(100)").execute(&files).await.unwrap();
    found(&[], "cannot be decrypted");
    fs::rename(folder.join("master.key"), folder.join("elsewhere")).unwrap();
    found(&[], "is missing: restore its copy");
    fs::write(folder.join("master.key"), [7; 32]).unwrap();
    found(&[], "restrict it to its owner");
}

#[tokio::test]
async fn health_reports_the_running_service() {
    let health = |address: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_likeness"));
        let output = command.args(["health", "--listen", address]).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let folder = tempfile::tempdir().unwrap();
    let service = Process::start(folder.path());
    let (_, address) = service.url.split_once("://").unwrap();
    assert_eq!(health(address), (true, String::new()));
    let everywhere = address.replace("127.0.0.1", "0.0.0.0");
    assert_eq!(health(&everywhere), (true, String::new()));
    let address = address.to_owned();
    service.kill();
    let (well, said) = health(&address);
    assert!(!well && said.contains(&format!("no response from {address}")), "{said}");

    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let answer = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\nnot_ready").unwrap();
    });
    let (well, said) = health(&address);
    assert!(!well && said.contains("is not ready: not_ready"), "{said}");
    answer.join().unwrap();
}
