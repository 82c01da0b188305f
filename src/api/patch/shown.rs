//! How upstream shows the result of a patch in its errors: the text that its libraries leave behind, in which only what
//! the patch touched has its keys sorted, or Go's own print of the patch.

use serde_json::{Map, Value};

use super::PatchKind;
use crate::api::codec::json;
use crate::api::schema::{Table, TypeId};

/// The text of a patched tree. `patch` is the patch's own document.
pub fn shown(kind: PatchKind, patched: &Value, patch: &[u8], of: (&Table, TypeId)) -> String {
    let document: Value = json::tree(patch).unwrap_or_default();
    let touched = match kind {
        PatchKind::StrategicMerge => return go_value(&document),
        PatchKind::Merge => document,
        PatchKind::Json => touched_by(&document),
    };
    String::from_utf8(json::encode_touched(patched, &touched, of)).unwrap_or_default()
}

/// The objects that the paths of operations lead through, as a tree of empty objects.
fn touched_by(operations: &Value) -> Value {
    let mut root = Map::new();
    for operation in operations.as_array().into_iter().flatten() {
        for path in ["path", "from"].iter().filter_map(|key| operation.get(key)?.as_str()) {
            let mut at = &mut root;
            let parts: Vec<&str> = path.split('/').skip(1).collect();
            for part in parts.iter().take(parts.len().saturating_sub(1)) {
                let key = part.replace("~1", "/").replace("~0", "~");
                let next = at.entry(key).or_insert_with(|| Value::Object(Map::new()));
                let Value::Object(next) = next else { break };
                at = next;
            }
        }
    }
    Value::Object(root)
}

/// Go's `%v` of a decoded JSON value.
fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_value).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(key, value)| format!("{key}:{}", go_value(value))).collect();
            format!("map[{}]", entries.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::schema::{Field, Shape, Struct};

    fn of() -> (Table, TypeId) {
        let mut table = Table::default();
        let fields = vec![Field::plain("z", Shape::Int64), Field::plain("a", Shape::Int64)];
        let inner = table.add(Struct { name: "x.Inner".into(), fields, ..Struct::default() });
        let fields = vec![Field::plain("two", Shape::Struct(inner)), Field::plain("one", Shape::Struct(inner))];
        let id = table.add(Struct { name: "x.Outer".into(), fields, ..Struct::default() });
        (table, id)
    }

    #[track_caller]
    fn check(kind: PatchKind, patch: &Value, expected: &str) {
        let (table, id) = of();
        let patched = json!({"one": {"a": 1, "z": 2}, "two": {"a": 1, "z": 2}});
        assert_eq!(shown(kind, &patched, patch.to_string().as_bytes(), (&table, id)), expected);
    }

    #[test]
    fn only_what_was_touched_is_sorted() {
        let expected = r#"{"one":{"z":2,"a":1},"two":{"a":1,"z":2}}"#;
        check(PatchKind::Merge, &json!({"two": {"a": 1}}), expected);
        check(PatchKind::Json, &json!([{"op": "add", "path": "/two/a", "value": 1}]), expected);
    }

    #[test]
    fn a_strategic_patch_is_shown_as_go_prints_it() {
        check(
            PatchKind::StrategicMerge,
            &json!({"a": [{"b": "x y", "c": null}], "d": {}}),
            "map[a:[map[b:x y c:<nil>]] d:map[]]",
        );
    }
}
