//! Environment variables, and the references that they share with volumes.

use serde_json::Value;

use super::mounts::no_backsteps;
use super::{each_container, sub};
use crate::api::field::{Errors, FieldError, Path};
use crate::api::quantity::Quantity;
use crate::api::validation::names;
use crate::resources::check::{dns_label, dns_subdomain, messages, qualified_name};
use crate::resources::tree::{Tree, child, is_set, items, text};

const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields that a pod has for the downward API, whoever may use them.
const LABELS: [&str; 14] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const SIZE_DIVISORS: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// `env` and `envFrom` of a container.
pub(super) fn validate(errors: &mut Errors, container: &Tree, path: &Path<'_>) {
    let list = path.child("env");
    for (i, variable) in items(container, "env").enumerate() {
        let at = list.index(i);
        match text(variable, "name") {
            "" => errors.push(FieldError::required(&at.child("name"), "")),
            name => messages(errors, &at.child("name"), name, names::relaxed_env_var_name(name)),
        }
        if let Some(source) = child(variable, "valueFrom") {
            let literal = !text(variable, "value").is_empty();
            value_from(errors, source, literal, &at.child("valueFrom"));
        }
    }
    let list = path.child("envFrom");
    for (i, source) in items(container, "envFrom").enumerate() {
        let at = list.index(i);
        let prefix = text(source, "prefix");
        if !prefix.is_empty() {
            messages(errors, &at.child("prefix"), prefix, names::relaxed_env_var_name(prefix));
        }
        let mut sources = 0;
        for key in ["configMapRef", "secretRef"] {
            let Some(reference) = child(source, key) else { continue };
            sources += 1;
            let reference_path = at.child(key);
            // Upstream checks the name as the beginning of one.
            match text(reference, "name") {
                "" => errors.push(FieldError::required(&reference_path.child("name"), "")),
                name => messages(errors, &reference_path.child("name"), name, names::subdomain_name(name, true)),
            }
        }
        match sources {
            0 => errors.push(FieldError::invalid(&list, "", "must specify one of: `configMapRef` or `secretRef`")),
            1 => {}
            _ => errors.push(FieldError::invalid(&list, "", "may not have more than one field specified at a time")),
        }
    }
}

fn value_from(errors: &mut Errors, source: &Tree, literal: bool, path: &Path<'_>) {
    let mut sources = 0;
    if let Some(reference) = child(source, "fieldRef") {
        sources += 1;
        field_reference(errors, reference, &FIELDS, &path.child("fieldRef"));
    }
    if let Some(reference) = child(source, "resourceFieldRef") {
        sources += 1;
        resource_reference(errors, reference, false, &path.child("resourceFieldRef"));
    }
    for key in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(reference) = child(source, key) {
            sources += 1;
            key_reference(errors, reference, &path.child(key));
        }
    }
    if let Some(reference) = child(source, "fileKeyRef") {
        sources += 1;
        file_reference(errors, reference, &path.child("fileKeyRef"));
    }
    let detail = match sources {
        0 => "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        _ if literal => "may not be specified when `value` is not empty",
        1 => return,
        _ => "may not have more than one field specified at a time",
    };
    errors.push(FieldError::invalid(path, "", detail));
}

/// A field of the pod; `allowed` are the fields without a subscript that may be read here.
pub(super) fn field_reference(errors: &mut Errors, reference: &Tree, allowed: &[&str], path: &Path<'_>) {
    for key in ["apiVersion", "fieldPath"] {
        if text(reference, key).is_empty() {
            return errors.push(FieldError::required(&path.child(key), ""));
        }
    }
    let (version, field, at) = (text(reference, "apiVersion"), text(reference, "fieldPath"), path.child("fieldPath"));
    let mut refuse = |fault: String| {
        errors.push(FieldError::invalid(&at, field, format!("error converting fieldPath: {fault}")));
    };
    if version != "v1" {
        return refuse(format!("unsupported pod version: {version}"));
    }
    match subscripted(field) {
        Some(("metadata.annotations", key)) => qualified_name(errors, &key.to_lowercase(), path),
        Some(("metadata.labels", key)) => qualified_name(errors, key, path),
        Some(_) => refuse(format!("field label does not support subscript: {field}")),
        None => {
            let field = if field == "spec.host" { "spec.nodeName" } else { field };
            if !LABELS.contains(&field) {
                return refuse(format!("field label not supported: {field}"));
            }
            if !allowed.contains(&field) {
                let mut sorted = allowed.to_vec();
                sorted.sort_unstable();
                errors.push(FieldError::not_supported(&at, field, &sorted));
            }
        }
    }
}

/// `path['key']` in its two parts.
fn subscripted(field: &str) -> Option<(&str, &str)> {
    let (path, key) = field.strip_suffix("']")?.split_once("['")?;
    (!path.is_empty()).then_some((path, key))
}

/// A resource of a container; in a volume the container must be named.
pub(super) fn resource_reference(errors: &mut Errors, reference: &Tree, in_volume: bool, path: &Path<'_>) {
    let resource = text(reference, "resource");
    let pages = resource.starts_with("limits.hugepages-") || resource.starts_with("requests.hugepages-");
    if in_volume && text(reference, "containerName").is_empty() {
        errors.push(FieldError::required(&path.child("containerName"), ""));
    } else if resource.is_empty() {
        errors.push(FieldError::required(&path.child("resource"), ""));
    } else if !RESOURCES.contains(&resource) && !pages {
        errors.push(FieldError::not_supported(&path.child("resource"), resource, &RESOURCES));
    }
    let Some(divisor) = reference.get("divisor").and_then(quantity).filter(|q| !q.is_zero()) else { return };
    let divisor = divisor.to_string();
    let (what, right) = match resource {
        "limits.cpu" | "requests.cpu" => ("cpu", ["1m", "1"].contains(&divisor.as_str())),
        "limits.memory" | "requests.memory" => ("memory", SIZE_DIVISORS.contains(&divisor.as_str())),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => {
            ("local ephemeral storage", SIZE_DIVISORS.contains(&divisor.as_str()))
        }
        _ if pages => ("hugepages", SIZE_DIVISORS.contains(&divisor.as_str())),
        _ => return,
    };
    if !right {
        let values = if what == "cpu" { "1m and 1".to_owned() } else { SIZE_DIVISORS.join(", ") };
        let detail = format!("only divisor's values {values} are supported with the {what} resource");
        errors.push(FieldError::invalid(&path.child("divisor"), resource, detail));
    }
}

/// A quantity as it stands in JSON.
pub(super) fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn key_reference(errors: &mut Errors, reference: &Tree, path: &Path<'_>) {
    dns_subdomain(errors, text(reference, "name"), &path.child("name"));
    match text(reference, "key") {
        "" => errors.push(FieldError::required(&path.child("key"), "")),
        key => messages(errors, &path.child("key"), key, names::config_map_key(key)),
    }
}

fn file_reference(errors: &mut Errors, reference: &Tree, path: &Path<'_>) {
    match text(reference, "key") {
        "" => errors.push(FieldError::required(&path.child("key"), "")),
        key => messages(errors, &path.child("key"), key, names::relaxed_env_var_name(key)),
    }
    match text(reference, "volumeName") {
        "" => errors.push(FieldError::required(&path.child("volumeName"), "")),
        name => dns_label(errors, name, &path.child("volumeName")),
    }
    match text(reference, "path") {
        "" => errors.push(FieldError::required(&path.child("path"), "")),
        file => no_backsteps(errors, file, &path.child("path")),
    }
}

/// Files with variables lie in volumes of the sort emptyDir.
pub(super) fn file_volumes(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    each_container(spec, path, |container, container_path| {
        let list = container_path.child("env");
        for (i, variable) in items(container, "env").enumerate() {
            let Some(reference) = child(sub(variable, "valueFrom"), "fileKeyRef") else { continue };
            let name = text(reference, "volumeName");
            let (at, value_from) = (list.index(i), "valueFrom");
            let source = at.child(value_from);
            let file = source.child("fileKeyRef");
            match items(spec, "volumes").filter(|v| text(v, "name") == name).last() {
                None => errors.push(FieldError::not_found(&file.child("volumeName"), name)),
                Some(volume) if !is_set(volume, "emptyDir") => {
                    let detail = "referenced volume must be of type emptyDir";
                    errors.push(FieldError::invalid(&file.child("volumeName"), name, detail));
                }
                Some(_) => {}
            }
        }
    });
}
