//! A folder of photos, each named after its employee.

use std::collections::HashSet;
use std::path::Path;

use anyhow::bail;

use super::{Joiner, Refusal, Source};
use crate::cli::photo_files::{EXTENSIONS, entries, extension};
use crate::employee::EmployeeId;
use crate::recognizer::Code;

/// Photo formats that are not supported; such a file is reported as a refusal, unless another photo of the employee is
/// read.
const FOREIGN: [&str; 16] = [
    "arw", "avif", "bmp", "cr2", "cr3", "dng", "gif", "heic", "heif", "jp2", "jxl", "nef", "orf",
    "raf", "tif", "tiff",
];

/// Lists the photos of a folder: `e-17.jpg`. An invalid employee id and a second photo of an employee
/// are refusals.
///
/// # Errors
/// If the folder cannot be read or contains no photo.
pub(in crate::cli) fn folder(dir: &Path) -> anyhow::Result<Source> {
    let mut source = Source::default();
    let mut names = HashSet::new();
    // Cameras write a raw file, and phones a HEIC, beside the JPEG.
    let (foreign, others): (Vec<_>, Vec<_>) =
        entries(dir)?.into_iter().partition(|path| FOREIGN.contains(&extension(path).as_str()));
    for path in others.into_iter().chain(foreign) {
        let extension = extension(&path);
        if path.is_dir() {
            source.passed_over.push((path, "a folder; subfolders are not read"));
        } else if FOREIGN.contains(&extension.as_str()) && is_named(&names, &path) {
            source.passed_over.push((path, "there is another photo of this employee"));
        } else if EXTENSIONS.contains(&extension.as_str()) || FOREIGN.contains(&extension.as_str())
        {
            add(&mut source, &mut names, &path);
        } else {
            source.passed_over.push((path, "not a photo by its file extension"));
        }
    }
    if source.joiners.is_empty() && source.refused.is_empty() {
        bail!("{} contains no photos (EMPLOYEE.{})", dir.display(), EXTENSIONS.join(", "));
    }
    Ok(source)
}

fn is_named(names: &HashSet<EmployeeId>, path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    EmployeeId::parse(&stem).is_ok_and(|employee| names.contains(&employee))
}

fn add(source: &mut Source, names: &mut HashSet<EmployeeId>, path: &Path) {
    let (stem, photo) = (path.file_stem().unwrap_or_default().to_string_lossy(), path.to_owned());
    let employee = match EmployeeId::parse(&stem) {
        Ok(employee) => employee,
        Err(invalid) => {
            let (employee, reason) = (stem.into_owned(), invalid.to_string());
            let code = Code::Malformed;
            return source.refused.push(Refusal { employee, photo, code, reason });
        }
    };
    let joiner = Joiner { employee: employee.clone(), photo, expires_at: None };
    if names.insert(employee) {
        source.joiners.push(joiner);
    } else {
        let reason = "the folder contains another photo of this employee";
        source.refused.push(Refusal::new(&joiner, Code::AlreadyEnrolled, reason));
    }
}
