//! Forgetting what was replaced or deleted, a few revisions at a time so that commits hardly wait.
//!
//! Example: 1 creates a, 2 creates b, 3 updates a (previous 1), 4 deletes b (previous 2). Compaction to 4 deletes 1
//! and 2, which 3 and 4 name as previous. Row 4 itself goes with the next compaction: the row of the oldest readable
//! revision stays, so that the last revision can always be read from the file.

use sqlx::{Connection, SqliteConnection};

use super::{SqliteLog, integer, open, revision};
use crate::api::Revision;
use crate::storage::Error;

/// How many revisions are compacted while a commit waits.
const STEP_REVISIONS: u64 = 256;
/// How many pages are given back to the disk while a commit waits.
const STEP_PAGES: i64 = 256;
/// Free pages up to this share of the file are kept for new rows: one in …
const FREE_PAGES_SHARE: i64 = 4;

pub(super) const FORGET_REPLACED: &str = "DELETE FROM log WHERE revision IN \
    (SELECT previous FROM log WHERE revision > ?1 AND revision <= ?2 AND previous IS NOT NULL)";
pub(super) const FORGET_DELETIONS: &str = "DELETE FROM log WHERE revision >= ?1 AND revision < ?2 AND kind = 2";
pub(super) const SET_COMPACTED: &str = "UPDATE bounds SET compacted = ?1 WHERE id = 0";
pub(super) const COMPACTED: &str = "SELECT compacted FROM bounds WHERE id = 0";
const FREE_PAGES: &str = "PRAGMA freelist_count";
const PAGES: &str = "PRAGMA page_count";
const GIVE_BACK_PAGES: &str = "PRAGMA incremental_vacuum(256)";

impl SqliteLog {
    pub(super) async fn compact(&self, oldest: Revision) -> Result<(), Error> {
        while self.compact_step(oldest).await.map_err(|error| self.failed(error))? {}
        while self.give_back_step().await.map_err(|error| self.failed(error))? {}
        Ok(())
    }

    /// Whether there is more to do.
    async fn compact_step(&self, oldest: Revision) -> Result<bool, sqlx::Error> {
        let mut writer = self.writer.lock().await;
        let Some(half) = &mut *writer else { return Ok(false) };
        let mut transaction = half.connection.begin_with("BEGIN IMMEDIATE").await?;
        // The file knows how far an interrupted compaction came.
        let from = compacted(&mut transaction).await?;
        let to = Revision(oldest.0.min(from.0 + STEP_REVISIONS));
        if to <= from {
            return Ok(false);
        }
        for statement in [FORGET_REPLACED, FORGET_DELETIONS] {
            sqlx::query(statement).bind(integer(from)).bind(integer(to)).execute(&mut *transaction).await?;
        }
        sqlx::query(SET_COMPACTED).bind(integer(to)).execute(&mut *transaction).await?;
        transaction.commit().await?;
        self.backlog.add((to.0 - from.0) * PAGE_BYTES);
        Ok(to < oldest)
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

pub(super) async fn compacted(connection: &mut SqliteConnection) -> Result<Revision, sqlx::Error> {
    let row = sqlx::query(COMPACTED).fetch_one(connection).await?;
    revision(&row, 0)
}

async fn number(connection: &mut SqliteConnection, statement: &'static str) -> Result<i64, sqlx::Error> {
    use sqlx::Row;
    sqlx::query(statement).fetch_one(connection).await?.try_get(0)
}
