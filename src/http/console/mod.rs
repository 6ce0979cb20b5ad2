//! `GET /`: the console, a page to enroll and erase employees and to watch a door. Its files are in
//! `console/`; it calls only this service.

use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::Response;

use super::asset::{Page, assets};

static CONSOLE: Page = Page::new(assets!(
    "api.js",
    "calibration.js",
    "camera.js",
    "console.css",
    "dates.js",
    "download.js",
    "element.js",
    "employees.js",
    "enroll.js",
    "erasure.js",
    "gauge.js",
    "guidance.js",
    "icon.svg",
    "identify.js",
    "index.html",
    "main.js",
    "photo.js",
    "picker.js",
    "question.js",
    "session.js",
    "signin.js",
    "stage.js",
    "submission.js",
    "turning.js",
    "verify.js",
    "words.js",
));

pub(super) async fn page(headers: HeaderMap) -> Response {
    CONSOLE.answer("index.html", &headers)
}

pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    CONSOLE.answer(&name, &headers)
}
