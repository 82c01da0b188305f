//! kubeconfig files: our own, written as a whole, and the user's, into which our entries are merged as kind does.
//! The user's file is never damaged: it is locked as client-go locks it, everything else in it is kept, what would be
//! written is read back and compared before it takes the file's place in one step.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::files::{file_error, write_atomic};
use super::{Error, Identity};

/// How long another program may hold the lock.
const LOCK_ATTEMPTS_MAX: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// A cluster as a client sees it. Cluster, user and context carry the same name.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Such as `coracle`.
    pub name: &'a str,
    /// `https://127.0.0.1:6443`.
    pub server: &'a str,
    /// The cluster's authority (PEM).
    pub authority: &'a str,
    pub client: &'a Identity,
}

/// Writes a kubeconfig that holds this cluster alone.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, entry: &Entry<'_>) -> Result<(), Error> {
    make_folder(path)?;
    write_atomic(path, &render(path, &merged(&Value::Null, entry).map_err(unusable(path))?)?, 0o600)
}

/// What a merge took the place of.
#[derive(Clone, Debug)]
pub struct Before {
    /// By list, in the order of `LISTS`.
    items: [Option<Value>; 3],
    current: Value,
}

const LISTS: [&str; 3] = ["clusters", "users", "contexts"];

/// Adds the cluster to the user's file, or renews it there, and makes it the current context.
///
/// # Errors
/// When somebody else holds the lock, when the file is not one that can be understood (it stays as it is), or when it
/// cannot be written.
pub fn merge(path: &Path, entry: &Entry<'_>) -> Result<Before, Error> {
    let mut before = None;
    change(path, |present| {
        let items = LISTS.map(|list| find(present, list, entry.name).cloned());
        before = Some(Before { items, current: present["current-context"].clone() });
        merged(present, entry)
    })?;
    Ok(before.expect("the change was worked out"))
}

/// Puts back what a merge took the place of, for a cluster that is gone. Where somebody else has written another
/// cluster under the name since, nothing is changed.
///
/// # Errors
/// As `merge`.
pub fn restore(path: &Path, entry: &Entry<'_>, before: &Before) -> Result<(), Error> {
    change(path, |present| Ok(restored(present, entry, before)))
}

fn restored(present: &Value, entry: &Entry<'_>, before: &Before) -> Value {
    let mut next = present.clone();
    let ours = find(present, "clusters", entry.name).is_some_and(|item| item["cluster"]["server"] == entry.server);
    if !ours {
        return next;
    }
    for (list, item) in LISTS.iter().zip(&before.items) {
        let Some(items) = next[*list].as_array_mut() else { continue };
        match (items.iter().position(|present| present["name"] == entry.name), item) {
            (Some(at), Some(item)) => items[at] = item.clone(),
            (Some(at), None) => drop(items.remove(at)),
            (None, _) => {}
        }
    }
    if next["current-context"] == entry.name {
        next["current-context"] = if before.current.is_string() { before.current.clone() } else { json!("") };
    }
    next
}

fn find<'a>(config: &'a Value, list: &str, name: &str) -> Option<&'a Value> {
    config[list].as_array()?.iter().find(|item| item["name"] == name)
}

/// Changes a file under its lock.
fn change(path: &Path, next: impl FnOnce(&Value) -> Result<Value, String>) -> Result<(), Error> {
    make_folder(path)?;
    // The lock stands beside the name that was given, where kubectl looks for it.
    let _lock = Lock::take(path)?;
    // A link to a file elsewhere stays a link.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (text, mode) = match fs::read_to_string(path) {
        Ok(text) => (text, fs::metadata(path).map_or(0o600, |metadata| metadata.permissions().mode() & 0o777)),
        Err(error) if error.kind() == ErrorKind::NotFound => (String::new(), 0o600),
        Err(error) => return Err(file_error(path, "read")(error)),
    };
    let present = if text.trim().is_empty() { Value::Null } else { parse(path, &text)? };
    let next = next(&present).map_err(unusable(path))?;
    if next == present {
        return Ok(());
    }
    write_atomic(path, &render(path, &next)?, mode)
}

/// The file that is the user's own: of several in `$KUBECONFIG` the first that exists, or the last; else the one in
/// the home folder.
pub fn users_own(variable: Option<&str>, home: Option<&Path>) -> Option<PathBuf> {
    let listed: Vec<PathBuf> = variable
        .into_iter()
        .flat_map(|list| list.split(':'))
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .collect();
    let existing = listed.iter().find(|path| path.exists());
    existing.or(listed.last()).cloned().or_else(|| home.map(|home| home.join(".kube/config")))
}

fn make_folder(path: &Path) -> Result<(), Error> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => {
            fs::create_dir_all(folder).map_err(file_error(folder, "created"))
        }
        Some(_) | None => Ok(()),
    }
}

fn unusable(path: &Path) -> impl FnOnce(String) -> Error {
    let path = path.to_owned();
    move |why| Error::Unusable { path, why }
}

fn parse(path: &Path, text: &str) -> Result<Value, Error> {
    serde_saphyr::from_str(text)
        .map_err(|error| unusable(path)(format!("it is no kubeconfig that could be read: {error}")))
}

/// As YAML that reads back as the same.
fn render(path: &Path, config: &Value) -> Result<String, Error> {
    let text = serde_saphyr::to_string(config).map_err(|error| unusable(path)(error.to_string()))?;
    if parse(path, &text).is_ok_and(|read| read == *config) {
        return Ok(text);
    }
    // JSON is YAML too; it stands in where the YAML writer would change something.
    serde_json::to_string_pretty(config).map_err(|error| unusable(path)(error.to_string()))
}

/// A config with the entry in the place of those of its name.
fn merged(present: &Value, entry: &Entry<'_>) -> Result<Value, String> {
    let mut config = match present {
        Value::Null => json!({ "apiVersion": "v1", "kind": "Config", "preferences": {} }),
        Value::Object(_) => present.clone(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err("it is no kubeconfig: a mapping is expected".to_owned());
        }
    };
    let name = entry.name;
    let data = |text: &str| STANDARD.encode(text);
    let cluster = json!({ "server": entry.server, "certificate-authority-data": data(entry.authority) });
    let user = json!({
        "client-certificate-data": data(&entry.client.certificate), "client-key-data": data(&entry.client.key),
    });
    put(&mut config, "clusters", json!({ "name": name, "cluster": cluster }))?;
    put(&mut config, "users", json!({ "name": name, "user": user }))?;
    put(&mut config, "contexts", json!({ "name": name, "context": { "cluster": name, "user": name } }))?;
    config["current-context"] = json!(name);
    Ok(config)
}

/// Puts an item into a list of named ones.
fn put(config: &mut Value, list: &str, item: Value) -> Result<(), String> {
    let slot = &mut config[list];
    if slot.is_null() {
        *slot = json!([]);
    }
    let items = slot.as_array_mut().ok_or_else(|| format!("it is no kubeconfig: {list} is not a list"))?;
    match items.iter_mut().find(|present| present["name"] == item["name"]) {
        Some(present) => *present = item,
        None => items.push(item),
    }
    Ok(())
}

/// `config.lock`, as client-go makes it; removed when dropped.
struct Lock {
    path: PathBuf,
}

impl Lock {
    fn take(file: &Path) -> Result<Self, Error> {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        let path = file.with_file_name(name);
        for attempt in 0..LOCK_ATTEMPTS_MAX {
            if attempt > 0 {
                std::thread::sleep(LOCK_PAUSE);
            }
            match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(_) => return Ok(Self { path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(file_error(&path, "created")(error)),
            }
        }
        let why = "another program holds it; remove it if none is running".to_owned();
        Err(Error::Unusable { path, why })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the lock of the kubeconfig could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { certificate: "certificate".to_owned(), key: "key".to_owned() }
    }

    fn entry<'a>(client: &'a Identity, server: &'a str) -> Entry<'a> {
        Entry { name: "coracle", server, authority: "ca", client }
    }

    fn read(path: &Path) -> Value {
        parse(path, &fs::read_to_string(path).unwrap()).unwrap()
    }

    const USERS: &str = r#"
# my clusters
apiVersion: v1
kind: Config
current-context: work
clusters:
- name: work
  cluster: { server: "https://work:6443", proxy-url: "socks5://x", extensions: [{ name: e, extension: { a: 1.50, b: "1.50" } }] }
contexts:
- name: work
  context: { cluster: work, user: me, namespace: "123" }
users:
- name: me
  user:
    exec: { apiVersion: client.authentication.k8s.io/v1, command: aws, args: ["yes", "0x10", "~", "1e3"], env: null }
    unknown: [true, null, "null", "on"]
other: kept
"#;

    #[test]
    fn our_own_file_holds_all_that_a_client_needs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/kubeconfig");
        write(&path, &entry(&identity(), "https://127.0.0.1:6443")).unwrap();
        let config = read(&path);
        assert_eq!(config["current-context"], "coracle");
        assert_eq!(config["clusters"][0]["cluster"]["server"], "https://127.0.0.1:6443");
        assert_eq!(config["clusters"][0]["cluster"]["certificate-authority-data"], STANDARD.encode("ca"));
        assert_eq!(config["users"][0]["user"]["client-key-data"], STANDARD.encode("key"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn merging_keeps_everything_else_in_the_users_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        fs::write(&path, USERS).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let before = read(&path);
        merge(&path, &entry(&identity(), "https://127.0.0.1:1")).unwrap();
        merge(&path, &entry(&identity(), "https://127.0.0.1:2")).unwrap();
        let mut after = read(&path);
        for list in ["clusters", "contexts", "users"] {
            let ours = after[list].as_array_mut().unwrap().remove(1);
            assert_eq!(ours["name"], "coracle");
        }
        assert_eq!(after["current-context"].take(), "coracle");
        after["current-context"] = json!("work");
        assert_eq!(after, before);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no lock and no half file is left");
    }

    #[test]
    fn a_file_that_is_no_kubeconfig_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        for text in ["just words", "clusters: 5", "a: [b"] {
            fs::write(&path, text).unwrap();
            assert!(merge(&path, &entry(&identity(), "https://x")).is_err(), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("config"));
        fs::write(&real, USERS).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        merge(&link, &entry(&identity(), "https://x")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
        assert_eq!(read(&real)["current-context"], "coracle");
        fs::write(folder.path().join("config.lock"), "").unwrap();
        let held = merge(&link, &entry(&identity(), "https://x")).unwrap_err().to_string();
        assert!(held.contains("config.lock cannot be used"), "{held}");
    }

    #[test]
    fn the_users_own_file_is_found_as_kind_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a"), folder.path().join("b"));
        let list = format!("{}:{}", first.display(), second.display());
        assert_eq!(users_own(Some(&list), None), Some(second.clone()));
        fs::write(&first, "").unwrap();
        assert_eq!(users_own(Some(&list), None), Some(first));
        assert_eq!(users_own(Some(""), Some(Path::new("/h"))), Some(PathBuf::from("/h/.kube/config")));
    }

    #[test]
    fn what_a_cluster_that_is_gone_took_the_place_of_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        fs::write(&path, USERS).unwrap();
        let identity = identity();
        let kept = entry(&identity, "https://127.0.0.1:6443");
        merge(&path, &kept).unwrap();
        let with_kept = read(&path);
        let gone = entry(&identity, "https://127.0.0.1:7443");
        let before = merge(&path, &gone).unwrap();
        assert_ne!(read(&path), with_kept);
        restore(&path, &gone, &before).unwrap();
        assert_eq!(read(&path), with_kept);
        restore(&path, &gone, &before).unwrap();
        assert_eq!(read(&path), with_kept);
    }

    #[test]
    fn the_context_of_a_cluster_that_is_gone_is_taken_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        fs::write(&path, USERS).unwrap();
        let before = read(&path);
        let identity = identity();
        let gone = entry(&identity, "https://127.0.0.1:7443");
        let merged = merge(&path, &gone).unwrap();
        restore(&path, &gone, &merged).unwrap();
        assert_eq!(read(&path), before);
    }

    proptest::proptest! {
        #[test]
        fn any_file_is_understood_or_left_alone(
            text in "(clusters|contexts|users|name|current-context|[a-c]|[-:{}\\[\\], \n\"])*",
        ) {
            let client = identity();
            if let Ok(present) = parse(Path::new("config"), &text)
                && let Ok(next) = merged(&present, &entry(&client, "https://here"))
            {
                proptest::prop_assert_eq!(merged(&next, &entry(&client, "https://here")).unwrap(), next);
            }
        }
    }
}
