//! CronJob.

use serde_json::{Value, json};

use super::job::{default_job_spec, spec_warnings};
use super::{job_validation, schedule};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::resources::apps::name_warnings;
use crate::resources::check::{invalid_as, messages, nonnegative, nonnegatives, required_choice};
use crate::resources::go_print::LABEL_SELECTOR;
use crate::resources::part::STATUS;
use crate::resources::print::{age, containers_and_images, label_selector, or_none, since};
use crate::resources::tree::{Tree, child, ensure, fill, fill_zero, is_set, list, text};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct CronJob;

const NAME_BYTES_MAX: usize = 52;

impl Behaviour for CronJob {
    fn default(&self, _: &Kind, object: &mut Object) {
        let spec = object.object_at(&["spec"]);
        fill_zero(spec, "concurrencyPolicy", "Allow");
        fill(spec, "suspend", false);
        fill(spec, "successfulJobsHistoryLimit", 3);
        fill(spec, "failedJobsHistoryLimit", 1);
        default_job_spec(ensure(ensure(spec, "jobTemplate"), "spec"));
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        let mut errors = validate(object, None);
        // A Job's name is the CronJob's and the time.
        if object.name().len() > NAME_BYTES_MAX {
            let detail = format!("must be no more than {NAME_BYTES_MAX} characters");
            errors.push(FieldError::invalid(&Path::new("metadata.name"), object.name(), detail));
        }
        errors
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate(new, Some(old))
    }

    fn generation(&self) -> bool {
        true
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        let mut warnings = if old.is_some() { Vec::new() } else { name_warnings(object.name()) };
        warnings.extend(spec_warnings(object, old, "spec.jobTemplate.spec"));
        if old.is_some() && object.text_at(&["spec", "schedule"]).contains("TZ") {
            // The path repeats its first step.
            warnings.push(
                "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see \
                 https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
                    .to_owned(),
            );
        }
        warnings
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(STATUS)
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let template = ["spec", "jobTemplate", "spec"];
        let (containers, images) = containers_and_images(object, &[&template[..], &["template", "spec"]].concat());
        let suspended = match object.get(&["spec", "suspend"]).and_then(Value::as_bool) {
            Some(true) => "True",
            Some(false) => "False",
            None => "<unset>",
        };
        let last = match object.text_at(&["status", "lastScheduleTime"]) {
            "" => "<none>".to_owned(),
            time => since(time, moment),
        };
        Some(vec![
            json!(object.name()),
            json!(object.text_at(&["spec", "schedule"])),
            json!(or_none(object.text_at(&["spec", "timeZone"]))),
            json!(suspended),
            json!(list(object, &["status", "active"]).count()),
            json!(last),
            json!(age(object, moment)),
            json!(containers),
            json!(images),
            json!(label_selector(object.get(&[&template[..], &["selector"]].concat()))),
        ])
    }
}

fn validate(object: &Object, old: Option<&Object>) -> Errors {
    let (mut errors, empty, path) = (Errors::new(), Tree::new(), Path::new("spec"));
    let of = |object: &'_ Object| child(object.root(), "spec").cloned();
    let (spec, before) = (of(object).unwrap_or_default(), old.map(|old| of(old).unwrap_or_default()));
    schedule_faults(&mut errors, &spec, before.as_ref(), &path.child("schedule"));
    nonnegative(&mut errors, &spec, "startingDeadlineSeconds", &path);
    let zone = spec.get("timeZone").and_then(Value::as_str);
    let known = before.as_ref().is_some_and(|before| before.get("timeZone").and_then(Value::as_str) == zone);
    if let Some(zone) = zone.filter(|_| !known) {
        messages(&mut errors, &path.child("timeZone"), zone, schedule::zone_fault(zone));
    }
    let policies = ["Allow", "Forbid", "Replace"];
    required_choice(&mut errors, text(&spec, "concurrencyPolicy"), &path.child("concurrencyPolicy"), &policies);
    let template = path.child("jobTemplate");
    let at = template.child("spec");
    let job = child(&spec, "jobTemplate").and_then(|template| child(template, "spec")).unwrap_or(&empty);
    job_validation::validate_spec(&mut errors, job, &at);
    if let Some(selector) = job.get("selector").filter(|selector| !selector.is_null()) {
        let detail = "`selector` will be auto-generated";
        errors.push(invalid_as(&at.child("selector"), selector.clone(), LABEL_SELECTOR, detail));
    }
    if job.get("manualSelector") == Some(&Value::Bool(true)) {
        errors.push(FieldError::not_supported(&at.child("manualSelector"), true, &["nil", "false"]));
    }
    nonnegatives(&mut errors, &spec, &["successfulJobsHistoryLimit", "failedJobsHistoryLimit"], &path);
    errors
}

/// A schedule that is understood, with its time zone in a field of its own unless it never was.
fn schedule_faults(errors: &mut Errors, spec: &Tree, before: Option<&Tree>, path: &Path<'_>) {
    let given = text(spec, "schedule");
    if given.is_empty() {
        return errors.push(FieldError::required(path, ""));
    }
    if let Err(why) = schedule::check(given) {
        errors.push(FieldError::invalid(path, given, why));
    }
    let allowed = before.is_some_and(|before| text(before, "schedule").contains("TZ"));
    let detail = match (allowed, is_set(spec, "timeZone")) {
        _ if !given.contains("TZ") => return,
        (true, true) => "cannot use both timeZone field and TZ or CRON_TZ in schedule",
        (true, false) => return,
        (false, _) => "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
    };
    errors.push(FieldError::invalid(path, given, detail));
}
