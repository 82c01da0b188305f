//! Opening a file: whose is it, is it whole, bring it to our schema, load the present state.
//!
//! What the file is, is read from its first bytes, so that a file which is not ours is left as it was. Damage is found
//! by loading: every row is read and its checksum compared, and that none is missing; a body of the past is checked when
//! it is read.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

use super::bounds::Bounds;
use super::load::{Ended, load};
use super::reseal::{self, Refusal};
use super::{Collections, SqliteLog, WriteHalf, ahead, append, checkpoint, doubt, failed, integer, revision};
use crate::api::Revision;
use crate::base::{Clock, Tasks};
use crate::storage::Error;
use crate::storage::log::{Loaded, Log};
use crate::storage::retention::Mark;
use crate::storage::snapshot::{State, Words};

/// The schema, one step after the other; the position plus one is the version.
const MIGRATIONS: [&str; 2] =
    [include_str!("../../../migrations/0001_log.sql"), include_str!("../../../migrations/0002_whole_rows.sql")];

/// Marks a SQLite file as ours: "Crcl".
const APPLICATION_ID: u32 = 0x4372_636c;
/// How a page of the file is cut; an object of a few KB fills one or two.
pub(super) const PAGE_BYTES: u32 = 8_192;
/// Connections that read history, checkpoint or back up.
const READERS_MAX: u32 = 4;
/// How long a connection waits for another's lock. The writer never has to.
pub(super) const BUSY_MAX: Duration = Duration::from_secs(10);
/// How many rows are read ahead of who takes them: waking each other costs more than reading a row.
const ROWS_AHEAD_MAX: usize = 512;
/// How many different statements a connection keeps prepared: the inserts and some.
const STATEMENTS_MAX: usize = append::STATEMENT_ROWS_MAX + 16;
/// How many moments of the history are looked up, to know what is due.
const MARKS_MAX: u64 = 64;

const CREATE_MIGRATIONS: &str = "CREATE TABLE IF NOT EXISTS migrations \
    (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT";
const APPLIED: &str = "INSERT INTO migrations (version, applied_at) VALUES (?, ?)";
/// Takes effect only in a file that is empty yet, and writes it.
const GIVE_BACK_PAGES: &str = "PRAGMA auto_vacuum = INCREMENTAL";
const LOG_AHEAD: &str = "PRAGMA journal_mode = WAL";
/// What `options` say, for a connection that is open.
const DURABLE: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0";
const COLLECTIONS: &str = "SELECT id, name FROM collections";
pub(super) const MARK: &str = "SELECT revision, at, written FROM log WHERE revision >= ? ORDER BY revision LIMIT 1";

/// What the first bytes of a file say.
pub(super) enum Header {
    /// There is no content yet.
    Empty,
    /// It is ours and has this version.
    Ours(u32),
}

/// A file that no other process has, not there yet or ours.
pub(in crate::storage) struct Claimed {
    path: PathBuf,
    lock: File,
}

/// Keeps other processes out of the file at `path`.
pub(in crate::storage) fn claim(path: &Path) -> Result<Claimed, Error> {
    // Looked at before the lock, so that nothing is put beside a file that is not ours.
    header(path)?;
    let lock = lock(path)?;
    if matches!(header(path)?, Header::Ours(_)) {
        log_is_whole(path)?;
    }
    Ok(Claimed { path: path.to_owned(), lock })
}

impl Claimed {
    /// Makes the file if it is not there, and brings it to our schema.
    pub(in crate::storage) async fn prepare(&self, now: Timestamp) -> Result<(), Error> {
        match header(&self.path)? {
            Header::Empty => create(&self.path, now).await,
            Header::Ours(version) if (version as usize) < MIGRATIONS.len() => migrate(&self.path, version, now).await,
            Header::Ours(_) => Ok(()),
        }
    }
}

/// Opens a file; its present state is put into `state`, which is empty.
pub(in crate::storage) async fn open(
    claimed: Claimed,
    clock: &dyn Clock,
    tasks: &Tasks,
    mut state: State,
) -> Result<(Arc<SqliteLog>, Loaded), Error> {
    claimed.prepare(clock.now()).await?;
    let Claimed { path, lock } = claimed;
    let path = path.as_path();
    let mut connection = bare_options(path).connect().await.map_err(|error| failed(path, error))?;
    let known = match known(&mut connection).await {
        Ok(known) => known,
        Err(error) => {
            close_refused(connection).await;
            return Err(doubt::told(path, error).await);
        }
    };
    let backlog = Arc::new(checkpoint::Backlog::default());
    let pool = SqlitePoolOptions::new().max_connections(READERS_MAX).min_connections(0);
    let latest = super::load::Latest::default();
    let log = Arc::new(SqliteLog {
        path: path.to_owned(),
        writer: tokio::sync::Mutex::new(Some(WriteHalf { connection, latest })),
        readers: pool.connect_lazy_with(options(path)),
        collections: parking_lot::RwLock::new(known.collections),
        backlog: Arc::clone(&backlog),
        forgotten: known.bounds.unwrap_or_default().compacted.0.into(),
        doubts: tokio::sync::Mutex::default(),
        lock: parking_lot::Mutex::new(Some(lock)),
    });
    // A log that never had a row costs no connection to read it.
    let empty = known.last == Revision(0) && known.bounds == Some(Bounds::default());
    let loaded = if empty { Ok(Default::default()) } else { fill(&log, (tasks, known.bounds), &mut state).await };
    let (words, ended) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            // Otherwise SQLite's companions of the file stay, and it does not lie as it was found.
            log.close().await;
            return Err(match error {
                Error::Corrupt { .. } => doubt::sifted(path, error).await,
                other => other,
            });
        }
    };
    let compacted = known.bounds.unwrap_or_default().compacted;
    // What an earlier process left in its write-ahead log.
    backlog.add(beside(path, "-wal").metadata().map_or(0, |metadata| metadata.len()));
    tasks.spawn_to_end("storage-checkpointer", backlog.relieve_when_due(log.readers.clone()));
    Ok((log, Loaded { state, compacted, marks: known.marks, words, lasts: ended.lasts }))
}

/// Loads the present state, and has the writer go on from there.
async fn fill(
    log: &Arc<SqliteLog>,
    (tasks, bounds): (&Tasks, Option<Bounds>),
    state: &mut State,
) -> Result<(Words, Ended), Error> {
    let bounds = bounds.ok_or_else(|| log.bounds_damaged())?;
    let (words, ended) = load(log, (tasks, bounds), state).await?;
    state.revision = ended.latest.revision;
    if let Some(half) = &mut *log.writer.lock().await {
        half.latest = ended.latest;
    }
    Ok((words, ended))
}

/// Before SQLite forgets what comes after damage.
fn log_is_whole(path: &Path) -> Result<(), Error> {
    match ahead::damaged_frame(path).map_err(|error| unreadable(path, error))? {
        Some(frame) => Err(Error::Corrupt { path: beside(path, "-wal"), what: ahead::fault(frame) }),
        None => Ok(()),
    }
}

/// What the file says before its objects are read.
struct Known {
    collections: Collections,
    /// `None` if they are damaged.
    bounds: Option<Bounds>,
    last: Revision,
    marks: Vec<Mark>,
}

async fn known(connection: &mut SqliteConnection) -> Result<Known, sqlx::Error> {
    sqlx::raw_sql(DURABLE).execute(&mut *connection).await?;
    let collections = load_collections(connection).await?;
    let bounds = Bounds::read(connection).await?;
    let row = sqlx::query(append::LAST_REVISION).fetch_one(&mut *connection).await?;
    let last = revision(&row, 0)?;
    let first = bounds.unwrap_or_default().compacted.min(last);
    let marks = load_marks(connection, first, last).await?;
    Ok(Known { collections, bounds, last, marks })
}

/// Waits until SQLite has taken away what it put beside the file.
async fn close_refused(connection: SqliteConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(error = &error as &dyn std::error::Error, "a refused database was not closed in order");
    }
}

/// The name of a file that belongs to the database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    bare_options(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "0")
        .row_buffer_size(ROWS_AHEAD_MAX)
}

/// Options that do not make the connection read the file: one that cannot be read is closed in order then.
fn bare_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_MAX)
        .statement_cache_capacity(STATEMENTS_MAX)
        .disable_statement_logging()
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::Unreadable { path: path.to_owned(), source: Arc::new(error) }
}

/// Reads whose file it is, without SQLite.
pub(super) fn header(path: &Path) -> Result<Header, Error> {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    const HEADER_BYTES: usize = 100;
    let not_ours = |what| Err(Error::NotOurs { path: path.to_owned(), what });
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => {
            file.take(HEADER_BYTES as u64).read_to_end(&mut bytes).map_err(|error| unreadable(path, error))?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(path, error)),
    }
    if bytes.is_empty() {
        return Ok(Header::Empty);
    }
    if bytes.len() < HEADER_BYTES || !bytes.starts_with(MAGIC) {
        return not_ours("it is not a SQLite database");
    }
    let number = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let (version, application) = (number(60), number(68));
    if application != APPLICATION_ID {
        return not_ours("it is another program's SQLite database");
    }
    let known = MIGRATIONS.len() as u32;
    if version > known {
        return Err(Error::TooNew { path: path.to_owned(), found: version, known });
    }
    Ok(Header::Ours(version))
}

/// Keeps other processes out as long as the file is held.
fn lock(path: &Path) -> Result<File, Error> {
    let name = beside(path, ".lock");
    let failed = |error| unreadable(&name, error);
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&name);
    let mut file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let holder = file.read_to_string(&mut holder).ok().and_then(|_| holder.trim().parse().ok());
            return Err(Error::InUse { path: path.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

/// Makes the file under another name and renames it when it is whole and on disk: there is never half a file, and the
/// disk has to be waited for once.
async fn create(path: &Path, now: Timestamp) -> Result<(), Error> {
    let new = beside(path, ".new");
    // What an interrupted attempt left, or a database that was removed without its companions.
    for stale in [&new, &beside(&new, "-journal"), &beside(path, "-journal"), &beside(path, "-wal")] {
        match std::fs::remove_file(stale) {
            Ok(()) => tracing::warn!(file = %stale.display(), "removed what belongs to no database"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(stale, error)),
        }
    }
    private_file(&new).map_err(|error| unreadable(path, error))?;
    let made = migrate(&new, 0, now).await.and_then(|()| put_in_place(&new, path).map_err(|e| unreadable(path, e)));
    if made.is_err() {
        // The reason stands in the answer.
        let _ = std::fs::remove_file(&new);
    }
    made
}

/// An empty file that others cannot read: it will hold secrets. SQLite gives its companions the same permissions.
pub(super) fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

pub(super) fn put_in_place(new: &Path, path: &Path) -> std::io::Result<()> {
    File::open(new)?.sync_all()?;
    std::fs::rename(new, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Brings a file to our schema, all or nothing. Done without a write-ahead log, so that the first bytes of the file
/// tell its version from then on.
async fn migrate(path: &Path, version: u32, now: Timestamp) -> Result<(), Error> {
    let failed = |error| failed(path, error);
    // A new file is written to disk when it is whole.
    let synchronous = if version == 0 { SqliteSynchronous::Off } else { SqliteSynchronous::Full };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(synchronous)
        .busy_timeout(BUSY_MAX)
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(failed)?;
    if version == 0 {
        // As an option it would be set before `synchronous`, and the disk be waited for four times.
        sqlx::raw_sql(GIVE_BACK_PAGES).execute(&mut connection).await.map_err(failed)?;
    }
    let applied = apply_migrations(&mut connection, version, now).await;
    // Also when nothing was changed: the file lies as it was then.
    sqlx::query(LOG_AHEAD).execute(&mut connection).await.map_err(failed)?;
    connection.close().await.map_err(failed)?;
    applied.map_err(|refusal| match refusal {
        Refusal::Failed(error) => failed(error),
        Refusal::Damaged(what) => Error::Corrupt { path: path.to_owned(), what },
    })
}

async fn apply_migrations(connection: &mut SqliteConnection, version: u32, now: Timestamp) -> Result<(), Refusal> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(CREATE_MIGRATIONS).execute(&mut *transaction).await?;
    for (migration, version) in MIGRATIONS.into_iter().zip(1_u32..).skip(version as usize) {
        sqlx::raw_sql(migration).execute(&mut *transaction).await?;
        if version == reseal::VERSION {
            reseal::reseal(&mut transaction).await?;
        }
        sqlx::query(APPLIED).bind(version).bind(now.as_millisecond()).execute(&mut *transaction).await?;
    }
    let pragmas = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}", MIGRATIONS.len());
    sqlx::raw_sql(sqlx::AssertSqlSafe(pragmas)).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

pub(super) async fn load_collections(connection: &mut SqliteConnection) -> Result<Collections, sqlx::Error> {
    let mut collections = Collections::default();
    for row in sqlx::query(COLLECTIONS).fetch_all(connection).await? {
        collections.add(row.try_get(0)?, Arc::from(row.try_get::<&str, _>(1)?));
    }
    Ok(collections)
}

/// Moments from the oldest readable revision to the last.
async fn load_marks(
    connection: &mut SqliteConnection,
    first: Revision,
    last: Revision,
) -> Result<Vec<Mark>, sqlx::Error> {
    let step = ((last.0 - first.0) / MARKS_MAX).max(1);
    let mut marks: Vec<Mark> = Vec::new();
    for sought in (first.0..last.0).step_by(usize::try_from(step).unwrap_or(usize::MAX)).chain([last.0]) {
        let row = sqlx::query(MARK).bind(integer(Revision(sought))).fetch_optional(&mut *connection).await?;
        let Some(row) = row else { continue };
        let at = Timestamp::from_millisecond(row.try_get(1)?).unwrap_or(Timestamp::UNIX_EPOCH);
        let mark = Mark { revision: revision(&row, 0)?, at, written: row.try_get::<i64, _>(2)?.cast_unsigned() };
        if marks.last() != Some(&mark) {
            marks.push(mark);
        }
    }
    Ok(marks)
}
