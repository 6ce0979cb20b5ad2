//! `likeness import` and `likeness sync` with a running service.

use std::fs::{self, File};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use likeness::access::LocalCredential;
use likeness::http::HttpOptions;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

use crate::app::{Answer, App, ENGINE, OPEN, data, engine, file, photo, send};
use crate::keys::keys;
use crate::process::Process;

/// The result of a command: exit code, standard output, standard error.
type Ended = (i32, String, String);

fn ended(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_likeness"));
    command.env("LIKENESS_LOG", "error").args(arguments);
    command
}

/// Runs a command on a data directory.
fn on(folder: &Path, arguments: &[&str]) -> Ended {
    ended(command(arguments).arg("--data-dir").arg(folder).output().unwrap())
}

/// The command with the service and its key file.
fn through(app: &App, key_file: &Path, arguments: &[&str]) -> Command {
    let mut command = command(arguments);
    // Nobody's data directory.
    command.args(["--data-dir", "/nowhere", "--server", &app.url, "--key-file"]).arg(key_file);
    command
}

/// Runs a command with the service and its local credential.
fn with(app: &App, arguments: &[&str]) -> Ended {
    let key_file = LocalCredential::file(app.folder.path());
    ended(through(app, &key_file, arguments).output().unwrap())
}

fn add(folder: &TempDir, employee: &str, name: &str) {
    fs::copy(data(name), folder.path().join(format!("{employee}.jpg"))).unwrap();
}

/// Photos of the people p01, p02, … as e-01.jpg, e-02.jpg, …
fn staff(count: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for person in 1..=count {
        add(&folder, &format!("e-{person:02}"), &format!("people/p{person:02}-a.jpg"));
    }
    folder
}

fn names(answer: &Answer) -> Vec<String> {
    let employees = answer.body["employees"].as_array().unwrap().iter();
    employees.map(|employee| employee["employee_id"].as_str().unwrap().to_owned()).collect()
}

fn written(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn import_through_a_service_reports_like_one_on_files_and_resumes() {
    let (app, files, source) = (App::spawn().await, tempfile::tempdir().unwrap(), staff(2));
    let from = source.path().to_str().unwrap();
    let (code, out, err) = with(&app, &["import", from, "--dry-run"]);
    assert_eq!((code, &*out), (0, ""), "{err}");
    assert!(err.contains("2 would be enrolled, 0 already enrolled, 0 would be refused"), "{err}");
    assert!(err.contains("finds no look-alikes"), "{err}");
    assert!(names(&app.get("/employees").await).is_empty());
    let here = on(files.path(), &["import", from]);
    assert_eq!((here.0, with(&app, &["import", from])), (0, here));
    add(&source, "e-03", "odd/no-face.jpg");
    add(&source, "e-04", "people/p02-b.jpg");
    add(&source, "e-05", "people/p05-a.jpg");
    add(&source, "e-06", "odd/two-faces.jpg");
    fs::write(source.path().join("e-07.heic"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").unwrap();
    for (enrolled, already) in [(1, 2), (0, 3)] {
        let here = on(files.path(), &["import", from]);
        assert_eq!(here, with(&app, &["import", from]));
        let (code, out, err) = here;
        let summary = format!("{enrolled} enrolled, {already} already enrolled, 4 refused");
        assert!(code == 1 && err.contains(&summary), "{err}");
        for refusal in ["e-03.jpg\tno_face", "e-04.jpg\tlooks_like_another", "unsupported_format"] {
            assert!(out.contains(refusal), "{out}");
        }
    }
    // Refused before it is sent; a hole on the disk.
    File::create(source.path().join("e-08.jpg")).unwrap().set_len(17 << 20).unwrap();
    let (_, out, _) = with(&app, &["import", from, "--dry-run"]);
    assert!(out.contains("e-08.jpg\tbody_too_large\ta photo must be at most 16 MiB"), "{out}");
    assert_eq!(names(&app.get("/employees").await), ["e-01", "e-02", "e-05"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_run_gives_the_reasons_of_a_poor_photo() {
    let app = App::spawn().await;
    let source = tempfile::tempdir().unwrap();
    add(&source, "e-1", "field/mask-sunglasses-a.jpg");
    let from = source.path().to_str().unwrap();
    let dry = with(&app, &["import", from, "--dry-run"]);
    let real = with(&app, &["import", from]);
    assert!(real.1.contains("\tpoor_photo\t") && real.1.contains("of 100)"), "{real:?}");
    assert_eq!((dry.0, dry.1), (real.0, real.1));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_for_now_lose_no_photo() {
    let limited = HttpOptions { calls_a_second: NonZeroU32::new(2).unwrap(), ..OPEN };
    for (engine, options) in [(engine(1, 0), OPEN), (ENGINE.clone(), limited)] {
        let (app, source) = (App::spawn_with(&engine, options).await, staff(7));
        let (code, out, err) = with(&app, &["import", source.path().to_str().unwrap()]);
        assert_eq!((code, &*out), (0, ""), "{err}");
        assert!(err.contains("7 enrolled, 0 already enrolled, 0 refused"), "{err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_key_stops_the_import_which_can_be_resumed() {
    let slow = HttpOptions { calls_a_second: NonZeroU32::MIN, ..OPEN };
    let (app, source) = (App::spawn_with(&ENGINE, slow).await, staff(20));
    keys(&app, &["add", "--first"]).await;
    let mut key_files = Vec::new();
    for name in ["one", "two"] {
        let key = keys(&app, &["add", name, "--role", "enroller"]).await;
        key_files.push(written(&app.folder, name, &key));
    }
    let admin = keys(&app, &["add", "watch", "--role", "admin"]).await;
    let enrolled = async || {
        let started = Instant::now();
        loop {
            let answer = send(app.client.get(app.at("/employees")).bearer_auth(&admin)).await;
            if answer.status == 200 {
                return names(&answer).len();
            }
            assert!(started.elapsed() < Duration::from_mins(1), "{answer:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let arguments = ["import", source.path().to_str().unwrap()];
    let mut import = through(&app, &key_files[0], &arguments);
    let import = import.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while enrolled().await == 0 {}
    keys(&app, &["revoke", "one"]).await;
    let (code, _, err) = ended(import.wait_with_output().unwrap());
    let named = format!("does not accept the API key in {}", key_files[0].display());
    assert!(code == 1 && err.contains(&named) && err.contains("again to resume"), "{err}");
    let before = enrolled().await;
    assert!((1..20).contains(&before), "{before}");
    let terminal = keys(&app, &["add", "door", "--role", "terminal"]).await;
    let door = written(&app.folder, "door", &terminal);
    let (code, _, err) = ended(through(&app, &door, &arguments).output().unwrap());
    assert!(code == 1 && err.contains("role terminal is not allowed"), "{err}");
    let (code, _, err) = ended(through(&app, &key_files[1], &arguments).output().unwrap());
    let summary = format!("{} enrolled, {before} already enrolled, 0 refused", 20 - before);
    assert!(code == 0 && err.contains(&summary), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_find_the_service_that_holds_the_lock() {
    let (folder, source) = (tempfile::tempdir().unwrap(), staff(1));
    let (from, address) = (source.path().to_str().unwrap(), folder.path().join("address"));
    let mut service = Process::start(folder.path());
    assert_eq!(fs::read_to_string(&address).unwrap().trim_end(), service.url);
    let (code, _, err) = on(folder.path(), &["import", from]);
    assert!(code == 0 && err.contains(&format!("using the service at {}", service.url)), "{err}");
    let list = send(service.client.get(format!("{}/employees", service.url))).await;
    assert_eq!(names(&list), ["e-01"]);
    let table = written(&source, "staff.csv", "employee_id,photo\ne-02,e-02.jpg\n");
    add(&source, "e-02", "people/p02-a.jpg");
    let sync = ["sync", table.to_str().unwrap(), "--yes", "--allow-erase", "1"];
    assert_eq!(on(folder.path(), &sync).0, 0);
    let list = send(service.client.get(format!("{}/employees", service.url))).await;
    assert_eq!(names(&list), ["e-02"]);
    service.terminate();
    assert!(service.ended_well() && !address.exists());
    // On the files, also after a kill left the address.
    let summary = "1 enrolled, 1 already enrolled";
    let (_, _, err) = on(folder.path(), &["import", from]);
    assert!(err.contains(summary) && !err.contains("using the service"), "{err}");
    Process::start(folder.path()).kill();
    assert!(address.exists());
    let (_, _, err) = on(folder.path(), &["import", from]);
    assert!(err.contains("0 enrolled, 2 already") && !err.contains("using the service"), "{err}");
    assert!(!address.exists());
    // With API keys, a key is needed.
    let service = Process::start(folder.path());
    let (_, key, _) = on(folder.path(), &["keys", "add", "--first"]);
    let (code, _, err) = on(folder.path(), &["import", from]);
    assert!(code == 1 && err.contains("--server URL and --key-file FILE"), "{err}");
    let key_file = written(&source, "key", &key);
    let key_file = key_file.to_str().unwrap();
    let import = ["import", from, "--server", &service.url, "--key-file", key_file];
    let started = Instant::now();
    // The service reads its keys once a second.
    while on(folder.path(), &import).0 != 0 {
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_through_a_service_plans_guards_and_erases() {
    let (app, source) = (App::spawn().await, staff(4));
    for employee in ["e-01", "e-02", "e-03"] {
        let name = format!("people/p{}-a.jpg", &employee[2..]);
        assert_eq!(app.enroll(employee, photo(&name)).await.status, 201);
    }
    let form = reqwest::multipart::Form::new().text("employee_id", "e-05");
    let form = form.text("expires_at", "2099-01-31T00:00:00Z");
    let form = form.part("photo", file(photo("people/p05-a.jpg")));
    assert_eq!(app.post("/enroll", form).await.status, 201);
    let rows = "e-02,,\ne-03,e-03.jpg,\ne-04,e-04.jpg,2098-01-31\ne-05,,2099-01-31T00:00:00Z\n";
    let table = written(&source, "staff.csv", &format!("employee_id,photo,expires_at\n{rows}"));
    let table = table.to_str().unwrap();
    let plan = "enroll\te-04\t";
    let (code, out, err) = with(&app, &["sync", table, "--yes"]);
    assert!(code == 1 && err.contains("1 of 4 employees would be erased"), "{err}");
    assert!(out.contains(plan) && out.contains("erase\te-01\n"), "{out}");
    assert!(err.contains("1 with a photo newer than the enrollment, which"), "{err}");
    assert!(!out.contains("expires") && !out.contains("photo changed"), "{out}");
    let (code, _, err) = with(&app, &["sync", table, "--allow-erase", "1"]);
    assert!(code == 1 && err.contains("nothing was changed"), "{err}");
    assert_eq!(with(&app, &["sync", table, "--allow-erase", "1", "--dry-run"]).0, 0);
    assert_eq!(names(&app.get("/employees").await), ["e-01", "e-02", "e-03", "e-05"]);
    let (code, _, err) = with(&app, &["sync", table, "--allow-erase", "1", "--yes"]);
    assert!(code == 0 && err.contains("1 enrolled, 0 already enrolled, 0 refused"), "{err}");
    assert_eq!(names(&app.get("/employees").await), ["e-02", "e-03", "e-04", "e-05"]);
    let joined = app.get("/employees/e-04").await.body;
    assert_eq!(joined["expires_at"], "2098-02-01T00:00:00Z");
    // What the API can't do is named, and done by nobody.
    fs::write(table, "employee_id,expires_at\ne-02,\ne-03,\ne-04,\ne-05,2099-01-31T00:00:00Z\n")
        .unwrap();
    for more in ["--dry-run", "--yes"] {
        let (code, out, err) = with(&app, &["sync", table, more]);
        let line = "expires, not changed\te-04\t2098-02-01T00:00:00Z -> never\n";
        assert!(code == 1 && out == line && err.contains("a service can't change"), "{out}{err}");
    }
    assert_eq!(app.get("/employees/e-04").await.body, joined);
}

#[tokio::test(flavor = "multi_thread")]
async fn service_that_does_not_respond_is_named() {
    let source = staff(1);
    let from = source.path().to_str().unwrap();
    let key_file = written(&source, "key", "likeness_unknown");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let app = App::spawn().await;
    let import = |url: &str, key_file: &Path| {
        let mut command = command(&["import", from, "--server", url, "--key-file"]);
        ended(command.arg(key_file).output().unwrap())
    };
    for (url, key_file, reason) in [
        (&*dead, &*key_file, format!("no response from {dead}")),
        ("ftp://localhost", &key_file, "not the URL of a service".to_owned()),
        (&app.url, Path::new("/nowhere"), "reading the key file /nowhere".to_owned()),
        (&app.url, &key_file, format!("does not accept the API key in {}", key_file.display())),
        (&app.at("/docs"), &key_file, "is not a likeness service: 404".to_owned()),
    ] {
        let (code, out, err) = import(url, key_file);
        assert!(code == 1 && out.is_empty() && err.contains(&reason), "{reason}: {err}");
    }
    let (code, _, err) = ended(command(&["import", from, "--server", &dead]).output().unwrap());
    assert!(code == 2 && err.contains("--key-file"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_of_the_service_is_verified() {
    let (folder, source) = (tempfile::tempdir().unwrap(), staff(1));
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = written(&folder, "key.pem", &signing_key.serialize_pem()).display().to_string();
    let cert = written(&folder, "cert.pem", &cert.pem()).display().to_string();
    let service = Process::start_with(folder.path(), &["--tls-cert", &cert, "--tls-key", &key]);
    let from = source.path().to_str().unwrap();
    let url = service.url.replace("127.0.0.1", "localhost");
    let local = LocalCredential::file(folder.path()).display().to_string();
    let import = ["import", from, "--server", &url, "--key-file", &local];
    let (code, _, err) = on(folder.path(), &import);
    assert!(code == 1 && err.contains("invalid peer certificate"), "{err}");
    let (code, _, err) = on(folder.path(), &[&import[..], &["--server-ca", &cert]].concat());
    assert!(code == 0 && err.contains("1 enrolled"), "{err}");
    let (code, _, err) = on(folder.path(), &["import", from]);
    assert!(code == 1 && err.contains("--server URL"), "{err}");
}
