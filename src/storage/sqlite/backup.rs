//! A complete copy of the file while work goes on. It gets its name when it is whole, checked and on disk: there is
//! never half a backup.

use std::path::Path;
use std::sync::Arc;

use sqlx::{ConnectOptions, SqliteConnection};

use super::check::{check, reading};
use super::{SqliteLog, open};
use crate::storage::{Checked, Error};

const BACK_UP: &str = "VACUUM INTO ?";

/// Copies a file that a running process may have; gives what is in the copy.
pub(in crate::storage) async fn back_up(from: &Path, to: &Path) -> Result<Checked, Error> {
    let failed = |error| super::failed(from, error);
    let mut connection = reading(from)?.connect().await.map_err(failed)?;
    write_copy(&mut connection, to).await
}

impl SqliteLog {
    pub(super) async fn back_up(&self, to: &Path) -> Result<Checked, Error> {
        let mut connection = self.readers.acquire().await.map_err(|error| self.failed(error))?;
        write_copy(&mut connection, to).await
    }
}

async fn write_copy(connection: &mut SqliteConnection, to: &Path) -> Result<Checked, Error> {
    let unreadable = |error| Error::Unreadable { path: to.to_owned(), source: Arc::new(error) };
    if to.try_exists().map_err(unreadable)? {
        return Err(Error::Exists { path: to.to_owned() });
    }
    let partial = open::beside(to, ".partial");
    // What an interrupted backup left.
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unreadable(error)),
        Ok(()) | Err(_) => {}
    }
    let written = write_partial(connection, &partial).await.and_then(|checked| {
        open::put_in_place(&partial, to).map_err(unreadable)?;
        Ok(checked)
    });
    if written.is_err() {
        // The reason stands in the answer.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

async fn write_partial(connection: &mut SqliteConnection, partial: &Path) -> Result<Checked, Error> {
    let unreadable = |error| Error::Unreadable { path: partial.to_owned(), source: Arc::new(error) };
    let Some(name) = partial.to_str() else {
        return Err(unreadable(std::io::Error::other("the name is not Unicode")));
    };
    open::private_file(partial).map_err(unreadable)?;
    let written = sqlx::query(BACK_UP).bind(name.to_owned()).execute(connection).await;
    written.map_err(|error| super::failed(partial, error))?;
    let checked = check(partial, &mut |_| Ok(())).await?;
    match checked.faults.first() {
        None => Ok(checked),
        Some(fault) => Err(Error::Corrupt { path: partial.to_owned(), what: fault.clone() }),
    }
}
