//! How far the file goes: the oldest revision that can be read, and one that was reached. What is later stands in the
//! write-ahead log, of which SQLite knows whether it is whole; what is not later must be in the file.
//!
//! Example: 1 to 90 were written, and all of it was moved into the file. Append 91 begins the write-ahead log anew and
//! says that 90 was reached. If the last page of the file is lost then, 89 is the last row, and it is known that 90 is
//! missing.

use sqlx::{Row, SqliteConnection};

use super::{integer, revision};
use crate::api::Revision;

pub(super) const BOUNDS: &str = "SELECT compacted, reached, sum FROM bounds WHERE id = 0";
pub(super) const SET_BOUNDS: &str = "UPDATE bounds SET compacted = ?1, reached = ?2, sum = ?3 WHERE id = 0";

/// What is said of bounds that are not as they were written.
pub(super) const BOUNDS_DAMAGED: &str = "what it says of its bounds is not as it was written";

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Bounds {
    /// The oldest revision whose state can be read.
    pub compacted: Revision,
    /// All rows up to here are in the file.
    pub reached: Revision,
}

impl Bounds {
    fn sum(self) -> i64 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.compacted.0.to_le_bytes());
        hasher.update(&self.reached.0.to_le_bytes());
        i64::from(hasher.finalize())
    }

    /// Of the file; `None` if they are damaged.
    pub(super) async fn read(connection: &mut SqliteConnection) -> Result<Option<Self>, sqlx::Error> {
        let Some(row) = sqlx::query(BOUNDS).fetch_optional(connection).await? else { return Ok(None) };
        let bounds = Self { compacted: revision(&row, 0)?, reached: revision(&row, 1)? };
        Ok((row.try_get::<i64, _>(2)? == bounds.sum()).then_some(bounds))
    }

    pub(super) async fn write(self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let query = sqlx::query(SET_BOUNDS).bind(integer(self.compacted)).bind(integer(self.reached));
        query.bind(self.sum()).execute(connection).await.map(drop)
    }
}
