//! Labelled photos in a folder: `DIR/<person>/<photo>`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The endings of photos, in whatever case.
pub(in crate::cli) const ENDINGS: [&str; 6] = ["jpg", "jpeg", "jfif", "jpe", "png", "webp"];

/// What lies in such a folder.
#[derive(Debug)]
pub(in crate::cli) struct Folder {
    /// Names of the people, sorted.
    pub(in crate::cli) people: Vec<String>,
    /// Every photo with the number of its person, sorted.
    pub(in crate::cli) photos: Vec<(usize, PathBuf)>,
    /// Whatever else lies there, and is not looked at.
    pub(in crate::cli) skipped: Vec<PathBuf>,
}

impl Folder {
    /// Looks through the folder.
    ///
    /// # Errors
    /// Where it cannot be read, or holds too little to compare.
    pub(in crate::cli) fn read(dir: &Path) -> anyhow::Result<Self> {
        let mut folder = Self { people: Vec::new(), photos: Vec::new(), skipped: Vec::new() };
        for person in entries(dir)? {
            if person.is_dir() {
                folder.add(&person)?;
            } else {
                folder.skipped.push(person);
            }
        }
        folder.check().with_context(|| {
            format!("{}: photos are expected at DIR/PERSON/*.jpg, jpeg, png or webp", dir.display())
        })?;
        Ok(folder)
    }

    fn add(&mut self, person: &Path) -> anyhow::Result<()> {
        let number = self.people.len();
        let (photos, others): (Vec<_>, Vec<_>) =
            entries(person)?.into_iter().partition(|path| is_photo(path));
        self.skipped.extend(others);
        if !photos.is_empty() {
            self.people.push(name(person));
            self.photos.extend(photos.into_iter().map(|photo| (number, photo)));
        }
        Ok(())
    }

    fn check(&self) -> anyhow::Result<()> {
        match self.people.as_slice() {
            [] => bail!("no photos found; photos of at least two people are required"),
            [one] => bail!("photos of {one} only; photos of at least two people are required"),
            people if people.len() == self.photos.len() => {
                bail!("at least one person must have two photos")
            }
            _ => Ok(()),
        }
    }
}

/// The last part of a path, for people.
pub(in crate::cli) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A file, also behind a link, that ends like a photo.
fn is_photo(path: &Path) -> bool {
    ENDINGS.contains(&ending(path).as_str()) && path.is_file()
}

/// What a file's name ends with, behind the dot and in small letters.
pub(in crate::cli) fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}

/// What lies in a folder, sorted.
pub(in crate::cli) fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let reading = || format!("reading {}", folder.display());
    let entries = fs::read_dir(folder).with_context(reading)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<std::io::Result<Vec<_>>>().with_context(reading)?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> (tempfile::TempDir, anyhow::Result<Folder>) {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        let folder = Folder::read(dir.path());
        (dir, folder)
    }

    #[test]
    fn photos_are_found_by_their_endings_and_the_rest_is_named() {
        let files = ["b/2.JPEG", "b/1.jpg", "a/x.WebP", "a/y.png", "a/notes.txt", "list.csv"];
        let (dir, found) = folder(&[&files[..], &["empty/.keep", "a/more/z.jpg"]].concat());
        let found = found.unwrap();
        assert_eq!(found.people, ["a", "b"]);
        let photos: Vec<_> = found.photos.iter().map(|(who, path)| (*who, name(path))).collect();
        let expected = [(0, "x.WebP"), (0, "y.png"), (1, "1.jpg"), (1, "2.JPEG")];
        assert_eq!(photos, expected.map(|(who, name)| (who, name.to_owned())));
        let skipped = ["a/more", "a/notes.txt", "empty/.keep", "list.csv"];
        assert_eq!(found.skipped, skipped.map(|path| dir.path().join(path)));
    }

    #[test]
    fn folder_with_too_few_photos_is_refused() {
        for (files, reason) in [
            (vec!["a/note.txt"], "no photos"),
            (vec!["loose.jpg"], "no photos"),
            (vec!["a/1.jpg", "a/2.jpg"], "photos of a only"),
            (vec!["a/1.jpg", "b/1.jpg"], "at least one person must have two photos"),
        ] {
            let error = format!("{:#}", folder(&files).1.unwrap_err());
            assert!(error.contains(reason) && error.contains("DIR/PERSON"), "{error}");
        }
        assert!(Folder::read(Path::new("/nowhere/at/all")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_broken_ones_named() {
        let (dir, _) = folder(&["a/1.jpg", "a/2.jpg", "b/1.jpg"]);
        let link = |from: &str, to: &str| {
            std::os::unix::fs::symlink(dir.path().join(from), dir.path().join(to)).unwrap();
        };
        link("a/1.jpg", "b/linked.jpg");
        link("nothing.jpg", "b/broken.jpg");
        let found = Folder::read(dir.path()).unwrap();
        assert_eq!(found.photos.len(), 4);
        assert_eq!(found.skipped, [dir.path().join("b/broken.jpg")]);
    }
}
