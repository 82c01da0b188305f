//! What becomes of the database file: backups while running, restoring, checking; files that cannot be used are refused
//! with the reason and left as they were; a full disk refuses writes and nothing else.

use std::path::Path;
use std::process::Output;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Connection, DataFolder, Order, Signal};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn create(connection: &Connection, name: &str, bytes: usize) -> (StatusCode, Value) {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"test": "files"}},
        "data": {"name": format!("this-is-{name}"), "padding": "x".repeat(bytes)}});
    let answer = connection.request(Method::POST, MAPS).json(&map).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn get(connection: &Connection, path: &str) -> (StatusCode, Value) {
    let answer = connection.request(Method::GET, path).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// The names of what `create` made.
async fn names(connection: &Connection) -> Vec<String> {
    let (_, list) = get(connection, &format!("{MAPS}?labelSelector=test=files")).await;
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

fn said(output: &Output) -> String {
    [&*output.stdout, &*output.stderr].map(String::from_utf8_lossy).concat()
}

#[track_caller]
fn check_says(output: &Output, success: bool, words: &str) {
    let said = said(output);
    assert!(output.status.success() == success && said.contains(words), "{}: {said}", output.status);
}

/// A data folder whose server has ended in order, with some objects.
async fn filled() -> DataFolder {
    let mut data = DataFolder::new();
    let life = data.start();
    let connection = life.ready().await;
    for number in 0..20 {
        assert_eq!(create(&connection, &format!("map-{number:02}"), 500).await.0, 201);
    }
    life.signal(Signal::Terminate);
    life.gone().await;
    data
}

/// Every file of the database with its content.
fn files(data: &DataFolder) -> Vec<(String, Vec<u8>)> {
    let folder = data.database().parent().unwrap().read_dir().unwrap();
    let mut files: Vec<_> = folder
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file() && !entry.path().ends_with("coracle.db.lock"))
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// Changes the first byte of each place where a text stands in a file.
fn spoil(file: &Path, text: &str) {
    let mut bytes = std::fs::read(file).unwrap();
    let found: Vec<_> = (0..bytes.len() - text.len()).filter(|at| bytes[*at..].starts_with(text.as_bytes())).collect();
    assert!(!found.is_empty(), "{text} is not in the file");
    found.iter().for_each(|at| bytes[*at] ^= 1);
    std::fs::write(file, bytes).unwrap();
}

/// Starts a server on a file that it cannot use.
async fn check_refused(data: &mut DataFolder, words: &[&str]) {
    let before = files(data);
    let said = data.refused().await;
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said}");
    }
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(files(data) == before, "the files were changed");
}

#[tokio::test]
async fn a_backup_of_a_running_server_holds_what_was_acknowledged_and_is_restored() {
    let mut data = DataFolder::new();
    let life = data.start();
    let connection = life.ready().await;
    let copy = data.beside("copy.db");
    let mut acknowledged = 0;
    let backup = tokio::task::spawn_blocking({
        for number in 0..30 {
            assert_eq!(create(&connection, &format!("map-{number:03}"), 2_000).await.0, 201);
        }
        let mut command = std::process::Command::new(crate::server::program());
        command.arg("backup").arg(&copy).arg("--data-dir").arg(data.database().parent().unwrap());
        move || command.output().unwrap()
    });
    while !backup.is_finished() {
        assert_eq!(create(&connection, &format!("map-{:03}", 30 + acknowledged), 2_000).await.0, 201);
        acknowledged += 1;
    }
    check_says(&backup.await.unwrap(), true, "objects at resourceVersion");
    let again = data.run(&["backup", copy.to_str().unwrap()]);
    check_says(&again, false, "exists already");
    life.kill();

    let mut restored = DataFolder::restored(&copy);
    check_says(&restored.run(&["check"]), true, "are whole");
    let life = restored.start();
    let connection = life.ready().await;
    let names = names(&connection).await;
    // The first so many: nothing between them is missing.
    let expected: Vec<_> = (0..names.len()).map(|number| format!("map-{number:03}")).collect();
    assert_eq!(names, expected);
    assert!(names.len() >= 30, "{names:?}");
    assert_eq!(create(&connection, "new", 10).await.0, 201);
    life.kill();
}

#[tokio::test]
async fn a_backup_is_private_and_half_a_one_does_not_stay() {
    use std::os::unix::fs::PermissionsExt;
    let data = filled().await;
    let copy = data.beside("copy.db");
    check_says(&data.run(&["backup", copy.to_str().unwrap()]), true, "copy.db");
    assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    spoil(&data.database(), "this-is-map-07");
    let spoilt = data.beside("spoilt.db");
    check_says(&data.run(&["backup", spoilt.to_str().unwrap()]), false, "is damaged");
    let nowhere = data.beside("no/such/folder.db");
    check_says(&data.run(&["backup", nowhere.to_str().unwrap()]), false, "folder.db");
    assert!(!spoilt.exists() && !data.beside("spoilt.db.partial").exists());
}

#[tokio::test]
async fn a_check_changes_nothing_and_names_what_is_wrong() {
    let mut data = filled().await;
    let before = files(&data);
    check_says(&data.run(&["check"]), true, "are whole");
    assert!(files(&data) == before, "a check changed the files");

    let life = data.start();
    life.ready().await;
    check_says(&data.run(&["check"]), true, "are whole");
    life.kill();
    // As a killed process leaves it, with a write-ahead log.
    let before = files(&data);
    check_says(&data.run(&["check"]), true, "are whole");
    let after = files(&data);
    let same = before.iter().filter(|(name, _)| !name.ends_with("-shm")).all(|file| after.contains(file));
    assert!(same, "a check changed the files");

    let mut data = filled().await;
    spoil(&data.database(), "this-is-map-07");
    let output = data.run(&["check"]);
    check_says(&output, false, "is not as it was written");
    assert_eq!(said(&output).matches("not as it was written").count(), 1, "{}", said(&output));
    check_refused(&mut data, &["is damaged", "restore a backup"]).await;
}

#[tokio::test]
async fn a_file_cut_short_is_named_by_a_check_and_refused() {
    let mut data = filled().await;
    let length = data.database().metadata().unwrap().len();
    std::fs::OpenOptions::new().write(true).open(data.database()).unwrap().set_len(length / 2).unwrap();
    check_says(&data.run(&["check"]), false, "is damaged");
    check_refused(&mut data, &["is damaged", "restore a backup"]).await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_untouched() {
    /// Where SQLite keeps `user_version`.
    const VERSION_AT: usize = 60;
    let mut data = filled().await;
    let mut bytes = std::fs::read(data.database()).unwrap();
    bytes[VERSION_AT..VERSION_AT + 4].copy_from_slice(&999_u32.to_be_bytes());
    std::fs::write(data.database(), bytes).unwrap();
    check_refused(&mut data, &["schema version 999", "use a newer program"]).await;
    check_says(&data.run(&["check"]), false, "schema version 999");
    check_says(&data.run(&["backup", data.beside("copy.db").to_str().unwrap()]), false, "schema version 999");
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_refused_untouched() {
    let mut data = filled().await;
    std::fs::write(data.database(), "notes of somebody else").unwrap();
    check_refused(&mut data, &["is not a store of this program", "not a SQLite database"]).await;
    check_says(&data.run(&["check"]), false, "is not a store of this program");
    std::fs::remove_file(data.database()).unwrap();
    check_says(&data.run(&["check"]), false, "coracle.db");
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_file() {
    let mut data = DataFolder::new();
    let life = data.start();
    life.ready().await;
    let said = data.refused().await;
    assert!(said.contains(&format!("in use by process {}", life.id())), "{said}");
    life.kill();
}

#[tokio::test]
async fn a_full_disk_refuses_writes_with_a_reason_and_nothing_else() {
    let mut data = DataFolder::new();
    let life = data.start();
    let connection = life.ready().await;
    assert_eq!(create(&connection, "before", 100).await.0, 201);
    life.limit_files(Some(life.log_bytes() + 100_000));
    let mut made = 0;
    let refused = loop {
        let (status, body) = create(&connection, &format!("map-{made:03}"), 10_000).await;
        if status != 201 {
            break (status, body);
        }
        made += 1;
        assert!(made < 1_000, "the disk never was full");
    };
    assert_eq!((refused.0.as_u16(), &refused.1["kind"]), (500, &json!("Status")), "{}", refused.1);
    let message = refused.1["message"].as_str().unwrap();
    assert!(message.contains("free disk space"), "{message}");
    let large = format!("map-{made:03}");
    assert_eq!(get(&connection, &format!("{MAPS}/{large}")).await.0, 404);
    assert_eq!(get(&connection, &format!("{MAPS}/before")).await.0, 200);
    assert_eq!(names(&connection).await.len(), made + 1);

    life.limit_files(None);
    assert_eq!(create(&connection, &large, 10_000).await.0, 201);
    life.kill();
    let life = data.start();
    assert_eq!(names(&life.ready().await).await.len(), made + 2);
    life.kill();
    check_says(&data.run(&["check"]), true, "are whole");
}

#[tokio::test]
async fn a_write_that_could_not_be_brought_to_the_disk_is_not_said_to_be_undone() {
    let (mut data, sabotage) = DataFolder::sabotaged();
    let life = data.start();
    let connection = life.ready().await;
    assert_eq!(create(&connection, "before", 100).await.0, 201);
    sabotage.order(Order::FailedSyncs, 1);
    let (status, body) = create(&connection, "unsure", 100).await;
    assert_eq!((status.as_u16(), &body["kind"]), (500, &json!("Status")), "{body}");
    // The process after this one may find it.
    assert!(body["message"].as_str().unwrap().contains("is unknown; restart to recover"), "{body}");
    sabotage.order(Order::FailedSyncs, 0);
    assert_eq!(create(&connection, "later", 100).await.0, 500);
    assert_eq!(names(&connection).await, ["before"]);
    life.kill();
    let life = data.start();
    let connection = life.ready().await;
    assert!(names(&connection).await.contains(&"before".to_owned()));
    assert_eq!(create(&connection, "later", 100).await.0, 201);
    life.kill();
    check_says(&data.run(&["check"]), true, "are whole");
}
