//! `apiVersion`, `kind` and `metadata` of custom resources and of the objects embedded in them
//! (apiextensions-apiserver `schema/objectmeta`): unknown fields go, malformed ones are refused or go.

use serde_json::{Map, Value};

use super::Schema;
use crate::api::Object;
use crate::api::codec::Error;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::schema::{Table, TypeId, decode};
use crate::api::validation::{Scope, metadata as rules, names};

/// The type of `metadata` among the built-in types.
#[derive(Clone, Copy)]
pub struct MetaType<'a> {
    pub table: &'a Table,
    pub id: TypeId,
}

/// What becomes of metadata that does not have the shape of its type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    Refuse,
    /// Field by field: for what was stored before anyone looked.
    Drop,
}

/// Brings the `metadata` of an object into the shape of its type; gives the paths of unknown fields.
///
/// # Errors
/// With upstream's words when it does not have that shape and is to be refused.
pub fn coerce_metadata(
    object: &mut Map<String, Value>,
    meta: MetaType<'_>,
    malformed: Malformed,
) -> Result<Vec<String>, Error> {
    let Some(metadata) = object.get_mut("metadata") else { return Ok(Vec::new()) };
    let mut whole = metadata.clone();
    let unknown = match decode::normalise(&mut whole, meta.table, meta.id) {
        Ok(unknown) => unknown,
        Err(error) if malformed == Malformed::Refuse => return Err(error),
        Err(_) => {
            whole = keep_well_formed(metadata, meta);
            Vec::new()
        }
    };
    if let Value::Object(fields) = &mut whole
        && fields.get("creationTimestamp").is_some_and(Value::is_null)
    {
        fields.remove("creationTimestamp");
    }
    *metadata = whole;
    Ok(unknown.into_iter().map(|path| format!("metadata.{path}")).collect())
}

fn keep_well_formed(metadata: &Value, meta: MetaType<'_>) -> Value {
    let fields = metadata.as_object().into_iter().flatten();
    let kept = fields.filter_map(|(name, value)| {
        let mut one = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
        decode::normalise(&mut one, meta.table, meta.id).ok()?;
        Some((name.clone(), one.get(name)?.clone()))
    });
    Value::Object(kept.collect())
}

/// Brings `metadata` of all embedded objects into shape; gives the paths of unknown fields.
///
/// # Errors
/// The first type or metadata that is malformed.
pub fn coerce(
    object: &mut Map<String, Value>,
    schema: &Schema,
    meta: MetaType<'_>,
    malformed: Malformed,
) -> Result<Vec<String>, FieldError> {
    let mut walk = Coercion { meta, malformed, unknown: Vec::new() };
    walk.entries(object, schema, &Path::ROOT)?;
    walk.unknown.sort();
    Ok(walk.unknown)
}

struct Coercion<'a> {
    meta: MetaType<'a>,
    malformed: Malformed,
    unknown: Vec<String>,
}

impl Coercion<'_> {
    fn value(&mut self, value: &mut Value, schema: &Schema, path: &Path<'_>) -> Result<(), FieldError> {
        match value {
            Value::Object(entries) => self.entries(entries, schema, path),
            Value::Array(items) => {
                let Some(of) = schema.items.as_deref() else { return Ok(()) };
                items.iter_mut().enumerate().try_for_each(|(index, item)| self.value(item, of, &path.index(index)))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn entries(
        &mut self,
        entries: &mut Map<String, Value>,
        schema: &Schema,
        path: &Path<'_>,
    ) -> Result<(), FieldError> {
        if schema.embedded {
            self.embedded(entries, path)?;
        }
        for (name, value) in entries.iter_mut() {
            if let Some(of) = schema.property(name) {
                self.value(value, of, &path.child(name))?;
            } else if let Some(of) = schema.additional_schema() {
                self.value(value, of, &path.key(name))?;
            }
        }
        Ok(())
    }

    fn embedded(&mut self, entries: &mut Map<String, Value>, path: &Path<'_>) -> Result<(), FieldError> {
        for key in ["apiVersion", "kind"] {
            let Some(value) = entries.get(key).filter(|value| !value.is_string()) else { continue };
            if self.malformed == Malformed::Refuse {
                return Err(FieldError::invalid(&path.child(key), value.clone(), "must be a string"));
            }
            entries.remove(key);
        }
        let given = entries.get("metadata").cloned();
        match coerce_metadata(entries, self.meta, self.malformed) {
            Ok(unknown) => {
                let prefix = path.to_string();
                self.unknown.extend(unknown.into_iter().map(|name| format!("{prefix}.{name}")));
                Ok(())
            }
            Err(error) => {
                let value = given.unwrap_or_default();
                Err(FieldError::invalid(&path.child("metadata"), value, error.to_string()))
            }
        }
    }
}

/// What is wrong with the types and metadata of embedded objects.
pub fn validate_embedded(value: &Value, schema: &Schema, path: &Path<'_>, errors: &mut Errors) {
    match value {
        Value::Object(entries) => {
            if schema.embedded {
                check_embedded(entries, path, errors);
            }
            for (name, value) in entries {
                if let Some(of) = schema.property(name) {
                    validate_embedded(value, of, &path.child(name), errors);
                } else if let Some(of) = schema.additional_schema() {
                    validate_embedded(value, of, &path.key(name), errors);
                }
            }
        }
        Value::Array(items) => {
            let Some(of) = schema.items.as_deref() else { return };
            for (index, item) in items.iter().enumerate() {
                validate_embedded(item, of, &path.index(index), errors);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn check_embedded(entries: &Map<String, Value>, path: &Path<'_>, errors: &mut Errors) {
    for key in ["apiVersion", "kind"] {
        if !entries.contains_key(key) {
            errors.push(FieldError::required(&path.child(key), ""));
        }
    }
    for key in ["apiVersion", "kind"] {
        let at = path.child(key);
        match entries.get(key) {
            None => {}
            Some(Value::String(text)) if text.is_empty() => {
                errors.push(FieldError::invalid(&at, text.as_str(), "must not be empty"));
            }
            Some(Value::String(text)) if key == "apiVersion" && text.matches('/').count() < 2 => {}
            Some(Value::String(text)) if key == "apiVersion" => {
                let detail = format!("unexpected GroupVersion string: {text}");
                errors.push(FieldError::invalid(&at, text.as_str(), detail));
            }
            Some(Value::String(text)) => {
                let wrong = names::dns1035_label(&text.to_lowercase());
                if !wrong.is_empty() {
                    let detail = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
                    errors.push(FieldError::invalid(&at, text.as_str(), detail));
                }
            }
            Some(other) => errors.push(FieldError::invalid(&at, other.clone(), "must be a string")),
        }
    }
    let Some(Value::Object(metadata)) = entries.get("metadata") else { return };
    let mut object = Object::default();
    object.root_mut().insert("metadata".to_owned(), Value::Object(metadata.clone()));
    if object.name().is_empty() {
        object.set(&["metadata", "name"], "fakename");
    }
    let scope = if object.namespace().is_empty() { Scope::Cluster } else { Scope::Namespaced };
    let segment = |name: &str, prefix: bool| names::path_segment_object_name(name, prefix);
    for mut error in rules::validate_create(&object, scope, &segment) {
        error.field = format!("{path}.{}", error.field);
        errors.push(error);
    }
}
