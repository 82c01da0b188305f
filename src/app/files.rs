//! The commands about database files: `coracle backup` and `coracle check`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cluster::DATABASE;
use super::config::Config;
use crate::registry;
use crate::resources::facts::Facts;
use crate::resources::{Kind, built_in};
use crate::storage;

/// Copies the database of a data folder, whose process may run, to a new file; gives what to print.
///
/// # Errors
/// With what to do about it; nothing is left behind.
pub(super) async fn back_up(data: &Path, to: &Path) -> anyhow::Result<String> {
    let copied = storage::back_up(&data.join(DATABASE), to).await?;
    let (objects, revision) = (copied.objects, copied.revision);
    Ok(format!("{}: {objects} objects at resourceVersion {revision}\n", to.display()))
}

/// Reads all of a database file and changes nothing; gives what to print.
///
/// # Errors
/// When something is wrong with it: all that is.
pub(super) async fn check(file: PathBuf) -> anyhow::Result<String> {
    let config = Config { runtime: vec![("api/all".to_owned(), true)], ..Config::default() };
    let facts = Facts::load();
    let served = built_in(&facts, &config.runtime(&facts)?);
    let kinds: HashMap<&str, &Arc<Kind>> = served.kinds().map(|kind| (&*kind.collection, kind)).collect();
    let mut judge = |stored: &storage::Stored| {
        let kind = kinds.get(&*stored.key.collection).map(|kind| &***kind);
        registry::check_stored(kind, stored)
    };
    let checked = storage::check(&file, &mut judge).await?;
    if !checked.faults.is_empty() {
        let faults = checked.faults.join("\n  ");
        anyhow::bail!("{} is damaged; restore a backup\n  {faults}", file.display());
    }
    let storage::Checked { objects, rows, revision, .. } = checked;
    Ok(format!("{}: {objects} objects and {rows} revisions are whole up to {revision}\n", file.display()))
}
