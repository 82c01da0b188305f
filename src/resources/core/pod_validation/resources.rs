//! What containers and pods ask for: amounts, claims of devices, and how they may be resized.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::{Value, json};

use super::containers::Surroundings;
use super::env::quantity;
use super::sub;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::quantity::Quantity;
use crate::resources::check::{dns_label, dns_subdomain, invalid_as, required_choice};
use crate::resources::core::resource_names::{HUGE_PAGES, container_name, counted, native, resource_name};
use crate::resources::tree::{Tree, child, is_set, items, text};

const MIRROR: &str = "kubernetes.io/config.mirror";
type NameRule = fn(&mut Errors, &str, &Path<'_>);

/// `resources` of a container.
pub(super) fn container(errors: &mut Errors, container: &Tree, claims: &BTreeSet<&str>, path: &Path<'_>) {
    requirements(errors, sub(container, "resources"), container_name, &path.child("resources"));
    let at = path.child("resources");
    claim_names(errors, sub(container, "resources"), claims, &at.child("claims"));
}

/// What running the pod costs beside its containers.
pub(in crate::resources) fn overhead(errors: &mut Errors, overhead: &Tree, path: &Path<'_>) {
    let mut limits = Tree::new();
    limits.insert("limits".to_owned(), Value::Object(overhead.clone()));
    requirements(errors, &limits, container_name, path);
}

/// `resources` of the pod as a whole.
pub(super) fn pod(errors: &mut Errors, pod: &Surroundings<'_>, path: &Path<'_>) {
    let Some(given) = child(pod.spec, "resources") else { return };
    let at = path.child("resources");
    if pod.system() == Some("windows") {
        return errors.push(FieldError::forbidden(&at, "may not be set for a windows pod"));
    }
    if is_set(given, "claims") {
        let detail = "claims may not be set for Resources at pod-level";
        errors.push(FieldError::forbidden(&at.child("claims"), detail));
    }
    requirements(errors, given, pod_name, &at);
    claim_names(errors, given, &pod.claims, &at.child("claims"));
    enough(errors, (given, "requests"), pod.spec, &at);
    enough(errors, (given, "limits"), pod.spec, &at);
    container_limits(errors, given, pod.spec, &at);
}

fn requirements(errors: &mut Errors, given: &Tree, name_rule: NameRule, path: &Path<'_>) {
    let (limits, requests) = (sub(given, "limits"), sub(given, "requests"));
    let (limits_path, requests_path) = (path.child("limits"), path.child("requests"));
    for (name, value) in limits {
        amount(errors, name, value, (name_rule, &limits_path.key(name)));
        whole_pages(errors, name, value, &limits_path.key(name));
    }
    for (name, value) in requests {
        amount(errors, name, value, (name_rule, &requests_path.key(name)));
        let overcommit = native(name) && !name.starts_with(HUGE_PAGES);
        match (quantity(value), limits.get(name).and_then(quantity)) {
            (Some(request), Some(limit)) if request != limit && !overcommit => {
                let detail = format!("must be equal to {name} limit of {limit}");
                errors.push(FieldError::invalid(&requests_path, request.to_string(), detail));
            }
            (Some(request), Some(limit)) if request > limit => {
                let detail = format!("must be less than or equal to {name} limit of {limit}");
                errors.push(FieldError::invalid(&requests_path, request.to_string(), detail));
            }
            (_, None) if !overcommit => {
                errors.push(FieldError::required(&limits_path, "Limit must be set for non overcommitable resources"));
            }
            _ => {}
        }
        whole_pages(errors, name, value, &requests_path.key(name));
    }
    let asked = || limits.keys().chain(requests.keys());
    if asked().any(|name| name.starts_with(HUGE_PAGES)) && !asked().any(|name| name == "cpu" || name == "memory") {
        errors.push(FieldError::forbidden(path, "HugePages require cpu or memory"));
    }
}

/// The name of a resource and its amount.
fn amount(errors: &mut Errors, name: &str, value: &Value, (name_rule, path): (NameRule, &Path<'_>)) {
    name_rule(errors, name, path);
    let Some(value) = quantity(value) else { return };
    if value.is_negative() {
        errors.push(FieldError::invalid(path, value.to_string(), "must be greater than or equal to 0"));
    }
    if counted(name) && value.milli_value() % 1000 != 0 {
        errors.push(FieldError::invalid(path, value.to_string(), "must be an integer"));
    }
}

fn whole_pages(errors: &mut Errors, name: &str, value: &Value, path: &Path<'_>) {
    let (Some(size), Some(value)) = (name.strip_prefix(HUGE_PAGES), quantity(value)) else { return };
    let size = Quantity::parse(size).ok().filter(|s| s.value() > 0 && s.milli_value() % 1000 == 0);
    if size.is_none_or(|size| value.value() % size.value() != 0) {
        let detail = format!("{value} is not positive integer multiple of {name}");
        errors.push(FieldError::invalid(path, value.to_string(), detail));
    }
}

fn pod_name(errors: &mut Errors, name: &str, path: &Path<'_>) {
    let supported = ["cpu", "hugepages-", "memory"];
    if resource_name(errors, name, path) && !matches!(name, "cpu" | "memory") && !name.starts_with(HUGE_PAGES) {
        errors.push(FieldError::not_supported(path, name, &supported));
    }
}

/// The pod has at least what its containers need together; of limits only huge pages are counted.
fn enough(errors: &mut Errors, (given, key): (&Tree, &str), spec: &Tree, path: &Path<'_>) {
    let at = path.child(key);
    for (name, needed) in together(spec, key) {
        if key == "limits" && !name.starts_with(HUGE_PAGES) {
            continue;
        }
        let Some(has) = sub(given, key).get(name).and_then(quantity) else { continue };
        if needed > has {
            let detail = format!("must be greater than or equal to aggregate container {key} of {needed}");
            errors.push(FieldError::invalid(&at.key(name), has.to_string(), detail));
        }
    }
}

/// What the containers need: all that run along together, or more while one of the first ones runs.
fn together<'a>(spec: &'a Tree, key: &str) -> BTreeMap<&'a str, Quantity> {
    let mut running: BTreeMap<&str, Quantity> = BTreeMap::new();
    let add = |into: &mut BTreeMap<&'a str, Quantity>, container: &'a Tree| {
        for (name, value) in sub(sub(container, "resources"), key) {
            if let Some(value) = quantity(value) {
                *into.entry(name).or_default() += &value;
            }
        }
    };
    for container in items(spec, "containers") {
        add(&mut running, container);
    }
    let (mut beside, mut peaks) = (BTreeMap::new(), Vec::new());
    for container in items(spec, "initContainers") {
        if text(container, "restartPolicy") == "Always" {
            add(&mut running, container);
            add(&mut beside, container);
            peaks.push(beside.clone());
        } else {
            let mut peak = beside.clone();
            add(&mut peak, container);
            peaks.push(peak);
        }
    }
    for (name, value) in peaks.into_iter().flatten() {
        let most = running.entry(name).or_default();
        if value > *most {
            *most = value;
        }
    }
    running
}

fn container_limits(errors: &mut Errors, given: &Tree, spec: &Tree, path: &Path<'_>) {
    let list = path.child("containers");
    for (i, container) in items(spec, "containers").enumerate() {
        let at = list.index(i);
        for (name, value) in sub(sub(container, "resources"), "limits") {
            let (Some(value), Some(most)) = (quantity(value), sub(given, "limits").get(name).and_then(quantity)) else {
                continue;
            };
            if value > most {
                let detail = format!("must be less than or equal to pod limits of {most}");
                errors.push(FieldError::invalid(&at.key(name).child("limits"), value.to_string(), detail));
            }
        }
    }
}

fn claim_names(errors: &mut Errors, given: &Tree, of_pod: &BTreeSet<&str>, path: &Path<'_>) {
    let mut seen: HashSet<String> = HashSet::new();
    for (i, claim) in items(given, "claims").enumerate() {
        let (at, name, request) = (path.index(i), text(claim, "name"), text(claim, "request"));
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        if seen.contains(name) {
            errors.push(FieldError::duplicate(&at, name));
        } else {
            let mut key = name.to_owned();
            if !request.is_empty() {
                dns_label(errors, request, &at.child("request"));
                key = format!("{name}/{request}");
            }
            if seen.contains(&key) {
                errors.push(FieldError::duplicate(&at, key.as_str()));
            } else if request.is_empty() {
                let overlaps = seen.iter().filter(|k| k.split_once('/').is_some_and(|(head, _)| head == name)).count();
                errors.extend((0..overlaps).map(|_| FieldError::duplicate(&at, name)));
            }
            seen.insert(key);
        }
        if !of_pod.contains(name) {
            let mut error = FieldError::not_found(&at, name);
            error.detail = "must be one of the names in pod.spec.resourceClaims".to_owned();
            if of_pod.is_empty() {
                error.detail.push_str(" which is empty");
            } else {
                let names: Vec<&str> = of_pod.iter().copied().collect();
                error.detail = format!("{}: {}", error.detail, names.join(", "));
            }
            errors.push(error);
        }
    }
}

/// `resizePolicy` of a container.
pub(super) fn resize_policies(errors: &mut Errors, container: &Tree, pod: &Surroundings<'_>, path: &Path<'_>) {
    let never = text(pod.spec, "restartPolicy") == "Never";
    let mut seen = HashSet::new();
    for (i, policy) in items(container, "resizePolicy").enumerate() {
        let (resource, restart) = (text(policy, "resourceName"), text(policy, "restartPolicy"));
        if !seen.insert(resource) {
            errors.push(FieldError::duplicate(&path.index(i), resource));
        }
        required_choice(errors, resource, path, &["cpu", "memory"]);
        required_choice(errors, restart, path, &["NotRequired", "RestartContainer"]);
        if never && restart != "NotRequired" {
            let detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            errors.push(FieldError::invalid(path, restart, detail));
        }
    }
}

/// `resourceClaims` of a pod.
pub(super) fn pod_claims(errors: &mut Errors, spec: &Tree, metadata: Option<&Tree>, path: &Path<'_>) {
    let mirror = metadata.is_some_and(|meta| is_set(sub(meta, "annotations"), MIRROR));
    let list = path.child("resourceClaims");
    let mut seen = HashSet::new();
    for (i, claim) in items(spec, "resourceClaims").enumerate() {
        if mirror {
            errors.push(FieldError::forbidden(&Path::ROOT, "static pods do not support resource claims"));
            continue;
        }
        let at = list.index(i);
        match text(claim, "name") {
            "" => errors.push(FieldError::required(&at.child("name"), "")),
            name if seen.contains(name) => errors.push(FieldError::duplicate(&at.child("name"), name)),
            name => {
                dns_label(errors, name, &at.child("name"));
                seen.insert(name);
            }
        }
        let keys = ["resourceClaimName", "resourceClaimTemplateName"];
        let detail = match keys.iter().filter(|key| is_set(claim, key)).count() {
            0 => "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            1 => "",
            _ => "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
        };
        if !detail.is_empty() {
            errors.push(invalid_as(&at, json!(claim), "io.k8s.api.core.v1.PodResourceClaim", detail));
        }
        for key in keys.into_iter().filter(|key| is_set(claim, key)) {
            dns_subdomain(errors, text(claim, key), &at.child(key));
        }
    }
}
