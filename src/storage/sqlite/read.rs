//! Reading what happened: pages of events for watchers, states of the past for lists.

use std::collections::HashMap;
use std::sync::Arc;

use futures::TryStreamExt;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{SqliteLog, append, integer, record, revision};
use crate::api::Revision;
use crate::storage::log::{Page, PageQuery, PastState, in_scope};
use crate::storage::snapshot::Words;
use crate::storage::writer::deletion;
use crate::storage::{Error, Event, EventKind, Key, Scope, Stored};

/// Events of a collection with the state that each replaced. The columns of a state are those of `state`.
pub(super) const PAGE: &str = "SELECT \
    l.revision, l.collection, l.namespace, l.name, l.facts, l.body, \
    p.revision, p.collection, p.namespace, p.name, p.facts, p.body, l.kind \
    FROM log l LEFT JOIN log p ON p.revision = l.previous \
    WHERE l.revision > ?1 AND l.revision <= ?2 AND l.collection = ?3 \
    AND (?4 IS NULL OR l.namespace = ?4) AND (?5 IS NULL OR l.name = ?5) ORDER BY l.revision LIMIT ?6";

/// What changed after a revision, each with its state at the revision, if that is the state which the change replaced.
pub(super) const UNDO: &str = "SELECT \
    p.revision, p.collection, p.namespace, p.name, p.facts, p.body, l.collection, l.namespace, l.name \
    FROM log l LEFT JOIN log p ON p.revision = l.previous \
    WHERE l.revision > ?1 AND l.revision <= ?2 AND (l.previous IS NULL OR l.previous <= ?1)";

impl SqliteLog {
    pub(super) async fn page(&self, query: PageQuery) -> Result<Page, Error> {
        let Some(collection) = self.collections.read().ids.get(&query.collection).copied() else {
            return Ok(Page { events: Vec::new(), complete_to: query.up_to });
        };
        let (namespace, name) = match &query.scope {
            Scope::All | Scope::Field { .. } => (None, None),
            Scope::Namespace(namespace) => (Some(namespace), None),
            Scope::Object { namespace, name } => (Some(namespace), Some(name)),
        };
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let mut rows = sqlx::query(PAGE)
            .bind(integer(query.after))
            .bind(integer(query.up_to))
            .bind(collection)
            .bind(namespace.cloned())
            .bind(name.cloned())
            .bind(limit)
            .fetch(&self.readers);
        let mut words = Words::default();
        let (mut events, mut seen, mut last) = (Vec::new(), 0, query.up_to);
        while let Some(row) = rows.try_next().await.map_err(|error| self.failed(error))? {
            let event = self.event(&row, &mut words)?;
            (seen, last) = (seen + 1, event.revision);
            if in_scope(&event, &query.scope) {
                events.push(Arc::new(event));
            }
        }
        let complete_to = if seen < query.limit { query.up_to } else { last };
        Ok(Page { events, complete_to })
    }

    fn event(&self, row: &SqliteRow, words: &mut Words) -> Result<Event, Error> {
        let previous = self.state(row, 6, words)?.map(Arc::new);
        let head = self.head(row, 0, words)?;
        let revision = head.revision;
        let damaged = || self.damaged(revision);
        let kind = append::kind_of(row.try_get(12).map_err(|error| self.failed(error))?).ok_or_else(damaged)?;
        if kind == EventKind::Deleted {
            record::intact(&head, &[]).ok_or_else(damaged)?;
            return Ok(deletion(previous.ok_or_else(damaged)?, revision));
        }
        let object = self.state(row, 0, words)?.ok_or_else(damaged)?;
        Ok(Event::new(kind, Arc::new(object), previous))
    }

    /// The object in six columns from `first` on: revision, collection, namespace, name, facts, body.
    pub(super) fn state(&self, row: &SqliteRow, first: usize, words: &mut Words) -> Result<Option<Stored>, Error> {
        let present: Option<i64> = row.try_get(first).map_err(|error| self.failed(error))?;
        if present.is_none() {
            return Ok(None);
        }
        let head = self.head(row, first, words)?;
        let revision = head.revision;
        let body: Vec<u8> = row.try_get(first + 5).map_err(|error| self.failed(error))?;
        record::decode(head, body, words).map(Some).ok_or_else(|| self.damaged(revision))
    }

    fn head<'r>(&self, row: &'r SqliteRow, first: usize, words: &mut Words) -> Result<record::Head<'r>, Error> {
        let failed = |error| self.failed(error);
        let revision = revision(row, first).map_err(failed)?;
        let key = self.key(row, first + 1, words)?;
        Ok(record::Head { key, revision, facts: row.try_get(first + 4).map_err(failed)? })
    }

    /// The key in three columns from `first` on.
    fn key(&self, row: &SqliteRow, first: usize, words: &mut Words) -> Result<Key, Error> {
        let failed = |error| self.failed(error);
        let text = |column| row.try_get::<&str, _>(column).map_err(failed);
        let collection = self.collection(row.try_get(first).map_err(failed)?)?;
        Ok(Key { collection, namespace: words.word(text(first + 1)?), name: text(first + 2)?.into() })
    }

    fn damaged(&self, revision: Revision) -> Error {
        self.corrupt(format!("the row of revision {revision} is not as it was written"))
    }

    pub(super) async fn undo(&self, after: Revision, up_to: Revision) -> Result<Vec<PastState>, Error> {
        let mut rows = sqlx::query(UNDO).bind(integer(after)).bind(integer(up_to)).fetch(&self.readers);
        let mut words = Words::default();
        let mut states: HashMap<Key, Option<Arc<Stored>>> = HashMap::new();
        while let Some(row) = rows.try_next().await.map_err(|error| self.failed(error))? {
            match self.state(&row, 0, &mut words)? {
                Some(object) => {
                    states.insert(object.key.clone(), Some(Arc::new(object)));
                }
                None => {
                    // Created after the moment: absent at it, unless another row says that it was replaced.
                    states.entry(self.key(&row, 6, &mut words)?).or_insert(None);
                }
            }
        }
        Ok(states.into_iter().collect())
    }
}
