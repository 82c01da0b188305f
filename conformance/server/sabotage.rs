//! Makes the clock and the disk of one server go wrong while it runs, by a library (`sabotage.c`) that is loaded into
//! it and stands between it and the C library: the server is the one that users run, and has no switch for this.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/server/sabotage.c");
const WORD_BYTES: u64 = 8;
/// How many numbers the file has; where those begin that count.
const WORDS: u64 = 24;
const COUNTED: u64 = 8;

/// What goes wrong; the place of its number, which says every how many-th call it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// By how many seconds the time of day is wrong. Time that only passes is not.
    Clock = 0,
    /// Half is written, and that is said.
    ShortWrites = 1,
    /// Half is written, then the disk is full.
    FailedWrites = 2,
    /// What was written may not be on the disk.
    FailedSyncs = 3,
    /// Half is read, and that is said.
    ShortReads = 4,
    FailedReads = 5,
    /// One bit is not what was written.
    ChangedReads = 6,
}

/// What goes wrong for the servers of a data folder.
pub(crate) struct Sabotage {
    path: PathBuf,
    words: File,
}

impl Sabotage {
    /// Nothing yet.
    pub(super) fn new(folder: &Path) -> Self {
        let path = folder.join("sabotage");
        let words = OpenOptions::new().create_new(true).read(true).write(true).open(&path).unwrap();
        words.set_len(WORDS * WORD_BYTES).unwrap();
        Self { path, words }
    }

    /// Has a server load the library.
    pub(super) fn enter(&self, command: &mut Command) {
        command.env("LD_PRELOAD", library()).env("SABOTAGE", &self.path);
    }

    /// From now on it goes wrong in every so many-th call, or by so many seconds; zero ends it.
    pub(crate) fn order(&self, order: Order, value: i64) {
        self.words.write_all_at(&value.to_ne_bytes(), order as u64 * WORD_BYTES).unwrap();
    }

    /// How often it went wrong.
    pub(crate) fn done(&self, order: Order) -> u64 {
        let mut word = [0; WORD_BYTES as usize];
        self.words.read_exact_at(&mut word, (COUNTED + order as u64) * WORD_BYTES).unwrap();
        u64::from_ne_bytes(word)
    }
}

/// The library, built once in a run of the tests.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (new, library) = (folder.join(format!("sabotage-{}.so", std::process::id())), folder.join("sabotage.so"));
        let built =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&new).args([SOURCE, "-ldl"]).output();
        let built = built.unwrap_or_else(|error| panic!("no C compiler: {error}"));
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        // Another run may have loaded the one that was there.
        std::fs::rename(new, &library).unwrap();
        library
    })
}
