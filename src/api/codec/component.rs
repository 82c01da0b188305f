//! Files that configure components (`apiserver.config.k8s.io` and its like): read strictly, with the errors that Go's
//! decoders give. A file is either read field by field, or held against a shape first and then taken as it is.

use serde_json::Value;

use super::{Decoded, interpret, json, not_registered, yaml};
use crate::api::field::go_quote;
use crate::api::time::GoDuration;

/// What a field of a configuration may hold.
#[derive(Debug)]
pub enum Shape {
    /// Whoever looks at it knows.
    Any,
    Text,
    Bool,
    Duration,
    List(&'static Shape),
    Map(&'static Shape),
    Object(&'static Struct),
}

/// A type of upstream's and its fields.
#[derive(Debug)]
pub struct Struct {
    pub name: &'static str,
    pub fields: &'static [(&'static str, Shape)],
}

/// Reads the configuration of a kind, which is the name of the type, in one of some versions. All that is null is left
/// out of it.
///
/// # Errors
/// In Go's words: what is no such document, what is of another type, and what there is no field for.
pub fn read(bytes: &[u8], versions: &[&str], of: &'static Struct) -> Result<Value, String> {
    let read = tree(bytes)?;
    let document = known(&read, bytes, (versions, of.name))?;
    let (api_version, _) = interpret(document).map_err(|error| error.to_string())?;
    let version = api_version.rsplit('/').next().unwrap_or_default().to_owned();
    let mut value = document.clone();
    let mut faults = conform(&mut value, &version, of)?;
    faults.extend(read.duplicates);
    match faults.is_empty() {
        true => Ok(value),
        false => Err(format!("strict decoding error: {}", faults.join(", "))),
    }
}

/// Holds a document of some version against the type that it should be of, and takes out of it what is null; gives what
/// there is no field for.
///
/// # Errors
/// In Go's words: what is of another type.
pub fn conform(document: &mut Value, version: &str, of: &'static Struct) -> Result<Vec<String>, String> {
    let mut reader = Reader { version: version.to_owned(), unknown: Vec::new() };
    reader.object(document, of, &mut Place::default())?;
    Ok(reader.unknown)
}

/// Where a reader is: by fields alone, as Go tells of types, and with the places in lists, as it tells of fields.
#[derive(Clone, Default)]
struct Place {
    fields: Vec<&'static str>,
    path: String,
}

struct Reader {
    version: String,
    unknown: Vec<String>,
}

impl Reader {
    fn object(&mut self, value: &mut Value, of: &'static Struct, at: &mut Place) -> Result<(), String> {
        let Value::Object(given) = value else { return Ok(()) };
        given.retain(|_, value| !value.is_null());
        for (key, value) in given.iter_mut() {
            let dot = if at.path.is_empty() { "" } else { "." };
            let path = format!("{}{dot}{key}", at.path);
            match of.fields.iter().find(|(name, _)| name == key) {
                Some((name, shape)) => {
                    let mut fields = at.fields.clone();
                    fields.push(name);
                    self.value(value, (of.name, shape), &mut Place { fields, path })?;
                }
                None if at.path.is_empty() && matches!(key.as_str(), "apiVersion" | "kind") => {}
                None => self.unknown.push(format!("unknown field {}", go_quote(&path))),
            }
        }
        Ok(())
    }

    fn value(&mut self, value: &mut Value, of: (&str, &'static Shape), at: &mut Place) -> Result<(), String> {
        let (owner, shape) = of;
        match (shape, &mut *value) {
            (Shape::Any, _) | (_, Value::Null) | (Shape::Text, Value::String(_)) | (Shape::Bool, Value::Bool(_)) => {
                Ok(())
            }
            (Shape::Duration, Value::String(text)) => GoDuration::parse(text).map(drop),
            (Shape::List(item), Value::Array(items)) => {
                let list = at.path.clone();
                for (index, value) in items.iter_mut().enumerate() {
                    at.path = format!("{list}[{index}]");
                    self.value(value, (owner, item), at)?;
                }
                Ok(())
            }
            (Shape::Map(item), Value::Object(entries)) => {
                let map = at.path.clone();
                for (key, value) in entries.iter_mut() {
                    at.path = format!("{map}.{key}");
                    self.value(value, (owner, item), at)?;
                }
                Ok(())
            }
            (Shape::Object(of), Value::Object(_)) => self.object(value, of, at),
            (_, other) => {
                let (fields, go_type) = (at.fields.join("."), self.go_type(shape));
                Err(misfit(other, &format!("{owner}.{fields}"), &go_type))
            }
        }
    }

    fn go_type(&self, shape: &Shape) -> String {
        match shape {
            // A duration is read from a text.
            Shape::Text | Shape::Duration => "string".to_owned(),
            Shape::Bool => "bool".to_owned(),
            Shape::Any => "interface {}".to_owned(),
            Shape::List(item) => format!("[]{}", self.go_type(item)),
            Shape::Map(item) => format!("map[string]{}", self.go_type(item)),
            Shape::Object(of) => format!("{}.{}", self.version, of.name),
        }
    }
}

/// Reads JSON or YAML, whichever it is.
pub fn tree(bytes: &[u8]) -> Result<Decoded, String> {
    let looks_like_json = bytes.trim_ascii_start().first().is_some_and(|first| matches!(first, b'{' | b'['));
    if !looks_like_json {
        return yaml::decode(bytes).map_err(|error| error.to_string());
    }
    json::decode(bytes).map_err(|error| format!("couldn't get version/kind; json parse error: {error}"))
}

/// The document of a configuration, which is of a kind in one of some versions.
pub fn document(bytes: &[u8], kind: (&[&str], &str)) -> Result<Decoded, String> {
    let read = tree(bytes)?;
    known(&read, bytes, kind)?;
    Ok(read)
}

/// The document itself, when it is of a kind in one of some versions.
///
/// # Errors
/// In the words of upstream's scheme.
pub fn known<'a>(read: &'a Decoded, bytes: &[u8], (versions, kind): (&[&str], &str)) -> Result<&'a Value, String> {
    let (api_version, named) = interpret(&read.value).map_err(|error| error.to_string())?;
    let missing = |what: &str| Err(format!("Object '{what}' is missing in '{}'", String::from_utf8_lossy(bytes)));
    match (named, api_version) {
        ("", _) => missing("Kind"),
        (_, "") => missing("apiVersion"),
        _ if named == kind && versions.contains(&api_version) => Ok(&read.value),
        _ => Err(not_registered(api_version, named)),
    }
}

/// What strict reading says of fields that there are not.
pub fn unknown_fields(object: &Value, at: &str, known: &[&str]) -> Vec<String> {
    let keys = object.as_object().into_iter().flat_map(|fields| fields.keys());
    let unknown = keys.filter(|key| !known.contains(&key.as_str()));
    unknown.map(|key| format!("unknown field {}", go_quote(&format!("{at}{key}")))).collect()
}

/// A list of an object, empty when absent; what it is called in Go's errors, and its type there.
pub fn items<'a>(object: &'a Value, key: &str, (at, go_type): (&str, &str)) -> Result<&'a [Value], String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(other) => Err(misfit(other, at, go_type)),
    }
}

/// A text of an object, empty when absent.
pub fn text<'a>(object: &'a Value, key: &str, at: &str) -> Result<&'a str, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(misfit(other, &format!("{at}.{key}"), "string")),
    }
}

/// A number of an object, if it is there.
pub fn number(object: &Value, key: &str, (at, go_type): (&str, &str)) -> Result<Option<i64>, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_i64() {
            Some(number) if go_type != "int32" || i32::try_from(number).is_ok() => Ok(Some(number)),
            _ => Err(misfit(value, &format!("{at}.{key}"), go_type)),
        },
    }
}

fn misfit(value: &Value, at: &str, go_type: &str) -> String {
    let kind = match value {
        Value::Number(number) if go_type.starts_with("int") => format!("number {number}"),
        other => json::kind_of(other).to_owned(),
    };
    format!("json: cannot unmarshal {kind} into Go struct field {at} of type {go_type}")
}

/// An error of the file system in Go's words.
pub fn go_io(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INNER: Struct = Struct { name: "Inner", fields: &[("name", Shape::Text), ("wait", Shape::Duration)] };
    const OUTER: Struct =
        Struct { name: "Outer", fields: &[("items", Shape::List(&Shape::Object(&INNER))), ("open", Shape::Bool)] };

    fn of(rest: &str) -> Result<Value, String> {
        read(format!("apiVersion: x.k8s.io/v1\nkind: Outer\n{rest}").as_bytes(), &["x.k8s.io/v1"], &OUTER)
    }

    #[test]
    fn what_fits_is_given_without_what_is_null() {
        let read = of("items:\n- {name: a, wait: 5s}\n- {name: null}\nopen: true\n").unwrap();
        assert_eq!(read["items"], serde_json::json!([{ "name": "a", "wait": "5s" }, {}]));
    }

    #[track_caller]
    fn check_error(rest: &str, message: &str) {
        assert_eq!(of(rest).unwrap_err(), message);
    }

    #[test]
    fn what_does_not_fit_is_told_in_gos_words() {
        check_error("items: 1\n", "json: cannot unmarshal number into Go struct field Outer.items of type []v1.Inner");
        check_error(
            "items: [{name: 1}]\n",
            "json: cannot unmarshal number into Go struct field Inner.items.name of type string",
        );
        check_error(
            "items: [{wait: 1}]\n",
            "json: cannot unmarshal number into Go struct field Inner.items.wait of type string",
        );
        check_error("items: [{wait: x}]\n", "time: invalid duration \"x\"");
        check_error(
            "items: [{a: 1}]\nb: 1\n",
            "strict decoding error: unknown field \"b\", unknown field \"items[0].a\"",
        );
    }
}
