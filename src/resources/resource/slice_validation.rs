//! Validation of ResourceSlices, in upstream's order and words. What is declared is not repeated: shared counters and
//! what devices consume of them, and that an attribute has one value.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::capacity::validate_policy;
use super::device::{binding, device_name, driver_name, pool_name, taint};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::names::{c_identifier, dns1123_subdomain};
use crate::resources::check::{immutable, invalid_as, messages};
use crate::resources::core::pod_validation::validate_node_selector;
use crate::resources::tree::{Tree, child, count, int, is_set, items, text, texts};

const TERM: &str = "io.k8s.api.core.v1.NodeSelectorTerm";
const DEVICES_MAX: usize = 128;
/// When a device of the slice has taints or consumes counters.
const ADVANCED_DEVICES_MAX: usize = 64;
const COUNTERS_MAX: usize = 32;
const COUNTER_SETS_MAX: usize = 8;
const CONSUMPTIONS_MAX: usize = 2;
const ENTRIES_MAX: usize = 32;
const VALUES_MAX: usize = 48;
const TAINTS_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 32;
const VALUE_BYTES_MAX: usize = 64;
/// Longer keys of maps are told with a gap in the middle.
const KEY_BYTES_MAX: usize = 63 + 1 + NAME_BYTES_MAX;

static VERSION: LazyLock<Regex> = LazyLock::new(|| {
    let (number, build) = (r"(0|[1-9][0-9]*)", r"[0-9a-zA-Z-]+");
    let before = r"(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)";
    let pattern = format!(r"^{number}\.{number}\.{number}(-{before}(\.{before})*)?(\+{build}(\.{build})*)?$");
    Regex::new(&pattern).expect("the pattern is of this program")
});

/// A new slice, or one that was changed.
pub(super) fn validate(slice: &Object, old: Option<&Object>) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let (spec, path) = (child(slice.root(), "spec").unwrap_or(&empty), Path::new("spec"));
    driver_name(&mut errors, text(spec, "driver"), &path.child("driver"));
    pool(&mut errors, child(spec, "pool").unwrap_or(&empty), &path.child("pool"));
    let before = old.map(|old| child(old.root(), "spec").unwrap_or(&empty));
    if let Some(before) = before {
        let name = |spec: &Tree| Value::from(child(spec, "pool").map_or("", |pool| text(pool, "name")));
        immutable(&mut errors, Some(&name(spec)), Some(&name(before)), &path.child("pool").child("name"));
        let driver = |spec: &Tree| Value::from(text(spec, "driver"));
        immutable(&mut errors, Some(&driver(spec)), Some(&driver(before)), &path.child("driver"));
        immutable(&mut errors, spec.get("nodeName"), before.get("nodeName"), &path.child("nodeName"));
    }
    nodes(&mut errors, spec, &path);
    if is_set(spec, "sharedCounters") && is_set(spec, "devices") {
        errors.push(FieldError::invalid(&path, "", "only one of `sharedCounters` or `devices` is allowed"));
    }
    devices(&mut errors, spec, before, &path);
    let list = path.child("sharedCounters");
    if count(spec, "sharedCounters") <= COUNTER_SETS_MAX {
        for (i, set) in items(spec, "sharedCounters").enumerate() {
            counters(&mut errors, set, &list.index(i));
        }
    }
    errors
}

fn pool(errors: &mut Errors, pool: &Tree, path: &Path<'_>) {
    pool_name(errors, text(pool, "name"), &path.child("name"));
    let of = |key: &str| int(pool, key).unwrap_or(0);
    let (slices, generation) = (of("resourceSliceCount"), of("generation"));
    if slices <= 0 {
        errors.push(FieldError::invalid(&path.child("resourceSliceCount"), slices, "must be greater than zero"));
    }
    if generation < 0 {
        let detail = "must be greater than or equal to zero";
        errors.push(FieldError::invalid(&path.child("generation"), generation, detail));
    }
}

/// Where the devices can be used: said in one of four ways.
fn nodes(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    let mut said: Vec<&str> = Vec::new();
    if let Some(name) = spec.get("nodeName").and_then(Value::as_str) {
        let at = path.child("nodeName");
        if name.is_empty() {
            errors.push(FieldError::invalid(&at, name, "must be either unset or set to a non-empty string"));
        } else {
            said.push("`nodeName`");
            messages(errors, &at, name, dns1123_subdomain(name));
        }
    }
    if let Some(selector) = child(spec, "nodeSelector") {
        said.push("`nodeSelector`");
        let at = path.child("nodeSelector");
        validate_node_selector(errors, selector, &at);
        if count(selector, "nodeSelectorTerms") != 1 {
            let given = selector.get("nodeSelectorTerms").cloned().unwrap_or(Value::Null);
            let detail = "must have exactly one node selector term";
            errors.push(invalid_as(&at.child("nodeSelectorTerms"), given, TERM, detail));
        }
    }
    for (key, quoted) in [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")] {
        match spec.get(key).and_then(Value::as_bool) {
            Some(true) => said.push(quoted),
            Some(false) => {
                errors.push(FieldError::invalid(&path.child(key), false, "must be either unset or set to true"));
            }
            None => {}
        }
    }
    one_of(errors, &said, (ONE, ", but multiple fields are set"), path);
}

fn one_of(errors: &mut Errors, said: &[&str], (detail, many): (&str, &str), path: &Path<'_>) {
    match said.len() {
        0 => errors.push(FieldError::required(path, detail)),
        1 => {}
        _ => {
            let given = format!("{{{}}}", said.join(", "));
            errors.push(FieldError::invalid(path, given, format!("{detail}{many}")));
        }
    }
}

fn devices(errors: &mut Errors, spec: &Tree, before: Option<&Tree>, path: &Path<'_>) {
    let list = path.child("devices");
    let advanced = |device: &Tree| count(device, "taints") > 0 || count(device, "consumesCounters") > 0;
    let most = if items(spec, "devices").any(advanced) { ADVANCED_DEVICES_MAX } else { DEVICES_MAX };
    if count(spec, "devices") > most {
        return errors.push(FieldError::too_many(&list, count(spec, "devices"), most));
    }
    let each = spec.get("perDeviceNodeSelection") == Some(&Value::Bool(true));
    for (i, device) in items(spec, "devices").enumerate() {
        let same = |known: &&Tree| text(known, "name") == text(device, "name");
        let old = before.and_then(|before| items(before, "devices").find(same));
        validate_device(errors, (device, old), each, &list.index(i));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (i, name) in items(spec, "devices").map(|device| text(device, "name")).enumerate() {
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(&list.index(i), name));
        }
        seen.push(name);
    }
}

fn validate_device(errors: &mut Errors, (device, old): (&Tree, Option<&Tree>), each: bool, path: &Path<'_>) {
    device_name(errors, text(device, "name"), &path.child("name"));
    let empty = Tree::new();
    let attributes = child(device, "attributes").unwrap_or(&empty);
    let capacity = child(device, "capacity").unwrap_or(&empty);
    let entries = attributes.len() + capacity.len();
    if entries > ENTRIES_MAX {
        let detail = format!("the total number of attributes and capacities must not exceed {ENTRIES_MAX}");
        errors.push(FieldError::invalid(path, entries, detail));
    }
    let values: usize = attributes.values().filter_map(Value::as_object).map(number_of_values).sum();
    if values > VALUES_MAX {
        let detail = format!("the total number of attribute values must not exceed {VALUES_MAX}");
        errors.push(FieldError::invalid(path, values, detail));
    }
    let at = path.child("attributes");
    for (key, attribute) in attributes {
        qualified_name(errors, key, &at);
        if let Some(attribute) = attribute.as_object() {
            validate_attribute(errors, attribute, &at.key(&shortened(key)));
        }
    }
    let changed = |key: &str| old.is_none_or(|old| old.get(key) != device.get(key));
    if changed("capacity") {
        let many = device.get("allowMultipleAllocations") == Some(&Value::Bool(true));
        validate_capacity(errors, capacity, many, &path.child("capacity"));
    }
    if changed("taints") {
        taints(errors, device, &path.child("taints"));
    }
    if count(device, "consumesCounters") <= CONSUMPTIONS_MAX {
        let list = path.child("consumesCounters");
        for (i, consumption) in items(device, "consumesCounters").enumerate() {
            counters(errors, consumption, &list.index(i));
        }
    }
    device_nodes(errors, device, each, path);
    binding(errors, device, path);
}

fn number_of_values(attribute: &Tree) -> usize {
    let several: usize = ["bools", "ints", "strings", "versions"].iter().map(|key| count(attribute, key)).sum();
    several.max(1)
}

fn taints(errors: &mut Errors, device: &Tree, path: &Path<'_>) {
    if count(device, "taints") > TAINTS_MAX {
        return errors.push(FieldError::too_many(path, count(device, "taints"), TAINTS_MAX));
    }
    for (i, of) in items(device, "taints").enumerate() {
        taint(errors, of, &path.index(i));
    }
}

fn counters(errors: &mut Errors, holder: &Tree, path: &Path<'_>) {
    let number = child(holder, "counters").map_or(0, serde_json::Map::len);
    if number > COUNTERS_MAX {
        errors.push(FieldError::too_many(&path.child("counters"), number, COUNTERS_MAX));
    }
}

fn validate_attribute(errors: &mut Errors, attribute: &Tree, path: &Path<'_>) {
    let long = |errors: &mut Errors, value: &str, path: &Path<'_>| {
        if value.len() > VALUE_BYTES_MAX {
            errors.push(FieldError::too_long(path, VALUE_BYTES_MAX));
        }
    };
    let version = |errors: &mut Errors, value: &str, path: &Path<'_>| {
        if !VERSION.is_match(value) {
            let detail = "must be a string compatible with semver.org spec 2.0.0";
            errors.push(FieldError::invalid(path, value, detail));
        }
        long(errors, value, path);
    };
    if let Some(value) = attribute.get("string").and_then(Value::as_str) {
        long(errors, value, &path.child("string"));
    }
    if let Some(value) = attribute.get("version").and_then(Value::as_str) {
        version(errors, value, &path.child("version"));
    }
    let (strings, versions) = (path.child("strings"), path.child("versions"));
    texts(attribute, "strings").enumerate().for_each(|(i, value)| long(errors, value, &strings.index(i)));
    texts(attribute, "versions").enumerate().for_each(|(i, value)| version(errors, value, &versions.index(i)));
}

fn validate_capacity(errors: &mut Errors, capacity: &Tree, many: bool, path: &Path<'_>) {
    for (key, of) in capacity {
        qualified_name(errors, key, path);
        let Some((of, policy)) = of.as_object().and_then(|of| Some((of, child(of, "requestPolicy")?))) else {
            continue;
        };
        let key = shortened(key);
        let at = path.key(&key);
        let at = at.child("requestPolicy");
        if many {
            validate_policy(errors, of.get("value"), policy, &at);
        } else {
            errors.push(FieldError::forbidden(&at, "allowMultipleAllocations must be true"));
        }
    }
}

/// Where one device can be used, when the slice leaves that to its devices.
fn device_nodes(errors: &mut Errors, device: &Tree, each: bool, path: &Path<'_>) {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when \
                       `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    if !each {
        if ["nodeName", "nodeSelector", "allNodes"].iter().any(|key| is_set(device, key)) {
            let detail = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is \
                          set to true in the ResourceSlice spec";
            errors.push(FieldError::invalid(path, Value::Null, detail));
        }
        return;
    }
    let mut said: Vec<&str> = Vec::new();
    match device.get("nodeName").and_then(Value::as_str) {
        Some("") => errors.push(FieldError::invalid(&path.child("nodeName"), "", "must not be empty")),
        Some(name) => {
            said.push("`nodeName`");
            messages(errors, &path.child("nodeName"), name, dns1123_subdomain(name));
        }
        None => {}
    }
    if let Some(selector) = child(device, "nodeSelector") {
        said.push("`nodeSelector`");
        validate_node_selector(errors, selector, &path.child("nodeSelector"));
    }
    match device.get("allNodes").and_then(Value::as_bool) {
        Some(true) => said.push("`allNodes`"),
        Some(false) => {
            errors.push(FieldError::invalid(&path.child("allNodes"), false, "must be either unset or set to true"));
        }
        None => {}
    }
    one_of(errors, &said, (ONE, ""), path);
}

/// An identifier, with the domain of a driver before it or without.
fn qualified_name(errors: &mut Errors, name: &str, path: &Path<'_>) {
    let identifier = |errors: &mut Errors, id: &str| {
        if id.len() > NAME_BYTES_MAX {
            errors.push(FieldError::too_long(path, NAME_BYTES_MAX));
        }
        messages(errors, path, id, c_identifier(id));
    };
    match name.split('/').collect::<Vec<_>>()[..] {
        [id] => identifier(errors, id),
        [domain, id] => {
            if domain.is_empty() {
                errors.push(FieldError::invalid(path, "", "the domain must not be empty"));
            } else {
                driver_name(errors, domain, path);
            }
            if id.is_empty() {
                errors.push(FieldError::invalid(path, "", "the name must not be empty"));
            } else {
                identifier(errors, id);
            }
        }
        // More parts are not looked at (v1.37).
        _ => {}
    }
}

fn shortened(key: &str) -> String {
    const GAP: &str = "...";
    if key.len() <= KEY_BYTES_MAX {
        return key.to_owned();
    }
    let left = KEY_BYTES_MAX - GAP.len();
    let head = key.get(..left.div_ceil(2)).unwrap_or_default();
    let tail = key.get(key.len() - left / 2..).unwrap_or_default();
    format!("{head}{GAP}{tail}")
}
