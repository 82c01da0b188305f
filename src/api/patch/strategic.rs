//! Strategic merge patch: a merge patch that knows the type, so that lists can be merged by key, with directives
//! (`$patch`, `$retainKeys`, `$setElementOrder/…`, `$deleteFromPrimitiveList/…`) and upstream's order of results.

use serde_json::{Map, Value};

use super::strategic_list as list;
use crate::api::codec::json::kind_of;
use crate::api::object::Object;
use crate::api::schema::{Field, Patch, Shape, Struct, Table, TypeId};
use crate::api::status::{self, Reason, Status};

pub(super) const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList";
const SET_ORDER: &str = "$setElementOrder";

const BAD_PRIMITIVE_LIST: Failure = Failure::Malformed("invalid patch format of primitive list");
const BAD_RETAIN_KEYS: Failure = Failure::Malformed("invalid patch format of retainKeys");
pub(super) const BAD_SET_ORDER: Failure = Failure::Malformed("invalid patch format of setElementOrder list");

/// Why a patch does not apply.
#[derive(Debug)]
pub(super) enum Failure {
    /// 400 with the words given.
    Malformed(&'static str),
    /// 422 without a reason: lists of lists.
    NotSupported,
    /// 500 with the words given, as upstream has it for all else.
    Other(String),
}

/// Where a patch meets the type: a struct whose fields are known, or something whose are not.
#[derive(Clone, Copy)]
pub(super) enum Level<'t> {
    Struct(&'t Struct),
    /// A Go struct without JSON fields, by name.
    Opaque(&'static str),
    /// Not a struct in Go.
    Other(&'static str),
}

/// Applies a patch.
///
/// # Errors
/// 400 for a malformed patch, 422 for lists of lists, 500 as upstream for what does not fit the type.
pub(super) fn apply(live: &Object, patch: Value, (table, id): (&Table, TypeId)) -> status::Result<Value> {
    let patch = match patch {
        Value::Object(patch) => patch,
        Value::Null => Map::new(),
        other @ (Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            let kind = kind_of(&other);
            let message = format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}");
            return Err(Status::bad_request(message));
        }
    };
    let merger = Merger { table };
    let merged = merger.merge(live.root().clone(), patch, Level::Struct(table.get(id)));
    merged.map(Value::Object).map_err(|failure| match failure {
        Failure::Malformed(words) => Status::bad_request(words),
        Failure::NotSupported => super::json::rejected(),
        Failure::Other(words) => Status::new(500, Reason::Unknown, words),
    })
}

pub(super) struct Merger<'t> {
    table: &'t Table,
}

impl<'t> Merger<'t> {
    /// Merges a patch into an object.
    pub(super) fn merge(
        &self,
        mut original: Map<String, Value>,
        mut patch: Map<String, Value>,
        level: Level<'t>,
    ) -> Result<Map<String, Value>, Failure> {
        if let Some(directive) = patch.get(DIRECTIVE) {
            return match directive.as_str() {
                Some("replace") => {
                    patch.remove(DIRECTIVE);
                    Ok(patch)
                }
                Some("delete") => Ok(Map::new()),
                _ => Err(list::bad_directive(directive, &patch)),
            };
        }
        retain_keys(&mut original, &mut patch)?;
        self.merge_ordered_lists(&mut original, &mut patch, level)?;
        for (key, value) in patch {
            let deleting = key.starts_with(DELETE_FROM_LIST);
            let key = if deleting { list_name(&key, DELETE_FROM_LIST, BAD_PRIMITIVE_LIST)?.to_owned() } else { key };
            self.merge_field(&mut original, (key, value, deleting), level)?;
        }
        Ok(original)
    }

    fn merge_field(
        &self,
        original: &mut Map<String, Value>,
        (key, mut value, deleting): (String, Value, bool),
        level: Level<'t>,
    ) -> Result<(), Failure> {
        if value.is_null() {
            original.remove(&key);
            return Ok(());
        }
        match (original.remove(&key), value) {
            (Some(Value::Object(have)), Value::Object(patch)) => {
                let field = self.field(level, &key)?;
                let merged = match strategy(field) {
                    Strategy::Replace => patch,
                    Strategy::Merge | Strategy::Default => self.merge(have, patch, self.level(&field.shape))?,
                };
                original.insert(key, Value::Object(merged));
            }
            (Some(Value::Array(have)), Value::Array(patch)) => {
                let (level, field) = self.list_field(level, &key)?;
                let merged = self.merge_lists((have, patch), (level, field), deleting)?;
                original.insert(key, Value::Array(merged));
            }
            (have, _) if deleting => original.extend(have.map(|have| (key, have))),
            (_, patch) => {
                value = patch;
                discard_nulls(&mut value);
                original.extend(without_directives(value).map(|value| (key, value)));
            }
        }
        Ok(())
    }

    fn merge_lists(
        &self,
        (have, patch): (Vec<Value>, Vec<Value>),
        (level, field): (Level<'t>, &'t Patch),
        deleting: bool,
    ) -> Result<Vec<Value>, Failure> {
        if deleting || patch_strategy(field) == Strategy::Merge {
            list::merge(self, (have, patch), (level, field.merge_key.as_deref().unwrap_or("")), deleting)
        } else {
            Ok(patch)
        }
    }

    /// Merges the lists whose order the patch gives, and takes them out of the patch.
    fn merge_ordered_lists(
        &self,
        original: &mut Map<String, Value>,
        patch: &mut Map<String, Value>,
        level: Level<'t>,
    ) -> Result<(), Failure> {
        let orders: Vec<String> = patch.keys().filter(|key| key.starts_with(SET_ORDER)).cloned().collect();
        for key in orders {
            let order = match patch.remove(&key) {
                Some(Value::Array(order)) => order,
                other => return Err(list::bad_argument("[]interface {}", &other.unwrap_or(Value::Null))),
            };
            let name = list_name(&key, SET_ORDER, BAD_SET_ORDER)?;
            let have = list_at(original, name)?;
            let change = list_at(patch, name)?;
            let (level, field) = self.list_field(level, name)?;
            let merge_key = field.merge_key.as_deref().unwrap_or("");
            list::check_order(change.as_deref().unwrap_or(&[]), &order, merge_key)?;
            let live_order = have.clone().unwrap_or_default();
            list::check_items(&[&live_order, change.as_deref().unwrap_or(&[])], have.is_some() || change.is_some())?;
            let merged = match (have, change) {
                (None, None) => continue,
                (Some(have), None) => have,
                (None, Some(change)) => change.into_iter().filter_map(without_directives).collect(),
                (Some(have), Some(change)) => self.merge_lists((have, change), (level, field), false)?,
            };
            let sorted = list::in_order(merged, &order, &live_order, merge_key)?;
            original.insert(name.to_owned(), Value::Array(sorted));
            patch.remove(name);
        }
        Ok(())
    }

    fn field(&self, level: Level<'t>, key: &str) -> Result<&'t Field, Failure> {
        let missing = |name: &str| {
            Err(Failure::Other(format!("unable to find api field in struct {name} for the json field {key:?}")))
        };
        match level {
            Level::Struct(of) => {
                let exact = of.field(key);
                let found = exact.or_else(|| of.fields.iter().find(|field| field.name.eq_ignore_ascii_case(key)));
                found.map_or_else(|| missing(of.name.rsplit('.').next().unwrap_or("")), Ok)
            }
            Level::Opaque(name) => missing(name),
            Level::Other(kind) => Err(Failure::Other(format!(
                "merging an object in json but data type is not struct, instead is: {kind}"
            ))),
        }
    }

    /// What a list field says of its items.
    fn list_field(&self, level: Level<'t>, key: &str) -> Result<(Level<'t>, &'t Patch), Failure> {
        let field = self.field(level, key)?;
        match &field.shape {
            Shape::List(list) if matches!(list.item, Shape::List(_)) => {
                Err(Failure::Other("unexpected slice of slice".to_owned()))
            }
            Shape::List(list) => Ok((self.level(&list.item), &field.patch)),
            other if field.pointer => Ok((self.level(other), &field.patch)),
            _ => Err(Failure::Other("expected slice or array type, but got: struct".to_owned())),
        }
    }

    fn level(&self, shape: &'t Shape) -> Level<'t> {
        match shape {
            Shape::Struct(id) => Level::Struct(self.table.get(*id)),
            Shape::Map(_) => Level::Other("map"),
            Shape::List(_) | Shape::Bytes => Level::Other("slice"),
            Shape::String => Level::Other("string"),
            Shape::Bool => Level::Other("bool"),
            Shape::Int32 => Level::Other("int32"),
            Shape::Int64 | Shape::Duration => Level::Other("int64"),
            Shape::Float64 => Level::Other("float64"),
            Shape::Json => Level::Opaque("RawExtension"),
            Shape::FieldsV1 => Level::Opaque("FieldsV1"),
            Shape::IntOrString => Level::Opaque("IntOrString"),
            Shape::Quantity => Level::Opaque("Quantity"),
            Shape::Time => Level::Opaque("Time"),
            Shape::MicroTime => Level::Opaque("MicroTime"),
            Shape::SchemaOrArray(_) => Level::Opaque("JSONSchemaPropsOrArray"),
            Shape::SchemaOrBool(_) => Level::Opaque("JSONSchemaPropsOrBool"),
            Shape::SchemaOrStrings(_) => Level::Opaque("JSONSchemaPropsOrStringArray"),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Strategy {
    Default,
    Merge,
    Replace,
}

fn strategy(field: &Field) -> Strategy {
    patch_strategy(&field.patch)
}

fn patch_strategy(patch: &Patch) -> Strategy {
    if patch.merge {
        Strategy::Merge
    } else if patch.replace {
        Strategy::Replace
    } else {
        Strategy::Default
    }
}

/// The name of the list that a parallel list is about.
fn list_name<'k>(key: &'k str, prefix: &str, otherwise: Failure) -> Result<&'k str, Failure> {
    match key.split_once('/') {
        Some((first, name)) if first == prefix => Ok(name),
        Some(_) | None => Err(otherwise),
    }
}

fn list_at(object: &Map<String, Value>, name: &str) -> Result<Option<Vec<Value>>, Failure> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items.clone())),
        Some(other) => Err(list::bad_argument("[]interface {}", other)),
    }
}

/// `$retainKeys`: fields of the original that the list does not name go; the patch may set only fields that it names.
fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), Failure> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(names) = directive else { return Err(BAD_RETAIN_KEYS) };
    let retained = |key: &str| names.iter().any(|name| name.as_str() == Some(key));
    for (key, value) in patch.iter() {
        let parallel = key.starts_with(DELETE_FROM_LIST) || key.starts_with(SET_ORDER);
        if !value.is_null() && !parallel && !retained(key) {
            return Err(BAD_RETAIN_KEYS);
        }
    }
    original.retain(|key, _| retained(key));
    Ok(())
}

/// Nulls say “remove”; where there was nothing to remove, they are nothing.
fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            entries.retain(|_, value| !value.is_null());
            entries.values_mut().for_each(discard_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(discard_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The value without objects that are directives; `None` when it is one itself.
pub(super) fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(entries) if entries.contains_key(DIRECTIVE) => None,
        Value::Object(entries) => {
            let kept = entries.into_iter().filter_map(|(key, value)| Some((key, without_directives(value)?)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => Some(other),
    }
}
