//! Forgetting what was replaced or deleted, a few revisions at a time so that commits hardly wait.
//!
//! Example: 1 creates a, 2 creates b, 3 updates a (previous 1), 4 deletes b (previous 2). Compaction to 4 deletes 1
//! and 2, which 3 and 4 name as previous. Row 4 itself goes with the next compaction: the row of the oldest readable
//! revision stays, so that the last revision can always be read from the file.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use sqlx::{Connection, SqliteConnection};

use super::bounds::{BOUNDS_DAMAGED, Bounds};
use super::row::{Stretch, columns};
use super::{SqliteLog, integer, open};
use crate::api::Revision;
use crate::storage::snapshot::Words;
use crate::storage::{Error, EventKind};

/// How many revisions are compacted while a commit waits.
const STEP_REVISIONS: u64 = 256;
/// How many pages are given back to the disk while a commit waits.
const STEP_PAGES: i64 = 256;
/// Free pages up to this share of the file are kept for new rows: one in …
const FREE_PAGES_SHARE: i64 = 4;

/// What may be forgotten is worked out of rows that are as they were written: damage takes nothing else away.
pub(super) const STEP: &str =
    concat!("SELECT ", columns!("l"), " FROM log l WHERE l.revision >= ?1 AND l.revision <= ?2 ORDER BY l.revision");
pub(super) const FORGET: &str = "DELETE FROM log WHERE revision IN (SELECT value FROM json_each(?1))";
const FREE_PAGES: &str = "PRAGMA freelist_count";
const PAGES: &str = "PRAGMA page_count";
const GIVE_BACK_PAGES: &str = "PRAGMA incremental_vacuum(256)";

impl SqliteLog {
    pub(super) async fn compact(&self, oldest: Revision) -> Result<(), Error> {
        self.forgotten.fetch_max(oldest.0, Ordering::AcqRel);
        while self.compact_step(oldest).await? {}
        while self.give_back_step().await.map_err(|error| self.failed(error))? {}
        Ok(())
    }

    /// Whether there is more to do.
    async fn compact_step(&self, oldest: Revision) -> Result<bool, Error> {
        let failed = |error| self.failed(error);
        let mut writer = self.writer.lock().await;
        let Some(half) = &mut *writer else { return Ok(false) };
        let reached = half.latest.revision;
        let mut transaction = half.connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        // The file knows how far an interrupted compaction came.
        let bounds = self.bounds(&mut transaction).await?;
        let from = bounds.compacted;
        let to = Revision(oldest.0.min(from.0 + STEP_REVISIONS));
        if to <= from {
            return Ok(false);
        }
        let forgettable = self.forgettable(&mut transaction, (from, to)).await?;
        let forgotten =
            sqlx::query(FORGET).bind(list(&forgettable)).execute(&mut *transaction).await.map_err(failed)?;
        if forgotten.rows_affected() != forgettable.len() as u64 {
            return Err(self.corrupt(format!("some of what was replaced between {from} and {to} is missing")));
        }
        Bounds { compacted: to, reached }.write(&mut transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        self.backlog.add((to.0 - from.0) * PAGE_BYTES);
        Ok(to < oldest)
    }

    /// What was replaced after `from` and until `to`, and what was deleted before `to`.
    async fn forgettable(
        &self,
        connection: &mut SqliteConnection,
        (from, to): (Revision, Revision),
    ) -> Result<Vec<Revision>, Error> {
        let query = sqlx::query(STEP).bind(integer(from)).bind(integer(to));
        let rows = query.fetch_all(connection).await.map_err(|error| self.failed(error))?;
        let mut words = Words::default();
        // There is no revision 0.
        let mut stretch = Stretch::after(self, Revision(from.0.saturating_sub(1)));
        let mut forgettable = Vec::new();
        for row in &rows {
            let (head, _) = self.intact(row, (0, &mut words))?;
            stretch.take(head.revision)?;
            if head.revision > from {
                forgettable.extend(head.previous);
            }
            if head.revision < to && head.kind == EventKind::Deleted {
                forgettable.push(head.revision);
            }
        }
        stretch.end(to)?;
        Ok(forgettable)
    }

    pub(super) async fn bounds(&self, connection: &mut SqliteConnection) -> Result<Bounds, Error> {
        let bounds = Bounds::read(connection).await.map_err(|error| self.failed(error))?;
        bounds.ok_or_else(|| self.bounds_damaged())
    }

    pub(super) fn bounds_damaged(&self) -> Error {
        self.corrupt(BOUNDS_DAMAGED.to_owned())
    }

    /// Makes the file smaller if much of it is free; whether there is more to do.
    async fn give_back_step(&self) -> Result<bool, sqlx::Error> {
        let mut writer = self.writer.lock().await;
        let Some(half) = &mut *writer else { return Ok(false) };
        let free = number(&mut half.connection, FREE_PAGES).await?;
        let pages = number(&mut half.connection, PAGES).await?;
        if free <= STEP_PAGES || free * FREE_PAGES_SHARE <= pages {
            return Ok(false);
        }
        // The statement works as long as it is asked for rows.
        sqlx::query(GIVE_BACK_PAGES).fetch_all(&mut half.connection).await?;
        self.backlog.add(2 * STEP_PAGES.cast_unsigned() * PAGE_BYTES);
        Ok(true)
    }
}

/// Of a page of the file; see `open`.
const PAGE_BYTES: u64 = open::PAGE_BYTES as u64;

/// Revisions as a list in JSON.
fn list(revisions: &[Revision]) -> String {
    let mut list = "[".to_owned();
    for (number, revision) in revisions.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        write!(list, "{comma}{revision}").expect("a string takes whatever is written");
    }
    list.push(']');
    list
}

async fn number(connection: &mut SqliteConnection, statement: &'static str) -> Result<i64, sqlx::Error> {
    use sqlx::Row;
    sqlx::query(statement).fetch_one(connection).await?.try_get(0)
}
