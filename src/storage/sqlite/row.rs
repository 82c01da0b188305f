//! Rows as they come from the file: nothing of one is used before its checksum is right, and of a stretch of the history
//! no row may be missing.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::record::{self, Head, Sealed};
use super::{Collections, SqliteLog, append, revision, revision_of};
use crate::api::Revision;
use crate::storage::snapshot::Words;
use crate::storage::{Error, EventKind, Key, Stored};

/// The columns of a row of `l` in the order in which they are read here.
macro_rules! columns {
    ($table:literal) => {
        concat!(
            $table,
            ".revision, ",
            $table,
            ".kind, ",
            $table,
            ".previous, ",
            $table,
            ".at, ",
            $table,
            ".written, ",
            $table,
            ".collection, ",
            $table,
            ".namespace, ",
            $table,
            ".name, ",
            $table,
            ".facts"
        )
    };
}
pub(super) use columns;

/// How many they are; the body, if it is asked for, comes after them.
pub(super) const COLUMNS: usize = 9;

/// A row that could be read.
pub(super) enum Line<'r> {
    Row(Head, &'r [u8]),
    /// What is wrong with it is said in a sentence.
    Odd(Revision, &'static str),
}

/// The row in the columns from `first` on.
pub(super) fn line<'r>(
    row: &'r SqliteRow,
    first: usize,
    (collections, words): (&Collections, &mut Words),
) -> Result<Line<'r>, sqlx::Error> {
    let revision = revision(row, first)?;
    let Some(kind) = append::kind_of(row.try_get(first + 1)?) else {
        return Ok(Line::Odd(revision, "is of no known kind"));
    };
    let Some(collection) = collections.names.get(&row.try_get(first + 5)?).cloned() else {
        return Ok(Line::Odd(revision, "is of a collection that does not exist"));
    };
    let text = |column| row.try_get::<&str, _>(column);
    let head = Head {
        key: Key { collection, namespace: words.word(text(first + 6)?), name: text(first + 7)?.into() },
        revision,
        kind,
        previous: row.try_get::<Option<i64>, _>(first + 2)?.map(revision_of).transpose()?,
        at: row.try_get(first + 3)?,
        written: row.try_get(first + 4)?,
    };
    Ok(Line::Row(head, row.try_get(first + 8)?))
}

/// Whether there is a row in the columns from `first` on: a join may have found none.
pub(super) fn is_there(row: &SqliteRow, first: usize) -> Result<bool, sqlx::Error> {
    row.try_get::<Option<i64>, _>(first).map(|revision| revision.is_some())
}

impl SqliteLog {
    /// The row in the columns from `first` on, as it was written.
    pub(super) fn intact<'r>(
        &self,
        row: &'r SqliteRow,
        (first, words): (usize, &mut Words),
    ) -> Result<(Head, Sealed<'r>), Error> {
        let line = line(row, first, (&self.collections.read(), words)).map_err(|error| self.failed(error))?;
        match line {
            Line::Row(head, blob) => {
                let sealed = head.open(blob).ok_or_else(|| self.damaged(head.revision))?;
                Ok((head, sealed))
            }
            Line::Odd(revision, what) => Err(self.corrupt(format!("the row of revision {revision} {what}"))),
        }
    }

    /// The object in the columns from `first` on and in the body after them.
    pub(super) fn object(&self, row: &SqliteRow, (first, words): (usize, &mut Words)) -> Result<Stored, Error> {
        let (head, sealed) = self.intact(row, (first, words))?;
        self.stored(row, (first, words), (head, &sealed))
    }

    /// The same when the row has been looked at.
    pub(super) fn stored(
        &self,
        row: &SqliteRow,
        (first, words): (usize, &mut Words),
        (head, sealed): (Head, &Sealed<'_>),
    ) -> Result<Stored, Error> {
        let revision = head.revision;
        let body: Option<Vec<u8>> = row.try_get(first + COLUMNS).map_err(|error| self.failed(error))?;
        let present = body.filter(|_| head.kind != EventKind::Deleted);
        let stored = present.and_then(|json| record::decode(head, sealed, (json, words)));
        stored.ok_or_else(|| self.damaged(revision))
    }

    pub(super) fn damaged(&self, revision: Revision) -> Error {
        self.corrupt(format!("the row of revision {revision} is not as it was written"))
    }

    pub(super) fn missing(&self, revision: Revision) -> Error {
        self.corrupt(format!("the row of revision {revision} is missing"))
    }
}

/// A stretch of the history, whose rows come one by one.
pub(super) struct Stretch<'a> {
    log: &'a SqliteLog,
    last: Revision,
}

impl<'a> Stretch<'a> {
    /// The one after `last`.
    pub(super) fn after(log: &'a SqliteLog, last: Revision) -> Self {
        Self { log, last }
    }

    /// The next row has this revision; fails if another should come first.
    pub(super) fn take(&mut self, revision: Revision) -> Result<(), Error> {
        let next = Revision(self.last.0 + 1);
        if revision != next {
            return Err(self.log.missing(next));
        }
        self.last = revision;
        Ok(())
    }

    /// No more rows come; fails unless all did up to this one.
    pub(super) fn end(self, last: Revision) -> Result<(), Error> {
        if self.last < last { Err(self.log.missing(Revision(self.last.0 + 1))) } else { Ok(()) }
    }
}
