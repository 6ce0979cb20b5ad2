//! The house rules that a compiler doesn't know: which module may name which crate or module, and
//! how long a file may grow. ARCHITECTURE.md says why.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A crate, and the modules that may name it.
const CRATES: &[(&str, &[&str])] = &[
    ("aes_gcm", &["random", "seal"]),
    ("anyhow", &["cli", "config", "engine", "main", "telemetry"]),
    ("async_trait", &["telemetry"]),
    ("axum", &["http"]),
    ("axum_server", &["http"]),
    ("clap", &["config", "main"]),
    ("csv", &["cli"]),
    ("encoding_rs", &["cli"]),
    ("flate2", &["photo"]),
    ("governor", &["http"]),
    ("hmac", &["audit"]),
    ("http_body", &["http"]),
    ("http_body_util", &["http"]),
    ("image", &["engine", "face", "photo"]),
    ("fast_image_resize", &["photo"]),
    ("indicatif", &["cli"]),
    ("jpeg_decoder", &["photo"]),
    ("memmap2", &["http"]),
    ("opentelemetry", &["http", "telemetry"]),
    ("opentelemetry_http", &["http", "telemetry"]),
    ("opentelemetry_otlp", &["telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
    ("prometheus_client", &["http"]),
    ("serde", &["engine", "http"]),
    ("sqlx", &["store"]),
    ("toml", &["engine"]),
    ("toml_edit", &["cli", "engine"]),
    ("tower_http", &["http"]),
    ("tract_onnx", &["engine"]),
    ("turbojpeg", &["photo"]),
    ("utoipa", &["http"]),
    ("utoipa_axum", &["http"]),
];

/// A module, and the modules of ours that it may name beside [`EVERYBODYS`].
const MODULES: &[(&str, &[&str])] = &[
    ("access", &[]),
    ("audit", &["access"]),
    (
        "cli",
        &[
            "access",
            "audit",
            "config",
            "engine",
            "evaluation",
            "face",
            "http",
            "photo",
            "quality",
            "recognizer",
            "seal",
            "store",
            "telemetry",
        ],
    ),
    ("comparison", &[]),
    ("config", &["access", "audit", "engine", "http", "photo", "recognizer", "store"]),
    ("embedding", &[]),
    ("employee", &[]),
    ("engine", &["face", "photo", "quality"]),
    ("evaluation", &[]),
    ("face", &["photo"]),
    ("gallery", &["seal"]),
    ("http", &["access", "audit", "face", "photo", "quality", "recognizer"]),
    ("main", &["cli", "config", "telemetry"]),
    ("photo", &[]),
    ("random", &[]),
    ("quality", &["face"]),
    (
        "recognizer",
        &["access", "audit", "engine", "face", "gallery", "photo", "quality", "seal", "store"],
    ),
    ("seal", &[]),
    ("store", &["access", "audit", "gallery", "seal"]),
    ("telemetry", &["config"]),
    ("timings", &[]),
];

const EVERYBODYS: [&str; 5] = ["comparison", "embedding", "employee", "random", "timings"];

/// Lines of a file, tests left out.
const MOST_LINES: usize = 400;

struct Source {
    path: PathBuf,
    module: String,
    /// Up to the tests.
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let is_source = path.extension().is_some_and(|ending| ending == "rs");
            if !is_source || path.ends_with("tests.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
            let first = path.strip_prefix(&root).unwrap().components().next().unwrap();
            let module = Path::new(first.as_os_str()).file_stem().unwrap().to_str().unwrap();
            sources.push(Source { module: module.to_owned(), path, text });
        }
    }
    assert!(sources.len() > 20, "the search finds the sources");
    sources
}

/// Whether the code, comments left out, names `word::`.
fn names(text: &str, word: &str) -> bool {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
        line.match_indices(&format!("{word}::")).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
        })
    })
}

#[test]
fn each_crate_is_named_where_it_belongs_alone() {
    for source in sources() {
        for (name, homes) in CRATES {
            let allowed = homes.contains(&source.module.as_str());
            assert!(allowed || !names(&source.text, name), "{name} in {}", source.path.display());
        }
    }
}

#[test]
fn modules_know_only_those_that_they_may() {
    for source in sources() {
        if source.module == "lib" {
            continue;
        }
        let (_, allowed) = MODULES
            .iter()
            .find(|(module, _)| *module == source.module)
            .unwrap_or_else(|| panic!("{} has no line in MODULES", source.path.display()));
        for (other, _) in MODULES {
            let may =
                allowed.contains(other) || EVERYBODYS.contains(other) || *other == source.module;
            let named = ["crate", "likeness"].iter().any(|root| {
                source.text.contains(&format!("{root}::{other}::"))
                    || source.text.contains(&format!("{root}::{other};"))
                    || source.text.contains(&format!("{root}::{other}}}"))
            });
            assert!(may || !named, "{} names {other}", source.path.display());
        }
    }
}

#[test]
fn no_file_grows_beyond_its_bound() {
    for source in sources() {
        let lines = source.text.lines().count();
        assert!(lines <= MOST_LINES, "{} has {lines} lines", source.path.display());
    }
}

#[test]
fn every_source_file_says_what_it_is() {
    for source in sources() {
        assert!(source.text.starts_with("//! "), "{}", source.path.display());
    }
}

/// The packages of a lock file: name and version.
fn locked(path: &str) -> BTreeSet<(String, String)> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let packages = text.split("[[package]]").skip(1).map(|package| {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim_matches([' ', '=', '"']).to_owned()
        };
        (value("name"), value("version"))
    });
    packages.collect()
}

#[test]
fn what_is_fuzzed_is_what_is_served() {
    let (served, fuzzed) = (locked("Cargo.lock"), locked("fuzz/Cargo.lock"));
    let named = |name: &str| served.iter().any(|(served, _)| served == name);
    let shared: Vec<_> = fuzzed.iter().filter(|(name, _)| named(name)).collect();
    assert!(shared.len() > 50, "the comparison finds the packages");
    for package in shared {
        assert!(
            served.contains(package),
            "fuzz/Cargo.lock has {package:?}, Cargo.lock another version"
        );
    }
}
