//! One wrong bit anywhere in a file: what is told of the present and of the past is the truth, or that there is damage,
//! and a check finds it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use sqlx::ConnectOptions;

use super::open::PAGE_BYTES;
use super::*;
use crate::base::ManualClock;
use crate::storage::fixture::{Backend, content, key, options};
use crate::storage::snapshot::Words;
use crate::storage::{Body, Change, Expect, Facts, Key, Scope, Store, Write, check as check_file, open as open_store};

const OBJECTS: usize = 14;
const WRITES: usize = 60;
/// How many bits are tried in any place, and how many in the first bytes of pages, which say what is on them.
const FLIPS: usize = 60;
const HEAD_BYTES: usize = 64;

type Content = BTreeMap<Key, (Revision, Body)>;

async fn open_at(path: &Path) -> Result<Arc<dyn Store>, Error> {
    open_store(options(Backend::Sqlite, path, &ManualClock::new(Timestamp::UNIX_EPOCH))).await
}

/// A closed file with a history that is partly forgotten; gives the state at each revision that can be read.
async fn filled(path: &Path) -> Vec<(Revision, Content)> {
    let store = open_at(path).await.unwrap();
    let mut states = Vec::new();
    for number in 0..WRITES {
        // The first is never changed.
        let name = if number == 0 { "kept".to_owned() } else { (number % OBJECTS).to_string() };
        let key = key(&format!("pods/x/{name}"));
        let present = store.snapshot().get(&key).map(|object| object.revision);
        let expect = present.map_or(Expect::Absent, Expect::At);
        let mut body = crate::storage::fixture::body(&key);
        body.json = [&*body.json, &[b' '; 3_000]].concat().into();
        let change = match present {
            Some(_) if number % 9 == 0 => Change::Delete,
            _ => Change::Put { body, facts: Facts::default() },
        };
        store.commit(vec![Write { key, expect, change }]).await.unwrap();
        states.push((store.revision(), content(&store.snapshot())));
    }
    store.compact_before(Revision(WRITES as u64 / 3)).await.unwrap();
    // Some of them; the oldest that can be read, and the last.
    states.retain(|(Revision(revision), _)| *revision >= store.compacted().0 && revision % 8 == 4);
    store.close().await;
    states
}

/// Whether all that is told of a file is the truth; `None` if damage is told of.
async fn is_true(path: &Path, states: &[(Revision, Content)]) -> Option<bool> {
    let told = |error: &Error| {
        let damage = matches!(error, Error::Corrupt { .. } | Error::NotOurs { .. } | Error::TooNew { .. });
        assert!(damage, "{error:?}");
    };
    let store = open_at(path).await.inspect_err(told).ok()?;
    let mut right = content(&store.snapshot()) == states.last().unwrap().1;
    let mut damaged = false;
    for (revision, state) in states {
        match store.at(*revision).await {
            Ok(snapshot) => right &= content(&snapshot) == *state,
            Err(error) => {
                told(&error);
                damaged = true;
            }
        }
    }
    let (first, last) = (states[0].0, states.last().unwrap().0);
    let mut watch = store.watch(&"pods".into(), first, Scope::All).unwrap();
    let mut seen = first;
    while seen < last {
        match watch.next_batch().await {
            Ok(events) => {
                for event in events {
                    seen = Revision(seen.0 + 1);
                    right &= event.revision == seen;
                }
            }
            Err(error) => {
                told(&error);
                damaged = true;
                break;
            }
        }
    }
    store.close().await;
    (!right || !damaged).then_some(right)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_wrong_bit_is_told_of_or_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("a.db"), folder.path().join("b.db"));
    let states = filled(&path).await;
    let bytes = std::fs::read(&path).unwrap();
    let seed = rand::rng().random();
    let mut random = StdRng::seed_from_u64(seed);
    let pages: Vec<_> = (0..bytes.len()).step_by(PAGE_BYTES as usize).collect();
    let mut damaged = 0;
    for number in 0..2 * FLIPS {
        let at = match number % 2 {
            0 => random.random_range(0..bytes.len()),
            _ => pages.choose(&mut random).unwrap() + random.random_range(0..HEAD_BYTES),
        };
        let bit = random.random_range(0..8);
        let mut wrong = bytes.clone();
        wrong[at] ^= 1 << bit;
        std::fs::write(&copy, &wrong).unwrap();
        // Asked first: who opens the file may write to it.
        let checked = check_file(&copy, &mut |_| Ok(())).await;
        let right = is_true(&copy, &states).await;
        assert_ne!(right, Some(false), "bit {bit} of byte {at}, seed {seed}");
        if right.is_none() {
            damaged += 1;
            let found = checked.as_ref().is_ok_and(|checked| checked.faults.is_empty());
            assert!(!found, "a check finds nothing wrong with bit {bit} of byte {at}, seed {seed}");
        }
        for left in ["-wal", "-shm", ".lock"] {
            // It may not be there.
            let _ = std::fs::remove_file(open::beside(&copy, left));
        }
    }
    assert!(damaged > 0, "no bit mattered");
}

#[tokio::test]
async fn one_wrong_bit_of_the_write_ahead_log_is_told_of_unless_it_is_in_the_last_commit() {
    const HEADER_BYTES: usize = 32;
    const FRAME_BYTES: usize = 24 + PAGE_BYTES as usize;
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("a.db"), folder.path().join("b.db"));
    let wal = |path: &Path| open::beside(path, "-wal");
    let store = open_at(&path).await.unwrap();
    // Which frames each commit has.
    let mut ends = vec![0];
    for round in 0..5 {
        let create = |number| crate::storage::fixture::create(&format!("pods/x/{round}-{number}"));
        store.commit((0..round * 30 + 1).map(create).collect()).await.unwrap();
        ends.push((wal(&path).metadata().unwrap().len() as usize - HEADER_BYTES) / FRAME_BYTES);
    }
    let bytes = std::fs::read(wal(&path)).unwrap();
    let before_last = ends[ends.len() - 2];
    let mut random = StdRng::seed_from_u64(7);
    for frame in 0..*ends.last().unwrap() {
        for within in [random.random_range(24..FRAME_BYTES), random.random_range(0..24)] {
            let mut wrong = bytes.clone();
            wrong[HEADER_BYTES + frame * FRAME_BYTES + within] ^= 1 << random.random_range(0..8);
            std::fs::copy(&path, &copy).unwrap();
            std::fs::write(wal(&copy), &wrong).unwrap();
            let opened = open_at(&copy).await;
            match (frame < before_last, &opened) {
                (true, Err(Error::Corrupt { what, .. })) => assert!(what.contains("frame"), "{what}"),
                (false, Ok(store)) => assert_eq!(store.snapshot().count("pods"), 1 + 31 + 61 + 91),
                (_, _) => panic!("byte {within} of frame {frame}: {:?}", opened.err()),
            }
            if let Ok(store) = opened {
                store.close().await;
            } else {
                let checked = check_file(&copy, &mut |_| Ok(())).await.unwrap();
                assert!(checked.faults[0].contains("frame"), "{:?}", checked.faults);
            }
        }
    }
}

/// Brings a closed file to the form of version 1.
async fn make_old(path: &Path) {
    let mut connection = open::options(path).connect().await.unwrap();
    let collections = open::load_collections(&mut connection).await.unwrap();
    let rows = sqlx::query(check::ROWS).fetch_all(&mut connection).await.unwrap();
    for row in &rows {
        let mut words = Words::default();
        let Ok(row::Line::Row(head, blob)) = row::line(row, 0, (&collections, &mut words)) else { panic!() };
        let body: Option<Vec<u8>> = sqlx::Row::get(row, row::COLUMNS);
        let sealed = head.open(blob).unwrap();
        let old = reseal::old_blob(&head, (sealed.facts(), body.as_deref().unwrap_or_default()));
        let update = sqlx::query(reseal::RESEAL).bind(old).bind(integer(head.revision));
        update.execute(&mut connection).await.unwrap();
    }
    let back = "ALTER TABLE bounds DROP COLUMN sum; ALTER TABLE bounds DROP COLUMN reached; \
        DELETE FROM migrations WHERE version = 2; PRAGMA user_version = 1";
    sqlx::raw_sql(back).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_file_of_version_1_is_brought_to_this_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let states = filled(&path).await;
    make_old(&path).await;
    assert!(matches!(open::header(&path).unwrap(), open::Header::Ours(1)));
    assert_eq!(is_true(&path, &states).await, Some(true));
    assert!(matches!(open::header(&path).unwrap(), open::Header::Ours(2)));
    assert_eq!(check_file(&path, &mut |_| Ok(())).await.unwrap().faults, [""; 0]);
}

#[tokio::test]
async fn a_damaged_file_of_version_1_is_named_and_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let states = filled(&path).await;
    make_old(&path).await;
    let mut connection = open::options(&path).connect().await.unwrap();
    let damage = "UPDATE log SET body = x'7b7d' WHERE revision = (SELECT max(revision) FROM log WHERE kind < 2)";
    sqlx::raw_sql(damage).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    /// SQLite counts there how often a file was opened to be changed.
    const HEADER_BYTES: usize = 100;
    let before = std::fs::read(&path).unwrap();
    assert_eq!(is_true(&path, &states).await, None);
    assert!(matches!(open::header(&path).unwrap(), open::Header::Ours(1)));
    assert!(std::fs::read(&path).unwrap()[HEADER_BYTES..] == before[HEADER_BYTES..], "it was changed");
}

#[tokio::test]
async fn a_revision_below_zero_is_damage() {
    for column in ["revision", "previous"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let states = filled(&path).await;
        let mut connection = open::options(&path).connect().await.unwrap();
        let damage = format!("UPDATE log SET {column} = -7 WHERE revision = (SELECT max(revision) FROM log)");
        sqlx::raw_sql(sqlx::AssertSqlSafe(damage)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        assert_eq!(is_true(&path, &states).await, None, "{column}");
        assert_ne!(check_file(&path, &mut |_| Ok(())).await.unwrap().faults, [""; 0], "{column}");
    }
}

#[tokio::test]
async fn a_row_that_is_lost_below_the_compacted_revision_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    filled(&path).await;
    let mut connection = open::options(&path).connect().await.unwrap();
    let lose = "DELETE FROM log WHERE revision = (SELECT min(revision) FROM log)";
    sqlx::raw_sql(lose).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let error = open_at(&path).await.err().unwrap();
    assert!(error.to_string().contains("missing"), "{error}");
    let faults = check_file(&path, &mut |_| Ok(())).await.unwrap().faults;
    assert!(faults.iter().any(|fault| fault.contains("some are missing")), "{faults:?}");
}
