//! Rows as version 1 wrote them, brought to the form of version 2: a checksum of all columns, and the roll. Done with
//! the migration, in its transaction; a row that is not as it was written is refused, and nothing is changed.

use sqlx::{Row, SqliteConnection};

use super::bounds::Bounds;
use super::record::{Head, Roll};
use super::row::{COLUMNS, Line, columns, line};
use super::{integer, open, revision};
use crate::api::Revision;
use crate::storage::snapshot::Words;

/// The version of the schema to which this belongs.
pub(super) const VERSION: u32 = 2;
/// How many rows are in memory at once.
const ROWS_MAX: i64 = 256;
/// How many bytes of the old blob are its checksum.
const SUM_BYTES: usize = 4;

const COMPACTED: &str = "SELECT compacted FROM bounds WHERE id = 0";
pub(super) const OLD_ROWS: &str =
    concat!("SELECT ", columns!("l"), ", l.body FROM log l WHERE l.revision > ?1 ORDER BY l.revision LIMIT ?2");
pub(super) const RESEAL: &str = "UPDATE log SET facts = ?1 WHERE revision = ?2";

/// Why it could not be done.
pub(super) enum Refusal {
    Failed(sqlx::Error),
    Damaged(String),
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error)
    }
}

/// Rewrites all rows.
pub(super) async fn reseal(connection: &mut SqliteConnection) -> Result<(), Refusal> {
    let collections = open::load_collections(connection).await?;
    let row = sqlx::query(COMPACTED).fetch_one(&mut *connection).await?;
    let mut bounds = Bounds { compacted: revision(&row, 0)?, reached: Revision::default() };
    let mut roll = Roll::default();
    loop {
        let page = sqlx::query(OLD_ROWS).bind(integer(bounds.reached)).bind(ROWS_MAX);
        let rows = page.fetch_all(&mut *connection).await?;
        let mut words = Words::default();
        for row in &rows {
            let (head, blob) = match line(row, 0, (&collections, &mut words))? {
                Line::Row(head, blob) => (head, blob),
                Line::Odd(revision, what) => {
                    return Err(Refusal::Damaged(format!("the row of revision {revision} {what}")));
                }
            };
            let body: Option<Vec<u8>> = row.try_get(COLUMNS)?;
            let json = body.as_deref().unwrap_or_default();
            let own = head.revision;
            let Some(facts) = old_facts(&head, (blob, json)) else {
                return Err(Refusal::Damaged(format!("the row of revision {own} is not as it was written")));
            };
            // What was replaced until the compacted revision is not there any more.
            let previous = head.previous.filter(|_| own > bounds.compacted);
            roll.follow(head.kind, own, previous);
            let sealed = head.seal(roll, (facts, json));
            sqlx::query(RESEAL).bind(sealed).bind(integer(own)).execute(&mut *connection).await?;
            bounds.reached = own;
        }
        if rows.is_empty() {
            return Ok(bounds.write(connection).await?);
        }
    }
}

/// The facts without the checksum of version 1, if that is right.
fn old_facts<'r>(head: &Head, (blob, json): (&'r [u8], &[u8])) -> Option<&'r [u8]> {
    let (sum, facts) = blob.split_first_chunk::<SUM_BYTES>()?;
    (u32::from_le_bytes(*sum) == old_sum(head, (facts, json))).then_some(facts)
}

fn old_sum(head: &Head, (facts, json): (&[u8], &[u8])) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head.revision.0.to_le_bytes());
    hasher.update(head.key.namespace.as_bytes());
    hasher.update(b"/");
    hasher.update(head.key.name.as_bytes());
    hasher.update(facts);
    hasher.update(json);
    hasher.finalize()
}

/// A blob as version 1 wrote it.
#[cfg(test)]
pub(super) fn old_blob(head: &Head, (facts, json): (&[u8], &[u8])) -> Vec<u8> {
    [&old_sum(head, (facts, json)).to_le_bytes(), facts].concat()
}
