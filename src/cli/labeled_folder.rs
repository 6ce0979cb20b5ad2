//! A folder of labeled photos: `DIR/<person>/<photo>`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::photo_files::{EXTENSIONS, entries, extension, file_name};

/// The contents of a folder of labeled photos.
#[derive(Debug)]
pub(super) struct LabeledFolder {
    /// The names of the people, sorted.
    pub(super) people: Vec<String>,
    /// Each photo with the index of its person, sorted.
    pub(super) photos: Vec<(usize, PathBuf)>,
    /// Other entries, which are not read.
    pub(super) skipped: Vec<PathBuf>,
}

impl LabeledFolder {
    /// Lists the folder.
    ///
    /// # Errors
    /// If it cannot be read, or has no genuine or no impostor pair.
    pub(super) fn read(dir: &Path) -> anyhow::Result<Self> {
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
            self.people.push(file_name(person));
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

/// Whether the path is a file, or a link to one, with the extension of a photo.
fn is_photo(path: &Path) -> bool {
    EXTENSIONS.contains(&extension(path).as_str()) && path.is_file()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(files: &[&str]) -> (tempfile::TempDir, anyhow::Result<LabeledFolder>) {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        let folder = LabeledFolder::read(dir.path());
        (dir, folder)
    }

    #[test]
    fn photos_are_found_by_extension_and_other_entries_are_listed() {
        let files = ["b/2.JPEG", "b/1.jpg", "a/x.WebP", "a/y.png", "a/notes.txt", "list.csv"];
        let (dir, found) = folder(&[&files[..], &["empty/.keep", "a/more/z.jpg"]].concat());
        let found = found.unwrap();
        assert_eq!(found.people, ["a", "b"]);
        let photos: Vec<_> =
            found.photos.iter().map(|(who, path)| (*who, file_name(path))).collect();
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
        assert!(LabeledFolder::read(Path::new("/nowhere/at/all")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_broken_links_are_listed() {
        let (dir, _) = folder(&["a/1.jpg", "a/2.jpg", "b/1.jpg"]);
        let link = |from: &str, to: &str| {
            std::os::unix::fs::symlink(dir.path().join(from), dir.path().join(to)).unwrap();
        };
        link("a/1.jpg", "b/linked.jpg");
        link("nothing.jpg", "b/broken.jpg");
        let found = LabeledFolder::read(dir.path()).unwrap();
        assert_eq!(found.photos.len(), 4);
        assert_eq!(found.skipped, [dir.path().join("b/broken.jpg")]);
    }
}
