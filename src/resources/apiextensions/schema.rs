//! What is wrong with a schema of a definition, beside its structure.

use serde_json::Value;

use super::{expressions, print};
use crate::api::field::{Errors, FieldError, Path, Shown};
use crate::api::schema::structural::check::{
    Props, any, child, entries, flag, list, text, unsupported, validate_structural,
};
use crate::api::schema::structural::{Place, Schema, prune_value, validate as validate_value, validate_embedded};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
/// What may stand at the root of a schema beside a status; the names are those of the Go type.
const AT_ROOT: [(&str, &str); 22] = [
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];

/// Which rules hold; those that the old schema broke do not.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a rule of its own that may be off")]
pub(super) struct Options {
    pub structural: bool,
    pub types: bool,
    pub pruned_defaults: bool,
    pub atomic_sets: bool,
    pub list_keys: bool,
}

/// Adds what is wrong with the schema of a version. `path` is that of the field `schema`.
pub(super) fn validate(props: &Props, (options, status): (&Options, bool), path: &Path<'_>, errors: &mut Errors) {
    let at = path.child("openAPIV3Schema");
    if status {
        beside_status(props, path, errors);
    }
    if flag(props, "nullable") {
        let field = path.child("openAPIV3Schema.nullable");
        errors.push(FieldError::forbidden(&field, "nullable cannot be true at the root"));
    }
    if options.structural && !unsupported(props) {
        let wrong = validate_structural(&at, props);
        if wrong.is_empty() {
            defaults(props, options, (&at, false), errors);
        } else {
            errors.extend(wrong);
        }
    }
    let before = errors.len();
    Walk { options: *options, errors }.node(props, Position { root: true, ..Position::default() }, &at);
    if errors.len() == before && options.structural {
        expressions::validate(props, &at, errors);
    }
}

fn beside_status(props: &Props, path: &Path<'_>, errors: &mut Errors) {
    for key in props.keys() {
        if key == "type" {
            if text(props, "type") != "object" {
                let detail = "only \"object\" is allowed as the type at the root of the schema if the status \
                              subresource is enabled";
                let at = path.child("openAPIV3Schema.type");
                errors.push(FieldError::invalid(&at, text(props, "type"), detail));
                return;
            }
        } else if !AT_ROOT.iter().any(|(known, _)| known == key) {
            let names: Vec<&str> = AT_ROOT.iter().map(|(_, name)| *name).collect();
            let detail = format!(
                "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
                names.join(" ")
            );
            let value = Value::Object(props.clone());
            let shown = Shown::Text(print::schema(props));
            errors.push(FieldError::invalid(&path.child("openAPIV3Schema"), value, detail).shown(shown));
            return;
        }
    }
}

/// Defaults must be values of their own schema.
fn defaults(props: &Props, options: &Options, (path, meta): (&Path<'_>, bool), errors: &mut Errors) {
    let embedded = flag(props, "x-kubernetes-embedded-resource");
    let inside = meta && !embedded;
    if let Some(default) = props.get("default").filter(|default| !default.is_null() && !inside) {
        let (schema, at) = (Schema::parse(props), path.child("default"));
        let mut pruned = default.clone();
        prune_value(&mut pruned, &schema);
        if options.pruned_defaults && pruned != *default {
            errors.push(FieldError::invalid(&at, default.clone(), "must not have unknown fields"));
        }
        let prefix = at.to_string();
        let mut wrong = Errors::new();
        validate_embedded(default, &schema, &at, &mut wrong);
        if wrong.is_empty() {
            wrong = validate_value(Place { value: default, old: None, prefix: &prefix }, &schema);
        }
        errors.extend(wrong);
    }
    if let Some(items) = child(props, "items") {
        defaults(items, options, (&path.child("items"), inside), errors);
    }
    let properties = path.child("properties");
    for (name, of) in entries(props, "properties") {
        let special = embedded && matches!(name, "metadata" | "apiVersion" | "kind");
        defaults(of, options, (&properties.key(name), inside || special), errors);
    }
}

/// Where a node stands.
#[derive(Clone, Copy, Default)]
struct Position<'a> {
    root: bool,
    /// Below `apiVersion`, `kind` or `metadata` of an object.
    meta: bool,
    /// Why there may be no defaults here.
    no_defaults: Option<&'a str>,
}

struct Walk<'a> {
    options: Options,
    errors: &'a mut Errors,
}

impl Walk<'_> {
    fn node(&mut self, props: &Props, position: Position<'_>, path: &Path<'_>) {
        self.standard(props, position, path);
        if flag(props, "uniqueItems") {
            let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.errors.push(FieldError::forbidden(&path.child("uniqueItems"), detail));
        }
        let below = Position { root: false, ..position };
        self.additional(props, below, path);
        let properties = path.child("properties");
        for (name, of) in entries(props, "properties") {
            let special = matches!(name, "metadata" | "kind" | "apiVersion");
            let whole = position.root || flag(props, "x-kubernetes-embedded-resource");
            let reason = format!("in top-level {name}");
            let at = match special && whole {
                true if position.root => Position { meta: true, no_defaults: Some(&reason), ..below },
                true => Position { meta: true, ..below },
                false => below,
            };
            self.node(of, at, &properties.key(name));
        }
        for key in ["not", "items"] {
            if let Some(of) = child(props, key) {
                self.node(of, below, &path.child(key));
            }
        }
        for key in ["allOf", "oneOf", "anyOf"] {
            let at = path.child(key);
            for (index, of) in list(props, key).enumerate() {
                self.node(of, below, &at.index(index));
            }
        }
        self.extensions(props, path);
        if self.options.list_keys {
            self.errors.extend(list_keys(props, path));
        }
        rules(props, path, self.errors);
    }

    fn standard(&mut self, props: &Props, position: Position<'_>, path: &Path<'_>) {
        let name = text(props, "type");
        if self.options.types && has_unknown_type(props) {
            self.errors.push(FieldError::not_supported(&path.child("type"), name, &TYPES));
        }
        if props.contains_key("default")
            && let Some(reason) = position.no_defaults
        {
            self.errors.push(FieldError::forbidden(&path.child("default"), format!("must not be set {reason}")));
        }
        for (key, detail) in [
            ("id", "id is not supported"),
            ("additionalItems", "additionalItems is not supported"),
            ("patternProperties", "patternProperties is not supported"),
            ("definitions", "definitions is not supported"),
            ("dependencies", "dependencies is not supported"),
            ("$ref", "$ref is not supported"),
        ] {
            if props.contains_key(key) {
                self.errors.push(FieldError::forbidden(&path.child(key), detail));
            }
        }
        if name == "null" {
            let detail = "type cannot be set to null, use nullable as an alternative";
            self.errors.push(FieldError::forbidden(&path.child("type"), detail));
        }
        if props.get("items").is_some_and(Value::is_array) {
            let detail = "items must be a schema object and not an array";
            self.errors.push(FieldError::forbidden(&path.child("items"), detail));
        }
        if position.meta && flag(props, "x-kubernetes-embedded-resource") {
            let at = path.child("x-kubernetes-embedded-resource");
            self.errors.push(FieldError::forbidden(&at, "must not be used inside of resource meta"));
        }
    }

    fn additional(&mut self, props: &Props, below: Position<'_>, path: &Path<'_>) {
        let Some(additional) = props.get("additionalProperties") else { return };
        let at = path.child("additionalProperties");
        if entries(props, "properties").next().is_some() && *additional != Value::Bool(true) {
            let detail = "additionalProperties and properties are mutual exclusive";
            self.errors.push(FieldError::forbidden(&at, detail));
        }
        if let Some(of) = additional.as_object() {
            let reason = "inside additionalProperties applying to object metadata";
            let below = if below.meta { Position { no_defaults: Some(reason), ..below } } else { below };
            self.node(of, below, &at);
        }
    }

    fn extensions(&mut self, props: &Props, path: &Path<'_>) {
        const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
        if props.get(PRESERVE) == Some(&Value::Bool(false)) {
            self.errors.push(FieldError::invalid(&path.child(PRESERVE), false, "must be true or undefined"));
        }
        self.extension(props, ("x-kubernetes-map-type", "object", &["atomic", "granular"]), path);
        self.extension(props, ("x-kubernetes-list-type", "array", &["atomic", "set", "map"]), path);
        if self.options.atomic_sets && has_loose_set(props) {
            let items = path.child("items");
            let key = match child(props, "items").map_or("", |items| text(items, "type")) {
                "array" => "x-kubernetes-list-type",
                _ => "x-kubernetes-map-type",
            };
            let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
            let given = child(props, "items").and_then(|items| items.get("x-kubernetes-list-type"));
            self.errors.push(FieldError::invalid(&items.child(key), given.cloned().unwrap_or_default(), detail));
        }
        self.keyed_list(props, path);
    }

    fn extension(&mut self, props: &Props, (key, wanted, values): (&str, &str, &[&str]), path: &Path<'_>) {
        let Some(given) = props.get(key).and_then(Value::as_str) else { return };
        let name = text(props, "type");
        let detail = format!("must be {wanted} if {key} is specified");
        if name.is_empty() {
            self.errors.push(FieldError::required(&path.child("type"), detail));
        } else if name != wanted {
            self.errors.push(FieldError::invalid(&path.child("type"), name, detail));
        }
        if !values.contains(&given) {
            self.errors.push(FieldError::not_supported(&path.child(key), given, values));
        }
    }

    fn keyed_list(&mut self, props: &Props, path: &Path<'_>) {
        const KEYS: &str = "x-kubernetes-list-map-keys";
        let keys: Vec<&str> =
            props.get(KEYS).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let kind = props.get("x-kubernetes-list-type").and_then(Value::as_str);
        if !keys.is_empty() && kind != Some("map") {
            let (at, detail) =
                (path.child("x-kubernetes-list-type"), "must be map if x-kubernetes-list-map-keys is non-empty");
            self.errors.push(match kind {
                None => FieldError::required(&at, detail),
                Some(kind) => FieldError::invalid(&at, kind, detail),
            });
        }
        if kind != Some("map") {
            return;
        }
        if keys.is_empty() {
            let detail = "must not be empty if x-kubernetes-list-type is map";
            self.errors.push(FieldError::required(&path.child(KEYS), detail));
        }
        let items_path = path.child("items");
        let Some(items) = child(props, "items") else {
            if !props.contains_key("items") {
                let detail = "must have a schema if x-kubernetes-list-type is map";
                self.errors.push(FieldError::required(&items_path, detail));
            }
            return;
        };
        if text(items, "type") != "object" {
            let detail = "must be object if parent array's x-kubernetes-list-type is map";
            self.errors.push(FieldError::invalid(&items_path.child("type"), text(items, "type"), detail));
            return;
        }
        self.keys(items, &keys, (path, &items_path));
    }

    fn keys(&mut self, items: &Props, keys: &[&str], (path, items_path): (&Path<'_>, &Path<'_>)) {
        let properties = items_path.child("properties");
        let at = path.child("x-kubernetes-list-map-keys");
        let value = || Value::from(keys.iter().map(|key| Value::from(*key)).collect::<Vec<_>>());
        for (index, key) in keys.iter().enumerate() {
            match child(items, "properties").and_then(|fields| child(fields, key)) {
                Some(of) if matches!(text(of, "type"), "array" | "object") => {
                    let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                    let field = properties.key(key);
                    self.errors.push(FieldError::invalid(&field.child("type"), text(items, "type"), detail));
                }
                Some(_) => {}
                None => {
                    let detail = "entries must all be names of item properties";
                    self.errors.push(FieldError::invalid(&at, value(), detail));
                }
            }
            if keys[..index].contains(key) {
                self.errors.push(FieldError::invalid(&at, value(), "must not contain duplicate entries"));
            }
        }
    }
}

/// Whether the type is none of those that there are.
pub fn has_unknown_type(props: &Props) -> bool {
    let name = text(props, "type");
    !name.is_empty() && !TYPES.contains(&name)
}

/// Whether a set has items that can be owned in parts.
pub(super) fn has_loose_set(props: &Props) -> bool {
    let Some(items) = child(props, "items") else { return false };
    let said = |key: &str| items.get(key).and_then(Value::as_str);
    text(props, "x-kubernetes-list-type") == "set"
        && text(props, "type") == "array"
        && match text(items, "type") {
            "array" => said("x-kubernetes-list-type").is_some_and(|kind| kind != "atomic"),
            "object" => said("x-kubernetes-map-type") != Some("atomic"),
            _ => false,
        }
}

/// Whether a default has fields that its schema does not have.
pub(super) fn has_unpruned_default(props: &Props) -> bool {
    any(props, &|of| {
        let Some(default) = of.get("default") else { return false };
        let mut pruned = default.clone();
        prune_value(&mut pruned, &Schema::parse(of));
        pruned != *default
    })
}

/// What is wrong with the keys of a list: they must always be there.
pub(super) fn list_keys(props: &Props, path: &Path<'_>) -> Errors {
    let mut errors = Errors::new();
    let kind = text(props, "x-kubernetes-list-type");
    let Some(items) = child(props, "items").filter(|_| matches!(kind, "set" | "map")) else { return errors };
    let path = path.child("items");
    if flag(items, "nullable") {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {kind}");
        errors.push(FieldError::forbidden(&path.child("nullable"), detail));
    }
    if kind != "map" {
        return errors;
    }
    let texts = |of: &Props, key: &str| -> Vec<String> {
        let list = of.get(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (required, properties) = (texts(items, "required"), path.child("properties"));
    for key in texts(props, "x-kubernetes-list-map-keys") {
        let Some(of) = child(items, "properties").and_then(|fields| child(fields, &key)) else { continue };
        let at = properties.key(&key);
        if !required.contains(&key) && !of.contains_key("default") {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required \
                          property";
            errors.push(FieldError::required(&at.child("default"), detail));
        }
        if flag(of, "nullable") {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(&at.child("nullable"), detail));
        }
    }
    errors
}

/// The texts of rules; what the expressions themselves are is checked where they are compiled.
fn rules(props: &Props, path: &Path<'_>, errors: &mut Errors) {
    const REASONS: [&str; 4] =
        ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
    let all = path.child("x-kubernetes-validations");
    for (index, rule) in list(props, "x-kubernetes-validations").enumerate() {
        let at = all.index(index);
        let of = |key: &str| text(rule, key);
        let blank = |key: &str| !of(key).is_empty() && of(key).trim().is_empty();
        let lines = |key: &str| of(key).trim().contains(['\n', '\r']);
        if of("rule").trim().is_empty() {
            errors.push(FieldError::required(&at.child("rule"), "rule is not specified"));
        } else if blank("message") {
            errors.push(FieldError::invalid(&at.child("message"), of("message"), "must be non-empty if specified"));
        } else if lines("message") {
            errors.push(FieldError::invalid(&at.child("message"), of("message"), "must not contain line breaks"));
        } else if lines("rule") && of("message").is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            errors.push(FieldError::required(&at.child("message"), detail));
        }
        if blank("messageExpression") {
            let detail = "messageExpression must be non-empty if specified";
            errors.push(FieldError::required(&at.child("messageExpression"), detail));
        }
        if !of("reason").is_empty() && !REASONS.contains(&of("reason")) {
            errors.push(FieldError::not_supported(&at.child("reason"), of("reason"), &REASONS));
        }
        if blank("fieldPath") {
            let detail = "must be non-empty if specified";
            errors.push(FieldError::invalid(&at.child("fieldPath"), of("fieldPath"), detail));
        }
        if of("fieldPath").contains(['\n', '\r']) {
            let detail = "must not contain line breaks";
            errors.push(FieldError::invalid(&at.child("fieldPath"), of("fieldPath"), detail));
        }
    }
}
