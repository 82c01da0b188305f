//! Appending a group of events to the file.

use std::sync::Arc;
use std::sync::OnceLock;

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use super::bounds::Bounds;
use super::load::Latest;
use super::record::{self, Head, Roll};
use super::{SqliteLog, WriteHalf, integer};
use crate::api::Revision;
use crate::storage::log::AppendError;
use crate::storage::{Cause, Collection, Event, EventKind};

/// How many rows one statement inserts.
pub(super) const STATEMENT_ROWS_MAX: usize = 64;

const INSERT: &str =
    "INSERT INTO log (revision, at, written, kind, previous, collection, namespace, name, facts, body) VALUES ";
const INSERT_ROW: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
pub(super) const INSERT_COLLECTION: &str = "INSERT INTO collections (name) VALUES (?) RETURNING id";
pub(super) const LAST_REVISION: &str = "SELECT coalesce(max(revision), 0) FROM log";
const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

/// The statement that inserts a number of rows.
pub(super) fn insert(rows: usize) -> &'static str {
    static STATEMENTS: OnceLock<Vec<String>> = OnceLock::new();
    let statement = |rows: usize| format!("{INSERT}{}", vec![INSERT_ROW; rows].join(", "));
    &STATEMENTS.get_or_init(|| (1..=STATEMENT_ROWS_MAX).map(statement).collect())[rows - 1]
}

/// What the rows of a group share.
struct Stamp {
    at: i64,
    /// Collections that are new in this group.
    added: Vec<(i64, Collection)>,
}

/// An event with what its row has beside it.
struct Line<'a> {
    event: &'a Event,
    collection: i64,
    head: Head,
    roll: Roll,
}

impl SqliteLog {
    pub(super) async fn append(&self, group: &[Arc<Event>], now: Timestamp) -> Result<(), AppendError> {
        let mut writer = self.writer.lock().await;
        let Some(half) = &mut *writer else {
            return Err(AppendError::NotWritten(Arc::new(std::io::Error::other("the file is closed"))));
        };
        self.backlog.relieve(&mut half.connection).await;
        match self.insert(half, group, now).await {
            Ok(latest) => {
                half.latest = latest;
                self.backlog.grew(group);
                Ok(())
            }
            Err(error) => {
                self.backlog.not_said();
                Err(outcome(half, error).await)
            }
        }
    }

    /// Gives what the last row says then.
    async fn insert(&self, half: &mut WriteHalf, group: &[Arc<Event>], now: Timestamp) -> Result<Latest, sqlx::Error> {
        let new = self.new_collections(group);
        let mut latest = half.latest;
        let moved = self.backlog.moved();
        let alone = new.is_empty() && !moved && group.len() <= STATEMENT_ROWS_MAX;
        let connection = &mut half.connection;
        if !alone {
            sqlx::query(BEGIN).execute(&mut *connection).await?;
        }
        if moved {
            // This may be the first in a write-ahead log that begins anew.
            set_reached(connection, half.latest.revision).await?;
        }
        let mut stamp = Stamp { at: now.as_millisecond(), added: Vec::new() };
        for name in new {
            let row = sqlx::query(INSERT_COLLECTION).bind(Arc::clone(&name)).fetch_one(&mut *connection).await?;
            stamp.added.push((row.try_get::<i64, _>(0)?, name));
        }
        for part in group.chunks(STATEMENT_ROWS_MAX) {
            let lines = self.lines(part, &stamp, &mut latest);
            insert_lines(connection, lines).await?;
        }
        if !alone {
            sqlx::query(COMMIT).execute(&mut *connection).await?;
        }
        let mut collections = self.collections.write();
        stamp.added.into_iter().for_each(|(id, name)| collections.add(id, name));
        Ok(latest)
    }

    fn new_collections(&self, group: &[Arc<Event>]) -> Vec<Collection> {
        let known = self.collections.read();
        let mut new: Vec<Collection> = Vec::new();
        for event in group {
            let name = &event.object.key.collection;
            if !known.ids.contains_key(name) && !new.contains(name) {
                new.push(Arc::clone(name));
            }
        }
        new
    }

    fn lines<'a>(&self, part: &'a [Arc<Event>], stamp: &Stamp, latest: &mut Latest) -> Vec<Line<'a>> {
        let known = self.collections.read();
        let line = |event: &'a Arc<Event>| {
            let name = &event.object.key.collection;
            let id = known.ids.get(name).copied();
            let id = id.or_else(|| stamp.added.iter().find(|(_, new)| new == name).map(|(id, _)| *id));
            latest.written += event.object.body.json.len() as u64;
            let head = Head::of(event, (stamp.at, i64::try_from(latest.written).expect("nobody writes 8 EiB")));
            latest.revision = event.revision;
            latest.roll.follow(head.kind, head.revision, head.previous);
            Line {
                event,
                collection: id.expect("new collections were inserted before the rows"),
                head,
                roll: latest.roll,
            }
        };
        part.iter().map(line).collect()
    }
}

async fn insert_lines(connection: &mut SqliteConnection, lines: Vec<Line<'_>>) -> Result<(), sqlx::Error> {
    let mut query = sqlx::query(AssertSqlSafe(insert(lines.len())));
    for Line { event, collection, head, roll } in lines {
        let body = (event.kind != EventKind::Deleted).then(|| event.object.body.json.to_vec());
        let sealed = head.seal(roll, (&record::facts(event), body.as_deref().unwrap_or_default()));
        query = query
            .bind(integer(head.revision))
            .bind(head.at)
            .bind(head.written)
            .bind(kind_number(head.kind))
            .bind(head.previous.map(integer))
            .bind(collection)
            .bind(head.key.namespace)
            .bind(head.key.name)
            .bind(sealed)
            .bind(body);
    }
    query.execute(connection).await.map(drop)
}

/// Has the file say that it reaches as far as it does, before it is closed.
pub(super) async fn note(half: &mut WriteHalf) -> Result<(), sqlx::Error> {
    if half.latest.revision == Revision::default() {
        return Ok(());
    }
    set_reached(&mut half.connection, half.latest.revision).await
}

/// Has the file say how far it reaches.
async fn set_reached(connection: &mut SqliteConnection, reached: Revision) -> Result<(), sqlx::Error> {
    match Bounds::read(connection).await? {
        Some(bounds) if bounds.reached < reached => Bounds { reached, ..bounds }.write(connection).await,
        // What is damaged stays so, and is named when the file is opened.
        Some(_) | None => Ok(()),
    }
}

/// Finds out whether a group that failed is in the file.
async fn outcome(half: &mut WriteHalf, error: sqlx::Error) -> AppendError {
    // There may be no transaction to roll back; the question after it tells what matters.
    let _ = sqlx::query(ROLLBACK).execute(&mut half.connection).await;
    let unsynced = unsynced(&error);
    let cause: Cause = Arc::new(error);
    if unsynced {
        return AppendError::Unknown(cause);
    }
    let last = sqlx::query(LAST_REVISION).fetch_one(&mut half.connection).await;
    match last.and_then(|row| super::revision(&row, 0)) {
        Ok(last) if last == half.latest.revision => AppendError::NotWritten(cause),
        Ok(_) | Err(_) => AppendError::Unknown(cause),
    }
}

/// Whether all was written and only could not be brought to the disk: SQLite takes it back, but it stands in the
/// write-ahead log, and whoever opens the file after a crash finds it there.
fn unsynced(error: &sqlx::Error) -> bool {
    /// SQLITE_IOERR_FSYNC and SQLITE_IOERR_DIR_FSYNC.
    const SYNC_FAILED: [&str; 2] = ["1034", "1290"];
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| SYNC_FAILED.contains(&&*code))
}

pub(super) fn kind_number(kind: EventKind) -> i64 {
    match kind {
        EventKind::Created => 0,
        EventKind::Updated => 1,
        EventKind::Deleted => 2,
    }
}

pub(super) fn kind_of(number: i64) -> Option<EventKind> {
    match number {
        0 => Some(EventKind::Created),
        1 => Some(EventKind::Updated),
        2 => Some(EventKind::Deleted),
        _ => None,
    }
}
