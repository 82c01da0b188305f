//! Job: the server makes its selector; deletes orphan by default.

use serde_json::{Value, json};

use super::{job_status, job_validation};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::request::Propagation;
use crate::resources::apps::name_warnings;
use crate::resources::core::pod_template::default_template;
use crate::resources::core::pod_warnings::template_warnings;
use crate::resources::part::STATUS;
use crate::resources::print::{age, containers_and_images, elapsed, human_duration, int, label_selector};
use crate::resources::tree::{Tree, child, child_mut, ensure, fill, fill_zero, is_set, items_mut, list, text};
use crate::resources::{Behaviour, Kind, Moment, Part, SelectableField};

pub(in crate::resources) struct Job;

const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];
const UID_LABEL: &str = "batch.kubernetes.io/controller-uid";
const UID_LABELS: [&str; 2] = ["controller-uid", UID_LABEL];
const BACKOFF_LIMIT: i64 = 6;
const FIELDS: &[SelectableField] = &[SelectableField {
    name: "status.successful",
    read: |job| int(job, &["status", "succeeded"]).to_string(),
    indexed: false,
}];

impl Behaviour for Job {
    fn default(&self, _: &Kind, object: &mut Object) {
        // Upstream (v1.37) gives a new job the very map of its template, so that the labels by which its pods are
        // selected, which are added later, are in both; `prepare_create` does both at once.
        if manual_selector(object) || object.get(&["spec", "template", "metadata", "labels", UID_LABEL]).is_some() {
            label_as_template(object);
        }
        let spec = object.object_at(&["spec"]);
        if !is_set(spec, "completions") && !is_set(spec, "parallelism") {
            fill(spec, "completions", 1);
        }
        fill(spec, "parallelism", 1);
        let backoff = if is_set(spec, "backoffLimitPerIndex") { i64::from(i32::MAX) } else { BACKOFF_LIMIT };
        fill(spec, "backoffLimit", backoff);
        fill(spec, "completionMode", "NonIndexed");
        fill(spec, "suspend", false);
        let replacement = if is_set(spec, "podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
        fill(spec, "podReplacementPolicy", replacement);
        fill(spec, "manualSelector", false);
        default_job_spec(spec);
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        if !manual_selector(object) {
            select_by_uid(object);
        }
        label_as_template(object);
        object.remove(&["status"]);
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        job_validation::validate(object)
    }

    fn validate_update(&self, kind: &Kind, new: &Object, old: &Object) -> Errors {
        job_validation::validate_update(&kind.gates, new, old)
    }

    fn generation(&self) -> bool {
        true
    }

    fn fields(&self) -> &'static [SelectableField] {
        FIELDS
    }

    fn unselectable(&self, _: &Kind, field: &str) -> String {
        format!("field label {} not supported for Job", crate::api::field::go_quote(field))
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        let mut warnings = if old.is_some() { Vec::new() } else { name_warnings(object.name()) };
        warnings.extend(spec_warnings(object, old, "spec"));
        warnings
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { validate: job_status::validate, ..STATUS })
    }

    fn default_propagation(&self) -> Propagation {
        Propagation::Orphan
    }

    fn delete_warning(&self) -> Option<&'static str> {
        Some(
            "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove \
             them or set propagationPolicy=Orphan to suppress this warning",
        )
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let (containers, images) = containers_and_images(object, &["spec", "template", "spec"]);
        Some(vec![
            json!(object.name()),
            json!(state(object)),
            json!(completions(object)),
            json!(duration(object, moment)),
            json!(age(object, moment)),
            json!(containers),
            json!(images),
            json!(label_selector(object.get(&["spec", "selector"]))),
        ])
    }
}

/// Whether the job's selector is its maker's to choose.
fn manual_selector(job: &Object) -> bool {
    job.get(&["spec", "manualSelector"]).and_then(Value::as_bool) == Some(true)
}

/// A job without labels has those of its template.
fn label_as_template(object: &mut Object) {
    if let Some(labels) = object.get(&["spec", "template", "metadata", "labels"]).filter(|l| l.is_object()).cloned() {
        fill_zero(object.object_at(&["metadata"]), "labels", labels);
    }
}

/// Fills in what jobs and the templates of cron jobs have in common.
pub(super) fn default_job_spec(spec: &mut Tree) {
    default_template(ensure(spec, "template"));
    if let Some(policy) = child_mut(spec, "podFailurePolicy") {
        for rule in items_mut(policy, "rules") {
            for pattern in items_mut(rule, "onPodConditions") {
                fill_zero(pattern, "status", "True");
            }
        }
    }
}

/// Warnings about the spec of a job at a path, on creation and whenever the generation changes.
pub(super) fn spec_warnings(object: &Object, old: Option<&Object>, path: &str) -> Vec<String> {
    const COMPLETIONS_MAX: i64 = 100_000;
    const PARALLELISM_MAX: i64 = 10_000;
    if old.is_some_and(|old| old.generation() == object.generation()) {
        return Vec::new();
    }
    let steps: Vec<&str> = path.split('.').collect();
    let mut warnings = Vec::new();
    if let Some(spec) = object.get(&steps).and_then(Value::as_object) {
        let number = |key: &str| spec.get(key).and_then(Value::as_i64).unwrap_or(0);
        let large = number("completions") > COMPLETIONS_MAX && number("parallelism") > PARALLELISM_MAX;
        if text(spec, "completionMode") == "Indexed" && large {
            warnings.push(format!(
                "{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than \
                 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
            ));
        }
    }
    warnings.extend(template_warnings(object, old, &format!("{path}.template.")));
    warnings
}

/// The pods of a job end: they do not restart always. The rest of upstream's rules for jobs is not here.
pub(super) fn validate_restart_policy(spec: &Tree, path: &Path<'_>) -> Errors {
    let pods = child(spec, "template").and_then(|t| child(t, "spec"));
    let policy = pods.map_or("", |p| text(p, "restartPolicy"));
    let template = path.child("template");
    let at = template.child("spec");
    let at = at.child("restartPolicy");
    match policy {
        "" | "Always" => vec![FieldError::required(&at, "valid values: \"OnFailure\", \"Never\"")],
        "OnFailure" if is_set(spec, "podFailurePolicy") => {
            let detail = "only \"Never\" is supported when podFailurePolicy is specified";
            vec![FieldError::invalid(&at, policy, detail)]
        }
        "OnFailure" | "Never" => Errors::new(),
        other => vec![FieldError::not_supported(&at, other, &["OnFailure", "Never"])],
    }
}

/// Labels the pods with the job's name and uid and selects by the uid. Labels that are there already stay; validation
/// refuses those that differ.
fn select_by_uid(object: &mut Object) {
    let (name, uid) = (object.name().to_owned(), object.uid().to_owned());
    let labels = object.object_at(&["spec", "template", "metadata", "labels"]);
    for (keys, value) in [(NAME_LABELS, &name), (UID_LABELS, &uid)] {
        for key in keys {
            labels.entry(key).or_insert_with(|| Value::String(value.clone()));
        }
    }
    let selected = object.object_at(&["spec", "selector", "matchLabels"]);
    selected.entry(UID_LABEL).or_insert(Value::String(uid));
}

fn state(job: &Object) -> &'static str {
    let holds = |kind: &str| {
        let first = list(job, &["status", "conditions"]).find(|c| text(c, "type") == kind);
        first.is_some_and(|c| text(c, "status") == "True")
    };
    match () {
        () if holds("Complete") => "Complete",
        () if holds("Failed") => "Failed",
        () if job.deleting() => "Terminating",
        () if holds("Suspended") => "Suspended",
        () if holds("FailureTarget") => "FailureTarget",
        () if holds("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn completions(job: &Object) -> String {
    let succeeded = int(job, &["status", "succeeded"]);
    match (job.int_at(&["spec", "completions"]), int(job, &["spec", "parallelism"])) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn duration(job: &Object, moment: &Moment) -> String {
    let since_start = elapsed(job.text_at(&["status", "startTime"]), moment);
    let since_end = elapsed(job.text_at(&["status", "completionTime"]), moment);
    match (since_start, since_end) {
        (Some(start), Some(end)) => human_duration(start - end),
        (Some(start), None) => human_duration(start),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pods_of_a_job_end() {
        let spec = |policy: &str| {
            let Value::Object(spec) = json!({"template": {"spec": {"restartPolicy": policy}}}) else { panic!() };
            validate_restart_policy(&spec, &Path::new("spec"))
        };
        assert_eq!(spec("Never"), Errors::new());
        crate::resources::check::testing::check_errors(
            &spec("Always"),
            &["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""],
        );
    }

    #[test]
    fn a_job_selects_its_pods_by_uid() {
        let mut job = Object::from_value(json!({"metadata": {"name": "j", "uid": "u"}, "spec": {}})).unwrap();
        select_by_uid(&mut job);
        assert_eq!(job.text_at(&["spec", "template", "metadata", "labels", "job-name"]), "j");
        assert_eq!(job.get(&["spec", "selector"]), Some(&json!({"matchLabels": {UID_LABEL: "u"}})));
    }
}
