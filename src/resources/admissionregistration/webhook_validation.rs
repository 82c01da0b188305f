//! Validation of the webhooks of admission, in upstream's order and words.

use serde_json::Value;

use super::condition_validation::{Before, expressions, validate_conditions};
use super::rule_validation::{MATCH_POLICIES, validate_rule};

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path, go_quote};
use crate::api::labels::validate_label_selector;
use crate::api::validation::names::{dns1035_label, dns1123_subdomain, port_number};
use crate::resources::check::{choice, messages};
use crate::resources::tree::{Tree, child, count, int, is_set, items, text, texts};

const TIMEOUT_SECONDS_MAX: i64 = 30;
const URL_FORM: &str = "; desired format: https://host[/path]";
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];
/// Sorted, as messages list them.
const SIDE_EFFECTS: [&str; 4] = ["None", "NoneOnDryRun", "Some", "Unknown"];

/// What is asked of webhooks; of those that are there already, only what they did before.
struct Asked<'a> {
    conditions: bool,
    no_side_effects: bool,
    known_reviews: bool,
    own_names: bool,
    label_values: bool,
    before: Before<'a>,
}

impl<'a> Asked<'a> {
    fn new(new: &Object, old: Option<&'a Object>) -> Self {
        let webhooks = || old.into_iter().flat_map(|old| items(old.root(), "webhooks"));
        let conditions = |object: &Object| -> Vec<Option<Value>> {
            items(object.root(), "webhooks").map(|webhook| webhook.get("matchConditions").cloned()).collect()
        };
        let reviewed = |webhook: &Tree| {
            count(webhook, "admissionReviewVersions") == 0
                || texts(webhook, "admissionReviewVersions").any(|version| REVIEWS.contains(&version))
        };
        let selectors = |webhook: &Tree| {
            let given = ["namespaceSelector", "objectSelector"].map(|key| webhook.get(key).cloned());
            given.into_iter().flatten().filter(|selector| !selector.is_null()).collect::<Vec<_>>()
        };
        let names: Vec<&str> = webhooks().map(|webhook| text(webhook, "name")).collect();
        Self {
            conditions: old.is_none_or(|old| conditions(old) != conditions(new)),
            no_side_effects: webhooks().all(|webhook| SIDE_EFFECTS[..2].contains(&text(webhook, "sideEffects"))),
            known_reviews: webhooks().all(reviewed),
            own_names: names.iter().enumerate().all(|(i, name)| !names[..i].contains(name)),
            label_values: webhooks()
                .flat_map(selectors)
                .all(|selector| validate_label_selector(&selector, &Path::ROOT).is_empty()),
            before: expressions(webhooks()),
        }
    }
}

/// The webhooks of a configuration, new or changed.
pub(super) fn validate(object: &Object, old: Option<&Object>) -> Errors {
    let mut errors = Errors::new();
    let asked = Asked::new(object, old);
    let list = Path::new("webhooks");
    let mut seen: Vec<&str> = Vec::new();
    for (i, webhook) in items(object.root(), "webhooks").enumerate() {
        let at = list.index(i);
        validate_webhook(&mut errors, webhook, &asked, &at);
        review_versions(&mut errors, webhook, asked.known_reviews, &at.child("admissionReviewVersions"));
        let name = text(webhook, "name");
        if asked.own_names && seen.contains(&name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
        if !name.is_empty() {
            seen.push(name);
        }
    }
    errors
}

fn validate_webhook(errors: &mut Errors, webhook: &Tree, asked: &Asked<'_>, path: &Path<'_>) {
    domain_name(errors, text(webhook, "name"), &path.child("name"));
    let rules = path.child("rules");
    for (i, rule) in items(webhook, "rules").enumerate() {
        validate_rule(errors, rule, &rules.index(i));
    }
    for (key, supported) in [("failurePolicy", ["Fail", "Ignore"]), ("matchPolicy", MATCH_POLICIES)] {
        if is_set(webhook, key) {
            choice(errors, text(webhook, key), &path.child(key), &supported);
        }
    }
    let allowed = if asked.no_side_effects { &SIDE_EFFECTS[..2] } else { &SIDE_EFFECTS[..] };
    match webhook.get("sideEffects").and_then(Value::as_str) {
        None => {
            let detail = format!("must specify one of {}", allowed.join(", "));
            errors.push(FieldError::required(&path.child("sideEffects"), detail));
        }
        Some(effects) => choice(errors, effects, &path.child("sideEffects"), allowed),
    }
    if let Some(seconds) = int(webhook, "timeoutSeconds").filter(|n| !(1..=TIMEOUT_SECONDS_MAX).contains(n)) {
        let detail = format!("the timeout value must be between 1 and {TIMEOUT_SECONDS_MAX} seconds");
        errors.push(FieldError::invalid(&path.child("timeoutSeconds"), seconds, detail));
    }
    for key in ["namespaceSelector", "objectSelector"] {
        if let Some(selector) = webhook.get(key).filter(|selector| !selector.is_null()) {
            let wrong = validate_label_selector(selector, &path.child(key));
            let counts = |error: &FieldError| asked.label_values || !error.field.contains("].values[");
            errors.extend(wrong.into_iter().filter(counts));
        }
    }
    client_config(errors, webhook, &path.child("clientConfig"));
    if is_set(webhook, "reinvocationPolicy") {
        let at = path.child("reinvocationPolicy");
        choice(errors, text(webhook, "reinvocationPolicy"), &at, &["IfNeeded", "Never"]);
    }
    if asked.conditions {
        validate_conditions(errors, webhook, (false, &asked.before), &path.child("matchConditions"));
    }
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

fn client_config(errors: &mut Errors, webhook: &Tree, path: &Path<'_>) {
    let empty = Tree::new();
    let config = child(webhook, "clientConfig").unwrap_or(&empty);
    match (config.get("url").and_then(Value::as_str), child(config, "service")) {
        (Some(url), None) => {
            validate_url(errors, url, &path.child("url"));
        }
        (None, Some(service)) => validate_service(errors, service, &path.child("service")),
        (_, _) => errors.push(FieldError::required(path, "exactly one of url or service is required")),
    }
}

fn validate_url(errors: &mut Errors, text: &str, path: &Path<'_>) {
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(why) => {
            let detail = format!("url must be a valid URL: parse {}: {why}{URL_FORM}", go_quote(text));
            return errors.push(FieldError::required(path, detail));
        }
    };
    let mut refuse = |value: &str, detail: String| errors.push(FieldError::invalid(path, value, detail));
    if url.scheme != "https" {
        refuse(&url.scheme, format!("'https' is the only allowed URL scheme{URL_FORM}"));
    }
    if url.host.is_empty() {
        refuse(url.host, format!("host must be specified{URL_FORM}"));
    }
    if let Some(user) = url.user {
        refuse(user, "user information is not permitted in the URL".to_owned());
    }
    for (part, what) in [(url.fragment, "fragments are"), (url.query, "query parameters are")] {
        if !part.is_empty() {
            refuse(part, format!("{what} not permitted in the URL"));
        }
    }
}

/// The parts of a URL as Go's `net/url` finds them.
struct Url<'a> {
    scheme: String,
    user: Option<&'a str>,
    host: &'a str,
    query: &'a str,
    fragment: &'a str,
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (scheme, rest) = Self::scheme(rest)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut url = Self { scheme: scheme.to_ascii_lowercase(), user: None, host: "", query, fragment };
        if let Some(rest) = rest.strip_prefix("//") {
            let authority = rest.split('/').next().unwrap_or_default();
            (url.user, url.host) = match authority.rsplit_once('@') {
                Some((user, host)) => (Some(user), host),
                None => (None, authority),
            };
            if let Some(wrong) =
                url.host.chars().find(|c| matches!(c, ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}'))
            {
                return Err(format!("invalid character {} in host name", go_quote(&wrong.to_string())));
            }
        } else if scheme.is_empty()
            && !rest.starts_with('/')
            && rest.split('/').next().is_some_and(|first| first.contains(':'))
        {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
        Ok(url)
    }

    fn scheme(text: &str) -> Result<(&str, &str), String> {
        for (at, c) in text.char_indices() {
            match c {
                'a'..='z' | 'A'..='Z' => {}
                '0'..='9' | '+' | '-' | '.' if at > 0 => {}
                ':' if at == 0 => return Err("missing protocol scheme".to_owned()),
                ':' => return Ok((&text[..at], &text[at + 1..])),
                _ => break,
            }
        }
        Ok(("", text))
    }
}

fn validate_service(errors: &mut Errors, service: &Tree, path: &Path<'_>) {
    // Upstream tells of each by the name of the other.
    for (key, told) in [("namespace", "name"), ("name", "namespace")] {
        if text(service, key).is_empty() {
            errors.push(FieldError::required(&path.child(told), ""));
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

fn review_versions(errors: &mut Errors, webhook: &Tree, known: bool, path: &Path<'_>) {
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
    if known && !versions.iter().any(|version| REVIEWS.contains(version)) {
        let detail = "must include at least one of v1, v1beta1";
        errors.push(FieldError::invalid(path, Value::from(versions), detail));
    }
}
