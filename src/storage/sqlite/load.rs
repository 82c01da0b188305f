//! Loading the present state: one task reads and decodes, the caller builds the snapshot, both at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::TryStreamExt;
use sqlx::Row;
use tokio::sync::mpsc;

use super::{SqliteLog, append, revision};
use crate::api::Revision;
use crate::base::Tasks;
use crate::storage::snapshot::{State, Words};
use crate::storage::{Collection, Error, EventKind, Stored};

/// How many objects go from the reader to the builder at once.
const CHUNK_OBJECTS: usize = 256;
/// How many such lots wait; then the reader does.
const CHUNKS_MAX: usize = 8;

/// The whole log, the latest first: a row is present unless a later one names it as previous. Walking all of it once
/// costs less than an index on `previous` would cost each commit.
pub(super) const LOAD: &str = "SELECT revision, collection, namespace, name, facts, body, kind, previous \
    FROM log ORDER BY revision DESC";

type Chunk = Result<Lot, Error>;

/// What the reader hands over at once.
enum Lot {
    Objects(Vec<Arc<Stored>>),
    /// At the end: the last revision of each collection.
    Lasts(HashMap<Collection, Revision>),
}

/// Puts the present objects into `state`; gives the words that they share and the last revision of each collection.
pub(super) async fn load(
    log: &Arc<SqliteLog>,
    tasks: &Tasks,
    state: &mut State,
) -> Result<(Words, HashMap<Collection, Revision>), Error> {
    let (chunks, mut loaded) = mpsc::channel::<Chunk>(CHUNKS_MAX);
    let reader = Arc::clone(log);
    tasks.spawn_to_end("storage-loader", async move {
        if let Err(error) = reader.read_present(&chunks).await {
            // If nobody waits any more, nobody needs to know.
            let _ = chunks.send(Err(error)).await;
        }
    });
    let mut words = Words::default();
    let mut lasts = HashMap::new();
    while let Some(chunk) = loaded.recv().await {
        match chunk? {
            Lot::Objects(objects) => objects.into_iter().for_each(|object| state.put(object, &mut words)),
            Lot::Lasts(all) => lasts = all,
        }
    }
    Ok((words, lasts))
}

impl SqliteLog {
    async fn read_present(&self, chunks: &mpsc::Sender<Chunk>) -> Result<(), Error> {
        let mut rows = sqlx::query(LOAD).fetch(&self.readers);
        let mut words = Words::default();
        let mut replaced: HashSet<Revision> = HashSet::new();
        let mut lasts: HashMap<i64, Revision> = HashMap::new();
        let mut chunk = Vec::with_capacity(CHUNK_OBJECTS);
        while let Some(row) = rows.try_next().await.map_err(|error| self.failed(error))? {
            let failed = |error| self.failed(error);
            let own = revision(&row, 0).map_err(failed)?;
            lasts.entry(row.try_get(1).map_err(failed)?).or_insert(own);
            let kind = append::kind_of(row.try_get(6).map_err(failed)?);
            let previous: Option<i64> = row.try_get(7).map_err(failed)?;
            replaced.extend(previous.map(|number| Revision(number.cast_unsigned())));
            if kind == Some(EventKind::Deleted) || replaced.remove(&own) {
                continue;
            }
            chunk.extend(self.state(&row, 0, &mut words)?.map(Arc::new));
            if chunk.len() == CHUNK_OBJECTS {
                let whole = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_OBJECTS));
                if chunks.send(Ok(Lot::Objects(whole))).await.is_err() {
                    return Ok(());
                }
            }
        }
        let named = |(id, last)| self.collection(id).map(|name| (name, last));
        let lasts = lasts.into_iter().map(named).collect::<Result<_, Error>>()?;
        for lot in [Lot::Objects(chunk), Lot::Lasts(lasts)] {
            // As above: without a receiver there is nothing to do.
            let _ = chunks.send(Ok(lot)).await;
        }
        Ok(())
    }
}
