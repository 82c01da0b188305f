//! Deployment: a changed annotation counts as a change of generation, the status part keeps the labels.

use serde_json::{Value, json};

use super::validation::{selector, spec, status_numbers, template};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path, Shown};
use crate::api::validation::names::percent;
use crate::resources::check::{immutable_as, messages, nonnegative};
use crate::resources::core::pod_template::default_template;
use crate::resources::core::pod_warnings::template_warnings;
use crate::resources::go_print::LABEL_SELECTOR;
use crate::resources::part::keep_rest;
use crate::resources::print::{age, containers_and_images, int, selector_text};
use crate::resources::tree::{Tree, child, ensure, fill, fill_zero, int as number, is_set, keep, text};
use crate::resources::{Behaviour, Kind, Moment, Part, Scale};

pub(in crate::resources) struct Deployment;

impl Behaviour for Deployment {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn default(&self, _: &Kind, object: &mut Object) {
        let spec = object.object_at(&["spec"]);
        fill(spec, "replicas", 1);
        default_strategy(ensure(spec, "strategy"));
        fill(spec, "revisionHistoryLimit", 10);
        fill(spec, "progressDeadlineSeconds", 600);
        default_template(ensure(spec, "template"));
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn generation(&self) -> bool {
        true
    }

    fn counts_as_change(&self, new: &Object, old: &Object) -> bool {
        !new.annotations().eq(old.annotations())
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_spec(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        let mut errors = validate_spec(new);
        let path = Path::new("spec");
        let selector = |o: &Object| o.get(&["spec", "selector"]).cloned();
        let pair = (selector(new), selector(old));
        immutable_as(&mut errors, (pair.0.as_ref(), pair.1.as_ref()), LABEL_SELECTOR, &path.child("selector"));
        errors
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        let mut warnings = if old.is_some() { Vec::new() } else { super::name_warnings(object.name()) };
        warnings.extend(template_warnings(object, old, "spec.template."));
        warnings
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { prepare: prepare_status, validate: validate_status })
    }

    fn scale(&self, _: &Kind) -> Option<Scale> {
        Some(super::replica_scale())
    }

    fn status_resets(&self) -> &'static [&'static str] {
        &["metadata.labels", "spec"]
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let (containers, images) = containers_and_images(object, &["spec", "template", "spec"]);
        let (ready, desired) = (int(object, &["status", "readyReplicas"]), int(object, &["spec", "replicas"]));
        Some(vec![
            json!(object.name()),
            json!(format!("{ready}/{desired}")),
            json!(int(object, &["status", "updatedReplicas"])),
            json!(int(object, &["status", "availableReplicas"])),
            json!(age(object, moment)),
            json!(containers),
            json!(images),
            json!(selector_text(object.get(&["spec", "selector"])).unwrap_or_default()),
        ])
    }
}

fn default_strategy(strategy: &mut Tree) {
    fill_zero(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        let rolling = ensure(strategy, "rollingUpdate");
        fill(rolling, "maxUnavailable", "25%");
        fill(rolling, "maxSurge", "25%");
    }
}

fn prepare_status(new: &mut Object, old: &Object, _: &Moment) {
    keep_rest(new, old);
    keep(new, old, &["metadata", "labels"]);
}

fn validate_spec(object: &Object) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("spec");
    let spec = spec(object);
    nonnegative(&mut errors, &spec, "replicas", &path);
    if let Some(selected) = selector(&mut errors, &spec, &path) {
        let empty = Tree::new();
        let pods = child(&spec, "template").unwrap_or(&empty);
        template(&mut errors, pods, (&selected, "ReplicaSet"), &path.child("template"));
    }
    validate_strategy(&mut errors, &spec, &path.child("strategy"));
    for key in ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
        nonnegative(&mut errors, &spec, key, &path);
    }
    let ready = number(&spec, "minReadySeconds").unwrap_or(0);
    if let Some(deadline) = number(&spec, "progressDeadlineSeconds").filter(|deadline| *deadline <= ready) {
        let detail = "must be greater than minReadySeconds";
        errors.push(FieldError::invalid(&path.child("progressDeadlineSeconds"), deadline, detail));
    }
    errors
}

fn validate_strategy(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let empty = Tree::new();
    let strategy = child(spec, "strategy").unwrap_or(&empty);
    let at = path.child("rollingUpdate");
    match text(strategy, "type") {
        "Recreate" if is_set(strategy, "rollingUpdate") => {
            let detail = "may not be specified when strategy `type` is 'Recreate'";
            errors.push(FieldError::forbidden(&at, detail));
        }
        "Recreate" => {}
        "RollingUpdate" => match child(strategy, "rollingUpdate") {
            None => errors.push(FieldError::required(&at, "this should be defaulted and never be nil")),
            Some(rolling) => validate_rolling(errors, rolling, &at),
        },
        _ => {
            let supported = ["Recreate", "RollingUpdate"];
            let error = FieldError::not_supported(path, Value::Object(strategy.clone()), &supported);
            errors.push(error.shown(Shown::As("io.k8s.api.apps.v1.DeploymentStrategy")));
        }
    }
}

fn validate_rolling(errors: &mut Errors, rolling: &Tree, path: &Path<'_>) {
    let zero = json!(0);
    let of = |key: &str| rolling.get(key).unwrap_or(&zero);
    for key in ["maxUnavailable", "maxSurge"] {
        match of(key) {
            Value::String(text) => messages(errors, &path.child(key), text.as_str(), percent(text)),
            _ => nonnegative(errors, rolling, key, path),
        }
    }
    let at = path.child("maxUnavailable");
    if amount(of("maxUnavailable")) == 0 && amount(of("maxSurge")) == 0 {
        let detail = "may not be 0 when `maxSurge` is 0";
        errors.push(FieldError::invalid(&at, of("maxUnavailable").clone(), detail));
    }
    if of("maxUnavailable").is_string() && amount(of("maxUnavailable")) > 100 {
        errors.push(FieldError::invalid(&at, of("maxUnavailable").clone(), "must not be greater than 100%"));
    }
}

/// A number, or that of a percentage.
fn amount(value: &Value) -> i64 {
    match value {
        Value::String(text) => text.strip_suffix('%').unwrap_or(text).parse().unwrap_or(0),
        other => other.as_i64().unwrap_or(0),
    }
}

fn validate_status(new: &Object, old: &Object) -> Errors {
    const PARTS: [&str; 3] = ["updatedReplicas", "readyReplicas", "availableReplicas"];
    const NUMBERS: [&str; 8] = [
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "collisionCount",
    ];
    let empty = Tree::new();
    let mut errors = status_numbers(child(new.root(), "status").unwrap_or(&empty), &NUMBERS, &PARTS);
    let collisions = |o: &Object| o.int_at(&["status", "collisionCount"]);
    if let Some(before) = collisions(old)
        && collisions(new).is_none_or(|now| now < before)
    {
        let path = Path::new("status");
        let value = collisions(new).unwrap_or(0);
        errors.push(FieldError::invalid(&path.child("collisionCount"), value, "cannot be decremented"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::check::testing::check_errors;

    fn deployment(changes: Value) -> Object {
        let mut template =
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        default_template(template.as_object_mut().unwrap());
        let mut spec = json!({"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template,
            "strategy": {"type": "Recreate"}, "progressDeadlineSeconds": 600});
        for (key, value) in changes.as_object().unwrap() {
            spec[key] = value.clone();
        }
        Object::from_value(json!({"spec": spec})).unwrap()
    }

    #[track_caller]
    fn check_spec(changes: Value, expected: &[&str]) {
        check_errors(&validate_spec(&deployment(changes)), expected);
    }

    #[test]
    fn the_selector_selects_the_template() {
        check_spec(json!({}), &[]);
        check_spec(
            json!({"selector": {"matchLabels": {"a": "c"}}}),
            &[
                "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`",
            ],
        );
        check_spec(
            json!({"selector": {}}),
            &["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
        );
    }

    #[test]
    fn a_rolling_update_makes_progress() {
        let rolling = |unavailable: Value, surge: Value| json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}});
        const AT: &str = "spec.strategy.rollingUpdate.maxUnavailable";
        check_spec(rolling(json!("25%"), json!(0)), &[]);
        check_spec(
            rolling(json!("0%"), json!(0)),
            &[&format!("{AT}: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0")],
        );
        check_spec(
            rolling(json!("101%"), json!(1)),
            &[&format!("{AT}: Invalid value: \"101%\": must not be greater than 100%")],
        );
        check_spec(
            rolling(json!(-1), json!(1)),
            &[&format!("{AT}: Invalid value: -1: must be greater than or equal to 0")],
        );
        check_spec(
            json!({"progressDeadlineSeconds": 5, "minReadySeconds": 5}),
            &["spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"],
        );
    }

    #[test]
    fn a_status_counts_no_more_than_there_are() {
        let old = Object::from_value(json!({"status": {"collisionCount": 2}})).unwrap();
        let new =
            Object::from_value(json!({"status": {"replicas": 1, "readyReplicas": 2, "collisionCount": 1}})).unwrap();
        check_errors(
            &validate_status(&new, &old),
            &[
                "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
                "status.collisionCount: Invalid value: 1: cannot be decremented",
            ],
        );
    }
}
