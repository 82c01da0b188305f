//! From what the expression of a mutation constructs to JSON (apiserver `pkg/cel/mutation`,
//! `pkg/admission/plugin/policy/mutating/patch`).

use base64::Engine;
use serde_json::{Map as JsonMap, Value as Json, json};

use super::super::time::go_duration;
use super::super::value::{List, Map, Struct, Value};
use crate::api::field::go_quote;

/// The largest whole number that a JSON number holds for certain.
const EXACT_MAX: i64 = (1 << 53) - 1;

/// How numbers that a double cannot hold are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Large {
    AsNumber,
    /// As protobuf's JSON has it.
    AsText,
}

/// The configuration that `Object{…}` describes.
///
/// # Errors
/// In upstream's words.
pub fn configuration(value: &Value<'_>) -> Result<JsonMap<String, Json>, String> {
    let Value::Struct(object) = value else {
        return Err(format!("unsupported return type from ApplyConfiguration expression: {}", value.type_name()));
    };
    check_names(value, &object.type_name).map_err(|why| format!("type mismatch: {why}"))?;
    fields(object, Large::AsNumber)
}

/// The operations of a list of `JSONPatch{…}`.
///
/// # Errors
/// In upstream's words.
pub fn patches(value: &Value<'_>) -> Result<Json, String> {
    let Value::List(list) = value else {
        return Err("type mismatch: JSONPatchType.expression should evaluate to array".to_owned());
    };
    let operations = list.values().map_err(|error| error.to_string())?;
    operations.iter().map(operation).collect::<Result<Vec<_>, _>>().map(Json::Array)
}

fn operation(value: &Value<'_>) -> Result<Json, String> {
    let Value::Struct(patch) = value else {
        return Err("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch".to_owned());
    };
    let text = |name: &str| match patch.fields.get(name) {
        Some(Value::String(text)) => (**text).to_owned(),
        _ => String::new(),
    };
    let mut out = json!({ "op": text("op"), "path": text("path") });
    let from = text("from");
    if !from.is_empty() {
        out["from"] = from.into();
    }
    if let Some(value) = patch.fields.get("value") {
        if let Value::Struct(object) = value {
            check_names(value, &object.type_name).map_err(|why| format!("type mismatch: {why}"))?;
        }
        let unable =
            |why| format!("JSONPath valueExpression evaluated to a type that could not marshal to JSON: {why}");
        out["value"] = plain(value, Large::AsText).map_err(unable)?;
    }
    Ok(out)
}

fn plain(value: &Value<'_>, large: Large) -> Result<Json, String> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) if large == Large::AsText && value.abs() > EXACT_MAX => value.to_string().into(),
        Value::Int(value) => (*value).into(),
        Value::Uint(value) if large == Large::AsText && *value > EXACT_MAX.unsigned_abs() => value.to_string().into(),
        Value::Uint(value) => (*value).into(),
        Value::Double(value) => number(*value),
        Value::String(text) => (**text).into(),
        Value::Bytes(bytes) => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
        Value::Timestamp(time) => time.rfc3339().into(),
        Value::Duration(nanos) => go_duration(*nanos).into(),
        Value::List(list) => items(list, large)?,
        Value::Map(map) => entries(map, large)?,
        Value::Struct(object) => Json::Object(fields(object, large)?),
        Value::Opaque(json) => (*json).clone(),
        Value::Optional(_)
        | Value::Type(_)
        | Value::Quantity(_)
        | Value::Url(_)
        | Value::Ip(_)
        | Value::Cidr(_)
        | Value::Semver(_)
        | Value::Format(_)
        | Value::Authorization(_) => return Err(format!("unsupported type conversion from '{}'", value.type_name())),
    })
}

/// A whole double is a whole number in JSON.
fn number(value: f64) -> Json {
    #[expect(clippy::cast_possible_truncation, reason = "the guard keeps whole numbers that a double holds exactly")]
    if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_991.0 { (value as i64).into() } else { value.into() }
}

fn items(list: &List<'_>, large: Large) -> Result<Json, String> {
    let values = list.values().map_err(|error| error.to_string())?;
    values.iter().map(|value| plain(value, large)).collect::<Result<Vec<_>, _>>().map(Json::Array)
}

fn entries(map: &Map<'_>, large: Large) -> Result<Json, String> {
    let mut out = JsonMap::new();
    for key in map.keys() {
        let value = map.find(&key).map_err(|error| error.to_string())?.unwrap_or(Value::Null);
        let Value::String(key) = &key else {
            return Err(format!("map key {} is of type {}, not string", go_quote(&key.to_string()), key.type_name()));
        };
        out.insert((**key).to_owned(), plain(&value, large)?);
    }
    Ok(Json::Object(out))
}

fn fields(object: &Struct<'_>, large: Large) -> Result<JsonMap<String, Json>, String> {
    let field = |(name, value): (&String, &Value<'_>)| {
        let value = plain(value, large).map_err(|why| format!("fail to convert field {}: {why}", go_quote(name)))?;
        Ok((name.clone(), value))
    };
    object.fields.iter().map(field).collect()
}

/// The types of constructed objects must be named as their fields stand below the root.
fn check_names(value: &Value<'_>, root: &str) -> Result<(), String> {
    let mut errors = Vec::new();
    names(value, root, &mut errors);
    if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
}

fn names(value: &Value<'_>, path: &str, errors: &mut Vec<String>) {
    match value {
        Value::Struct(object) => {
            if *object.type_name != *path {
                errors.push(format!(
                    "unexpected type name {}, expected {}, which matches field name path from root Object type",
                    go_quote(&object.type_name),
                    go_quote(path)
                ));
            }
            for (name, value) in &object.fields {
                names(value, &format!("{path}.{name}"), errors);
            }
        }
        Value::List(List::Values(values)) => values.iter().for_each(|value| names(value, path, errors)),
        Value::Map(Map::Values(values)) => values.values().for_each(|(_, value)| names(value, path, errors)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::env::Expressions;
    use super::super::super::eval::Activation;
    use super::super::{Compiler, Declarations, Returns};
    use super::*;

    #[track_caller]
    fn check(source: &str, returns: Returns, expected: Result<Json, &str>) {
        let declarations = Declarations { patch_types: true, ..Declarations::default() };
        let compiled = Compiler::plain().compile(source, returns, (declarations, Expressions::Stored));
        let program = compiled.program.unwrap();
        let value = program.evaluate(&Activation::new(), 1_000_000).value.unwrap();
        let made = match returns {
            Returns::Patches => patches(&value),
            _ => configuration(&value).map(Json::Object),
        };
        assert_eq!(made, expected.map_err(str::to_owned), "{source}");
    }

    #[test]
    fn a_configuration_has_the_fields_that_were_set() {
        let made = json!({ "spec": { "replicas": 3, "names": ["a"], "map": { "k": true } } });
        let source = "Object{spec: Object.spec{replicas: 3, names: ['a'], map: {'k': true}, ?none: optional.none()}}";
        check(source, Returns::Configuration, Ok(made));
        let wrong = "type mismatch: unexpected type name \"Object.other\", expected \"Object.spec\", which matches field \
                     name path from root Object type";
        check("Object{spec: Object.other{}}", Returns::Configuration, Err(wrong));
    }

    #[test]
    fn patches_have_values_of_any_type() {
        let source = "[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('b/c~'), value: {'x': 1.0}},
            JSONPatch{op: 'move', from: '/a', path: '/b'}, JSONPatch{op: 'test', path: '/n', value: 9007199254740992}]";
        let made = json!([{ "op": "add", "path": "/a/b~1c~0", "value": { "x": 1 } },
            { "op": "move", "from": "/a", "path": "/b" }, { "op": "test", "path": "/n", "value": "9007199254740992" }]);
        check(source, Returns::Patches, Ok(made));
    }
}
