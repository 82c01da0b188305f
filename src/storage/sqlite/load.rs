//! Loading the present state: one task reads and decodes, the caller builds the snapshot, both at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::TryStreamExt;
use tokio::sync::mpsc;

use super::SqliteLog;
use super::bounds::Bounds;
use super::record::{Head, Roll, Sealed};
use super::row::columns;
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
pub(super) const LOAD: &str = concat!("SELECT ", columns!("l"), ", l.body FROM log l ORDER BY l.revision DESC");

type Chunk = Result<Lot, Error>;

/// What the reader hands over at once.
enum Lot {
    Objects(Vec<Arc<Stored>>),
    End(Ended),
}

/// What the rows say when all are read.
#[derive(Default)]
pub(super) struct Ended {
    /// The last revision of each collection.
    pub lasts: HashMap<Collection, Revision>,
    pub latest: Latest,
}

/// What the latest row says.
#[derive(Clone, Copy, Default)]
pub(super) struct Latest {
    pub revision: Revision,
    /// Bytes of bodies ever written.
    pub written: u64,
    pub roll: Roll,
}

/// Puts the present objects into `state`; gives the words that they share and what else the rows say.
///
/// # Errors
/// `Corrupt` also when a row is missing: of the history, or of the present.
pub(super) async fn load(
    log: &Arc<SqliteLog>,
    (tasks, bounds): (&Tasks, Bounds),
    state: &mut State,
) -> Result<(Words, Ended), Error> {
    let (chunks, mut loaded) = mpsc::channel::<Chunk>(CHUNKS_MAX);
    let reader = Arc::clone(log);
    tasks.spawn_to_end("storage-loader", async move {
        if let Err(error) = reader.read_present(&chunks, bounds).await {
            // If nobody waits any more, nobody needs to know.
            let _ = chunks.send(Err(error)).await;
        }
    });
    let mut words = Words::default();
    let mut ended = Ended::default();
    while let Some(chunk) = loaded.recv().await {
        match chunk? {
            Lot::Objects(objects) => objects.into_iter().for_each(|object| state.put(object, &mut words)),
            Lot::End(all) => ended = all,
        }
    }
    Ok((words, ended))
}

impl SqliteLog {
    async fn read_present(&self, chunks: &mpsc::Sender<Chunk>, bounds: Bounds) -> Result<(), Error> {
        let mut rows = sqlx::query(LOAD).fetch(&self.readers);
        let mut words = Words::default();
        let mut walk = Walk::new(self, bounds);
        let mut chunk = Vec::with_capacity(CHUNK_OBJECTS);
        while let Some(row) = rows.try_next().await.map_err(|error| self.failed(error))? {
            let (head, sealed) = self.intact(&row, (0, &mut words))?;
            if !walk.is_present(&head, &sealed)? {
                continue;
            }
            chunk.push(Arc::new(self.stored(&row, (0, &mut words), (head, &sealed))?));
            if chunk.len() == CHUNK_OBJECTS {
                let whole = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_OBJECTS));
                if chunks.send(Ok(Lot::Objects(whole))).await.is_err() {
                    return Ok(());
                }
            }
        }
        let ended = walk.end()?;
        for lot in [Lot::Objects(chunk), Lot::End(ended)] {
            // As above: without a receiver there is nothing to do.
            let _ = chunks.send(Ok(lot)).await;
        }
        Ok(())
    }
}

/// What is known of the rows that were read, the latest first.
struct Walk<'a> {
    log: &'a SqliteLog,
    bounds: Bounds,
    /// The revision of the row that was read last; of none: the one after what was reached.
    next: Option<Revision>,
    /// Named as previous by a later row, and not read yet.
    replaced: HashSet<Revision>,
    ended: Ended,
    /// What is present.
    roll: Roll,
}

impl<'a> Walk<'a> {
    fn new(log: &'a SqliteLog, bounds: Bounds) -> Self {
        Self { log, bounds, next: None, replaced: HashSet::new(), ended: Ended::default(), roll: Roll::default() }
    }

    /// Takes the next row in; whether its object is present.
    fn is_present(&mut self, head: &Head, sealed: &Sealed<'_>) -> Result<bool, Error> {
        let own = head.revision;
        match self.next {
            None if own < self.bounds.reached => return Err(self.log.missing(self.bounds.reached)),
            None => {
                let written = head.written.cast_unsigned();
                self.ended.latest = Latest { revision: own, written, roll: sealed.roll };
            }
            // The history after the compacted revision has no gaps, and that revision itself is there.
            Some(next) if next > self.bounds.compacted.max(Revision(1)) && own.0 + 1 != next.0 => {
                return Err(self.log.missing(Revision(next.0 - 1)));
            }
            Some(_) => {}
        }
        self.next = Some(own);
        let lasts = &mut self.ended.lasts;
        if !lasts.contains_key(&head.key.collection) {
            lasts.insert(Arc::clone(&head.key.collection), own);
        }
        self.replaced.extend(head.previous);
        if self.replaced.remove(&own) || head.kind == EventKind::Deleted {
            return Ok(false);
        }
        self.roll.add(own);
        Ok(true)
    }

    /// All rows were read.
    fn end(self) -> Result<Ended, Error> {
        let Bounds { compacted, reached } = self.bounds;
        let first = self.next.unwrap_or(Revision(reached.0 + 1));
        if first > compacted.max(Revision(1)) && (self.next.is_some() || reached > Revision(0)) {
            return Err(self.log.missing(Revision(first.0 - 1)));
        }
        if self.roll != self.ended.latest.roll {
            return Err(self.log.corrupt("rows of the present are missing".to_owned()));
        }
        Ok(self.ended)
    }
}
