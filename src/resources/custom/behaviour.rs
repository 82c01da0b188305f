//! What custom resources do (apiextensions-apiserver `registry/customresource`): everything that their schema says, and
//! nothing else.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::columns::{self, Printed};
use super::definition::{Strategy, VersionSpec};
use super::{Shared, scale_paths, stamp};
use crate::api::codec::Error;
use crate::api::field::{ErrorKind, Errors, FieldError, Path};
use crate::api::schema::structural::{
    Malformed, Place, Schema, coerce, coerce_metadata, fill, prune, prune_nulls, validate, validate_embedded,
    validate_lists,
};
use crate::api::validation::names;
use crate::api::{Object, Status};
use crate::resources::{Behaviour, Kind, Moment, Part, Scale, Stamp};

/// Finalizers without a domain that nobody is warned of.
const STANDARD_FINALIZERS: [&str; 3] = ["orphan", "foregroundDeletion", "kubernetes"];

/// One version of a custom resource.
pub(super) struct CustomResource {
    shared: Arc<Shared>,
    at: usize,
    stamp: Stamp,
    columns: Vec<Printed>,
    status: bool,
    scale: Option<Scale>,
    /// As the definition has them, for messages.
    scale_texts: [String; 3],
}

impl CustomResource {
    pub(super) fn new(version: &VersionSpec, (shared, at): (&Arc<Shared>, usize)) -> Self {
        let subresources = version.subresources.clone().unwrap_or_default();
        let scale = subresources.scale.unwrap_or_default();
        Self {
            shared: shared.clone(),
            at,
            stamp: stamp(shared, at),
            columns: columns::printed(version),
            status: subresources.status.is_some(),
            scale: version.subresources.as_ref().and_then(|s| s.scale.as_ref()).map(scale_paths),
            scale_texts: [scale.spec_replicas_path, scale.status_replicas_path, scale.label_selector_path],
        }
    }

    fn schema(&self) -> Arc<Schema> {
        self.shared.schema(self.at)
    }

    /// Drops what the schema of a version does not have; gives the paths of unknown fields.
    fn settle(&self, at: usize, object: &mut Object, malformed: Malformed) -> Result<Vec<String>, Error> {
        let (meta, schema) = (self.shared.facts.meta(), self.shared.schema(at));
        let root = object.root_mut();
        let mut unknown = coerce_metadata(root, meta, malformed)?;
        if !self.shared.preserve_unknown {
            unknown.extend(prune(root, &schema));
            prune_nulls(root, Some(&schema));
        }
        unknown.extend(coerce(root, &schema, meta, malformed).map_err(|error| Error::new(error.to_string()))?);
        Ok(unknown)
    }

    /// From one version to another.
    fn convert_to(&self, at: usize, object: &mut Object) -> crate::api::Result<()> {
        let wanted = self.shared.gvk(at);
        if object.gvk() == wanted {
            return Ok(());
        }
        if self.shared.conversion == Strategy::Webhook {
            let from = object.gvk();
            // Who reads or writes has it converted before it comes here.
            return Err(Status::internal(format!("conversion webhook for {from} failed: it was not called")));
        }
        object.set_gvk(&wanted);
        self.settle(at, object, Malformed::Drop).map_err(Status::internal)?;
        Ok(())
    }

    fn schema_errors(&self, new: &Object, old: Option<&Object>) -> Errors {
        let schema = self.schema();
        let (value, old) = (Value::Object(new.root().clone()), old.map(|old| Value::Object(old.root().clone())));
        validate(Place { value: &value, old: old.as_ref(), prefix: "" }, &schema)
    }

    fn scale_errors(&self, object: &Object, parts: &[usize]) -> Errors {
        let Some(scale) = &self.scale else { return Vec::new() };
        let paths = [&scale.spec_replicas, &scale.status_replicas, &scale.selector];
        let mut errors = Errors::new();
        for part in parts {
            let keys: Vec<&str> = paths[*part].iter().map(AsRef::as_ref).collect();
            let text = &self.scale_texts[*part];
            let value = object.get(&keys);
            let fault = match value {
                Some(value) => scale_fault(*part, value, text),
                None => blocked(object.root(), &keys),
            };
            if let Some(detail) = fault {
                let value = value.unwrap_or(&Value::Null);
                let shown = if *part == 2 { Value::from("") } else { value.as_i64().unwrap_or(0).into() };
                errors.push(FieldError::invalid(&Path::new(text), shown, detail));
            }
        }
        errors
    }

    /// Rules need a well-formed object; of others it is only told that they were not run.
    fn run_rules(&self, new: &Object, old: Option<&Object>, errors: &mut Errors) {
        let Some(rules) = self.shared.rules(self.at) else { return };
        if errors.iter().any(|error| blocks_rules(error.kind)) {
            let detail = "some validation rules were not checked because the object was invalid; correct the existing \
                          errors to complete validation";
            errors.push(FieldError::invalid(&Path::new("<nil>"), Value::Null, detail));
            return;
        }
        let value = |object: &Object| Value::Object(object.root().clone());
        errors.extend(rules.run(&value(new), old.map(value).as_ref()).0);
    }

    fn lists(&self, object: &Object) -> Errors {
        let mut errors = Errors::new();
        validate_lists(object.root(), &self.schema(), &Path::ROOT, &mut errors);
        errors
    }

    fn embedded(&self, object: &Object) -> Errors {
        let mut errors = Errors::new();
        let schema = self.schema();
        for (name, value) in object.root() {
            if let Some(of) = schema.property(name) {
                validate_embedded(value, of, &Path::new(name), &mut errors);
            }
        }
        errors
    }
}

fn blocks_rules(kind: ErrorKind) -> bool {
    use ErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
    matches!(kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)
}

fn scale_fault(part: usize, value: &Value, path: &str) -> Option<String> {
    let path = path.strip_prefix('.').unwrap_or(path);
    if part == 2 {
        let given = go_type(value);
        return (!value.is_string())
            .then(|| format!(".{path} accessor error: {} is of the type {given}, expected string", go_plain(value)));
    }
    match value.as_i64() {
        None => {
            let given = go_type(value);
            Some(format!(".{path} accessor error: {} is of the type {given}, expected int64", go_plain(value)))
        }
        Some(number) if number < 0 => Some("should be a non-negative integer".to_owned()),
        Some(number) if number > i64::from(i32::MAX) => Some(format!("should be less than or equal to {}", i32::MAX)),
        Some(_) => None,
    }
}

/// What stands in the way to a place, where an object should.
fn blocked(root: &Map<String, Value>, keys: &[&str]) -> Option<String> {
    let mut at = root;
    for (depth, key) in keys.iter().enumerate() {
        match at.get(*key)? {
            Value::Null => return None,
            Value::Object(below) => at = below,
            // What stands at the place itself is judged by its value.
            _ if depth + 1 == keys.len() => return None,
            other => {
                let path = keys[..depth + 2].join(".");
                let (given, of) = (go_plain(other), go_type(other));
                return Some(format!(
                    ".{path} accessor error: {given} is of the type {of}, expected map[string]interface{{}}"
                ));
            }
        }
    }
    None
}

/// A value as Go's `%v` prints it, texts without quotes.
fn go_plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_plain).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().map(|(key, value)| format!("{key}:{}", go_plain(value))).collect();
            fields.sort_unstable();
            format!("map[{}]", fields.join(" "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

impl Behaviour for CustomResource {
    fn fit(&self, _: &Kind, value: &mut Value) -> Result<Vec<String>, Error> {
        let Value::Object(root) = value else { return Err(Error::new("an object is expected")) };
        let mut object = Object::default();
        std::mem::swap(object.root_mut(), root);
        let unknown = self.settle(self.at, &mut object, Malformed::Refuse);
        std::mem::swap(object.root_mut(), root);
        unknown
    }

    fn default(&self, _: &Kind, object: &mut Object) {
        fill(object.root_mut(), &self.schema());
    }

    fn generation(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        let mut errors = self.schema_errors(object, None);
        errors.extend(self.scale_errors(object, &[0, 1, 2]));
        errors.extend(self.embedded(object));
        errors.extend(self.lists(object));
        self.run_rules(object, None, &mut errors);
        errors
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        let mut errors = self.schema_errors(new, Some(old));
        errors.extend(self.scale_errors(new, &[0, 1, 2]));
        errors.extend(self.embedded(new));
        if self.lists(old).is_empty() {
            errors.extend(self.lists(new));
        }
        self.run_rules(new, Some(old), &mut errors);
        errors
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate_part(&self, _: &Kind, _: &str, (new, old): (&Object, &Object)) -> Errors {
        let mut errors = Errors::new();
        let schema = self.schema();
        if let (Some(value), Some(of)) = (new.get(&["status"]), schema.property("status")) {
            errors.extend(validate(Place { value, old: old.get(&["status"]), prefix: "status" }, of));
        }
        errors.extend(self.scale_errors(new, &[1, 2]));
        if self.lists(old).is_empty() {
            errors.extend(self.lists(new));
        }
        self.run_rules(new, Some(old), &mut errors);
        errors
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        let known: Vec<&str> = old.into_iter().flat_map(Object::finalizers).collect();
        let mut added: Vec<&str> = object.finalizers().filter(|name| !known.contains(name)).collect();
        added.sort_unstable();
        added.dedup();
        let mut out: Vec<String> = added.into_iter().flat_map(finalizer_warnings).collect();
        // Rules that were broken before and still are in what did not change.
        if let (Some(rules), Some(old)) = (self.shared.rules(self.at), old) {
            let value = |object: &Object| Value::Object(object.root().clone());
            out.extend(rules.run(&value(object), Some(&value(old))).1);
        }
        out
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status" && self.status).then_some(STATUS)
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(columns::cells(&self.columns, object, moment))
    }

    fn scale(&self, _: &Kind) -> Option<Scale> {
        self.scale.clone()
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn selects_by(&self, field: &str) -> bool {
        self.shared.versions[self.at].selectable.iter().any(|known| known == field)
    }

    fn extract(&self, object: &Object) -> Vec<(Arc<str>, Arc<str>)> {
        let mut out = vec![(self.stamp.name.clone(), self.stamp.value.clone())];
        if self.shared.selectable.is_empty() {
            return out;
        }
        let root = Value::Object(object.root().clone());
        for (name, path) in &self.shared.selectable {
            let found = path.find(&root);
            let value = found.first().filter(|value| !value.is_null()).map(|value| columns::text(value));
            out.push((name.clone(), Arc::from(value.unwrap_or_default())));
        }
        out
    }

    fn stamp(&self) -> Option<&Stamp> {
        Some(&self.stamp)
    }

    fn revive(&self, object: &mut Object) -> crate::api::Result<()> {
        if let Some(stored) = self.shared.version(&object.gvk().version) {
            self.settle(stored, object, Malformed::Drop).map_err(Status::internal)?;
            fill(object.root_mut(), &self.shared.schema(stored));
        }
        if object.generation() == 0 {
            object.set(&["metadata", "generation"], 1);
        }
        self.convert_to(self.at, object)?;
        fill(object.root_mut(), &self.schema());
        Ok(())
    }

    fn shelve(&self, object: &Object) -> Option<Object> {
        let storage = self.shared.version(&self.shared.storage_version)?;
        if storage == self.at {
            return None;
        }
        let mut shelved = object.clone();
        // What cannot be converted stays in the version in which it came, as every version can be stored.
        self.convert_to(storage, &mut shelved).ok()?;
        fill(shelved.root_mut(), &self.shared.schema(storage));
        Some(shelved)
    }

    fn create_refusal(&self) -> Option<&'static str> {
        self.shared.terminating.then_some("create not allowed while custom resource definition is terminating")
    }
}

/// A write of the status leaves everything else as it was.
const STATUS: Part = Part { prepare: only_status, validate: |_, _| Errors::new() };

fn only_status(new: &mut Object, old: &Object, _: &Moment) {
    let status = new.root_mut().remove("status");
    let owners = new.remove(&["metadata", "managedFields"]);
    *new.root_mut() = old.root().clone();
    match owners {
        Some(owners) => new.set(&["metadata", "managedFields"], owners),
        None => drop(new.remove(&["metadata", "managedFields"])),
    }
    match status {
        Some(status) => new.root_mut().insert("status".to_owned(), status),
        None => new.root_mut().remove("status"),
    };
}

fn finalizer_warnings(name: &str) -> Vec<String> {
    let at = format!("metadata.finalizers: {}", crate::api::field::go_quote(name));
    let mut out: Vec<String> =
        names::qualified_name(name).into_iter().map(|message| format!("{at}: {message}")).collect();
    if !name.contains('/') && !STANDARD_FINALIZERS.contains(&name) {
        let path = if name.contains('.') { " including a path (/)" } else { "" };
        out.push(format!(
            "{at}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer \
             writers"
        ));
    }
    out
}
