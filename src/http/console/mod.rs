//! `GET /`: the console, a page for the people who enrol, erase and watch a door. It lies in `console/`,
//! and calls this same service and nobody else.

use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::Response;

use super::asset::{Page, assets};

static CONSOLE: Page = Page::new(assets!(
    "api.js",
    "camera.js",
    "console.css",
    "dates.js",
    "element.js",
    "employees.js",
    "enrol.js",
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
    "verify.js",
    "words.js",
));

pub(super) async fn page(headers: HeaderMap) -> Response {
    CONSOLE.answer("index.html", &headers)
}

pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    CONSOLE.answer(&name, &headers)
}
