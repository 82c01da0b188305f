//! `metadata` of every object on create and update, and labels and annotations wherever they stand
//! (apimachinery `pkg/api/validation/objectmeta.go`). The declarative rules of ObjectMeta are alpha in v1.37 and so
//! never enforced; what stands here is the whole of it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::names::{self, Messages};
use crate::api::Object;
use crate::api::field::{ErrorKind, Errors, FieldError, Path, go_quote};

/// Whether objects of a kind live in a namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    Namespaced,
    Cluster,
}

/// The most bytes that all keys and values of annotations may take together.
pub const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;
/// The longest field manager name.
pub const FIELD_MANAGER_BYTES_MAX: usize = 128;

const SUBRESOURCE_BYTES_MAX: usize = 256;
const IMMUTABLE: &str = "field is immutable";

/// Validates `metadata` of a new object whose name was generated already. `name_errors` is the kind's rule for a name
/// (`true`: for a `generateName`).
pub fn validate_create(object: &Object, scope: Scope, name_errors: &dyn Fn(&str, bool) -> Messages) -> Errors {
    let path = Path::new("metadata");
    let mut errors = Errors::new();
    let generate_name = object.text_at(&["metadata", "generateName"]);
    if !generate_name.is_empty() {
        let path = path.child("generateName");
        errors
            .extend(name_errors(generate_name, true).into_iter().map(|m| FieldError::invalid(&path, generate_name, m)));
    }
    let name = object.name();
    let name_path = path.child("name");
    if name.is_empty() {
        errors.push(FieldError::required(&name_path, "name or generateName is required"));
    } else {
        errors.extend(name_errors(name, false).into_iter().map(|m| FieldError::invalid(&name_path, name, m)));
    }
    namespace(object.namespace(), scope, &path.child("namespace"), &mut errors);
    common(object, &path, &mut errors);
    finalizers(&object.finalizers().collect::<Vec<_>>(), &path.child("finalizers"), &mut errors);
    managed_fields(object.get(&["metadata", "managedFields"]), &path.child("managedFields"), &mut errors);
    errors
}

/// Validates `metadata` of an update; `new` carries the resourceVersion it wants to replace.
pub fn validate_update(new: &Object, old: &Object) -> Errors {
    let path = Path::new("metadata");
    let mut errors = Errors::new();
    if old.deleting() {
        no_new_finalizers(new, old, &path.child("finalizers"), &mut errors);
    }
    if new.resource_version().is_empty() {
        let path = path.child("resourceVersion");
        errors.push(FieldError::invalid(&path, "", "must be specified for an update"));
    }
    let generation_path = path.child("generation");
    non_negative(new.generation(), &generation_path, &mut errors);
    if new.generation() < old.generation() {
        errors.push(FieldError::invalid(&generation_path, new.generation(), "must not be decremented"));
    }
    for field in ["name", "namespace", "uid"] {
        let text = new.text_at(&["metadata", field]);
        if text != old.text_at(&["metadata", field]) {
            errors.push(FieldError::invalid(&path.child(field), text, IMMUTABLE));
        }
    }
    for field in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let value = new.get(&["metadata", field]).unwrap_or(&Value::Null);
        if value != old.get(&["metadata", field]).unwrap_or(&Value::Null) {
            errors.push(FieldError::invalid(&path.child(field), value.clone(), IMMUTABLE));
        }
    }
    labels_of(new, &path, &mut errors);
    owner_references(new, &path.child("ownerReferences"), &mut errors);
    managed_fields(new.get(&["metadata", "managedFields"]), &path.child("managedFields"), &mut errors);
    errors
}

/// Validates a map of labels.
pub fn labels(map: &Map<String, Value>, path: &Path<'_>, errors: &mut Errors) {
    for (key, value) in map {
        label_key(key, path, errors);
        let value = value.as_str().unwrap_or_default();
        errors.extend(names::label_value(value).into_iter().map(|m| FieldError::invalid(path, value, m)));
    }
}

/// Validates one label key.
pub fn label_key(key: &str, path: &Path<'_>, errors: &mut Errors) {
    errors.extend(names::qualified_name(key).into_iter().map(|m| FieldError::invalid(path, key, m)));
}

/// Validates a map of annotations.
pub fn annotations(map: &Map<String, Value>, path: &Path<'_>, errors: &mut Errors) {
    let mut total = 0;
    for (key, value) in map {
        let lower = key.to_lowercase();
        errors.extend(names::qualified_name(&lower).into_iter().map(|m| FieldError::invalid(path, key.as_str(), m)));
        total += key.len() + value.as_str().map_or(0, str::len);
    }
    if total > ANNOTATIONS_BYTES_MAX {
        errors.push(FieldError::too_long(path, ANNOTATIONS_BYTES_MAX));
    }
}

/// What the metadata of a template that copies labels and annotations alone may not have: fields, and how they are told.
const NOT_IN_TEMPLATES: [(&str, &str); 13] = [
    ("name", "name"),
    ("generateName", "generateName"),
    ("namespace", "namespace"),
    ("selfLink", "selfLink"),
    ("uid", "uID"),
    ("resourceVersion", "resourceVersion"),
    ("generation", "generation"),
    ("creationTimestamp", "creationTimestamp"),
    ("deletionTimestamp", "deletionTimestamp"),
    ("deletionGracePeriodSeconds", "deletionGracePeriodSeconds"),
    ("ownerReferences", "ownerReferences"),
    ("finalizers", "finalizers"),
    ("managedFields", "managedFields"),
];

/// Validates the metadata of a template that copies labels and annotations alone.
pub fn template(given: &Map<String, Value>, path: &Path<'_>, errors: &mut Errors) {
    if let Some(map) = given.get("annotations").and_then(Value::as_object) {
        annotations(map, &path.child("annotations"), errors);
    }
    if let Some(map) = given.get("labels").and_then(Value::as_object) {
        labels(map, &path.child("labels"), errors);
    }
    for (_, told) in NOT_IN_TEMPLATES.iter().filter(|(key, _)| given.get(*key).is_some_and(|value| !value.is_null())) {
        errors.push(FieldError::forbidden(&path.child(told), "cannot be set"));
    }
}

/// Validates the name of a field manager.
pub fn field_manager(name: &str, path: &Path<'_>, errors: &mut Errors) {
    if name.len() > FIELD_MANAGER_BYTES_MAX {
        errors.push(FieldError::too_long(path, FIELD_MANAGER_BYTES_MAX));
    }
    for (at, c) in name.char_indices().filter(|(_, c)| !printable(*c)) {
        let detail = format!("invalid character U+{:04X} (at position {at})", c as u32);
        errors.push(FieldError::invalid(path, name, detail));
    }
}

/// Validates one finalizer's name.
pub fn finalizer_name(name: &str, path: &Path<'_>, errors: &mut Errors) {
    label_key(name, path, errors);
}

/// Validates a list of finalizers.
pub fn finalizers(list: &[&str], path: &Path<'_>, errors: &mut Errors) {
    for name in list {
        finalizer_name(name, path, errors);
    }
    if list.contains(&"orphan") && list.contains(&"foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(path, list.to_vec(), detail));
    }
}

/// What upstream's types but the newest ask of finalizers beside that: a name without a group must be one of those that
/// have always been there.
pub fn qualified_finalizers(object: &Object) -> Errors {
    let metadata = Path::new("metadata");
    let path = metadata.child("finalizers");
    let detail = "name is neither a standard finalizer name nor is it fully qualified";
    let standard = |name: &str| matches!(name, "kubernetes" | "orphan" | "foregroundDeletion");
    let bare = object.finalizers().enumerate().filter(|(_, name)| !name.contains('/') && !standard(name));
    bare.map(|(index, name)| FieldError::invalid(&path.index(index), name, detail)).collect()
}

fn namespace(namespace: &str, scope: Scope, path: &Path<'_>, errors: &mut Errors) {
    match scope {
        Scope::Namespaced if namespace.is_empty() => errors.push(FieldError::required(path, "")),
        Scope::Namespaced => {
            let messages = names::dns1123_label(namespace);
            errors.extend(messages.into_iter().map(|m| FieldError::invalid(path, namespace, m)));
        }
        Scope::Cluster if namespace.is_empty() => {}
        Scope::Cluster => errors.push(FieldError::forbidden(path, "not allowed on this type")),
    }
}

fn common(object: &Object, path: &Path<'_>, errors: &mut Errors) {
    non_negative(object.generation(), &path.child("generation"), errors);
    labels_of(object, path, errors);
    owner_references(object, &path.child("ownerReferences"), errors);
}

fn labels_of(object: &Object, path: &Path<'_>, errors: &mut Errors) {
    let map = |field| object.get(&["metadata", field]).and_then(Value::as_object);
    if let Some(map) = map("labels") {
        labels(map, &path.child("labels"), errors);
    }
    if let Some(map) = map("annotations") {
        annotations(map, &path.child("annotations"), errors);
    }
}

fn non_negative(value: i64, path: &Path<'_>, errors: &mut Errors) {
    if value < 0 {
        errors.push(FieldError::invalid(path, value, "must be greater than or equal to 0"));
    }
}

fn no_new_finalizers(new: &Object, old: &Object, path: &Path<'_>, errors: &mut Errors) {
    let before: BTreeSet<&str> = old.finalizers().collect();
    let extra: BTreeSet<&str> = new.finalizers().filter(|f| !before.contains(f)).collect();
    if !extra.is_empty() {
        let list: Vec<String> = extra.into_iter().map(go_quote).collect();
        let detail = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            list.join(", ")
        );
        errors.push(FieldError::forbidden(path, detail));
    }
}

fn owner_references(object: &Object, path: &Path<'_>, errors: &mut Errors) {
    let Some(list) = object.get(&["metadata", "ownerReferences"]).and_then(Value::as_array) else { return };
    let mut controller: Option<String> = None;
    for (index, reference) in list.iter().enumerate() {
        owner_reference(reference, &path.index(index), errors);
        if reference.get("controller").and_then(Value::as_bool) == Some(true) {
            let name = format!("{}/{}", text(reference, "kind"), text(reference, "name"));
            match &controller {
                Some(first) => {
                    let detail = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} \
                         and {name}"
                    );
                    let shown = list.iter().map(owner_as_go_writes_it).collect::<Vec<_>>().join(",");
                    errors.push(FieldError::invalid_literal(path, format!("[{shown}]"), detail));
                }
                None => controller = Some(name),
            }
        }
    }
}

/// The JSON of an owner with its fields in the order of the Go type.
fn owner_as_go_writes_it(owner: &Value) -> String {
    let fields = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
    let entries: Vec<String> =
        fields.iter().filter_map(|field| Some(format!("\"{field}\":{}", owner.get(field)?))).collect();
    format!("{{{}}}", entries.join(","))
}

fn owner_reference(reference: &Value, path: &Path<'_>, errors: &mut Errors) {
    let api_version = text(reference, "apiVersion");
    if api_version.is_empty() {
        errors.push(FieldError::required(&path.child("apiVersion"), "must not be empty"));
    } else if !is_group_version(api_version) {
        let path = path.child("apiVersion");
        errors.push(FieldError::invalid(&path, api_version, "must be <group>/<version> or <version>"));
    }
    for field in ["kind", "name", "uid"] {
        if text(reference, field).is_empty() {
            errors.push(FieldError::required(&path.child(field), "must not be empty"));
        }
    }
    if api_version == "v1" && text(reference, "kind") == "Event" {
        let detail = "/v1, Kind=Event is disallowed from being an owner";
        errors.push(FieldError::invalid(path, reference.clone(), detail));
    }
}

/// `schema.ParseGroupVersion` of a non-empty text succeeds and gives a version.
fn is_group_version(text: &str) -> bool {
    match text.split_once('/') {
        None => true,
        Some((_, version)) => !version.is_empty() && !version.contains('/'),
    }
}

/// Validates `managedFields`.
pub fn managed_fields(list: Option<&Value>, path: &Path<'_>, errors: &mut Errors) {
    for (index, entry) in list.and_then(Value::as_array).into_iter().flatten().enumerate() {
        let path = path.index(index);
        let operation = path.child("operation");
        match text(entry, "operation") {
            "" => errors.push(FieldError::required(&operation, "must not be empty")),
            "Apply" | "Update" => {}
            other => errors.push(FieldError::not_supported(&operation, other, &["Apply", "Update"])),
        }
        let fields_type = text(entry, "fieldsType");
        if !fields_type.is_empty() && fields_type != "FieldsV1" {
            errors.push(FieldError::invalid(&path.child("fieldsType"), fields_type, "must be `FieldsV1`"));
        }
        field_manager(text(entry, "manager"), &path.child("manager"), errors);
        if text(entry, "subresource").len() > SUBRESOURCE_BYTES_MAX {
            errors.push(FieldError::too_long(&path.child("subresource"), SUBRESOURCE_BYTES_MAX));
        }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Go's `unicode.IsPrint`, as near as std tells: Rust's debug form leaves printable characters as they are.
fn printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    let probe: String = ['a', c].iter().collect();
    !c.is_whitespace() && probe.escape_debug().eq(probe.chars())
}

/// The values of `dryRun`; anything but `All` is refused.
pub fn dry_run(values: &[&str], path: &Path<'_>, errors: &mut Errors) {
    if values.iter().any(|v| *v != "All") {
        errors.push(FieldError::not_supported(path, values.to_vec(), &["All"]));
    }
}

/// The value of `fieldValidation`.
pub fn field_validation(value: &str, path: &Path<'_>, errors: &mut Errors) {
    let allowed = ["", "Ignore", "Strict", "Warn"];
    if !allowed.contains(&value) {
        errors.push(FieldError::new(
            ErrorKind::NotSupported,
            path,
            value,
            "supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
        ));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(metadata: Value) -> Object {
        Object::from_value(json!({ "metadata": metadata })).unwrap()
    }

    #[track_caller]
    fn check_create(metadata: Value, expected: &[&str]) {
        let errors = validate_create(&object(metadata), Scope::Namespaced, &names::subdomain_name);
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn create_reports_every_fault_of_metadata() {
        check_create(json!({"name": "a", "namespace": "b", "generateName": "a-"}), &[]);
        check_create(json!({"namespace": "b"}), &["metadata.name: Required value: name or generateName is required"]);
        check_create(json!({"name": "a"}), &["metadata.namespace: Required value"]);
        check_create(
            json!({"name": "a", "namespace": "b", "generation": -1, "ownerReferences": [{"apiVersion": "a/b/c"}]}),
            &[
                "metadata.generation: Invalid value: -1: must be greater than or equal to 0",
                "metadata.ownerReferences[0].apiVersion: Invalid value: \"a/b/c\": must be <group>/<version> or \
                 <version>",
                "metadata.ownerReferences[0].kind: Required value: must not be empty",
                "metadata.ownerReferences[0].name: Required value: must not be empty",
                "metadata.ownerReferences[0].uid: Required value: must not be empty",
            ],
        );
        check_create(
            json!({"name": "a", "namespace": "b", "managedFields": [{"manager": "x\u{7}", "operation": "No"}]}),
            &[
                "metadata.managedFields[0].operation: Unsupported value: \"No\": supported values: \"Apply\", \"Update\"",
                "metadata.managedFields[0].manager: Invalid value: \"x\\a\": invalid character U+0007 (at position 1)",
            ],
        );
        let big = "x".repeat(ANNOTATIONS_BYTES_MAX);
        check_create(
            json!({"name": "a", "namespace": "b", "annotations": {"A": big}}),
            &["metadata.annotations: Too long: may not be more than 262144 bytes"],
        );
    }

    #[test]
    fn update_refuses_changes_of_identity() {
        let old = object(json!({"name": "a", "uid": "1", "resourceVersion": "1", "generation": 2,
            "deletionTimestamp": "2020-01-01T00:00:00Z", "finalizers": ["a/b"]}));
        let new = object(json!({"name": "b", "uid": "1", "generation": 1,
            "deletionTimestamp": "2020-01-01T00:00:00Z", "finalizers": ["a/b", "a/c"]}));
        let texts: Vec<String> = validate_update(&new, &old).iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found \
                 new finalizers []string{\"a/c\"}",
                "metadata.resourceVersion: Invalid value: \"\": must be specified for an update",
                "metadata.generation: Invalid value: 1: must not be decremented",
                "metadata.name: Invalid value: \"b\": field is immutable",
            ]
        );
    }
}
