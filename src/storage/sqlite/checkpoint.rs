//! Moving the write-ahead log into the file, off the path of commits.
//!
//! A task copies most of it while commits go on, then asks the writer to copy the little that came in meanwhile; after
//! that the next append starts the write-ahead log from its beginning, so that it does not grow. If the task cannot
//! keep up, the writer does all of it, and commits wait: that bounds the file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sqlx::sqlite::SqlitePool;
use sqlx::{Row, SqliteConnection};
use tokio::sync::Notify;

use crate::storage::Event;

/// The task begins when about this much waits in the write-ahead log …
const BACKLOG_BYTES: u64 = 16 << 20;
/// … and the writer takes over when it is this much.
const BACKLOG_BYTES_MAX: u64 = 128 << 20;
/// What a row costs in the write-ahead log beside its body, about: its own columns and the rest of its page.
const ROW_BYTES: u64 = 2_048;

const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// What the writer and the task know of the write-ahead log.
#[derive(Default)]
pub(super) struct Backlog {
    bytes: AtomicU64,
    wake: Notify,
    /// The task has copied most of it.
    nearly_done: AtomicBool,
    /// The task copies now …
    copying: AtomicBool,
    /// … or somebody copied since an append said how far the file is.
    copied: AtomicBool,
    closed: AtomicBool,
}

impl Backlog {
    /// Counts what a group added.
    pub(super) fn grew(&self, group: &[Arc<Event>]) {
        let bytes: u64 = group.iter().map(|event| event.object.body.json.len() as u64 + ROW_BYTES).sum();
        self.add(bytes);
    }

    /// Counts what something else added.
    pub(super) fn add(&self, bytes: u64) {
        if self.bytes.fetch_add(bytes, Ordering::AcqRel) + bytes >= BACKLOG_BYTES {
            self.wake.notify_one();
        }
    }

    /// The writer's part, between two appends.
    pub(super) async fn relieve(&self, writer: &mut SqliteConnection) {
        let nearly_done = self.nearly_done.swap(false, Ordering::AcqRel);
        if nearly_done || self.bytes.load(Ordering::Acquire) >= BACKLOG_BYTES_MAX {
            self.checkpoint(writer).await;
        }
    }

    /// Whether the next append may be the first in a write-ahead log that begins anew, and must say how far the file is.
    pub(super) fn moved(&self) -> bool {
        // Asked first: whoever copies says so again at the end.
        match self.copying.load(Ordering::Acquire) {
            true => true,
            false => self.copied.swap(false, Ordering::AcqRel),
        }
    }

    /// The append that was to say it failed.
    pub(super) fn not_said(&self) {
        self.copied.store(true, Ordering::Release);
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// The task; ends when the log is closed.
    pub(super) async fn relieve_when_due(self: Arc<Self>, connections: SqlitePool) {
        loop {
            self.wake.notified().await;
            if self.closed.load(Ordering::Acquire) {
                return;
            }
            if self.bytes.load(Ordering::Acquire) < BACKLOG_BYTES || self.nearly_done.load(Ordering::Acquire) {
                continue;
            }
            match connections.acquire().await {
                Ok(mut connection) => {
                    self.copying.store(true, Ordering::Release);
                    self.checkpoint(&mut connection).await;
                    self.nearly_done.store(true, Ordering::Release);
                    self.copying.store(false, Ordering::Release);
                }
                Err(sqlx::Error::PoolClosed) => return,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "no connection for a checkpoint");
                }
            }
        }
    }

    /// Copies what can be copied. A failure loses nothing: the write-ahead log stays, and the next try comes with the
    /// next append.
    async fn checkpoint(&self, connection: &mut SqliteConnection) {
        self.copied.store(true, Ordering::Release);
        let before = self.bytes.load(Ordering::Acquire);
        let counts = sqlx::query(CHECKPOINT)
            .fetch_one(connection)
            .await
            .and_then(|row| Ok((row.try_get::<i64, _>(1)?, row.try_get::<i64, _>(2)?)));
        match counts {
            Ok((frames, copied)) if copied >= frames => {
                self.bytes.fetch_sub(before, Ordering::AcqRel);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the write-ahead log could not be copied");
            }
        }
        self.copied.store(true, Ordering::Release);
    }
}
