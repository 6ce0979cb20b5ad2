//! Pages that lie in the binary: plain files, without a build step or a foreign host.
//!
//! What a page may do is said by its headers: run and load what comes from here alone.

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

/// Text stays text, and a photo is drawn on a canvas: neither markup nor blobs are loaded.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// A page and all that it loads.
pub(super) struct Page {
    assets: &'static [Asset],
    version: OnceLock<String>,
}

pub(super) struct Asset {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

/// Files in the folder of the source file that names them.
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

    /// The asset of that name, a 304 for whoever has it, or a 404 where there is none.
    pub(super) fn answer(&self, name: &str, asked: &HeaderMap) -> Response {
        let Some(asset) = self.assets.iter().find(|asset| asset.name == name) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let version = self.version();
        let headers = [
            // Asked for each time: a new version of the service comes with its own page.
            (CACHE_CONTROL, "no-cache"),
            (ETAG, version),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("permissions-policy"), "camera=(self)"),
        ];
        // One of a list, perhaps weakened by a proxy that compressed it.
        let held = asked.get(IF_NONE_MATCH).and_then(|held| held.to_str().ok());
        if held.is_some_and(|held| held.contains(version)) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (headers, [(CONTENT_TYPE, asset.kind())], asset.text).into_response()
    }

    /// Changes with any byte of the page's files, which belong together.
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
