//! Whether a file is whole: SQLite's own structures, every row as it was written, the rows together a history, and none
//! of the present missing. Reads only, also while a process works on the file; then it is the state of one moment.
//!
//! Example: rows 1 creates a, 2 updates a (previous 1), 4 deletes a (previous 2). 3 is missing: nothing takes a row of
//! the history away after the compacted revision, so what was written at 3 is lost.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

use super::bounds::{BOUNDS_DAMAGED, Bounds};
use super::open::{self, Header};
use super::record::{Head, Roll, Sealed};
use super::row::{COLUMNS, Line, columns, line};
use super::{Collections, ahead, doubt, failed, record};
use crate::api::Revision;
use crate::storage::snapshot::Words;
use crate::storage::{Checked, Error, EventKind, Key, Stored};

/// How many faults are told.
const FAULTS_MAX: usize = 100;

const INTEGRITY: &str = "PRAGMA integrity_check(100)";
pub(super) const ROWS: &str = concat!("SELECT ", columns!("l"), ", l.body FROM log l ORDER BY l.revision");

/// What else must be true of a stored object; a sentence if it is not.
type Judge<'a> = dyn FnMut(&Stored) -> Result<(), String> + Send + 'a;

/// How to open a file without changing it.
pub(super) fn reading(path: &Path) -> Result<SqliteConnectOptions, Error> {
    match open::header(path)? {
        Header::Empty => return Err(Error::NotOurs { path: path.to_owned(), what: "there is nothing in it" }),
        Header::Ours(_) => {}
    }
    // If nobody has the file and all of it is in place, not even a lock is needed.
    let log = open::beside(path, "-wal").metadata().map_or(0, |file| file.len());
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(open::BUSY_MAX);
    Ok(options.immutable(log == 0 && !in_use(path)).disable_statement_logging())
}

fn in_use(path: &Path) -> bool {
    let lock = File::open(open::beside(path, ".lock"));
    lock.is_ok_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

/// Reads all of a file and tells what is wrong.
pub(in crate::storage) async fn check(path: &Path, judge: &mut Judge<'_>) -> Result<Checked, Error> {
    let mut connection = reading(path)?.connect().await.map_err(|error| failed(path, error))?;
    let mut checked = Checked::default();
    // While somebody writes to it, it cannot be looked through.
    if !in_use(path) {
        let damaged = ahead::damaged_frame(path);
        let damaged = damaged.map_err(|error| Error::Unreadable { path: path.to_owned(), source: Arc::new(error) })?;
        damaged.into_iter().for_each(|frame| checked.fault(ahead::fault(frame)));
    }
    match walk(&mut connection, &mut checked, judge).await {
        Ok(()) => {}
        Err(error) => match doubt::told(path, error).await {
            Error::Corrupt { what, .. } => checked.fault(what),
            other => return Err(other),
        },
    }
    connection.close().await.map_err(|error| failed(path, error))?;
    Ok(checked)
}

async fn walk(
    connection: &mut SqliteConnection,
    checked: &mut Checked,
    judge: &mut Judge<'_>,
) -> Result<(), sqlx::Error> {
    // One moment for all that is read.
    let mut transaction = connection.begin().await?;
    for row in sqlx::query(INTEGRITY).fetch_all(&mut *transaction).await? {
        let said: String = row.try_get(0)?;
        if said != "ok" {
            checked.fault(said);
        }
    }
    let collections = open::load_collections(&mut transaction).await?;
    let bounds = Bounds::read(&mut transaction).await?;
    if bounds.is_none() {
        checked.fault(BOUNDS_DAMAGED.to_owned());
    }
    let Bounds { compacted, reached } = bounds.unwrap_or_default();
    let mut walk = Walk {
        collections,
        compacted,
        checked: &mut *checked,
        words: Words::default(),
        present: HashMap::new(),
        roll: Roll::default(),
        last: Revision::default(),
        written: 0,
    };
    let mut rows = sqlx::query(ROWS).fetch(&mut *transaction);
    while let Some(row) = rows.try_next().await? {
        walk.row(&row, judge)?;
    }
    drop(rows);
    let (last, objects) = (walk.last, walk.present.len());
    if last < reached {
        checked.fault(format!("the last row is {last}, but {reached} was reached"));
    }
    if last < compacted {
        checked.fault(format!("the last row is {last}, but the history was compacted to {compacted}"));
    }
    (checked.revision, checked.objects) = (last, objects);
    transaction.rollback().await
}

impl Checked {
    fn fault(&mut self, what: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(what);
        }
    }
}

/// What is known of the rows that were read.
struct Walk<'a> {
    collections: Collections,
    compacted: Revision,
    checked: &'a mut Checked,
    words: Words,
    /// The revision of each object that there is.
    present: HashMap<Key, Revision>,
    /// The same in a number.
    roll: Roll,
    last: Revision,
    written: i64,
}

impl Walk<'_> {
    fn row(&mut self, row: &SqliteRow, judge: &mut Judge<'_>) -> Result<(), sqlx::Error> {
        self.checked.rows += 1;
        match line(row, 0, (&self.collections, &mut self.words))? {
            Line::Row(head, blob) => {
                self.order(&head);
                self.step(&head);
                self.last = head.revision;
                match head.open(blob) {
                    Some(sealed) => {
                        self.rolled(&head, &sealed);
                        self.content((head, &sealed), row.try_get(COLUMNS)?, judge);
                    }
                    None => self.changed(head.revision),
                }
            }
            Line::Odd(revision, what) => {
                self.checked.fault(format!("row {revision} {what}"));
                self.last = revision;
            }
        }
        Ok(())
    }

    fn changed(&mut self, revision: Revision) {
        self.checked.fault(format!("row {revision} is not as it was written"));
    }

    /// After the compacted revision no row is missing.
    fn order(&mut self, line: &Head) {
        let revision = line.revision;
        let before = self.last.max(self.compacted);
        if revision > self.compacted && revision.0 != before.0 + 1 {
            self.checked.fault(format!("no row is between {before} and {revision}"));
        }
        if line.written < self.written {
            self.checked.fault(format!("row {revision} counts fewer bytes than the row before"));
        }
        self.written = line.written;
    }

    /// A change follows from the state before it.
    fn step(&mut self, line: &Head) {
        let (revision, key) = (line.revision, &line.key);
        let before = self.present.get(key).copied();
        // The states that were replaced until then are forgotten.
        let forgotten = revision <= self.compacted && before.is_none();
        let name = format!("{} {}/{}", key.collection, key.namespace, key.name);
        match line.kind {
            EventKind::Created if line.previous.is_some() || before.is_some() => {
                self.checked.fault(format!("row {revision} creates {name}, which there is"));
            }
            EventKind::Updated | EventKind::Deleted if line.previous.is_none() => {
                self.checked.fault(format!("row {revision} changes {name} and does not say from what"));
            }
            EventKind::Updated | EventKind::Deleted if !forgotten && line.previous != before => {
                let known = before.map_or_else(|| "is not there".to_owned(), |before| format!("is at {before}"));
                self.checked.fault(format!("row {revision} changes {name} at {:?}, which {known}", line.previous));
            }
            EventKind::Created | EventKind::Updated | EventKind::Deleted => {}
        }
        // What was replaced until the compacted revision is not there any more.
        self.roll.follow(line.kind, revision, line.previous.filter(|_| revision > self.compacted));
        match line.kind {
            EventKind::Deleted => self.present.remove(key),
            EventKind::Created | EventKind::Updated => self.present.insert(key.clone(), revision),
        };
    }

    /// From the compacted revision on a row says what is present.
    fn rolled(&mut self, line: &Head, sealed: &Sealed<'_>) {
        if line.revision >= self.compacted && self.roll != sealed.roll {
            let revision = line.revision;
            self.checked.fault(format!("row {revision} was written when other rows were present; some are missing"));
            // Told once.
            self.roll = sealed.roll;
        }
    }

    /// The object is as it was written, and as others say that it must be.
    fn content(&mut self, (line, sealed): (Head, &Sealed<'_>), body: Option<Vec<u8>>, judge: &mut Judge<'_>) {
        let revision = line.revision;
        if line.kind == EventKind::Deleted && body.is_none() {
            return;
        }
        let stored = body.and_then(|body| record::decode(line, sealed, (body, &mut self.words)));
        let Some(stored) = stored else {
            self.changed(revision);
            return;
        };
        if stored.body.json[stored.body.revision_at.clone()] != *revision.to_string().as_bytes() {
            self.checked.fault(format!("the object of row {revision} has another resourceVersion"));
        }
        if let Err(wrong) = judge(&stored) {
            self.checked.fault(format!("the object of row {revision}: {wrong}"));
        }
    }
}
