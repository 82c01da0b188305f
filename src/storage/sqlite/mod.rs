//! A log in one SQLite file: one connection appends, a few read, a task moves the write-ahead log into the file. The
//! only place with SQL.
//!
//! An append is one statement or one transaction, durable when it answers (`synchronous=FULL`). When it fails, the
//! file is asked whether the rows are there: if not, nothing happened and the store goes on; if nobody can tell, the
//! store refuses writes until it is opened again.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use parking_lot::RwLock;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Connection, SqliteConnection};

use super::log::{AppendError, Log, Page, PageQuery, PastState};
use super::{Checked, Collection, Error, Event};
use crate::api::Revision;

mod append;
mod backup;
mod check;
mod checkpoint;
mod compact;
mod load;
mod open;
mod read;
mod record;
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
    /// Keeps other processes out while it is open.
    lock: parking_lot::Mutex<Option<File>>,
}

struct WriteHalf {
    connection: SqliteConnection,
    /// Of the last row.
    revision: Revision,
    /// Bytes of bodies ever written.
    written: u64,
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
    fn collection(&self, id: i64) -> Result<Collection, Error> {
        let name = self.collections.read().names.get(&id).cloned();
        name.ok_or_else(|| self.corrupt(format!("a row names collection {id}, which does not exist")))
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
    /// SQLITE_CORRUPT and SQLITE_NOTADB.
    const DAMAGED: [i32; 2] = [11, 26];
    let damaged = error
        .as_database_error()
        .and_then(|error| error.code()?.parse::<i32>().ok())
        // The low byte is the primary code.
        .is_some_and(|code| DAMAGED.contains(&(code & 0xff)));
    match damaged {
        true => Error::Corrupt { path: path.to_owned(), what: error.to_string() },
        false => Error::Unreadable { path: path.to_owned(), source: Arc::new(error) },
    }
}

/// Revisions are far below the limit of SQLite's integers.
fn integer(revision: Revision) -> i64 {
    i64::try_from(revision.0).expect("a revision is a count of writes")
}

/// A column as a revision.
fn revision(row: &SqliteRow, column: usize) -> Result<Revision, sqlx::Error> {
    use sqlx::Row;
    row.try_get::<i64, _>(column).map(|number| Revision(number.cast_unsigned()))
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
            let half = self.writer.lock().await.take();
            if let Some(half) = half
                && let Err(error) = half.connection.close().await
            {
                // All is durable already; the next start reads the write-ahead log.
                tracing::warn!(error = &error as &dyn std::error::Error, "the database was not closed in order");
            }
            self.lock.lock().take();
        }
        .boxed()
    }
}
