//! When what was read is damaged: is it the file, or the reading? SQLite calls both damage when a disk gives an input or
//! output error, and a connection keeps in memory what it once read wrongly. So it is read again over a new connection,
//! and if that is damaged too, the files are read through without SQLite. A disk that fails now and then may fail SQLite
//! and not this, so only what is damaged some times over, and can be read each time, is called damaged.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::OptionFuture;
use sqlx::pool::PoolConnection;
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection};
use tokio::sync::MutexGuard;

use super::{SqliteLog, failed, open};
use crate::api::Revision;
use crate::storage::Error;

/// How much is read through at once: as SQLite reads, so that what fails now and then does so here too.
const CHUNK_BYTES: usize = open::PAGE_BYTES as usize;

/// How often it is read before it is called damaged, the first time not counted.
const READINGS: u32 = 4;

/// More readings.
pub(super) struct Doubt<'a> {
    log: &'a SqliteLog,
    connection: Option<SqliteConnection>,
    readings: u32,
    _one_at_a_time: MutexGuard<'a, ()>,
}

impl SqliteLog {
    /// What must be read again because of `error`: history after `after`, which was read over `reader`.
    pub(super) async fn doubt(
        &self,
        error: Option<&Error>,
        (after, mut reader): (Revision, PoolConnection<Sqlite>),
    ) -> Result<Option<Doubt<'_>>, Error> {
        // What is forgotten meanwhile is missing rightly.
        if !matches!(error, Some(Error::Corrupt { .. })) || after < self.forgotten() {
            return Ok(None);
        }
        reader.close_on_drop();
        drop(reader);
        let one_at_a_time = self.doubts.lock().await;
        Ok(Some(Doubt { log: self, connection: None, readings: 0, _one_at_a_time: one_at_a_time }))
    }
}

impl Doubt<'_> {
    /// A new connection, for one reading.
    pub(super) async fn connect(&mut self) -> Result<&mut SqliteConnection, Error> {
        self.readings += 1;
        let connection = open::options(&self.log.path).connect().await;
        let connection = connection.map_err(|error| self.log.failed(error))?;
        Ok(self.connection.insert(connection))
    }

    /// What the reading gave, or what is really wrong; `None`: it must be read once more.
    pub(super) async fn judge<T>(&mut self, again: Result<T, Error>) -> Option<Result<T, Error>> {
        if let Some(Err(error)) = OptionFuture::from(self.connection.take().map(Connection::close)).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection was not closed in order");
        }
        match again {
            Err(damage @ Error::Corrupt { .. }) => match sifted(&self.log.path, damage).await {
                Error::Corrupt { .. } if self.readings < READINGS => None,
                wrong => Some(Err(wrong)),
            },
            other => Some(other),
        }
    }
}

/// The damage, unless the files cannot be read.
pub(super) async fn sifted(path: &Path, damage: Error) -> Error {
    let files = [path.to_owned(), open::beside(path, "-wal")];
    let read = tokio::task::spawn_blocking(|| files.into_iter().try_for_each(read_through));
    match read.await {
        Ok(Err((path, error))) => Error::Unreadable { path, source: Arc::new(error) },
        Ok(Ok(())) | Err(_) => damage,
    }
}

fn read_through(path: PathBuf) -> Result<(), (PathBuf, std::io::Error)> {
    let read = || {
        let file = File::open(&path)?;
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut at = 0;
        loop {
            match read_at(&file, &mut chunk, at) {
                Ok(0) => return Ok(()),
                Ok(count) => at += count as u64,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    };
    match read() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|error| (path, error)),
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> std::io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, at)
}

#[cfg(windows)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> std::io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, bytes, at)
}

/// As `failed`, when the files have been read through.
pub(super) async fn told(path: &Path, error: sqlx::Error) -> Error {
    match failed(path, error) {
        damage @ Error::Corrupt { .. } => sifted(path, damage).await,
        other => other,
    }
}
