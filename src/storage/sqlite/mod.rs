//! A log in one SQLite file: one connection appends, a few read, a task moves the write-ahead log into the file. The
//! only place with SQL.
//!
//! SQLite has no checksums, so the rows have: a page that is damaged is never taken for the truth, whichever rows it
//! shows or hides (`record`, `row`, `bounds`).
//!
//! An append is one statement or one transaction, durable when it answers (`synchronous=FULL`). When it fails, the
//! file is asked whether the rows are there: if not, nothing happened and the store goes on; if nobody can tell, the
//! store refuses writes until it is opened again.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use parking_lot::RwLock;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Connection, SqliteConnection};

use super::log::{AppendError, Log, Page, PageQuery, PastState};
use super::{Checked, Collection, Error, Event};
use crate::api::Revision;

mod ahead;
mod append;
mod backup;
mod bounds;
mod check;
mod checkpoint;
mod compact;
mod doubt;
#[cfg(test)]
mod flipped;
mod load;
mod open;
mod read;
mod record;
mod reseal;
mod row;
#[cfg(test)]
mod tests;

pub(super) use backup::back_up;
pub(super) use check::check;
pub(super) use open::{Claimed, claim, open};

/// A log in a file.
pub(super) struct SqliteLog {
    path: PathBuf,
    /// The one connection that changes the file; `None` when closed. Held for an append or a step of compaction.
    writer: tokio::sync::Mutex<Option<WriteHalf>>,
    readers: SqlitePool,
    /// Protects the names of collections; held for a look, or for the insertion of one.
    collections: RwLock<Collections>,
    backlog: Arc<checkpoint::Backlog>,
    /// The revision before which history is being forgotten.
    forgotten: AtomicU64,
    /// Held while something is read a second time, so that damage does not have everybody read everything.
    doubts: tokio::sync::Mutex<()>,
    /// Keeps other processes out while it is open.
    lock: parking_lot::Mutex<Option<File>>,
}

struct WriteHalf {
    connection: SqliteConnection,
    /// What the last row says.
    latest: load::Latest,
}

/// The numbers of collections in the file.
#[derive(Default)]
struct Collections {
    ids: HashMap<Collection, i64>,
    names: HashMap<i64, Collection>,
}

impl Collections {
    fn add(&mut self, id: i64, name: Collection) {
        self.names.insert(id, Arc::clone(&name));
        self.ids.insert(name, id);
    }
}

impl SqliteLog {
    fn forgotten(&self) -> Revision {
        Revision(self.forgotten.load(Ordering::Acquire))
    }

    fn corrupt(&self, what: String) -> Error {
        Error::Corrupt { path: self.path.clone(), what }
    }

    fn failed(&self, error: sqlx::Error) -> Error {
        failed(&self.path, error)
    }
}

/// Tells damage from other failures.
fn failed(path: &Path, error: sqlx::Error) -> Error {
    /// SQLITE_CORRUPT, SQLITE_FORMAT and SQLITE_NOTADB; and SQLITE_ERROR, for the statements are right, and what they
    /// name is there in a file that is whole.
    const DAMAGED: [i32; 4] = [11, 24, 26, 1];
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    // The low byte is the primary code; a column that holds something else than its type is SQLite's damage too.
    let damaged = code.is_some_and(|code| DAMAGED.contains(&(code & 0xff)))
        || matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_));
    match damaged {
        true => Error::Corrupt { path: path.to_owned(), what: error.to_string() },
        false => Error::Unreadable { path: path.to_owned(), source: Arc::new(error) },
    }
}

async fn close_half(mut half: WriteHalf) {
    // All is durable already; the next start reads the write-ahead log.
    if let Err(error) = append::note(&mut half).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the database does not say how far it goes");
    }
    if let Err(error) = half.connection.close().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the database was not closed in order");
    }
}

/// Revisions are far below the limit of SQLite's integers.
fn integer(revision: Revision) -> i64 {
    revision.0.cast_signed()
}

/// A column as a revision. A damaged page may have any number there; none below zero was ever written.
fn revision(row: &SqliteRow, column: usize) -> Result<Revision, sqlx::Error> {
    use sqlx::Row;
    revision_of(row.try_get(column)?)
}

/// The same of a number that was read.
fn revision_of(number: i64) -> Result<Revision, sqlx::Error> {
    let number = u64::try_from(number).map_err(|_| sqlx::Error::Decode(format!("{number} is no revision").into()))?;
    Ok(Revision(number))
}

impl Log for SqliteLog {
    fn append<'a>(&'a self, group: &'a [Arc<Event>], now: Timestamp) -> BoxFuture<'a, Result<(), AppendError>> {
        self.append(group, now).boxed()
    }

    fn page(&self, query: PageQuery) -> BoxFuture<'_, Result<Page, Error>> {
        self.page(query).boxed()
    }

    fn undo(&self, after: Revision, up_to: Revision) -> BoxFuture<'_, Result<Vec<PastState>, Error>> {
        self.undo(after, up_to).boxed()
    }

    fn compact(&self, oldest: Revision) -> BoxFuture<'_, Result<(), Error>> {
        self.compact(oldest).boxed()
    }

    fn bytes(&self) -> u64 {
        let size = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
        size(&self.path) + size(&open::beside(&self.path, "-wal"))
    }

    fn back_up<'a>(&'a self, to: &'a Path) -> BoxFuture<'a, Result<Checked, Error>> {
        self.back_up(to).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            self.backlog.close();
            self.readers.close().await;
            if let Some(half) = self.writer.lock().await.take() {
                close_half(half).await;
            }
            self.lock.lock().take();
        }
        .boxed()
    }
}
