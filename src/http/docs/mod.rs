//! `GET /docs`: the API description as a page, on which each call can be tried. Its files are in
//! `docs/`; it calls only this service.

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
