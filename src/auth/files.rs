//! The files of the certificate folder and of kubeconfigs: replaced as a whole, the private ones readable by their owner
//! alone. What a first start makes is on disk before the first of it has its name, and the disk is waited for once.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Error;
use super::pki::Identity;

/// How the names of drafts end.
const DRAFT_END: &str = ".new";

/// How many threads wait for the disk while several files are written.
const SYNC_THREADS: usize = 4;

/// A folder that is read, and what is to be written into it. Without a folder everything stays in memory.
pub(super) struct Folder<'a> {
    path: Option<&'a Path>,
    /// In the order in which they get their names.
    new: Vec<NewFile>,
}

struct NewFile {
    path: PathBuf,
    content: String,
    mode: u32,
    /// What must be gone before this file is there.
    instead_of: Option<PathBuf>,
}

impl<'a> Folder<'a> {
    /// A folder; made if it is not there.
    pub(super) fn open(path: Option<&'a Path>) -> Result<Self, Error> {
        if let Some(path) = path {
            fs::create_dir_all(path).map_err(file_error(path, "created"))?;
        }
        Ok(Self { path, new: Vec::new() })
    }

    /// The place of a file; `None` without a folder.
    pub(super) fn at(&self, file: &str) -> Option<PathBuf> {
        self.path.map(|path| path.join(file))
    }

    /// The certificate and the key of a name, each if it is there.
    pub(super) fn read(&self, name: &str) -> Result<(Option<String>, Option<String>), Error> {
        let read = |file: String| self.at(&file).map_or(Ok(None), |path| read_if_there(&path));
        Ok((read(format!("{name}.crt"))?, read(format!("{name}.key"))?))
    }

    /// The certificate of a name that a start was about to put beside its key when it was ended; puts it there. All of
    /// it is on disk, since its key has got its name.
    pub(super) fn finish(&self, name: &str, fits: impl Fn(&str) -> bool) -> Result<Option<String>, Error> {
        let (Some(folder), Some(certificate)) = (self.path, self.at(&format!("{name}.crt"))) else { return Ok(None) };
        let beginning = format!("{name}.crt.");
        for entry in fs::read_dir(folder).map_err(file_error(folder, "read"))? {
            let draft = entry.map_err(file_error(folder, "read"))?.path();
            let file = draft.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
            if file.starts_with(&beginning)
                && file.ends_with(DRAFT_END)
                && let Some(content) = read_if_there(&draft)?
                && fits(&content)
            {
                fs::rename(&draft, &certificate).map_err(file_error(&certificate, "written"))?;
                return Ok(Some(content));
            }
        }
        Ok(None)
    }

    /// Adds a file.
    pub(super) fn put(&mut self, file: &str, content: &str, mode: u32) {
        if let Some(path) = self.at(file) {
            self.new.push(NewFile { path, content: content.to_owned(), mode, instead_of: None });
        }
    }

    /// Adds a certificate and its key. The key goes first, and an old certificate before it: a certificate without its
    /// key would look like a mistake of the user's.
    pub(super) fn put_identity(&mut self, name: &str, identity: &Identity) {
        let certificate = format!("{name}.crt");
        self.put(&format!("{name}.key"), &identity.key, 0o600);
        if let Some(key) = self.new.last_mut() {
            key.instead_of = self.path.map(|path| path.join(&certificate));
        }
        self.put(&certificate, &identity.certificate, 0o644);
    }

    /// Writes what was added.
    pub(super) fn write(self) -> Result<(), Error> {
        let drafts = self.new.iter().map(Draft::of).collect::<Result<Vec<_>, _>>()?;
        // One after the other each would wait for the disk; together the file system writes them at once.
        std::thread::scope(|scope| {
            let lots = drafts.chunks(drafts.len().div_ceil(SYNC_THREADS).max(1));
            let syncs: Vec<_> = lots.map(|lot| scope.spawn(|| lot.iter().try_for_each(Draft::sync))).collect();
            syncs.into_iter().try_for_each(|sync| sync.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })?;
        drafts.into_iter().try_for_each(Draft::put_in_place)
    }
}

/// A file that has its content and not yet its name; dropped, it goes.
struct Draft<'f> {
    of: &'f NewFile,
    path: PathBuf,
    file: fs::File,
}

impl<'f> Draft<'f> {
    fn of(of: &'f NewFile) -> Result<Self, Error> {
        let mut name = of.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}{DRAFT_END}", uuid::Uuid::new_v4().simple()));
        let path = of.path.with_file_name(name);
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(of.mode).open(&path);
        let mut draft = Self { file: file.map_err(file_error(&of.path, "written"))?, of, path };
        draft.file.write_all(of.content.as_bytes()).map_err(file_error(&of.path, "written"))?;
        Ok(draft)
    }

    fn sync(&self) -> Result<(), Error> {
        self.file.sync_all().map_err(file_error(&self.of.path, "written"))
    }

    fn put_in_place(self) -> Result<(), Error> {
        if let Some(old) = &self.of.instead_of {
            match fs::remove_file(old) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(file_error(old, "removed")(error)),
                Ok(()) | Err(_) => {}
            }
        }
        fs::rename(&self.path, &self.of.path).map_err(file_error(&self.of.path, "written"))
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        // One that was put in place is not there any more. What is left of an attempt is of no use; that it cannot be
        // removed changes nothing for the caller.
        let _ = fs::remove_file(&self.path);
    }
}

/// The content of a file, if it is there.
pub(super) fn read_if_there(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error(path, "read")(error)),
    }
}

/// Replaces a file as a whole: readers see the old or the new content, never a part.
pub(super) fn write_atomic(path: &Path, content: &str, mode: u32) -> Result<(), Error> {
    let file = NewFile { path: path.to_owned(), content: content.to_owned(), mode, instead_of: None };
    let draft = Draft::of(&file)?;
    draft.sync()?;
    draft.put_in_place()
}

pub(super) fn file_error(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_has_its_name_before_it_is_written() {
        let place = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(Some(place.path())).unwrap();
        folder.put("a", "1", 0o644);
        assert!(names(place.path()).is_empty());
        folder.write().unwrap();
        assert_eq!(names(place.path()), ["a"]);
    }

    #[test]
    fn a_write_that_fails_leaves_no_drafts() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("b/in the way")).unwrap();
        let mut folder = Folder::open(Some(place.path())).unwrap();
        for file in ["a", "b", "c"] {
            folder.put(file, "1", 0o644);
        }
        assert!(folder.write().is_err());
        assert_eq!(names(place.path()), ["a", "b"]);
    }

    #[test]
    fn an_old_certificate_goes_before_the_new_key_comes() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("x.crt"), "old").unwrap();
        // The key cannot take its name.
        fs::create_dir_all(place.path().join("x.key/in the way")).unwrap();
        let mut folder = Folder::open(Some(place.path())).unwrap();
        folder.put_identity("x", &Identity { certificate: "new".to_owned(), key: "key".to_owned() });
        assert!(folder.write().is_err());
        assert_eq!(names(place.path()), ["x.key"]);
    }
}
