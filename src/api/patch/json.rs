//! JSON patch (RFC 6902) as evanphx/json-patch v4 applies it under kube-apiserver: indices may be negative, `replace`
//! of a missing field adds it, `test` takes a missing field for null, and the first part of a path is never read.

use serde_json::{Map, Value};

use crate::api::codec::json::{DEPTH_MAX, depth, kind_of};
use crate::api::object::Object;
use crate::api::status::{Details, Reason, Result, Status};
use crate::base::room;

/// Operations of one patch.
const OPERATIONS_MAX: usize = 10_000;

/// What all `copy` operations of one patch may add, as JSON.
const COPIED_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Applies a patch.
///
/// # Errors
/// 400 when the document is no patch, 413 when it is too long, 422 when an operation does not apply.
pub(super) fn apply(live: &Object, patch: Value) -> Result<Value> {
    let operations = decode(patch)?;
    if operations.len() > OPERATIONS_MAX {
        let got = operations.len();
        return Err(Status::too_large(&format!(
            "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {got}"
        )));
    }
    // Upstream does not tell the client what went wrong, and neither do we.
    run(live, operations).map_err(|_| rejected())
}

/// Applies the patch of a webhook, of which upstream tells what went wrong.
///
/// # Errors
/// In the words of evanphx/json-patch.
pub(super) fn apply_told(live: &Object, patch: Value) -> std::result::Result<Value, String> {
    let operations = decode(patch).map_err(|status| status.message().to_owned())?;
    if operations.len() > OPERATIONS_MAX {
        return Err(format!("the allowed maximum operations in a JSON patch is {OPERATIONS_MAX}"));
    }
    run(live, operations)
}

fn run(live: &Object, operations: Vec<Operation>) -> std::result::Result<Value, String> {
    let mut document = Document { root: Value::Object(live.root().clone()), copied_bytes: 0 };
    for operation in operations {
        document.run(operation)?;
    }
    Ok(document.root)
}

/// 422 as upstream gives it for operations that do not apply.
pub(super) fn rejected() -> Status {
    let message = "the server rejected our request due to an error in our request";
    Status::new(422, Reason::Invalid, message).with_details(Details::default())
}

/// One operation; `value` is `None` when there is no such field.
struct Operation {
    op: String,
    path: Option<String>,
    from: Option<String>,
    value: Option<Value>,
}

fn decode(patch: Value) -> Result<Vec<Operation>> {
    let refuse = |why: String| Status::bad_request(format!("error decoding patch: json: cannot unmarshal {why}"));
    let items = match patch {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            return Err(refuse(format!("{} into Go value of type []handlers.jsonPatchOp", kind_of(&other))));
        }
    };
    let mut operations = Vec::with_capacity(items.len());
    for item in items {
        let mut fields = match item {
            Value::Object(fields) => fields,
            Value::Null => Map::new(),
            other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                return Err(refuse(format!("{} into Go value of type handlers.jsonPatchOp", kind_of(&other))));
            }
        };
        let mut text = |name: &str| match fields.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => {
                let kind = kind_of(&other);
                Err(refuse(format!("{kind} into Go struct field jsonPatchOp.{name} of type string")))
            }
        };
        let (op, path, from) = (text("op")?.unwrap_or_default(), text("path")?, text("from")?);
        operations.push(Operation { op, path, from, value: fields.remove("value") });
    }
    Ok(operations)
}

struct Document {
    root: Value,
    copied_bytes: usize,
}

/// What an operation gives; the error is upstream's text.
type Done<T> = std::result::Result<T, String>;

impl Document {
    fn run(&mut self, operation: Operation) -> Done<()> {
        let Operation { op, path, from, value } = operation;
        let undecoded = |what: &str| format!("{op} operation failed to decode {what}: missing value");
        let path = path.ok_or_else(|| undecoded("path"))?;
        match op.as_str() {
            "add" => self.add(&path, value.unwrap_or(Value::Null)),
            "remove" => self.remove(&path).map(drop),
            "replace" => self.replace(&path, value),
            "move" => {
                let from = from.ok_or_else(|| undecoded("from"))?;
                let missing = format!("move operation does not apply: doc is missing from path: {from}: missing value");
                let value = self.container(&from).ok_or(missing).and_then(|at| {
                    // Upstream names the key here, not the path.
                    let key = at.1.clone();
                    take(at, &key, "move")
                })?;
                let missing =
                    format!("move operation does not apply: doc is missing destination path: {path}: missing value");
                self.container(&path).ok_or(missing)?;
                self.add(&path, value).map_err(|error| error.replacen("error in add", "error in move", 1))
            }
            "copy" => self.copy(&from.ok_or_else(|| undecoded("from"))?, &path),
            "test" => self.test(&path, value.as_ref()),
            other => Err(format!("Unexpected kind: {other}")),
        }
    }

    /// The container that a path leads into, and the last part of the path.
    fn container(&mut self, path: &str) -> Option<(&mut Value, String)> {
        let (_, path) = path.split_once('/')?;
        let (parents, last) = path.rsplit_once('/').map_or((None, path), |(parents, last)| (Some(parents), last));
        let mut at = &mut self.root;
        for part in parents.into_iter().flat_map(|parents| parents.split('/')) {
            let part = unescape(part);
            at = match at {
                Value::Object(fields) => fields.get_mut(&part)?,
                Value::Array(items) => {
                    let index = existing(items, &part).ok()?;
                    &mut items[index]
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
            };
        }
        matches!(at, Value::Object(_) | Value::Array(_)).then_some((at, unescape(last)))
    }

    fn add(&mut self, path: &str, value: Value) -> Done<()> {
        let value = fitting(path, value)?;
        let missing = || format!("add operation does not apply: doc is missing path: \"{path}\": missing value");
        match self.container(path).ok_or_else(missing)? {
            (Value::Array(items), key) if key == "-" => items.push(value),
            (Value::Array(items), key) => {
                // One past the end is a place here, from both ends.
                let index = place(&key, items.len() + 1)
                    .map_err(|error| format!("error in add for path: '{path}': {error}"))?;
                items.insert(index, value);
            }
            (other, key) => drop(other.as_object_mut().ok_or_else(missing)?.insert(key, value)),
        }
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Done<Value> {
        let missing = || format!("remove operation does not apply: doc is missing path: \"{path}\": missing value");
        take(self.container(path).ok_or_else(missing)?, path, "remove")
    }

    fn replace(&mut self, path: &str, value: Option<Value>) -> Done<()> {
        if path.is_empty() {
            let whole = value.filter(|value| value.is_object() || value.is_array());
            self.root = whole.ok_or_else(|| "replace operation value must be object or array".to_owned())?;
            return Ok(());
        }
        let missing =
            |what: &str| format!("replace operation does not apply: doc is missing {what}: {path}: missing value");
        let value = fitting(path, value.unwrap_or(Value::Null))?;
        match self.container(path).ok_or_else(|| missing("path"))? {
            (Value::Array(items), key) => {
                let index = existing(items, &key).map_err(|_| missing("key"))?;
                items[index] = value;
            }
            (other, key) => drop(other.as_object_mut().ok_or_else(|| missing("path"))?.insert(key, value)),
        }
        Ok(())
    }

    fn copy(&mut self, from: &str, path: &str) -> Done<()> {
        let missing = || format!("copy operation does not apply: doc is missing from path: {from}: missing value");
        let value = match self.container(from).ok_or_else(missing)? {
            (Value::Array(items), key) => {
                let index = existing(items, &key).map_err(|error| format!("error in copy for from: '{from}': {error}"));
                items[index?].clone()
            }
            (other, key) => other.get(&key).cloned().unwrap_or(Value::Null),
        };
        let missing =
            || format!("copy operation does not apply: doc is missing destination path: {path}: missing value");
        self.container(path).ok_or_else(missing)?;
        if !value.is_null() {
            self.copied_bytes += value.to_string().len();
        }
        if self.copied_bytes > COPIED_BYTES_MAX {
            let size = self.copied_bytes;
            return Err(format!(
                "Unable to complete the copy, the accumulated size increase of copy is {size}, \
                                exceeding the limit {COPIED_BYTES_MAX}"
            ));
        }
        self.add(path, value).map_err(|error| format!("error while adding value during copy: {error}"))
    }

    fn test(&mut self, path: &str, want: Option<&Value>) -> Done<()> {
        let have = if path.is_empty() {
            Some(&self.root)
        } else {
            let missing = || format!("test operation does not apply: is missing path: {path}: missing value");
            match self.container(path).ok_or_else(missing)? {
                (Value::Array(items), key) => {
                    let index = existing(items, &key);
                    items.get(index.map_err(|error| format!("error in test for path: '{path}': {error}"))?)
                }
                (other, key) => other.get(&key),
            }
        };
        let have = have.filter(|value| !value.is_null());
        let want = want.filter(|value| !value.is_null());
        if have == want { Ok(()) } else { Err(format!("testing value {path} failed: test failed")) }
    }
}

/// Takes a value out of its container.
fn take((container, key): (&mut Value, String), path: &str, op: &str) -> Done<Value> {
    let told = |why: String| format!("error in {op} for path: '{path}': {why}");
    match container {
        Value::Array(items) => {
            let index = existing(items, &key).map_err(told)?;
            Ok(items.remove(index))
        }
        other => {
            let gone = other.as_object_mut().and_then(|fields| fields.remove(&key));
            gone.ok_or_else(|| told(format!("Unable to remove nonexistent key: {key}: missing value")))
        }
    }
}

/// A value that does not nest too deeply where a path leads; copies could go on doubling the depth otherwise.
fn fitting(path: &str, value: Value) -> Done<Value> {
    let deepest = path.matches('/').count() + depth(&value);
    let fits = deepest <= room::SHALLOW_MAX || (deepest <= DEPTH_MAX && room::may_nest_deeply());
    if fits { Ok(value) } else { Err("exceeded max depth".to_owned()) }
}

/// A part of a path with `~1` and `~0` resolved.
fn unescape(part: &str) -> String {
    if part.contains('~') { part.replace("~1", "/").replace("~0", "~") } else { part.to_owned() }
}

/// An index into a list of a length; negative ones count from the end.
fn place(key: &str, len: usize) -> Done<usize> {
    let quoted = crate::api::field::go_quote(key);
    let index: i64 = key.parse().map_err(|_| {
        format!("value was not a proper array index: '{key}': strconv.Atoi: parsing {quoted}: invalid syntax")
    })?;
    let from_end = i64::try_from(len).unwrap_or(i64::MAX);
    let found = usize::try_from(if index < 0 { index + from_end } else { index }).ok().filter(|at| *at < len);
    found.ok_or_else(|| format!("Unable to access invalid index: {index}: invalid index referenced"))
}

/// The index of an item that is there.
fn existing(items: &[Value], key: &str) -> Done<usize> {
    place(key, items.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(live: Value, patch: Value) -> Result<Value> {
        apply(&Object::from_value(live).unwrap(), patch)
    }

    #[track_caller]
    fn check(live: Value, patch: Value, want: Value) {
        assert_eq!(patched(live, patch).unwrap(), want);
    }

    #[track_caller]
    fn check_rejected(live: Value, patch: Value) {
        let status = patched(live, patch).unwrap_err();
        assert_eq!(status.code(), 422);
        assert_eq!(status.message(), "the server rejected our request due to an error in our request");
    }

    #[test]
    fn operations_do_what_the_standard_says() {
        check(
            json!({"a": 1}),
            json!([{"op": "add", "path": "/b", "value": 2}, {"op": "remove", "path": "/a"}]),
            json!({"b": 2}),
        );
        check(json!({"a": [1, 3]}), json!([{"op": "add", "path": "/a/1", "value": 2}]), json!({"a": [1, 2, 3]}));
        check(json!({"a": []}), json!([{"op": "add", "path": "/a/-", "value": 1}]), json!({"a": [1]}));
        check(json!({"a": 1}), json!([{"op": "move", "from": "/a", "path": "/b"}]), json!({"b": 1}));
        check(
            json!({"a": {"x": 1}}),
            json!([{"op": "copy", "from": "/a", "path": "/b"}]),
            json!({"a": {"x": 1}, "b": {"x": 1}}),
        );
        check(
            json!({"a/b": 1, "m~n": 2}),
            json!([{"op": "remove", "path": "/a~1b"}, {"op": "test", "path": "/m~0n", "value": 2}]),
            json!({"m~n": 2}),
        );
        check(
            json!({"a": {"b": [{"c": 1}]}}),
            json!([{"op": "replace", "path": "/a/b/0/c", "value": 2}]),
            json!({"a": {"b": [{"c": 2}]}}),
        );
    }

    #[test]
    fn quirks_of_upstream_are_kept() {
        check(json!({"a": [1, 2]}), json!([{"op": "remove", "path": "/a/-1"}]), json!({"a": [1]}));
        check(json!({"a": [1, 2]}), json!([{"op": "add", "path": "/a/-1", "value": 3}]), json!({"a": [1, 2, 3]}));
        check(json!({"a": 1}), json!([{"op": "replace", "path": "/b", "value": 2}]), json!({"a": 1, "b": 2}));
        check(json!({"a": null}), json!([{"op": "test", "path": "/a", "value": null}]), json!({"a": null}));
        check(json!({"a": 1}), json!([{"op": "test", "path": "/zz", "value": null}]), json!({"a": 1}));
        check(json!({"a": 1}), json!([{"op": "copy", "from": "/zz", "path": "/b"}]), json!({"a": 1, "b": null}));
        check(json!({"a": 1}), json!([{"op": "add", "path": "ignored/b", "value": 2}]), json!({"a": 1, "b": 2}));
        check(json!({"a": 1}), json!([{"op": "replace", "path": "", "value": {"b": 2}}]), json!({"b": 2}));
        check(json!({"a": 1}), json!(null), json!({"a": 1}));
        check(json!({"a": 1}), json!([{"op": "test", "path": "", "value": {"a": 1}}]), json!({"a": 1}));
    }

    #[test]
    fn operations_that_do_not_apply_are_rejected_without_a_reason() {
        check_rejected(json!({"a": 1}), json!([{"op": "remove", "path": "/b"}]));
        check_rejected(json!({"a": 1}), json!([{"op": "add", "path": "/b/c", "value": 2}]));
        check_rejected(json!({"a": 1}), json!([{"op": "add", "path": "", "value": {}}]));
        check_rejected(json!({"a": 1}), json!([{"op": "test", "path": "/a", "value": 1.0}]));
        check_rejected(json!({"a": 1}), json!([{"op": "test", "path": "/a"}]));
        check_rejected(json!({"a": 1}), json!([{"op": "frobnicate", "path": "/a"}]));
        check_rejected(json!({"a": 1}), json!([{"op": "add", "value": 1}]));
        check_rejected(json!({"a": [1]}), json!([{"op": "replace", "path": "/a/1", "value": 1}]));
        check_rejected(json!({"a": [1]}), json!([{"op": "add", "path": "/a/3", "value": 1}]));
        check_rejected(json!({"a": [1]}), json!([{"op": "add", "path": "/a/x", "value": 1}]));
        check_rejected(json!({"a": [1]}), json!([{"op": "remove", "path": "/a/-2"}]));
        check_rejected(json!({"a": 1}), json!([{"op": "replace", "path": "", "value": 1}]));
    }

    #[test]
    fn documents_that_are_no_patch_are_bad_requests() {
        for patch in
            [json!({}), json!("x"), json!([1]), json!([{"op": 1, "path": "/a"}]), json!([{"op": "add", "path": []}])]
        {
            assert_eq!(patched(json!({}), patch).unwrap_err().code(), 400);
        }
    }

    #[test]
    fn too_many_operations_and_too_much_copying_are_refused() {
        let one = json!({"op": "test", "path": "/zz", "value": null});
        let status = patched(json!({}), Value::Array(vec![one; OPERATIONS_MAX + 1])).unwrap_err();
        assert_eq!(status.code(), 413);
        assert_eq!(
            status.message(),
            "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
        );
        let double: Vec<Value> = (0..16).map(|_| json!({"op": "copy", "from": "/a", "path": "/a/-"})).collect();
        let big = "x".repeat(1024 * 1024);
        check_rejected(json!({"a": [big]}), Value::Array(double));
    }
}
