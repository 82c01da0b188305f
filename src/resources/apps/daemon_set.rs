//! DaemonSet.

use serde_json::{Value, json};

use super::validation::{collisions, labels_selected, runs_forever, spec};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path, Shown};
use crate::api::labels::{Selector, validate_label_selector};
use crate::resources::amount;
use crate::resources::check::{immutable_as, invalid_as, nonnegative, nonnegatives};
use crate::resources::core::pod_template::default_template;
use crate::resources::core::pod_validation::validate_pod_template;
use crate::resources::core::pod_warnings::template_warnings;
use crate::resources::go_print::LABEL_SELECTOR;
use crate::resources::part::keep_rest;
use crate::resources::print::{age, containers_and_images, int, label_selector, labels};
use crate::resources::tree::{Tree, child, child_mut, ensure, fill, fill_zero, is_zero, keep, text};
use crate::resources::{Behaviour, Kind, Moment, Part};

/// Counts the changes of the template; the internal field `templateGeneration` is kept there between versions.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub(in crate::resources) struct DaemonSet;

impl Behaviour for DaemonSet {
    fn default(&self, _: &Kind, object: &mut Object) {
        let spec = object.object_at(&["spec"]);
        let strategy = ensure(spec, "updateStrategy");
        fill_zero(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate" {
            let rolling = ensure(strategy, "rollingUpdate");
            fill(rolling, "maxUnavailable", 1);
            fill(rolling, "maxSurge", 0);
        }
        // What upstream's internal form cannot leave out.
        if let Some(rolling) = child_mut(strategy, "rollingUpdate") {
            fill(rolling, "maxUnavailable", 0);
            fill(rolling, "maxSurge", 0);
        }
        fill(spec, "revisionHistoryLimit", 10);
        default_template(ensure(spec, "template"));
        fill(object.object_at(&["metadata", "annotations"]), TEMPLATE_GENERATION, "0");
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
        let given = template_generation(object);
        set_template_generation(object, given.max(1));
    }

    fn prepare_update(&self, _: &Kind, new: &mut Object, old: &Object) {
        keep(new, old, &["metadata", "annotations", TEMPLATE_GENERATION]);
        let path = ["spec", "template"];
        let changed = i64::from(new.get(&path) != old.get(&path));
        set_template_generation(new, template_generation(old) + changed);
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_spec(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        let mut errors = Errors::new();
        let path = Path::new("spec");
        let selector = |object: &Object| object.get(&["spec", "selector"]).cloned();
        let pair = (selector(new), selector(old));
        immutable_as(&mut errors, (pair.0.as_ref(), pair.1.as_ref()), LABEL_SELECTOR, &path.child("selector"));
        errors.extend(validate_spec(new));
        errors
    }

    fn generation(&self) -> bool {
        true
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        if old.is_some_and(|old| template_generation(old) == template_generation(object)) {
            return Vec::new();
        }
        template_warnings(object, old, "spec.template.")
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { prepare: prepare_status, validate: validate_status })
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let (containers, images) = containers_and_images(object, &["spec", "template", "spec"]);
        Some(vec![
            json!(object.name()),
            json!(int(object, &["status", "desiredNumberScheduled"])),
            json!(int(object, &["status", "currentNumberScheduled"])),
            json!(int(object, &["status", "numberReady"])),
            json!(int(object, &["status", "updatedNumberScheduled"])),
            json!(int(object, &["status", "numberAvailable"])),
            json!(labels(object.get(&["spec", "template", "spec", "nodeSelector"]))),
            json!(age(object, moment)),
            json!(containers),
            json!(images),
            json!(label_selector(object.get(&["spec", "selector"]))),
        ])
    }
}

/// The count of the template's changes is a field of upstream's internal spec, which a status leaves as it was.
fn prepare_status(new: &mut Object, old: &Object, _: &Moment) {
    keep_rest(new, old);
    set_template_generation(new, template_generation(old));
}

fn template_generation(object: &Object) -> i64 {
    object.annotation(TEMPLATE_GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn set_template_generation(object: &mut Object, generation: i64) {
    object.set(&["metadata", "annotations", TEMPLATE_GENERATION], generation.to_string());
}

fn validate_spec(object: &Object) -> Errors {
    let mut errors = Errors::new();
    let (spec, path) = (spec(object), Path::new("spec"));
    let empty = Tree::new();
    let (at, template_path) = (path.child("selector"), path.child("template"));
    let template = child(&spec, "template").unwrap_or(&empty);
    let given = spec.get("selector").filter(|selector| !selector.is_null());
    if let Some(selector) = given {
        errors.extend(validate_label_selector(selector, &at));
    }
    if let Ok(selector) = Selector::from_label_selector(given) {
        labels_selected(&mut errors, template, &selector, &template_path);
    }
    let selects_all =
        |selector: &&Value| ["matchLabels", "matchExpressions"].iter().all(|key| selector.get(key).is_none_or(is_zero));
    if let Some(selector) = given.filter(selects_all) {
        let detail = "empty selector is invalid for daemonset";
        errors.push(invalid_as(&at, selector.clone(), LABEL_SELECTOR, detail));
    }
    errors.extend(validate_pod_template(template, &template_path));
    runs_forever(&mut errors, template, "DaemonSet", &template_path);
    nonnegative(&mut errors, &spec, "minReadySeconds", &path);
    validate_strategy(&mut errors, child(&spec, "updateStrategy").unwrap_or(&empty), &path.child("updateStrategy"));
    nonnegative(&mut errors, &spec, "revisionHistoryLimit", &path);
    errors
}

fn validate_strategy(errors: &mut Errors, strategy: &Tree, path: &Path<'_>) {
    let at = path.child("rollingUpdate");
    match (text(strategy, "type"), child(strategy, "rollingUpdate")) {
        ("OnDelete", _) => {}
        ("RollingUpdate", None) => errors.push(FieldError::required(&at, "")),
        ("RollingUpdate", Some(rolling)) => {
            let zero = json!(0);
            let of = |key: &str| rolling.get(key).unwrap_or(&zero);
            let keys = ["maxUnavailable", "maxSurge"];
            keys.iter().for_each(|key| amount::positive(errors, of(key), &at.child(key)));
            keys.iter().for_each(|key| amount::at_most_all(errors, of(key), &at.child(key)));
            match keys.map(|key| amount::of(of(key)) != 0) {
                [true, true] => {
                    let detail = "may not be set when maxUnavailable is non-zero";
                    errors.push(FieldError::invalid(&at.child("maxSurge"), of("maxSurge").clone(), detail));
                }
                [false, false] => {
                    let detail = "cannot be 0 when maxSurge is 0";
                    errors.push(FieldError::required(&at.child("maxUnavailable"), detail));
                }
                [true, false] | [false, true] => {}
            }
        }
        (_, _) => {
            let supported = ["RollingUpdate", "OnDelete"];
            let error = FieldError::not_supported(path, Value::Object(strategy.clone()), &supported);
            errors.push(error.shown(Shown::As("io.k8s.api.apps.v1.DaemonSetUpdateStrategy")));
        }
    }
}

fn validate_status(new: &Object, old: &Object) -> Errors {
    const NUMBERS: [&str; 9] = [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ];
    let mut errors = Errors::new();
    let status = child(new.root(), "status").cloned().unwrap_or_default();
    nonnegatives(&mut errors, &status, &NUMBERS, &Path::new("status"));
    collisions(&mut errors, new, old);
    errors
}
