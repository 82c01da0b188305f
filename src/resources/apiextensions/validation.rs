//! What is wrong with a definition (apiextensions-apiserver `pkg/apis/apiextensions/validation`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::approval::approved;
use super::print;
use super::schema::{self, Options};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path, Shown};
use crate::api::json_path::JsonPath;
use crate::api::schema::structural::check::{
    Props, any, child, flag, list as schemas_of, text, unsupported, validate_structural,
};
use crate::api::validation::names;
use crate::resources::tree::{list, texts};

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const SELECTABLE_MAX: usize = 8;
const WARNING_CHARS_MAX: usize = 256;

/// The schema of each version, with the place of the version.
pub(super) fn schemas(object: &Object) -> impl Iterator<Item = (usize, &Props)> {
    let versions = list(object, &["spec", "versions"]).enumerate();
    versions.filter_map(|(at, version)| Some((at, child(child(version, "schema")?, "openAPIV3Schema")?)))
}

/// Of a new definition.
pub(super) fn create(object: &Object) -> Errors {
    let mut errors = name(object);
    let strict = Options { structural: true, types: true, pruned_defaults: true, atomic_sets: true, list_keys: true };
    let rules = Rules { schema: strict, review_versions: true, schemas_required: true };
    spec(object, &rules, &mut errors);
    errors.extend(status(object));
    stored_versions(object, &mut errors);
    approved(object, None, &mut errors);
    preserve_unknown(object, None, &mut errors);
    errors
}

/// Of a changed definition. What was wrong before may stay so.
pub(super) fn update(new: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    let all = |fine: &dyn Fn(&Props) -> bool| schemas(old).all(|(_, props)| fine(props));
    let structural = all(&|props| !unsupported(props) && validate_structural(&Path::ROOT, props).is_empty());
    let options = Options {
        structural,
        types: all(&|props| !any(props, &|of| schema::has_unknown_type(of))),
        pruned_defaults: !structural || all(&|props| !schema::has_unpruned_default(props)),
        atomic_sets: all(&|props| !any(props, &|of| schema::has_loose_set(of))),
        list_keys: all(&|props| !any(props, &|of| !schema::list_keys(of, &Path::ROOT).is_empty())),
    };
    let reviews = old.get(&["spec", "conversion", "webhook", "conversionReviewVersions"]).and_then(Value::as_array);
    let review_versions = reviews.is_none_or(|all| all.is_empty() || all.iter().any(|v| v == "v1" || v == "v1beta1"));
    let schemas_required = schemas(old).count() == list(old, &["spec", "versions"]).count();
    let established = super::conditions::is_true(old, "Established");
    spec(new, &Rules { schema: options, review_versions, schemas_required }, &mut errors);
    let immutable: &[&[&str]] = if established { &[&["scope"], &["names", "kind"]] } else { &[] };
    for path in immutable.iter().chain([&["group"][..], &["names", "plural"]].iter()) {
        let full: Vec<&str> = ["spec"].into_iter().chain(path.iter().copied()).collect();
        if new.text_at(&full) != old.text_at(&full) {
            let field = full.join(".");
            errors.push(FieldError::invalid(&Path::new(&field), new.text_at(&full), "field is immutable"));
        }
    }
    errors.extend(status(new));
    stored_versions(new, &mut errors);
    approved(new, Some(old), &mut errors);
    preserve_unknown(new, Some(old), &mut errors);
    errors
}

/// What is held against a definition.
struct Rules {
    schema: Options,
    review_versions: bool,
    schemas_required: bool,
}

fn name(object: &Object) -> Errors {
    let wanted = format!("{}.{}", object.text_at(&["spec", "names", "plural"]), object.text_at(&["spec", "group"]));
    if object.name() == wanted {
        return Errors::new();
    }
    let path = Path::new("metadata");
    let detail = "must be spec.names.plural+\".\"+spec.group";
    vec![FieldError::invalid(&path.child("name"), object.name(), detail)]
}

fn join(messages: Vec<String>) -> Option<String> {
    (!messages.is_empty()).then(|| messages.join(","))
}

fn spec(object: &Object, rules: &Rules, errors: &mut Errors) {
    let path = Path::new("spec");
    let empty = Props::new();
    let spec = object.get(&["spec"]).and_then(Value::as_object).unwrap_or(&empty);
    group(spec, &path, errors);
    match text(spec, "scope") {
        "" => errors.push(FieldError::required(&path.child("scope"), "")),
        "Cluster" | "Namespaced" => {}
        other => errors.push(FieldError::not_supported(&path.child("scope"), other, &["Cluster", "Namespaced"])),
    }
    let pruning = !flag(spec, "preserveUnknownFields");
    required_schemas(object, rules, (&path, pruning), errors);
    if !pruning && schemas(object).any(|(_, props)| any(props, &|of| of.contains_key("default"))) {
        let detail = "must be false in order to use defaults in the schema";
        errors.push(FieldError::invalid(&path.child("preserveUnknownFields"), true, detail));
    }
    let special = |of: &Props| {
        ["x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"].iter().any(|key| flag(of, key))
            || ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-list-type", "x-kubernetes-validations", "default"]
                .iter()
                .any(|key| of.contains_key(*key))
    };
    let structural = rules.schema.structural || pruning || schemas(object).any(|(_, props)| any(props, &special));
    let options = Options { structural, ..rules.schema };
    let shared = Shared::of(spec);
    versions(spec, (&options, &shared), &path, errors);
    required_names(spec, &path, errors);
    if let Some(given) = child(spec, "names") {
        names_of(given, &path.child("names"), errors);
    }
    shared.validate(&options, &path, errors);
    conversion(spec, rules, &path, errors);
}

fn group(spec: &Props, path: &Path<'_>, errors: &mut Errors) {
    let (group, at) = (text(spec, "group"), path.child("group"));
    if group.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if let Some(message) = join(names::dns1123_subdomain(group)) {
        errors.push(FieldError::invalid(&at, group, message));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid(&at, group, "should be a domain with at least one dot"));
    }
}

fn required_schemas(object: &Object, rules: &Rules, (path, pruning): (&Path<'_>, bool), errors: &mut Errors) {
    let versions = path.child("versions");
    for (index, version) in list(object, &["spec", "versions"]).enumerate() {
        let has = child(version, "schema").is_some_and(|schema| schema.contains_key("openAPIV3Schema"));
        let at = versions.index(index);
        let at = at.child("schema");
        if has {
            continue;
        }
        if rules.schemas_required {
            errors.push(FieldError::required(&at.child("openAPIV3Schema"), ""));
        } else if pruning && flag(version, "served") {
            let detail = "because otherwise all fields are pruned";
            errors.push(FieldError::required(&at.child("openAPIV3Schema"), detail));
        }
    }
}

/// What all versions say alike, which upstream holds once for all of them.
struct Shared<'a> {
    first: Option<&'a Props>,
    schema: bool,
    subresources: bool,
    columns: bool,
    selectable: bool,
}

impl<'a> Shared<'a> {
    fn of(spec: &'a Props) -> Self {
        let all: Vec<&Props> = schemas_of(spec, "versions").collect();
        let same = |key: &str| {
            let first = all.first().and_then(|version| version.get(key));
            first.is_some() && all.iter().all(|version| version.get(key) == first)
        };
        Self {
            first: all.first().copied(),
            schema: same("schema"),
            subresources: same("subresources"),
            columns: same("additionalPrinterColumns"),
            selectable: same("selectableFields"),
        }
    }

    fn validate(&self, options: &Options, path: &Path<'_>, errors: &mut Errors) {
        let Some(first) = self.first else { return };
        let schema = child(first, "schema").and_then(|schema| child(schema, "openAPIV3Schema"));
        let subresources = child(first, "subresources");
        if let Some(props) = schema.filter(|_| self.schema) {
            let status = subresources.is_some_and(|subresources| subresources.contains_key("status"));
            schema::validate(props, (options, status), &path.child("validation"), errors);
        }
        if let Some(of) = subresources.and_then(|s| child(s, "scale")).filter(|_| self.subresources) {
            scale(of, &path.child("subresources"), errors);
        }
        if self.columns {
            columns(first, path, errors);
        }
        if self.selectable {
            selectable(first, schema, path, errors);
        }
    }
}

fn columns(version: &Props, path: &Path<'_>, errors: &mut Errors) {
    let columns = path.child("additionalPrinterColumns");
    for (index, of) in schemas_of(version, "additionalPrinterColumns").enumerate() {
        column(of, &columns.index(index), errors);
    }
}

fn versions(spec: &Props, (options, shared): (&Options, &Shared<'_>), path: &Path<'_>, errors: &mut Errors) {
    let all = path.child("versions");
    let (mut seen, mut unique, mut stored) = (BTreeSet::new(), true, 0);
    for (index, version) in schemas_of(spec, "versions").enumerate() {
        stored += usize::from(flag(version, "storage"));
        let name = text(version, "name");
        unique &= seen.insert(name);
        let at = all.index(index);
        if let Some(message) = join(names::dns1035_label(name)) {
            errors.push(FieldError::invalid(&at.child("name"), name, message));
        }
        self::version(version, (options, shared), &at, errors);
    }
    let mut fail = |detail: &str| {
        let value = spec.get("versions").cloned().unwrap_or_default();
        let shown = Shown::Text(printed_versions(spec, shared));
        errors.push(FieldError::invalid(&all, value, detail).shown(shown));
    };
    if !unique {
        fail("must contain unique version names");
    }
    if stored != 1 {
        fail("must have exactly one version marked as storage version");
    }
    // Upstream holds the first name beside the versions too, where it may be empty.
    if let Some(first) = schemas_of(spec, "versions").next().filter(|first| !text(first, "name").is_empty())
        && let Some(message) = join(names::dns1035_label(text(first, "name")))
    {
        errors.push(FieldError::invalid(&path.child("version"), text(first, "name"), message));
    }
}

/// The versions as Go prints them; what they say alike stands elsewhere.
fn printed_versions(spec: &Props, shared: &Shared<'_>) -> String {
    let alike = [
        ("schema", shared.schema),
        ("subresources", shared.subresources),
        ("additionalPrinterColumns", shared.columns),
        ("selectableFields", shared.selectable),
    ];
    let own = schemas_of(spec, "versions").map(|version| {
        let mut version = version.clone();
        alike.iter().filter(|(_, alike)| *alike).for_each(|(key, _)| drop(version.remove(*key)));
        version
    });
    print::versions(&own.collect::<Vec<_>>())
}

fn version(version: &Props, (options, shared): (&Options, &Shared<'_>), path: &Path<'_>, errors: &mut Errors) {
    deprecation(version, path, errors);
    let subresources = child(version, "subresources");
    let status = subresources.is_some_and(|subresources| subresources.contains_key("status"));
    let schema = child(version, "schema").and_then(|schema| child(schema, "openAPIV3Schema"));
    let schema_path = path.child("schema");
    if let Some(props) = schema.filter(|_| !shared.schema) {
        schema::validate(props, (options, status), &schema_path, errors);
    }
    let scale = subresources.and_then(|subresources| child(subresources, "scale"));
    if let Some(scale) = scale.filter(|_| !shared.subresources) {
        self::scale(scale, &path.child("subresources"), errors);
    }
    if !shared.columns {
        columns(version, path, errors);
    }
    if !shared.selectable {
        selectable(version, schema, path, errors);
    }
}

fn deprecation(version: &Props, path: &Path<'_>, errors: &mut Errors) {
    let Some(warning) = version.get("deprecationWarning").and_then(Value::as_str) else { return };
    let mut fail = |detail: String| {
        errors.push(FieldError::invalid(&path.child("deprecationWarning"), warning, detail));
    };
    if !flag(version, "deprecated") {
        fail("can only be set for deprecated versions".to_owned());
        return;
    }
    if warning.len() > WARNING_CHARS_MAX {
        fail("must be <= 256 characters long".to_owned());
    }
    if warning.is_empty() {
        fail("must not be an empty string".to_owned());
    }
    if let Some((index, _)) = warning.char_indices().find(|(_, c)| c.is_control() || (c.is_whitespace() && *c != ' ')) {
        fail(format!("must only contain printable UTF-8 characters; non-printable character found at index {index}"));
    }
}

fn simple_path(path: &str, at: &Path<'_>, errors: &mut Errors) -> bool {
    if path.starts_with('.') {
        return true;
    }
    errors.push(FieldError::invalid(at, path, "must be a simple json path starting with ."));
    false
}

fn scale(scale: &Props, path: &Path<'_>, errors: &mut Errors) {
    const PATHS: [(&str, &str, &[&str], &str); 3] = [
        ("specReplicasPath", "scale.specReplicasPath", &[".spec."], "should be a json path under .spec"),
        ("statusReplicasPath", "scale.statusReplicasPath", &[".status."], "should be a json path under .status"),
        (
            "labelSelectorPath",
            "scale.labelSelectorPath",
            &[".spec.", ".status."],
            "should be a json path under either .spec or .status",
        ),
    ];
    for (key, field, prefixes, detail) in PATHS {
        let (given, at) = (text(scale, key), path.child(field));
        if given.is_empty() {
            if key != "labelSelectorPath" {
                errors.push(FieldError::required(&at, ""));
            }
        } else if simple_path(given, &at, errors) && !prefixes.iter().any(|prefix| given.starts_with(prefix)) {
            errors.push(FieldError::invalid(&at, given, detail));
        }
    }
}

fn column(column: &Props, path: &Path<'_>, errors: &mut Errors) {
    if text(column, "name").is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    let (kind, at) = (text(column, "type"), path.child("type"));
    let detail = format!("must be one of {}", COLUMN_TYPES.join(","));
    if kind.is_empty() {
        errors.push(FieldError::required(&at, detail));
    } else if !COLUMN_TYPES.contains(&kind) {
        errors.push(FieldError::invalid(&at, kind, detail));
    }
    let format = text(column, "format");
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        let detail = format!("must be one of {}", COLUMN_FORMATS.join(","));
        errors.push(FieldError::invalid(&path.child("format"), format, detail));
    }
    let (json_path, at) = (text(column, "jsonPath"), path.child("JSONPath"));
    if json_path.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        simple_path(json_path, &at, errors);
    }
}

fn selectable(version: &Props, schema: Option<&Props>, path: &Path<'_>, errors: &mut Errors) {
    let fields: Vec<&Props> = schemas_of(version, "selectableFields").collect();
    if fields.is_empty() {
        return;
    }
    let all = path.child("selectableFields");
    let Some(schema) = schema else {
        let detail = "may only be set when `version.schema.openAPIV3Schema` is not included";
        errors.push(FieldError::invalid(&all, "", detail));
        return;
    };
    let mut seen = BTreeSet::new();
    for (index, field) in fields.iter().enumerate() {
        let at = all.index(index);
        let (at, json_path) = (at.child("jsonPath"), text(field, "jsonPath"));
        if json_path.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        let found = match field_of(schema, json_path) {
            Ok(found) => found,
            Err(why) => {
                errors.push(FieldError::invalid(&at, json_path, format!("is an invalid path: {why}")));
                continue;
            }
        };
        if json_path.starts_with(".metadata") {
            errors.push(FieldError::invalid(&at, json_path, "must not point to fields in metadata"));
        }
        if !matches!(text(found, "type"), "string" | "boolean" | "integer") {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings \
                          with formats are allowed.";
            errors.push(FieldError::invalid(&at, json_path, detail));
        }
        if !seen.insert(json_path) {
            errors.push(FieldError::duplicate(&at, json_path));
        }
    }
    if seen.len() > SELECTABLE_MAX {
        errors.push(FieldError::too_many(&all, seen.len(), SELECTABLE_MAX));
    }
}

/// The schema that a path of plain fields leads to.
fn field_of<'a>(schema: &'a Props, path: &str) -> Result<&'a Props, String> {
    let Some(rest) = path.strip_prefix('.').filter(|rest| !rest.is_empty()) else {
        return Err("does not refer to a valid field".to_owned());
    };
    if JsonPath::parse(path).is_none() || rest.contains('[') {
        return Err("does not refer to a valid field".to_owned());
    }
    let mut at = schema;
    for name in rest.split('.') {
        at = child(at, "properties")
            .and_then(|fields| child(fields, name))
            .ok_or_else(|| "does not refer to a valid field".to_owned())?;
    }
    Ok(at)
}

fn required_names(spec: &Props, path: &Path<'_>, errors: &mut Errors) {
    let (empty, names_path) = (Props::new(), path.child("names"));
    let given = child(spec, "names").unwrap_or(&empty);
    for key in ["plural", "singular", "kind", "listKind"] {
        if text(given, key).is_empty() {
            errors.push(FieldError::required(&names_path.child(key), ""));
        }
    }
}

fn names_of(given: &Props, path: &Path<'_>, errors: &mut Errors) {
    for key in ["plural", "singular", "kind", "listKind"] {
        let name = text(given, key);
        let mixed = matches!(key, "kind" | "listKind");
        let wrong = names::dns1035_label(&if mixed { name.to_lowercase() } else { name.to_owned() });
        if let Some(message) = join(wrong).filter(|_| !name.is_empty()) {
            let message =
                if mixed { format!("may have mixed case, but should otherwise match: {message}") } else { message };
            errors.push(FieldError::invalid(&path.child(key), name, message));
        }
    }
    let lists = |key: &'static str, errors: &mut Errors| {
        let all = path.child(key);
        for (index, name) in texts(given, key).enumerate() {
            if let Some(message) = join(names::dns1035_label(name)) {
                errors.push(FieldError::invalid(&all.index(index), name, message));
            }
        }
    };
    lists("shortNames", errors);
    let (kind, list_kind) = (text(given, "kind"), text(given, "listKind"));
    if !kind.is_empty() && kind == list_kind {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(&path.child("listKind"), list_kind, detail));
    }
    lists("categories", errors);
}

fn conversion(spec: &Props, rules: &Rules, path: &Path<'_>, errors: &mut Errors) {
    let Some(conversion) = child(spec, "conversion") else { return };
    let path = path.child("conversion");
    let strategy = text(conversion, "strategy");
    if strategy != "None" && flag(spec, "preserveUnknownFields") {
        let detail = "must be None if spec.preserveUnknownFields is true";
        errors.push(FieldError::invalid(&path.child("strategy"), strategy, detail));
    }
    match strategy {
        "" => errors.push(FieldError::required(&path.child("strategy"), "")),
        "None" | "Webhook" => {}
        other => errors.push(FieldError::not_supported(&path.child("strategy"), other, &["None", "Webhook"])),
    }
    let webhook = child(conversion, "webhook");
    let client = webhook.and_then(|webhook| child(webhook, "clientConfig"));
    let versions: Vec<&str> = webhook.into_iter().flat_map(|w| texts(w, "conversionReviewVersions")).collect();
    let client_path = path.child("webhookClientConfig");
    if strategy == "Webhook" {
        match client {
            None => errors.push(FieldError::required(&client_path, "required when strategy is set to Webhook")),
            Some(client) if client.contains_key("url") == client.contains_key("service") => {
                errors.push(FieldError::required(&client_path, "exactly one of url or service is required"));
            }
            Some(client) => webhook_client(client, &client_path, errors),
        }
        review_versions(&versions, rules.review_versions, &path.child("conversionReviewVersions"), errors);
        return;
    }
    let detail = "should not be set when strategy is not set to Webhook";
    if client.is_some() {
        errors.push(FieldError::forbidden(&client_path, detail));
    }
    if !versions.is_empty() {
        errors.push(FieldError::forbidden(&path.child("conversionReviewVersions"), detail));
    }
}

fn webhook_client(client: &Props, path: &Path<'_>, errors: &mut Errors) {
    if let Some(url) = client.get("url").and_then(Value::as_str) {
        let at = path.child("url");
        const FORM: &str = "; desired format: https://host[/path]";
        let Some(rest) = url.strip_prefix("https://") else {
            let detail = format!("'https' is the only allowed URL scheme{FORM}");
            errors.push(FieldError::invalid(&at, url, detail));
            return;
        };
        if rest.is_empty() || rest.starts_with('/') {
            errors.push(FieldError::invalid(&at, "", format!("host must be specified{FORM}")));
        }
        for (part, sign) in [
            ("user information is not permitted in the URL", '@'),
            ("fragments are not permitted in the URL", '#'),
            ("query parameters are not permitted in the URL", '?'),
        ] {
            if let Some((_, after)) = rest.split_once(sign) {
                errors.push(FieldError::invalid(&at, after, part));
            }
        }
        return;
    }
    let Some(service) = child(client, "service") else { return };
    let path = path.child("service");
    for key in ["name", "namespace"] {
        if text(service, key).is_empty() {
            let what = if key == "name" { "service name is required" } else { "service namespace is required" };
            errors.push(FieldError::required(&path.child(key), what));
        }
    }
    let port = service.get("port").and_then(Value::as_i64).unwrap_or(443);
    if !(1..=65535).contains(&port) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(&path.child("port"), port, detail));
    }
}

fn review_versions(versions: &[&str], recognised: bool, path: &Path<'_>, errors: &mut Errors) {
    if versions.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, version) in versions.iter().enumerate() {
        let at = path.index(index);
        if !seen.insert(*version) {
            errors.push(FieldError::invalid(&at, *version, "duplicate version"));
            continue;
        }
        errors.extend(names::dns1035_label(version).into_iter().map(|m| FieldError::invalid(&at, *version, m)));
    }
    if recognised && !versions.iter().any(|version| matches!(*version, "v1" | "v1beta1")) {
        let given: Vec<Value> = versions.iter().map(|version| Value::from(*version)).collect();
        errors.push(FieldError::invalid(path, given, "must include at least one of v1, v1beta1"));
    }
}

/// Of a status: the names in it.
pub(super) fn status(object: &Object) -> Errors {
    let mut errors = Errors::new();
    if let Some(given) = object.get(&["status", "acceptedNames"]).and_then(Value::as_object) {
        let path = Path::new("status");
        names_of(given, &path.child("acceptedNames"), &mut errors);
    }
    errors
}

fn stored_versions(object: &Object, errors: &mut Errors) {
    let empty = Props::new();
    let status = object.get(&["status"]).and_then(Value::as_object).unwrap_or(&empty);
    let stored: Vec<&str> = texts(status, "storedVersions").collect();
    let path = Path::new("status");
    let path = path.child("storedVersions");
    let value: Vec<Value> = stored.iter().map(|version| Value::from(*version)).collect();
    if stored.is_empty() {
        errors.push(FieldError::invalid(&path, Value::Null, "must have at least one stored version"));
        return;
    }
    // As upstream, each stored version stands for one of the spec: a second one of its name is missing.
    let mut left: Vec<(usize, &str)> = stored.iter().copied().enumerate().collect();
    for version in list(object, &["spec", "versions"]) {
        let name = text(version, "name");
        let known = left.iter().any(|(_, stored)| *stored == name);
        if flag(version, "storage") && !known {
            let detail = format!("must have the storage version {name}");
            errors.push(FieldError::invalid(&path, value.clone(), detail));
        }
        left.retain(|(_, stored)| *stored != name);
    }
    for (index, version) in left {
        let detail = format!(
            "missing from spec.versions; {version} was previously a storage version, and must remain in spec.versions \
             until a storage migration ensures no data remains persisted in {version} and removes {version} from \
             status.storedVersions"
        );
        errors.push(FieldError::invalid(&path.index(index), version, detail));
    }
}

fn preserve_unknown(new: &Object, old: Option<&Object>, errors: &mut Errors) {
    let preserves = |object: &Object| object.get(&["spec", "preserveUnknownFields"]) == Some(&Value::Bool(true));
    if preserves(new) && !old.is_some_and(preserves) {
        let path = Path::new("spec");
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
                      spec.versions[*].schema instead";
        errors.push(FieldError::invalid(&path.child("preserveUnknownFields"), true, detail));
    }
}
