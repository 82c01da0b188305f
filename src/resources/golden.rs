//! Upstream's golden objects (`k8s.io/api/testdata`), read from the Go module cache: our JSON and protobuf must be
//! theirs to the byte. Where the cache is absent the test says that it did not run.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::facts::Facts;
use crate::api::GroupVersionKind;
use crate::api::codec::json::{self, Layout};
use crate::api::codec::protobuf;
use crate::api::schema::decode::normalise;
use crate::api::schema::validate::{Level, Options, validate};

const MODULE: &str = "k8s.io/api@v0.37.1";

/// The folder of golden objects, by `go env` or the cache's usual place.
fn corpus() -> Option<PathBuf> {
    let by_go = Command::new("go").args(["env", "GOMODCACHE"]).output().ok();
    let by_go = by_go.and_then(|o| String::from_utf8(o.stdout).ok()).map(|t| PathBuf::from(t.trim()));
    let by_home = std::env::home_dir().map(|home| home.join("go/pkg/mod"));
    let folders = [by_go, by_home].into_iter().flatten();
    folders.map(|cache| cache.join(MODULE).join("testdata/HEAD")).find(|folder| folder.is_dir())
}

struct Golden {
    facts: Facts,
    compared: usize,
    faults: Vec<String>,
}

impl Golden {
    fn check(&mut self, pb_path: &Path) {
        let name = pb_path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let pb = std::fs::read(pb_path).unwrap();
        let text = std::fs::read(pb_path.with_extension("json")).unwrap();
        let envelope = protobuf::open(&pb).unwrap();
        let gvk = GroupVersionKind::parse(&envelope.api_version, &envelope.kind);
        // Versions that are no longer served have golden objects, too.
        let Some(id) = self.facts.type_of(&gvk) else { return };
        self.compared += 1;
        let types = self.facts.types.clone();
        let from_json = json::decode(&text).unwrap().value;
        let mut normal = from_json.clone();
        match normalise(&mut normal, &types, id) {
            Ok(unknown) if unknown.is_empty() => {}
            outcome => self.faults.push(format!("{name}: normalise {outcome:?}")),
        }
        self.equal(&format!("{name}: normalised JSON"), &from_json, &normal);
        match protobuf::decode(envelope.raw, &types, id) {
            Ok(mut value) => {
                let root = value.as_object_mut().unwrap();
                root.insert("apiVersion".to_owned(), envelope.api_version.clone().into());
                root.insert("kind".to_owned(), envelope.kind.clone().into());
                self.equal(&format!("{name}: protobuf"), &from_json, &value);
            }
            Err(error) => self.faults.push(format!("{name}: {error}")),
        }
        match protobuf::encode_object(&from_json, &types, id) {
            Ok(bytes) if bytes == pb => {}
            Ok(bytes) => self.faults.push(format!("{name}: {} bytes of protobuf for {}", bytes.len(), pb.len())),
            Err(error) => self.faults.push(format!("{name}: {error}")),
        }
        // The order of the keys is of no account.
        let sorted = json::encode(&from_json, Layout::Sorted);
        if protobuf::encode_json(&sorted, &types, id).as_deref() != Ok(envelope.raw) {
            self.faults.push(format!("{name}: protobuf of sorted JSON"));
        }
        let written = json::pretty(&json::encode(&from_json, Layout::Typed(&types, id)));
        if written.trim_ascii_end() != text.trim_ascii_end() {
            let line = written.split(|b| *b == b'\n').zip(text.split(|b| *b == b'\n')).find(|(a, b)| a != b);
            let line = line.map(|(a, b)| format!("{} / {}", String::from_utf8_lossy(a), String::from_utf8_lossy(b)));
            self.faults.push(format!("{name}: JSON {line:?}"));
        }
    }

    fn equal(&mut self, what: &str, expected: &Value, got: &Value) {
        if let Some(at) = difference(expected, got) {
            self.faults.push(format!("{what} differs at {at}"));
        }
    }
}

fn difference(a: &Value, b: &Value) -> Option<String> {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let keys = x.keys().chain(y.keys());
            keys.into_iter().find_map(|key| match (x.get(key), y.get(key)) {
                (Some(x), Some(y)) => difference(x, y).map(|at| format!(".{key}{at}")),
                (x, y) => Some(format!(".{key}: {x:?} / {y:?}")),
            })
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            x.iter().zip(y).enumerate().find_map(|(i, (x, y))| difference(x, y).map(|at| format!("[{i}]{at}")))
        }
        (a, b) => (a != b).then(|| format!(": {a} / {b}")),
    }
}

#[test]
fn upstreams_golden_objects_are_read_and_written_to_the_byte() {
    let Some(folder) = corpus() else {
        eprintln!("NOT RUN: {MODULE} is not in the Go module cache (go mod download {MODULE})");
        return;
    };
    let mut golden = Golden { facts: Facts::load(), compared: 0, faults: Vec::new() };
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries.filter(|p| p.extension().is_some_and(|e| e == "pb")).collect();
    paths.sort();
    for path in &paths {
        golden.check(path);
    }
    assert!(golden.compared >= 120, "only {} of {} objects compared", golden.compared, paths.len());
    assert!(golden.faults.is_empty(), "{} faults:\n{}", golden.faults.len(), golden.faults.join("\n"));
}

/// Requests, what Go's types make of them as JSON, and as protobuf in hexadecimal: three lines for each object.
const CASES: &str = include_str!("golden.txt");

#[test]
fn requests_become_what_go_makes_of_them() {
    let facts = Facts::load();
    let lines: Vec<&str> = CASES.lines().collect();
    let (cases, rest) = lines.as_chunks::<3>();
    assert!(cases.len() >= 5 && rest.is_empty());
    for [request, expected, hex] in cases {
        let mut value = json::decode(request.as_bytes()).unwrap().value;
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let id = facts.type_of(&GroupVersionKind::parse(&api_version, &kind)).unwrap();
        assert_eq!(normalise(&mut value, &facts.types, id), Ok(Vec::new()));
        let written = json::encode(&value, Layout::Typed(&facts.types, id));
        assert_eq!(String::from_utf8(written).unwrap(), *expected);
        let raw = protobuf::encode(&value, &facts.types, id).unwrap();
        let ours: String = raw.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(ours, *hex, "{kind}");
        let mut back = protobuf::decode(&raw, &facts.types, id).unwrap();
        back["apiVersion"] = api_version.into();
        back["kind"] = kind.into();
        assert_eq!(back, value);
    }
}

/// Calls `see` with every object of a type among the facts in the recordings of upstream's answers.
fn each_recorded(facts: &Facts, see: &mut dyn FnMut(&GroupVersionKind, Value)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/recordings");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for path in entries.filter(|path| path.extension().is_some_and(|e| e == "json")) {
        let text = std::fs::read_to_string(path).unwrap();
        // What differs from run to run is masked.
        let text = text.replace("\"<time>\"", "\"2026-01-02T03:04:05Z\"");
        let mut open = vec![serde_json::from_str::<Value>(&text).unwrap()];
        while let Some(value) = open.pop() {
            if let Some(items) = value.as_array() {
                open.extend(items.iter().cloned());
            }
            let Some(object) = value.as_object() else { continue };
            open.extend(object.values().cloned());
            let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
            let gvk = GroupVersionKind::parse(text("apiVersion"), text("kind"));
            if facts.type_of(&gvk).is_some() {
                see(&gvk, value);
            }
        }
    }
}

#[test]
fn recorded_objects_come_back_from_protobuf() {
    let facts = Facts::load();
    let mut compared = 0;
    each_recorded(&facts, &mut |gvk, mut value| {
        let id = facts.type_of(gvk).unwrap();
        // A text in the place of owned fields is taken for such as they are stored.
        let owned = value.pointer("/metadata/managedFields/0/fieldsV1");
        if owned.is_some_and(Value::is_string) || normalise(&mut value, &facts.types, id).is_err() {
            return;
        }
        let raw = protobuf::encode(&value, &facts.types, id).unwrap();
        let sorted = json::encode(&value, Layout::Sorted);
        assert_eq!(protobuf::encode_json(&sorted, &facts.types, id).unwrap(), raw, "{gvk}: {value}");
        let mut back = protobuf::decode(&raw, &facts.types, id).unwrap();
        back["apiVersion"] = gvk.api_version().into();
        back["kind"] = gvk.kind.to_string().into();
        assert_eq!(protobuf::encode(&back, &facts.types, id).unwrap(), raw, "{gvk}: {value}");
        compared += 1;
    });
    assert!(compared > 300, "only {compared} objects compared");
}

#[test]
fn declared_rules_run_over_every_type() {
    let facts = Facts::load();
    for (id, _) in facts.types.iter() {
        let mut value = serde_json::json!({});
        normalise(&mut value, &facts.types, id).unwrap();
        let map = value.as_object().unwrap();
        for level in [Level::Enforced, Level::All] {
            let options = Options { level, enabled: &|_| true };
            let _ = validate(map, None, (&facts.types, id), options);
            assert_eq!(validate(map, Some(map), (&facts.types, id), options), Vec::new());
        }
    }
}
