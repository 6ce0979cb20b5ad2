//! Rules that the compiler does not check: which module names which module or crate (the table in
//! ARCHITECTURE.md), no circles between modules or files, and how long a file may grow.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Crates that every module may name.
const EVERYWHERE: [&str; 4] = ["bytes", "jiff", "thiserror", "tracing"];

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

/// Whether code names `word`, as in `word::X`, `use word;` or `use word as other`.
fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let is_path = before.is_some_and(|c| is_word(c) || c == ':' || c == '.');
        let after = &code[at + word.len()..];
        let is_used = code[..at].ends_with("use ") && after.starts_with([';', ' ']);
        !is_path && (after.starts_with("::") || is_used)
    })
}

/// The code of a source without comments, on one line.
fn code(source: &Source) -> String {
    let lines = source.text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    lines.flat_map(|line| [line, " "]).collect()
}

/// The crates in the manifest's `[dependencies]`.
fn dependencies() -> BTreeSet<String> {
    let manifest =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let section = manifest.split("[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let lines = section.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_"))).collect()
}

/// For each module the modules, and the crates, that it names.
fn named() -> BTreeMap<String, [BTreeSet<String>; 2]> {
    let mut code_of = BTreeMap::<String, String>::new();
    for source in sources().iter().filter(|source| source.module != "lib") {
        code_of.entry(source.module.clone()).or_default().push_str(&code(source));
    }
    let mut crates = dependencies();
    crates.retain(|name| !EVERYWHERE.contains(&name.as_str()));
    let names_module = |code: &str, other: &str| {
        let roots = ["crate", "likeness"].map(|root| format!("{root}::{other}"));
        let ends = |tail: &str| !tail.starts_with(is_word);
        roots.iter().any(|path| code.split(path).skip(1).any(ends))
    };
    let of = |(module, code): (&String, &String)| {
        let others = code_of.keys().filter(|other| *other != module && names_module(code, other));
        let crates = crates.iter().filter(|name| names(code, name));
        (module.clone(), [others.cloned().collect(), crates.cloned().collect()])
    };
    code_of.iter().map(of).collect()
}

/// What is left of a graph without the nodes that lead to no circle, or are reached from none.
fn circles(mut left: BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeSet<String>> {
    loop {
        let before = left.len();
        let nodes: BTreeSet<_> = left.keys().cloned().collect();
        let named: BTreeSet<_> = left.values().flatten().cloned().collect();
        left.retain(|own, others| !others.is_disjoint(&nodes) && named.contains(own));
        if left.len() == before {
            return left;
        }
    }
}

/// The module that a source file is, below the crate: `http::openapi`.
fn module_path(source: &Source) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let path = source.path.strip_prefix(&root).unwrap().with_extension("");
    let names: Vec<_> = path.iter().map(|name| name.to_str().unwrap()).collect();
    names.join("::").trim_end_matches("::mod").to_owned()
}

/// The modules beside `own` in its parent that its code names, directly or by what the parent re-exports of them.
fn siblings_named(own: &str, texts: &BTreeMap<String, String>) -> BTreeSet<String> {
    let Some((parent, _)) = own.rsplit_once("::") else { return BTreeSet::new() };
    let reexports = texts.get(parent).map_or("", String::as_str);
    let home = |name: &str| {
        let sibling = format!("{parent}::{name}");
        let reexported = || {
            let uses = reexports.split("use self::").skip(1);
            let (module, _) = uses
                .filter_map(|used| used.split(';').next()?.split_once("::"))
                .find(|(_, items)| items.split(|c: char| !is_word(c)).any(|item| item == name))?;
            Some(format!("{parent}::{module}"))
        };
        if texts.contains_key(&sibling) { Some(sibling) } else { reexported() }
    };
    let named = texts[own].split("super::").skip(1).flat_map(|tail| {
        let group = tail.strip_prefix('{').and_then(|tail| tail.split(';').next());
        let items: Vec<_> = group.map_or(vec![tail], |group| group.split(", ").collect());
        items.into_iter().filter_map(|item| item.trim().split(|c: char| !is_word(c)).next())
    });
    named.filter_map(home).filter(|sibling| sibling != own).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn modules_name_what_the_architecture_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let text = fs::read_to_string(path).unwrap();
    let table = text.split("| module | names the modules | names the crates |\n").nth(1).unwrap();
    let table: Vec<_> = table.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
    let row = |(module, named): (String, [BTreeSet<String>; 2])| {
        let list = |names: BTreeSet<String>| {
            names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        };
        let [modules, crates] = named.map(list);
        format!("| `{module}` | {modules} | {crates} |")
    };
    let rows: Vec<_> = named().into_iter().map(row).collect();
    assert!(table == rows, "the code's own table is:\n{}", rows.join("\n"));
}

#[test]
fn modules_do_not_depend_on_each_other_in_a_circle() {
    let left = circles(named().into_iter().map(|(module, [others, _])| (module, others)).collect());
    assert!(left.is_empty(), "modules in a circle, or between two: {left:#?}");
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

#[test]
fn files_of_a_module_do_not_depend_on_each_other_in_a_circle() {
    let texts: BTreeMap<_, _> =
        sources().iter().map(|source| (module_path(source), code(source))).collect();
    let named: BTreeMap<_, _> =
        texts.keys().map(|own| (own.clone(), siblings_named(own, &texts))).collect();
    assert!(named["http::verify"].contains("http::problem"), "the search finds names");
    let left = circles(named);
    assert!(left.is_empty(), "modules in a circle, or between two: {left:#?}");
}
