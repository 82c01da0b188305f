//! Validation of the sources of volumes that reach their storage over a network and have more rules than fields that
//! must be set; pods and PersistentVolumes have them alike.

use serde_json::Value;

use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::names::{dns1123_label, in_range};
use crate::resources::check::{choice, messages};
use crate::resources::tree::{Tree, child, count, int, is_set, is_zero, text};

const LUN_MAX: i64 = 255;
const TENANT_BYTES_MAX: usize = 64;
const MANAGED: &str = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
const BLOB: &str = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";

/// Fields that must not be empty.
pub(super) fn needed(errors: &mut Errors, tree: &Tree, keys: &[&str], path: &Path<'_>) {
    for key in keys.iter().filter(|key| tree.get(**key).is_none_or(is_zero)) {
        errors.push(FieldError::required(&path.child(key), ""));
    }
}

/// A source of the name of its field; whether it is one of those that are known here.
pub(super) fn validate(errors: &mut Errors, key: &str, given: &Tree, path: &Path<'_>) -> bool {
    match key {
        "iscsi" => iscsi(errors, given, path),
        "fc" => fibre_channel(errors, given, path),
        "azureDisk" => azure_disk(errors, given, path),
        "flocker" => flocker(errors, given, path),
        "quobyte" => quobyte(errors, given, path),
        "scaleIO" => needed(errors, given, &["gateway", "system", "volumeName"], path),
        "storageos" => storage_os(errors, given, path),
        "cinder" => {
            needed(errors, given, &["volumeID"], path);
            secret(errors, given, path);
        }
        _ => return false,
    }
    true
}

fn secret(errors: &mut Errors, given: &Tree, path: &Path<'_>) {
    if let Some(reference) = child(given, "secretRef") {
        needed(errors, reference, &["name"], &path.child("secretRef"));
    }
}

fn iscsi(errors: &mut Errors, given: &Tree, path: &Path<'_>) {
    needed(errors, given, &["targetPortal", "iqn"], path);
    let iqn = text(given, "iqn");
    if !iqn.is_empty() {
        errors.extend(initiator_fault(iqn).map(|detail| FieldError::invalid(&path.child("iqn"), iqn, detail)));
    }
    let lun = int(given, "lun").unwrap_or(0);
    messages(errors, &path.child("lun"), lun, in_range(lun, 0, LUN_MAX));
    let authenticates =
        ["chapAuthDiscovery", "chapAuthSession"].iter().any(|k| given.get(*k) == Some(&Value::Bool(true)));
    if authenticates && !is_set(given, "secretRef") {
        errors.push(FieldError::required(&path.child("secretRef"), ""));
    }
    if let Some(name) = given.get("initiatorName").and_then(Value::as_str) {
        let at = path.child("initiatorname");
        errors.extend(initiator_fault(name).map(|detail| FieldError::invalid(&at, name, detail)));
    }
}

/// What is wrong with the name of an initiator or target.
fn initiator_fault(name: &str) -> Option<&'static str> {
    // Upstream takes any letter after the three.
    let id = |letters: usize| {
        let mut rest = name[3..].chars();
        rest.next().is_some() && rest.as_str().len() == letters && rest.all(|c| c.is_ascii_alphanumeric())
    };
    let fits = match name.get(..3) {
        Some("iqn") => is_qualified_initiator(name),
        Some("eui") => id(16),
        Some("naa") => id(32),
        Some(_) | None => return Some("must be valid format starting with iqn, eui, or naa"),
    };
    (!fits).then_some("must be valid format")
}

/// `iqn.YYYY-MM.`, the name of an authority, and after a colon what that calls it.
fn is_qualified_initiator(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("iqn.") else { return false };
    let Some((date, rest)) = rest.split_once('.') else { return false };
    let Some((authority, own)) = rest.split_once(':') else { return false };
    let dated = date.len() == 7
        && date.bytes().enumerate().all(|(i, byte)| if i == 4 { byte == b'-' } else { byte.is_ascii_digit() });
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let odd = |c: char| c.is_ascii_whitespace() || ",;*&$|".contains(c);
    dated && !authority.is_empty() && authority.bytes().all(allowed) && !own.is_empty() && !own.contains(odd)
}

fn fibre_channel(errors: &mut Errors, given: &Tree, path: &Path<'_>) {
    let at = path.child("targetWWNs");
    let (names, ids) = (count(given, "targetWWNs"), count(given, "wwids"));
    if names == 0 && ids == 0 {
        errors.push(FieldError::required(&at, "must specify either targetWWNs or wwids, but not both"));
    }
    if names > 0 && ids > 0 {
        let detail = "targetWWNs and wwids can not be specified simultaneously";
        errors.push(FieldError::invalid(&at, given.get("targetWWNs").cloned().unwrap_or(Value::Null), detail));
    }
    if names > 0 {
        match int(given, "lun") {
            None => errors.push(FieldError::required(&path.child("lun"), "lun is required if targetWWNs is specified")),
            Some(lun) => messages(errors, &path.child("lun"), lun, in_range(lun, 0, LUN_MAX)),
        }
    }
}

fn azure_disk(errors: &mut Errors, given: &Tree, path: &Path<'_>) {
    needed(errors, given, &["diskName", "diskURI"], path);
    if is_set(given, "cachingMode") {
        let supported = ["None", "ReadOnly", "ReadWrite"];
        choice(errors, text(given, "cachingMode"), &path.child("cachingMode"), &supported);
    }
    let Some(kind) = given.get("kind").and_then(Value::as_str) else { return };
    choice(errors, kind, &path.child("kind"), &["Dedicated", "Managed", "Shared"]);
    let uri = text(given, "diskURI");
    let (start, form) = if kind == "Managed" { ("/subscriptions/", MANAGED) } else { ("https://", BLOB) };
    if !uri.starts_with(start) {
        errors.push(FieldError::not_supported(&path.child("diskURI"), uri, &[form]));
    }
}

fn flocker(errors: &mut Errors, given: &Tree, path: &Path<'_>) {
    match (text(given, "datasetName"), text(given, "datasetUUID")) {
        ("", "") => errors.push(FieldError::required(path, "one of datasetName and datasetUUID is required")),
        ("", _) | (_, "") => {}
        (_, _) => {
            let detail = "datasetName and datasetUUID can not be specified simultaneously";
            errors.push(FieldError::invalid(path, "resource", detail));
        }
    }
    let name = text(given, "datasetName");
    if name.contains('/') {
        errors.push(FieldError::invalid(&path.child("datasetName"), name, "must not contain '/'"));
    }
}

fn quobyte(errors: &mut Errors, given: &Tree, path: &Path<'_>) {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let registry = text(given, "registry");
    if registry.is_empty() {
        errors.push(FieldError::required(&path.child("registry"), PAIRS));
    } else if text(given, "tenant").len() > TENANT_BYTES_MAX {
        let detail = "must be a UUID and may not exceed a length of 64 characters";
        errors.push(FieldError::required(&path.child("tenant"), detail));
    } else {
        for _ in registry.split(',').filter(|pair| pair.matches(':').count() != 1) {
            errors.push(FieldError::invalid(&path.child("registry"), registry, PAIRS));
        }
    }
    needed(errors, given, &["volume"], path);
}

fn storage_os(errors: &mut Errors, given: &Tree, path: &Path<'_>) {
    let name = text(given, "volumeName");
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("volumeName"), ""));
    } else {
        messages(errors, &path.child("volumeName"), name, dns1123_label(name));
    }
    let namespace = text(given, "volumeNamespace");
    if !namespace.is_empty() {
        messages(errors, &path.child("volumeNamespace"), namespace, dns1123_label(namespace));
    }
    secret(errors, given, path);
}
