//! Validation of the webhooks of admission, in upstream's order and words. Whether the expressions of match conditions
//! compile is not looked at here.

use serde_json::Value;

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::labels::validate_label_selector;
use crate::api::validation::names::{dns1035_label, dns1123_subdomain, port_number, qualified_name};
use crate::resources::check::{choice, messages};
use crate::resources::tree::{Tree, child, count, int, is_set, items, text, texts};

const CONDITIONS_MAX: usize = 64;
const TIMEOUT_SECONDS_MAX: i64 = 30;
const URL_FORM: &str = "; desired format: https://host[/path]";
/// Sorted, as messages list them.
const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];

/// The webhooks of a configuration, new or changed.
pub(super) fn validate(object: &Object) -> Errors {
    let mut errors = Errors::new();
    let list = Path::new("webhooks");
    let mut seen: Vec<&str> = Vec::new();
    for (i, webhook) in items(object.root(), "webhooks").enumerate() {
        let at = list.index(i);
        validate_webhook(&mut errors, webhook, &at);
        review_versions(&mut errors, webhook, &at.child("admissionReviewVersions"));
        let name = text(webhook, "name");
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
        if !name.is_empty() {
            seen.push(name);
        }
    }
    errors
}

fn validate_webhook(errors: &mut Errors, webhook: &Tree, path: &Path<'_>) {
    domain_name(errors, text(webhook, "name"), &path.child("name"));
    let rules = path.child("rules");
    for (i, rule) in items(webhook, "rules").enumerate() {
        validate_rule(errors, rule, &rules.index(i));
    }
    for (key, supported) in [("failurePolicy", ["Fail", "Ignore"]), ("matchPolicy", ["Equivalent", "Exact"])] {
        if is_set(webhook, key) {
            choice(errors, text(webhook, key), &path.child(key), &supported);
        }
    }
    match webhook.get("sideEffects").and_then(Value::as_str) {
        None => {
            let detail = "must specify one of None, NoneOnDryRun";
            errors.push(FieldError::required(&path.child("sideEffects"), detail));
        }
        Some(effects) => choice(errors, effects, &path.child("sideEffects"), &["None", "NoneOnDryRun"]),
    }
    if let Some(seconds) = int(webhook, "timeoutSeconds").filter(|n| !(1..=TIMEOUT_SECONDS_MAX).contains(n)) {
        let detail = format!("the timeout value must be between 1 and {TIMEOUT_SECONDS_MAX} seconds");
        errors.push(FieldError::invalid(&path.child("timeoutSeconds"), seconds, detail));
    }
    for key in ["namespaceSelector", "objectSelector"] {
        if let Some(selector) = webhook.get(key).filter(|selector| !selector.is_null()) {
            errors.extend(validate_label_selector(selector, &path.child(key)));
        }
    }
    client_config(errors, webhook, &path.child("clientConfig"));
    if is_set(webhook, "reinvocationPolicy") {
        let at = path.child("reinvocationPolicy");
        choice(errors, text(webhook, "reinvocationPolicy"), &at, &["IfNeeded", "Never"]);
    }
    conditions(errors, webhook, &path.child("matchConditions"));
}

/// A name with a domain of at least three parts.
fn domain_name(errors: &mut Errors, name: &str, path: &Path<'_>) {
    if name.is_empty() {
        return errors.push(FieldError::required(path, ""));
    }
    let wrong = dns1123_subdomain(name);
    if !wrong.is_empty() {
        return errors.push(FieldError::invalid(path, name, wrong.join(",")));
    }
    if name.split('.').count() < 3 {
        let detail = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(path, name, detail));
    }
}

fn validate_rule(errors: &mut Errors, rule: &Tree, path: &Path<'_>) {
    let operations = path.child("operations");
    if count(rule, "operations") == 0 {
        errors.push(FieldError::required(&operations, ""));
    }
    alone(errors, rule, ("operations", "operations"), path);
    for (i, operation) in texts(rule, "operations").enumerate() {
        choice(errors, operation, &operations.index(i), &OPERATIONS);
    }
    for (key, words) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        if count(rule, key) == 0 {
            errors.push(FieldError::required(&path.child(key), ""));
        }
        alone(errors, rule, (key, words), path);
    }
    let needed = |errors: &mut Errors, key: &str| {
        let at = path.child(key);
        for (i, _) in texts(rule, key).enumerate().filter(|(_, value)| value.is_empty()) {
            errors.push(FieldError::required(&at.index(i), ""));
        }
    };
    needed(errors, "apiVersions");
    if count(rule, "resources") == 0 {
        errors.push(FieldError::required(&path.child("resources"), ""));
    }
    needed(errors, "resources");
    if is_set(rule, "scope") {
        choice(errors, text(rule, "scope"), &path.child("scope"), &SCOPES);
    }
}

/// A star stands alone.
fn alone(errors: &mut Errors, rule: &Tree, (key, words): (&str, &str), path: &Path<'_>) {
    if count(rule, key) > 1 && texts(rule, key).any(|text| text == "*") {
        let given: Vec<&str> = texts(rule, key).collect();
        let detail = format!("if '*' is present, must not specify other {words}");
        errors.push(FieldError::invalid(&path.child(key), Value::from(given), detail));
    }
}

fn client_config(errors: &mut Errors, webhook: &Tree, path: &Path<'_>) {
    let empty = Tree::new();
    let config = child(webhook, "clientConfig").unwrap_or(&empty);
    match (config.get("url").and_then(Value::as_str), child(config, "service")) {
        (Some(url), None) => {
            errors.extend(url_faults(url).into_iter().map(|why| FieldError::invalid(&path.child("url"), url, why)));
        }
        (None, Some(service)) => validate_service(errors, service, &path.child("service")),
        (_, _) => errors.push(FieldError::required(path, "exactly one of url or service is required")),
    }
}

fn url_faults(url: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let (scheme, rest) = url.split_once("://").unwrap_or(("", ""));
    if scheme != "https" {
        faults.push(format!("'https' is the only allowed URL scheme{URL_FORM}"));
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() {
        faults.push(format!("host must be specified{URL_FORM}"));
    }
    for (sign, what) in [('@', "user information is"), ('#', "fragments are"), ('?', "query parameters are")] {
        if rest.contains(sign) {
            faults.push(format!("{what} not permitted in the URL"));
        }
    }
    faults
}

fn validate_service(errors: &mut Errors, service: &Tree, path: &Path<'_>) {
    for key in ["name", "namespace"] {
        if text(service, key).is_empty() {
            errors.push(FieldError::required(&path.child(key), ""));
        }
    }
    let port = int(service, "port").unwrap_or(0);
    let wrong = port_number(port);
    if !wrong.is_empty() {
        let detail = format!("port is not valid: {}", wrong.join(", "));
        errors.push(FieldError::invalid(&path.child("port"), port, detail));
    }
    let Some(given) = service.get("path").and_then(Value::as_str) else { return };
    let at = path.child("path");
    if given.is_empty() || given == "/" {
        return;
    }
    if given == "//" {
        return errors.push(FieldError::invalid(&at, given, "segment[0] may not be empty"));
    }
    if !given.starts_with('/') {
        errors.push(FieldError::invalid(&at, given, "must start with a '/'"));
    }
    // Upstream takes the first letter away, whatever it is.
    let inner: String = given.chars().skip(1).collect();
    for (i, segment) in inner.strip_suffix('/').unwrap_or(&inner).split('/').enumerate() {
        if segment.is_empty() {
            errors.push(FieldError::invalid(&at, given, format!("segment[{i}] may not be empty")));
            continue;
        }
        let wrong = dns1123_subdomain(segment);
        messages(errors, &at, given, wrong.into_iter().map(|message| format!("segment[{i}]: {message}")).collect());
    }
}

fn conditions(errors: &mut Errors, webhook: &Tree, path: &Path<'_>) {
    if count(webhook, "matchConditions") > CONDITIONS_MAX {
        errors.push(FieldError::too_many(path, count(webhook, "matchConditions"), CONDITIONS_MAX));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (i, condition) in items(webhook, "matchConditions").enumerate() {
        let at = path.index(i);
        if text(condition, "expression").trim().is_empty() {
            errors.push(FieldError::required(&at.child("expression"), ""));
        }
        let name = text(condition, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
            continue;
        }
        messages(errors, &at.child("name"), name, qualified_name(name));
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
        seen.push(name);
    }
}

fn review_versions(errors: &mut Errors, webhook: &Tree, path: &Path<'_>) {
    let versions: Vec<&str> = texts(webhook, "admissionReviewVersions").collect();
    if versions.is_empty() {
        return errors.push(FieldError::required(path, "must specify one of v1, v1beta1"));
    }
    for (i, version) in versions.iter().enumerate() {
        if versions[..i].contains(version) {
            errors.push(FieldError::invalid(&path.index(i), *version, "duplicate version"));
            continue;
        }
        messages(errors, &path.index(i), *version, dns1035_label(version));
    }
    if !versions.iter().any(|version| REVIEWS.contains(version)) {
        let detail = "must include at least one of v1, v1beta1";
        errors.push(FieldError::invalid(path, Value::from(versions), detail));
    }
}
