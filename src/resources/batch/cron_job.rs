//! CronJob.

use serde_json::{Value, json};

use super::job::{default_job_spec, spec_warnings, validate_restart_policy};
use crate::api::Object;
use crate::api::field::{Errors, Path};
use crate::resources::apps::name_warnings;
use crate::resources::core::pod_validation::validate_template_at;
use crate::resources::part::STATUS;
use crate::resources::print::{age, containers_and_images, label_selector, or_none, since};
use crate::resources::tree::{child, ensure, fill, fill_zero, list};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct CronJob;

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

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        let path = Path::new("spec");
        let path = path.child("jobTemplate");
        let template = child(object.root(), "spec").and_then(|s| child(s, "jobTemplate"));
        let spec = template.and_then(|t| child(t, "spec"));
        let mut errors = validate_template_at(object, &["spec", "jobTemplate", "spec", "template"]);
        errors.extend(spec.into_iter().flat_map(|spec| validate_restart_policy(spec, &path.child("spec"))));
        errors
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
