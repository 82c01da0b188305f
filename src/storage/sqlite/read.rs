//! Reading what happened: pages of events for watchers, states of the past for lists. Each walks all rows of its stretch
//! of the history, also those of others, because only then it is known that none is missing; of those it reads no body.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use futures::TryStreamExt;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::record::{Head, Sealed};
use super::row::{COLUMNS, Stretch, columns, is_there};
use super::{SqliteLog, integer};
use crate::api::Revision;
use crate::storage::log::{Page, PageQuery, PastState, in_scope};
use crate::storage::snapshot::Words;
use crate::storage::writer::deletion;
use crate::storage::{Error, Event, EventKind, Key, Scope, Stored};

/// All events; those that may be asked for with their bodies and the states that they replaced.
pub(super) const PAGE: &str = concat!(
    "SELECT ",
    columns!("l"),
    ", CASE WHEN l.collection = ?3 AND (?4 IS NULL OR l.namespace = ?4) AND (?5 IS NULL OR l.name = ?5) \
    THEN l.body END, ",
    columns!("p"),
    ", p.body FROM log l LEFT JOIN log p ON p.revision = l.previous \
    AND l.collection = ?3 AND (?4 IS NULL OR l.namespace = ?4) AND (?5 IS NULL OR l.name = ?5) \
    WHERE l.revision > ?1 AND l.revision <= ?2 ORDER BY l.revision"
);

/// All that changed after a revision, each with its state at the revision, if that is the state which the change
/// replaced.
pub(super) const UNDO: &str = concat!(
    "SELECT ",
    columns!("p"),
    ", p.body, ",
    columns!("l"),
    " FROM log l LEFT JOIN log p ON p.revision = l.previous AND l.previous <= ?1 \
    WHERE l.revision > ?1 AND l.revision <= ?2 ORDER BY l.revision"
);

/// Where a row begins in what `PAGE` and `UNDO` give after a first one with its body.
const SECOND: usize = COLUMNS + 1;

/// The revision, the kind and the blob are where they are; the rest of a row is behind them.
type Intact<'r> = (Head, Sealed<'r>);

impl SqliteLog {
    pub(super) async fn page(&self, query: PageQuery) -> Result<Page, Error> {
        if !self.collections.read().ids.contains_key(&query.collection) {
            return Ok(Page { events: Vec::new(), complete_to: query.up_to });
        }
        let mut reader = self.readers.acquire().await.map_err(|error| self.failed(error))?;
        let page = self.read_page(&mut reader, &query).await;
        let Some(mut doubt) = self.doubt(page.as_ref().err(), (query.after, reader)).await? else { return page };
        loop {
            let again = match doubt.connect().await {
                Ok(connection) => self.read_page(connection, &query).await,
                Err(error) => Err(error),
            };
            if let Some(judged) = doubt.judge(again).await {
                return judged;
            }
        }
    }

    async fn read_page(&self, connection: &mut SqliteConnection, query: &PageQuery) -> Result<Page, Error> {
        let (namespace, name) = match &query.scope {
            Scope::All | Scope::Field { .. } => (None, None),
            Scope::Namespace(namespace) => (Some(namespace), None),
            Scope::Object { namespace, name } => (Some(namespace), Some(name)),
        };
        let collection = self.collections.read().ids.get(&query.collection).copied();
        let mut rows = sqlx::query(PAGE)
            .bind(integer(query.after))
            .bind(integer(query.up_to))
            .bind(collection)
            .bind(namespace.cloned())
            .bind(name.cloned())
            .fetch(connection);
        let mut words = Words::default();
        let mut stretch = Stretch::after(self, query.after);
        let (mut events, mut seen) = (Vec::new(), 0);
        while let Some(row) = rows.try_next().await.map_err(|error| self.failed(error))? {
            let (head, sealed) = self.intact(&row, (0, &mut words))?;
            let (key, revision) = (&head.key, head.revision);
            stretch.take(revision)?;
            let wanted = key.collection == query.collection
                && namespace.is_none_or(|namespace| key.namespace == *namespace)
                && name.is_none_or(|name| key.name == *name);
            if !wanted {
                continue;
            }
            let event = self.event(&row, (head, sealed), &mut words)?;
            seen += 1;
            if in_scope(&event, &query.scope) {
                events.push(Arc::new(event));
            }
            if seen == query.limit {
                return Ok(Page { events, complete_to: revision });
            }
        }
        stretch.end(query.up_to)?;
        Ok(Page { events, complete_to: query.up_to })
    }

    fn event(&self, row: &SqliteRow, (head, sealed): Intact<'_>, words: &mut Words) -> Result<Event, Error> {
        let previous = self.replaced(row, (SECOND, words), &head)?;
        let (kind, revision) = (head.kind, head.revision);
        if kind == EventKind::Deleted {
            return Ok(deletion(previous.ok_or_else(|| self.damaged(revision))?, revision));
        }
        let object = self.stored(row, (0, words), (head, &sealed))?;
        Ok(Event::new(kind, Arc::new(object), previous))
    }

    /// The state that a change replaced, in the columns from `first` on.
    fn replaced(
        &self,
        row: &SqliteRow,
        (first, words): (usize, &mut Words),
        change: &Head,
    ) -> Result<Option<Arc<Stored>>, Error> {
        let Some(previous) = change.previous else { return Ok(None) };
        if !is_there(row, first).map_err(|error| self.failed(error))? {
            return Err(self.missing(previous));
        }
        let object = self.object(row, (first, words))?;
        match object.revision == previous && object.key == change.key {
            true => Ok(Some(Arc::new(object))),
            false => Err(self.damaged(previous)),
        }
    }

    pub(super) async fn undo(&self, after: Revision, up_to: Revision) -> Result<Vec<PastState>, Error> {
        let mut reader = self.readers.acquire().await.map_err(|error| self.failed(error))?;
        let undone = self.read_undone(&mut reader, (after, up_to)).await;
        let Some(mut doubt) = self.doubt(undone.as_ref().err(), (after, reader)).await? else { return undone };
        loop {
            let again = match doubt.connect().await {
                Ok(connection) => self.read_undone(connection, (after, up_to)).await,
                Err(error) => Err(error),
            };
            if let Some(judged) = doubt.judge(again).await {
                return judged;
            }
        }
    }

    async fn read_undone(
        &self,
        connection: &mut SqliteConnection,
        (after, up_to): (Revision, Revision),
    ) -> Result<Vec<PastState>, Error> {
        let mut rows = sqlx::query(UNDO).bind(integer(after)).bind(integer(up_to)).fetch(connection);
        let mut words = Words::default();
        let mut stretch = Stretch::after(self, after);
        let mut states: HashMap<Key, Option<Arc<Stored>>> = HashMap::new();
        while let Some(row) = rows.try_next().await.map_err(|error| self.failed(error))? {
            let (change, _) = self.intact(&row, (SECOND, &mut words))?;
            stretch.take(change.revision)?;
            // The first change after the moment tells the state at the moment.
            if let Entry::Vacant(place) = states.entry(change.key.clone()) {
                place.insert(self.replaced(&row, (0, &mut words), &change)?);
            }
        }
        drop(rows);
        stretch.end(up_to)?;
        Ok(states.into_iter().collect())
    }
}
