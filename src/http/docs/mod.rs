//! `GET /docs`: the description of the API as a page, on which each call can be tried. It lies in `docs/`, and calls
//! this same service and nobody else.

use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::Response;

use super::asset::{Page, assets};

static PAGE: Page =
    Page::new(assets!["index.html", "docs.css", "docs.js", "element.js", "trial.js"]);

pub(super) async fn page(headers: HeaderMap) -> Response {
    PAGE.answer("index.html", &headers)
}

pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    PAGE.answer(&name, &headers)
}
