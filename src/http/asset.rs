//! Pages served from the binary: plain files, without a build step or another host.
//!
//! A content security policy allows a page to run and load only content from this service.

use std::sync::OnceLock;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The content security policy. A page needs neither inline markup nor blobs: it inserts text as
/// text and draws photos on a canvas.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// A page and the files that it loads.
pub(super) struct Page {
    assets: &'static [Asset],
    version: OnceLock<String>,
}

pub(super) struct Asset {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

/// Embeds files from the folder of the calling source file.
macro_rules! assets {
    ($($name:literal),+ $(,)?) => {
        &[$($crate::http::asset::Asset {
            name: $name,
            text: include_str!($name),
        }),+]
    };
}
pub(super) use assets;

impl Page {
    pub(super) const fn new(assets: &'static [Asset]) -> Self {
        Self { assets, version: OnceLock::new() }
    }

    /// Returns the asset with this name: 304 if the client has it, 404 if there is none.
    pub(super) fn answer(&self, name: &str, asked: &HeaderMap) -> Response {
        let Some(asset) = self.assets.iter().find(|asset| asset.name == name) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let version = self.version();
        let headers = [
            // Revalidated on each request: a new version of the service has new pages.
            (CACHE_CONTROL, "no-cache"),
            (ETAG, version),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("permissions-policy"), "camera=(self)"),
        ];
        // If-None-Match is a list; a proxy that compresses makes its tags weak.
        let held = asked.get(IF_NONE_MATCH).and_then(|held| held.to_str().ok());
        if held.is_some_and(|held| held.contains(version)) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (headers, [(CONTENT_TYPE, asset.kind())], asset.text).into_response()
    }

    /// The entity tag of all files of the page; changes with any byte of any of them.
    fn version(&self) -> &str {
        self.version.get_or_init(|| {
            let all = self.assets.iter().fold(Sha256::new(), |sum, asset| {
                sum.chain_update(asset.text.len().to_le_bytes()).chain_update(asset.text)
            });
            format!("\"{}\"", URL_SAFE_NO_PAD.encode(all.finalize()))
        })
    }
}

impl Asset {
    fn kind(&self) -> &'static str {
        match self.name.rsplit_once('.') {
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "html")) => "text/html; charset=utf-8",
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            _ => "application/octet-stream",
        }
    }
}
