//! Whether a tree has the shape of its type, in the words that apply uses for it.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::types::{Form, Kind, ListType, MapType, Type};
use crate::api::field::{go_quote, go_type};

/// Whether lists with keys and sets may have an item twice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Duplicates {
    Allow,
    Refuse,
}

/// Checks an object.
///
/// # Errors
/// All that is wrong, with paths.
pub(super) fn validate(object: &Map<String, Value>, of: Type<'_>, duplicates: Duplicates) -> Result<(), String> {
    let mut check = Check { errors: Vec::new(), path: String::new(), duplicates };
    if let Form::Map(map) = of.form(&Value::Null) {
        check.entries(object, map);
    }
    match check.errors.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("errors:\n  {}", many.join("\n  "))),
    }
}

struct Check {
    errors: Vec<String>,
    path: String,
    duplicates: Duplicates,
}

impl Check {
    fn fail(&mut self, what: impl AsRef<str>) {
        let what = what.as_ref();
        self.errors.push(if self.path.is_empty() { what.to_owned() } else { format!("{}: {what}", self.path) });
    }

    fn below(&mut self, step: impl std::fmt::Display, check: impl FnOnce(&mut Self)) {
        let before = self.path.len();
        // Writing to a text cannot fail.
        let _ = write!(self.path, "{step}");
        check(self);
        self.path.truncate(before);
    }

    fn value(&mut self, value: &Value, of: Type<'_>) {
        match (of.form(value), value) {
            (_, Value::Null) => {}
            // The text of a set of fields.
            (Form::Map(_), Value::String(_)) if of.is_fields() => {}
            (Form::Scalar(kind), _) => self.scalar(value, kind),
            (Form::List(list), Value::Array(items)) => self.items(items, list),
            (Form::List(_), _) => self.fail(format!("expected list, got &{{{}}}", go_plain(value))),
            (Form::Map(map), Value::Object(entries)) => self.entries(entries, map),
            (Form::Map(_), _) => self.fail(format!("expected map, got &{{{}}}", go_plain(value))),
        }
    }

    fn scalar(&mut self, value: &Value, kind: Kind) {
        let fits = match kind {
            Kind::Numeric => value.is_number(),
            Kind::Text => value.is_string(),
            Kind::Boolean => value.is_boolean(),
            Kind::Any => !value.is_object() && !value.is_array(),
        };
        if !fits {
            self.fail(match kind {
                Kind::Numeric => format!("expected numeric (int or float), got {}", go_type(value)),
                Kind::Text => format!("expected string, got &value.valueUnstructured{{Value:{}}}", go_source(value)),
                Kind::Boolean => format!("expected boolean, got &{{{}}}", go_plain(value)),
                Kind::Any => format!("expected any scalar, got &{{{}}}", go_plain(value)),
            });
        }
    }

    fn entries(&mut self, entries: &Map<String, Value>, map: MapType<'_>) {
        for (name, value) in entries {
            match map.entry(name) {
                Some(of) if matches!(value, Value::Object(_) | Value::Array(_)) || !fits_at_once(value, of) => {
                    self.below(format_args!(".{name}"), |check| check.value(value, of));
                }
                Some(_) => {}
                None => {
                    self.below(format_args!(".{name}"), |check| check.fail("field not declared in schema"));
                    return;
                }
            }
        }
    }

    fn items(&mut self, items: &[Value], list: ListType<'_>) {
        let mut seen = Vec::new();
        for (at, item) in items.iter().enumerate() {
            if list.is_atomic() {
                self.below(format_args!("[{at}]"), |check| check.value(item, list.item));
                continue;
            }
            let element = match list.element(item) {
                Ok(element) => element,
                Err(error) => {
                    self.fail(format!("element {at}: {error}"));
                    return;
                }
            };
            if self.duplicates == Duplicates::Refuse && seen.contains(&element) {
                self.fail(format!("duplicate entries for key {element}"));
            }
            self.below(&element, |check| check.value(item, list.item));
            seen.push(element);
        }
    }
}

/// The quick way for scalars that fit, which need no path.
fn fits_at_once(value: &Value, of: Type<'_>) -> bool {
    match of.form(value) {
        Form::Scalar(Kind::Numeric) => value.is_number() || value.is_null(),
        Form::Scalar(Kind::Text) => value.is_string() || value.is_null(),
        Form::Scalar(Kind::Boolean) => value.is_boolean() || value.is_null(),
        Form::Scalar(Kind::Any) => true,
        Form::List(_) | Form::Map(_) => value.is_null(),
    }
}

/// As Go's `%v`.
fn go_plain(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_plain).collect::<Vec<_>>().join(" ")),
        Value::Object(entries) => {
            let entries: Vec<String> = entries.iter().map(|(k, v)| format!("{k}:{}", go_plain(v))).collect();
            format!("map[{}]", entries.join(" "))
        }
    }
}

/// As Go's `%#v`.
fn go_source(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => go_quote(text),
        Value::Array(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(go_source).collect::<Vec<_>>().join(", "))
        }
        Value::Object(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|(k, v)| format!("{}:{}", go_quote(k), go_source(v))).collect();
            format!("map[string]interface {{}}{{{}}}", entries.join(", "))
        }
    }
}
