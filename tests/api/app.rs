//! A running service for each test, with typed calls.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use likeness::access::LocalCredential;
use likeness::audit::Actor;
use likeness::embedding::Embedding;
use likeness::employee::{AuditId, EmployeeId, Reference};
use likeness::engine::{Engine, EngineOptions};
use likeness::http::{self, AppState, HttpOptions};
use likeness::recognizer::{GalleryThresholds, Policy, PresentationMode, Recognizer};
use likeness::seal::{MasterKeys, Sealer};
use likeness::store::{Location, Store, Written};
use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(crate) const NOW: &str = "2026-01-02T03:04:05Z";

/// The default models, loaded once for all tests of the process.
pub(crate) static ENGINE: LazyLock<Engine> = LazyLock::new(|| engine(2, 64));

pub(crate) const POLICY: Policy = Policy {
    verify_fmr: 1e-4,
    identify_fpir: 1e-2,
    longest_enrollment: None,
    gallery_thresholds: GalleryThresholds::Stricter,
    presentation: PresentationMode::Report,
    presentation_sessions: false,
};

pub(crate) fn engine(workers: usize, queue: usize) -> Engine {
    let options = EngineOptions::embedded(workers, queue);
    Engine::load(&options).unwrap()
}

pub(crate) const OPEN: HttpOptions = HttpOptions {
    calls_a_second: NonZeroU32::new(100).unwrap(),
    requests_a_second: NonZeroU32::new(10_000).unwrap(),
    request_timeout: Duration::from_mins(1),
    client_timeout: Duration::from_secs(20),
};

/// A service with its own port and data directory.
pub(crate) struct App {
    pub url: String,
    /// Sends the local credential, as long as there is no key.
    pub client: Client,
    pub folder: TempDir,
    pub store: Store,
    /// `Authorization: Bearer KEY` with the local credential; empty if there is none.
    pub header: String,
    local: Option<LocalCredential>,
}

impl App {
    pub(crate) async fn spawn() -> Self {
        Self::spawn_with(&ENGINE, OPEN).await
    }

    pub(crate) async fn spawn_with(engine: &Engine, options: HttpOptions) -> Self {
        let (app, state) = Self::spawn_starting(options).await;
        app.start(engine, &state, POLICY).await;
        app
    }

    /// Starts a service on the same store with another engine; the former service is stopped.
    pub(crate) async fn restarted(self, engine: &Engine) -> Self {
        self.restarted_with(engine, OPEN, POLICY).await
    }

    /// Prepares a service on an existing folder, not started yet.
    pub(crate) async fn on(folder: TempDir) -> Self {
        Self::spawn_on(folder, OPEN).await.0
    }

    pub(crate) async fn restarted_with(
        self,
        engine: &Engine,
        options: HttpOptions,
        policy: Policy,
    ) -> Self {
        let (app, state) = Self::spawn_on(self.folder, options).await;
        app.start(engine, &state, policy).await;
        app
    }

    pub(crate) async fn start(&self, engine: &Engine, state: &AppState, policy: Policy) {
        let masters = MasterKeys::open_or_create(&self.folder.path().join("master.key"));
        let sealer = Sealer::new(masters.unwrap());
        let now = NOW.parse().unwrap();
        let started =
            Recognizer::start(engine.clone(), self.store.clone(), sealer, policy, now).await;
        let recognizer = started.unwrap();
        recognizer.fit_thresholds(|| NOW.parse().unwrap()).await.unwrap();
        state.set_ready(recognizer, self.local);
    }

    /// Starts a service that is not ready until the state is set.
    pub(crate) async fn spawn_starting(options: HttpOptions) -> (Self, AppState) {
        Self::spawn_on(tempfile::tempdir().unwrap(), options).await
    }

    async fn spawn_on(folder: TempDir, options: HttpOptions) -> (Self, AppState) {
        Self::spawn_clocked(folder, options, || NOW.parse::<Timestamp>().unwrap()).await
    }

    /// Starts a service whose clock the test sets.
    pub(crate) async fn spawn_clocked(
        folder: TempDir,
        options: HttpOptions,
        now: fn() -> Timestamp,
    ) -> (Self, AppState) {
        let masters = MasterKeys::open_or_create(&folder.path().join("master.key")).unwrap();
        let store = Store::open(&Location::File(folder.path().join("likeness.db")), &masters)
            .await
            .unwrap();
        let first = !store.ever_had_api_key().await.unwrap();
        let local = first.then(|| LocalCredential::issue(folder.path()).unwrap().0);
        let (header, client) = local_access(&LocalCredential::file(folder.path()));
        let state = AppState::starting(now);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(http::serve(listener, state.clone(), options, None, std::future::pending()));
        (Self { url, client, folder, store, header, local }, state)
    }

    pub(crate) async fn enroll(&self, employee: &str, photo: Vec<u8>) -> Answer {
        self.post(
            "/enroll",
            Form::new().text("employee_id", employee.to_owned()).part("photo", file(photo)),
        )
        .await
    }

    /// Enrolls an embedding, sealed as the service seals it; the audit id is this number.
    pub(crate) async fn enroll_embedding(
        &self,
        employee: &str,
        number: u128,
        embedding: &Embedding,
    ) {
        let masters = MasterKeys::open_or_create(&self.folder.path().join("master.key")).unwrap();
        let employee = EmployeeId::parse(employee).unwrap();
        let model = ENGINE.encoder().model().clone();
        let (key, template) = Sealer::new(masters).seal(&employee, model.id, embedding);
        let audit_id = AuditId::from_bytes(number.to_le_bytes());
        let enrolled_at = Timestamp::UNIX_EPOCH;
        let reference = Reference { employee, audit_id, enrolled_at, expires_at: None, model };
        let written = Written { key: &key, template: &template, replace: false, seen: None };
        self.store.enroll(&reference, written, &Actor::Local).await.unwrap();
    }

    pub(crate) async fn verify(&self, employee: &str, photo: Vec<u8>) -> Answer {
        self.post(
            "/verify",
            Form::new().text("employee_id", employee.to_owned()).part("photo", file(photo)),
        )
        .await
    }

    pub(crate) async fn identify(&self, photo: Vec<u8>) -> Answer {
        self.post("/identify", Form::new().part("photo", file(photo))).await
    }

    pub(crate) async fn post(&self, path: &str, form: Form) -> Answer {
        send(self.client.post(self.at(path)).multipart(form)).await
    }

    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> Answer {
        send(self.client.post(self.at(path)).json(body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.client.get(self.at(path))).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        send(self.client.delete(self.at(path))).await
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

/// Returns the header line of the local credential, and a client that sends it with each request
/// that has no other key.
pub(crate) fn local_access(file: &Path) -> (String, Client) {
    let line = std::fs::read_to_string(file).unwrap_or_default().trim_end().to_owned();
    let mut headers = HeaderMap::new();
    if let Some((_, value)) = line.split_once(": ") {
        headers.insert(AUTHORIZATION, value.parse().unwrap());
    }
    (line, Client::builder().default_headers(headers).build().unwrap())
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Method and path, such as `GET /employees`.
    pub call: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let call = format!("{} {}", request.method(), request.url().path());
    let response = client.execute(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.text().await.unwrap();
    let body = serde_json::from_str(&body).unwrap_or_else(|_| panic!("not JSON: {body:?}"));
    Answer { call, status, headers, body }
}

/// Returns a file part without a file extension.
pub(crate) fn file(photo: Vec<u8>) -> Part {
    Part::bytes(photo).file_name("photo")
}

/// Uniform numbers from -0.5 to 0.5, the same at each call.
pub(crate) fn noise() -> impl FnMut() -> f32 {
    let mut state = 1_u64;
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    }
}

pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Returns a generated photo of `tests/data`.
pub(crate) fn photo(name: &str) -> Vec<u8> {
    let path = data(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
