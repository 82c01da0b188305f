//! What only a file can do, and what only a file can suffer.

use std::path::Path;
use std::sync::Arc;

use futures::future::join_all;
use jiff::Timestamp;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Row, SqliteConnection};

use super::*;
use crate::base::{ManualClock, Shutdown, SystemClock, Tasks};
use crate::storage::fixture::{Backend, Bench, content, create, key, options, take};
use crate::storage::log::AppendError;
use crate::storage::snapshot::State;
use crate::storage::{
    EventKind, Expect, Facts, Key, Retention, Scope, Store, Stored, Watch, Write, open as open_store,
};

async fn open_at(path: &Path) -> Result<Arc<dyn Store>, Error> {
    open_store(options(Backend::Sqlite, path, &ManualClock::new(Timestamp::UNIX_EPOCH))).await
}

/// A connection of somebody else.
async fn outside(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

async fn run(path: &Path, sql: &'static str) {
    let mut connection = outside(path).await;
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// A closed file with some objects.
async fn filled(folder: &Path) -> PathBuf {
    let path = folder.join("filled.db");
    let store = open_at(&path).await.unwrap();
    let writes = (0..100).map(|number| create(&format!("pods/default/object-{number:03}"))).collect();
    store.commit(writes).await.unwrap();
    store.close().await;
    path
}

/// Opening gives an error and leaves the file and its folder as they were.
async fn check_refused(path: &Path) -> Error {
    let folder = path.parent().unwrap();
    let look = || {
        let mut names: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.retain(|name| !name.to_string_lossy().ends_with(".lock"));
        names.sort();
        (names, std::fs::read(path).unwrap())
    };
    let before = look();
    let error = open_at(path).await.err().expect("it is refused");
    assert_eq!(look(), before, "{error}");
    error
}

#[tokio::test]
async fn a_file_that_is_not_sqlite_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    for content in [&b"short"[..], &[b'x'; 5000]] {
        std::fs::write(&path, content).unwrap();
        let error = check_refused(&path).await;
        assert!(matches!(error, Error::NotOurs { .. }), "{error}");
    }
    assert!(!beside(&path).exists());
}

fn beside(path: &Path) -> PathBuf {
    open::beside(path, ".lock")
}

#[tokio::test]
async fn another_programs_database_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    run(&path, "CREATE TABLE t (a); INSERT INTO t VALUES (1)").await;
    let error = check_refused(&path).await;
    assert!(matches!(error, Error::NotOurs { .. }), "{error}");
}

#[tokio::test]
async fn a_newer_schema_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path()).await;
    run(&path, "PRAGMA journal_mode = DELETE; PRAGMA user_version = 9").await;
    let error = check_refused(&path).await;
    assert!(matches!(error, Error::TooNew { found: 9, known: 2, .. }), "{error}");
}

#[tokio::test]
async fn a_changed_byte_of_an_object_is_noticed_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path()).await;
    let mut bytes = std::fs::read(&path).unwrap();
    let body = br#""name":"object-042","#;
    // There may be an older copy in the free space of a page.
    let found: Vec<_> = (0..bytes.len() - body.len()).filter(|at| bytes[*at..].starts_with(body)).collect();
    found.iter().for_each(|at| bytes[at + 10] ^= 1);
    std::fs::write(&path, &bytes).unwrap();
    let error = check_refused(&path).await;
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn a_file_cut_short_is_noticed_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path()).await;
    let length = path.metadata().unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length / 2).unwrap();
    let error = check_refused(&path).await;
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn a_second_store_on_the_same_file_is_told_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let first = open_at(&path).await.unwrap();
    let error = open_at(&path).await.err().unwrap();
    let Error::InUse { holder, .. } = &error else { panic!("{error}") };
    assert_eq!(*holder, Some(std::process::id()));
    first.close().await;
    open_at(&path).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_does_not_exist_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = open_at(&folder.path().join("none/a.db")).await.err().unwrap();
    assert!(matches!(error, Error::Unreadable { .. }) && error.to_string().contains("none/a.db"), "{error}");
}

/// A log without a store, to get at its connection.
async fn bare_log(folder: &Path) -> Arc<SqliteLog> {
    let tasks = Tasks::new(Shutdown::default());
    let path = folder.join("bare.db");
    open(claim(&path).unwrap(), &*SystemClock::shared(), &tasks, State::new(&[])).await.unwrap().0
}

fn event(path: &str, revision: u64, bytes: usize) -> Arc<Event> {
    let body = crate::storage::Body { json: vec![b'x'; bytes].into(), revision_at: 0..0 };
    let object = Stored { key: key(path), revision: Revision(revision), body, facts: Facts::default(), note: 0.into() };
    Arc::new(Event::new(EventKind::Created, Arc::new(object), None))
}

#[tokio::test]
async fn a_full_disk_refuses_the_group_and_later_ones_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let log = bare_log(folder.path()).await;
    let limit = async |pages: &'static str| {
        let mut writer = log.writer.lock().await;
        sqlx::query(pages).fetch_one(&mut writer.as_mut().unwrap().connection).await.unwrap();
    };
    log.append(&[event("pods/x/a", 1, 100)], Timestamp::UNIX_EPOCH).await.ok().unwrap();
    limit("PRAGMA max_page_count = 40").await;
    let big: Vec<_> = (2..100).map(|revision| event("nodes/x/a", revision, 5_000)).collect();
    for group in [&big[..], &big[..50]] {
        let error = log.append(group, Timestamp::UNIX_EPOCH).await.unwrap_err();
        assert!(matches!(error, AppendError::NotWritten(_)));
    }
    log.append(&[event("pods/x/b", 2, 100)], Timestamp::UNIX_EPOCH).await.ok().unwrap();
    limit("PRAGMA max_page_count = 100000").await;
    let big: Vec<_> = (3..100).map(|revision| event("nodes/x/a", revision, 5_000)).collect();
    log.append(&big, Timestamp::UNIX_EPOCH).await.ok().unwrap();
    log.close().await;
    drop(log);
    let store = open_at(&folder.path().join("bare.db")).await.unwrap();
    assert_eq!(store.revision(), Revision(99));
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_crash_and_revisions_go_on() {
    let bench = Bench::new(Backend::Sqlite).await;
    let crashed = bench.folder.path().join("crashed.db");
    let mut acknowledged = 0;
    for round in 0..5 {
        let commits = (0..50).map(|number| bench.store.commit(vec![create(&format!("pods/x/{round}-{number}"))]));
        join_all(commits).await.into_iter().for_each(|result| drop(result.unwrap()));
        // The file as a crash leaves it: nothing was closed, much is in the write-ahead log only.
        let present = bench.store.snapshot();
        acknowledged += 50;
        for suffix in ["", "-wal"] {
            std::fs::copy(open::beside(&bench.path(), suffix), open::beside(&crashed, suffix)).unwrap();
        }
        let reopened = open_at(&crashed).await.unwrap();
        assert_eq!(reopened.revision(), Revision(acknowledged));
        assert_eq!(content(&reopened.snapshot()), content(&present));
        let next = reopened.commit(vec![create("pods/x/next")]).await.unwrap();
        assert_eq!(next[0].revision, Revision(acknowledged + 1));
        reopened.close().await;
        std::fs::remove_file(&crashed).unwrap();
    }
}

#[tokio::test]
async fn half_a_group_at_the_end_of_the_write_ahead_log_is_not_there() {
    let bench = Bench::new(Backend::Sqlite).await;
    bench.create("pods/x/a").await;
    let wal = open::beside(&bench.path(), "-wal");
    let whole = wal.metadata().unwrap().len();
    bench.store.commit((0..200).map(|number| create(&format!("pods/x/{number}"))).collect()).await.unwrap();
    let crashed = bench.folder.path().join("crashed.db");
    std::fs::copy(bench.path(), &crashed).unwrap();
    let bytes = std::fs::read(&wal).unwrap();
    let half = (whole as usize + bytes.len()) / 2;
    std::fs::write(open::beside(&crashed, "-wal"), &bytes[..half]).unwrap();
    let reopened = open_at(&crashed).await.unwrap();
    assert_eq!(reopened.revision(), Revision(1));
    assert_eq!(reopened.snapshot().count("pods"), 1);
}

#[tokio::test]
async fn a_reopened_store_keeps_objects_history_and_revisions() {
    let mut bench = Bench::new(Backend::Sqlite).await;
    let first = bench.create("pods/x/a").await;
    let second = bench.update(&first).await;
    bench.create("nodes//n").await;
    bench.delete(&second).await;
    let before = content(&bench.store.snapshot());
    bench.reopen().await;
    assert_eq!((content(&bench.store.snapshot()), bench.store.revision()), (before, Revision(4)));
    let mut watch: Watch = bench.watch(1, Scope::All).unwrap();
    assert_eq!(bench.create("pods/x/b").await.revision, Revision(5));
    let kinds: Vec<_> = take(&mut watch, 3).await.iter().map(|event| (event.kind, event.revision.0)).collect();
    assert_eq!(kinds, [(EventKind::Updated, 2), (EventKind::Deleted, 4), (EventKind::Created, 5)]);
}

#[tokio::test]
async fn a_last_deletion_that_is_compacted_does_not_turn_revisions_back() {
    let mut bench = Bench::new(Backend::Sqlite).await;
    let object = bench.create("pods/x/a").await;
    bench.delete(&object).await;
    bench.store.compact_before(Revision(2)).await.unwrap();
    bench.reopen().await;
    assert_eq!(bench.store.revision(), Revision(2));
    assert_eq!(bench.create("pods/x/a").await.revision, Revision(3));
}

#[tokio::test]
async fn a_backup_is_the_store_while_work_goes_on() {
    let bench = Bench::new(Backend::Sqlite).await;
    let first = bench.create("pods/x/a").await;
    bench.update(&first).await;
    let present = content(&bench.store.snapshot());
    let copy = bench.folder.path().join("copy.db");
    bench.store.back_up(&copy).await.unwrap();
    let error = bench.store.back_up(&copy).await.unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "a backup overwrites nothing: {error}");
    bench.create("pods/x/b").await;
    let restored = open_at(&copy).await.unwrap();
    assert_eq!((content(&restored.snapshot()), restored.revision()), (present, Revision(2)));
}

/// Replaces one object again and again, a group of `group` big objects at a time.
async fn rewrite(store: &Arc<dyn Store>, rounds: usize, group: usize) {
    let body = |key: &Key| {
        let mut body = crate::storage::fixture::body(key);
        body.json = [&*body.json, &[b' '; 20_000]].concat().into();
        body
    };
    for _ in 0..rounds {
        let present = store.snapshot();
        let write = |number: usize| {
            let key = key(&format!("pods/x/{number}"));
            let expect = present.get(&key).map_or(Expect::Absent, |object| Expect::At(object.revision));
            let body = body(&key);
            Write { change: crate::storage::Change::Put { body, facts: Facts::default() }, key, expect }
        };
        store.commit((0..group).map(write).collect()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_write_ahead_log_is_bounded() {
    let bench = Bench::new(Backend::Sqlite).await;
    let wal = open::beside(&bench.path(), "-wal");
    let mut largest = 0;
    for _ in 0..40 {
        rewrite(&bench.store, 1, 400).await;
        largest = largest.max(wal.metadata().unwrap().len());
    }
    // 320 MB were written.
    assert!(largest < 200 << 20, "{largest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_gives_back_what_compaction_frees() {
    let bench = Bench::new(Backend::Sqlite).await;
    rewrite(&bench.store, 10, 200).await;
    bench.store.compact_before(bench.store.revision()).await.unwrap();
    let path = bench.path();
    bench.store.close().await;
    // 40 MB were written, 4 MB are present.
    assert!(path.metadata().unwrap().len() < 10 << 20, "{}", path.metadata().unwrap().len());
    assert_eq!(open_at(&path).await.unwrap().snapshot().count("pods"), 200);
}

#[tokio::test]
async fn too_much_history_is_forgotten_by_size() {
    let bench = Bench::new(Backend::Sqlite).await;
    bench.store.close().await;
    let retention = Retention { bytes_max: 4 << 20, ..Retention::FILE };
    let options = options(Backend::Sqlite, &bench.path(), &bench.clock);
    let store = open_store(crate::storage::Options { retention, ..options }).await.unwrap();
    rewrite(&store, 10, 100).await;
    let forgotten = || {
        bench.clock.advance(std::time::Duration::from_secs(1));
        store.compacted().0 >= 800
    };
    crate::storage::fixture::eventually(forgotten).await;
    assert!(store.compacted() < store.revision());
}

#[tokio::test]
async fn a_clock_that_is_set_makes_no_history_old() {
    /// The compactor looks after some of them.
    const LOOKS: usize = 500;
    let bench = Bench::new(Backend::Memory).await;
    let first = bench.create("pods/default/a").await;
    bench.clock.set("2026-11-21T00:00:00Z".parse().unwrap());
    let second = bench.update(&first).await;
    for _ in 0..LOOKS {
        bench.clock.advance(std::time::Duration::from_millis(100));
        tokio::task::yield_now().await;
    }
    assert!(bench.store.at(first.revision).await.is_ok());
    bench.update(&second).await;
    bench.clock.set(Timestamp::UNIX_EPOCH);
    let forgotten = || {
        bench.clock.advance(std::time::Duration::from_secs(60));
        bench.store.compacted() >= second.revision
    };
    crate::storage::fixture::eventually(forgotten).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_is_bounded_by_what_lives_and_what_is_kept() {
    /// Of the history; 100 objects of 20 KB live, and 120 MB are written.
    const KEPT_BYTES: u64 = 16 << 20;
    const LIVE_BYTES: u64 = 100 * 20_000;
    let bench = Bench::new(Backend::Sqlite).await;
    bench.store.close().await;
    let retention = Retention { bytes_max: KEPT_BYTES, ..Retention::FILE };
    let options = options(Backend::Sqlite, &bench.path(), &bench.clock);
    let store = open_store(crate::storage::Options { retention, ..options }).await.unwrap();
    let size = |path: &Path| path.metadata().unwrap().len();
    let mut largest = 0;
    for _ in 0..60 {
        rewrite(&store, 1, 100).await;
        let revision = store.revision().0;
        let forgotten = || {
            bench.clock.advance(std::time::Duration::from_secs(1));
            // Each state is 20 KB of the history, which is forgotten a round at a time.
            store.compacted().0 + KEPT_BYTES / 20_000 + 100 >= revision
        };
        crate::storage::fixture::eventually(forgotten).await;
        largest = largest.max(size(&bench.path()));
    }
    assert!(largest <= 2 * (LIVE_BYTES + KEPT_BYTES), "{largest}");
    store.close().await;
    assert_eq!(faults(&bench.path()).await, [""; 0]);
}

/// What a check finds.
async fn faults(path: &Path) -> Vec<String> {
    check(path, &mut |_| Ok(())).await.unwrap().faults
}

/// Runs statements on a good file, and tells what a check finds then.
async fn faults_after(statements: &'static str) -> Vec<String> {
    let mut bench = Bench::new(Backend::Sqlite).await;
    let first = bench.create("pods/x/a").await;
    let second = bench.update(&first).await;
    let other = bench.create("pods/x/b").await;
    bench.delete(&second).await;
    bench.update(&other).await;
    bench.reopen().await;
    bench.store.close().await;
    assert_eq!(faults(&bench.path()).await, [""; 0]);
    run(&bench.path(), statements).await;
    faults(&bench.path()).await
}

#[tokio::test]
async fn a_check_finds_what_breaks_the_history() {
    for (statements, found) in [
        ("DELETE FROM log WHERE revision = 3", "no row is between 2 and 4"),
        ("UPDATE log SET previous = NULL WHERE revision = 2", "does not say from what"),
        ("UPDATE log SET previous = 1 WHERE revision = 5", "which is at 3"),
        ("UPDATE log SET kind = 0 WHERE revision = 5", "creates pods x/b, which there is"),
        ("UPDATE log SET kind = 7 WHERE revision = 5", "is of no known kind"),
        ("UPDATE log SET name = 'c' WHERE revision = 3", "row 3 is not as it was written"),
        ("UPDATE log SET body = x'7b7d' WHERE revision = 1", "row 1 is not as it was written"),
        ("UPDATE log SET collection = 9 WHERE revision = 1", "of a collection that does not exist"),
        ("UPDATE log SET written = 0 WHERE revision = 4", "counts fewer bytes"),
        ("UPDATE log SET at = at + 1 WHERE revision = 2", "row 2 is not as it was written"),
        ("UPDATE log SET collection = 7 WHERE revision = 2", "of a collection that does not exist"),
        ("UPDATE collections SET name = 'podt'", "row 1 is not as it was written"),
        ("UPDATE bounds SET compacted = 99", "what it says of its bounds is not as it was written"),
        ("DELETE FROM log WHERE revision = 5", "the last row is 4, but 5 was reached"),
    ] {
        let faults = faults_after(statements).await;
        assert!(faults.iter().any(|fault| fault.contains(found)), "{statements}: {faults:?}");
    }
}

#[tokio::test]
async fn a_check_asks_what_else_must_be_true() {
    let bench = Bench::new(Backend::Sqlite).await;
    bench.create("pods/x/a").await;
    let judged = check(&bench.path(), &mut |stored| Err(format!("{} is wrong", stored.key.name))).await.unwrap();
    assert_eq!(judged.faults, ["the object of row 1: a is wrong"]);
}

#[tokio::test]
async fn a_compacted_file_is_whole() {
    let mut bench = Bench::new(Backend::Sqlite).await;
    let mut present: Vec<Arc<Stored>> = Vec::new();
    for number in 0..60 {
        present.push(bench.create(&format!("pods/x/{number}")).await);
        if number % 3 == 0 {
            let first = present.remove(0);
            present.push(bench.update(&first).await);
        }
        if number % 5 == 0 {
            bench.delete(&present.remove(0)).await;
        }
        if number % 20 == 19 {
            bench.store.compact_before(Revision(bench.store.revision().0 - number % 7)).await.unwrap();
            assert_eq!(faults(&bench.path()).await, [""; 0], "after {number}");
        }
    }
    bench.reopen().await;
    assert_eq!(faults(&bench.path()).await, [""; 0]);
}

#[tokio::test]
async fn a_write_ahead_log_cut_anywhere_opens_to_the_commits_before_the_cut() {
    const HEADER_BYTES: usize = 32;
    const FRAME_BYTES: usize = 24 + open::PAGE_BYTES as usize;
    let bench = Bench::new(Backend::Sqlite).await;
    let wal = open::beside(&bench.path(), "-wal");
    // Where each commit ends, and its revision.
    let mut ends = vec![(0, 0)];
    for round in 0..6 {
        let writes = (0..round * 7 + 1).map(|number| create(&format!("pods/x/{round}-{number}"))).collect();
        bench.store.commit(writes).await.unwrap();
        ends.push((wal.metadata().unwrap().len() as usize, bench.store.revision().0));
    }
    let bytes = std::fs::read(&wal).unwrap();
    let crashed = bench.folder.path().join("crashed.db");
    let frames = (bytes.len() - HEADER_BYTES) / FRAME_BYTES;
    for frame in 0..=frames {
        let boundary = HEADER_BYTES + frame * FRAME_BYTES;
        for cut in [boundary, boundary + 10, boundary + FRAME_BYTES / 2].into_iter().filter(|cut| *cut <= bytes.len()) {
            std::fs::copy(bench.path(), &crashed).unwrap();
            std::fs::write(open::beside(&crashed, "-wal"), &bytes[..cut]).unwrap();
            let expected = ends.iter().rev().find(|(end, _)| *end <= cut).unwrap().1;
            let store = open_at(&crashed).await.unwrap();
            assert_eq!(store.revision(), Revision(expected), "cut at {cut}");
            assert_eq!(store.snapshot().count("pods"), expected as usize);
            store.close().await;
            std::fs::remove_file(&crashed).unwrap();
        }
    }
}

#[tokio::test]
async fn each_statement_uses_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let log = bare_log(folder.path()).await;
    let insert = append::insert(1);
    let statements = [
        (insert, 0),
        (append::INSERT_COLLECTION, 0),
        (append::LAST_REVISION, 0),
        (compact::STEP, 0),
        // What is to be forgotten comes as a list.
        (compact::FORGET, 1),
        (bounds::BOUNDS, 0),
        (bounds::SET_BOUNDS, 0),
        (reseal::OLD_ROWS, 0),
        (reseal::RESEAL, 0),
        (open::MARK, 0),
        (read::PAGE, 0),
        (read::UNDO, 0),
        // Loading and checking walk the log, by nature.
        (load::LOAD, 1),
        (check::ROWS, 1),
    ];
    let mut connection = log.readers.acquire().await.unwrap();
    for (statement, scans) in statements {
        let explain = format!("EXPLAIN QUERY PLAN {statement}");
        let rows = sqlx::query(AssertSqlSafe(explain)).fetch_all(&mut *connection).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        let found = plan.iter().filter(|step| step.starts_with("SCAN")).count();
        assert_eq!(found, scans, "{statement}: {plan:?}");
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{statement}: {plan:?}");
    }
}

#[tokio::test]
async fn a_damaged_row_of_the_past_is_noticed_when_it_is_read() {
    let mut bench = Bench::new(Backend::Sqlite).await;
    let first = bench.create("pods/x/a").await;
    bench.update(&first).await;
    bench.store.close().await;
    run(&bench.path(), "UPDATE log SET body = x'7b7d' WHERE revision = 1").await;
    bench.reopen().await;
    let error = bench.store.at(Revision(1)).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    let error = bench.watch(0, Scope::All).unwrap().next_batch().await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn a_new_file_gives_back_pages_of_our_size_and_writes_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    open_at(&path).await.unwrap().close().await;
    let mut connection = outside(&path).await;
    for (pragma, expected) in [("page_size", open::PAGE_BYTES.to_string()), ("auto_vacuum", "2".to_owned())] {
        let row = sqlx::query(AssertSqlSafe(format!("PRAGMA {pragma}"))).fetch_one(&mut connection).await.unwrap();
        assert_eq!(row.get::<i64, _>(0).to_string(), expected, "{pragma}");
    }
    let row = sqlx::query("PRAGMA journal_mode").fetch_one(&mut connection).await.unwrap();
    assert_eq!(row.get::<String, _>(0), "wal");
}

#[tokio::test]
async fn an_interrupted_creation_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    std::fs::write(&path, b"").unwrap();
    std::fs::write(open::beside(&path, ".new"), b"half a file").unwrap();
    let store = open_at(&path).await.unwrap();
    store.commit(vec![create("pods/x/a")]).await.unwrap();
    assert!(!open::beside(&path, ".new").exists());
}

#[tokio::test]
async fn a_log_without_its_database_does_not_get_into_a_new_one() {
    let bench = Bench::new(Backend::Sqlite).await;
    bench.create("pods/x/a").await;
    let path = bench.folder.path().join("new.db");
    std::fs::copy(open::beside(&bench.path(), "-wal"), open::beside(&path, "-wal")).unwrap();
    assert_eq!(open_at(&path).await.unwrap().revision(), Revision(0));
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new(Backend::Sqlite).await;
    bench.create("pods/x/a").await;
    for suffix in ["", "-wal"] {
        let mode = open::beside(&bench.path(), suffix).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{suffix}");
    }
}
